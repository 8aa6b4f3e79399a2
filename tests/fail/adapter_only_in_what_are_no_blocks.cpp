// SPDX-License-Identifier: Apache-2.0
// expected-error: only_in of an adapter takes snug::block_range<First, Last> or snug::last_blocks<N>
#include <snug/plan.hpp>

#ifdef REFUSED
using part = snug::only_in<snug::norms>;
#else
using part = snug::only_in<snug::last_blocks<2>>;
#endif

struct my_trainer
    : snug::trainer<snug::models::gpt2_124m, snug::batch<1, 64>, snug::adapters::lora<snug::rank<4>, part>> {
};
static_assert(snug::footprint<my_trainer>.total > snug::bytes{});
