// SPDX-License-Identifier: Apache-2.0
// expected-error: the only other that it takes is checkpointing::offloading
// expected-error: beside_its_budget_within_takes_offloading<snug(::[a-z0-9_]+)?::checkpointing::selective, false>
#include <snug/plan.hpp>

namespace kept = snug::checkpointing;

#ifdef REFUSED
using beside = kept::selective;
#else
using beside = kept::offloading;
#endif

struct my_trainer : snug::trainer<snug::models::gpt2<snug::layers<2>, snug::heads<2>, snug::width<8>,
                                                     snug::vocabulary<16>, snug::context<16>>,
                                  snug::batch<1, 16>, kept::within<snug::devices::t4, beside>> {};
static_assert(snug::footprint<my_trainer>.total > snug::bytes{});
