// SPDX-License-Identifier: Apache-2.0

// An input is a config.json; whatever JSON it is, all of it is looked at.

#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <string_view>

#include <snug/error.hpp>
#include <snug/hub/model_config.hpp>
#include <snug/io/json.hpp>

namespace {
using snug::io::json;

void visit(json const& value, std::string_view text) {
    // A value is where it says that it is.
    constexpr std::string_view beginnings = "{[\"tfn-0123456789";
    if (beginnings.find(text[static_cast<std::size_t>(value.offset())]) == beginnings.npos) std::abort();
    if (value.what().empty()) std::abort();
    if (value.is_array())
        for (auto const& element : value.elements()) visit(element, text);
    if (value.is_object())
        for (auto const& [key, member] : value.members()) {
            if (value.find(key) != &member) std::abort();
            visit(member, text);
        }
}
}  // namespace

extern "C" int LLVMFuzzerTestOneInput(std::uint8_t const* data, std::size_t size) {
    std::string_view const text(reinterpret_cast<char const*>(data), size);
    try {
        snug::io::json_document const document(text, "config.json", 0);
        visit(document.root(), text);
        (void)snug::io::detail::config_reader(document.root()).numbers();
    } catch (snug::error const&) {
    }
    return 0;
}
