// SPDX-License-Identifier: Apache-2.0
/// A pretraining step of GPT-2 124M, batch 4 x 256, against its bare matrix products by oneDNN, in fp32 and
/// mixed<bf16>, and the memory that it takes.
///
///   benchmark.step.host.step [rounds] [--processor] [--memory]
///
/// A round is one step and one run of the products in each precision. Memory is measured first, in child processes
/// that only train; --memory stops there.

#include <dnnl.hpp>  // here, not only in products.hpp: the build looks for it in this file
#include <memory>

#include "../../measure.hpp"
#include "products.hpp"

namespace {

template <class Precision>
struct training : snug::trainer<snug::models::gpt2_124m, snug::batch<4, 256>, Precision> {};
using fp32_training = training<snug::precision::full<snug::fp32>>;
using bf16_training = training<snug::precision::mixed<snug::bf16>>;

constexpr double tokens = fp32_training::tokens_per_step;
constexpr double mebibyte = 1 << 20;

template <class Training>
void print_memory(char const* name) {
    auto const footprint = static_cast<double>(snug::footprint<Training>.total.count);
    auto const peak = measure::peak_resident<Training>();
    std::printf("| %-11s | %13.1f | %17.1f | %14.1f | <= 64: %-6s |\n", name, footprint / mebibyte,
                peak / mebibyte, (peak - footprint) / mebibyte,
                measure::verdict(peak - footprint <= 64 * mebibyte));
}

/// Bytes per second of a loop like the optimizer's: two streams read, one written.
double memory_bandwidth() {
    constexpr std::int64_t count = std::int64_t{64} << 20;
    snug::arena const memory(snug::bytes{2 * count * 4});
    auto* const a = reinterpret_cast<float*>(memory.data());
    auto* const b = a + count;
    auto const pass = [=] {
#pragma omp parallel for simd schedule(static)
        for (std::int64_t i = 0; i < count; ++i) a[i] = a[i] * 0.5f + b[i];
    };
#pragma omp parallel for simd schedule(static)
    for (std::int64_t i = 0; i < count; ++i) a[i] = 1, b[i] = 2;
    measure::times passes;
    for (int i = 0; i < 5; ++i) passes.add(pass);
    return 12.0 * static_cast<double>(count) / passes.fastest();
}

template <class Training, class Element>
struct contestants {
    std::unique_ptr<Training> run = std::make_unique<Training>();
    measure::products<Element> products{*run};
    measure::random_tokens<Training> data{1};
    measure::times steps{};
    measure::times bare{};
    double loss = 0;

    void warm_up() {
        loss = run->step(data.batch()).loss;
        products.run();
    }
    void round() {
        steps.add([&] { run->step(data.batch()); });
        bare.add([&] { products.run(); });
    }
    double ratio() const { return steps.median() / bare.median(); }
};

template <class Contestants>
void print_row(char const* name, Contestants const& c) {
    std::printf("| %-11s | %8.1f | %7.0f | %11.0f | %5.3f | %12.3f | %7.0f | %8.0f | <= 1.15: %-6s |\n", name,
                tokens / c.steps.median(), c.steps.median() * 1e3, c.bare.median() * 1e3, c.ratio(),
                c.steps.fastest() / c.bare.fastest(), c.products.operations() / c.steps.median() * 1e-9,
                c.products.operations() / c.bare.median() * 1e-9, measure::verdict(c.ratio() <= 1.15));
}

template <class Training, class Contestants>
void print_roofline(char const* name, Contestants const& c, double bandwidth) {
    // With the norm of the gradients: traffic that no product can hide.
    auto const bytes = static_cast<double>(snug::work<Training>.update.bytes);
    auto const products = c.bare.fastest();
    auto const update = bytes / bandwidth;
    std::printf("| %-11s | %9.3f | %9.0f | %11.2f | %9.0f | %8.0f | %13.3f |\n", name,
                c.products.operations() * 1e-12, products * 1e3, bytes * 1e-9, update * 1e3,
                c.products.operations() / bytes, c.steps.fastest() / (products + update));
}

}  // namespace

int main(int argc, char** argv) {
    auto const arguments = measure::read_arguments(argc, argv, 5);
    int const rounds = arguments.count;
    std::printf("GPT-2 124M, batch 4 x 256\n\n");
    // Before anything runs here: a process that has started threads cannot fork into one that uses them.
    std::printf("| precision   | footprint MiB | peak resident MiB | difference MiB | bar           |\n");
    print_memory<fp32_training>("full<fp32>");
    print_memory<bf16_training>("mixed<bf16>");
    if (arguments.memory_only) return 0;

    std::printf("\n");
    measure::print_machine();
    double const bandwidth = memory_bandwidth();
    contestants<fp32_training, float> fp32;
    contestants<bf16_training, snug::bf16> bf16;
    fp32.warm_up();
    bf16.warm_up();
    for (int i = 0; i < rounds; ++i) {
        fp32.round();
        bf16.round();
    }
    std::printf("medians of %d rounds; loss of the first step: fp32 %.6f, bf16 %.6f\n\n", rounds, fp32.loss,
                bf16.loss);
    std::printf(
        "| precision   | tokens/s | step ms | products ms | ratio | of fastest   | GFLOP/s | products | bar  "
        "    "
        "       |\n");
    print_row("full<fp32>", fp32);
    print_row("mixed<bf16>", bf16);
    double const faster = fp32.steps.median() / bf16.steps.median();
    std::printf(
        "\nmixed<bf16> / full<fp32> in tokens/s: %.2f (of the fastest steps %.2f; of the bare products "
        "%.2f), "
        "bar >= 1.6: %s\n",
        faster, fp32.steps.fastest() / bf16.steps.fastest(), fp32.bare.fastest() / bf16.bare.fastest(),
        measure::verdict(faster >= 1.6));
    std::printf(
        "\nRoofline: the bare products, and the optimizer's traffic at the %.1f GB/s of a plain loop\n\n",
        bandwidth * 1e-9);
    std::printf(
        "| precision   | TFLOP     | takes ms  | optimizer GB | takes ms | FLOP/byte | step / floor |\n");
    print_roofline<fp32_training>("full<fp32>", fp32, bandwidth);
    print_roofline<bf16_training>("mixed<bf16>", bf16, bandwidth);
    std::printf("\n");
    measure::print_work<fp32_training>("full<fp32>", fp32.steps);
    measure::print_work<bf16_training>("mixed<bf16>", bf16.steps);
}
