// SPDX-License-Identifier: Apache-2.0
// expected-error: the first argument of outlier_split says what an outlier is
// nvcc
#include <snug/plan.hpp>

using namespace snug::quantization;

#ifdef REFUSED
using policy_of_mine = outlier_split<snug::quantization::int8<64>>;
#else
using policy_of_mine = outlier_split<threshold<6>, snug::quantization::int8<64>>;
#endif

struct my_trainer : snug::trainer<snug::models::gpt2_124m, snug::batch<1, 64>, policy_of_mine> {};
static_assert(snug::footprint<my_trainer>.total > snug::bytes{});
