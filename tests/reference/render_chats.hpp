// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#include <nlohmann/json.hpp>

#include <snug/data/jinja/evaluate.hpp>

namespace reference {

inline snug::io::jinja::value value_of(nlohmann::ordered_json const& json) {
    namespace jinja = snug::io::jinja;
    if (json.is_null()) return jinja::none{};
    if (json.is_boolean()) return json.get<bool>();
    if (json.is_number_integer()) return json.get<std::int64_t>();
    if (json.is_number()) return json.get<double>();
    if (json.is_string()) return json.get<std::string>();
    if (json.is_array()) {
        std::vector<jinja::value> all;
        for (auto const& one : json) all.push_back(value_of(one));
        return jinja::make_list(std::move(all));
    }
    std::vector<std::pair<jinja::text, jinja::value>> all;
    for (auto const& [key, one] : json.items()) all.emplace_back(jinja::text(key), value_of(one));
    return jinja::make_dict(std::move(all));
}

/// What make_chat_fixtures.py notes of a rendering: {"text", "spans"}. `given`: the variables. At noon of 28 November
/// 2026.
inline nlohmann::ordered_json rendered(snug::io::jinja::program const& program,
                                       nlohmann::ordered_json const& given) {
    snug::io::jinja::variables variables;
    for (auto const& [name, one] : given.items()) variables.emplace_back(name, value_of(one));
    auto const result = snug::io::jinja::render(program, variables, {2026, 11, 28, 12, 0, 0},
                                                given.dump().size(), given.at("messages").size());
    nlohmann::ordered_json spans = nlohmann::ordered_json::array();
    for (auto const& [begin, end] : result.generation) spans.push_back({begin, end});
    return {{"text", result.written.bytes}, {"spans", spans}};
}

}  // namespace reference
