// SPDX-License-Identifier: Apache-2.0
// expected-error: a budget is one of snug::devices
// expected-error: this_is_not_a_budget<my_device>
#include <snug/plan.hpp>

struct my_device {
#ifndef REFUSED
    static constexpr snug::bytes memory{1 << 30};
#endif
    static constexpr snug::bytes reserve{};
};
struct my_trainer : snug::trainer<snug::models::gpt2<snug::layers<2>, snug::heads<2>, snug::width<8>,
                                                     snug::vocabulary<16>, snug::context<16>>,
                                  snug::batch<1, 16>, snug::checkpointing::within<my_device>> {};
static_assert(snug::footprint<my_trainer>.total > snug::bytes{});
