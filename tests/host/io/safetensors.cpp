// SPDX-License-Identifier: Apache-2.0
#include <catch2/catch.hpp>

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <map>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include <snug/io/safetensors.hpp>

#include "weight_files.hpp"

using namespace snug::io;
using Catch::Matchers::Contains;
using test::safetensors_file;

namespace {

void use(std::string const& path) {
    safetensors const file(path);
    std::vector<float> to;
    for (auto const& tensor : file.tensors()) {
        to.resize(static_cast<std::size_t>(tensor.size()));
        (void)test::refusal([&] { decode(tensor, 0, to); });
    }
}

void check_refused(std::string const& header, std::string const& data, std::string const& words) {
    test::check_refused(safetensors_file(header, data), words, use);
}

/// The description of one tensor.
std::string described(std::string const& name, std::string const& dtype, std::string const& shape,
                      std::string const& offsets) {
    return '"' + name + R"(":{"dtype":")" + dtype + R"(","shape":)" + shape + R"(,"data_offsets":)" +
           offsets + '}';
}
std::string header_of(std::string const& dtype, std::string const& shape, std::string const& offsets) {
    return '{' + described("a", dtype, shape, offsets) + '}';
}

/// A file that holds the tensors of `from` and its metadata, as the writer writes it.
std::string written_again(safetensors const& from, std::size_t piece) {
    test::scratch folder;
    auto const path = folder / "again";
    safetensors_writer out(path, {from.metadata().begin(), from.metadata().end()});
    for (auto const& tensor : from.tensors()) out.declare(tensor.name, tensor.type, tensor.dimensions);
    for (auto const& next : out.tensors())
        for (auto rest = from.tensor(next.name).bytes; !rest.empty();) {
            auto const count = std::min(piece, rest.size());
            out.write(next.name, rest.first(count));
            rest = rest.subspan(count);
        }
    out.commit();
    return test::read_file(path);
}

/// A model of two shards in a folder, with this index.
void write_shards(test::scratch const& folder, std::string const& index_t) {
    test::write_file(folder / "one.safetensors",
                     safetensors_file('{' + described("a", "F32", "[1]", "[0,4]") + '}', test::zeros(4)));
    test::write_file(folder / "two.safetensors",
                     safetensors_file('{' + described("b", "F32", "[1]", "[0,4]") + '}', test::zeros(4)));
    test::write_file(folder / "model.safetensors.index.json", index_t);
}

std::string refused_index(std::string const& index_t) {
    test::scratch folder;
    write_shards(folder, index_t);
    return test::refusal([&] { safetensors(folder / ""); });
}

}  // namespace

TEST_CASE("a safetensors file of the Python library is read") {
    safetensors const file(test::weights + "every_type.safetensors");
    CHECK(file.tensors().size() == 25);
    CHECK(file.metadata().at("format") == "pt");
    CHECK(file.metadata().size() == 1);
    for (auto const& [name, type] :
         std::vector<std::pair<std::string, tensor_type>>{{"u8", tensor_type::u8},
                                                          {"i64", tensor_type::i64},
                                                          {"bool", tensor_type::boolean},
                                                          {"c64", tensor_type::c64},
                                                          {"u16", tensor_type::u16}})
        CHECK((file.tensor(name).type == type &&
               file.tensor(name).dimensions == std::vector<snug::index_t>{2, 3}));
    CHECK(file.tensor("i32").bytes[4] == std::byte{1});
    CHECK(file.tensor("scalar").dimensions.empty());
    CHECK(file.tensor("scalar").size() == 1);
    CHECK(file.tensor("no elements").size() == 0);
    CHECK(file.has("quote \" backslash \\ tab \t e-acute \u00e9"));
    CHECK_FALSE(file.has("quote"));
    CHECK_THAT(test::refusal([&] { (void)file.tensor("scalars"); }),
               Contains("the closest name is \"scalar\""));
    file.forget();
    CHECK(file.tensor("i32").bytes[4] == std::byte{1});
    safetensors const empty(test::weights + "empty.safetensors");
    CHECK(empty.tensors().empty());
}

TEST_CASE("a model in shards is read through its index or its folder") {
    for (std::string const path : {"shards", "shards/", "shards/model.safetensors.index.json"}) {
        CAPTURE(path);
        safetensors file(test::weights + path);
        auto const moved = std::move(file);
        CHECK(moved.tensors().size() == 3);
        CHECK(moved.metadata().at("format") == "pt");
        CHECK(moved.tensor("a.weight").dimensions == std::vector<snug::index_t>{2, 3});
        auto const& last = moved.tensor("c.weight");
        CHECK_THAT(last.file, Contains("model-00002-of-00002.safetensors"));
        std::vector<float> values(2);
        decode(last, 0, values);
        CHECK(values == std::vector<float>{2, 2});
    }
    CHECK_THAT(test::refusal([] { safetensors(SNUG_TEST_DATA); }), Contains("a folder without weights"));
}

TEST_CASE("a file is written byte for byte as the Python library writes it") {
    for (std::string const name :
         {"every_type.safetensors", "empty.safetensors", "shards/model-00001-of-00002.safetensors"})
        for (auto const piece : {std::size_t{1} << 20, std::size_t{7}}) {
            CAPTURE(name, piece);
            CHECK((written_again(safetensors(test::weights + name), piece) ==
                   test::read_file(test::weights + name)));
        }
}

TEST_CASE("a written file says by default that it is PyTorch's") {
    test::scratch folder;
    safetensors_writer(folder / "s").commit();
    CHECK(test::read_file(folder / "s") == safetensors_file(R"({"__metadata__":{"format":"pt"}})"));
}

TEST_CASE("the writer refuses what would not be a whole file, and leaves the old one") {
    test::scratch folder;
    auto const path = folder / "s";
    test::write_file(path, "old");
    std::vector<std::byte> const bytes(24);
    auto const refused = [&](auto action) {
        auto const words = test::refusal([&] {
            safetensors_writer out(path);
            out.declare("a", tensor_type::f32, {2});
            out.declare("b", tensor_type::f32, {2});
            action(out);
            out.commit();
        });
        CHECK(test::read_file(path) == "old");
        CHECK(folder.files() == 1);
        return words;
    };
    auto const eight = std::span(bytes).first(8);
    CHECK_THAT(refused([&](auto& out) { out.write("a", eight); }), Contains("\"b\": found 0 bytes"));
    CHECK_THAT(refused([&](auto& out) { out.write("b", eight); }), Contains("expected those of \"a\""));
    CHECK_THAT(refused([&](auto& out) { out.write("a", bytes); }), Contains("found 24 bytes"));
    CHECK_THAT(refused([&](auto& out) {
                   out.write("a", eight);
                   out.write("a", eight);
               }),
               Contains("expected those of \"b\""));
    CHECK_THAT(refused([&](auto& out) {
                   out.write("a", eight);
                   out.write("b", eight);
                   out.write("c", eight);
               }),
               Contains("expected no more"));
    CHECK_THAT(refused([&](auto& out) { out.declare("a", tensor_type::u8, {}); }),
               Contains("declared twice"));
    CHECK_THAT(refused([&](auto& out) { out.declare("q", tensor_type::q4_0, {32}); }), Contains("type Q4_0"));
    CHECK_THAT(refused([&](auto& out) { out.declare("__metadata__", tensor_type::u8, {}); }),
               Contains("any other"));
    CHECK_THAT(refused([&](auto& out) { out.declare("\xff", tensor_type::u8, {}); }), Contains("UTF-8"));
    CHECK_THAT(refused([&](auto& out) {
                   out.declare("c", tensor_type::f64, {1 << 30, 1 << 30, 1 << 30});
               }),
               Contains(" * "));
    CHECK_THAT(refused([&](auto& out) {
                   out.write("a", eight);
                   out.declare("c", tensor_type::u8, {});
               }),
               Contains("all declarations first"));
}

TEST_CASE("every failing call while a file is written is refused and leaves the old file") {
    test::scratch folder;
    auto const path = folder / "s";
    test::write_file(path, "old");
    for (auto const kind : {test::call::open, test::call::write, test::call::truncate, test::call::sync,
                            test::call::rename, test::call::stat}) {
        test::faults faults;
        faults.fail(kind, 1, EIO);
        CHECK_FALSE(test::refusal([&] {
                        safetensors_writer out(path);
                        out.declare("a", tensor_type::u8, {1});
                        out.write("a", std::vector<std::byte>(1));
                        out.commit();
                    }).empty());
        CHECK(test::read_file(path) == "old");
    }
}

TEST_CASE("hostile safetensors files are refused with file and place") {
    auto const offsets = std::string("[0,4]");
    auto const four = test::zeros(4);

    // The frame.
    test::check_refused("", "expected 8 bytes from byte 0", use);
    test::check_refused(test::zeros(7), "expected 8 bytes from byte 0", use);
    test::check_refused(test::zeros(8), "does not begin with {", use);
    test::check_refused(test::u64(~std::uint64_t{0}) + "{}", "at most 33554432", use);
    test::check_refused(test::u64(std::uint64_t{1} << 63) + "{}", "at most 33554432", use);
    test::check_refused(test::u64((1 << 25) + 1) + "{}", "at most 33554432", use);
    test::check_refused(test::u64(1 << 25) + "{}", "one that fits the file of 10 bytes", use);
    test::check_refused(test::u64(3) + "{}", "one that fits the file of 10 bytes", use);
    check_refused("\xef\xbb\xbf{}", "", "does not begin with {");
    check_refused("  ", "", "does not begin with {");
    check_refused("null", "", "does not begin with {");
    check_refused("[]", "", "does not begin with {");
    check_refused("{}", "x", "1 bytes of no tensor");

    // The JSON.
    check_refused("{", "", "not JSON");
    check_refused("{} x", "", "not JSON");
    check_refused(std::string("{}\0\0", 4), "", "a zero byte");
    check_refused("{}//", "", "not JSON");
    check_refused("{\"a\":NaN}", "", "not JSON");
    check_refused("{\"\xff\":{}}", "", "not JSON");
    check_refused("{\"\xc0\x80\":{}}", "", "not JSON");
    check_refused("{\"\\ud800\":{}}", "", "not JSON");
    check_refused("{\"a\":" + std::string(1'000'000, '[') + '}', "", "more than 64");
    check_refused(R"({"a":{"dtype":"U8","dtype":"F32","shape":[1],"data_offsets":[0,4]}})", four,
                  "the key \"dtype\" for the second time");

    // The description of a tensor.
    check_refused(R"({"a":1})", "", "the number 1 for \"a\", expected an object");
    check_refused(R"({"a":null})", "", "null for \"a\"");
    check_refused(R"({"a":[]})", "", "an array for \"a\"");
    check_refused(R"({"a":{}})", "", "without \"dtype\"");
    check_refused(R"({"a":{"dtype":"F32","data_offsets":[0,4]}})", four, "without \"shape\"");
    check_refused(R"({"a":{"dtype":"F32","shape":[1]}})", four, "without \"data_offsets\"");
    check_refused(R"({"a":{"dtype":32,"shape":[1],"data_offsets":[0,4]}})", four,
                  "the number 32 for \"dtype\"");
    check_refused(header_of("F33", "[1]", offsets), four, "the string \"F33\" for \"dtype\"");
    check_refused(header_of("f32", "[1]", offsets), four, "the string \"f32\" for \"dtype\"");
    check_refused(header_of("Q4_0", "[32]", "[0,18]"), test::zeros(18), "the string \"Q4_0\" for \"dtype\"");
    check_refused(header_of("F32", "1", offsets), four, "the number 1 for \"shape\"");
    check_refused(header_of("F32", "[-1]", offsets), four, "the number -1");
    check_refused(header_of("F32", "[1.0]", offsets), four, "the number 1.0");
    check_refused(header_of("F32", "[\"1\"]", offsets), four, "the string \"1\"");
    check_refused(header_of("F32", "[18446744073709551616]", offsets), four,
                  "the number 1.8446744073709552e+19");
    check_refused(header_of("F32", "[9223372036854775808]", offsets), four,
                  "the number 9.223372036854776e+18");
    check_refused(header_of("F32", "[2]", offsets), four, "8 bytes for F32 [2]");
    check_refused(header_of("F32", "[1,1,0]", offsets), four, "0 bytes for F32 [1, 1, 0]");
    check_refused(header_of("F32", "[4294967296,4294967296]", "[0,0]"), "", "4294967296 * 4294967296");
    check_refused(header_of("F32", "[4611686018427387905]", offsets), four, " * 4");
    check_refused(header_of("F32", "[0,9223372036854775807,9223372036854775807]", "[0,0]"), "", " * ");
    check_refused(header_of("F4", "[1]", "[0,1]"), "x", "blocks of 2");

    // Ranges.
    check_refused(header_of("F32", "[1]", "{}"), four, "an object for \"data_offsets\"");
    check_refused(header_of("F32", "[1]", "[0]"), four, "an array of 1");
    check_refused(header_of("F32", "[1]", "[0,4,8]"), four, "an array of 3");
    check_refused(header_of("F32", "[1]", "[0,\"4\"]"), four, "the string \"4\"");
    check_refused(header_of("F32", "[1]", "[4,0]"), four, "a range of the 4 bytes");
    check_refused(header_of("F32", "[1]", "[0,5]"), four, "a range of the 4 bytes");
    check_refused(header_of("F32", "[1]", "[-4,0]"), four, "the number -4");
    check_refused(header_of("F32", "[1]", "[9223372036854775803,9223372036854775807]"), four,
                  "a range of the 4 bytes");
    check_refused(header_of("F32", "[1]", "[18446744073709551612,0]"), four,
                  "the number 1.8446744073709552e+19");
    check_refused(header_of("F32", "[1]", "[1,5]"), test::zeros(5), "a hole before the data");
    check_refused(header_of("F32", "[1]", "[0,4]"), test::zeros(5), "1 bytes of no tensor");
    auto const two = [](std::string const& a, std::string const& b) {
        return '{' + described("a", "F32", "[1]", a) + ',' + described("b", "F32", "[1]", b) + '}';
    };
    check_refused(two("[0,4]", "[0,4]"), four, "overlaps");
    check_refused(two("[0,4]", "[2,6]"), test::zeros(6), "overlaps");
    check_refused(two("[0,4]", "[5,9]"), test::zeros(9), "a hole before the data");
    check_refused(
        '{' + described("a", "F32", "[2]", "[0,8]") + ',' + described("b", "F32", "[0]", "[4,4]") + '}',
        test::zeros(8), "overlaps");

    // Metadata.
    check_refused(R"({"__metadata__":1})", "", "the number 1 for \"__metadata__\"");
    check_refused(R"({"__metadata__":{"a":1}})", "", "the number 1 for \"a\"");
    check_refused(R"({"__metadata__":{"a":{}}})", "", "an object for \"a\"");
    check_refused(R"({"__metadata__":{"a":null}})", "", "null for \"a\"");
    check_refused(R"({"__metadata__":[]})", "", "an array for \"__metadata__\"");
}

TEST_CASE("large hostile safetensors headers are refused in time and in memory") {
    auto ones = std::string("{\"a\":[");
    while (ones.size() < 10'000'000) ones += "1,";
    check_refused(ones + "1]}", "", "values, expected at most that many");
    check_refused("{\"a\":\"" + std::string(8'000'000, 'x') + "\"}", "", "expected an object");
    check_refused("{\"a\":" + std::string(1'000'000, '9') + '}', "", "a number that fits fp64");
    std::string sixty_four = "1", many = "{", texts = R"({"__metadata__":{)";
    for (int i = 1; i < 64; ++i) sixty_four += ",1";
    check_refused(header_of("F32", '[' + sixty_four + ",1]", "[0,4]"), test::zeros(4),
                  "65 dimensions, expected at most 64");
    check_refused(header_of("F32", '[' + sixty_four + "]", "[0,8]"), test::zeros(8),
                  "F32 [1, 1, 1, 1, 1, 1, 1, 1, ...]");
    for (int i = 0; i <= 1 << 17; ++i) many += (i ? ",\"" : "\"") + std::to_string(i) + "\":{}";
    check_refused(many + '}', "", "131073 tensors, expected at most 131072");
    for (int i = 0; i <= 1 << 16; ++i) texts += (i ? ",\"" : "\"") + std::to_string(i) + "\":\"\"";
    check_refused(texts + "}}", "", "65537 texts for \"__metadata__\", expected at most 65536");
}

TEST_CASE("null metadata, leading blanks and repeated keys are what they are to the Python library") {
    // Each of these was given to safetensors 0.8's safe_open; what it said stands beside.
    auto const four = test::zeros(4);
    auto const a = described("a", "F32", "[1]", "[0,4]");
    auto const later = described("a", "F32", "[1]", "[4,8]");
    auto const read = [&](std::string const& header, std::string const& data) {
        test::scratch folder;
        test::write_file(folder / "f", safetensors_file(header, data));
        CAPTURE(header);
        std::map<std::string, std::string> metadata;
        CHECK(test::refusal([&] {
                  safetensors const file(folder / "f");
                  CHECK(file.tensors().size() == 1);
                  CHECK(file.tensor("a").bytes.size() == 4);
                  metadata.insert(file.metadata().begin(), file.metadata().end());
              }) == "");
        return metadata;
    };
    CHECK(read(R"({"__metadata__":null,)" + a + '}', four).empty());
    for (std::string const blanks : {" ", "\n", "\t", "\r", " \r\n\t "})
        CHECK(read(blanks + '{' + a + '}' + blanks, four).empty());
    CHECK(read('{' + a + ',' + a + '}', four).empty());
    CHECK(read('{' + later + ',' + a + '}', four).empty());
    CHECK(read('{' + a + ',' + described("\\u0061", "F32", "[1]", "[0,4]") + '}', four).empty());
    CHECK(read(R"({"__metadata__":{"x":"1","x":"2"},)" + a + '}', four) ==
          std::map<std::string, std::string>{{"x", "2"}});
    CHECK(read(R"({"\u005f_metadata__":{"x":"y"},)" + a + '}', four).size() == 1);
    CHECK(read(R"({"a":{"dtype":"F32","shape":[1],"data_offsets":[0,4],"z":1,"z":{"q":1,"q":2}}})", four)
              .empty());

    check_refused('{' + a + ',' + later + '}', four, "a range of the 4 bytes of data");
    check_refused('{' + a + ',' + later + '}', test::zeros(8), "a hole before the data");
    check_refused(R"({"a":1,)" + a + '}', four, "the number 1 for \"a\"");
    check_refused('{' + described("a", "X", "[1]", "[0,4]") + ',' + a + '}', four,
                  "the string \"X\" for \"dtype\"");
    check_refused(R"({"a":{"z":1},)" + a + '}', four, "without \"dtype\"");
    check_refused(R"({"a":{"dtype":"F32","shape":[1],"shape":[1],"data_offsets":[0,4]}})", four,
                  "the key \"shape\" for the second time");
    check_refused(R"({"a":{"dtype":"F32","shape":[1],"data_offsets":[0,4],"data_offsets":[0,4]}})", four,
                  "second time");
    check_refused(R"({"__metadata__":{"x":"1"},"__metadata__":{"x":"2"},)" + a + '}', four,
                  "the key \"__metadata__\" for the second time");
    check_refused(R"({"__metadata__":null,"__metadata__":null,)" + a + '}', four, "second time");
    check_refused(R"({"__metadata__":{"x":1,"x":"2"},)" + a + '}', four, "the number 1 for \"x\"");
}

TEST_CASE("an index and its shards must agree both ways") {
    CHECK(refused_index(R"({"weight_map":{"a":"one.safetensors","b":"two.safetensors"}})").empty());
    CHECK_THAT(refused_index(R"({"weight_map":{"a":"one.safetensors"}})"), !Contains("found"));
    CHECK_THAT(refused_index(R"({"weight_map":{"a":"one.safetensors","c":"two.safetensors"}})"),
               Contains("two.safetensors") && Contains("a tensor that the index does not list"));
    CHECK_THAT(refused_index(
                   R"({"weight_map":{"a":"one.safetensors","b":"two.safetensors","c":"two.safetensors"}})"),
               Contains("a tensor that is not in \"two.safetensors\" for \"c\""));
    CHECK_THAT(refused_index(R"({"weight_map":{"a":"two.safetensors","b":"one.safetensors"}})"),
               Contains("a tensor that the index lists in"));
    CHECK_THAT(refused_index(R"({"weight_map":{"a":"one.safetensors","b":"three.safetensors"}})"),
               Contains("three.safetensors: found no such file"));
    CHECK_THAT(refused_index(R"({"weight_map":{"a":"one.safetensors","a":"one.safetensors"}})"),
               Contains("second time"));
    CHECK_THAT(refused_index(R"({"weight_map":{"a":1}})"), Contains("the number 1 for \"a\""));
    CHECK_THAT(refused_index(R"({"weight_map":[]})"), Contains("an array for \"weight_map\""));
    CHECK_THAT(refused_index("{}"), Contains("without \"weight_map\""));
    CHECK_THAT(refused_index("[]"), Contains("an array, expected an object"));
    CHECK_THAT(refused_index(""), Contains("not JSON"));
}

TEST_CASE("an index can't name a file in another folder") {
    for (std::string const name :
         {"../one.safetensors", "/etc/one.safetensors", "x/one.safetensors", "..", "..safetensors", "", ".",
          "one.bin", "one.safetensors\\u0000x", "x\\\\one.safetensors"}) {
        CAPTURE(name);
        CHECK_THAT(refused_index(R"({"weight_map":{"a":")" + name + R"("}})"), Contains("the file name"));
    }
}

TEST_CASE("a safetensors file that is cut short or changed is refused or read, never more") {
    auto const content = safetensors_file(
        R"({"__metadata__":{"format":"pt"},)" + described("a", "F32", "[2]", "[0,8]") + ',' +
            described("b", "BF16", "[1,2]", "[8,12]") + ',' + described("c", "U8", "[3]", "[12,15]") + "}   ",
        test::zeros(15));
    CHECK(test::check_damaged(content, content.size(), use) == content.size());
}

TEST_CASE("a path that is no file of weights is refused") {
    test::scratch folder;
    CHECK_THAT(test::refusal([&] { safetensors(folder / "none"); }), Contains("no such file"));
    CHECK_THAT(test::refusal([&] { safetensors(folder / ""); }), Contains("a folder without weights"));
    test::faults faults;
    faults.fail(test::call::map, 1, ENOMEM);
    CHECK_THAT(test::refusal([&] { safetensors(test::weights + "every_type.safetensors"); }),
               Contains("mmap"));
}
