// SPDX-License-Identifier: Apache-2.0
// What each of 8 or 64 ranks holds and sends: the bill and the traffic of every stage of sharding as constants, known without
// a second process. Prints the table of docs/distributed.md.
#include <snug/plan.hpp>

#include <iostream>
#include <string>

#include "support/output.hpp"

namespace {

using namespace snug;

/// A sequence as long as the context for each rank, blocks computed again.
template <class Model, class Sharding, class... Policies>
struct sharded : trainer<Model, batch<1, Model::longest_sequence>, precision::mixed<bf16>,
                         checkpointing::every_block, Sharding, Policies...> {};

template <int N>
using replicated = sharding::data_parallel<ranks<N>>;
template <int Stage, int N>
using zero = sharding::zero<Stage, ranks<N>>;

// 70 billion parameters train on 64 devices of 80 GB, not on 8; frozen in 4 bits with adapters, on 8.
static_assert(!fits<sharded<models::llama2_70b, zero<3, 8>>, devices::h100_80gb>);
static_assert(fits<sharded<models::llama2_70b, zero<3, 64>>, devices::h100_80gb>);
using low_rank = adapters::lora<rank<16>, alpha<32>, targets<all_linear>>;
static_assert(
    fits<sharded<models::llama2_70b, zero<3, 8>, low_rank, quantization::nf4<64>>, devices::rtx_4090>);
// Blocks are gathered forward and backward, every micro-batch.
static_assert(traffic<sharded<models::llama2_70b, zero<3, 64>>>.gathered >
              traffic<sharded<models::llama2_70b, zero<2, 64>>>.gathered);

template <class T>
void print(std::string const& model, std::string const& sharding) {
    constexpr auto bill = footprint<T>;
    constexpr auto sent = traffic<T>;
    std::cout << "| " << model << " | " << T::composition::ranks << " | " << sharding;
    for (auto const amount :
         {bill.weights, bill.master_weights + bill.optimizer_state, bill.gradients, bill.communication,
          bill.total, sent.gathered, sent.exchanged, sent.sent_per_step})
        std::cout << " | " << (amount.count > 0 ? to_string(amount) : "-");
    std::cout << " | " << sent.messages_per_step << " | " << (fits<T, devices::h100_80gb> ? "yes" : "no")
              << " |\n";
}

template <class Model, int N>
void print_stages(std::string const& model) {
    print<sharded<Model, replicated<N>>>(model, "data parallel");
    print<sharded<Model, zero<1, N>>>(model, "ZeRO-1");
    print<sharded<Model, zero<2, N>>>(model, "ZeRO-2");
    print<sharded<Model, zero<3, N>>>(model, "ZeRO-3");
}

}  // namespace

int main() {
    std::cout
        << "| model | ranks | sharding | weights | master, states | gradients | communication | total | "
           "gathered | exchanged | sent | messages | fits 80 GB |\n"
           "| --- | ---: | --- | ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: | --- |\n";
    print_stages<models::gpt2_1558m, 8>("GPT-2 1.5B");
    print_stages<models::llama2_7b, 8>("Llama-2 7B");
    print_stages<models::llama2_7b, 64>("Llama-2 7B");
    print_stages<models::llama2_70b, 64>("Llama-2 70B");
    using qlora = sharded<models::llama2_70b, zero<3, 8>, low_rank, quantization::nf4<64>>;
    print<qlora>("Llama-2 70B, QLoRA", "ZeRO-3");
    print<sharded<models::llama2_70b, zero<3, 64>, low_rank, quantization::nf4<64>>>("Llama-2 70B, QLoRA",
                                                                                     "ZeRO-3");
    return example::finished("sharding_budgets");
}
