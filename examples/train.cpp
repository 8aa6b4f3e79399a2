// SPDX-License-Identifier: Apache-2.0
// Trains a small GPT on the bytes of a text, on all cores of this computer. `./snug train` builds and runs it.
#include <snug/snug.hpp>

#include <algorithm>
#include <cmath>
#include <csignal>
#include <cstdio>
#include <filesystem>
#include <iostream>
#include <map>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "support/metrics.hpp"
#include "support/options.hpp"
#include "support/pictures.hpp"
#include "support/progress.hpp"

namespace {

using namespace snug;

/// The whole trainer, as a type: a token is a byte, so the vocabulary has 256 of them. What it takes is known here.
struct byte_gpt : trainer<models::llama<layers<4>, heads<4>, width<128>, mlp<352>, vocabulary<256>,
                                        context<256>, tied_head<1>>,
                          batch<4, 256>, precision::mixed<bf16>, optimizers::adamw<>> {
    using trainer_type::trainer_type;
};
static_assert(fits<byte_gpt, budget<128_MiB>>);

constexpr std::int64_t context_length = byte_gpt::composition::batch::tokens;
constexpr std::int64_t sequences_per_step = byte_gpt::tokens_per_step / context_length;
constexpr std::int64_t warm_up_steps = 100;

// Ctrl-C (or kill) lets the step that runs come to its end; the loop below then saves and stops.
std::sig_atomic_t volatile stop_signal = 0;
void ask_to_stop(int number) {
    stop_signal = number;
    std::signal(number, SIG_DFL);  // the second one ends at once
}

/// What training, validating and the order of the data depend on besides the weights: kept in the snapshot's notes.
struct settings {
    std::string data;  ///< size and checksum of the file: the same text under another name is the same
    std::uint64_t seed = 0;
    double learning_rate = 0;
    std::int64_t total_steps = 0;  ///< 0: not known yet

    std::vector<std::pair<std::string, std::string>> notes() const {
        return {{"data", data},
                {"seed", std::to_string(seed)},
                {"learning rate", exact(learning_rate)},
                {"total steps", std::to_string(total_steps)}};
    }

    static std::string exact(double value) {
        char text[40];
        std::snprintf(text, sizeof text, "%.17g", value);
        return text;
    }
};

std::string describe_data(std::string const& path) {
    io::mapping const file(path);
    char text[80];
    std::snprintf(text, sizeof text, "%zu bytes with checksum %016llx", file.bytes().size(),
                  static_cast<unsigned long long>(io::checksum::of(file.bytes())));
    return text;
}

/// Restores a run and its settings. What the command line says besides must agree with them.
settings resume(byte_gpt& run, std::string const& path, example::train_options const& given,
                std::string const& data) {
    std::map<std::string, std::string> notes;
    for (auto const& [key, value] : run.resume(path)) notes[key] = value;
    auto const require = [&](std::string const& key, std::string const& asked) {
        if (notes[key] != asked)
            throw error({path}, "a run with the " + key + " " + io::printable(notes[key]),
                        "the " + key + " " + asked + " of the command line (leave it out, or begin anew)");
    };
    require("data", data);
    if (given.seed) require("seed", std::to_string(*given.seed));
    if (given.learning_rate) require("learning rate", settings::exact(*given.learning_rate));
    return {data, std::strtoull(notes["seed"].c_str(), nullptr, 10),
            std::strtod(notes["learning rate"].c_str(), nullptr),
            std::strtoll(notes["total steps"].c_str(), nullptr, 10)};
}

/// A twentieth of the steps at most for warming up, then a cosine; at its peak as long as the end is not known.
schedule learning_rates(settings const& set) {
    auto const warm_up = set.total_steps == 0 ? warm_up_steps : std::min(warm_up_steps, set.total_steps / 10);
    return schedule::warm_up_cosine(set.learning_rate, warm_up, set.total_steps, 0.02);
}

/// About a dozen times in a run, and at its end.
bool validation_is_due(settings const& set, std::int64_t step) {
    auto const between = std::clamp<std::int64_t>(set.total_steps / 12, 10, 500);
    return set.total_steps > 0 && (step == set.total_steps || step % between == 0);
}

struct data_sets {
    io::token_file training, validation;
};

/// The last twentieth of the data, but at least one batch, is kept for validation. Of a long one only the beginning
/// is used, so that validating takes no longer than about ten steps.
data_sets split_data(io::token_file const& all) {
    constexpr auto batch = byte_gpt::tokens_per_step + 1;
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
    std::string text;
    for (auto const token : sequence) {
        auto const c = static_cast<char>(token);
        // Nothing that a terminal would obey.
        text += (token < 0x20 && c != '\n' && c != '\t') || token == 0x7f ? '?' : c;
    }
    return text;
}

/// Trains until the steps are done or a signal asks to stop. The snapshot is renewed every half minute.
void learn(byte_gpt& run, settings& set, data_sets const& data, std::string const& out, double seconds) {
    io::token_batches<byte_gpt> batches(data.training, set.seed);
    batches.resume_at(run.steps() * sequences_per_step);
    auto validation = io::token_batches<byte_gpt>::in_order(data.validation);
    example::metrics_file metrics(out + "/metrics.csv", run.steps());
    example::progress_line line;
    example::progress now;
    auto const start = example::clock::now();
    auto const first_step = run.steps();
    auto saved = start;

    while (stop_signal == 0 && (set.total_steps == 0 || run.steps() < set.total_steps)) {
        run.options.learning_rate = learning_rates(set);
        auto const begin = example::clock::now();
        auto const result = run.step(batches.next());
        auto const took = example::seconds_since(begin);

        std::optional<double> validation_loss;
        if (validation_is_due(set, run.steps())) {
            validation.resume_at(0);
            validation_loss = run.evaluate(validation).loss;
        }

        auto const elapsed = example::seconds_since(start);
        auto const per_step = elapsed / static_cast<double>(run.steps() - first_step);
        // How many steps the time allows is known when the first ones have been made; validating takes its share.
        if (set.total_steps == 0 && (run.steps() - first_step == warm_up_steps || elapsed > 0.1 * seconds))
            set.total_steps =
                run.steps() + static_cast<std::int64_t>(0.96 * std::max(seconds - elapsed, 0.0) / per_step);

        now.update(run.steps(), set.total_steps, result.loss, static_cast<double>(result.tokens) / took);
        if (validation_loss) now.validation = *validation_loss;
        now.seconds_left = per_step * static_cast<double>(set.total_steps - run.steps());
        metrics.write(run.steps(), result, validation_loss, now.tokens_per_second,
                      metrics.seconds_before() + elapsed);
        line.show(now, validation_loss.has_value() || run.steps() == first_step + 1);

        if (example::seconds_since(saved) > 30) {
            run.save(out + "/snapshot", set.notes());
            saved = example::clock::now();
        }
    }
}

int train(example::train_options const& given) {
    // Everything that can be refused is refused before anything is written.
    auto const all = io::token_file::open(given.data, byte_gpt::composition::model::vocabulary);
    auto const data = split_data(all);
    auto const snapshot = given.out + "/snapshot";
    if (!given.resume && !given.overwrite && std::filesystem::exists(snapshot))
        throw error({snapshot}, "the snapshot of an earlier run", "--resume, --overwrite or another --out");

    settings set{describe_data(given.data), given.seed.value_or(0),
                 given.learning_rate.value_or(example::usual_learning_rate)};
    byte_gpt run(set.seed);
    if (given.resume) set = resume(run, snapshot, given, set.data);
    if (given.steps && *given.steps < run.steps())
        throw error({snapshot}, std::to_string(run.steps()) + " steps done", "--steps of at least as many");
    if (given.steps) set.total_steps = *given.steps;
    if (given.minutes) set.total_steps = 0;

    std::error_code failure;
    std::filesystem::create_directories(given.out, failure);
    if (failure) throw error({given.out}, failure.message(), "a folder, or a place to make one");
    // At once, so that a folder that can't be written to is not found out after the work is done.
    run.save(snapshot, set.notes());
    example::draw_curve(given.out);
    example::draw_memory<byte_gpt>(given.out);

    std::cout << "A GPT of " << trainable_parameter_count<byte_gpt> << " parameters learns from "
              << all.size() << " tokens of " << given.data << "; a step sees " << byte_gpt::tokens_per_step
              << " of them. Its memory:\n\n"
              << report<byte_gpt>() << std::endl;
    if (run.steps() > 0) std::cout << "Going on after step " << run.steps() << ".\n";

    std::signal(SIGINT, ask_to_stop);
    std::signal(SIGTERM, ask_to_stop);
    learn(run, set, data, given.out, 60 * given.minutes.value_or(example::usual_minutes));
    run.save(snapshot, set.notes());
    if (stop_signal != 0) {
        std::cout << "Stopped after step " << run.steps() << "; " << snapshot
                  << " holds it, and --resume goes on from there.\n";
        return 128 + stop_signal;
    }
    std::signal(SIGINT, SIG_DFL);
    std::signal(SIGTERM, SIG_DFL);

    std::cout << run.steps() << " steps are done; " << snapshot << " holds the result. What it writes:\n";
    for (auto const& prompt : given.prompts)
        std::cout << "----\n" << write_text(run, prompt, given.temperature, set.seed) << '\n';
    std::cout << "----" << std::endl;
    return 0;
}

}  // namespace

int main(int argc, char** argv) {
    auto const given = example::parse_command_line(argc, argv);
    try {
        return train(given);
    } catch (std::exception const& problem) {
        std::cerr << "train: " << problem.what() << '\n';
        return 1;
    }
}
