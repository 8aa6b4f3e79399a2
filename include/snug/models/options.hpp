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

namespace refusal {
template <class Given>
struct this_is_not_an_option_of_a_model {
    static_assert(sizeof(Given) == 0,
                  "snug: a model family was given something that is not one of its named numbers (see Given), "
                  "such as snug::layers<12> or snug::width<768>");
};
template <class Model>
struct a_model_lacks_one_of_its_numbers {
    static_assert(sizeof(Model) == 0,
                  "snug: a model family needs layers, heads, width, vocabulary and context (llama also mlp); one is missing");
};
}  // namespace refusal

namespace detail {

template <class Option>
concept known_option = requires { Option::value; } && (
    Option::template is<layers> || Option::template is<heads> || Option::template is<kv_heads> ||
    Option::template is<head_width> || Option::template is<width> || Option::template is<mlp> ||
    Option::template is<vocabulary> || Option::template is<context> || Option::template is<rope_theta> ||
    Option::template is<norm_epsilon_inverse> || Option::template is<tied_head> || Option::template is<qkv_bias>);

template <class Option>
constexpr bool check_option() {
    if constexpr (!known_option<Option>) (void)sizeof(refusal::this_is_not_an_option_of_a_model<Option>);
    return true;
}

/// The value of a named number, `Default` when it was not given; no default is -1.
template <template <index> class Name, index Default, class... Options>
constexpr index option() {
    static_assert((check_option<Options>() && ...));
    index found = Default;
    ((Options::template is<Name> ? void(found = Options::value) : void()), ...);
    return found;
}

}  // namespace detail
}  // namespace snug
