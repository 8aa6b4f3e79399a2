// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <algorithm>
#include <charconv>
#include <cmath>
#include <csignal>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <map>
#include <optional>
#include <snug/snug.hpp>
#include <snug/training.hpp>
#include <string>
#include <system_error>
#include <utility>
#include <vector>

#include "options.hpp"
#include "progress.hpp"
#include "world.hpp"

/// What the training programs share: stopping, snapshots with the settings of a run, the loop.
namespace example {

/// Ctrl-C (or kill, a terminal that closes, an output that nobody reads any more) lets the step that runs come to its end; `learn` then returns.
inline std::sig_atomic_t volatile stop_signal = 0;

inline void ask_to_stop(int number) {
    stop_signal = number;
    // The second one ends at once; but every later line of output would send a SIGPIPE.
    std::signal(number, number == SIGPIPE ? SIG_IGN : SIG_DFL);
}

inline void on_stop_signals(void (*action)(int)) {
    for (int const number : world::stop_signals) std::signal(number, action);
    if (std::signal(SIGHUP, action) == SIG_IGN) std::signal(SIGHUP, SIG_IGN);  // as nohup wants it
}

/// Whether any rank was asked to stop, at the same place in all of them; `stop_signal` is then the same, too.
inline bool is_asked_to_stop(world& all) {
    for (int const number : all.gathered(int{stop_signal}))
        if (number != 0) {
            stop_signal = number;
            return true;
        }
    return false;
}

/// Size and checksum of files: the same content under another name is the same.
inline std::string describe(std::vector<std::string> const& paths) {
    std::size_t size = 0;
    std::uint64_t sum = 0;
    for (auto const& path : paths) {
        snug::io::mapping const file(path);
        size += file.bytes().size();
        sum = snug::random::mix(sum) ^ snug::io::checksum::of(file.bytes());
    }
    char text[80];
    std::snprintf(text, sizeof text, "%zu bytes with checksum %016llx", size,
                  static_cast<unsigned long long>(sum));
    return text;
}

/// What training, validating and the order of the data depend on besides the weights: kept in the snapshot's notes.
struct settings {
    std::vector<std::pair<std::string, std::string>>
        files;  ///< what each is for ("data"), and its description
    std::uint64_t seed = 0;
    double learning_rate = 0;
    std::int64_t total_steps = 0;  ///< 0: not known yet

    std::vector<std::pair<std::string, std::string>> notes() const {
        auto all = files;
        all.emplace_back("seed", std::to_string(seed));
        all.emplace_back("learning rate", exact(learning_rate));
        all.emplace_back("total steps", std::to_string(total_steps));
        return all;
    }

    static std::string exact(double value) {
        char text[40];
        std::snprintf(text, sizeof text, "%.17g", value);
        return text;
    }
};

/// Restores a run and its settings. What the command line says besides must agree with them.
template <class Run>
void resume(Run& run, std::string const& path, run_options const& given, settings& set) {
    std::map<std::string, std::string> notes;
    for (auto const& [key, value] : run.resume(path)) notes[key] = value;
    auto const require = [&](std::string const& key, std::string const& asked) {
        if (notes[key] != asked)
            throw snug::error(
                {path}, "a run with the " + key + " " + snug::io::printable(notes[key]),
                "the " + key + " " + asked + " of the command line (leave it out, or begin anew)");
    };
    for (auto const& [key, description] : set.files) require(key, description);
    if (given.seed) require("seed", std::to_string(*given.seed));
    if (given.learning_rate) require("learning rate", settings::exact(*given.learning_rate));
    auto const read = [&](std::string const& key, auto& number, auto least, auto most) {
        auto const& text = notes[key];
        auto const [end, failure] = std::from_chars(text.data(), text.data() + text.size(), number);
        if (failure != std::errc() || end != text.data() + text.size() ||
            !(number >= least && number <= most))
            throw snug::error({path}, "the " + key + " " + snug::io::printable(text),
                              "a number that a run can have");
    };
    read("seed", set.seed, std::uint64_t{0}, ~std::uint64_t{0});
    read("learning rate", set.learning_rate, 0.0, 1.0);
    read("total steps", set.total_steps, std::int64_t{0}, std::int64_t{1} << 40);
}

/// Throws when there is a snapshot that the command line does not speak of.
inline void require_no_snapshot(std::string const& path, run_options const& given) {
    if (!given.resume && !given.overwrite && snug::io::is_there(path))
        throw snug::error({path}, "the snapshot of an earlier run", "--resume, --overwrite or another --out");
}

/// The steps to do in all, where the command line says so; after `resume`.
template <class Run>
void set_total_steps(Run const& run, std::string const& path, run_options const& given, settings& set) {
    if (given.steps && *given.steps < run.steps())
        throw snug::error({path}, std::to_string(run.steps()) + " steps done", "--steps of at least as many");
    if (given.steps) set.total_steps = *given.steps;
    if (given.minutes) set.total_steps = 0;
}

/// The time since `start` on rank 0, by which all go, and the memory of all ranks.
struct moment {
    double seconds, mebibytes;
};

inline moment moment_of(world& all, clock::time_point start) {
    auto const ranks = all.gathered(moment{seconds_since(start), resident_mebibytes()});
    moment result{ranks[0].seconds, 0};
    for (auto const& one : ranks) result.mebibytes += one.mebibytes;
    return result;
}

/// How often things happen in a run.
struct pace {
    std::int64_t warm_up;      ///< steps, a tenth of all at most
    std::int64_t validations;  ///< about so many in a run, besides those of the first and the last step
};

/// Steps of warming up, then a cosine; at its peak as long as the end is not known.
inline snug::schedule learning_rates(settings const& set, pace const& often) {
    auto const warm_up = set.total_steps == 0 ? often.warm_up : std::min(often.warm_up, set.total_steps / 10);
    return snug::schedule::warm_up_cosine(set.learning_rate, warm_up, set.total_steps, 0.02);
}

inline bool validation_is_due(settings const& set, pace const& often, std::int64_t step) {
    auto const between = std::clamp<std::int64_t>(set.total_steps / often.validations, 10, 500);
    return step == 1 || (set.total_steps > 0 && (step == set.total_steps || step % between == 0));
}

/// Trains until the steps are done or a signal asks to stop. The snapshot is renewed every half minute.
template <class Run, class Batches>
void learn(world& all, Run& run, settings& set, Batches& batches, Batches& validation, pace const& often,
           std::string const& out, double seconds) {
    std::optional<snug::training::metrics_file> metrics;
    double seconds_before = 0;
    all.on_root([&] {
        metrics.emplace(out + "/metrics.csv",
                        std::vector<std::string>{"loss", "validation_loss", "gradient_norm", "learning_rate",
                                                 "tokens", "tokens_per_second", "seconds"},
                        run.steps());
        seconds_before = metrics->last("seconds").value_or(0);
    });
    progress_line line(all.size() == 1);
    progress now;
    auto const start = clock::now();
    auto const first_step = run.steps();
    double saved = 0;

    while (!is_asked_to_stop(all) && (set.total_steps == 0 || run.steps() < set.total_steps)) {
        run.options.learning_rate = learning_rates(set, often);
        auto const begin = clock::now();
        auto const result = run.step(batches.next());
        auto const took = seconds_since(begin);

        std::optional<double> validation_loss;
        if (validation_is_due(set, often, run.steps())) {
            validation.resume_at(0);
            validation_loss = run.evaluate(validation).loss;
        }

        auto const here = moment_of(all, start);
        auto const elapsed = here.seconds;
        auto const done = run.steps() - first_step;
        auto const per_step = elapsed / static_cast<double>(done);
        // How many steps the time allows is known when the first ones have been made; validating takes its share.
        if (set.total_steps == 0 && (done == often.warm_up || elapsed > 0.1 * seconds))
            set.total_steps =
                run.steps() + static_cast<std::int64_t>(0.96 * std::max(seconds - elapsed, 0.0) / per_step);

        now.update(run.steps(), set.total_steps, result.loss, static_cast<double>(result.tokens) / took);
        if (validation_loss) now.validation = *validation_loss;
        now.mebibytes = here.mebibytes;
        now.seconds_left = per_step * static_cast<double>(set.total_steps - run.steps());
        all.on_root([&] {
            metrics->write(run.steps(),
                           {result.loss, validation_loss, result.gradient_norm, result.learning_rate,
                            static_cast<double>(result.tokens), std::round(now.tokens_per_second),
                            std::round(1000 * (seconds_before + elapsed)) / 1000});
            line.show(now, validation_loss.has_value() || done == 1);
        });

        if (elapsed - saved > 30) {
            run.save(out + "/snapshot", set.notes());
            saved = elapsed;
        }
    }
}

}  // namespace example
