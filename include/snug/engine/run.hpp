// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <array>
#include <cstdint>
#include <snug/engine/composition.hpp>
#include <snug/error.hpp>
#include <snug/io/token_batch.hpp>
#include <snug/memory/arena.hpp>
#include <snug/optimizers/optimizer.hpp>
#include <snug/optimizers/schedule.hpp>
#include <snug/precision/loss_scale.hpp>
#include <span>
#include <string>
#include <utility>
#include <vector>

namespace snug {

/// What one optimizer step did.
struct step_result {
    double loss = 0;           ///< mean over the counted tokens, in nats, before the update
    double gradient_norm = 0;  ///< global 2-norm, before clipping
    double learning_rate = 0;
    index_t tokens = 0;    ///< counted
    bool skipped = false;  ///< a gradient overflowed under a loss scale: the weights are unchanged

    friend std::ostream& operator<<(std::ostream& out, step_result const& r) {
        return out << "loss " << r.loss << "  gradient norm " << r.gradient_norm << "  learning rate "
                   << r.learning_rate << "  tokens " << r.tokens;
    }
};

struct evaluation {
    double loss = 0;        ///< mean over the counted tokens, in nats
    double perplexity = 0;  ///< e^loss
    index_t tokens = 0;
};

struct generation_options {
    index_t tokens = 100;      ///< at most so many new ones, and no more once a sequence of the batch is full
    double temperature = 1.0;  ///< 0 takes the likeliest token
    index_t top_k = 0;         ///< only the k likeliest; 0: all
    std::uint64_t seed = 0;
    std::vector<std::int32_t> ends{};  ///< tokens that end the text, and are not part of it

    /// Throws `snug::error`, by the name of the number, unless all of them can be meant.
    void check(index_t vocabulary) const {
        detail::require_setting(tokens >= 0, "tokens", tokens, "a number that is not negative");
        detail::require_not_negative("temperature", temperature);
        detail::require_setting(top_k >= 0, "top_k", top_k, "a number that is not negative; 0 for all");
        for (auto const token : ends)
            if (token < 0 || token >= vocabulary)
                throw error({}, "a token of ends = " + std::to_string(token),
                            "a token of the vocabulary of " + std::to_string(vocabulary));
    }
};

/// What is accepted of weights that come from outside.
struct load_options {
    /// NaN and infinity, and numbers that are infinite in the type that stores them, are taken as they are instead of refused. What
    /// a quantization scheme stores is finite in any case.
    bool allow_not_finite = false;
};

/// The run-time numbers of training. Everything that changes memory is a policy instead.
template <class Optimizer>
struct training_options {
    schedule learning_rate{};
    double weight_decay = 0.1;         ///< on matrices only
    double largest_gradient_norm = 1;  ///< clipping by the global norm; 0: none
    std::uint64_t dropout_seed = 0;    ///< of an adapter's dropout, together with the step
    typename Optimizer::options optimizer{};

    /// Throws `snug::error`, by the name of the number, for what no step can mean: before a step, which then changes nothing.
    void check() const {
        learning_rate.check();
        detail::require_not_negative("options.weight_decay", weight_decay);
        auto const decay = learning_rate.largest() * weight_decay;
        detail::require_setting(decay <= 1, "options.learning_rate * options.weight_decay", decay,
                                "at most 1: a weight decays to 0 and no further");
        detail::require_not_negative("options.largest_gradient_norm", largest_gradient_norm);
        check_optimizer(optimizer);
    }
};

template <class Composition>
class executor;

/// A training run: the one allocation, laid out by the plan of its composition, and what is done with it.
/// Members are defined in snug/snug.hpp; a file that only asserts budgets needs none of them.
template <class Composition>
class run {
  public:
    using composition = Composition;
    using model = typename Composition::model;
    using weight_type = typename Composition::precision::weight;
    using gradient_type = typename Composition::precision::gradient;

    /// Tokens of one optimizer step.
    static constexpr index_t tokens_per_step =
        Composition::micro_batches * Composition::batch::sequences * Composition::batch::tokens;

    /// Allocates `footprint<...>.total` bytes and initialises the model from the seed. Throws `snug::error` when the
    /// memory is not to be had.
    explicit run(std::uint64_t seed = 0);

    /// One optimizer step: forward and backward of all micro-batches, clipping, update. Allocates nothing. Throws
    /// `snug::error` when the batch has another size, a token is outside the vocabulary, no token is counted, or a number in
    /// `options` cannot be meant; and like `update`.
    step_result step(token_batch const& batch);

    /// The first half of a step: adds the gradients of the batch's mean loss to what was accumulated since the last update.
    /// `step` is this and `update`.
    step_result accumulate(token_batch const& batch);
    /// The second half: clips, updates the weights and clears the gradients. Throws `snug::error`
    /// - when nothing was accumulated, or a number in `options` cannot be meant, with nothing changed;
    /// - when a gradient or the loss is not finite, or when every gradient has been exactly 0 for `most_vanished` steps although the
    ///   loss was not, with the weights unchanged. Under a loss scale such steps are skipped, with another scale (see
    ///   `loss_scale`), and are an error when that has come to its end;
    /// - when the update has made a weight or a state of the optimizer infinite or not a number. It has happened then: go on from
    ///   a snapshot.
    step_result update(step_result so_far);
    /// So many steps in a row without any gradient are an error: something swallows it, such as a weight of 1e38.
    static constexpr std::int64_t most_vanished = 8;
    /// A mean loss up to this, in nats, is a minimum, where gradients may be 0.
    static constexpr double loss_at_a_minimum = 1e-6;

    /// Loss and perplexity of one batch, or of a range of batches, without touching weights or gradients.
    evaluation evaluate(token_batch const& batch);
    template <class Batches>
        requires requires(Batches& batches) { batches.begin(); }
    evaluation evaluate(Batches&& batches);

    /// Logits of the token after `sequence`, vocabulary wide, valid until the next call of a member. `known`: so many
    /// tokens at the start are those of the previous call; they are not computed again when their keys and values are still
    /// there. Throws `snug::error` when the sequence is empty, longer than the batch's sequences, or holds a token outside
    /// the vocabulary.
    std::span<typename Composition::precision::activation const> next_token_logits(
        std::span<std::int32_t const> sequence, index_t known = 0);

    /// Continues a prompt token by token; returns the new tokens. Throws like `next_token_logits`, and when a number of the
    /// options cannot be meant, or logits are NaN or infinite.
    std::vector<std::int32_t> generate(std::span<std::int32_t const> prompt,
                                       generation_options const& options = {});

    /// Writes a snapshot: weights, optimizer state, step, and the caller's `notes` (key, value). Whole or not at all. Gradients that
    /// wait for an update are not in it. Throws `snug::error`, with the file as it was, when a weight or a state is infinite or not
    /// a number: `resume` would refuse it.
    void save(std::string const& path,
              std::vector<std::pair<std::string, std::string>> const& notes = {}) const;
    /// Restores a snapshot bit by bit and returns the caller's notes. Throws `snug::error`, with nothing changed, when
    /// the file is damaged, belongs to a trainer whose numbers mean something else, or holds a number that no training gives.
    std::vector<std::pair<std::string, std::string>> resume(std::string const& path);

    /// The model's weights from a file of Hugging Face's (`io::safetensors`) or llama.cpp's (`io::gguf`) naming, or with this
    /// library's names; quantized on the way where a scheme stores them. An adapter keeps its A and B; the magnitudes of DoRA
    /// become the lengths of the rows. Training begins anew: gradients and optimizer states are cleared, steps count from 0. Throws `snug::error`, with nothing changed, when a tensor is missing, has another shape,
    /// is one that the model has no place for, or holds a number that is not finite (see `load_options`).
    template <class File>
    void load(File const& file, load_options const& allowed = {});

    /// Writes the adapter as PEFT reads it: `adapter_config.json` and `adapter_model.safetensors` in a folder, which is made.
    /// `base_model` is the name or path under which others find the base, if any.
    void save_adapter(std::string const& folder, std::string const& base_model = {}) const;
    /// Takes the place of the adapter and begins its training anew: optimizer states are cleared, steps count from 0. Throws
    /// `snug::error`, with nothing changed, when the files are damaged, belong to another adapter, say something whose meaning
    /// is not known, or hold a number that is not finite.
    void load_adapter(std::string const& folder, load_options const& allowed = {});

    /// Writes `model.safetensors` and `config.json` as Hugging Face's transformers reads them, with the adapter merged into the
    /// weights and quantized ones decoded, in the precision's weight type. For models of a family; see `save_weights`. Throws
    /// `snug::error`, with nothing written, when a merged number is infinite in that type.
    void save_model(std::string const& folder) const;
    /// Writes the same weights, of any model, as one safetensors file with this library's names, which `load` reads. Nobody else
    /// knows the names, so no `config.json` goes with it.
    void save_weights(std::string const& path) const;

    /// The weights with the adapter in them, into a trainer of the same model without adapter or quantization. Throws
    /// `snug::error`, with nothing changed, when a number is not finite, or is infinite in the type that stores it there.
    template <class Plain>
    void merge_into(Plain& plain, load_options const& allowed = {}) const;
    /// The weights without the adapter: what `merge_into` changed is as before, exactly.
    template <class Plain>
    void unmerge_from(Plain& plain, load_options const& allowed = {}) const;

    /// Optimizer steps done.
    std::int64_t steps() const { return steps_; }
    /// What the loss is multiplied by before backward; 1 unless the precision asks for a dynamic loss scale.
    double current_loss_scale() const {
        if constexpr (scales_loss<typename Composition::precision>) return loss_scale_.value;
        else return 1;
    }
    /// Bytes allocated: the footprint's total, and what is paged.
    bytes allocated() const { return memory_.size() + paged_memory_.size(); }

    /// A parameter of the model by its name in `composition::parameter_table` ("blocks.qkv.weight"), all copies of a
    /// repeated block one after the other, as the products read it.
    /// In the trainer's memory: a device's is read and written by `copy_of_weights` and `set_weights` instead.
    std::span<weight_type> weights(std::string_view name);
    /// The bytes of a quantized parameter, copy after copy, as its scheme lays them out.
    std::span<std::byte> stored(std::string_view name);
    /// The gradient of a parameter, between `accumulate` and `update`.
    std::span<gradient_type const> gradients(std::string_view name) const;
    /// After weights were changed from outside: the master copy follows. Throws `snug::error`, by tensor and element, when one is
    /// infinite or not a number; the weights then stay as they were written, and nothing follows them.
    void weights_changed();

    /// The same on any backend, as copies.
    std::vector<weight_type> copy_of_weights(std::string_view name) const;
    std::vector<gradient_type> copy_of_gradients(std::string_view name) const;
    std::vector<std::byte> copy_of_stored(std::string_view name) const;
    /// Replaces a parameter's weights; the master copy follows, and gradients that wait for an update are cleared. Throws `snug::error`, with nothing changed, when the number of
    /// values is another, or one is infinite or not a number and that is not allowed.
    void set_weights(std::string_view name, std::span<weight_type const> values,
                     load_options const& allowed = {});
    /// The same for a quantized parameter, in its scheme's layout. What the scheme reads as infinite or not a number is refused.
    void set_stored(std::string_view name, std::span<std::byte const> bytes);

    training_options<typename Composition::optimizer> options{};

  private:
    class host_view;
    [[noreturn]] static void refuse_moved_from() {
        throw error({}, "a trainer that was moved from: its memory belongs to another one now",
                    "the trainer that it was moved into");
    }
    /// The trainer's memory, or the program's copy of it (see `host_view`).
    std::byte* base_of_memory() const { return mirror_ != nullptr ? mirror_ : memory_.data(); }
    /// Where a declaration lies; null when it has size 0. Throws when the trainer was moved from.
    template <class T>
    T* at(int declaration) const {
        auto const id = static_cast<std::size_t>(declaration);
        auto* base = base_of_memory();
        if (base == nullptr) refuse_moved_from();
        if (Composition::plan.declarations[id].count == 0) return nullptr;
        if constexpr (Composition::has_pages)
            if (Composition::plan.declarations[id].line == role::paged) base = paged_memory_.data();
        return reinterpret_cast<T*>(base + Composition::plan.offsets[id]);
    }
    template <class T>
    std::span<T> elements(int declaration) const {
        auto const& d = Composition::plan.declarations[static_cast<std::size_t>(declaration)];
        return {at<T>(declaration), static_cast<std::size_t>(d.count * d.copies)};
    }
    static int parameter_named(std::string_view name);
    static int plain_parameter_named(std::string_view name);
    static int quantized_parameter_named(std::string_view name);
    template <class T>
    std::vector<T> copy_of(int declaration) const;
    template <class T>
    void replace(std::string_view name, int parameter, std::span<T const> values);
    void follow(int parameter);
    template <class Parameter>
    void initialise(int parameter, Parameter, std::uint64_t seed);
    template <class Parameter>
    void initialise_quantized(int parameter, Parameter, std::uint64_t seed);
    template <class Parameter>
    void store_quantized(int parameter, index_t copy, Parameter);
    /// f(a quantized parameter) of this number.
    template <class F>
    static void with_quantized(int parameter, F const& f);
    template <class Parameter>
    static void quantize(float const* values, std::byte* region);
    static bytes prepare();
    void refresh();
    void clear_states();
    void clear_gradients();
    std::int64_t checksum_of_base() const;
    template <bool Merged, class F>
    void for_each_base_row(int parameter, index_t copy, index_t first, index_t count, F const& f) const;
    template <bool Merged, class Plain, class Wanted>
    void write_base(Plain& plain, load_options const& allowed, Wanted const& is_wanted) const;
    template <class Pieces, class Beside>
    void write_weights(std::string const& path, Pieces const& pieces_of, Beside const& commit_beside) const;
    void start_adapters();
    index_t begin_step(token_batch const& batch);
    void begin_update();
    template <class T, class F>
    void for_each_number(int declaration, F const& f) const;
    static place place_of(int parameter, index_t element, std::string_view state = {});
    template <class T>
    bool is_finite(int declaration);
    [[noreturn]] void refuse_gradient(step_result const& result, step_numbers const& numbers);
    std::string what_is_not_finite(place& where) const;
    [[noreturn]] void refuse_update(step_result const& result) const;
    step_numbers found() const;
    step_result finish_step(step_result so_far, step_numbers const& numbers);
    template <std::size_t... S>
    void update_parameter(int parameter, update_numbers const& numbers, std::index_sequence<S...>);
    template <class Rule, class... Units>
    void update_elements(int parameter, Rule const& rule, index_t first, index_t count, Units*... states);
    template <class... Units, class Rule, std::size_t... S>
    void update_with(int parameter, Rule const& rule, std::index_sequence<S...>);
    template <class T>
    void clear(std::span<T> values) const;
    void stage(token_batch const& batch, index_t micro_batch, executor<Composition>& walker);
    static index_t check(token_batch const& batch);

    arena memory_;
    mutable std::byte* mirror_ = nullptr;
    arena paged_memory_;
    /// The passes of a micro-batch, as a device replays them: without and with several examples in a row.
    std::array<ops::recording<typename Composition::backend>, 2> recordings_{};
    std::vector<typename Composition::precision::activation> logits_{};  ///< copied from a device
    std::int64_t steps_ = 0;
    loss_scale loss_scale_{};
    index_t accumulated_ = 0;  ///< counted tokens of the last batch whose gradients wait for an update
    index_t accumulated_batches_ = 0;  ///< that wait for it
    std::int64_t vanished_ = 0;        ///< steps in a row without a gradient
    index_t kept_ = 0;                 ///< tokens of a sequence whose keys and values are there
};

}  // namespace snug
