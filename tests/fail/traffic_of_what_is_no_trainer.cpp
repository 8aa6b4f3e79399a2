// SPDX-License-Identifier: Apache-2.0
// expected-error: this takes a snug::trainer<...>, an alias of one, or a struct derived from one
// expected-error: this_is_not_a_trainer<.*gpt2_124m
#include <snug/plan.hpp>

using pretraining = snug::trainer<snug::models::gpt2_124m, snug::batch<1, 64>>;

#ifdef REFUSED
static_assert(snug::traffic<snug::models::gpt2_124m>.messages_per_step == 0);
#else
static_assert(snug::traffic<pretraining>.messages_per_step == 0);
#endif
