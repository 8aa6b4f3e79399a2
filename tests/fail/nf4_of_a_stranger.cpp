// SPDX-License-Identifier: Apache-2.0
// expected-error: the second argument of nf4 is dialects::bitsandbytes or dialects::torchao
#include <snug/plan.hpp>

using namespace snug::quantization;

#ifdef REFUSED
using policy_of_mine = nf4<64, int>;
#else
using policy_of_mine = nf4<64, dialects::torchao>;
#endif

struct my_trainer : snug::trainer<snug::models::gpt2_124m, snug::batch<1, 64>, policy_of_mine> {};
static_assert(snug::footprint<my_trainer>.total > snug::bytes{});
