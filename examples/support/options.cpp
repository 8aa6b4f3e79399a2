// SPDX-License-Identifier: Apache-2.0
// Apart from the programs, so that it compiles beside them.
#include "options.hpp"

#include <CLI/CLI.hpp>
#include <charconv>
#include <cstdlib>
#include <iostream>
#include <snug/error.hpp>
#include <sstream>
#include <system_error>

#include "output.hpp"

namespace example {

namespace {

/// A number in (0, most], in words. Written so that "nan" is refused too.
CLI::Validator positive(double most, std::string const& what) {
    return CLI::Validator(
        [=](std::string& text) {
            char* end = nullptr;
            auto const value = std::strtod(text.c_str(), &end);
            bool const good = !text.empty() && *end == '\0' && value > 0 && value <= most;
            return good ? std::string() : "'" + text + "' is not " + what;
        },
        "");
}

/// A default that is not stored, because it matters whether the option was given.
std::string with_default(std::string const& text, double value) {
    std::ostringstream all;
    all << text << " (default: " << value << ')';
    return all.str();
}

/// CLI11 would take -1 and 2^64 for 2^64 - 1.
CLI::Validator whole_number(std::string const& what) {
    return CLI::Validator(
        [=](std::string& text) {
            std::uint64_t value = 0;
            auto const [end, failure] = std::from_chars(text.data(), text.data() + text.size(), value);
            bool const good = failure == std::errc() && end == text.data() + text.size();
            return good ? std::string() : "'" + text + "' is not " + what;
        },
        "");
}

void add_run_options(CLI::App& app, run_options& given, usual const& defaults) {
    app.add_option("--out", given.out, "folder for snapshot, metrics and pictures")
        ->check(
            [](std::string const& path) { return std::string(path.empty() ? "a folder needs a name" : ""); })
        ->capture_default_str();
    auto* const resume =
        app.add_flag("--resume", given.resume, "go on from the snapshot in the folder, bit by bit");
    app.add_flag("--overwrite", given.overwrite, "begin anew although the folder holds a snapshot")
        ->excludes(resume);
    auto* const steps =
        app.add_option("--steps", given.steps, "train so many steps, those before --resume counted")
            ->check(positive(1e12, "a number of steps from 1 to 10^12"));
    app.add_option("--minutes", given.minutes,
                   with_default("train about so long, from now on", defaults.minutes))
        ->check(positive(1e6, "a number of minutes above 0, at most 10^6"))
        ->excludes(steps);
    app.add_option("--seed", given.seed, "of the first weights and the order of the data (default: 0)")
        ->check(whole_number("a seed, a whole number from 0 to 2^64 - 1"));
    app.add_option("--learning-rate", given.learning_rate,
                   with_default("at its peak", defaults.learning_rate))
        ->check(positive(1, "a learning rate above 0, at most 1"));
}

/// Texts that are not empty.
CLI::Validator some_text(std::string const& otherwise) {
    return CLI::Validator([=](std::string const& text) { return std::string(text.empty() ? otherwise : ""); },
                          "");
}

void parse(CLI::App& app, int argc, char** argv) {
    try {
        app.parse(argc, argv);
    } catch (CLI::Success const& help) {
        throw end_of_program{finished(app.get_name().c_str(), app.exit(help))};
    } catch (CLI::ParseError const& mistake) {
        std::cerr << app.get_name() << ": " << snug::harmless(mistake.what()) << " (see --help)\n";
        throw end_of_program{2};
    }
}

}  // namespace

train_options parse_train_options(int argc, char** argv, double usual_learning_rate) {
    train_options given;
    CLI::App app("Trains a small GPT on the bytes of a text and lets it write some of its own.", "train");
    app.add_option("--data", given.data, "text to learn from, or a .bin file of tokens")->required();
    add_run_options(app, given, {usual_training_minutes, usual_learning_rate});
    app.add_option("--sample", given.prompts, "begin the text written at the end with this (may be repeated)")
        ->take_all()
        ->check(some_text("a text needs a beginning"));
    app.add_option("--temperature", given.temperature, "of that text; near 0 for the likeliest only")
        ->check(positive(100, "a temperature above 0, at most 100"))
        ->capture_default_str();
    parse(app, argc, argv);
    return given;
}

fine_tune_options parse_fine_tune_options(int argc, char** argv) {
    fine_tune_options given;
    CLI::App app("Fine-tunes a pretrained SmolLM2 by QLoRA: 4-bit weights, and a small adapter that learns.",
                 "fine_tune");
    app.add_option("--model", given.model,
                   "a GGUF file, or a folder with model.safetensors, config.json and tokenizer.json")
        ->required();
    auto* const source = app.add_option_group("data", "What it learns from");
    source->add_option("--data", given.data,
                       "examples in lines of JSON (.jsonl: \"messages\", or \"prompt\" and \"completion\"), "
                       "or any other text");
    source->add_option("--dictionary", given.dictionary,
                       "a dictionary, as zcat writes a .dict.dz: its entries become questions and answers");
    source->require_option(1);
    add_run_options(app, given, usual_fine_tuning);
    app.add_flag("--precise", given.precise,
                 "LoRA over fp32 weights instead, to compare with: 2.6 times the memory");
    app.add_option("--ask", given.questions,
                   "answer this before and after, instead of what was held out (may be repeated)")
        ->take_all()
        ->check(some_text("a question needs words"));
    parse(app, argc, argv);
    return given;
}

}  // namespace example
