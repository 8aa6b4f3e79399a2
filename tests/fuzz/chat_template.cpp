// SPDX-License-Identifier: Apache-2.0

// An input is a chat template; conversations are written with it, within a bounded time.

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <string_view>
#include <utility>
#include <vector>

#include <snug/data/jinja/evaluate.hpp>
#include <snug/data/jinja/parse.hpp>
#include <snug/error.hpp>

namespace {
namespace jinja = snug::io::jinja;

jinja::value message(char const* role, char const* content, std::size_t number) {
    return jinja::make_dict(
        {{jinja::text("role"), role}, {jinja::text("content"), jinja::text(content, number)}});
}
}  // namespace

extern "C" int LLVMFuzzerTestOneInput(std::uint8_t const* data, std::size_t size) {
    auto const begin = std::chrono::steady_clock::now();
    std::string_view const source(reinterpret_cast<char const*>(data), size);
    try {
        auto const program = jinja::read(source, "template");
        for (bool const reply : {false, true}) {
            jinja::variables const given{
                {"messages", jinja::make_list({message("system", " be kind ", 0),
                                               message("user", "how m\xc3\xa4ny?\n", 1),
                                               message("assistant", "<think>\nhm\n</think>\n\n12 \xff", 2),
                                               message("user", "", 3), message("assistant", "bye", 4)})},
                {"add_generation_prompt", reply},
                {"bos_token", "<s>"},
                {"eos_token", "</s>"}};
            auto const result = jinja::render(program, given, {2026, 11, 28}, 64, 5);
            auto const& [bytes, from] = result.written;
            if (!from.empty() && from.size() > bytes.size()) std::abort();
            for (auto const one : from)
                if (one > 5) std::abort();
            for (auto const& [first, last] : result.generation)
                if (first > last || last > bytes.size()) std::abort();
        }
    } catch (snug::error const&) {
    }
    if (std::chrono::steady_clock::now() - begin > std::chrono::seconds(10)) std::abort();
    return 0;
}
