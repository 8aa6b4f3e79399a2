// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <limits>
#include <snug/adapters/adapter.hpp>
#include <snug/checkpointing/rewrite.hpp>
#include <snug/layers/layer.hpp>
#include <snug/memory/plan.hpp>
#include <snug/ops/backend.hpp>
#include <snug/optimizers/optimizer.hpp>

namespace snug {

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

/// One policy for every axis, applied in order: adapters and quantization rewrite the model, the model declares parameters and buffers, precision and batch give
/// them types and sizes, checkpointing decides what is kept and when each buffer lives, the optimizer adds its states;
/// then everything is laid out. Constants only.
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
    /// Activations of all blocks of every `repeat` are kept: generation can go on from the keys and values of earlier tokens.
    static constexpr bool keeps_all_activations = layer::keeps_all_blocks<typename model::body>();
    static constexpr int state_count = static_cast<int>(meta::size<typename optimizer::states>);
    /// What the optimizer updates: the master copy where there is one.
    using updated = std::conditional_t<has_master, typename precision::master, typename precision::weight>;

    // Declarations: for every parameter weight, master (if any), gradient and states, then the buffers of a micro-batch,
    // then the partial sums of reductions.
    static constexpr int parameters = model::parameter_count;
    static constexpr int weight(int parameter) { return parameter; }
    static constexpr int master(int parameter) { return parameters + parameter; }
    static constexpr int gradient(int parameter) { return (has_master ? 2 : 1) * parameters + parameter; }
    static constexpr int state(int which, int parameter) {
        return gradient(parameter) + (1 + which) * parameters;
    }
    static constexpr int first_buffer = (has_master ? 3 : 2) * parameters + state_count * parameters;
    static constexpr int partial_sums = first_buffer + model::buffer_count;
    static constexpr int numbers = partial_sums + 1;
    static constexpr int quantization_source = numbers + 1;
    static constexpr int pages = quantization_source + 1;
    static constexpr int declaration_count = pages + 1;
    static constexpr bool has_pages = pages_states<optimizer>;

    static constexpr auto parameter_table = model::declare_parameters();
    static constexpr bool has_derived = [] {
        for (auto const& entry : parameter_table.entries)
            if (entry.is_derived()) return true;
        return false;
    }();

    /// A position of the schedule behind all of a micro-batch's.
    static constexpr int after_training = std::numeric_limits<int>::max();

    static constexpr auto declare() {
        std::array<declaration, static_cast<std::size_t>(declaration_count)> all{};
        auto const at = [&](int id) -> declaration& { return all[static_cast<std::size_t>(id)]; };
        index_t longest_quantized = 0;
        for (int p = 0; p < parameters; ++p) {
            auto const& entry = parameter_table.entries[static_cast<std::size_t>(p)];
            auto const add = [&]<class T>(int id, std::type_identity<T>, role line, std::string_view suffix) {
                at(id) = snug::declare<T>(entry.name / suffix, entry.count, entry.copies, line);
            };
            if (entry.is_quantized()) {
                at(weight(p)) =
                    snug::declare<std::byte>(entry.name, entry.stored_bytes, entry.copies, role::weight);
                longest_quantized = std::max(longest_quantized, entry.count);
            } else if (entry.is_derived()) {
                add(weight(p), std::type_identity<typename precision::statistic>{}, role::weight, "");
            } else {
                add(weight(p), std::type_identity<typename precision::weight>{}, role::weight, "");
            }
            if (!entry.is_trained()) continue;
            if constexpr (has_master)
                add(master(p), std::type_identity<updated>{}, role::master_weight, "master");
            add(gradient(p), std::type_identity<typename precision::gradient>{}, role::gradient, "gradient");
            int which = 0;
            meta::for_each<typename optimizer::states>([&]<class State>(State) {
                constexpr auto line = has_pages ? role::paged : role::optimizer_state;
                auto const id = state(which++, p);
                if constexpr (may_be_in_blocks<State>)
                    if (is_in_blocks<State>(entry.count)) {
                        using block = typename State::block;
                        at(id) = snug::declare<block>(entry.name / State::name.view(),
                                                      optimizers::units_for<block>(entry.count), entry.copies,
                                                      line);
                        return;
                    }
                add(id, std::type_identity<typename State::element>{}, line, State::name.view());
            });
        }
        auto const buffers = model::template declare_buffers<setting>();
        auto const lifetimes = model::lifetimes();
        for (int b = 0; b < model::buffer_count; ++b) {
            auto& buffer = at(first_buffer + b);
            buffer = buffers.entries[static_cast<std::size_t>(b)];
            buffer.alive = lifetimes[static_cast<std::size_t>(b)];
            // Kept from one forward pass of a generated token to the next.
            if (keeps_all_activations && buffer.line == role::activation)
                for (auto& span : buffer.alive.intervals) span.first = 0;
        }
        // Before the first step, while nothing else lives there: values on their way into a quantized matrix.
        lifetime before_training;
        before_training.add({-1, -1});
        at(quantization_source) = snug::declare<float>(path{"quantization_source"}, longest_quantized, 1,
                                                       role::staging, before_training);
        if constexpr (has_pages) {
            // After the last backward pass. Two pages of every state: one is updated while others travel.
            lifetime update;
            update.add({after_training, after_training});
            index_t element = 0;
            meta::for_each<typename optimizer::states>([&]<class State>(State) {
                element = std::max(element, static_cast<index_t>(sizeof(typename State::element)));
            });
            at(pages) = snug::declare<std::byte>(path{"pages"}, page_elements * element, 2 * state_count,
                                                 role::staging, update);
        }
        at(partial_sums) = snug::declare<double>(path{"partial_sums"}, ops::sum_partials, 1, role::workspace);
        at(numbers) =
            snug::declare<std::byte>(path{"step_numbers"}, sizeof(step_numbers), 1, role::workspace);
        return all;
    }

    static constexpr auto plan = pack(declare());
    static constexpr memory_bill bill = bill_of(plan);
};

}  // namespace snug
