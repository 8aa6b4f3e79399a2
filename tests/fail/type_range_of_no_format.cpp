// SPDX-License-Identifier: Apache-2.0
// expected-error: type_range spans the whole range of a number format
#include <snug/plan.hpp>

using namespace snug::quantization;

#ifdef REFUSED
using policy_of_mine = type_range<int>;
#else
using policy_of_mine = type_range<snug::bf16>;
#endif

struct my_trainer : snug::trainer<snug::models::gpt2_124m, snug::batch<1, 64>, policy_of_mine> {};
static_assert(snug::footprint<my_trainer>.total > snug::bytes{});
