// SPDX-License-Identifier: Apache-2.0
// expected-error: the third argument of outlier_split is the room
#include <snug/plan.hpp>

using namespace snug::quantization;

#ifdef REFUSED
using policy_of_mine = outlier_split<threshold<6>, absmax, threshold<3>>;
#else
using policy_of_mine = outlier_split<threshold<6>, absmax, outlier_columns<3>>;
#endif

struct my_trainer : snug::trainer<snug::models::gpt2_124m, snug::batch<1, 64>, policy_of_mine> {};
static_assert(snug::footprint<my_trainer>.total > snug::bytes{});
