// SPDX-License-Identifier: Apache-2.0
// expected-error: wire<bf16> is for gradients in fp32
#include <snug/plan.hpp>

#ifdef REFUSED
using precision = snug::precision::pure<snug::bf16>;
#else
using precision = snug::precision::mixed<snug::bf16>;
#endif

struct my_trainer : snug::trainer<snug::models::gpt2_124m, snug::batch<1, 64>, precision,
                                  snug::sharding::zero<3, snug::ranks<4>, snug::sharding::wire<snug::bf16>>> {
};
static_assert(snug::footprint<my_trainer>.total > snug::bytes{});
