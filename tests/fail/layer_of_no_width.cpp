// SPDX-License-Identifier: Apache-2.0
// expected-error: a layer has an input or output of less than one element
// expected-error: the_widths_of_a_layer_are_at_least_1
#include <snug/plan.hpp>

#ifdef REFUSED
constexpr snug::index_t middle = -4;
#else
constexpr snug::index_t middle = 4;
#endif
using block = snug::residual<snug::named<"up", snug::linear<32, middle>>,
                             snug::named<"down", snug::linear<middle, 32>>>;

struct model : snug::stack<snug::named<"embedding", snug::embedding<64, 32>>,
                           snug::named<"blocks", snug::repeat<2, block>>,
                           snug::named<"head", snug::head_with_loss<32, 64, true>>> {};
struct my_trainer : snug::trainer<model, snug::batch<1, 8>> {};
static_assert(snug::footprint<my_trainer>.total > snug::bytes{});
