// SPDX-License-Identifier: Apache-2.0
// expected-error: the training step does not fit its memory budget
// expected-error: weights_MiB<475L?>
// nvcc
#include <snug/plan.hpp>

using pretraining = snug::trainer<snug::models::gpt2_124m, snug::batch<1, 64>>;
struct derived : pretraining {};
struct most_derived : derived {};
using namespace snug::literals;

#ifdef REFUSED
template struct snug::require_fit<most_derived, snug::budget<1_GiB>>;
#else
template struct snug::require_fit<most_derived, snug::budget<3_GiB>>;
#endif
