// SPDX-License-Identifier: Apache-2.0
// expected-error: checkpointing::offloaded_to takes checkpointing::file
// expected-error: this_is_no_place_for_activations
#include <snug/plan.hpp>

namespace kept = snug::checkpointing;

#ifdef REFUSED
using policy = kept::offloaded_to<kept::every_block>;
#else
using policy = kept::offloaded_to<kept::file<"/scratch">, kept::every_block>;
#endif

struct my_trainer : snug::trainer<snug::models::gpt2_124m, snug::batch<1, 64>, policy> {};
static_assert(snug::footprint<my_trainer>.paged > snug::bytes{});
