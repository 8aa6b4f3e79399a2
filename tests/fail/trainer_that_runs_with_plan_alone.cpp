// SPDX-License-Identifier: Apache-2.0
// expected-error: to_run_a_trainer_include_snug_snug_hpp
#include <snug/plan.hpp>

using model = snug::models::gpt2<snug::layers<1>, snug::heads<1>, snug::width<8>, snug::vocabulary<9>,
                                 snug::context<4>>;
struct my_trainer : snug::trainer<model, snug::batch<1, 4>> {};

double loss_of(snug::step_result const& result) { return result.loss; }
#ifdef REFUSED
double train(snug::token_batch const& batch) { return loss_of(my_trainer{}.step(batch)); }
#endif
