// SPDX-License-Identifier: Apache-2.0
// Which model trains on which GPU? No GPU, no backend and no weights are needed to know: the bill of a training step
// is a constant. What this program prints, a static_assert can require.
#include <snug/plan.hpp>

#include <iomanip>
#include <iostream>
#include <string>

#include "support/output.hpp"

namespace {

using namespace snug;

/// Some ways to train, from the fastest to the smallest.
template <class Model>
struct plainly : trainer<Model, batch<8, 1024>, precision::mixed<bf16>> {};
template <class Model>
struct checkpointed : trainer<Model, batch<1, 1024>, accumulation::micro_batches<8>, precision::mixed<bf16>,
                              checkpointing::every_block> {};
template <class Model>
struct all_in_bf16 : trainer<Model, batch<1, 1024>, accumulation::micro_batches<8>, precision::pure<bf16>,
                             checkpointing::every_block, optimizers::adamw<optimizers::states<bf16>>> {};

// Out of memory is a compile error ...
static_assert(fits<plainly<models::gpt2_124m>, devices::rtx_3070>);
static_assert(fits<all_in_bf16<models::gpt2_1558m>, devices::rtx_4090>);
static_assert(fits<all_in_bf16<models::llama2_7b>, devices::a100_80gb>);
// ... and can be asked about without an error.
static_assert(!fits<plainly<models::gpt2_1558m>, devices::rtx_4090>);
static_assert(!fits<all_in_bf16<models::llama2_7b>, devices::a100_40gb>);

// Any line of the bill can be required, too.
static_assert(footprint<all_in_bf16<models::llama2_7b>>.activations < 2_GiB);

template <class Device, class T>
void print_device(std::string const& name) {
    std::cout << (fits<T, Device> ? "  " + name : "  " + std::string(name.size(), '-'));
}

template <class T>
void print_row(std::string const& model, std::string const& how) {
    std::cout << "  " << std::left << std::setw(13) << model << std::setw(14) << how << std::right
              << std::setw(10) << to_string(footprint<T>.total) << "  ";
    print_device<devices::rtx_3070, T>("rtx_3070");
    print_device<devices::rtx_4090, T>("rtx_4090");
    print_device<devices::a100_40gb, T>("a100_40gb");
    print_device<devices::h100_80gb, T>("h100_80gb");
    print_device<devices::b200, T>("b200");
    std::cout << '\n';
}

template <class Model>
void print_model(std::string const& name) {
    print_row<plainly<Model>>(name, "plainly");
    print_row<checkpointed<Model>>("", "checkpointed");
    print_row<all_in_bf16<Model>>("", "all in bf16");
}

}  // namespace

int main() {
    std::cout << "Training all parameters, 8 sequences of 1024 tokens a step, AdamW:\n\n";
    print_model<models::gpt2_124m>("gpt2_124m");
    print_model<models::smollm2_135m>("smollm2_135m");
    print_model<models::gpt2_1558m>("gpt2_1558m");
    print_model<models::llama2_7b>("llama2_7b");
    print_model<models::llama3_8b>("llama3_8b");
    std::cout << "\nThe last bill, line by line:\n" << report<all_in_bf16<models::llama3_8b>>();
    return example::finished("budget");
}
