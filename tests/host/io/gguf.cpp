// SPDX-License-Identifier: Apache-2.0
#include <catch2/catch.hpp>

#include <cmath>
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <filesystem>
#include <string>
#include <string_view>
#include <tuple>
#include <utility>
#include <vector>

#include <snug/io/gguf.hpp>

#include "weight_files.hpp"

using namespace snug::io;
using Catch::Matchers::Contains;
using test::u32;
using test::u64;
using test::gguf::array;
using test::gguf::entry;
using test::gguf::file;
using test::gguf::header;
using test::gguf::tensor;
using test::gguf::text;

namespace {

/// Reads all that a file has.
void use(std::string const& path) {
    gguf const file(path);
    for (auto const* key : {"n", "t", "ts", "ns", "f"}) {
        (void)test::refusal([&] { (void)file.text(key); });
        (void)test::refusal([&] { (void)file.number(key); });
        (void)test::refusal([&] { (void)file.real(key); });
        (void)test::refusal([&] { (void)file.flag(key); });
        (void)test::refusal([&] { (void)file.texts(key); });
        (void)test::refusal([&] { (void)file.numbers(key); });
        (void)test::refusal([&] { (void)file.reals(key); });
    }
    std::vector<float> to;
    for (auto const& one : file.tensors()) {
        to.resize(static_cast<std::size_t>(one.size()));
        (void)test::refusal([&] { decode(one, 0, to); });
    }
}

void check_refused(std::string const& content, std::string const& words) {
    test::check_refused(content, words, use);
}

constexpr std::uint32_t type_u8 = 0, type_u16 = 2, type_u32 = 4, type_i32 = 5, type_f32 = 6, type_flag = 7,
                        type_text = 8, type_array = 9;
constexpr std::uint32_t type_u64 = 10;
constexpr std::uint32_t ggml_f32 = 0, ggml_q4_1 = 3;

}  // namespace

TEST_CASE("a GGUF file of the Python library is read") {
    gguf file(test::weights + "blocks.gguf");
    CHECK(file.text("general.architecture") == "llama");
    CHECK(file.number("test.u8") == 200);
    CHECK(file.number("test.i8") == -100);
    CHECK(file.number("test.u16") == 60000);
    CHECK(file.number("test.i16") == -30000);
    CHECK(file.number("test.u32") == 4000000000);
    CHECK(file.number("test.i32") == -2000000000);
    CHECK(file.number("test.u64") == std::int64_t{1} << 62);
    CHECK(file.number("test.i64") == -(std::int64_t{1} << 62));
    CHECK(file.real("test.f32") == 0.5);
    CHECK(file.real("test.f64") == 0.1);
    CHECK(file.flag("test.flag"));
    CHECK(file.text("test.text") == "e-acute \u00e9");
    CHECK(file.texts("test.texts") == std::vector<std::string_view>{"", "one", "\u00e9"});
    CHECK(file.numbers("test.numbers") == std::vector<snug::index_t>{1, -2, 3});
    CHECK(file.reals("test.reals") == std::vector<double>{0.5, -1.5});
    CHECK(file.has("test.u8"));
    CHECK_FALSE(file.has("test.u9"));

    CHECK(file.tensors().front().name == "f32");
    CHECK(file.has_tensor("q4_1"));
    CHECK_FALSE(file.has_tensor("q4_2"));
    CHECK(file.tensor("q4_1").type == tensor_type::q4_1);
    CHECK(file.tensor("q4_1").dimensions == std::vector<snug::index_t>{3, 512});
    CHECK(file.tensor("i32").dimensions == std::vector<snug::index_t>{1, 2, 3});
    CHECK(file.tensor("i32").bytes[4] == std::byte{1});
    CHECK(file.tensor("q2_k").size() == 256);
    CHECK_THAT(test::refusal([&] { (void)file.tensor("q4_k.value"); }), Contains("\"q4_k.values\""));

    auto const name = file.text("test.text");
    auto const moved = std::move(file);
    CHECK(name.data() == moved.text("test.text").data());
    moved.forget();
    CHECK(moved.texts("test.texts")[1] == "one");
}

TEST_CASE("a value of GGUF's metadata is refused as another kind") {
    gguf const file(test::weights + "blocks.gguf");
    auto const refused = [](auto get) { return test::refusal(get); };
    CHECK_THAT(refused([&] { (void)file.text("test.u8"); }),
               Contains("blocks.gguf, byte ") && Contains("\"test.u8\" of type u8, expected a text"));
    CHECK_THAT(refused([&] { (void)file.number("test.f32"); }), Contains("type f32, expected an integer"));
    CHECK_THAT(refused([&] { (void)file.number("test.flag"); }), Contains("type flag"));
    CHECK_THAT(refused([&] { (void)file.real("test.u8"); }), Contains("expected a number f32 or f64"));
    CHECK_THAT(refused([&] { (void)file.flag("test.u8"); }), Contains("expected a flag"));
    CHECK_THAT(refused([&] { (void)file.texts("test.text"); }), Contains("expected an array"));
    CHECK_THAT(refused([&] { (void)file.texts("test.numbers"); }), Contains("type array of i32"));
    CHECK_THAT(refused([&] { (void)file.numbers("test.texts"); }), Contains("an array of integers"));
    CHECK_THAT(refused([&] { (void)file.reals("test.numbers"); }),
               Contains("an array of numbers f32 or f64"));
    CHECK_THAT(refused([&] { (void)file.text("none"); }), Contains("no metadata of the key \"none\""));
    test::scratch folder;
    test::write_file(folder / "g", test::gguf::file({entry("n", type_u64, u64(~std::uint64_t{0}))}, {}));
    CHECK_THAT(refused([&] { (void)gguf(folder / "g").number("n"); }),
               Contains("at most 9223372036854775807"));
}

TEST_CASE("versions 2 and 3 of GGUF are read, and another alignment") {
    test::scratch folder;
    for (auto const version : {2u, 3u}) {
        auto content =
            file({entry("general.alignment", type_u32, u32(64))},
                 {tensor("a", {3}, ggml_f32, 0), tensor("b", {1}, ggml_f32, 64)},
                 test::raw(1.f) + test::raw(2.f) + test::raw(3.f) + test::zeros(52) + test::raw(4.f), 64);
        content[4] = static_cast<char>(version);
        test::write_file(folder / "g", content);
        gguf const read(folder / "g");
        std::vector<float> a(3), b(1);
        decode(read.tensor("a"), 0, a);
        decode(read.tensor("b"), 0, b);
        CHECK(a == std::vector<float>{1, 2, 3});
        CHECK(b == std::vector<float>{4});
        CHECK(read.tensor("b").offset % 64 == 0);
    }
    test::write_file(folder / "g", header(0, 0));
    gguf const file(folder / "g");
    CHECK(file.tensors().empty());
}

TEST_CASE("hostile GGUF files are refused with file and place") {
    auto const huge = ~std::uint64_t{0};
    auto const four = test::zeros(4);

    // The frame, cut at every boundary.
    check_refused("", "without the magic of GGUF");
    check_refused("GGU", "without the magic of GGUF");
    check_refused("GGML" + u32(3) + u64(0) + u64(0), "without the magic of GGUF");
    check_refused("GGUF", "expected 4 bytes from byte 4");
    check_refused("GGUF" + u32(3), "expected 8 bytes from byte 8");
    check_refused("GGUF" + u32(3) + u64(0), "expected 8 bytes from byte 16");
    check_refused(header(0, 0, 0), "version 0");
    check_refused(header(0, 0, 1), "version 1");
    check_refused(header(0, 0, 4), "version 4");
    check_refused(header(0, 0, 0x03000000), "a big-endian file");

    // Counts that the file has no room for.
    check_refused(header(1, 0), "1 tensors, expected at most the 0");
    check_refused(header(huge, 0), "18446744073709551615 tensors");
    check_refused(header(0, 1), "1 metadata entries, expected at most the 0");
    check_refused(header(0, huge), "18446744073709551615 metadata entries");
    check_refused(header(0, std::uint64_t{1} << 60) + test::zeros(100),
                  "1152921504606846976 metadata entries");
    check_refused(header(0, 2) + entry("a", type_u8, "x") + test::zeros(20), "a key of 0 bytes");

    // Texts and values.
    check_refused(header(0, 1) + u64(huge) + test::zeros(20), "expected 18446744073709551615 bytes");
    check_refused(header(0, 1) + u64(1000) + test::zeros(20), "expected 1000 bytes");
    check_refused(file({entry("", type_u8, "x") + four}, {}), "a key of 0 bytes");
    check_refused(file({entry(std::string(65536, 'k'), type_u8, "x")}, {}), "a key of 65536 bytes");
    check_refused(file({entry("\xff", type_u8, "x")}, {}), "a key \"\\xff\", expected UTF-8");
    check_refused(file({entry("k\xc3", type_u8, "x")}, {}), "expected UTF-8");
    check_refused(file({entry("k", 13, u64(0))}, {}), "a value of type 13");
    check_refused(file({entry("k", ~0u, u64(0))}, {}), "a value of type 4294967295");
    check_refused(file({entry("key", type_u64, "1234567")}, {}), "expected 8 bytes");
    check_refused(file({entry("key", type_text, u64(9) + "12345678")}, {}), "expected 9 bytes");
    check_refused(file({entry("key", type_text, u64(huge - 8))}, {}), "expected 18446744073709551607 bytes");
    check_refused(file({entry("k", type_flag, "\2")}, {}), "a flag of 2");
    check_refused(file({entry("k", type_u8, "x"), entry("k", type_u8, "x")}, {}),
                  "the key \"k\" for the second time");

    // Arrays.
    check_refused(file({array("k", type_array, 1, u32(type_u8) + u64(0))}, {}), "an array of arrays");
    check_refused(file({array("k", 13, 0, "")}, {}), "a value of type 13");
    check_refused(file({array("k", type_u8, 2, "x")}, {}), "2 array elements, expected at most the 1");
    check_refused(file({array("k", type_u64, huge, test::zeros(8))}, {}),
                  "18446744073709551615 array elements");
    check_refused(file({array("k", type_u64, (std::uint64_t{1} << 61) + 1, test::zeros(8))}, {}),
                  "2305843009213693953 array elements");
    check_refused(file({array("k", type_text, 2, text("a"))}, {}), "2 array elements");
    check_refused(file({array("k", type_text, 2, text("a") + u64(1))}, {}), "expected 1 bytes");
    check_refused(file({array("k", type_text, 1, u64(huge))}, {}), "expected 18446744073709551615 bytes");
    check_refused(file({array("k", type_flag, 3, std::string("\0\1\3", 3))}, {}), "a flag of 3");

    // The alignment.
    for (auto const alignment : {0u, 1u, 4u, 24u, 0xffffffffu})
        check_refused(file({entry("general.alignment", type_u32, u32(alignment))}, {}),
                      "an alignment of " + std::to_string(alignment));
    check_refused(file({entry("general.alignment", type_i32, u32(32))}, {}), "expected a u32");
    check_refused(
        file({entry("general.alignment", type_u32, u32(1u << 31))}, {tensor("a", {1}, ggml_f32, 0)}, four),
        "data up to byte 2147483652");

    // The description of a tensor.
    check_refused(file({}, {tensor("", {1}, ggml_f32, 0) + four}, four), "a tensor name of 0 bytes");
    check_refused(file({}, {tensor(std::string(65, 'n'), {1}, ggml_f32, 0)}, four),
                  "a tensor name of 65 bytes");
    check_refused(file({}, {tensor("\x80", {1}, ggml_f32, 0)}, four), "expected UTF-8");
    check_refused(file({}, {tensor("a", {1, 1, 1, 1, 1}, ggml_f32, 0)}, four), "5 dimensions");
    check_refused(file({}, {text("a") + u32(~0u) + test::zeros(20)}, four), "4294967295 dimensions");
    check_refused(file({}, {tensor("a", {huge}, ggml_f32, 0)}, four), "at most 9223372036854775807");
    check_refused(file({}, {tensor("a", {huge / 4 + 2}, ggml_f32, 0)}, four), " * 4");
    check_refused(file({}, {tensor("a", {1u << 31, 1u << 31, 4}, ggml_f32, 0)}, four), " * 2147483648");
    check_refused(file({}, {tensor("a", {1u << 31, 1u << 31, 2, 1}, ggml_f32, 0)}, four),
                  "9223372036854775808");
    check_refused(file({}, {tensor("a", {1u << 31, 1u << 31, 8, 0}, ggml_f32, 0)}, four), " * 2147483648");
    for (auto const type : {4u, 5u, 9u, 15u, 31u, 42u, 0xffffffffu})
        check_refused(file({}, {tensor("a", {32}, type, 0)}, four), "type " + std::to_string(type) + ",");
    check_refused(file({}, {tensor("a", {33}, ggml_q4_1, 0)}, test::zeros(40)), "rows of a multiple of 32");
    check_refused(file({}, {tensor("a", {16, 2}, ggml_q4_1, 0)}, test::zeros(20)),
                  "Q4_1 [2, 16], expected rows of a multiple of 32");
    check_refused(file({}, {tensor("a", {}, ggml_q4_1, 0) + four}, four), "rows of a multiple of 32");

    // The data.
    check_refused(file({}, {tensor("a", {1}, ggml_f32, 1)}, test::zeros(64)), "an offset of 1");
    check_refused(file({}, {tensor("a", {1}, ggml_f32, 16)}, test::zeros(64)), "a multiple of 32");
    check_refused(file({}, {tensor("a", {1}, ggml_f32, 64)}, test::zeros(64)),
                  "a file of more than its 128 bytes");
    check_refused(file({}, {tensor("a", {1}, ggml_f32, huge - 31)}, four), " + ");
    check_refused(file({}, {tensor("a", {2}, ggml_f32, 0)}, four), "data up to byte");
    check_refused(file({}, {tensor("a", {1}, ggml_f32, 0)}), "data up to byte");
    check_refused(file({}, {tensor("a", {1}, ggml_f32, 0), tensor("b", {1}, ggml_f32, 0)}, four),
                  "data that begins before that of \"a\" ends");
    check_refused(file({}, {tensor("b", {9}, ggml_f32, 0), tensor("a", {1}, ggml_f32, 32)}, test::zeros(36)),
                  "data that begins before that of \"b\" ends");
    check_refused(file({}, {tensor("a", {1}, ggml_f32, 0), tensor("a", {1}, ggml_f32, 32)}, test::zeros(36)),
                  "a tensor of that name for the second time");
}

TEST_CASE("an array of equal values is one value, an array of others is refused by name") {
    test::scratch folder;
    test::write_file(
        folder / "g",
        file({array("same", type_i32, 3, u32(9) + u32(9) + u32(9)), array("one", type_u8, 1, "\7"),
              array("other", type_i32, 3, u32(9) + u32(9) + u32(3)), array("none", type_i32, 0, ""),
              array("reals", type_f32, 2, test::raw(0.5f) + test::raw(0.5f)),
              array("flags", type_flag, 2, "\1\1"), array("mixed", type_flag, 2, std::string("\1\0", 2)),
              array("texts", type_text, 2, text("a") + text("a"))},
             {}));
    gguf const read(folder / "g");
    CHECK(read.keys() ==
          std::vector<std::string_view>{"flags", "mixed", "none", "one", "other", "reals", "same", "texts"});
    CHECK(read.number("same") == 9);
    CHECK(read.number("one") == 7);
    CHECK(read.real("reals") == 0.5);
    CHECK(read.flag("flags"));
    CHECK(read.numbers("same") == std::vector<snug::index_t>{9, 9, 9});
    CHECK_THAT(test::refusal([&] { (void)read.number("other"); }),
               Contains("\"other\", an array of different numbers, expected one number"));
    CHECK_THAT(test::refusal([&] { (void)read.number("none"); }), Contains("an array of 0"));
    CHECK_THAT(test::refusal([&] { (void)read.flag("mixed"); }), Contains("an array of different flags"));
    CHECK_THAT(test::refusal([&] { (void)read.number("reals"); }),
               Contains("type array of f32, expected an integer"));
    CHECK_THAT(test::refusal([&] { (void)read.text("texts"); }),
               Contains("type array of text, expected a text"));
}

TEST_CASE("a model in parts is read through its first, and a part that is not the first says so") {
    auto const split = [](std::uint16_t number, std::uint16_t count, std::vector<std::string> entries,
                          std::vector<std::string> const& tensors, std::string const& data,
                          std::uint32_t in_all = 3) {
        entries.push_back(entry("split.no", type_u16, test::raw(number)));
        entries.push_back(entry("split.count", type_u16, test::raw(count)));
        entries.push_back(entry("split.tensors.count", type_i32, u32(in_all)));
        return file(entries, tensors, data);
    };
    test::scratch folder;
    auto const path = [&](int i) { return folder / ("m-0000" + std::to_string(i) + "-of-00003.gguf"); };
    auto const a = split(0, 3, {entry("n", type_u8, "x")}, {}, "");
    auto const c = split(2, 3, {}, {tensor("c", {1}, ggml_f32, 0)}, test::raw(3.f));
    // The data of the second begins at a multiple of its own alignment.
    auto b64 = split(1, 3, {entry("general.alignment", type_u32, u32(64))},
                     {tensor("b", {1}, ggml_f32, 0), tensor("a", {1}, ggml_f32, 64)}, "");
    b64.resize((b64.size() + 63) / 64 * 64, '\0');
    b64 += test::raw(2.f) + test::zeros(60) + test::raw(1.f);
    auto const write = [&](std::string const& first, std::string const& second, std::string const& third) {
        test::write_file(path(1), first);
        test::write_file(path(2), second);
        test::write_file(path(3), third);
    };
    write(a, b64, c);
    gguf moved(path(1));
    gguf const read = std::move(moved);
    CHECK(read.path() == path(1));
    CHECK(read.paths() == std::vector<std::string>{path(1), path(2), path(3)});
    CHECK(read.number("n") == 'x');
    REQUIRE(read.tensors().size() == 3);
    for (auto const& [name, value, part] : {std::tuple{"a", 1.f, 2}, {"b", 2.f, 2}, {"c", 3.f, 3}}) {
        std::vector<float> to(1);
        decode(read.tensor(name), 0, to);
        CHECK(to[0] == value);
        CHECK(read.tensor(name).file == path(part));
    }
    read.forget();

    auto const refused = [&](int part = 1) { return test::refusal([&] { gguf(path(part)); }); };
    CHECK_THAT(refused(2),
               Contains("found part 2 of 3 of a model, expected part 1 of 3, with the others beside it "
                        "(its name ends in -00001-of-00003.gguf)"));
    CHECK_THAT(refused(3), Contains("found part 3 of 3"));
    test::write_file(folder / "renamed.gguf", a);
    CHECK_THAT(test::refusal([&] { gguf(folder / "renamed.gguf"); }),
               Contains("part 1 of 3 under a name") && Contains("-00001-of-00003.gguf"));
    std::filesystem::remove(path(3));
    CHECK_THAT(refused(), Contains("m-00003-of-00003.gguf: found no such file"));
    write(a, c, b64);
    CHECK_THAT(refused(), Contains("m-00002-of-00003.gguf, byte ") &&
                              Contains("found part 3 of 3, expected part 2 of 3"));
    write(a, split(1, 4, {}, {}, ""), c);
    CHECK_THAT(refused(), Contains("a part of 4, expected part 2 of 3"));
    write(a, file({}, {}), c);
    CHECK_THAT(refused(), Contains("m-00002-of-00003.gguf: found no metadata of the key \"split.count\""));
    write(a, b64, split(2, 3, {}, {tensor("a", {1}, ggml_f32, 0)}, test::raw(3.f)));
    CHECK_THAT(refused(), Contains("m-00003-of-00003.gguf") && Contains("second time"));
    write(a, b64, split(2, 3, {}, {}, ""));
    CHECK_THAT(refused(), Contains("3 tensors in all parts, expected the 2 that are there"));
    write(a, b64, split(2, 3, {entry("n", type_u8, "y")}, {tensor("c", {1}, ggml_f32, 0)}, test::raw(3.f)));
    CHECK_THAT(refused(), Contains("m-00003-of-00003.gguf, byte ") && Contains("metadata \"n\" of its own"));
    write(a, b64, split(2, 3, {entry("n", type_u8, "x")}, {tensor("c", {1}, ggml_f32, 0)}, test::raw(3.f)));
    CHECK(refused().empty());
    write(split(3, 3, {}, {}, ""), b64, c);
    CHECK_THAT(refused(), Contains("\"split.no\" = 3, expected 0 to 2"));
    // As gguf-split leaves it in a model that it has merged again.
    test::write_file(folder / "merged", split(0, 0, {}, {tensor("c", {1}, ggml_f32, 0)}, test::raw(3.f)));
    CHECK(gguf(folder / "merged").has_tensor("c"));
}

TEST_CASE("many entries and tensors of a hostile GGUF file are refused in time") {
    std::vector<std::string> entries(65'536, entry("k", type_u8, "x"));
    check_refused(file(entries, {}), "for the second time");
    entries.push_back(entry("k", type_u8, "x"));
    check_refused(file(entries, {}), "byte 16: found 65537 metadata entries, expected at most 65536");
    std::vector<std::string> tensors(131'072, tensor("a", {0}, ggml_f32, 0));
    check_refused(file({}, tensors, test::zeros(4)), "for the second time");
    tensors.push_back(tensor("a", {0}, ggml_f32, 0));
    check_refused(file({}, tensors), "byte 8: found 131073 tensors, expected at most 131072");
    check_refused(file({array("k", type_text, (1 << 22) + 1, test::zeros(8 * ((1 << 22) + 1)))}, {}),
                  "4194305 array elements, expected at most 4194304");
    check_refused(
        file({array("k", type_text, 1'000'000, test::zeros(8'000'000)), entry("k", type_u8, "x")}, {}),
        "for the second time");
}

TEST_CASE("a GGUF file that is cut short or changed is refused or read, never more") {
    auto const small =
        file({entry("n", type_u32, u32(7)), entry("t", type_text, text("text")),
              array("ts", type_text, 2, text("a") + text("bc")), array("ns", type_i32, 2, u32(1) + u32(2)),
              entry("f", type_flag, "\1")},
             {tensor("a", {32, 2}, ggml_q4_1, 0), tensor("b", {2}, ggml_f32, 64)}, test::zeros(72));
    CHECK(test::check_damaged(small, small.size(), use) == small.size());
}

TEST_CASE("SmolLM2's GGUF file is read") {
    auto const* const path = std::getenv("SNUG_SMOLLM2");
    if (path == nullptr) {
        WARN("skipped: SNUG_SMOLLM2 does not name SmolLM2-135M-Instruct.Q4_1.gguf");
        return;
    }
    gguf const model(path);
    CHECK(model.tensors().size() == 272);
    CHECK(model.text("general.architecture") == "llama");
    CHECK(model.texts("tokenizer.ggml.tokens").size() == 49152);
    CHECK(model.texts("tokenizer.ggml.merges").size() == 48900);
    CHECK(model.numbers("tokenizer.ggml.token_type").size() == 49152);
    snug::index_t parameters = 0;
    std::vector<float> piece(1 << 14);
    for (auto const& one : model.tensors()) {
        parameters += one.size();
        for (snug::index_t first = 0; first < one.size(); first += 1 << 14) {
            auto const count = std::min<snug::index_t>(1 << 14, one.size() - first);
            auto const part = std::span(piece).first(static_cast<std::size_t>(count));
            decode(one, first, part);
            bool all_small = true;
            for (auto const value : part) all_small = all_small && std::abs(value) < 100;
            if (!all_small) FAIL_CHECK(one.name << " has values that are no weights");
        }
    }
    CHECK(parameters == 134'515'008);
}
