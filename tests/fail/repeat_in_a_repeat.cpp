// SPDX-License-Identifier: Apache-2.0
// expected-error: a block of snug::repeat has another snug::repeat inside
// expected-error: a_repeated_block_has_no_repeated_block_inside
#include <snug/plan.hpp>

using inner = snug::named<"inner", snug::linear<32, 32>>;
#ifdef REFUSED
using block = snug::residual<snug::repeat<3, inner>>;
#else
using block = snug::residual<inner>;
#endif

struct model : snug::stack<snug::named<"embedding", snug::embedding<64, 32>>,
                           snug::named<"blocks", snug::repeat<2, block>>,
                           snug::named<"head", snug::head_with_loss<32, 64, true>>> {};
struct my_trainer : snug::trainer<model, snug::batch<1, 8>> {};
static_assert(snug::footprint<my_trainer>.total > snug::bytes{});
