// SPDX-License-Identifier: Apache-2.0
// expected-error: memory_budget
#include <snug/plan.hpp>

using pretraining = snug::trainer<snug::models::gpt2_124m, snug::batch<1, 64>>;

#ifdef REFUSED
static_assert(snug::fits<pretraining, int>);
#else
static_assert(snug::fits<pretraining, snug::devices::l4>);
#endif
