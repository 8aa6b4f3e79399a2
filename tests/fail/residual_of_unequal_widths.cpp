// SPDX-License-Identifier: Apache-2.0
// expected-error: the layers in a residual connection and a repeated block must be as wide
// expected-error: 8, 16>
#include <snug/plan.hpp>

#ifdef REFUSED
using body = snug::sequence<snug::residual<snug::named<"up", snug::linear<8, 16>>>,
                            snug::named<"down", snug::linear<16, 8>>>;
#else
using body = snug::sequence<snug::named<"up", snug::linear<8, 16>>, snug::named<"down", snug::linear<16, 8>>>;
#endif
struct my_model : snug::stack<snug::embedding<16, 8>, body, snug::head_with_loss<8, 16, true>> {};
struct my_trainer : snug::trainer<my_model, snug::batch<1, 8>> {};
static_assert(snug::footprint<my_trainer>.total > snug::bytes{});
