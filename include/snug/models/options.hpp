// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <concepts>
#include <snug/kernels/rotary.hpp>
#include <snug/policy.hpp>

namespace snug {

/// Named numbers of a model family, in any order: `llama<layers<30>, width<576>, heads<9>, kv_heads<3>, ...>`.
template <template <index_t> class Option, index_t Value>
struct model_option {
    static constexpr index_t value = Value;
    template <template <index_t> class Other>
    static constexpr bool is = std::is_same_v<Option<Value>, Other<Value>>;
};

template <index_t N>
struct layers : model_option<layers, N> {};  ///< blocks
template <index_t N>
struct heads : model_option<heads, N> {};  ///< attention heads (queries)
template <index_t N>
struct kv_heads : model_option<kv_heads, N> {};  ///< key-value heads; default: as many as heads
template <index_t N>
struct head_width : model_option<head_width, N> {};  ///< default: width / heads
template <index_t N>
struct width : model_option<width, N> {};  ///< of the residual stream
template <index_t N>
struct mlp : model_option<mlp, N> {};  ///< inner width; default 4 · width in GPT-2
template <index_t N>
struct vocabulary : model_option<vocabulary, N> {};
template <index_t N>
struct context : model_option<context, N> {};  ///< longest sequence
template <index_t N>
struct rope_theta : model_option<rope_theta, N> {};  ///< default 10000
template <index_t N>
struct norm_epsilon_inverse : model_option<norm_epsilon_inverse, N> {};  ///< default 100000: epsilon 1e-5
/// Tokens that attention looks back on in every block, itself included (Mistral).
template <index_t N>
struct sliding_window : model_option<sliding_window, N> {};
/// Every N-th block does not rotate queries and keys (SmolLM3: 4); 0: all blocks do.
template <index_t N>
struct no_rope_layer_interval : model_option<no_rope_layer_interval, N> {};
/// The head shares the embedding's table.
template <index_t N>
struct tied_head : model_option<tied_head, N> {};
/// Queries, keys and values have biases (Qwen2).
template <index_t N>
struct qkv_bias : model_option<qkv_bias, N> {};

}  // namespace snug

namespace snug::SNUG_TARGET {

/// What scales rotary frequencies: `rope::plain`, `rope::linear<...>`, `rope::llama3<...>`.
template <class S>
concept frequency_scaling = requires {
    { S::numbers() } -> std::same_as<rope::scaling>;
};

namespace refusal {

template <class Given>
struct this_is_not_a_scaling_of_rotary_frequencies {
    static_assert(frequency_scaling<Given>,
                  "snug: rotary frequencies are scaled by snug::rope::llama3<factor>, by "
                  "snug::rope::linear<factor>, or not at all (see Given)");
};

}  // namespace refusal

/// Scaling of the rotary frequencies: `rope_scaling<rope::llama3<32>>`, `rope_scaling<rope::linear<4>>`; default: none.
template <class Scaling>
struct rope_scaling {
    static_assert(sizeof(refusal::this_is_not_a_scaling_of_rotary_frequencies<Scaling>) > 0);
    using type = std::conditional_t<frequency_scaling<Scaling>, Scaling, rope::plain>;
};

namespace detail {

template <class Option>
struct is_rope_scaling : std::false_type {};
template <class Scaling>
struct is_rope_scaling<rope_scaling<Scaling>> : std::true_type {};

/// Option is `Name<some number>`.
template <class Option, template <index_t> class Name>
inline constexpr bool is_named = false;
template <class Option, template <index_t> class Name>
    requires requires { Option::template is<Name>; }
inline constexpr bool is_named<Option, Name> = Option::template is<Name>;

/// Names of numbers of a model family.
template <template <index_t> class... Names>
struct names {
    template <class Option>
    static constexpr bool contain = (is_named<Option, Names> || ...);
};

}  // namespace detail

namespace refusal {

template <class Model, class Given, bool IsKnown>
struct this_is_not_a_number_of_the_model {
    static constexpr bool holds = IsKnown;
    static_assert(holds,
                  "snug: a model family was given something that is not one of its named numbers (see Model "
                  "and Given). They look like snug::layers<12>");
};

template <class Model, template <index_t> class Missing, int TimesGiven>
struct a_number_of_the_model_is_missing {
    static constexpr bool holds = TimesGiven > 0;
    static_assert(holds, "snug: a model family needs one more of its named numbers (see Missing)");
};

template <class Model, template <index_t> class Repeated, int TimesGiven>
struct a_number_of_the_model_is_given_twice {
    static constexpr bool holds = TimesGiven < 2;
    static_assert(holds,
                  "snug: a named number of a model family was given twice (see Repeated). Keep one of them");
};

template <class Model, int TimesGiven>
struct the_rope_scaling_is_given_twice {
    static constexpr bool holds = TimesGiven < 2;
    static_assert(holds,
                  "snug: the scaling of a model's rotary frequencies was given twice. Keep one of them");
};

template <class Model, class Given, bool MayBeZero>
struct a_number_of_the_model_must_be_positive {
    static constexpr bool holds = Given::value > (MayBeZero ? -1 : 0);
    static_assert(holds, "snug: a named number of a model family must be positive (see Given)");
};

template <class Model, index_t Width, index_t Heads>
struct the_width_must_be_a_multiple_of_the_heads {
    static constexpr bool holds = Width % Heads == 0;
    static_assert(
        holds,
        "snug: the width of a model must be a multiple of its heads (see Width and Heads); llama can also be "
        "given snug::head_width");
};

}  // namespace refusal

namespace detail {

/// The numbers given to a model family. Whatever is wrong with them is refused here, once.
template <class Model, class Required, class Further, class... Given>
struct given_numbers;
template <class Model, template <index_t> class... Required, template <index_t> class... Further,
          class... Given>
struct given_numbers<Model, names<Required...>, names<Further...>, Given...> {
    template <template <index_t> class Name>
    static constexpr int times_given() {
        return (int{is_named<Given, Name>} + ... + 0);
    }
    template <template <index_t> class Name>
    static constexpr bool is_given() {
        return times_given<Name>() > 0;
    }

    using known = names<Required..., Further...>;
    using may_be_zero = names<tied_head, qkv_bias, no_rope_layer_interval>;

    using accepted = std::conjunction<
        detail::accepted<
            refusal::this_is_not_a_number_of_the_model<Model, Given, known::template contain<Given>>...>,
        detail::accepted<
            refusal::a_number_of_the_model_is_missing<Model, Required, times_given<Required>()>...>,
        detail::accepted<
            refusal::a_number_of_the_model_is_given_twice<Model, Required, times_given<Required>()>...,
            refusal::a_number_of_the_model_is_given_twice<Model, Further, times_given<Further>()>...>,
        detail::accepted<refusal::a_number_of_the_model_must_be_positive<
            Model, Given, may_be_zero::template contain<Given>>...>>;

    /// A number, or its default. In a refused model, numbers of a small one without a limit, so that the refusal is the only
    /// error.
    template <template <index_t> class Name, index_t Default = 1>
    static constexpr index_t value() {
        using given = Name<1>;
        index_t found = is_named<given, context>                              ? 0
                        : is_named<given, heads> || is_named<given, kv_heads> ? 1
                                                                              : 2;
        if constexpr (accepted::value) {
            found = Default;
            ((is_named<Given, Name> ? void(found = Given::value) : void()), ...);
        }
        return found;
    }
};

/// The scaling of rotary frequencies among the options, or none.
template <class Model, class... Options>
struct rope_scaling_among {
    static constexpr int times_given = (int{is_rope_scaling<Options>::value} + ... + 0);
    static_assert(sizeof(refusal::the_rope_scaling_is_given_twice<Model, times_given>) > 0);
    using type = typename meta::mp::mp_front<meta::mp::mp_push_back<
        meta::mp::mp_copy_if<meta::list<Options...>, is_rope_scaling>, rope_scaling<rope::plain>>>::type;
};

/// Given, or the heads' equal share of the width.
template <class Model, class Numbers, bool IsGiven = Numbers::template is_given<head_width>()>
struct head_width_of {
    static constexpr index_t value = Numbers::template value<head_width>();
};
template <class Model, class Numbers>
struct head_width_of<Model, Numbers, false> {
    static constexpr index_t whole = Numbers::template value<width>();
    static constexpr index_t parts = Numbers::template value<heads>();
    using refused = refusal::the_width_must_be_a_multiple_of_the_heads<Model, whole, parts>;
    static_assert(sizeof(refused) > 0);
    static constexpr index_t value = refused::holds ? whole / parts : whole;
};

}  // namespace detail
}  // namespace snug::SNUG_TARGET
