// SPDX-License-Identifier: Apache-2.0
/// What checkpointing costs: steps of GPT-2 124M, batch 2 x 256, under four policies, one after the other in every
/// round, as ratios to the step that keeps everything. docs/checkpointing.md shows the result.
///
///   benchmark.checkpointing.host.cost [rounds] [--processor]

#include "../../measure.hpp"

namespace {

template <class Precision, class Checkpointing>
struct training : snug::trainer<snug::models::gpt2_124m, snug::batch<2, 256>, Precision, Checkpointing> {};

template <class Precision>
void compare(char const* precision, int rounds) {
    using plain = training<Precision, snug::checkpointing::none>;
    plain none;
    training<Precision, snug::checkpointing::selective> selective;
    training<Precision, snug::checkpointing::every_block> every_block;
    training<Precision, snug::checkpointing::every<3>> every_3;
    auto const data = measure::random_tokens<plain>(1);
    measure::times times[4];
    for (int round = -1; round < rounds; ++round) {  // the first touches the memory
        if (round == 0)
            for (auto& one : times) one.seconds.clear();
        times[0].add([&] { none.step(data.batch()); });
        times[1].add([&] { selective.step(data.batch()); });
        times[2].add([&] { every_block.step(data.batch()); });
        times[3].add([&] { every_3.step(data.batch()); });
    }
    char const* const names[] = {"none", "selective", "every_block", "every<3>"};
    for (std::size_t i = 0; i < 4; ++i)
        std::printf("| %s | %-11s | %.3f | %.2f | %.2f |\n", precision, names[i], times[i].median(),
                    times[i].median() / times[0].median(), times[i].fastest() / times[0].fastest());
}

}  // namespace

int main(int argc, char** argv) {
    auto const rounds = measure::count_argument(argc, argv, 9);
    measure::print_machine();
    std::puts(
        "| precision | checkpointing | s per step (median) | ratio of medians | ratio of the fastest |");
    std::puts("| --- | --- | ---: | ---: | ---: |");
    compare<snug::precision::full<snug::fp32>>("fp32", rounds);
    std::fflush(stdout);
    compare<snug::precision::mixed<snug::bf16>>("bf16", rounds);
}
