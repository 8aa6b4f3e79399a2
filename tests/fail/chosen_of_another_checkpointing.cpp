// SPDX-License-Identifier: Apache-2.0
// expected-error: checkpointing::chosen<T> is what checkpointing::within has found, and T has another
// expected-error: this_trainer_does_not_look_for_its_checkpointing<my_trainer>
#include <snug/plan.hpp>

#ifdef REFUSED
using checkpointing = snug::checkpointing::every_block;
#else
using checkpointing = snug::checkpointing::within<snug::devices::t4>;
#endif
struct my_trainer : snug::trainer<snug::models::gpt2<snug::layers<2>, snug::heads<2>, snug::width<8>,
                                                     snug::vocabulary<16>, snug::context<16>>,
                                  snug::batch<1, 16>, checkpointing> {};
static_assert(snug::checkpointing::chosen<my_trainer>::recompute_percent == 0);
