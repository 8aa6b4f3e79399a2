// SPDX-License-Identifier: Apache-2.0
// Trains a small GPT on the bytes of a text, on all cores of this computer. `./snug train` builds and runs it; with
// `--composition NAME` another of those below, with `--ranks N` for N processes that share the sequences of a step.
#include <snug/snug.hpp>

#include <algorithm>
#include <filesystem>
#include <iostream>
#include <string>
#include <vector>

#include "support/options.hpp"
#include "support/output.hpp"
#include "support/pictures.hpp"
#include "support/text.hpp"
#include "support/training.hpp"
#include "support/world.hpp"

namespace {

using namespace snug;

/// Of two sizes. A token is a byte, so the vocabulary has 256 of them.
template <index_t Layers, index_t Heads, index_t Width, index_t Inner>
using bytes_model = models::llama<layers<Layers>, heads<Heads>, width<Width>, mlp<Inner>, vocabulary<256>,
                                  context<256>, tied_head<1>>;
using small_model = bytes_model<4, 4, 128, 352>;
using wide_model = bytes_model<8, 6, 384, 1024>;

/// What the compositions have in common.
template <class... Policies>
using composed = example::trainer<batch<4, 256>, precision::mixed<bf16>, Policies...>;

/// Sizes and optimizers are types: what there is to choose from, each with what it takes at most and its usual rate.
namespace compositions {

struct small : composed<small_model, optimizers::adamw<>> {
    using trainer::trainer;
    using most = budget<128_MiB>;
    static constexpr double learning_rate = 3e-3;
};

/// Lion keeps one state for AdamW's two, and wants a smaller rate.
struct lion : composed<small_model, optimizers::lion<>> {
    using trainer::trainer;
    using most = budget<128_MiB>;
    static constexpr double learning_rate = 5e-4;
};

struct wide : composed<wide_model, optimizers::adamw<>> {
    using trainer::trainer;
    using most = budget<448_MiB>;
    static constexpr double learning_rate = 1e-3;
};

/// The same in less memory: blocks compute again what is cheap, states have 8 bits.
struct lean : composed<wide_model, checkpointing::selective, optimizers::adamw<optimizers::states<int8>>> {
    using trainer::trainer;
    using most = budget<288_MiB>;
    static constexpr double learning_rate = 1e-3;
};

}  // namespace compositions

#ifndef SNUG_EXAMPLE_COMPOSITION
#define SNUG_EXAMPLE_COMPOSITION small
#endif
using byte_gpt = compositions::SNUG_EXAMPLE_COMPOSITION;
static_assert(fits<byte_gpt, byte_gpt::most>);

constexpr std::int64_t context_length = byte_gpt::composition::batch::tokens;
constexpr std::int64_t sequences_per_step = io::rows_of_rank<byte_gpt>::in_step;
constexpr std::int64_t tokens_per_step = sequences_per_step * context_length;
constexpr example::pace often{.warm_up = 100, .validations = 12};

struct data_sets {
    io::token_file training, validation;
};

/// The last twentieth of the data, but at least one batch, is kept for validation. Of a long one only the beginning
/// is used, so that validating takes no longer than about ten steps.
data_sets split_data(io::token_file const& all) {
    constexpr auto batch = tokens_per_step + 1;
    if (all.size() < 2 * batch)
        throw error(
            {all.path()}, std::to_string(all.size()) + " tokens",
            "at least " + std::to_string(2 * batch) + ", a batch to train on and one to validate with");
    auto const held_back = std::max(all.size() / 20, batch);
    return {all.part(0, all.size() - held_back),
            all.part(all.size() - held_back, std::min(held_back, 32 * batch))};
}

/// Text that the model writes after `prompt`. A sequence can't be longer than the context, so when it is full the
/// later half of it is what the next piece goes on from.
std::string write_text(byte_gpt& run, std::string const& prompt, double temperature, std::uint64_t seed) {
    generation_options options;
    options.tokens = context_length / 2;
    options.temperature = temperature;
    std::vector<std::int32_t> sequence;
    for (char c : prompt) sequence.push_back(static_cast<unsigned char>(c));
    for (int piece = 0; piece < 4; ++piece) {
        options.seed = seed + static_cast<std::uint64_t>(piece);
        auto const known = std::min(sequence.size(), static_cast<std::size_t>(context_length / 2));
        auto const more = run.generate(std::span(sequence).last(known), options);
        sequence.insert(sequence.end(), more.begin(), more.end());
    }
    return example::for_terminal(std::string(sequence.begin(), sequence.end()));
}

int train(example::world& world, example::train_options const& given) {
    // Everything that can be refused is refused before anything is written.
    auto const snapshot = given.out + "/snapshot";
    auto const all =
        world.together([&] { return io::token_file::open(given.data, byte_gpt::model::vocabulary); });
    auto const data = split_data(all);
    example::settings set = world.together([&] {
        example::require_no_snapshot(snapshot, given);
        return example::settings{{{"data", example::describe({given.data})}},
                                 given.seed.value_or(0),
                                 given.learning_rate.value_or(byte_gpt::learning_rate)};
    });
    byte_gpt run(world, set.seed);
    if (given.resume) example::resume(run, snapshot, given, set);
    example::set_total_steps(run, snapshot, given, set);

    world.on_root([&] {
        std::error_code failure;
        std::filesystem::create_directories(given.out, failure);
        if (failure) throw error({given.out}, failure.message(), "a folder, or a place to make one");
    });
    // At once, so that a folder that can't be written to is not found out after the work is done.
    run.save(snapshot, set.notes());
    world.on_root([&] {
        example::draw_curve(given.out, "Loss of a byte-level GPT", "byte");
        example::draw_memory<byte_gpt>(given.out);
    });

    std::cout << "A GPT of " << trainable_parameter_count<byte_gpt> << " parameters learns from "
              << all.size() << " tokens of " << harmless(given.data) << "; a step sees " << tokens_per_step
              << " of them. Its memory:\n\n"
              << report<byte_gpt>() << std::endl;
    if (run.steps() > 0) std::cout << "Going on after step " << run.steps() << ".\n";

    io::token_batches<byte_gpt> batches(data.training, world, set.seed);
    batches.resume_at(run.steps() * sequences_per_step);
    auto validation = io::token_batches<byte_gpt>::in_order(data.validation, world);
    example::on_stop_signals(example::ask_to_stop);
    example::learn(world, run, set, batches, validation, often, given.out,
                   60 * given.minutes.value_or(example::usual_training_minutes));
    run.save(snapshot, set.notes());
    if (example::is_asked_to_stop(world)) {
        std::cout << "Stopped after step " << run.steps() << "; " << harmless(snapshot)
                  << " holds it, and --resume goes on from there.\n";
        return 128 + example::stop_signal;
    }
    example::on_stop_signals(SIG_DFL);

    std::cout << run.steps() << " steps are done; " << harmless(snapshot)
              << " holds the result. What it writes:\n";
    for (auto const& prompt : given.prompts)
        std::cout << "----\n" << write_text(run, prompt, given.temperature, set.seed) << '\n';
    std::cout << "----" << std::endl;
    return 0;
}

}  // namespace

int main(int argc, char** argv) {
    return example::program("train", [&](example::world& world) {
        return train(world, example::parse_train_options(argc, argv, byte_gpt::learning_rate));
    });
}
