// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <snug/diagnose/bill.hpp>
#include <snug/layers/embedding.hpp>
#include <snug/layers/head_with_loss.hpp>
#include <snug/layers/recording.hpp>
#include <snug/layers/refusals.hpp>
#include <snug/layers/repeat.hpp>
#include <snug/layers/residual.hpp>
#include <snug/layers/sequence.hpp>
#include <snug/policy.hpp>

namespace snug::SNUG_TARGET {

namespace refusal {

template <class Given>
struct this_is_not_the_embedding_of_a_model {
    static constexpr bool holds = requires {
        Given::vocabulary;
        Given::longest_sequence;
        typename Given::input_element;
    };
    static_assert(holds,
                  "snug: a model begins with an embedding, a layer that also has 'vocabulary', "
                  "'longest_sequence' (0: no limit) and 'using input_element = std::int32_t' (see Given)");
};

template <class Given>
struct this_is_not_the_head_of_a_model {
    static constexpr bool holds = requires {
        Given::input_width;
        Given::vocabulary;
        Given::tied;
        requires layer::names_loss<Given>;
    };
    static_assert(holds,
                  "snug: a model ends with a head and its loss, such as snug::head_with_loss<width, "
                  "vocabulary, tied>, which has 'input_width', 'vocabulary', 'tied' and 'loss' (see Given)");
};

template <class Head, index_t OutputWidth, index_t InputWidth>
struct the_head_does_not_fit_the_layer_before_it {
    static_assert(
        OutputWidth == InputWidth,
        "snug: the head of a model must be as wide as the layer before it (see OutputWidth, InputWidth)");
};

template <class Head, index_t OfTheEmbedding, index_t OfTheHead>
struct embedding_and_head_have_different_vocabularies {
    static_assert(
        OfTheEmbedding == OfTheHead,
        "snug: embedding and head of a model must have the same vocabulary (see OfTheEmbedding, OfTheHead)");
};

template <class First, class Second, class... Name>
struct two_parameters_of_a_model_have_the_same_name {
    static_assert(
        std::is_void_v<First>,
        "snug: two parameters of a model have the same full name (see First and Second). Name their "
        "layers: snug::named<\"...\", layer>");
};

}  // namespace refusal

namespace detail {

/// Refuses parameters that files, reports and `weights(name)` could not tell apart.
template <class Body, class Head>
struct distinct_names {
    using parameters = meta::mp::mp_append<typename layer::all_parameters_of<Body>::type,
                                           typename layer::all_parameters_of<Head>::type>;
    static constexpr auto count = static_cast<std::size_t>(meta::size<parameters>);
    static constexpr auto table = [] {
        parameter_table<count> declared;
        layer::declare_parameters<Body>(declared, {});
        layer::declare_parameters<Head>(declared, {});
        return declared;
    }();
    /// Positions of the first two of one name; both 0 when there are none.
    static constexpr auto same = [] {
        for (std::size_t second = 1; second < count; ++second)
            for (std::size_t first = 0; first < second; ++first)
                if (table.entries[first].name.view() == table.entries[second].name.view())
                    return std::pair{first, second};
        return std::pair{std::size_t{0}, std::size_t{0}};
    }();

#if SNUG_RENDERS_TEXT_IN_ERRORS
    static constexpr diagnose::sentence name = [] {
        diagnose::sentence text;
        std::size_t end = 0;
        for (char c : table.entries[same.second].name.view()) text.characters[end++] = c;
        return text;
    }();
#endif
    using found =
        refusal::two_parameters_of_a_model_have_the_same_name<meta::mp::mp_at_c<parameters, same.first>,
                                                              meta::mp::mp_at_c<parameters, same.second>
#if SNUG_RENDERS_TEXT_IN_ERRORS
                                                              ,
                                                              diagnose::which_says<name>
#endif
                                                              >;
    using checked = std::conditional_t<same.second == 0, std::true_type, found>;
};

}  // namespace detail

/// A model is a list of layers: an embedding first, a head with its loss last, anything that fits between them.
/// It is the policy of the model axis.
template <class First, class... Rest>
struct stack {
    static_assert(sizeof...(Rest) >= 1, "snug: a model needs an embedding, layers, and a head with its loss");

    using axis = snug::axis::model;
    using embedding_layer = First;
    using head = meta::mp::mp_back<meta::list<Rest...>>;
    using body =
        meta::mp::mp_rename<meta::mp::mp_push_front<meta::mp::mp_pop_back<meta::list<Rest...>>, First>,
                            sequence>;

    /// What makes a model of a list of layers. Looked at when somebody asks for its parameters, not when it is named: a program
    /// names all published models and uses one.
    struct rules {
        static_assert(sizeof(refusal::this_is_not_the_embedding_of_a_model<First>) > 0);
        static_assert(sizeof(refusal::this_is_not_the_head_of_a_model<head>) > 0);
        static_assert(sizeof(detail::declared_well<head>) > 0);
        static_assert(sizeof(refusal::the_head_does_not_fit_the_layer_before_it<head, body::output_width,
                                                                                head::input_width>) > 0);
        static_assert(sizeof(refusal::embedding_and_head_have_different_vocabularies<head, First::vocabulary,
                                                                                     head::vocabulary>) > 0);
        static_assert(sizeof(typename detail::distinct_names<body, head>::checked) > 0);
        static_assert(
            !body::backward_reads_output,
            "snug: the layer before the head must not need its output in backward: the head stores the "
            "gradient there");
    };

    static constexpr index_t vocabulary = head::vocabulary;
    static constexpr index_t width = head::input_width;
    /// The longest sequence that the layers can tell apart, 0 when there is no limit.
    static constexpr index_t longest_sequence = First::longest_sequence;

    static constexpr int body_parameters = layer::parameter_declarations<body>();
    static constexpr int parameter_count = body_parameters + layer::parameter_declarations<head>();
    static constexpr int body_buffers = layer::buffer_declarations<body>();

    // Buffers of a micro-batch: those of the body, its output, those of the head, then tokens, targets, starts of examples.
    static constexpr int output = body_buffers;
    static constexpr int tokens = output + 1 + layer::buffer_declarations<head>();
    static constexpr int targets = tokens + 1;
    static constexpr int starts = targets + 1;
    static constexpr int buffer_count = starts + 1;

    /// Where body, embedding and head stand.
    struct nodes {
        using body = node<typename stack::body, 0, 0, false, true>;
        using embedding = decltype(stack::body::template child_node_of<body, 0>());
        using head = node<typename stack::head, body_parameters, output + 1, false>;
    };

    static constexpr auto declare_parameters() {
        static_assert(sizeof(rules) > 0);
        parameter_table<static_cast<std::size_t>(parameter_count)> table;
        layer::declare_parameters<body>(table, {});
        layer::declare_parameters<head>(table, {});
        return table;
    }

    /// For every parameter the number of the layer of this list that has it.
    static constexpr auto layers_of_parameters() {
        std::array<int, static_cast<std::size_t>(parameter_count)> result{};
        std::size_t p = 0;
        int number = 0;
        meta::for_each<meta::list<std::type_identity<First>, std::type_identity<Rest>...>>(
            [&]<class L>(std::type_identity<L>) {
                for (int i = layer::parameter_declarations<L>(); i > 0; --i) result[p++] = number;
                ++number;
            });
        return result;
    }

    template <class Setting>
    static constexpr auto declare_buffers() {
        buffer_table<static_cast<std::size_t>(buffer_count)> table;
        layer::declare_buffers<typename nodes::body, Setting>(table, {});
        table.template add<typename Setting::activation>(path{"output"}, width * Setting::rows, 1,
                                                         role::activation);
        layer::declare_buffers<typename nodes::head, Setting>(table, {});
        table.template add<std::int32_t>(path{"tokens"}, Setting::rows, 1, role::staging);
        table.template add<std::int32_t>(path{"targets"}, Setting::rows, 1, role::staging);
        table.template add<std::int32_t>(path{"starts"}, Setting::rows, 1, role::staging);
        return table;
    }

    /// Repeated blocks have a backward, all of them.
    static constexpr bool all_blocks_have_a_backward =
        layer::all_blocks_have_a_backward<typename nodes::body>();

    /// Forward, loss and backward of one micro-batch. The recorder of the plan and the step walk the same way.
    template <walker Walker>
    static constexpr void walk_training(Walker& walker) {
        walk_forward(walker);
        walker.leaf(calls::loss<typename nodes::head, typename nodes::embedding>{{output}, {targets}});
        layer::backward<typename nodes::body, false>(walker, {tokens}, {output}, {output}, {}, {});
    }

    template <walker Walker>
    static constexpr void walk_forward(Walker& walker) {
        layer::forward<typename nodes::body, false>(walker, {tokens}, {output}, {});
    }

    /// The schedule of a micro-batch, from tokens that are staged on.
    template <walker Walker>
    static constexpr void record(Walker& walker) {
        walker.use(buffer_reference{tokens}, buffer_reference{targets}, buffer_reference{starts});
        walk_training(walker);
        walker.use(buffer_reference{starts});
    }

    /// When each buffer of a micro-batch is in use.
    static constexpr auto lifetimes() {
        recording_walker<static_cast<std::size_t>(buffer_count)> walker;
        record(walker);
        return walker.record.finish();
    }
};

/// A model can be asked for its layers' declarations and be walked over; derive from `stack` to make one.
template <class M>
concept model = policy<M> && std::same_as<typename M::axis, axis::model> && requires {
    M::vocabulary;
    M::declare_parameters();
};

namespace refusal {

template <class Policy>
struct this_is_not_a_model {
    static constexpr bool holds = model<Policy>;
    static_assert(holds,
                  "snug: the policy of the axis model is not a list of layers (see Policy). Derive it from "
                  "snug::stack<embedding, layers..., head with its loss>, or take one of snug::models");
};

}  // namespace refusal

/// All parameters of a model, a constant.
template <model Model>
inline constexpr index_t parameter_count = [] {
    index_t total = 0;
    for (auto const& entry : Model::declare_parameters().entries) total += entry.total();
    return total;
}();

}  // namespace snug::SNUG_TARGET
