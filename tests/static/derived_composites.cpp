// SPDX-License-Identifier: Apache-2.0

// A struct that derives from a sequence is quantized and adapted like the sequence, not left as it is.
#include <snug/plan.hpp>

namespace {

using plain = snug::sequence<snug::rms_norm<8>, snug::named<"qkv", snug::linear<8, 8>>>;
struct derived : plain {};

template <class Block>
using model = snug::stack<snug::named<"embedding", snug::embedding<16, 8>>,
                          snug::named<"blocks", snug::repeat<2, Block>>,
                          snug::named<"norm", snug::rms_norm<8>>, snug::head_with_loss<8, 16, true>>;
template <class Block, class Policy>
using job = snug::trainer<model<Block>, snug::batch<1, 16>, Policy>;

template <class Policy>
constexpr bool are_alike =
    snug::trainable_parameter_count<job<derived, Policy>> ==
    snug::trainable_parameter_count<job<plain, Policy>>&& snug::footprint<job<derived, Policy>>.total ==
    snug::footprint<job<plain, Policy>>.total;

static_assert(are_alike<snug::quantization::nf4<64>>);
static_assert(are_alike<snug::adapters::lora<snug::rank<2>>>);
static_assert(snug::trainable_parameter_count<job<derived, snug::adapters::lora<snug::rank<2>>>> ==
              2 * 2 * (8 + 8));

}  // namespace
