// SPDX-License-Identifier: Apache-2.0
// expected-error: a model that repeats blocks of one kind
// expected-error: named_blocks_are_of_one_kind
#include <snug/plan.hpp>

#ifdef REFUSED
using part = snug::trains<snug::last_blocks<2>>;
#else
using part = snug::trains<snug::layers_called<"down">>;
#endif

struct my_trainer : snug::trainer<snug::models::smollm3_3b, snug::batch<1, 64>, part> {};
static_assert(snug::footprint<my_trainer>.total > snug::bytes{});
