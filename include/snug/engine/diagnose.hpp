// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cmath>
#include <cstring>
#include <snug/diagnose/require.hpp>
#include <snug/engine/refresh.hpp>
#include <snug/engine/results.hpp>
#include <snug/engine/store.hpp>
#include <snug/engine/verdicts.hpp>
#include <snug/kernels/elements.hpp>
#include <snug/layers/tables.hpp>
#include <snug/ops/copy.hpp>
#include <string>
#include <string_view>
#include <tuple>
#include <vector>

/// Which number of which tensor is to blame: looked for only once something is refused.
namespace snug::SNUG_TARGET::engine {

/// f(i, value) for the numbers of an array of parameter p that this process holds, in order, until it returns
/// true. Reads them in pieces, wherever they are.
template <class T, class C, class F>
void for_each_number(store<C> const& s, region where, int p, F const& f) {
    if (where.declaration < 0) return;
    bool const is_here =
        C::plan.declarations[static_cast<std::size_t>(where.declaration)].where == space::host_memory;
    std::vector<T> piece(static_cast<std::size_t>(std::min(C::entry(p).total(), index_t{1} << 16)));
    bool is_over = false;
    s.template for_each_stretch<T>(where, p, [&](std::span<T> all, index_t before) {
        for (std::size_t first = 0; first < all.size() && !is_over; first += piece.size()) {
            auto const count = std::min(piece.size(), all.size() - first);
            if (is_here) std::memcpy(piece.data(), all.data() + first, count * sizeof(T));
            else ops::copy_out(s.on(), piece.data(), all.data() + first, count * sizeof(T));
            for (std::size_t i = 0; i < count && !is_over; ++i)
                is_over = f(before + static_cast<index_t>(first + i), kernels::as_double(piece[i]));
        }
    });
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

/// A number that is refused, and where it is. As ranks send it to each other.
struct finding {
    int parameter = -1;   ///< -1: there is none
    int array = 0;        ///< of the parameter: weights, master copy, states
    index_t element = 0;  ///< of all copies
    double value = 0;

    bool is_there() const { return parameter >= 0; }
    bool is_before(finding const& other) const {
        return std::tie(parameter, array, element) < std::tie(other.parameter, other.array, other.element);
    }
};
inline constexpr int first_state = 2;

template <class C>
place place_of(finding const& found) {
    std::string_view state;
    int which = first_state;
    meta::for_each<typename C::optimizer::states>([&]<class State>(State) {
        if (which++ == found.array) state = State::name.view();
    });
    return found.is_there() ? place_of(C::entry(found.parameter), found.element, state) : place{};
}
template <class C>
std::string text_of(finding const& found) {
    return found.is_there() ? element_as_text(found.value, found.element % C::entry(found.parameter).count)
                            : "";
}

/// The best of what all ranks have found, on every one of them.
template <class C, class Better>
finding best_of_ranks(store<C> const& s, finding const& mine, Better const& is_better) {
    finding best;
    for (auto const& theirs : from_all_ranks(s, "agreement on a number", mine))
        if (theirs.is_there() && (!best.is_there() || is_better(theirs, best))) best = theirs;
    return best;
}
template <class C>
finding first_of_ranks(store<C> const& s, finding const& mine) {
    return best_of_ranks(s, mine, [](finding const& a, finding const& b) { return a.is_before(b); });
}

/// The first weight, master copy or state that is not finite. All ranks call it.
template <class C>
finding first_not_finite_number(store<C> const& s) {
    finding found;
    for (int p = 0; p < C::parameters && !found.is_there(); ++p) {
        auto const& entry = C::entry(p);
        if (!entry.is_trained()) continue;
        auto const visit = [&](int array) {
            return [&found, p, array](index_t i, double value) {
                if (std::isfinite(value)) return false;
                found = {p, array, i, value};
                return true;
            };
        };
        for_each_number<typename C::precision::weight>(s, C::weight(p), p, visit(0));
        if constexpr (C::has_master)
            if (!found.is_there()) for_each_number<typename C::updated>(s, C::master(p), p, visit(1));
        int which = 0;
        meta::for_each<typename C::optimizer::states>([&]<class State>(State) {
            auto const state = C::state(which, p);
            if (!found.is_there() && !is_in_blocks<State>(entry.count))
                for_each_number<typename State::element>(s, state, p, visit(first_state + which));
            ++which;
        });
    }
    return first_of_ranks(s, found);
}

/// Says why a step changed nothing and cannot be tried again, with the parameter where that shows first. All ranks
/// call it.
template <class C>
[[noreturn]] void refuse_gradient(store<C>& s, step_result const& result, step_numbers const& numbers) {
    bool const vanished = numbers.gradient_squares == 0;
    finding found;
    for (int p = 0; p < C::parameters && (vanished || !found.is_there()); ++p) {
        auto const& entry = C::entry(p);
        auto const visit = [&](index_t i, double value) {
            if (vanished ? std::abs(value) <= std::abs(found.value) : std::isfinite(value)) return false;
            found = {p, 0, i, value};
            return !vanished;
        };
        if (!vanished) for_each_number<typename C::precision::gradient>(s, C::gradient(p), p, visit);
        else if (!entry.is_quantized() && !entry.is_derived())
            for_each_number<typename C::precision::weight>(s, C::weight(p), p, visit);
    }
    found = vanished ? best_of_ranks(s, found,
                                     [](finding const& a, finding const& b) {
                                         auto const one = std::abs(a.value), other = std::abs(b.value);
                                         return one > other || (one == other && a.is_before(b));
                                     })
                     : first_of_ranks(s, found);
    clear_gradients(s);
    std::string const step = " in step " + std::to_string(s.done.steps + 1) + " (loss " +
                             detail::number_as_text(result.loss) + ")";
    std::string scale;
    if constexpr (scales_loss<typename C::precision>)
        scale = ", skipped " + std::to_string(s.done.scale.skips) +
                " times in a row, now at a loss scale of " + detail::number_as_text(s.done.scale.value);
    if (vanished)
        throw error(
            place_of<C>(found),
            "gradients that are all exactly 0" + step +
                (scale.empty() ? " and the " + std::to_string(most_vanished - 1) + " before it" : scale) +
                "; the largest weight is " + text_of<C>(found),
            "gradients: weights that are not so large that what they meet overflows; the weights are "
            "unchanged");
    auto const norm = "a gradient norm of " + detail::number_as_text(result.gradient_norm) + step + scale;
    if (!found.is_there())
        throw error({}, norm, "a finite one, and a finite loss; the weights are unchanged");
    throw error(place_of<C>(found), norm + ": a gradient of " + text_of<C>(found),
                "a finite one; the weights are unchanged");
}

/// Says what an update has made of which weight or state. All ranks call it.
template <class C>
[[noreturn]] void refuse_update(store<C> const& s, step_result const& result) {
    auto const found = first_not_finite_number(s);
    throw error(
        place_of<C>(found),
        (found.is_there() ? text_of<C>(found) : "weights or states too large for their type") +
            " after the update of step " + std::to_string(s.done.steps) + " (learning rate " +
            detail::number_as_text(result.learning_rate) + ", gradient norm " +
            detail::number_as_text(result.gradient_norm) + ")",
        "a finite one: a smaller learning rate, from the last snapshot; the weights have been changed");
}

}  // namespace snug::SNUG_TARGET::engine
