// SPDX-License-Identifier: Apache-2.0
// expected-error: snug::host_threads<N> runs on N threads or fewer
#include <snug/plan.hpp>

using namespace snug::quantization;

#ifdef REFUSED
using policy_of_mine = snug::on<snug::host_threads<0>>;
#else
using policy_of_mine = snug::on<snug::host_threads<1>>;
#endif

struct my_trainer : snug::trainer<snug::models::gpt2_124m, snug::batch<1, 64>, policy_of_mine> {};
static_assert(snug::footprint<my_trainer>.total > snug::bytes{});
