// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <snug/layers/layer.hpp>
#include <snug/layers/refusals.hpp>
#include <tuple>

namespace snug::SNUG_TARGET {

namespace refusal {

template <class Given>
struct this_is_not_a_layer {
    static_assert(
        requires {
            Given::input_width;
            Given::output_width;
        },
        "snug: a layer needs 'input_width' and 'output_width' as constants (see Given)");
};

template <class Layer, index_t InputWidth, index_t OutputWidth>
struct the_widths_of_a_layer_are_at_least_1 {
    static_assert(InputWidth > 0 && OutputWidth > 0,
                  "snug: a layer has an input or output of less than one element (see Layer, InputWidth, "
                  "OutputWidth)");
};

template <class Before, class After, index_t OutputWidth, index_t InputWidth>
struct a_layer_does_not_fit_the_one_before_it {
    static_assert(OutputWidth == InputWidth,
                  "snug: in a sequence, the output width of a layer is not the input width of the next "
                  "(see Before, After, OutputWidth, InputWidth)");
};

template <class Layer, index_t InputWidth, index_t OutputWidth>
struct what_is_added_or_repeated_must_keep_its_width {
    static_assert(InputWidth == OutputWidth,
                  "snug: the layers in a residual connection and a repeated block must be as wide at their "
                  "output as at "
                  "their input (see Layer, InputWidth, OutputWidth)");
};

}  // namespace refusal

namespace detail {

template <class Befores, class Afters>
struct fit_together;
template <class... Before, class... After>
struct fit_together<meta::list<Before...>, meta::list<After...>> {
    static_assert((sizeof(refusal::a_layer_does_not_fit_the_one_before_it<Before, After, Before::output_width,
                                                                          After::input_width>) *
                   ... * 1) > 0);
};

/// What `sequence` is; `SharesParameters`: all of its layers have the parameters of the first.
template <bool SharesParameters, class... Layers>
struct in_sequence {
    static_assert(sizeof...(Layers) > 0, "snug: a sequence needs at least one layer");

    using children = meta::list<Layers...>;
    static_assert((sizeof(refusal::this_is_not_a_layer<Layers>) * ... * 1) > 0);
    static_assert((sizeof(refusal::the_widths_of_a_layer_are_at_least_1<Layers, Layers::input_width,
                                                                        Layers::output_width>) *
                   ... * 1) > 0);
    static_assert((sizeof(detail::declared_well<Layers>) * ... * 1) > 0);
    static_assert(
        sizeof(detail::fit_together<meta::mp::mp_pop_back<children>, meta::mp::mp_pop_front<children>>) > 0);

    static constexpr int length = sizeof...(Layers);
    template <int K>
    using child = meta::at<children, K>;

    static constexpr index_t input_width = child<0>::input_width;
    static constexpr index_t output_width = child<length - 1>::output_width;
    static constexpr bool backward_reads_input = layer::backward_reads_input<child<0>>;
    static constexpr bool keeps_input = layer::keeps_input<child<0>>;
    static constexpr bool backward_reads_output = layer::backward_reads_output<child<length - 1>>;
    static constexpr bool backward_writes_over_input = layer::backward_writes_over_input<child<0>>;
    static constexpr bool backward_writes_over_gradient =
        (layer::backward_writes_over_gradient<Layers> && ...);

    /// `length - 1` values between the layers, then as many gradients.
    static constexpr int own_buffers = 2 * (length - 1);

    template <class Node, int K>
    static constexpr auto child_node_of() {
        constexpr int skipped_parameters = []<std::size_t... I>(std::index_sequence<I...>) {
            return (layer::parameter_declarations<child<static_cast<int>(I)>>() + ... + 0);
        }
        (std::make_index_sequence < SharesParameters ? 0 : static_cast<std::size_t>(K) > {});
        constexpr int skipped_buffers = []<std::size_t... I>(std::index_sequence<I...>) {
            return (layer::buffer_declarations<child<static_cast<int>(I)>>() + ... + 0);
        }
        (std::make_index_sequence<static_cast<std::size_t>(K)>{});
        constexpr bool is_first = Node::is_first && !trains_before<K>();
        return node < child<K>, Node::first_parameter + skipped_parameters,
               Node::first_buffer + own_buffers + skipped_buffers,
               Node::keeps_output_gradient && K == length - 1, is_first > {};
    }
    template <class Node, int K>
    using child_node = decltype(child_node_of<Node, K>());

    template <std::size_t N>
    static constexpr void declare_parameters(parameter_table<N>& table, declaration_context where) {
        meta::for_each<meta::list<std::type_identity<Layers>...>>(
            [&]<class L>(std::type_identity<L>) { layer::declare_parameters<L>(table, where); });
    }

    template <class Node, class Setting, std::size_t N>
    static constexpr void declare_buffers(buffer_table<N>& table, declaration_context where) {
        using element = typename Setting::activation;
        each([&]<int K>() {
            if constexpr (K < length - 1)
                table.template add<element>(where.name / layer::name_of_value<child<K>>() / "output",
                                            child<K>::output_width * Setting::rows,
                                            value_is_kept<Node, K> ? where.kept_copies : 1,
                                            value_is_kept<Node, K> ? role::activation : role::workspace);
        });
        each([&]<int K>() {
            if constexpr (K < length - 1)
                table.template add<element>(
                    where.name / layer::name_of_value<child<K>>() / "output_gradient",
                    !has_backward<Node, K + 1> || gradient_home<Node, K>() != home::own
                        ? 0
                        : child<K>::output_width * Setting::rows,
                    1, role::workspace);
        });
        each([&]<int K>() { layer::declare_buffers<child_node<Node, K>, Setting>(table, where); });
    }

    template <class Node, bool Added, walker Walker>
    static constexpr void walk_forward(Walker& walker, buffer_reference x, buffer_reference y,
                                       buffer_reference base) {
        each([&]<int K>() {
            auto const in = K == 0 ? x : value<Node>(K - 1);
            if constexpr (joins_products<K>) {
                // Layer K - 1 has done it.
            } else if constexpr (joins_products<K + 1>)
                walker.leaf(calls::forward_through<child_node<Node, K>, child_node<Node, K + 1>>{
                    in, value<Node>(K), value<Node>(K + 1)});
            else if constexpr (K == length - 1)
                layer::forward<child_node<Node, K>, Added>(walker, in, y, base);
            else layer::forward<child_node<Node, K>, false>(walker, in, value<Node>(K), {});
            if constexpr (K > 0)
                if constexpr (value_is_recomputed<K - 1>)
                    walker.release(Node::first_buffer + K - 1, Node::first_buffer + K);
        });
    }

    template <class Node, bool Added, walker Walker>
    static constexpr void walk_backward(Walker& walker, buffer_reference x, buffer_reference y,
                                        buffer_reference dy, buffer_reference dx, buffer_reference base) {
        each_reversed([&]<int K>() {
            if constexpr (!has_backward<Node, K>) return;
            auto const in = K == 0 ? x : value<Node>(K - 1);
            auto const out = K == length - 1 ? y : value<Node>(K);
            auto const d_out = gradient<Node, K>(dy);
            if constexpr (K > 0)
                if constexpr (value_is_recomputed<K - 1>)
                    layer::forward<child_node<Node, K - 1>, false>(walker, K == 1 ? x : value<Node>(K - 2),
                                                                   in, {});
            if constexpr (joins_products<K>) {
                // Layer K + 1 has done it.
            } else if constexpr (joins_products<K - 1> && has_backward<Node, K - 2>)
                walker.leaf(calls::backward_through<child_node<Node, K>, child_node<Node, K - 1>>{
                    in, out, d_out, value<Node>(K - 2), gradient<Node, K - 2>(dy)});
            else if constexpr (K == 0)
                layer::backward<child_node<Node, K>, Added>(walker, in, out, d_out, dx, base);
            else
                layer::backward<child_node<Node, K>, false>(walker, in, out, d_out, gradient<Node, K - 1>(dy),
                                                            {});
        });
    }

    /// Layer K is elementwise and stands between two products, which do it where they store.
    template <int K>
    static constexpr bool joins_products = [] {
        if constexpr (K > 0 && K < length - 1)
            return layer::elementwise<child<K>> && layer::stores_products<child<K - 1>> &&
                   layer::stores_products<child<K + 1>>;
        else return false;
    }();

  private:
    enum class home { output_gradient, value, own };

    template <int K>
    static constexpr bool value_is_needed =
        layer::backward_reads_output<child<K>> || layer::backward_reads_input<child<K + 1>>;

    /// Checkpointing runs a cheap layer again. Its input is there, so of two in a row only the first; and nobody has
    /// changed its output.
    template <int K>
    static constexpr bool recomputes_value() {
        if constexpr (K > 0)
            if (recomputes_value<K - 1>()) return false;
        return value_is_needed<K> && layer::is_recomputed<child<K>> &&
               !layer::backward_reads_output<child<K>> && !layer::keeps_input<child<K + 1>>;
    }
    template <int K>
    static constexpr bool value_is_recomputed = recomputes_value<K>();

    /// Some layer before layer K trains.
    template <int K>
    static constexpr bool trains_before() {
        if constexpr (K == 0) return false;
        else return trains_before<K - 1>() || layer::trains_anything<child<K - 1>>();
    }
    /// A frozen embedding has nothing to do there, and is called all the same where what follows it trains.
    template <class Node, int K>
    static constexpr bool has_backward = [] {
        if constexpr (K < 0) return false;
        else if constexpr (K == 0 && length > 1 && !layer::composite<child<0>>)
            return !child_node<Node, 1>::is_forward_only;
        else return !child_node<Node, K>::is_forward_only;
    }();

    template <class Node, int K>
    static constexpr bool value_is_kept =
        value_is_needed<K> && !value_is_recomputed<K> && has_backward<Node, K + 1>;

    /// Where the gradient of the value between layers K and K + 1 lives.
    template <class Node, int K>
    static constexpr home gradient_home() {
        if constexpr (layer::backward_writes_over_gradient<child<K + 1>> &&
                      (K + 1 < length - 1 || !Node::keeps_output_gradient))
            return home::output_gradient;
        else if constexpr (layer::backward_writes_over_input<child<K + 1>> &&
                           !layer::backward_reads_output<child<K>>)
            return home::value;
        else return home::own;
    }

    template <class Node>
    static constexpr buffer_reference value(int k) {
        return {Node::first_buffer + k};
    }

    /// The gradient of the output of layer K.
    template <class Node, int K>
    static constexpr buffer_reference gradient(buffer_reference dy) {
        if constexpr (K == length - 1) return dy;
        else if constexpr (gradient_home<Node, K>() == home::output_gradient)
            return gradient<Node, K + 1>(dy);
        else if constexpr (gradient_home<Node, K>() == home::value) return value<Node>(K);
        else return {Node::first_buffer + (length - 1) + K};
    }

    template <class F>
    static constexpr void each(F&& f) {
        meta::for_each_index<length>(f);
    }

    template <class F>
    static constexpr void each_reversed(F&& f) {
        meta::for_each_index<length>([&]<int K>() { f.template operator()<length - 1 - K>(); });
    }
};

}  // namespace detail

/// One layer after another. Between two layers stands one activation: kept for backward only when one of
/// the two reads it there; its gradient takes over the storage of something that is dead by then, if it can. An elementwise
/// layer between two products is done where they store, forward and backward.
template <class... Layers>
struct sequence : detail::in_sequence<false, Layers...> {};

}  // namespace snug::SNUG_TARGET
