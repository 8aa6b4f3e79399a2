// SPDX-License-Identifier: Apache-2.0
// expected-error: two parameters of a model have the same full name
// expected-error: two_parameters_of_a_model_have_the_same_name<
#include <snug/plan.hpp>

#ifdef REFUSED
using body = snug::residual<snug::linear<8, 16>, snug::gelu<16>, snug::linear<16, 8>>;
#else
using body = snug::residual<snug::named<"up", snug::linear<8, 16>>, snug::gelu<16>,
                            snug::named<"down", snug::linear<16, 8>>>;
#endif
struct my_model : snug::stack<snug::embedding<16, 8>, body, snug::head_with_loss<8, 16, true>> {};
struct my_trainer : snug::trainer<my_model, snug::batch<1, 8>> {};
static_assert(snug::footprint<my_trainer>.total > snug::bytes{});
