// SPDX-License-Identifier: Apache-2.0
// Fine-tunes a pretrained SmolLM2 by QLoRA, on all cores of this computer. `./snug finetune` builds and runs it; with
// `--ranks N`, compiled for N processes that share the rows of a step.
#include <snug/data/chat.hpp>
#include <snug/data/examples.hpp>
#include <snug/data/packed_batches.hpp>
#include <snug/data/tokenizer.hpp>
#include <snug/quantization/double_quantized.hpp>
#include <snug/quantization/nf4.hpp>
#include <snug/snug.hpp>

#include <algorithm>
#include <cmath>
#include <iomanip>
#include <iostream>
#include <span>
#include <string>
#include <variant>
#include <vector>

#include "support/dictionary.hpp"
#include "support/options.hpp"
#include "support/output.hpp"
#include "support/pictures.hpp"
#include "support/text.hpp"
#include "support/training.hpp"
#include "support/world.hpp"

namespace {

using namespace snug;

// What both ways of fine-tuning share: a step sees 1024 tokens, and every linear layer has an adapter.
template <class Model, class... Policies>
using adapted = example::trainer<batch<4, 256>, Model, adapters::lora<rank<16>, alpha<32>>,
                                 checkpointing::every_block, Policies...>;

/// The frozen weights in 4 bits with 8-bit scales (Dettmers et al., arXiv 2305.14314), the optimizer's states in 8 bits.
template <class Model>
using qlora = adapted<Model, precision::mixed<bf16>, quantization::double_quantized<quantization::nf4<64>>,
                      optimizers::adamw<optimizers::states<int8>>>;
static_assert(fits<qlora<models::smollm2_135m>, budget<288_MiB>>);
static_assert(fits<qlora<models::smollm2_360m>, budget<512_MiB>>);

/// Nothing rounded: what QLoRA is compared with.
using precise_lora = adapted<models::smollm2_135m, precision::full<fp32>>;

constexpr example::pace often{.warm_up = 20, .validations = 8};

/// Pretrained weights, and the tokenizer that belongs to them.
struct base_model {
    std::variant<io::gguf, io::safetensors> weights;
    io::tokenizer tokens;
    model_numbers numbers;

    static base_model open(std::string const& path) {
        if (io::is_folder(path)) {
            auto tokens = io::tokenizer::from_json(io::in_folder(path, "tokenizer.json"));
            return {io::safetensors(path), std::move(tokens), io::read_model_config(path)};
        }
        io::gguf file(path);
        auto tokens = io::tokenizer::from_gguf(file);
        auto const numbers = io::read_model_config(file);
        return {std::move(file), std::move(tokens), numbers};
    }

    std::string path() const {
        return std::visit([](auto const& file) { return std::string(file.path()); }, weights);
    }
    /// The files that hold the weights.
    std::vector<std::string> files() const {
        if (auto const* const parts = std::get_if<io::gguf>(&weights)) return parts->paths();
        std::vector<std::string> all;
        for (auto const& tensor : std::get<io::safetensors>(weights).tensors())
            if (all.empty() || all.back() != tensor.file) all.push_back(tensor.file);
        return all;
    }
};

// Data --------------------------------------------------------------------------------------------------------

/// "What is X?" and the entry, which loses sentences at its end until it fits a row of `length` tokens.
io::examples questions_of(std::string const& dictionary, io::chat const& chat, std::int64_t length) {
    constexpr std::size_t most_characters = 1000;
    io::examples all(dictionary);
    for (auto& [headword, text] : example::read_dictionary(dictionary)) {
        while (!text.empty()) {
            if (text.size() <= most_characters) {
                auto const one = chat.conversation(
                    std::vector<io::message>{{"user", "What is " + headword + "?"}, {"assistant", text}});
                if (static_cast<std::int64_t>(one.tokens.size()) <= length + 1) {
                    all.add(one);
                    break;
                }
            }
            text = example::without_last_sentence(text);
        }
    }
    return all;
}

struct data_sets {
    io::examples training, held_out;
};

/// Every 20th example is never trained on. Of many of those some are used, so that validating takes no longer than a few
/// steps.
data_sets split(io::examples const& all) {
    constexpr std::int64_t every = 20, most = 64;
    if (all.size() < every)
        throw error({all.name()}, std::to_string(all.size()) + " examples",
                    "at least " + std::to_string(every) + ", of which one is held out");
    auto const stride = every * ((all.size() / every + most - 1) / most);
    data_sets result{io::examples(all.name()), io::examples(all.name())};
    for (std::int64_t i = 0; i < all.size(); ++i) {
        auto const [tokens, counted, line] = all[i];
        io::example const one{{tokens.begin(), tokens.end()}, {counted.begin(), counted.end()}};
        if (i % every != every - 1) result.training.add(one, line);
        else if ((i + 1) % stride == 0) result.held_out.add(one, line);
    }
    return result;
}

io::examples read_data(example::fine_tune_options const& given, io::tokenizer const& tokens,
                       std::int64_t length) {
    if (!given.dictionary.empty()) return questions_of(given.dictionary, io::chat(tokens), length);
    if (given.data.ends_with(".jsonl")) {
        auto all = io::examples::from_json_lines(given.data, tokens);
        for (auto const& [reason, count, first] : all.left_out())
            std::cout << "left out " << count << (count == 1 ? " conversation" : " conversations")
                      << ", the first in line " << first << ", for " << reason << '\n';
        return all;
    }
    return io::examples::from_text(given.data, tokens, length);
}

// Answers -----------------------------------------------------------------------------------------------------

constexpr snug::index_t longest_answer = 64;

/// What was asked for, or three of the held-out examples up to where the answer begins (of a text, its first 32 tokens).
std::vector<std::vector<std::int32_t>> prompts_of(example::fine_tune_options const& given,
                                                  io::examples const& held_out, io::tokenizer const& tokens,
                                                  snug::index_t length) {
    std::vector<std::vector<std::int32_t>> prompts;
    for (auto const& question : given.questions) {
        prompts.push_back(io::chat(tokens).prompt(std::vector<io::message>{{"user", question}}));
        snug::index_t const found = std::ssize(prompts.back());
        if (found + longest_answer > length)
            throw error({}, "a question of " + std::to_string(found) + " tokens",
                        "at most " + std::to_string(length - longest_answer));
    }
    if (!given.questions.empty()) return prompts;
    constexpr std::int64_t wanted = 3;
    for (std::int64_t i = 0; i < wanted && i < held_out.size(); ++i) {
        auto const [all, counted, line] = held_out[(2 * i + 1) * held_out.size() / (2 * wanted)];
        auto known = std::find(counted.begin(), counted.end(), 1) - counted.begin();
        if (known == 0) known = std::min<std::ptrdiff_t>(32, std::ssize(all) - 1);
        if (known + longest_answer > length) continue;
        prompts.emplace_back(all.begin(), all.begin() + known);
    }
    return prompts;
}

/// The likeliest answer.
template <class Run>
std::string answer(Run& run, io::tokenizer const& tokens, std::vector<std::int32_t> const& prompt) {
    generation_options options{.tokens = longest_answer, .temperature = 0};
    if (tokens.end_of_text()) options.ends.push_back(*tokens.end_of_text());
    try {
        if (auto const end = io::chat(tokens).end_of_reply()) options.ends.push_back(*end);
    } catch (error const&) {
        // A model for texts has no chats, and none are asked of it.
    }
    return tokens.decode(run.generate(prompt, options));
}

/// Of a chat what the user says, of anything else all of it.
std::string question_in(std::string const& prompt) {
    static constexpr std::string_view user = "<|im_start|>user\n";
    auto const begin = prompt.rfind(user);
    if (begin == prompt.npos) return prompt;
    return prompt.substr(begin + user.size(), prompt.find("<|im_end|>", begin) - begin - user.size());
}

template <class Run>
void show_answers(Run& run, io::tokenizer const& tokens,
                  std::vector<std::vector<std::int32_t>> const& prompts) {
    for (auto const& prompt : prompts)
        std::cout << "----\n"
                  << example::for_terminal(question_in(tokens.decode(prompt))) << "\n> "
                  << example::for_terminal(answer(run, tokens, prompt)) << std::endl;
    std::cout << "----" << std::endl;
}

// The job -----------------------------------------------------------------------------------------------------

void say_loss(std::int64_t step, evaluation const& found) {
    std::cout << std::fixed << std::setprecision(4) << "Held-out loss after step " << step << ": "
              << found.loss << " (perplexity " << std::setprecision(2) << found.perplexity << ", "
              << found.tokens << " tokens)\n";
}

template <class Run>
int fine_tune(example::world& world, example::fine_tune_options const& given, base_model const& base) {
    constexpr snug::index_t length = Run::composition::batch::tokens;
    // Everything that can be refused is refused before anything is written.
    io::require(Run::composition::chosen::model::numbers, base.numbers, {base.path()});
    auto const data_path = given.data.empty() ? given.dictionary : given.data;
    auto const data = world.together([&] { return split(read_data(given, base.tokens, length)); });
    auto const prompts = prompts_of(given, data.held_out, base.tokens, length);
    auto const snapshot = given.out + "/snapshot";
    world.together([&] { example::require_no_snapshot(snapshot, given); });

    std::cout << "An adapter of " << trainable_parameter_count<Run> << " parameters learns, the "
              << parameter_count<
                     typename Run::composition::chosen::model> << " of the model are frozen. Memory:\n\n"
              << report<Run>() << std::endl;
    example::settings set = world.together([&] {
        return example::settings{
            {{"model", example::describe(base.files())}, {"data", example::describe({data_path})}},
            given.seed.value_or(0),
            given.learning_rate.value_or(example::usual_fine_tuning.learning_rate)};
    });
    Run run(world, set.seed);
    std::visit([&](auto const& weights) { run.load(weights); }, base.weights);
    if (given.resume) example::resume(run, snapshot, given, set);
    example::set_total_steps(run, snapshot, given, set);
    run.options.weight_decay = 0;
    run.options.optimizer.beta2 = 0.999;

    io::packed_batches<Run> batches(data.training, world, set.seed, io::long_examples::cut);
    auto validation = io::packed_batches<Run>::in_order(data.held_out, world, io::long_examples::cut);
    constexpr auto rows_per_step = io::rows_of_rank<Run>::in_step;
    batches.resume_at(run.steps() * rows_per_step);

    world.on_root([&] { io::make_folder(given.out); });
    // At once, so that a folder that can't be written to is not found out after the work is done.
    run.save(snapshot, set.notes());
    world.on_root([&] {
        example::draw_curve(given.out, "Fine-tuning SmolLM2", "token");
        example::draw_memory<Run>(given.out);
    });

    auto const& rows = batches.packing();
    std::cout << data.training.size() << " examples of " << harmless(data_path) << " in " << rows.rows()
              << " rows of " << length << " tokens; a step sees " << rows_per_step << " rows, and "
              << data.held_out.size() << " more examples are held out.\n";
    if (rows.cut() > 0) std::cout << rows.cut() << " were longer than a row: their ends are left out.\n";
    say_loss(run.steps(), run.evaluate(validation));
    show_answers(run, base.tokens, prompts);

    example::on_stop_signals(example::ask_to_stop);
    example::learn(world, run, set, batches, validation, often, given.out,
                   60 * given.minutes.value_or(example::usual_fine_tuning.minutes));
    run.save(snapshot, set.notes());
    run.save_adapter(given.out + "/adapter");
    if (example::is_asked_to_stop(world)) {
        std::cout << "Stopped after step " << run.steps() << "; " << harmless(snapshot)
                  << " holds it, and --resume goes on from there.\n";
        return 128 + example::stop_signal;
    }
    example::on_stop_signals(SIG_DFL);

    validation.resume_at(0);
    say_loss(run.steps(), run.evaluate(validation));
    show_answers(run, base.tokens, prompts);
    std::cout << harmless(given.out) << "/adapter holds the adapter, in the format of PEFT.\n";
    return 0;
}

int fine_tune(example::world& world, example::fine_tune_options const& given) {
    auto const base = world.together([&] { return base_model::open(given.model); });
    if (given.precise) return fine_tune<precise_lora>(world, given, base);
    if (base.numbers.layers == models::smollm2_360m::numbers.layers)
        return fine_tune<qlora<models::smollm2_360m>>(world, given, base);
    return fine_tune<qlora<models::smollm2_135m>>(world, given, base);
}

}  // namespace

int main(int argc, char** argv) {
    return example::program("fine_tune", [&](example::world& world) {
        return fine_tune(world, example::parse_fine_tune_options(argc, argv));
    });
}
