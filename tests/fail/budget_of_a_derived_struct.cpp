// SPDX-License-Identifier: Apache-2.0
// expected-error: weights_MiB<475>.*over_budget_by_MiB<
#include <snug/plan.hpp>

using pretraining = snug::trainer<snug::models::gpt2_124m, snug::batch<1, 64>>;
struct derived : pretraining {};
struct most_derived : derived {};
using namespace snug::literals;

#ifdef REFUSED
static_assert(snug::fits<most_derived, snug::budget<1_GiB>>);
#else
static_assert(snug::fits<most_derived, snug::budget<3_GiB>>);
#endif
