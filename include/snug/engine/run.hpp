// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <snug/data/token_batch.hpp>
#include <snug/engine/composition.hpp>
#include <snug/engine/options.hpp>
#include <snug/engine/results.hpp>
#include <snug/engine/store.hpp>
#include <span>
#include <string>
#include <utility>
#include <vector>

namespace snug::SNUG_TARGET {

namespace refusal {

/// Complete where the acts are.
template <class Composition>
struct to_run_a_trainer_include_snug_snug_hpp;

template <class Sharding, bool IsAlone>
struct a_sharded_trainer_needs_its_world {
    static_assert(
        IsAlone,
        "snug: a sharded trainer (see Sharding) is one rank of several, and is constructed with its world: "
        "'snug::distributed::mpi world; my_trainer run(world);', with snug/distributed/mpi.hpp");
};

}  // namespace refusal

/// A training run: what the plan of its composition lays out, and what is done with it. Each member is an act
/// of its own over the store (see `engine::store`), found where it is called: a file that calls one includes
/// snug/snug.hpp, and one that only asserts budgets snug/plan.hpp.
///
/// Of a sharded trainer all ranks call the same members in the same order and, but for batches, with the same
/// arguments; what one of them refuses or cannot do all refuse, in the same words, with `place::rank`. `steps`,
/// `allocated` and `current_loss_scale` any rank may ask alone; `generate` and `next_token_logits`,
/// `copy_of_weights` and `copy_of_stored` too, unless the weights are sharded (`zero<3>`).
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

    /// Allocates `footprint<...>.total` bytes and initialises the model from the seed. Throws `snug::error`
    /// when the memory is not to be had.
    explicit run(std::uint64_t seed = 0) {
        static_assert(sizeof(refusal::a_sharded_trainer_needs_its_world<typename Composition::sharding,
                                                                        !Composition::is_sharded>) > 0);
        (void)sizeof(refusal::to_run_a_trainer_include_snug_snug_hpp<Composition>);
        initialise(store_, seed);
    }
    /// The same as one rank of `world`, a `distributed::mpi` or another transport, which outlives the trainer. All
    /// ranks construct it; every one throws the same `snug::error` when one cannot.
    explicit run(typename Composition::world& world, std::uint64_t seed = 0) requires(Composition::is_sharded)
        : store_(make_store(engine::of_composition<Composition>{}, world, seed)) {
        (void)sizeof(refusal::to_run_a_trainer_include_snug_snug_hpp<Composition>);
        initialise(store_, seed);
    }

    /// One optimizer step: forward and backward of all micro-batches, clipping, update. Allocates nothing.
    /// Throws `snug::error` when the batch has another size, a token is outside the vocabulary, no token is
    /// counted, or a number in `options` cannot be meant; and like `update`.
    step_result step(token_batch const& batch) { return train_step(store_, options, batch); }

    /// The first half of a step: adds the gradients of the batch's mean loss to what was accumulated since
    /// the last update. `step` is this and `update`.
    step_result accumulate(token_batch const& batch) { return accumulate_gradients(store_, options, batch); }
    /// The second half: clips, updates the weights and clears the gradients. Throws `snug::error`
    /// - when nothing was accumulated, or a number in `options` cannot be meant, with nothing changed;
    /// - when a gradient or the loss is not finite, or when every gradient has been exactly 0 for
    ///   `most_vanished` steps although the loss was not, with the weights unchanged. Under a loss scale such
    ///   steps are skipped, with another scale (see `loss_scale`), and are an error when that has come to its
    ///   end;
    /// - when the update has made a weight or a state of the optimizer infinite or not a number. It has
    ///   happened then: go on from a snapshot.
    step_result update(step_result so_far) { return update_weights(store_, options, so_far); }
    static constexpr std::int64_t most_vanished = engine::most_vanished;

    /// Loss and perplexity of one batch, or of a range of batches, without touching weights or gradients.
    evaluation evaluate(token_batch const& batch) { return evaluate_batch(store_, batch); }
    template <class Batches>
        requires requires(Batches& batches) { batches.begin(); }
    evaluation evaluate(Batches&& batches) {
        return evaluate_batches(store_, std::forward<Batches>(batches));
    }

    /// Logits of the token after `sequence`, vocabulary wide, valid until the next call of a member. `known`:
    /// so many tokens at the start are those of the previous call; they are not computed again when their
    /// keys and values are still there. Throws `snug::error` when the sequence is empty, longer than the
    /// batch's sequences, or holds a token outside the vocabulary.
    std::span<typename Composition::precision::activation const> next_token_logits(
        std::span<std::int32_t const> sequence, index_t known = 0) {
        return next_logits(store_, sequence, known);
    }

    /// Continues a prompt token by token; returns the new tokens. Throws like `next_token_logits`, and when a
    /// number of the options cannot be meant, or logits are NaN or infinite.
    std::vector<std::int32_t> generate(std::span<std::int32_t const> prompt,
                                       generation_options const& how = {}) {
        return generate_tokens(store_, prompt, how);
    }

    /// Writes a snapshot: weights, optimizer state, step, and the caller's `notes` (key, value). Whole or not
    /// at all. Gradients that wait for an update are not in it. Throws `snug::error`, with the file as it
    /// was, when a weight or a state is infinite or not a number: `resume` would refuse it. Of a sharded
    /// trainer rank 0 writes it; it is the file that one trainer would write that holds everything.
    void save(std::string const& path,
              std::vector<std::pair<std::string, std::string>> const& notes = {}) const {
        save_snapshot(store_, path, notes);
    }
    /// Restores a snapshot bit by bit, by whatever number of ranks it was written, and returns the caller's notes.
    /// Throws `snug::error`, with nothing changed, when the file is damaged, belongs to a trainer whose numbers mean
    /// something else, or holds a number that no training gives.
    std::vector<std::pair<std::string, std::string>> resume(std::string const& path) {
        return resume_snapshot(store_, path);
    }

    /// The model's weights from a file of Hugging Face's (`io::safetensors`) or llama.cpp's (`io::gguf`)
    /// naming, or with this library's names; quantized on the way where a scheme stores them. An adapter
    /// keeps its A and B; the magnitudes of DoRA become the lengths of the rows. Training begins anew:
    /// gradients and optimizer states are cleared, steps count from 0. Throws `snug::error`, with nothing
    /// changed, when a tensor is missing, has another shape, is one that the model has no place for, or holds
    /// a number that is not finite (see `load_options`).
    template <class File>
    void load(File const& file, load_options const& allowed = {}) {
        load_weights(store_, file, allowed);
    }

    /// Writes the adapter as PEFT reads it: `adapter_config.json` and `adapter_model.safetensors` in a
    /// folder, which is made. `base_model` is the name or path under which others find the base, if any.
    void save_adapter(std::string const& folder, std::string const& base_model = {}) const {
        save_peft(store_, folder, base_model);
    }
    /// Takes the place of the adapter and begins its training anew: optimizer states are cleared, steps count
    /// from 0. Throws `snug::error`, with nothing changed, when the files are damaged, belong to another
    /// adapter, say something whose meaning is not known, or hold a number that is not finite.
    void load_adapter(std::string const& folder, load_options const& allowed = {}) {
        load_peft(store_, folder, allowed);
    }

    /// Writes `model.safetensors` and `config.json` as Hugging Face's transformers reads them, with the
    /// adapter merged into the weights and quantized ones decoded, in the precision's weight type. For models
    /// of a family; see `save_weights`. Throws `snug::error`, with nothing written, when a merged number is
    /// infinite in that type.
    void save_model(std::string const& folder) const { write_model(store_, folder); }
    /// Writes the same weights, of any model, as one safetensors file with this library's names, which `load`
    /// reads. Nobody else knows the names, so no `config.json` goes with it.
    void save_weights(std::string const& path) const { write_weights(store_, path); }

    /// The weights with the adapter in them, into a trainer of the same model without adapter or
    /// quantization; of a sharded trainer into one of each rank, or into one that is sharded too. Throws
    /// `snug::error`, with nothing changed, when a number is not finite, or is infinite in the type that stores it
    /// there.
    template <class Plain>
    void merge_into(Plain& plain, load_options const& allowed = {}) const {
        merge_weights(store_, plain.store(), allowed);
    }
    /// The weights without the adapter: what `merge_into` changed is as before, exactly.
    template <class Plain>
    void unmerge_from(Plain& plain, load_options const& allowed = {}) const {
        unmerge_weights(store_, plain.store(), allowed);
    }

    /// Optimizer steps done.
    std::int64_t steps() const { return store_.done.steps; }
    /// What the loss is multiplied by before backward; 1 unless the precision asks for a dynamic loss scale.
    double current_loss_scale() const { return store_.loss_scale(); }
    /// Bytes allocated: the footprint's total, and what is paged.
    bytes allocated() const { return store_.allocated(); }

    /// A parameter of the model by its name in `composition::parameter_table` ("blocks.qkv.weight"), all
    /// copies of a repeated block one after the other, as the products read it. In the trainer's memory: a
    /// device's is read and written by `copy_of_weights` and `set_weights` instead.
    std::span<weight_type> weights(std::string_view name) { return view_of_weights(store_, name); }
    /// The bytes of a quantized parameter, copy after copy, as its scheme lays them out.
    std::span<std::byte> stored(std::string_view name) { return view_of_stored(store_, name); }
    /// The gradient of a parameter, between `accumulate` and `update`.
    std::span<gradient_type const> gradients(std::string_view name) const {
        return view_of_gradients(store_, name);
    }
    /// After weights were changed from outside: the master copy follows. Throws `snug::error`, by tensor and
    /// element, when one is infinite or not a number; the weights then stay as they were written, and nothing
    /// follows them.
    void weights_changed() { follow_weights(store_); }

    /// The same on any backend, as copies, and of a sharded trainer all of it on every rank. A gradient that ranks add
    /// at the end of a step (see `sharding::reduced`) is this rank's own until then.
    std::vector<weight_type> copy_of_weights(std::string_view name) const {
        return copied_weights(store_, name);
    }
    std::vector<gradient_type> copy_of_gradients(std::string_view name) const {
        return copied_gradients(store_, name);
    }
    std::vector<std::byte> copy_of_stored(std::string_view name) const { return copied_stored(store_, name); }
    /// Replaces a parameter's weights; the master copy follows, and gradients that wait for an update are
    /// cleared. Throws `snug::error`, with nothing changed, when the number of values is another, or one is
    /// infinite or not a number and that is not allowed. Of a sharded trainer every rank is given all of them.
    void set_weights(std::string_view name, std::span<weight_type const> values,
                     load_options const& allowed = {}) {
        replace_weights(store_, name, values, allowed);
    }
    /// The same for a quantized parameter, in its scheme's layout. What the scheme reads as infinite or not a
    /// number is refused.
    void set_stored(std::string_view name, std::span<std::byte const> bytes) {
        replace_stored(store_, name, bytes);
    }

    /// Memory, context and progress, for what is done with them by functions of one's own.
    engine::store<Composition>& store() { return store_; }
    engine::store<Composition> const& store() const { return store_; }

    training_options<typename Composition::optimizer> options{};

  private:
    engine::store<Composition> store_;
};

}  // namespace snug::SNUG_TARGET
