// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "plans.hpp"
#include "promises.hpp"

#include <snug/quantization/nf4.hpp>

/// The promises of memory for the layers that a family of models brings.
namespace test {

/// Two trainers over a model, which between them have a master copy, an adapter, quantized weights, and both kinds of what is computed
/// again.
template <class Model>
std::vector<subject> trainers_over() {
    using batch = snug::batch<2, 11>;
    return trainers_of<mp::mp_list<
        snug::trainer<Model, batch, snug::precision::mixed<snug::bf16>, snug::checkpointing::selective>,
        snug::trainer<Model, batch, snug::adapters::lora<snug::rank<3>>, snug::quantization::nf4<32>,
                      snug::checkpointing::every_block>>>();
}

/// Every line of the bill is what it stands for, and nothing overlaps what is needed; construction allocates the plan, and a step
/// nothing; and a step reads only what it has written.
inline void check_promises(std::vector<subject> const& all) {
    for (auto const& s : all) {
        check_bill(s);
        check_layout(s);
        check_allocations(s);
        check_memory(s);
    }
}

}  // namespace test
