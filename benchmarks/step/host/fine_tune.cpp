// SPDX-License-Identifier: Apache-2.0
/// A fine-tuning step of SmolLM2-135M, batch 4 x 256, mixed<bf16>: LoRA, rank 16 of all linear layers, over bf16 and over
/// NF4 weights with quantized scales (QLoRA), and DoRA, taking turns; and the memory that each takes. Random weights: they
/// take the same time.
///
///   benchmark.step.host.fine_tune [rounds] [--processor] [--memory]
///
/// Memory is measured first, in child processes that only train; --memory stops there.

#include <memory>
#include <snug/quantization/double_quantized.hpp>
#include <snug/quantization/nf4.hpp>

#include "../../measure.hpp"

namespace {

using quantized = snug::quantization::double_quantized<snug::quantization::nf4<64>>;
using low_rank = snug::adapters::lora<snug::rank<16>, snug::alpha<32>>;
using with_magnitude = snug::adapters::dora<snug::rank<16>, snug::alpha<32>>;

template <class... Policies>
struct fine_tuning : snug::trainer<snug::models::smollm2_135m, snug::batch<4, 256>,
                                   snug::precision::mixed<snug::bf16>, Policies...> {};
using lora = fine_tuning<low_rank>;
using qlora = fine_tuning<low_rank, quantized>;
using dora = fine_tuning<with_magnitude>;

constexpr double mebibyte = 1 << 20;

template <class Training>
void print_memory(char const* name) {
    auto const bill = snug::footprint<Training>;
    auto const mib = [](snug::bytes size) { return static_cast<double>(size.count) / mebibyte; };
    auto const peak = measure::peak_resident<Training>() / mebibyte;
    std::printf("| %-5s | %9.2f | %7.1f | %11.1f | %9.1f | %9.1f | %13.1f | %10.1f | <= 64: %-6s |\n", name,
                static_cast<double>(snug::trainable_parameter_count<Training>) * 1e-6, mib(bill.weights),
                mib(bill.activations), mib(bill.workspace), mib(bill.total), peak, peak - mib(bill.total),
                measure::verdict(peak - mib(bill.total) <= 64));
}

template <class Training>
struct contestant {
    std::unique_ptr<Training> run = std::make_unique<Training>();
    measure::random_tokens<Training> data{1};
    measure::times steps{};
    double loss = 0;

    void warm_up() { loss = run->step(data.batch()).loss; }
    void round() {
        steps.add([&] { run->step(data.batch()); });
    }
};

template <class Contestant>
void print_row(char const* name, Contestant const& c, measure::times const& reference) {
    std::printf("| %-5s | %8.1f | %7.0f | %10.0f | %6.3f | %10.3f | %10.6f |\n", name,
                4 * 256 / c.steps.median(), c.steps.median() * 1e3, c.steps.fastest() * 1e3,
                c.steps.median() / reference.median(), c.steps.fastest() / reference.fastest(), c.loss);
}

}  // namespace

int main(int argc, char** argv) {
    auto const arguments = measure::read_arguments(argc, argv, 5);
    std::printf("SmolLM2-135M, batch 4 x 256, mixed<bf16>, rank 16, all linear layers; MiB\n\n");
    // Before anything runs here: a process that has started threads cannot fork into one that uses them.
    std::printf(
        "|       | trained M | weights | activations | workspace | footprint | peak resident | difference | "
        "bar    "
        "       |\n");
    print_memory<lora>("LoRA");
    print_memory<qlora>("QLoRA");
    print_memory<dora>("DoRA");
    if (arguments.memory_only) return 0;

    std::printf("\n");
    measure::print_machine();
    contestant<lora> a;
    contestant<qlora> b;
    contestant<dora> c;
    a.warm_up(), b.warm_up(), c.warm_up();
    for (int i = 0; i < arguments.count; ++i) a.round(), b.round(), c.round();
    std::printf("medians of %d rounds\n\n", arguments.count);
    std::printf("|       | tokens/s | step ms | fastest ms | / LoRA | of fastest | first loss |\n");
    print_row("LoRA", a, a.steps);
    print_row("QLoRA", b, a.steps);
    print_row("DoRA", c, a.steps);
    std::printf("\n");
    measure::print_work<lora>("LoRA", a.steps);
    measure::print_work<qlora>("QLoRA", b.steps);
    measure::print_work<dora>("DoRA", c.steps);
    double const ratio = b.steps.median() / a.steps.median();
    std::printf("\nQLoRA / LoRA: %.3f, bar <= 1.25: %s\n", ratio, measure::verdict(ratio <= 1.25));
}
