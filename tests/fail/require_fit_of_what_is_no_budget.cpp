// SPDX-License-Identifier: Apache-2.0
// expected-error: a budget is one of snug::devices, a snug::budget<24_GiB>
// expected-error: this_is_not_a_budget<.*int
// nvcc
#include <snug/plan.hpp>

using pretraining = snug::trainer<snug::models::gpt2_124m, snug::batch<1, 64>>;

#ifdef REFUSED
template struct snug::require_fit<pretraining, int>;
#else
template struct snug::require_fit<pretraining, snug::devices::l4>;
#endif
