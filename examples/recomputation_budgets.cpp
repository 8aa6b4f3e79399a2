// SPDX-License-Identifier: Apache-2.0
// What a budget costs in time: of three models what is computed again, predicted, and the total, exact, when the step
// may take from the least memory that there is a plan for to that of keeping everything. Nothing runs but the compiler.
// Prints the table of docs/checkpointing.md.
#include <snug/plan.hpp>

#include <cstdio>
#include <iomanip>
#include <iostream>
#include <string>
#include <utility>

#include "support/output.hpp"

namespace {

using namespace snug;
using checkpointing::chosen;
using checkpointing::within;

/// A device that has so many bytes of memory, all of them for the step.
template <class Device, index_t Bytes>
struct of_memory : Device {
    static constexpr bytes memory{Bytes};
    static constexpr bytes reserve{};
};

struct gpt2 {
    static constexpr auto name = "GPT-2 124M, 16 x 1024";
    using device = devices::h100_80gb;
    template <class Policy>
    using trained = trainer<models::gpt2_124m, batch<16, 1024>, precision::mixed<bf16>, Policy, on<cuda>>;
};
struct llama2 {
    static constexpr auto name = "Llama-2 7B, 1 x 4096";
    using device = devices::h100_80gb;
    template <class Policy>
    using trained = trainer<models::llama2_7b, batch<1, 4096>, precision::pure<bf16>,
                            optimizers::adamw<optimizers::states<int8>>, Policy, on<cuda>>;
};
struct llama3_qlora {
    static constexpr auto name = "Llama-3 8B QLoRA, 1 x 4096";
    using device = devices::rtx_4090;
    template <class Policy>
    using trained = trainer<models::llama3_8b, batch<1, 4096>, precision::mixed<bf16>,
                            quantization::double_quantized<quantization::nf4<64>>,
                            adapters::lora<rank<16>, alpha<32>, targets<all_linear>>, Policy, on<cuda>>;
};

template <class Model, index_t Bytes>
using in = typename Model::template trained<within<of_memory<typename Model::device, Bytes>>>;

/// Budgets from the least to that of keeping everything, in steps of one size.
constexpr index_t points = 8;
template <class Model>
constexpr index_t everything = footprint<typename Model::template trained<checkpointing::none>>.total.count;
template <class Model>
constexpr index_t least = chosen<in<Model, everything<Model>>>::least.count;
template <class Model, index_t Point>
constexpr index_t budget_at = least<Model> + (everything<Model> - least<Model>)*Point / (points - 1);

/// 1,234,567.
std::string in_thousands(index_t number) {
    auto text = std::to_string(number);
    for (auto at = static_cast<std::ptrdiff_t>(text.size()) - 3; at > 0; at -= 3)
        text.insert(static_cast<std::size_t>(at), 1, ',');
    return text;
}

template <class Model, index_t Point>
void print() {
    using T = in<Model, budget_at<Model, Point>>;
    using found = chosen<T>;
    std::cout << "| " << (Point == 0 ? Model::name : "") << " | " << to_string(bytes{budget_at<Model, Point>})
              << " | " << in_thousands(footprint<T>.total.count) << " | " << std::fixed
              << std::setprecision(1) << found::recompute_percent << " | " << found::bound << " |\n";
}

template <class Model>
void print_points() {
    [&]<index_t... Point>(std::integer_sequence<index_t, Point...>) { (print<Model, Point>(), ...); }
    (std::make_integer_sequence<index_t, points>{});
}

}  // namespace

int main() try {
    std::cout << "| model | budget | total | computed again, % of a forward pass | no plan less than |\n"
                 "| --- | ---: | ---: | ---: | ---: |\n";
    print_points<gpt2>();
    print_points<llama2>();
    print_points<llama3_qlora>();
    return example::finished("recomputation_budgets");
} catch (std::exception const& problem) {
    std::fprintf(stderr, "recomputation_budgets: %s\n", problem.what());
    return 1;
}
