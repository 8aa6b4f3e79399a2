// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <array>
#include <cmath>
#include <cstdint>
#include <snug/diagnose/require.hpp>
#include <snug/memory/declaration.hpp>
#include <snug/optimizers/state_block.hpp>
#include <snug/policy.hpp>
#include <snug/precision/fp16.hpp>
#include <snug/precision/integers.hpp>
#include <snug/precision/policies.hpp>
#include <string_view>

namespace snug::SNUG_TARGET {

namespace refusal {

template <class T>
struct the_states_of_an_optimizer_are_floating_point {
    static_assert(
        element_type<T>,
        "snug: an optimizer's states are floating point: snug::fp32, snug::fp64, snug::bf16, or a "
        "format of your own that converts from and to float; or snug::int8 or snug::int4, in blocks (see T)");
};

template <class T>
struct adamw_keeps_squares_of_gradients {
    static_assert(!std::same_as<T, fp16>,
                  "snug: adamw keeps squares of gradients, which snug::fp16 rounds to 0 below 2.4e-4 of a "
                  "gradient; the update would divide by nothing. Use states<snug::fp32>, <snug::bf16> or "
                  "<snug::int8> (see T)");
};

template <class Given>
struct adamw_takes_states_of_a_type {
    static constexpr bool holds = requires { typename Given::element; };
    static_assert(holds,
                  "snug: the argument of optimizers::adamw is the type of its states, written "
                  "adamw<states<snug::fp32>> "
                  "(see Given)");
};

}  // namespace refusal

/// A state of an optimizer: one element of type T for every trained element.
template <text Name, class T>
struct optimizer_state {
    static_assert(sizeof(refusal::the_states_of_an_optimizer_are_floating_point<T>) > 0);
    static constexpr auto name = Name;
    using element = T;
};

/// A state that is kept in blocks of codes and seen by the rule as fp32. Tensors of fewer than 4096 elements keep it in
/// fp32: they are small, and often the sensitive ones.
template <text Name, class Map>
struct blockwise_optimizer_state {
    static constexpr auto name = Name;
    using element = float;
    using block = optimizers::state_block<Map>;
    static constexpr index_t smallest = 4096;
};

namespace optimizers {

namespace kept {

template <text Name, class T, class Map8, class Map4>
struct state {
    using type = optimizer_state<Name, T>;
};
template <text Name, class Map8, class Map4>
struct state<Name, int8, Map8, Map4> {
    using type = blockwise_optimizer_state<Name, Map8>;
};
template <text Name, class Map8, class Map4>
struct state<Name, int4, Map8, Map4> {
    using type = blockwise_optimizer_state<Name, Map4>;
};

}  // namespace kept

/// How a state called `Name` is kept in elements of type T; `snug::int8` and `snug::int4`: in blocks by the codes of
/// `Map8` or `Map4`.
template <text Name, class T, class Map8 = quantization::codebooks::dynamic_signed,
          class Map4 = quantization::codebooks::dynamic_signed_4bit>
using state_of = typename kept::state<Name, T, Map8, Map4>::type;

/// The element type of an optimizer's states; `snug::int8` and `snug::int4` keep them in blocks (`state_block`).
template <class T>
struct states {
    using element = T;
};

}  // namespace optimizers

template <class Optimizer>
inline constexpr bool pages_states = requires {
    requires Optimizer::is_paged;
};

/// Elements of a state that go through the planned buffer at once, a multiple of every block.
inline constexpr index_t page_elements = index_t{1} << 16;

/// A parameter with `count` elements in one copy keeps this state in blocks.
template <class State>
constexpr bool is_in_blocks(index_t count) {
    if constexpr (requires { typename State::block; }) return count >= State::smallest;
    else return false;
}
template <class State>
inline constexpr bool may_be_in_blocks = requires {
    typename State::block;
};

/// The run-time numbers that every optimizer is given in a step.
struct update_numbers {
    double learning_rate = 0;
    double weight_decay = 0;  ///< 0 for tensors that do not decay (vectors)
    std::int64_t step = 1;    ///< counts from 1
};

/// What an optimizer policy offers: `states`, a list of `optimizer_state`; `rule(numbers)`, a callable computed once per
/// step and tensor; and the rule itself, `rule(weight, gradient, states&...) -> new weight`, constexpr arithmetic of one
/// element on every backend, whose gradient is clipped already. `options` holds its run-time numbers; its `check() const`, if
/// it has one, is called before every step and throws for numbers that it refuses.
template <class P>
concept optimizer_policy = policy<P> && std::same_as<typename P::axis, axis::optimizer> && requires {
    typename P::states;
    typename P::options;
    P::rule(typename P::options{}, update_numbers{});
};

namespace detail {

/// The update can be called as update(weight, gradient, states...), every state being an element that it may change, ...
template <class Update, class S, class States>
inline constexpr bool updates_elements = false;
template <class Update, class S, class... State>
inline constexpr bool updates_elements<Update, S, meta::list<State...>> =
    requires(Update const& update, S number, typename State::element&... states) {
    { update(number, number, states...) } -> std::convertible_to<S>;
};

/// ... and its states are a list of states.
template <class States>
inline constexpr bool lists_states = false;
template <class... State>
inline constexpr bool lists_states<meta::list<State...>> = requires {
    (State::name.view(), ...);
    requires(element_type<typename State::element> && ... && true);
};

/// ... each with a name of its own.
template <class... State>
constexpr bool have_names_of_their_own(meta::list<State...>) {
    std::array<std::string_view, sizeof...(State)> const names{State::name.view()...};
    for (std::size_t i = 0; i < names.size(); ++i) {
        if (names[i].empty()) return false;
        for (std::size_t j = 0; j < i; ++j)
            if (names[i] == names[j]) return false;
    }
    return true;
}

/// Not by value, where what it changes is lost.
template <class Update, class S, class States>
inline constexpr bool takes_states_by_value = false;
template <class Update, class S, class... State>
    requires(sizeof...(State) > 0)
inline constexpr bool takes_states_by_value<Update, S, meta::list<State...>> =
    requires(Update const& update, S number) {
    update(number, number, typename State::element{}...);
};

/// An update of the right form that gives a weight, not the answer of a comparison.
template <class Update, class S, class States>
inline constexpr bool gives_a_weight = true;
template <class Update, class S, class... State>
inline constexpr bool gives_a_weight<Update, S, meta::list<State...>> =
    requires(Update const& update, S number, typename State::element&... states) {
    requires !std::same_as<decltype(update(number, number, states...)), bool>;
};

}  // namespace detail

namespace refusal {

/// For the type of arithmetic S.
template <class Policy, class S>
struct the_update_of_an_optimizer_takes_a_weight_a_gradient_and_its_states {
    using update = decltype(Policy::rule(typename Policy::options{}, update_numbers{}));
    static constexpr bool is_called = detail::updates_elements<update, S, typename Policy::states> &&
                                      detail::gives_a_weight<update, S, typename Policy::states>;
    static constexpr bool loses_states = detail::takes_states_by_value<update, S, typename Policy::states>;
    static constexpr bool holds = is_called && !loses_states;
    static_assert(
        is_called,
        "snug: what the 'rule' of an optimizer gives is called as update(weight, gradient, states&...) "
        "const, with one number for each of 'states' in their order, and returns the new weight; this "
        "one cannot be called so (see Policy)");
    static_assert(!is_called || !loses_states,
                  "snug: the update of an optimizer takes its states by value, where what it changes is "
                  "lost: update(weight, gradient, State& state) takes references (see Policy)");
};

template <class Policy>
struct the_states_of_an_optimizer_are_a_list {
    static constexpr bool holds = detail::lists_states<typename Policy::states>;
    static_assert(
        holds,
        "snug: the 'states' of an optimizer are snug::meta::list of snug::optimizer_state<\"name\", "
        "type>, and of nothing else (see Policy)");
    static constexpr bool are_told_apart = [] {
        if constexpr (holds) return detail::have_names_of_their_own(typename Policy::states{});
        else return true;
    }();
    static_assert(are_told_apart,
                  "snug: two states of an optimizer have the same name, or one has none: a snapshot could "
                  "not tell them apart (see Policy)");
};

template <class Policy>
struct this_is_not_an_optimizer {
    static constexpr bool holds = optimizer_policy<Policy>;
    static_assert(
        requires { typename Policy::states; },
        "snug: a policy of the axis optimizer needs 'using states', a list of snug::optimizer_state (see "
        "Policy)");
    static_assert(
        requires { typename Policy::options; },
        "snug: a policy of the axis optimizer needs 'struct options', its run-time numbers (see Policy)");
    static_assert(
        holds ||
            !requires {
                typename Policy::states;
                typename Policy::options;
            },
        "snug: a policy of the axis optimizer needs 'static auto rule(options, snug::update_numbers)', which "
        "gives "
        "the update of one element (see Policy)");
};

template <class Options, bool Holds>
struct the_options_of_an_optimizer_are_checked_by_a_function_without_arguments {
    static constexpr bool holds = Holds;
    static_assert(
        holds,
        "snug: 'check' in the options of an optimizer is one public function without arguments and without "
        "an answer: 'void check() const', which throws snug::error for numbers that it refuses (see "
        "Options)");
};

}  // namespace refusal

namespace detail {

struct named_check {
    int check;
};
template <class Options>
struct check_named_twice : Options, named_check {};
/// The options have a `check`, whatever it is: the name means two things then.
template <class Options>
inline constexpr bool names_check = !requires {
    &check_named_twice<Options>::check;
};
template <class Options>
    requires std::is_final_v<Options>
inline constexpr bool names_check<Options> = requires { &Options::check; };

}  // namespace detail

/// Throws for numbers that an optimizer's options refuse, if they refuse any.
template <class Options>
void check_optimizer(Options const& options) {
    if constexpr (detail::names_check<Options>) {
        constexpr bool holds = requires {
            { options.check() } -> std::same_as<void>;
            &Options::check;
        };
        static_assert(sizeof(refusal::the_options_of_an_optimizer_are_checked_by_a_function_without_arguments<
                             Options, holds>) > 0);
        if constexpr (holds) options.check();
    }
}

namespace refusal {

template <class Given>
struct what_is_paged_is_an_optimizer {
    static constexpr bool holds = optimizer_policy<Given>;
    static_assert(holds, "snug: paged goes around an optimizer: paged<adamw<>> (see Given)");
};

}  // namespace refusal

namespace detail {

/// In the place of an optimizer that is refused.
struct refused_optimizer {
    using axis = snug::axis::optimizer;
    using states = meta::list<>;
    struct options {};
    struct update {
        template <class S>
        constexpr S operator()(S weight, S) const {
            return weight;
        }
    };
    static update rule(options, update_numbers) { return {}; }
};

}  // namespace detail

namespace optimizers {

/// The states of an optimizer in host memory. A step streams them page by page through a planned buffer, so they take no
/// device memory; the bill says what they take of the host's. The same bits as without paging.
template <class Optimizer>
struct paged : std::conditional_t<refusal::what_is_paged_is_an_optimizer<Optimizer>::holds, Optimizer,
                                  snug::detail::refused_optimizer> {
    static constexpr bool is_paged = true;
};

}  // namespace optimizers

}  // namespace snug::SNUG_TARGET
