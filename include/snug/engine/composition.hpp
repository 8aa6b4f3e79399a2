// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <limits>
#include <snug/adapters/adapter.hpp>
#include <snug/checkpointing/rewrite.hpp>
#include <snug/engine/places.hpp>
#include <snug/layers/layer.hpp>
#include <snug/memory/plan.hpp>
#include <snug/ops/add_sum.hpp>
#include <snug/optimizers/optimizer.hpp>

namespace snug::SNUG_TARGET {

namespace refusal {

template <class Model, index_t LongestSequence, index_t TokensOfTheBatch>
struct the_sequences_of_the_batch_are_longer_than_the_model_allows {
    static constexpr bool holds = LongestSequence == 0 || TokensOfTheBatch <= LongestSequence;
    static_assert(
        holds,
        "snug: the batch's sequences are longer than the model's context (see LongestSequence and "
        "TokensOfTheBatch). Use snug::batch<more sequences, fewer tokens>, or a model with a larger "
        "context");
};

template <class Model, index_t SlidingWindow, index_t TokensOfTheBatch>
struct the_sequences_of_the_batch_are_longer_than_the_window_of_attention {
    static constexpr bool holds = SlidingWindow == 0 || TokensOfTheBatch <= SlidingWindow;
    static_assert(
        holds,
        "snug: the batch's sequences are longer than the sliding window of the model's attention (see "
        "SlidingWindow and TokensOfTheBatch). The window itself is not implemented; up to its length it is "
        "full attention. Use snug::batch<more sequences, fewer tokens>");
};

}  // namespace refusal

namespace detail {

/// The sliding window of a model's attention; 0: none.
template <class Model>
constexpr index_t sliding_window_of() {
    if constexpr (requires { Model::numbers.sliding_window; }) return Model::numbers.sliding_window;
    else return 0;
}

}  // namespace detail

/// The numbers of a step that lie where it runs: what is known when it begins, and what it finds.
struct step_numbers {
    double loss = 0;              ///< sum over the counted tokens
    double loss_scale = 0;        ///< of the gradients: 1 / counted tokens, times the precision's
    double gradient_squares = 0;  ///< sum over all gradients, still under the precision's scale
    double gradient_scale = 0;    ///< what an update multiplies gradients with; NaN when nothing is to change
    double not_finite = 0;        ///< 1 when the update stored a number that is not finite
    std::uint64_t dropout_key = 0;  ///< of step and micro-batch
};

/// One policy for every axis, applied in order: adapters and quantization rewrite the model, the model
/// declares parameters and buffers, precision and batch give them types and sizes, checkpointing decides what
/// is kept and when each buffer lives, the optimizer adds its states; then everything is laid out. Constants
/// only.
template <class Chosen>
struct composition {
    using chosen = Chosen;
    using adapters = typename Chosen::adapters;
    using quantization = typename Chosen::quantization;
    using checkpointing = typename Chosen::checkpointing;
    using model = typename checkpointed_model<
        typename adapted_model<typename Chosen::model, quantization, adapters>::type, checkpointing>::type;
    using precision = typename Chosen::precision;
    using batch = typename Chosen::batch;
    using optimizer = typename Chosen::optimizer;
    using backend = typename Chosen::where::backend;
    using setting = snug::setting<batch::sequences, batch::tokens, precision, backend>;

    static constexpr index_t micro_batches = Chosen::accumulation::count;
    static constexpr bool has_master = !std::is_void_v<typename precision::master>;
    /// Activations of all blocks of every `repeat` are kept: generation can go on from the keys and values of
    /// earlier tokens.
    static constexpr bool keeps_all_activations = layer::keeps_all_blocks<typename model::body>();
    static constexpr int state_count = static_cast<int>(meta::size<typename optimizer::states>);
    /// What the optimizer updates: the master copy where there is one.
    using updated = std::conditional_t<has_master, typename precision::master, typename precision::weight>;

    static constexpr int parameters = model::parameter_count;
    static constexpr bool has_pages = pages_states<optimizer>;

    static constexpr auto parameter_table = model::declare_parameters();
    static constexpr parameter_entry const& entry(int parameter) {
        return parameter_table.entries[static_cast<std::size_t>(parameter)];
    }
    static constexpr bool has_derived = [] {
        for (auto const& entry : parameter_table.entries)
            if (entry.is_derived()) return true;
        return false;
    }();

    /// A position of the schedule behind all of a micro-batch's.
    static constexpr int after_training = std::numeric_limits<int>::max();

    /// The buffers of a micro-batch, with their lifetimes.
    static constexpr auto buffers = [] {
        auto all = model::template declare_buffers<setting>().entries;
        auto const lifetimes = model::lifetimes();
        for (std::size_t b = 0; b < all.size(); ++b) {
            all[b].alive = lifetimes[b];
            // Kept from one forward pass of a generated token to the next.
            if (keeps_all_activations && all[b].line == role::activation)
                for (auto& span : all[b].alive.intervals) span.first = 0;
        }
        return all;
    }();

    using layout_type =
        engine::layout<static_cast<std::size_t>(parameters), static_cast<std::size_t>(state_count)>;

    /// Everything that is declared, in order, through add(declaration), which gives the region that it
    /// became.
    template <class Add>
    static constexpr layout_type declare(Add const& add) {
        layout_type result;
        engine::place_parameters<precision, optimizer>(parameter_table.entries, result.parameters, add);
        for (std::size_t b = 0; b < buffers.size(); ++b) {
            auto const buffer = add(buffers[b]);
            if (b == 0) result.first_buffer = buffer.declaration;
        }
        result.partial_sums =
            add(snug::declare<double>(path{"partial_sums"}, ops::sum_partials, 1, role::workspace));
        result.numbers =
            add(snug::declare<std::byte>(path{"step_numbers"}, sizeof(step_numbers), 1, role::workspace));
        // Before the first step, while nothing else lives there: values on their way into a quantized matrix.
        index_t longest_quantized = 0;
        for (auto const& entry : parameter_table.entries)
            if (entry.is_quantized()) longest_quantized = std::max(longest_quantized, entry.count);
        lifetime before_training;
        before_training.add({-1, -1});
        if (longest_quantized > 0)
            result.quantization_source = add(snug::declare<float>(
                path{"quantization_source"}, longest_quantized, 1, role::staging, before_training));
        if constexpr (has_pages) {
            // After the last backward pass. Two pages of every state: one is updated while others travel.
            lifetime update;
            update.add({after_training, after_training});
            index_t element = 0;
            meta::for_each<typename optimizer::states>([&]<class State>(State) {
                element = std::max(element, static_cast<index_t>(sizeof(typename State::element)));
            });
            result.pages = add(snug::declare<std::byte>(path{"pages"}, page_elements * element,
                                                        2 * state_count, role::staging, update));
        }
        return result;
    }

    /// Where everything lies: counted first, then declared.
    static constexpr layout_type places = [] {
        int count = 0;
        auto result = declare([&](declaration const& buffer) { return region{count++, 0, buffer.stride()}; });
        result.declarations = count;
        return result;
    }();
    static constexpr auto plan = [] {
        std::array<declaration, static_cast<std::size_t>(places.declarations)> all{};
        std::size_t count = 0;
        declare([&](declaration const& buffer) {
            all[count++] = buffer;
            return region{};
        });
        return pack(all);
    }();
    static constexpr memory_bill bill = bill_of(plan);

    static constexpr region weight(int parameter) { return of(parameter).weight; }
    static constexpr region master(int parameter) { return of(parameter).master; }
    static constexpr region gradient(int parameter) { return of(parameter).gradient; }
    static constexpr region state(int which, int parameter) {
        return of(parameter).states[static_cast<std::size_t>(which)];
    }
    /// A buffer of the model, by its number there.
    static constexpr region buffer(int which) {
        return {places.first_buffer + which, 0, buffers[static_cast<std::size_t>(which)].stride()};
    }

  private:
    static constexpr auto const& of(int parameter) {
        return places.parameters[static_cast<std::size_t>(parameter)];
    }
};

}  // namespace snug::SNUG_TARGET
