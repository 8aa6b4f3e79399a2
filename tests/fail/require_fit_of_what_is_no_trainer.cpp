// SPDX-License-Identifier: Apache-2.0
// expected-error: this takes a snug::trainer<...>, an alias of one, or a struct derived from one
// expected-error: this_is_not_a_trainer<.*gpt2_124m
// nvcc
#include <snug/plan.hpp>

using pretraining = snug::trainer<snug::models::gpt2_124m, snug::batch<1, 64>>;

#ifdef REFUSED
template struct snug::require_fit<snug::models::gpt2_124m, snug::devices::l4>;
#else
template struct snug::require_fit<pretraining, snug::devices::l4>;
#endif
