// SPDX-License-Identifier: Apache-2.0
#include <unistd.h>
#include <catch2/catch.hpp>
#include <cstdio>
#include <filesystem>
#include <fstream>
#include <string>
#include <vector>

#include "support/dictionary.hpp"

namespace {

std::vector<example::dictionary_entry> entries_of(std::string const& text) {
    auto const path =
        (std::filesystem::temp_directory_path() / ("snug-dictionary-" + std::to_string(getpid()) + ".dict"))
            .string();
    std::ofstream(path) << text;
    struct removed {
        std::string path;
        ~removed() { std::remove(path.c_str()); }
    } const at_end{path};
    return example::read_dictionary(path);
}

constexpr char const* kluge =
    "kluge\n /klooj/\n\n    A clever programming trick\n    intended to solve a {problem}.\n";

}  // namespace

TEST_CASE("An entry is a headword and its lines as one, without the pronunciation and the marks of links") {
    auto const entries = entries_of(kluge);
    REQUIRE(entries.size() == 1);
    CHECK(entries[0].headword == "kluge");
    CHECK(entries[0].text == "A clever programming trick intended to solve a problem.");
}

TEST_CASE("A paragraph is a line, and a link broken after its brace is whole") {
    auto const entries =
        entries_of("x\n\n    One paragraph of some words. See {\n    bit bucket}.\n\n\tAnother.\n");
    REQUIRE(entries.size() == 1);
    CHECK(entries[0].text == "One paragraph of some words. See bit bucket.\nAnother.");
}

TEST_CASE("An entry begins after an empty line; other names of it are left out") {
    auto const entries = entries_of(
        "Broken As Designed\nBAD\n\n   A phrase of six or more words.\n\none%%%uno\n\n   The first of all "
        "numbers that "
        "count.\n");
    REQUIRE(entries.size() == 2);
    CHECK(entries[0].headword == "Broken As Designed");
    CHECK(entries[1].headword == "one");
}

TEST_CASE("What explains nothing is left out") {
    auto const text = std::string(
                          "00-database-short\n     A dictionary of many words about some things\n\n"
                          "broker\n\n   {object request broker}\n\nprose without an entry\n\n") +
                      std::string(41, 'x') + "\n\n    This headword is too long for a question.\n\n";
    auto const entries = entries_of(text + kluge);
    REQUIRE(entries.size() == 1);
    CHECK(entries[0].headword == "kluge");
}

TEST_CASE("A file without an entry is refused by name") {
    for (auto const* text :
         {"", "words\n\nand more words\n", "\n\n", " \n", "    an entry without any headword at all\n"})
        CHECK_THROWS_WITH(entries_of(text),
                          Catch::Contains("snug-dictionary") && Catch::Contains("no entry"));
    CHECK_THROWS_WITH(example::read_dictionary("/nowhere/at.all"), Catch::Contains("/nowhere/at.all"));
}

TEST_CASE("The last sentence or paragraph goes first") {
    CHECK(example::without_last_sentence("One. Two? Three.") == "One. Two?");
    CHECK(example::without_last_sentence("One. Two?") == "One.");
    CHECK(example::without_last_sentence("One\nTwo") == "One");
    CHECK(example::without_last_sentence("Only e.g.one.") == "");
    CHECK(example::without_last_sentence("") == "");
}
