// SPDX-License-Identifier: Apache-2.0
// expected-error: over_budget_by_bytes<1>
// expected-error: weights_MiB<475>
#include <snug/plan.hpp>

using pretraining = snug::trainer<snug::models::gpt2_124m, snug::batch<1, 64>>;
constexpr auto total = snug::footprint<pretraining>.total;
using namespace snug::literals;

#ifdef REFUSED
static_assert(snug::fits<pretraining, snug::budget<total - 1_B>>);
#else
static_assert(snug::fits<pretraining, snug::budget<total>>);
#endif
