// SPDX-License-Identifier: Apache-2.0
// expected-error: has 1 to 4096 scales in a group
#include <snug/plan.hpp>

using namespace snug::quantization;

#ifdef REFUSED
using policy_of_mine = double_quantized<nf4<64>, 0>;
#else
using policy_of_mine = double_quantized<nf4<64>, 1>;
#endif

struct my_trainer : snug::trainer<snug::models::gpt2_124m, snug::batch<1, 64>, policy_of_mine> {};
static_assert(snug::footprint<my_trainer>.total > snug::bytes{});
