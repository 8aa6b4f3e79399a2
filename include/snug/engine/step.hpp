// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <algorithm>
#include <array>
#include <cmath>
#include <cstring>
#include <functional>
#include <limits>
#include <snug/engine/executor.hpp>
#include <snug/engine/host_view.hpp>
#include <snug/engine/load.hpp>
#include <snug/engine/run.hpp>
#include <snug/kernels/elements.hpp>
#include <snug/layers/hooks.hpp>
#include <snug/optimizers/optimizer.hpp>
#include <snug/optimizers/update.hpp>
#include <snug/random.hpp>
#include <string>
#include <tuple>
#include <vector>

namespace snug {

namespace refusal {

template <class Backend>
struct the_memory_of_a_device_is_not_the_programs {
    static_assert(
        in_program_memory<Backend>,
        "snug: weights(), stored() and gradients() hand out the trainer's memory, and this one's is "
        "a device's (see Backend). Use copy_of_weights(), copy_of_stored(), copy_of_gradients(), "
        "set_weights() and set_stored()");
};

}  // namespace refusal

namespace detail {

/// The blocks of a state that can be in blocks; a state that cannot is an element as it is.
template <class State>
struct block_of {
    using type = typename State::element;
};
template <class State>
    requires may_be_in_blocks<State>
struct block_of<State> {
    using type = typename State::block;
};

}  // namespace detail

template <class C>
run<C>::run(std::uint64_t seed)
    : memory_(prepare(), ops::memory<typename C::backend>()),
      paged_memory_(C::plan.paged, ops::paged_memory<typename C::backend>()) {
    auto const for_each_parameter = [](auto const& f) {
        int p = 0;
        auto const visit = [&]<class Parameter>(Parameter parameter) { f(p++, parameter); };
        meta::for_each<typename layer::all_parameters_of<typename model::body>::type>(visit);
        meta::for_each<typename layer::all_parameters_of<typename model::head>::type>(visit);
    };
    if constexpr (!std::is_same_v<typename C::quantization, quantization::none>) {
        host_view here(*this);
        for_each_parameter([&]<class Parameter>(int p, Parameter parameter) {
            if constexpr (is_quantized<Parameter>) initialise_quantized(p, parameter, seed);
        });
        here.write_back();
    }
    for_each_parameter([&]<class Parameter>(int p, Parameter parameter) {
        if constexpr (!is_quantized<Parameter> && !is_derived<Parameter>) initialise(p, parameter, seed);
    });
    clear_states();
    start_adapters();
}

/// Before the allocation: the place where it runs is ready for a trainer of this size, which is returned.
template <class C>
bytes run<C>::prepare() {
    ops::prepare<typename C::backend>(C::bill);
    return C::plan.total;
}

template <class C>
void run<C>::clear_states() {
    for (std::size_t i = 0; i < C::plan.declarations.size(); ++i) {
        auto const& declared = C::plan.declarations[i];
        if (declared.line == role::optimizer_state || declared.line == role::paged)
            clear(std::span(at<unsigned char>(static_cast<int>(i)),
                            static_cast<std::size_t>(declared.size().count)));
    }
    clear_gradients();
}

/// Nothing is accumulated.
template <class C>
void run<C>::clear_gradients() {
    for (int p = 0; p < C::parameters; ++p) clear(elements<gradient_type>(C::gradient(p)));
    accumulated_ = 0;
    accumulated_batches_ = 0;
    vanished_ = 0;
}

/// Derived parameters follow the others.
template <class C>
void run<C>::refresh() {
    kept_ = 0;
    if constexpr (C::has_derived)
        for_each_leaf<C>(memory_.data(), []<class Node>(auto const& call, index_t) {
            layer::refresh<typename Node::type>(call);
        });
}

/// After new base weights: what an adapter takes from them.
template <class C>
void run<C>::start_adapters() {
    refresh();
    bool is_needed = false;
    for_each_leaf<C>(memory_.data(), [&]<class Node>(auto const&, index_t) {
        is_needed |= layer::says_start<typename Node::type>;
    });
    if (is_needed) {
        host_view here(*this);
        for_each_leaf<C>(base_of_memory(), [this]<class Node>(auto const& call, index_t block) {
            using L = typename Node::type;
            auto const put = [&]<class Parameter>(Parameter, index_t i, auto value) {
                using parameters = layer::parameters<L>;
                static_assert(meta::contains<parameters, Parameter> && !is_quantized<Parameter> &&
                                  !is_derived<Parameter>,
                              "snug: what a layer's 'start' puts is a parameter that it declares");
                auto const p = Node::first_parameter + static_cast<int>(meta::find<parameters, Parameter>);
                auto const at_i = block * Parameter::shape::count + i;
                at<weight_type>(C::weight(p))[at_i] = static_cast<weight_type>(value);
                if constexpr (C::has_master && layer::trains<L, Parameter>)
                    at<typename C::updated>(C::master(p))[at_i] = static_cast<typename C::updated>(value);
            };
            layer::start<L>(call, put);
        });
        here.write_back();
    }
    if (is_needed) refresh();
}

template <class C>
template <class Parameter>
void run<C>::initialise(int p, Parameter, std::uint64_t seed) {
    using kernel = kernels::initialise<typename Parameter::initial, typename C::precision::statistic>;
    auto const values = elements<weight_type>(C::weight(p));
    bool const is_trained = C::parameter_table.entries[static_cast<std::size_t>(p)].is_trained();
    auto* const master = C::has_master && is_trained ? at<typename C::updated>(C::master(p)) : nullptr;
    ops::for_each_element<typename C::backend>(
        static_cast<index_t>(values.size()),
        ops::bound<kernel>(seed, static_cast<std::uint64_t>(p), index_t{0}, values.data(), master));
}

template <class C>
template <class Parameter>
void run<C>::initialise_quantized(int p, Parameter, std::uint64_t seed) {
    auto const& entry = C::parameter_table.entries[static_cast<std::size_t>(p)];
    auto* const source = at<float>(C::quantization_source);
    auto const stream = static_cast<std::uint64_t>(p);
    for (index_t copy = 0; copy < entry.copies; ++copy) {
        ops::for_each_element<on_host<typename C::backend>>(
            entry.count,
            ops::bound<kernels::initialise<typename Parameter::initial, double>>(
                seed, stream, copy * Parameter::shape::count, source, static_cast<float*>(nullptr)));
        store_quantized(p, copy, Parameter{});
    }
}

/// Quantizes the staged values of one copy into its place.
template <class C>
template <class Parameter>
void run<C>::store_quantized(int p, index_t copy, Parameter) {
    quantize<Parameter>(at<float>(C::quantization_source),
                        at<std::byte>(C::weight(p)) + copy * Parameter::stored_bytes);
}

template <class C>
index_t run<C>::check(token_batch const& batch) {
    auto const expected = static_cast<std::size_t>(tokens_per_step);
    if (batch.inputs.size() != expected || batch.targets.size() != expected)
        throw error({},
                    "a batch of " + std::to_string(batch.inputs.size()) + " inputs and " +
                        std::to_string(batch.targets.size()) + " targets",
                    std::to_string(expected) + " of each: micro-batches × sequences × tokens");
    if (!batch.starts.empty() && batch.starts.size() != expected)
        throw error({}, std::to_string(batch.starts.size()) + " starts of examples",
                    "none, or one for each of the " + std::to_string(expected) + " tokens");
    for (std::size_t i = 0; i < batch.starts.size(); ++i) {
        auto const position = static_cast<index_t>(i) % C::batch::tokens;
        auto const before = position == 0 ? 0 : batch.starts[i - 1];
        if (batch.starts[i] < before || batch.starts[i] > position)
            throw error({},
                        "start " + std::to_string(batch.starts[i]) + " at position " + std::to_string(i) +
                            " of the batch",
                        "from " + std::to_string(before) + " to " + std::to_string(position) +
                            ": a position of its row, not before that of the token to its left");
    }
    index_t counted = 0;
    for (std::size_t i = 0; i < expected; ++i) {
        for (auto const token : {batch.inputs[i], batch.targets[i]})
            if (token >= model::vocabulary || (token < 0 && token == batch.inputs[i]))
                throw error(
                    {},
                    "token " + std::to_string(token) + " at position " + std::to_string(i) + " of the batch",
                    "a token of the vocabulary of " + std::to_string(model::vocabulary));
        counted += batch.targets[i] >= 0;
    }
    if (counted == 0)
        throw error({}, "a batch without a counted target", "at least one target that is not negative");
    return counted;
}

template <class C>
void run<C>::stage(token_batch const& batch, index_t micro_batch, executor<C>& walker) {
    constexpr auto rows = static_cast<std::size_t>(C::setting::rows);
    auto const copy = [&](int buffer, std::span<std::int32_t const> from) {
        auto const part = from.subspan(static_cast<std::size_t>(micro_batch) * rows, rows);
        ops::copy_in<typename C::backend>(at<std::int32_t>(C::first_buffer + buffer), part.data(),
                                          part.size_bytes());
    };
    copy(model::tokens, batch.inputs);
    copy(model::targets, batch.targets);
    if (batch.starts.empty()) return;
    copy(model::starts, batch.starts);
    walker.separate_examples();
}

/// Puts the passes of all micro-batches under way; returns the number of counted tokens.
template <class C>
index_t run<C>::begin_step(token_batch const& batch) {
    using backend = typename C::backend;
    auto const counted = check(batch);
    kept_ = 0;
    step_numbers numbers;
    numbers.loss_scale = current_loss_scale() / static_cast<double>(counted);
    ops::copy_in<backend>(at<step_numbers>(C::numbers), &numbers, sizeof numbers);
    constexpr auto span = span_of_tokens{C::batch::sequences, C::batch::tokens, 0};
    executor<C> walker(memory_.data(), span);
    walker.draw();
    for (index_t m = 0; m < C::micro_batches; ++m) {
        stage(batch, m, walker);
        auto const key =
            random::bits(options.dropout_seed, static_cast<std::uint64_t>(steps_),
                         static_cast<std::uint64_t>(accumulated_batches_ * C::micro_batches + m));
        ops::copy_in<backend>(&at<step_numbers>(C::numbers)->dropout_key, &key, sizeof key);
        ops::run_recorded<backend>(recordings_[batch.starts.empty() ? 0 : 1],
                                   [&] { model::walk_training(walker); });
    }
    accumulated_ = counted;
    ++accumulated_batches_;
    return counted;
}

/// What the step has found so far; waits for it.
template <class C>
step_numbers run<C>::found() const {
    step_numbers result;
    ops::copy_out<typename C::backend>(&result, at<step_numbers>(C::numbers), sizeof result);
    return result;
}

template <class C>
step_result run<C>::accumulate(token_batch const& batch) {
    auto const counted = begin_step(batch);
    return {found().loss / static_cast<double>(counted), 0, 0, counted};
}

template <class C>
step_result run<C>::update(step_result result) {
    if (accumulated_ == 0)
        throw error({}, "an update without gradients: nothing was accumulated since the last one",
                    "a call of accumulate before it");
    options.check();
    begin_update();
    return finish_step(result, found());
}

template <class C>
step_result run<C>::step(token_batch const& batch) {
    options.check();
    auto const counted = begin_step(batch);
    begin_update();
    auto const numbers = found();
    return finish_step({numbers.loss / static_cast<double>(counted), 0, 0, counted}, numbers);
}

/// Puts the update under way. Gradients that are not finite, or not there, change nothing.
template <class C>
void run<C>::begin_update() {
    using backend = typename C::backend;
    auto* const numbers = at<step_numbers>(C::numbers);
    ops::for_each_element<backend>(1, ops::bound<kernels::set_to_zero>(&numbers->gradient_squares));
    for (int p = 0; p < C::parameters; ++p) {
        auto const gradient = elements<gradient_type>(C::gradient(p));
        if (gradient.empty()) continue;
        ops::add_sum<backend>(
            static_cast<index_t>(gradient.size()), at<double>(C::partial_sums), &numbers->gradient_squares,
            ops::bound<kernels::square_of>(static_cast<gradient_type const*>(gradient.data())));
    }
    // Under a loss scale gradients that vanish are tried again with another one, else only a number of such steps is an error.
    bool const may_vanish = !scales_loss<typename C::precision> && vanished_ + 1 < most_vanished;
    auto const vanished_above = may_vanish ? std::numeric_limits<double>::infinity()
                                           : loss_at_a_minimum * static_cast<double>(accumulated_);
    ops::for_each_element<backend>(
        1, ops::bound<optimizers::clip>(numbers, current_loss_scale(), options.largest_gradient_norm,
                                        vanished_above));
    if constexpr (!runs_ahead<backend>)
        if (!std::isfinite(numbers->gradient_scale)) return;
    update_numbers shared;
    shared.step = steps_ + 1;
    shared.learning_rate = options.learning_rate(shared.step);
    for (int p = 0; p < C::parameters; ++p) {
        shared.weight_decay =
            C::parameter_table.entries[static_cast<std::size_t>(p)].is_matrix() ? options.weight_decay : 0;
        update_parameter(p, shared, std::make_index_sequence<static_cast<std::size_t>(C::state_count)>{});
    }
    if constexpr (C::has_pages) ops::pages_are_away<backend>();
    refresh();
}

template <class C>
step_result run<C>::finish_step(step_result result, step_numbers const& numbers) {
    result.gradient_norm = std::sqrt(numbers.gradient_squares) / current_loss_scale();
    result.learning_rate = options.learning_rate(steps_ + 1);
    bool const vanished =
        numbers.gradient_squares == 0 && numbers.loss > loss_at_a_minimum * static_cast<double>(accumulated_);
    accumulated_ = 0;
    accumulated_batches_ = 0;
    if (!std::isfinite(numbers.gradient_scale)) {
        bool goes_on = false;
        if constexpr (scales_loss<typename C::precision>)
            goes_on = vanished ? loss_scale_.gradient_vanished() : loss_scale_.gradient_overflowed();
        if (!goes_on) refuse_gradient(result, numbers);
        clear_gradients();
        result.skipped = true;
        return result;
    }
    ++steps_;
    vanished_ = vanished ? vanished_ + 1 : 0;
    if constexpr (scales_loss<typename C::precision>) loss_scale_.step_was_good();
    if (numbers.not_finite != 0) refuse_update(result);
    return result;
}

/// f(i, value) for the numbers of a declaration in order, until it returns true. Reads them in pieces, wherever they are.
template <class C>
template <class T, class F>
void run<C>::for_each_number(int declaration, F const& f) const {
    auto const all = elements<T>(declaration);
    std::vector<T> piece(std::min(all.size(), std::size_t{1} << 16));
    for (std::size_t first = 0; first < all.size(); first += piece.size()) {
        auto const count = std::min(piece.size(), all.size() - first);
        if (C::plan.declarations[static_cast<std::size_t>(declaration)].line == role::paged)
            std::memcpy(piece.data(), all.data() + first, count * sizeof(T));
        else ops::copy_out<typename C::backend>(piece.data(), all.data() + first, count * sizeof(T));
        for (std::size_t i = 0; i < count; ++i)
            if (f(static_cast<index_t>(first + i), kernels::as_double(piece[i]))) return;
    }
}

/// Where element `i` of all copies of a parameter is, or of a state of it.
template <class C>
place run<C>::place_of(int p, index_t i, std::string_view state) {
    auto const& entry = C::parameter_table.entries[static_cast<std::size_t>(p)];
    auto name = detail::full_name(entry, i / entry.count);
    if (!state.empty()) (name += '.') += state;
    return {{}, -1, std::move(name)};
}

namespace detail {

inline std::string element_as_text(double value, index_t i) {
    return number_as_text(value) + " at element " + std::to_string(i);
}

}  // namespace detail

/// Says why a step changed nothing and cannot be tried again, with the parameter where that shows first.
template <class C>
void run<C>::refuse_gradient(step_result const& result, step_numbers const& numbers) {
    bool const vanished = numbers.gradient_squares == 0;
    place where;
    std::string element;
    double largest = 0;
    for (int p = 0; p < C::parameters && (vanished || element.empty()); ++p) {
        auto const& entry = C::parameter_table.entries[static_cast<std::size_t>(p)];
        auto const visit = [&](index_t i, double value) {
            if (vanished ? std::abs(value) <= largest : std::isfinite(value)) return false;
            largest = std::abs(value);
            where = place_of(p, i);
            element = detail::element_as_text(value, i % entry.count);
            return !vanished;
        };
        if (!vanished) for_each_number<gradient_type>(C::gradient(p), visit);
        else if (!entry.is_quantized() && !entry.is_derived())
            for_each_number<weight_type>(C::weight(p), visit);
    }
    clear_gradients();
    std::string const step =
        " in step " + std::to_string(steps_ + 1) + " (loss " + detail::number_as_text(result.loss) + ")";
    std::string scale;
    if constexpr (scales_loss<typename C::precision>)
        scale = ", skipped " + std::to_string(loss_scale_.skips) +
                " times in a row, now at a loss scale of " + detail::number_as_text(loss_scale_.value);
    if (vanished)
        throw error(
            std::move(where),
            "gradients that are all exactly 0" + step +
                (scale.empty() ? " and the " + std::to_string(most_vanished - 1) + " before it" : scale) +
                "; the largest weight is " + element,
            "gradients: weights that are not so large that what they meet overflows; the weights are "
            "unchanged");
    if (element.empty())
        throw error({}, "a gradient norm of " + detail::number_as_text(result.gradient_norm) + step + scale,
                    "a finite one, and a finite loss; the weights are unchanged");
    throw error(std::move(where),
                "a gradient norm of " + detail::number_as_text(result.gradient_norm) + step + scale +
                    ": a gradient of " + element,
                "a finite one; the weights are unchanged");
}

/// The first number of weights and states that is not finite, and where it is; empty when there is none.
template <class C>
std::string run<C>::what_is_not_finite(place& where) const {
    std::string element;
    for (int p = 0; p < C::parameters && element.empty(); ++p) {
        auto const& entry = C::parameter_table.entries[static_cast<std::size_t>(p)];
        if (!entry.is_trained()) continue;
        std::string_view of_state;
        auto const visit = [&](index_t i, double value) {
            if (std::isfinite(value)) return false;
            where = place_of(p, i, of_state);
            element = detail::element_as_text(value, i % entry.count);
            return true;
        };
        for_each_number<weight_type>(C::weight(p), visit);
        if constexpr (C::has_master)
            if (element.empty()) for_each_number<typename C::updated>(C::master(p), visit);
        int which = 0;
        meta::for_each<typename C::optimizer::states>([&]<class State>(State) {
            of_state = State::name.view();
            auto const id = C::state(which++, p);
            if (element.empty() && !is_in_blocks<State>(entry.count))
                for_each_number<typename State::element>(id, visit);
        });
    }
    return element;
}

/// Says what an update has made of which weight or state.
template <class C>
void run<C>::refuse_update(step_result const& result) const {
    place where;
    auto const element = what_is_not_finite(where);
    throw error(
        std::move(where),
        (element.empty() ? "weights or states too large for their type" : element) +
            " after the update of step " + std::to_string(steps_) + " (learning rate " +
            detail::number_as_text(result.learning_rate) + ", gradient norm " +
            detail::number_as_text(result.gradient_norm) + ")",
        "a finite one: a smaller learning rate, from the last snapshot; the weights have been changed");
}

template <class C>
template <std::size_t... S>
void run<C>::update_parameter(int p, update_numbers const& numbers, std::index_sequence<S...> all) {
    using states = typename C::optimizer::states;
    auto const& entry = C::parameter_table.entries[static_cast<std::size_t>(p)];
    if (!entry.is_trained()) return;
    auto const rule = C::optimizer::rule(options.optimizer, numbers);
    if constexpr ((may_be_in_blocks<meta::at<states, static_cast<index_t>(S)>> || ...))
        if ((is_in_blocks<meta::at<states, static_cast<index_t>(S)>>(entry.count) || ...)) {
            update_with<typename detail::block_of<meta::at<states, static_cast<index_t>(S)>>::type...>(
                p, rule, all);
            return;
        }
    update_with<typename meta::at<states, static_cast<index_t>(S)>::element...>(p, rule, all);
}

/// The update of one parameter, with its states in units of these types: elements, or blocks of them. Paged states go through
/// the planned pages.
template <class C>
template <class... Units, class Rule, std::size_t... S>
void run<C>::update_with(int p, Rule const& rule, std::index_sequence<S...>) {
    auto const& entry = C::parameter_table.entries[static_cast<std::size_t>(p)];
    constexpr bool in_blocks = (optimizers::elements_of_unit<Units> * ... * 1) > 1;
    if constexpr (!in_blocks && !C::has_pages) {
        update_elements(p, rule, 0, entry.total(), at<Units>(C::state(static_cast<int>(S), p))...);
    } else {
        // Blocks do not run on from one copy to the next.
        for (index_t copy = 0; copy < entry.copies; ++copy) {
            auto const units = std::tuple{at<Units>(C::state(static_cast<int>(S), p)) +
                                          copy * optimizers::units_for<Units>(entry.count)...};
            if constexpr (!C::has_pages) {
                update_elements(p, rule, copy * entry.count, entry.count, std::get<S>(units)...);
            } else {
                using backend = typename C::backend;
                auto const count_at = [&](index_t first) {
                    return std::min(page_elements, entry.count - first);
                };
                auto const size_at = [&]<class Unit>(index_t first, Unit const*) {
                    return static_cast<std::size_t>(optimizers::units_for<Unit>(count_at(first))) *
                           sizeof(Unit);
                };
                auto const slot_of = [](index_t first) {
                    return static_cast<int>(first / page_elements % 2);
                };
                auto const page = [&]<class Unit>(index_t first, std::size_t s, Unit*) {
                    auto const& pages = C::plan.declarations[static_cast<std::size_t>(C::pages)];
                    auto const which = 2 * static_cast<index_t>(s) + slot_of(first);
                    return reinterpret_cast<Unit*>(at<std::byte>(C::pages) + which * pages.stride());
                };
                auto const away = [&]<class Unit>(index_t first, Unit* all) {
                    return all + first / optimizers::elements_of_unit<Unit>;
                };
                auto const bring = [&](index_t first) {
                    (ops::page_in<backend>(slot_of(first), page(first, S, std::get<S>(units)),
                                           away(first, std::get<S>(units)),
                                           size_at(first, std::get<S>(units))),
                     ...);
                };
                bring(0);
                for (index_t first = 0; first < entry.count; first += page_elements) {
                    // The next page travels while this one is updated.
                    if (first + page_elements < entry.count) bring(first + page_elements);
                    ops::page_is_here<backend>(slot_of(first));
                    update_elements(p, rule, copy * entry.count + first, count_at(first),
                                    page(first, S, std::get<S>(units))...);
                    (ops::page_out<backend>(slot_of(first), away(first, std::get<S>(units)),
                                            page(first, S, std::get<S>(units)),
                                            size_at(first, std::get<S>(units))),
                     ...);
                }
            }
        }
    }
}

/// The update of elements [first, first + count) of one parameter; `states` are those of the first of them.
template <class C>
template <class Rule, class... Units>
void run<C>::update_elements(int p, Rule const& rule, index_t first, index_t count, Units*... states) {
    using updated = typename C::updated;
    using sum = typename C::precision::statistic;
    optimizers::updated_tensor<updated, weight_type, gradient_type> const tensor{
        at<updated>(C::has_master ? C::master(p) : C::weight(p)) + first,
        at<weight_type>(C::weight(p)) + first,
        at<gradient_type>(C::gradient(p)) + first,
        &at<step_numbers>(C::numbers)->gradient_scale,
        &at<step_numbers>(C::numbers)->not_finite,
        static_cast<std::uint64_t>(steps_ + 1),
        static_cast<std::uint64_t>(p),
        first};
    using update = optimizers::update_element<sum, rounds_stochastically<typename C::precision>,
                                              C::has_master, runs_ahead<typename C::backend>>;
    constexpr index_t unit = std::max({optimizers::elements_of_unit<Units>..., index_t{1}});
    if constexpr (unit == 1 && runs_ahead<typename C::backend>) {
        ops::for_each_element<typename C::backend>(
            count, ops::bound<optimizers::update_elements<update>>(rule, tensor, states...));
    } else if constexpr (unit == 1) {
        constexpr index_t length = 16384;
        ops::for_each_row<typename C::backend, length>(
            (count + length - 1) / length,
            ops::bound<optimizers::update_runs<update, length>>(rule, tensor, count, states...));
    } else {
        ops::for_each_row<typename C::backend, unit>(
            (count + unit - 1) / unit,
            ops::bound<optimizers::update_blocks<update, unit, Units...>>(rule, tensor, count, states...));
    }
}

template <class C>
template <class T>
void run<C>::clear(std::span<T> values) const {
    ops::for_each_element<typename C::backend>(static_cast<index_t>(values.size()),
                                               ops::bound<kernels::set_to_zero>(values.data()));
}

template <class C>
evaluation run<C>::evaluate(token_batch const& batch) {
    auto const counted = check(batch);
    kept_ = 0;
    constexpr auto span = span_of_tokens{C::batch::sequences, C::batch::tokens, 0};
    executor<C> walker(memory_.data(), span);
    step_numbers const numbers;
    ops::copy_in<typename C::backend>(at<step_numbers>(C::numbers), &numbers, sizeof numbers);
    for (index_t m = 0; m < C::micro_batches; ++m) {
        stage(batch, m, walker);
        model::walk_forward(walker);
        walker.evaluate();
    }
    auto const loss = found().loss / static_cast<double>(counted);
    return {loss, std::exp(loss), counted};
}

template <class C>
template <class Batches>
    requires requires(Batches& batches) { batches.begin(); }
evaluation run<C>::evaluate(Batches&& batches) {
    evaluation total;
    for (auto const& batch : batches) {
        auto const one = evaluate(token_batch(batch));
        total.loss += one.loss * static_cast<double>(one.tokens);
        total.tokens += one.tokens;
    }
    if (total.tokens == 0) throw error({}, "no batch to evaluate", "at least one");
    total.loss /= static_cast<double>(total.tokens);
    total.perplexity = std::exp(total.loss);
    return total;
}

template <class C>
int run<C>::parameter_named(std::string_view name) {
    for (int p = 0; p < C::parameters; ++p)
        if (C::parameter_table.entries[static_cast<std::size_t>(p)].name.view() == name) return p;
    std::array<std::string_view, static_cast<std::size_t>(C::parameters)> names;
    for (std::size_t p = 0; p < names.size(); ++p) names[p] = C::parameter_table.entries[p].name.view();
    std::ranges::stable_sort(names, std::ranges::greater{},
                             [&](auto const& other) { return detail::likeness(other, name); });
    std::string closest;
    for (std::size_t i = 0; i < std::min<std::size_t>(names.size(), 3); ++i)
        if (detail::likeness(names[i], name) * 2 > name.size())
            (closest += closest.empty() ? "; the closest are " : ", ") += names[i];
    throw error({}, "no parameter called " + std::string(name),
                "one of the " + std::to_string(names.size()) + " parameters of the model" +
                    (closest.empty() ? ", such as " + std::string(C::parameter_table.entries[0].name.view())
                                     : closest));
}

template <class C>
int run<C>::plain_parameter_named(std::string_view name) {
    auto const p = parameter_named(name);
    auto const& entry = C::parameter_table.entries[static_cast<std::size_t>(p)];
    if (entry.is_quantized())
        throw error({{}, -1, std::string(name)}, "a quantized parameter", "another one; see stored()");
    if (entry.is_derived())
        throw error({{}, -1, std::string(name)}, "a derived parameter",
                    "one that is not computed from others");
    return p;
}

template <class C>
int run<C>::quantized_parameter_named(std::string_view name) {
    auto const p = parameter_named(name);
    if (!C::parameter_table.entries[static_cast<std::size_t>(p)].is_quantized())
        throw error({{}, -1, std::string(name)}, "a parameter that is not quantized",
                    "a quantized one; see weights()");
    return p;
}

template <class C>
std::span<typename run<C>::weight_type> run<C>::weights(std::string_view name) {
    static_assert(sizeof(refusal::the_memory_of_a_device_is_not_the_programs<typename C::backend>) > 0);
    return elements<weight_type>(C::weight(plain_parameter_named(name)));
}

template <class C>
std::span<std::byte> run<C>::stored(std::string_view name) {
    static_assert(sizeof(refusal::the_memory_of_a_device_is_not_the_programs<typename C::backend>) > 0);
    return elements<std::byte>(C::weight(quantized_parameter_named(name)));
}

template <class C>
std::span<typename run<C>::gradient_type const> run<C>::gradients(std::string_view name) const {
    static_assert(sizeof(refusal::the_memory_of_a_device_is_not_the_programs<typename C::backend>) > 0);
    return elements<gradient_type>(C::gradient(parameter_named(name)));
}

template <class C>
template <class T>
std::vector<T> run<C>::copy_of(int declaration) const {
    auto const from = elements<T>(declaration);
    std::vector<T> result(from.size());
    ops::copy_out<typename C::backend>(result.data(), from.data(), from.size_bytes());
    return result;
}

template <class C>
std::vector<typename run<C>::weight_type> run<C>::copy_of_weights(std::string_view name) const {
    return copy_of<weight_type>(C::weight(plain_parameter_named(name)));
}

template <class C>
std::vector<typename run<C>::gradient_type> run<C>::copy_of_gradients(std::string_view name) const {
    return copy_of<gradient_type>(C::gradient(parameter_named(name)));
}

template <class C>
std::vector<std::byte> run<C>::copy_of_stored(std::string_view name) const {
    return copy_of<std::byte>(C::weight(quantized_parameter_named(name)));
}

template <class C>
template <class T>
void run<C>::replace(std::string_view name, int p, std::span<T const> values) {
    auto const to = elements<T>(C::weight(p));
    if (to.size() != values.size())
        throw error({{}, -1, std::string(name)}, std::to_string(values.size()) + " values",
                    std::to_string(to.size()) + ", as this trainer was compiled for");
    ops::copy_in<typename C::backend>(to.data(), values.data(), values.size_bytes());
    follow(p);
    clear_gradients();  // they were those of other weights
    refresh();
}

template <class C>
void run<C>::set_weights(std::string_view name, std::span<weight_type const> values,
                         load_options const& allowed) {
    for (std::size_t i = 0; i < values.size(); ++i)
        if (auto const value = kernels::as_double(values[i]);
            !allowed.allow_not_finite && !std::isfinite(value))
            throw error({{}, -1, std::string(name)}, detail::element_as_text(value, static_cast<index_t>(i)),
                        "finite weights");
    replace(name, plain_parameter_named(name), values);
}

template <class C>
void run<C>::set_stored(std::string_view name, std::span<std::byte const> bytes) {
    auto const p = quantized_parameter_named(name);
    with_quantized(p, [&]<class Parameter>(Parameter) {
        arena const beside({Parameter::stored_bytes});  // a scheme reads aligned memory
        auto const size = static_cast<std::size_t>(Parameter::stored_bytes);
        for (std::size_t first = 0; first + size <= bytes.size(); first += size) {
            std::memcpy(beside.data(), bytes.data() + first, size);
            auto const [i, value] =
                detail::first_not_finite_stored<on_host<typename C::backend>, Parameter>(beside.data());
            if (i < Parameter::shape::count)
                throw error({{}, -1, std::string(name)},
                            "bytes that the quantization scheme reads as " +
                                detail::element_as_text(
                                    value, i + static_cast<index_t>(first / size) * Parameter::shape::count),
                            "finite weights");
        }
    });
    replace(name, p, bytes);
}

/// Without a look at every number where the program is.
template <class C>
template <class T>
bool run<C>::is_finite(int declaration) {
    auto const values = elements<T>(declaration);
    auto* const count = &at<step_numbers>(C::numbers)->not_finite;
    ops::for_each_element<typename C::backend>(1, ops::bound<kernels::set_to_zero>(count));
    ops::add_sum<typename C::backend>(
        static_cast<index_t>(values.size()), at<double>(C::partial_sums), count,
        ops::bound<kernels::is_not_finite>(static_cast<T const*>(values.data())));
    return found().not_finite == 0;
}

template <class C>
void run<C>::weights_changed() {
    for (int p = 0; p < C::parameters; ++p) {
        auto const& entry = C::parameter_table.entries[static_cast<std::size_t>(p)];
        if (entry.is_quantized() || entry.is_derived() || is_finite<weight_type>(C::weight(p))) continue;
        for_each_number<weight_type>(C::weight(p), [&](index_t i, double value) {
            if (std::isfinite(value)) return false;
            throw error(place_of(p, i), detail::element_as_text(value, i % entry.count), "finite weights");
        });
    }
    for (int p = 0; p < C::parameters; ++p) follow(p);
    refresh();
}

/// The master copy of a parameter follows its weights.
template <class C>
void run<C>::follow(int p) {
    if constexpr (C::has_master) {
        if (!C::parameter_table.entries[static_cast<std::size_t>(p)].is_trained()) return;
        auto const from = elements<weight_type>(C::weight(p));
        // Not a plain loop: g++ 12 takes one that copies between elements of two sizes in one allocation for a function
        // without effects, and drops the call.
        ops::for_each_element<typename C::backend>(
            static_cast<index_t>(from.size()),
            ops::bound<kernels::convert>(static_cast<weight_type const*>(from.data()),
                                         at<typename C::updated>(C::master(p))));
    }
}

}  // namespace snug
