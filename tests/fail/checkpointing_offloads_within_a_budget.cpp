// SPDX-License-Identifier: Apache-2.0
// expected-error: checkpointing::within is not one: within<Budget, checkpointing::offloading> looks for what to offload itself
// expected-error: what_is_offloaded_is_a_checkpointing
#include <snug/plan.hpp>

namespace kept = snug::checkpointing;

#ifdef REFUSED
using policy = kept::offloaded<kept::within<snug::devices::t4>>;
#else
using policy = kept::within<snug::devices::t4, kept::offloading>;
#endif

struct my_trainer : snug::trainer<snug::models::gpt2<snug::layers<2>, snug::heads<2>, snug::width<8>,
                                                     snug::vocabulary<16>, snug::context<16>>,
                                  snug::batch<1, 16>, policy> {};
static_assert(snug::footprint<my_trainer>.total > snug::bytes{});
