// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cmath>
#include <cstring>
#include <snug/diagnose/require.hpp>
#include <snug/engine/refresh.hpp>
#include <snug/engine/results.hpp>
#include <snug/engine/store.hpp>
#include <snug/kernels/elements.hpp>
#include <snug/layers/tables.hpp>
#include <snug/ops/copy.hpp>
#include <string>
#include <vector>

/// Which number of which tensor is to blame: looked for only once something is refused.
namespace snug::SNUG_TARGET::engine {

/// f(i, value) for the numbers of a region in order, until it returns true. Reads them in pieces, wherever
/// they are.
template <class T, class C, class F>
void for_each_number(store<C> const& s, region where, F const& f) {
    auto const all = s.template elements<T>(where);
    if (all.empty()) return;
    bool const is_here =
        C::plan.declarations[static_cast<std::size_t>(where.declaration)].where == space::host_memory;
    std::vector<T> piece(std::min(all.size(), std::size_t{1} << 16));
    for (std::size_t first = 0; first < all.size(); first += piece.size()) {
        auto const count = std::min(piece.size(), all.size() - first);
        if (is_here) std::memcpy(piece.data(), all.data() + first, count * sizeof(T));
        else ops::copy_out(s.on(), piece.data(), all.data() + first, count * sizeof(T));
        for (std::size_t i = 0; i < count; ++i)
            if (f(static_cast<index_t>(first + i), kernels::as_double(piece[i]))) return;
    }
}

/// Where element `i` of all copies of a parameter is, or of a state of it.
inline place place_of(parameter_entry const& entry, index_t i, std::string_view state = {}) {
    auto name = entry.full_name(i / entry.count);
    if (!state.empty()) (name += '.') += state;
    return {{}, -1, std::move(name)};
}

inline std::string element_as_text(double value, index_t i) {
    return detail::number_as_text(value) + " at element " + std::to_string(i);
}

/// A number that is refused, and where it is; `text` is empty when there is none.
struct finding {
    place where{};
    std::string text{};
};

/// The first weight, master copy or state that is not finite.
template <class C>
finding first_not_finite_number(store<C> const& s) {
    finding found;
    for (int p = 0; p < C::parameters && found.text.empty(); ++p) {
        auto const& entry = C::entry(p);
        if (!entry.is_trained()) continue;
        std::string_view of_state;
        auto const visit = [&](index_t i, double value) {
            if (std::isfinite(value)) return false;
            found = {place_of(entry, i, of_state), element_as_text(value, i % entry.count)};
            return true;
        };
        for_each_number<typename C::precision::weight>(s, C::weight(p), visit);
        if constexpr (C::has_master)
            if (found.text.empty()) for_each_number<typename C::updated>(s, C::master(p), visit);
        int which = 0;
        meta::for_each<typename C::optimizer::states>([&]<class State>(State) {
            of_state = State::name.view();
            auto const state = C::state(which++, p);
            if (found.text.empty() && !is_in_blocks<State>(entry.count))
                for_each_number<typename State::element>(s, state, visit);
        });
    }
    return found;
}

/// Says why a step changed nothing and cannot be tried again, with the parameter where that shows first.
template <class C>
[[noreturn]] void refuse_gradient(store<C>& s, step_result const& result, step_numbers const& numbers) {
    bool const vanished = numbers.gradient_squares == 0;
    finding found;
    double largest = 0;
    for (int p = 0; p < C::parameters && (vanished || found.text.empty()); ++p) {
        auto const& entry = C::entry(p);
        auto const visit = [&](index_t i, double value) {
            if (vanished ? std::abs(value) <= largest : std::isfinite(value)) return false;
            largest = std::abs(value);
            found = {place_of(entry, i), element_as_text(value, i % entry.count)};
            return !vanished;
        };
        if (!vanished) for_each_number<typename C::precision::gradient>(s, C::gradient(p), visit);
        else if (!entry.is_quantized() && !entry.is_derived())
            for_each_number<typename C::precision::weight>(s, C::weight(p), visit);
    }
    clear_gradients(s);
    std::string const step = " in step " + std::to_string(s.done.steps + 1) + " (loss " +
                             detail::number_as_text(result.loss) + ")";
    std::string scale;
    if constexpr (scales_loss<typename C::precision>)
        scale = ", skipped " + std::to_string(s.done.scale.skips) +
                " times in a row, now at a loss scale of " + detail::number_as_text(s.done.scale.value);
    if (vanished)
        throw error(
            std::move(found.where),
            "gradients that are all exactly 0" + step +
                (scale.empty() ? " and the " + std::to_string(most_vanished - 1) + " before it" : scale) +
                "; the largest weight is " + found.text,
            "gradients: weights that are not so large that what they meet overflows; the weights are "
            "unchanged");
    auto const norm = "a gradient norm of " + detail::number_as_text(result.gradient_norm) + step + scale;
    if (found.text.empty())
        throw error({}, norm, "a finite one, and a finite loss; the weights are unchanged");
    throw error(std::move(found.where), norm + ": a gradient of " + found.text,
                "a finite one; the weights are unchanged");
}

/// Says what an update has made of which weight or state.
template <class C>
[[noreturn]] void refuse_update(store<C> const& s, step_result const& result) {
    auto found = first_not_finite_number(s);
    throw error(
        std::move(found.where),
        (found.text.empty() ? "weights or states too large for their type" : found.text) +
            " after the update of step " + std::to_string(s.done.steps) + " (learning rate " +
            detail::number_as_text(result.learning_rate) + ", gradient norm " +
            detail::number_as_text(result.gradient_norm) + ")",
        "a finite one: a smaller learning rate, from the last snapshot; the weights have been changed");
}

}  // namespace snug::SNUG_TARGET::engine
