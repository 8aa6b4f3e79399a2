// SPDX-License-Identifier: Apache-2.0
// expected-error: targets<> of an adapter names nothing to adapt
#include <snug/plan.hpp>

using namespace snug::quantization;

#ifdef REFUSED
using policy_of_mine = snug::adapters::lora<snug::rank<4>, snug::targets<>>;
#else
using policy_of_mine = snug::adapters::lora<snug::rank<4>, snug::targets<"attn.c_attn">>;
#endif

struct my_trainer : snug::trainer<snug::models::gpt2_124m, snug::batch<1, 64>, policy_of_mine> {};
static_assert(snug::footprint<my_trainer>.total > snug::bytes{});
