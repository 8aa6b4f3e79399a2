// SPDX-License-Identifier: Apache-2.0
// expected-error: the fourth argument of outlier_split is the format
#include <snug/plan.hpp>

using namespace snug::quantization;

#ifdef REFUSED
using policy_of_mine = outlier_split<threshold<6>, absmax, outlier_columns<3>, int>;
#else
using policy_of_mine = outlier_split<threshold<6>, absmax, outlier_columns<3>, snug::fp32>;
#endif

struct my_trainer : snug::trainer<snug::models::gpt2_124m, snug::batch<1, 64>, policy_of_mine> {};
static_assert(snug::footprint<my_trainer>.total > snug::bytes{});
