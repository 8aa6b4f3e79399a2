// SPDX-License-Identifier: Apache-2.0
#pragma once

/// \file
/// The `config.json` of a model of a family, by the table that it is read with.

#include <string>
#include <string_view>

#include <snug/io/json.hpp>
#include <snug/models/family.hpp>
#include <snug/models/numbers.hpp>

namespace snug::SNUG_TARGET::io {

namespace detail {

/// How rotary frequencies are scaled, as the members of an object.
inline std::string scaling_as_json(rope::scaling const& scaling) {
    auto const is_llama3 = scaling.original_context != 0;
    auto const is_scaled = is_llama3 || scaling.factor != 1;
    auto const* const type = is_llama3 ? "llama3" : is_scaled ? "linear" : "default";
    auto text = "\"rope_type\": " + json_quoted(type);
    if (is_scaled) text += ", \"factor\": " + json_number(scaling.factor);
    if (is_llama3)
        text += ", \"low_freq_factor\": " + json_number(scaling.low_frequency_factor) +
                ", \"high_freq_factor\": " + json_number(scaling.high_frequency_factor) +
                ", \"original_max_position_embeddings\": " +
                std::to_string(static_cast<index_t>(scaling.original_context));
    return text;
}

}  // namespace detail

/// The text of a Hugging Face `config.json` for a model of this type.
inline std::string model_config_text(models::config_type const& type, model_numbers const& n,
                                     std::string_view dtype) {
    std::string text;
    auto const member = [&](std::string_view key, std::string const& value) {
        text += (text.empty() ? "" : ",\n") + ("  " + json_quoted(key)) + ": " + value;
    };
    member("architectures", "[" + json_quoted(type.architecture) + "]");
    member("model_type", json_quoted(type.model_type));
    if (!type.activations.empty()) member(type.activation_key, json_quoted(type.activations.front()));
    for (auto const& number : type.numbers) member(number.key, std::to_string(n.*number.number));
    for (auto const& real : type.reals) member(real.key, json_number(n.*real.number));
    if (type.is_rotary) {
        auto const theta = json_number(n.rope_theta);
        auto const scaling = detail::scaling_as_json(n.rope_scaling);
        member("rope_theta", theta);
        // Older versions of transformers read rope_scaling, newer ones rope_parameters.
        if (n.rope_scaling != rope::scaling{}) member("rope_scaling", "{" + scaling + "}");
        member("rope_parameters", "{" + scaling + ", \"rope_theta\": " + theta + "}");
    }
    if (type.no_rope_interval != 0) {
        std::string turned;
        for (index_t layer = 1; layer <= n.layers; ++layer)
            turned += (layer == 1 ? "" : ", ") +
                      std::to_string(n.no_rope_interval == 0 || layer % n.no_rope_interval != 0);
        if (n.no_rope_interval != 0) member("no_rope_layer_interval", std::to_string(n.no_rope_interval));
        member("no_rope_layers", "[" + turned + "]");
    }
    if (n.sliding_window != 0) {
        member("sliding_window", std::to_string(n.sliding_window));
        if (type.window == models::window_rule::upper_layers)
            member("use_sliding_window", "true"), member("max_window_layers", "0");
    }
    for (auto const& flag : type.flags) member(flag.key, n.*flag.number ? "true" : "false");
    for (auto const& constant : type.written) member(constant.key, std::string(constant.value));
    member("torch_dtype", json_quoted(dtype));
    return "{\n" + text + "\n}\n";
}

}  // namespace snug::SNUG_TARGET::io
