// SPDX-License-Identifier: Apache-2.0
// How small can fine-tuning get? Ten ways to fine-tune Llama-3.2-3B with 2 sequences of 4096 tokens, from all parameters to
// QLoRA, each one policy smaller than the one before; and what fits which card. The rungs are those of torchtune's README,
// which measured them on an A100; here they are types, and nothing runs but the compiler.
#include <snug/plan.hpp>

#include <iomanip>
#include <iostream>
#include <limits>
#include <string>
#include <utility>

#include "support/output.hpp"

namespace {

using namespace snug;
using optimizers::adamw;
using optimizers::paged;
using optimizers::states;
using lora = adapters::lora<rank<8>, alpha<16>, targets<"q_proj", "v_proj">>;
using qlora_storage = quantization::double_quantized<quantization::nf4<64>>;
using in_8_bits = adamw<states<snug::int8>>;

template <class... Policies>
struct ladder : trainer<models::llama3_2_3b, batch<2, 4096>, Policies...> {};

using mixed = precision::mixed<bf16>;
using pure = precision::pure<bf16>;
using one_block_at_a_time = checkpointing::every_block;

using rung_1 = ladder<precision::full<fp32>>;
using rung_2 = ladder<mixed>;
using rung_3 = ladder<pure, adamw<states<bf16>>>;
using rung_4 = ladder<pure, adamw<states<bf16>>, checkpointing::selective>;
using rung_5 = ladder<pure, adamw<states<bf16>>, one_block_at_a_time>;
using rung_6 = ladder<pure, in_8_bits, one_block_at_a_time>;
using rung_7 = ladder<pure, paged<in_8_bits>, one_block_at_a_time>;
using rung_8 = ladder<mixed, lora, one_block_at_a_time>;
using rung_9 = ladder<mixed, lora, quantization::nf4<64>, one_block_at_a_time>;
using rung_10 = ladder<mixed, lora, qlora_storage, one_block_at_a_time>;

template <class... Rungs>
constexpr bool each_is_smaller() {
    auto before = std::numeric_limits<std::int64_t>::max();
    return ((footprint<Rungs>.total.count < std::exchange(before, footprint<Rungs>.total.count)) && ...);
}
static_assert(
    each_is_smaller<rung_1, rung_2, rung_3, rung_4, rung_5, rung_6, rung_7, rung_8, rung_9, rung_10>());

// Llama-2 7B on one card: all of it does not fit 24 GB, LoRA over bf16 weights does, QLoRA fits 8 GB.
template <class Model, class... Policies>
struct tuning : trainer<Model, batch<1, 512>, mixed, one_block_at_a_time, Policies...> {};
static_assert(!fits<tuning<models::llama2_7b>, devices::rtx_4090>);
static_assert(fits<tuning<models::llama2_7b, lora>, devices::rtx_4090>);
static_assert(fits<tuning<models::llama2_7b, lora, qlora_storage>, budget<8_GiB>>);
static_assert(fits<tuning<models::llama2_7b, lora, qlora_storage, paged<in_8_bits>>, devices::rtx_3070>);
static_assert(fits<tuning<models::llama2_70b, lora, qlora_storage>, budget<48_GiB>>);

// The weights at rest; the QLoRA paper's 7B took 5,048 MB and its 65B 41 GB.
constexpr auto gib = std::int64_t{1} << 30;
static_assert(weight_bytes<models::llama2_7b, qlora_storage>.count * 100 <= 361 * gib);
static_assert(weight_bytes<models::llama2_70b, qlora_storage>.count * 10 <= 339 * gib);

template <class T>
void print(std::string const& what) {
    auto const bill = footprint<T>;
    auto const amount = [](bytes size) {
        std::cout << std::setw(11) << (size.count > 0 ? to_string(size) : "-");
    };
    std::cout << "  " << std::left << std::setw(28) << what << std::right;
    amount(bill.weights + bill.master_weights);
    amount(bill.gradients);
    amount(bill.optimizer_state);
    amount(bill.activations);
    amount(bill.total);
    amount(bill.paged);
    std::cout << '\n';
}

}  // namespace

int main() {
    std::cout << "Llama-3.2-3B, 2 x 4096 tokens:\n\n  " << std::left << std::setw(28) << "" << std::right
              << std::setw(11) << "weights" << std::setw(11) << "gradients" << std::setw(11) << "optimizer"
              << std::setw(11) << "activ." << std::setw(11) << "total" << std::setw(11) << "on host" << '\n';
    print<rung_1>("all parameters, fp32");
    print<rung_2>("mixed bf16");
    print<rung_3>("all in bf16");
    print<rung_4>("+ selective checkpointing");
    print<rung_5>("every block instead");
    print<rung_6>("+ states in 8 bits");
    print<rung_7>("+ states paged");
    print<rung_8>("LoRA over bf16");
    print<rung_9>("LoRA over NF4");
    print<rung_10>("+ scales quantized: QLoRA");
    std::cout << "\nLlama-2 7B, QLoRA, 1 x 512 tokens:\n"
              << report<tuning<models::llama2_7b, lora, qlora_storage>>();
    std::cout << "\nLlama-2 70B, QLoRA, 1 x 512 tokens:\n"
              << report<tuning<models::llama2_70b, lora, qlora_storage>>();
    return example::finished("fine_tuning_budgets");
}
