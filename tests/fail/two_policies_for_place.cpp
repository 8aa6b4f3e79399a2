// SPDX-License-Identifier: Apache-2.0
// expected-error: an axis was given two policies
// expected-error: two_policies_for_one_axis<snug::axis::where
#include <snug/plan.hpp>

#ifdef REFUSED
struct my_trainer : snug::trainer<snug::models::gpt2_124m, snug::batch<1, 64>, snug::on<snug::host>,
                                  snug::on<snug::host_threads<2>>> {};
#else
struct my_trainer : snug::trainer<snug::models::gpt2_124m, snug::batch<1, 64>, snug::on<snug::host>> {};
#endif
static_assert(snug::footprint<my_trainer>.total > snug::bytes{});
