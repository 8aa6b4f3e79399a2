// SPDX-License-Identifier: Apache-2.0
// expected-error: weights_MiB<475>.*over_budget_by_bytes<1>
#include <snug/plan.hpp>

using namespace snug::literals;
using pretraining = snug::trainer<snug::models::gpt2_124m, snug::batch<1, 64>>;
struct its_memory {
    static constexpr snug::bytes memory = snug::footprint<pretraining>.total + 768_MiB;
};

#ifdef REFUSED
struct card : its_memory {
    static constexpr snug::bytes reserve = 768_MiB + 1_B;
};
static_assert(snug::fits<pretraining, card>);
#else
struct card : its_memory {
    static constexpr snug::bytes reserve = 768_MiB;
};
static_assert(snug::fits<pretraining, card>);
#endif
