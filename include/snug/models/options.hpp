// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <snug/policy.hpp>

namespace snug {

/// Named numbers of a model family, in any order: `llama<layers<30>, width<576>, heads<9>, kv_heads<3>, ...>`.
template <template <index> class Option, index Value>
struct model_option {
    static constexpr index value = Value;
    template <template <index> class Other>
    static constexpr bool is = std::is_same_v<Option<Value>, Other<Value>>;
};

template <index N> struct layers : model_option<layers, N> {};                ///< blocks
template <index N> struct heads : model_option<heads, N> {};                  ///< attention heads (queries)
template <index N> struct kv_heads : model_option<kv_heads, N> {};            ///< key-value heads; default: as many as heads
template <index N> struct head_width : model_option<head_width, N> {};        ///< default: width / heads
template <index N> struct width : model_option<width, N> {};                  ///< of the residual stream
template <index N> struct mlp : model_option<mlp, N> {};                      ///< inner width; default 4 · width in GPT-2
template <index N> struct vocabulary : model_option<vocabulary, N> {};
template <index N> struct context : model_option<context, N> {};              ///< longest sequence
template <index N> struct rope_theta : model_option<rope_theta, N> {};        ///< default 10000
template <index N> struct norm_epsilon_inverse : model_option<norm_epsilon_inverse, N> {};  ///< default 100000: epsilon 1e-5
/// The head shares the embedding's table.
template <index N> struct tied_head : model_option<tied_head, N> {};
/// Queries, keys and values have biases (Qwen2).
template <index N> struct qkv_bias : model_option<qkv_bias, N> {};

namespace detail {

/// Option is `Name<some number>`.
template <class Option, template <index> class Name>
inline constexpr bool is_named = false;
template <class Option, template <index> class Name>
    requires requires { Option::template is<Name>; }
inline constexpr bool is_named<Option, Name> = Option::template is<Name>;

/// Names of numbers of a model family.
template <template <index> class... Names>
struct names {
    template <class Option>
    static constexpr bool contain = (is_named<Option, Names> || ...);
};

}  // namespace detail

namespace refusal {

template <class Model, class Given>
struct the_model_has_no_such_number {
    template <class... Known>
    static constexpr bool holds = (Known::template contain<Given> || ...);
};

}  // namespace refusal
}  // namespace snug
