// SPDX-License-Identifier: Apache-2.0
// expected-error: blocks are named that the model does not have
// expected-error: named_blocks_are_in_the_model
#include <snug/plan.hpp>

#ifdef REFUSED
using part = snug::only_in<snug::block_range<10, 12>>;
#else
using part = snug::only_in<snug::block_range<10, 11>>;
#endif

struct my_trainer
    : snug::trainer<snug::models::gpt2_124m, snug::batch<1, 64>, snug::adapters::lora<snug::rank<4>, part>> {
};
static_assert(snug::footprint<my_trainer>.total > snug::bytes{});
