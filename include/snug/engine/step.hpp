// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cmath>
#include <cstring>
#include <snug/engine/executor.hpp>
#include <snug/engine/host_view.hpp>
#include <snug/engine/run.hpp>
#include <snug/kernels/elements.hpp>
#include <snug/kernels/random.hpp>
#include <snug/optimizers/optimizer.hpp>
#include <snug/optimizers/update.hpp>
#include <string>
#include <tuple>

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
    for (int p = 0; p < C::parameters; ++p) clear(elements<gradient_type>(C::gradient(p)));
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
}

/// Derived parameters follow the others.
template <class C>
void run<C>::refresh() {
    if constexpr (C::has_derived)
        for_each_leaf<C>(memory_.data(), []<class Node>(auto const& call, index_t) {
            if constexpr (layer::has_derived<typename Node::type>) Node::type::refresh(call);
        });
}

/// After new base weights: what an adapter takes from them.
template <class C>
void run<C>::start_adapters() {
    refresh();
    bool is_needed = false;
    auto const put_nothing = [](auto, index_t, auto) {};
    for_each_leaf<C>(memory_.data(), [&]<class Node>(auto const& call, index_t) {
        is_needed |= requires { Node::type::start(call, put_nothing); };
    });
    if (is_needed) {
        host_view here(*this);
        for_each_leaf<C>(base_of_memory(), [this]<class Node>(auto const& call, index_t block) {
            auto const put = [&]<class Parameter>(Parameter, index_t i, auto value) {
                using parameters = layer::parameters<typename Node::type>;
                auto const p = Node::first_parameter + static_cast<int>(meta::find<parameters, Parameter>);
                auto const at_i = block * Parameter::shape::count + i;
                at<weight_type>(C::weight(p))[at_i] = static_cast<weight_type>(value);
                if constexpr (C::has_master)
                    at<typename C::updated>(C::master(p))[at_i] = static_cast<typename C::updated>(value);
            };
            if constexpr (requires { Node::type::start(call, put); }) Node::type::start(call, put);
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
    auto* const region = at<std::byte>(C::weight(p)) + copy * Parameter::stored_bytes;
    auto const values = std::span<float const>(at<float>(C::quantization_source),
                                               static_cast<std::size_t>(Parameter::shape::count));
    Parameter::scheme::encode(values, Parameter::extent, region, [](index_t count, auto const& body) {
        ops::for_each_row<on_host<typename C::backend>>(count, [&body](auto, index_t i) { body(i); });
    });
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
    step_numbers numbers;
    numbers.loss_scale = current_loss_scale() / static_cast<double>(counted);
    ops::copy_in<backend>(at<step_numbers>(C::numbers), &numbers, sizeof numbers);
    constexpr auto span = span_of_tokens{C::batch::sequences, C::batch::tokens, 0};
    executor<C> walker(memory_.data(), span);
    walker.draw();
    for (index_t m = 0; m < C::micro_batches; ++m) {
        stage(batch, m, walker);
        auto const key = random::bits(options.dropout_seed, static_cast<std::uint64_t>(steps_),
                                      static_cast<std::uint64_t>(m));
        ops::copy_in<backend>(&at<step_numbers>(C::numbers)->dropout_key, &key, sizeof key);
        ops::run_recorded<backend>(recordings_[batch.starts.empty() ? 0 : 1],
                                   [&] { model::walk_training(walker); });
    }
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
    begin_update();
    return finish_step(result, found());
}

template <class C>
step_result run<C>::step(token_batch const& batch) {
    auto const counted = begin_step(batch);
    begin_update();
    auto const numbers = found();
    return finish_step({numbers.loss / static_cast<double>(counted), 0, 0, counted}, numbers);
}

/// Puts the update under way. Gradients that are not finite are cleared and change nothing.
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
    ops::for_each_element<backend>(
        1, ops::bound<optimizers::clip>(numbers, current_loss_scale(), options.largest_gradient_norm));
    if constexpr (!runs_ahead<backend>) {
        if (!std::isfinite(numbers->gradient_scale)) {
            for (int p = 0; p < C::parameters; ++p) clear(elements<gradient_type>(C::gradient(p)));
            return;
        }
    }
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
    if (!std::isfinite(numbers.gradient_scale)) {
        if constexpr (!scales_loss<typename C::precision>)
            throw error({},
                        "a gradient norm of " + std::to_string(result.gradient_norm) + " in step " +
                            std::to_string(steps_ + 1) + " (loss " + std::to_string(result.loss) + ")",
                        "a finite one; the weights are unchanged");
        loss_scale_.gradient_overflowed();
        result.skipped = true;
        return result;
    }
    ++steps_;
    if constexpr (scales_loss<typename C::precision>) loss_scale_.step_was_good();
    return result;
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
        static_cast<std::uint64_t>(steps_ + 1),
        static_cast<std::uint64_t>(p),
        first};
    using update = optimizers::update_element<sum, rounds_stochastically<typename C::precision>,
                                              C::has_master, runs_ahead<typename C::backend>>;
    constexpr index_t unit = std::max({optimizers::elements_of_unit<Units>..., index_t{1}});
    if constexpr (unit == 1) {
        ops::for_each_element<typename C::backend>(
            count, ops::bound<optimizers::update_elements<update>>(rule, tensor, states...));
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
    throw error({}, "no parameter called " + std::string(name), "a name of the model's parameter table");
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
    refresh();
}

template <class C>
void run<C>::set_weights(std::string_view name, std::span<weight_type const> values) {
    replace(name, plain_parameter_named(name), values);
}

template <class C>
void run<C>::set_stored(std::string_view name, std::span<std::byte const> bytes) {
    replace(name, quantized_parameter_named(name), bytes);
}

template <class C>
void run<C>::weights_changed() {
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
