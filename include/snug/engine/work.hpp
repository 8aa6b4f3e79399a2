// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <snug/engine/composition.hpp>
#include <snug/layers/refusals.hpp>
#include <snug/memory/budget.hpp>

/// What a step does, counted by a walk over the model.
namespace snug::SNUG_TARGET {

/// The work of one optimizer step, all micro-batches together. Integers of 64 bits: a model of 70 billion
/// parameters and a step of 4 million tokens take a quarter of their range, and a constant that overflows
/// does not compile.
struct step_work {
    workload forward{};     ///< with the head's logits and the loss
    workload backward{};    ///< with the gradients of the head
    workload recomputed{};  ///< layers that checkpointing runs again
    workload update{};  ///< the norm of all gradients, the optimizer's rule, and what derived parameters take

    /// What the mathematics needs, whatever checkpointing does.
    constexpr workload model() const { return forward + backward; }
    /// What runs.
    constexpr workload step() const { return model() + recomputed + update; }
};

namespace detail {

/// Every layer says what its calls do.
template <class L, class Setting>
struct layers_are_counted : accepted<refusal::a_layer_does_not_say_what_its_calls_do<L, layer::names_work<L>>,
                                     refusal::the_work_of_a_layer_is_a_constant_of_the_setting<
                                         L, !layer::names_work<L> || layer::says_work<L, Setting>>> {};
template <class Children, class Setting>
struct each_layer_is_counted;
template <class... Children, class Setting>
struct each_layer_is_counted<meta::list<Children...>, Setting> {
    static constexpr bool value = (layers_are_counted<Children, Setting>::value && ... && true);
};
template <layer::composite L, class Setting>
struct layers_are_counted<L, Setting> : each_layer_is_counted<typename L::children, Setting> {};

/// Adds up what the leaves say of themselves. A residual connection adds to a call the bytes of what is
/// added, and an elementwise layer between two products those that it has beside them.
template <class Setting>
class counting_walker : public in_order {
  public:
    step_work counted{};

    template <class Node, bool Added>
    constexpr void leaf(calls::forward<Node, Added> const&) {
        forward<typename Node::type>(of<Node>().forward, Added ? Node::type::output_width : 0);
    }
    template <class Node, class Elementwise>
    constexpr void leaf(calls::forward_through<Node, Elementwise> const&) {
        forward<typename Node::type>(of<Node>().forward, Node::type::output_width);
    }
    template <class Node>
    constexpr void leaf(calls::save<Node> const&) {
        using L = typename Node::type;
        if constexpr (layer::saves_without_output<L>) forward<L>(of<Node>().save, 0);
        else forward<L>(of<Node>().forward, -L::output_width);
    }
    template <class Node>
    constexpr void leaf(calls::change_input<Node> const&) {
        forward<typename Node::type>(of<Node>().change, 0);
    }
    template <class Node, bool Added>
    constexpr void leaf(calls::forward_on_changed<Node, Added> const&) {
        constexpr auto all = of<Node>();
        forward<typename Node::type>(all.forward + all.change * -1, Added ? Node::type::output_width : 0);
    }
    template <class Node, bool Added>
    constexpr void leaf(calls::backward<Node, Added> const&) {
        add(counted.backward, of<Node>().backward, Added ? Node::type::input_width : 0);
    }
    template <class Node, class Elementwise>
    constexpr void leaf(calls::backward_through<Node, Elementwise> const&) {
        add(counted.backward, of<Node>().backward, Node::type::input_width);
    }
    template <class Node, class TiedNode>
    constexpr void leaf(calls::loss<Node, TiedNode> const&) {
        add(counted.forward, of<Node>().forward, 0);
        add(counted.backward, of<Node>().backward, 0);
        is_behind_loss_ = true;
    }

    /// Only the first and the last iteration of a loop differ from the others: three are walked, and the
    /// second counts for all between, so that what this costs does not depend on the number of blocks.
    template <class Body>
    constexpr void loop(index_t count, Body const& body) {
        auto const around = times_;
        auto const walk = [&](index_t i, index_t times) {
            times_ = around * times;
            if (times > 0) body(i);
        };
        walk(0, count > 0 ? 1 : 0);
        walk(1, count - 2);
        walk(count - 1, count > 1 ? 1 : 0);
        times_ = around;
    }

  private:
    template <class Node>
    static constexpr layer_work of() {
        using L = typename Node::type;
        return L::template work<setting_of<Setting, L>>();
    }

    constexpr void add(workload& to, workload one, index_t width_beside) const {
        to += (one + workload{.bytes = bytes_of::rows<Setting>(width_beside)}) * times_;
    }

    template <class L>
    constexpr void forward(workload one, index_t width_beside) {
        add(is_behind_loss_ ? counted.recomputed : counted.forward, one, width_beside);
        if constexpr (layer::has_derived<L>)
            if (!is_behind_loss_) add(counted.update, L::template work<setting_of<Setting, L>>().refresh, 0);
    }

    index_t times_ = 1;
    bool is_behind_loss_ = false;
};

/// Bytes of the second half of a step: the norm reads all gradients; the rule reads weights (or their master
/// copies), gradients and states and writes them, and the weights where there are master copies.
template <class C>
constexpr index_t bytes_of_update() {
    constexpr auto weight = static_cast<index_t>(sizeof(typename C::precision::weight));
    constexpr auto updated = static_cast<index_t>(sizeof(typename C::updated));
    constexpr auto gradient = static_cast<index_t>(sizeof(typename C::precision::gradient));
    index_t total = 0;
    for (auto const& entry : C::parameter_table.entries) {
        if (!entry.is_trained()) continue;
        total += entry.total() * (gradient + 2 * (updated + gradient) + (C::has_master ? weight : 0));
        meta::for_each<typename C::optimizer::states>([&]<class State>(State) {
            total += 2 * engine::declare_state<State>(entry, space::device_memory).size().count;
        });
    }
    return total;
}

template <class C>
inline constexpr step_work work_of = [] {
    using model = typename C::model;
    using setting = typename C::setting;
    if constexpr (layers_are_counted<typename model::body, setting>::value &&
                  layers_are_counted<typename model::head, setting>::value) {
        counting_walker<setting> walker;
        model::walk_training(walker);
        auto all = walker.counted;
        all.forward = all.forward * C::micro_batches;
        all.backward = all.backward * C::micro_batches;
        all.recomputed = all.recomputed * C::micro_batches;
        all.update.bytes += bytes_of_update<C>();
        return all;
    } else {
        return step_work{};
    }
}();

}  // namespace detail

/// Floating-point operations and bytes of one optimizer step of T, a constant. Every leaf layer says what its
/// calls do (`work`, docs/layers.md); one that does not is refused by name.
///
///     constexpr auto tflop = snug::work<pretraining>.model().total() / 1'000'000'000'000;
template <class T>
inline constexpr step_work work = [] {
    if constexpr (any_trainer<T>) {
        return detail::work_of<typename detail::trainer_of<T>::composition>;
    } else {
        (void)sizeof(detail::trainer_of<T>);  // refuses it
        return step_work{};
    }
}();

}  // namespace snug::SNUG_TARGET
