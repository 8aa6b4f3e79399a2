// SPDX-License-Identifier: Apache-2.0
#include <catch2/catch.hpp>

#include <limits>
#include <string>
#include <utility>

#include <snug/io/json.hpp>

#include "weight_files.hpp"

using namespace snug::io;
using Catch::Matchers::Contains;

namespace {

/// What a text at byte 100 of "f" is refused with; empty when it is JSON.
std::string refused(std::string const& text) {
    return test::refusal([&] { json_document(text, "f", 100); });
}

}  // namespace

TEST_CASE("JSON values are what the text says, at the byte where they begin") {
    json_document document(R"( {"text" : "a\n\u00e9\"", "numbers":[ 1 , -2,2.5,1e3,9223372036854775807 ],)"
                           R"("flags": [true,false,null],"nested":{"empty":{},"also":[]}} )",
                           "f", 100);
    auto const moved = std::move(document);
    auto const& root = moved.root();
    CHECK(moved.file() == "f");
    CHECK(root.offset() == 101);
    CHECK(root.members().size() == 4);
    CHECK(root.at("text").text() == "a\n\u00e9\"");
    CHECK(root.at("text").offset() == 111);
    auto const& numbers = root.at("numbers").elements();
    CHECK(numbers[0].integer() == 1);
    CHECK(numbers[0].size().value() == 1);
    CHECK(numbers[0].offset() == 138);
    CHECK(numbers[1].integer() == -2);
    CHECK(numbers[1].real() == -2);
    CHECK(numbers[1].offset() == 142);
    CHECK(numbers[2].real() == 2.5);
    CHECK(numbers[3].real() == 1000);
    CHECK_FALSE(numbers[3].is_integer());
    CHECK(numbers[4].integer() == std::numeric_limits<snug::index_t>::max());
    auto const& flags = root.at("flags").elements();
    CHECK(flags[0].flag());
    CHECK_FALSE(flags[1].flag());
    CHECK(flags[2].is_null());
    CHECK(root.at("nested").at("empty").members().empty());
    CHECK(root.at("nested").at("also").elements().empty());
    CHECK(root.find("none") == nullptr);
    CHECK_FALSE(root.has("none"));
    CHECK(root.has("text"));
    CHECK_FALSE(json_document(R"({"a":null})", "f", 0).root().has("a"));
}

TEST_CASE("a JSON value of another kind is refused with byte, key, found and expected") {
    json_document const document(R"({"a":"x","b":[1.5],"c":-1,"d":9223372036854775808})", "f", 0);
    auto const& root = document.root();
    CHECK(test::refusal([&] { (void)root.at("a").integer(); }) ==
          "f, byte 5: found the string \"x\" for \"a\", expected an integer below 2^63");
    CHECK(test::refusal([&] { (void)root.at("b").elements()[0].integer(); }) ==
          "f, byte 14: found the number 1.5, expected an integer below 2^63");
    CHECK_THAT(test::refusal([&] { (void)root.at("b").members(); }), Contains("an array for \"b\""));
    CHECK_THAT(test::refusal([&] { (void)root.at("b").text(); }), Contains("expected a string"));
    CHECK_THAT(test::refusal([&] { (void)root.at("a").elements(); }), Contains("expected an array"));
    CHECK_THAT(test::refusal([&] { (void)root.at("a").flag(); }), Contains("expected true or false"));
    CHECK_THAT(test::refusal([&] { (void)root.at("a").real(); }), Contains("expected a number"));
    CHECK_THAT(test::refusal([&] { (void)root.at("c").size(); }), Contains("not negative"));
    CHECK_THAT(test::refusal([&] { (void)root.at("d").integer(); }), Contains("9.223372036854776e+18"));
    CHECK_THAT(test::refusal([&] { (void)root.at("e"); }), Contains("an object without \"e\""));
    CHECK_THAT(test::refusal([&] { (void)root.at("a").find("x"); }), Contains("expected an object"));
}

TEST_CASE("what is not JSON is refused with its byte") {
    for (std::string const text : {"",
                                   " ",
                                   "{",
                                   "[",
                                   "[1",
                                   "[1,",
                                   "[1,]",
                                   "{\"a\"",
                                   "{\"a\":",
                                   "{\"a\":1",
                                   "{\"a\":1,}",
                                   "{a:1}",
                                   "[1] x",
                                   "1 2",
                                   "tru",
                                   "NaN",
                                   "nan",
                                   "Infinity",
                                   "-Infinity",
                                   "[-]",
                                   "01",
                                   "1.",
                                   ".5",
                                   "+1",
                                   "0x10",
                                   "'a'",
                                   "\"a",
                                   "\"\t\"",
                                   "\"\\x\"",
                                   "\"\\u12\"",
                                   "// c\n1",
                                   "/* c */1",
                                   "1e",
                                   "]",
                                   "[}",
                                   "{]",
                                   "\"\\ud800\"",
                                   "\"\\udc00\\ud800\"",
                                   "\xff",
                                   "\"\xff\"",
                                   "\"\xc0\x80\"",
                                   "\"\xed\xa0\x80\"",
                                   "\"\xf5\x80\x80\x80\"",
                                   "\"\xc3\"",
                                   "\"\xe2\x82\""}) {
        CAPTURE(text);
        CHECK_THAT(refused(text), Contains("f, byte 1") && Contains("not JSON"));
    }
    CHECK_THAT(refused("[1e999]"), Contains("the number \"1e999\", expected a number that fits fp64"));
    CHECK_THAT(refused(std::string("1\0", 2)), Contains("byte 101: found a zero byte"));
    CHECK_THAT(refused(std::string("1\0x", 3)), Contains("byte 101: found a zero byte"));
    CHECK_THAT(refused(R"([{"a":1,"b":2,"a":3}])"),
               Contains("byte 118: found the key \"a\" for the second time"));
    CHECK_THAT(refused(R"({"a":1,"\u0061":2})"), Contains("second time"));
}

TEST_CASE("depth, number of values and size of JSON are bounded") {
    CHECK(refused(std::string(64, '[') + std::string(64, ']')).empty());
    CHECK_THAT(refused(std::string(65, '[') + std::string(65, ']')),
               Contains("byte 164: found values in more"));
    CHECK_THAT(refused(std::string(10'000'000, '[')), Contains("byte 164: found values in more"));
    std::string nested;
    for (int i = 0; i < 1'000'000; ++i) nested += "{\"a\":";
    CHECK_THAT(refused(nested), Contains("values in more than 64"));
    // Twice as many values as a text has bytes for would be 24 bytes each.
    auto const values = [](std::size_t count) {
        std::string text = "[0";
        for (std::size_t i = 1; i < count; ++i) text += ",0";
        return text + ']';
    };
    CHECK(json_document(values(1'000'000), "f", 0).root().elements().size() == 1'000'000);
    CHECK_THAT(refused(values(1'300'000)), Contains("values, expected at most that many"));
    auto const long_text = '"' + std::string((1 << 23) - 1, 'x') + '"';
    CHECK(refused(long_text).empty());
    CHECK_THAT(refused("[0, \"x" + long_text.substr(1) + "]"),
               Contains("byte 104: found a string of more than 8388608 bytes"));
    CHECK_THAT(refused("[1." + std::string(1 << 20, '0') + "]"),
               Contains("byte 101: found a number or blanks"));
    CHECK_THAT(refused("[" + std::string((1 << 20) + 1, '\t') + "x]"),
               Contains("byte 101: found a number or blanks"));
    CHECK(refused("[1]" + std::string(1 << 20, ' ')).empty());

    test::scratch folder;
    test::write_file(folder / "j", "[1] ");
    CHECK(json_document(folder / "j", 4).root().elements().size() == 1);
    CHECK_THAT(test::refusal([&] { json_document(folder / "j", 3); }),
               Contains("a file of 4 bytes, expected at most 3"));
    CHECK_THAT(test::refusal([&] { json_document(folder / "none", 3); }), Contains("no such file"));
}

TEST_CASE("keys that are there twice are kept where they are asked for, and the last is found") {
    json_document const document(R"({"b":1,"a":2,"b":{"c":3,"c":4},"a":5})", "f", 0, repeated_keys::kept);
    auto const members = document.root().members();
    REQUIRE(members.size() == 4);
    CHECK((members[0].key == "a" && members[0].value.integer() == 2));
    CHECK((members[1].key == "a" && members[1].value.integer() == 5));
    CHECK((members[2].key == "b" && members[2].value.integer() == 1));
    CHECK(document.root().at("b").at("c").integer() == 4);
    CHECK(document.root().at("a").integer() == 5);
    CHECK_THAT(test::refusal([&] { (void)members[0].value.text(); }),
               Contains("f, byte 11: found the number 2 for \"a\""));
}

TEST_CASE("a text of a document is a string where one is wanted") {
    json_document const document(R"({"key":"value"})", "f", 0);
    std::string copied = document.root().at("key").text();
    copied = document.root().members()[0].key;
    CHECK(copied == "key");
    CHECK("a " + document.root().at("key").text() + "!" == "a value!");
    CHECK(std::string(document.root().at("key").text()) == "value");
    CHECK(document.root().at("key").text() == std::string("value"));
}

TEST_CASE("text is quoted as JSON") {
    CHECK(json_quoted("a\"\\\n\x01\x7f\u00e9/") == "\"a\\\"\\\\\\n\\u0001\x7f\u00e9/\"");
    CHECK_THAT(test::refusal([] { (void)json_quoted("\xff"); }), Contains("UTF-8"));
}
