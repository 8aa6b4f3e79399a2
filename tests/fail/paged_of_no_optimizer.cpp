// SPDX-License-Identifier: Apache-2.0
// expected-error: paged goes around an optimizer
#include <snug/plan.hpp>

using namespace snug::quantization;

#ifdef REFUSED
using policy_of_mine = snug::optimizers::paged<int>;
#else
using policy_of_mine = snug::optimizers::paged<snug::optimizers::adamw<>>;
#endif

struct my_trainer : snug::trainer<snug::models::gpt2_124m, snug::batch<1, 64>, policy_of_mine> {};
static_assert(snug::footprint<my_trainer>.total > snug::bytes{});
