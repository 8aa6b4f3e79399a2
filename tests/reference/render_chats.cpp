// SPDX-License-Identifier: Apache-2.0
// Renders conversations with any chat template, for make_chat_fixtures.py --check. Compiled by hand:
//
//     g++ -std=c++20 -O1 -Iinclude tests/reference/render_chats.cpp -o render_chats
#include <fstream>
#include <iostream>
#include <iterator>
#include <optional>
#include <string>

#include <snug/data/jinja/parse.hpp>
#include <snug/error.hpp>

#include "render_chats.hpp"

int main(int, char** argv) {
    std::ifstream file(argv[1]);
    std::string const source{std::istreambuf_iterator<char>(file), {}};
    std::optional<snug::io::jinja::program> program;
    std::string refused;
    try {
        program = snug::io::jinja::read(source, argv[1]);
    } catch (snug::error const& why) {
        refused = why.what();
    }
    for (std::string line; std::getline(std::cin, line);) {
        nlohmann::ordered_json answer{{"error", refused}};
        if (program) try {
                answer = reference::rendered(*program, nlohmann::ordered_json::parse(line));
            } catch (snug::error const& why) {
                answer["error"] = why.what();
            }
        std::cout << answer.dump() << '\n';
    }
}
