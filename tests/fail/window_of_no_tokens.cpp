// SPDX-License-Identifier: Apache-2.0
// expected-error: snug: a sliding window of attention holds at least the query's own key
#include <snug/plan.hpp>

#ifdef REFUSED
using attention = snug::sliding_attention<2, 1, 4, 0>;
#else
using attention = snug::sliding_attention<2, 1, 4, 1>;
#endif
static_assert(attention::input_width == 16);
