// SPDX-License-Identifier: Apache-2.0
// expected-error: the training step does not fit its memory budget
// expected-error: over_budget_by_bytes<1L?>
// nvcc
#include <snug/plan.hpp>

using pretraining = snug::trainer<snug::models::gpt2_124m, snug::batch<1, 64>>;
constexpr auto total = snug::footprint<pretraining>.total;
using namespace snug::literals;

#ifdef REFUSED
template struct snug::require_fit<pretraining, snug::budget<total - 1_B>>;
#else
template struct snug::require_fit<pretraining, snug::budget<total>>;
#endif
