// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cmath>
#include <cstdlib>
#include <iostream>

#include "../measure.hpp"
#include "timing.cuh"

/// A trainer on the GPU, measured: speed, memory against the plan, the first and the last loss.
namespace measure {

struct training_figures {
    std::vector<double> seconds{};
    double first_loss = 0, last_loss = 0;
    double construction_seconds = 0;
    device_memory before{}, constructed{}, stepped{};
};

/// Steps before the timed ones: an ordinary one, one that captures the graph, and two that replay it.
inline constexpr int warm_up_steps = 4;

template <class Training>
training_figures train(int steps) {
    training_figures result;
    // What the process keeps of a first context is not the trainer's: it is in neither difference.
    (void)on();
    result.before = memory_now();
    auto start = seconds_now();
    auto const run = std::make_unique<Training>();
    check(cudaDeviceSynchronize(), "cudaDeviceSynchronize");
    result.construction_seconds = seconds_now() - start;
    result.constructed = memory_now();
    if (run->allocated() != snug::footprint<Training>.total + snug::footprint<Training>.paged) {
        std::fprintf(stderr, "the trainer has allocated something else than its plan\n");
        std::exit(1);
    }
    random_tokens<Training> const data(1);
    for (int i = 0; i < warm_up_steps + steps; ++i) {
        start = seconds_now();
        auto const loss = run->step(data.batch()).loss;  // has waited for the device
        if (i >= warm_up_steps) result.seconds.push_back(seconds_now() - start);
        if (i == 0) result.first_loss = loss;
        result.last_loss = loss;
        if (!std::isfinite(loss)) {
            std::fprintf(stderr, "the loss of step %d is not finite\n", i + 1);
            std::exit(1);
        }
    }
    result.stepped = memory_now();
    return result;
}

/// Floating-point operations of a step's attention, forward and backward, not halved for being causal.
template <class Training>
inline constexpr auto whole_attention = static_cast<double>(2 * snug::work<Training>.model().attention);

/// Prints bill, memory and speed; `flop` of a step by the benchmark's convention. The last line is JSON, as that of the peers.
template <class Training>
void print_training(char const* name, int steps, double flop) {
    using c = typename Training::composition;
    constexpr auto work = snug::work<Training>;
    constexpr auto causal_flop = static_cast<double>(work.model().total());
    std::printf("\n## %s\n\n", name);
    std::printf(
        "FLOP of a step: %.4e by the convention of MFU; by snug::work %.4e of products, %.4e of attention's "
        "causal half, %.4e computed again; %.1f GB moved, %.1f of them by the update\n\n",
        flop, static_cast<double>(work.model().products), static_cast<double>(work.model().attention),
        static_cast<double>(work.recomputed.total()), static_cast<double>(work.step().bytes) * 1e-9,
        static_cast<double>(work.update.bytes) * 1e-9);
    std::cout << snug::report<Training>() << std::flush;
    auto const figures = train<Training>(steps);
    constexpr double tokens = Training::tokens_per_step;
    constexpr double mebibyte = 1 << 20;
    auto const median = median_of(figures.seconds), fastest = smallest_of(figures.seconds);
    auto const tflops = [&](double seconds) { return flop / seconds * 1e-12; };
    auto const percent = [&](double of, double seconds) { return 100 * of / seconds * 1e-12 / peak_tflops; };
    auto const total = static_cast<double>(snug::footprint<Training>.total.count);
    auto const taken = [](device_memory from, device_memory to) {
        return static_cast<double>(from.free) - static_cast<double>(to.free);
    };
    auto const context = static_cast<double>(figures.before.total - figures.before.free);

    std::printf("\nconstructed in %.1f s; loss of the first step %.6f, of the last %.6f\n",
                figures.construction_seconds, figures.first_loss, figures.last_loss);
    std::printf("\n| memory, MiB                                    |          |\n");
    std::printf("| context and library, before the trainer        | %8.1f |\n", context / mebibyte);
    std::printf("| footprint                                      | %8.1f |\n", total / mebibyte);
    std::printf("| taken by construction, less the footprint      | %8.1f |\n",
                (taken(figures.before, figures.constructed) - total) / mebibyte);
    std::printf("| taken by %3d steps after that                   | %8.1f |\n", warm_up_steps + steps,
                taken(figures.constructed, figures.stepped) / mebibyte);
    std::printf("| the driver's constant: all but the footprint   | %8.1f |\n",
                (context + taken(figures.before, figures.stepped) - total) / mebibyte);
    std::printf("\n| step                     |  ms       | tokens/s  | TFLOP/s | MFU %%  | causal %% |\n");
    std::printf("| median of %3d            | %9.2f | %9.0f | %7.1f | %6.2f | %8.2f |\n", steps, median * 1e3,
                tokens / median, tflops(median), percent(flop, median), percent(causal_flop, median));
    std::printf("| fastest                  | %9.2f | %9.0f | %7.1f | %6.2f | %8.2f |\n", fastest * 1e3,
                tokens / fastest, tflops(fastest), percent(flop, fastest), percent(causal_flop, fastest));
    std::printf(
        "\n{\"program\": \"snug\", \"model\": \"%s\", \"batch\": [%lld, %lld], \"micro_batches\": %lld, "
        "\"tokens_per_second\": %.1f, \"tokens_per_second_of_fastest_step\": %.1f, \"step_ms\": %.3f, "
        "\"mfu\": %.4f, \"mfu_causal\": %.4f, \"footprint_mib\": %.1f, \"device_used_mib\": %.1f, \"loss\": "
        "[%.4f, %.4f]}\n",
        name, static_cast<long long>(c::batch::sequences), static_cast<long long>(c::batch::tokens),
        static_cast<long long>(c::micro_batches), tokens / median, tokens / fastest, median * 1e3,
        tflops(median) / peak_tflops, percent(causal_flop, median) / 100, total / mebibyte,
        (context + taken(figures.before, figures.stepped)) / mebibyte, figures.first_loss, figures.last_loss);
    std::fflush(stdout);
}

/// Of a step, by the convention of PaLM's appendix B (arXiv 2204.02311) and of llm.c: (6 N + 12 · layers · width · T) for each token,
/// where N is all parameters, those of no product too (positions, norms, biases), and attention is not halved for being causal.
template <class Training>
inline constexpr double pretraining_flop =
    6.0 * static_cast<double>(snug::parameter_count<typename Training::composition::model>) *
        static_cast<double>(Training::tokens_per_step) +
    whole_attention<Training>;

}  // namespace measure
