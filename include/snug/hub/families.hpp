// SPDX-License-Identifier: Apache-2.0
#pragma once

/// \file
/// The families whose files are read: the one place that names them all.

#include <algorithm>
#include <iterator>
#include <string>
#include <string_view>
#include <vector>

#include <snug/io/file.hpp>
#include <snug/models/family.hpp>
#include <snug/models/gpt2.hpp>
#include <snug/models/llama.hpp>
#include <snug/models/qwen3.hpp>
#include <snug/models/smollm3.hpp>

namespace snug::SNUG_TARGET::io {

inline constexpr models::model_family const* families[] = {
    &models::families::gpt2, &models::families::llama, &models::families::qwen3, &models::families::smollm3};

namespace detail {

/// "a, b or c".
inline std::string list_of(std::vector<std::string> const& words, std::string const& last) {
    std::string text;
    for (std::size_t i = 0; i < words.size(); ++i) {
        if (i > 0) text += i + 1 < words.size() ? ", " : " " + last + " ";
        text += words[i];
    }
    return text;
}

/// A type of models in files, and its family.
struct known_type {
    models::config_type const* type;
    models::model_family const* family;
};

/// The types that have a name of this kind: `model_type`, or `gguf`. Those of a user's `own` family
/// come first, where it is none of the `families`; null: there is none.
inline std::vector<known_type> known_types(std::string_view models::config_type::*name,
                                           models::model_family const* own) {
    std::vector<known_type> known;
    auto const add = [&](models::model_family const* family) {
        for (auto const& type : family->types)
            if (!(type.*name).empty()) known.push_back({&type, family});
    };
    if (own != nullptr && std::ranges::find(families, own) == std::end(families)) add(own);
    for (auto const* const family : families) add(family);
    return known;
}

/// The one of this name; otherwise calls refuse(what was expected), which throws.
template <class Refuse>
known_type type_called(std::string_view wanted, std::string_view models::config_type::*name,
                       models::model_family const* own, Refuse const& refuse) {
    std::vector<std::string> names;
    for (auto const& known : known_types(name, own)) {
        if (known.type->*name == wanted) return known;
        names.push_back(printable(known.type->*name));
    }
    refuse(list_of(names, "or"));
    return {};
}

}  // namespace detail

/// "gpt2, llama, qwen3 and smollm3".
inline std::string names_of_families() {
    std::vector<std::string> names;
    for (auto const* const family : families) names.emplace_back(family->name);
    return detail::list_of(names, "and");
}

}  // namespace snug::SNUG_TARGET::io
