// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string_view>

#include <snug/models/llama.hpp>

namespace snug::SNUG_TARGET::models {

/// SmolLM3 in the files of others.
namespace families {

namespace detail {

inline constexpr auto smollm3_numbers = [] {
    auto numbers =
        llama_config_numbers({.vocabulary = 128256, .context = 32768, .mlp = 11008, .kv_heads = 4});
    for (auto& number : numbers) {
        if (number.number == &model_numbers::width) number.missing = 2048;
        if (number.number == &model_numbers::layers) number.missing = 36;
        if (number.number == &model_numbers::heads) number.missing = 16;
    }
    return numbers;
}();
inline constexpr config_flag smollm3_flags[] = {{&model_numbers::tied_head, "tie_word_embeddings", true}};
/// Its class does not look at the first two, nor at a window that is not used.
inline constexpr std::string_view smollm3_ignored[] = {"max_window_layers", "pretraining_tp",
                                                       "sliding_window"};

/// The default is a token that a smaller vocabulary does not have, and its row would not train there.
inline constexpr config_constant smollm3_written[] = {{"pad_token_id", "null"}};

inline constexpr auto smollm3_type = [] {
    auto type = like_llama({.model_type = "smollm3",
                            .architecture = "SmolLM3ForCausalLM",
                            .gguf = "smollm3",
                            .numbers = smollm3_numbers,
                            .traits = without_biases,
                            .window = window_rule::none,
                            .rope_theta = 2000000,
                            .no_rope_interval = 4,
                            .written = smollm3_written,
                            .ignored = smollm3_ignored,
                            .has_rotary_pairs = true});
    type.flags = smollm3_flags;
    return type;
}();
inline constexpr config_type smollm3_types[] = {smollm3_type};

}  // namespace detail

inline constexpr model_family smollm3{.name = "smollm3",
                                      .prefix = "model.",
                                      .blocks = "layers",
                                      .parameters = detail::llama_parameters,
                                      .block_parameters = detail::llama_block_parameters,
                                      .types = detail::smollm3_types};

}  // namespace families

template <class... Options>
struct smollm3;

namespace detail {

template <class... Options>
struct smollm3_for {
    using model = smollm3<Options...>;
    template <class... Numbers>
    using given = snug::detail::given_numbers<
        model, snug::detail::names<layers, heads, width, mlp, vocabulary, context>,
        snug::detail::names<kv_heads, head_width, rope_theta, norm_epsilon_inverse, tied_head,
                            no_rope_layer_interval>,
        Numbers...>;
    using options =
        meta::mp::mp_apply<given,
                           meta::mp::mp_remove_if<meta::list<Options...>, snug::detail::is_rope_scaling>>;

    static constexpr index_t blocks = options::template value<layers>();
    static constexpr index_t queries = options::template value<heads>();
    static constexpr index_t longest = options::template value<context>();
    static constexpr index_t interval = options::template value<no_rope_layer_interval, 4>();
    using parts =
        llama_family<blocks, queries, options::template value<kv_heads, queries>(),
                     snug::detail::head_width_of<model, options>::value, options::template value<width>(),
                     options::template value<mlp>(), options::template value<vocabulary>(), longest, 0,
                     options::template value<rope_theta, 5000000>(),
                     typename snug::detail::rope_scaling_among<model, Options...>::type,
                     options::template value<norm_epsilon_inverse, 1000000>(),
                     options::template value<tied_head, 1>() != 0, false>;

    static constexpr model_numbers numbers = [] {
        auto all = parts::numbers;
        all.family = families::smollm3.name;
        all.no_rope_interval = interval <= blocks ? interval : 0;
        return all;
    }();
    using type = typename parts::template stack_of<
        every_nth<blocks, interval, typename parts::template block_with<typename parts::rotated>,
                  typename parts::template block_with<no_rotation>>>;
};

}  // namespace detail

/// SmolLM3 (Hugging Face, 2025): Llama of whose blocks every fourth does not rotate queries and keys (Yang et al.,
/// arXiv 2501.18795). Options: layers, heads, kv_heads, head_width, width, mlp, vocabulary, context, rope_theta,
/// rope_scaling, norm_epsilon_inverse, tied_head<0 or 1>, no_rope_layer_interval.
template <class... Options>
struct smollm3 : detail::smollm3_for<Options...>::type {
    /// As values, to be compared with what a file says.
    static constexpr model_numbers numbers = detail::smollm3_for<Options...>::numbers;
    /// In the files of others.
    static constexpr model_family const& family = families::smollm3;
    /// Rotary positions have no table; this is what the family was trained for.
    static constexpr index_t longest_sequence = detail::smollm3_for<Options...>::longest;
};

}  // namespace snug::SNUG_TARGET::models
