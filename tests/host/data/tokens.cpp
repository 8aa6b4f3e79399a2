// SPDX-License-Identifier: Apache-2.0
#include <catch2/catch.hpp>

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <cstring>
#include <limits>
#include <numeric>
#include <set>
#include <string>
#include <vector>

#include <snug/data/tokens.hpp>

#include "../io/faults.hpp"

using namespace snug::io;
using Catch::Matchers::Contains;

namespace {
template <class Token = std::uint16_t>
std::string raw(std::vector<Token> const& tokens) {
    std::string bytes(tokens.size() * sizeof(Token), '\0');
    if (!tokens.empty()) std::memcpy(bytes.data(), tokens.data(), bytes.size());
    return bytes;
}
std::string raw32(std::vector<std::uint32_t> const& tokens) { return raw(tokens); }

std::string llmc_header(std::int32_t magic, std::int32_t version, std::int32_t count) {
    std::vector<std::int32_t> header(256);
    header[0] = magic;
    header[1] = version;
    header[2] = count;
    std::string bytes(1024, '\0');
    std::memcpy(bytes.data(), header.data(), 1024);
    return bytes;
}
std::string llmc(std::vector<std::uint16_t> const& tokens, std::int32_t magic = 20240520,
                 std::int32_t version = 1, std::int32_t count = -1) {
    return llmc_header(magic, version, count == -1 ? static_cast<std::int32_t>(tokens.size()) : count) +
           raw(tokens);
}

std::vector<std::uint16_t> counting(std::size_t count) {
    std::vector<std::uint16_t> tokens(count);
    std::iota(tokens.begin(), tokens.end(), std::uint16_t{0});
    return tokens;
}

/// What opening a file of that name and content is refused with.
std::string refused(std::string const& name, std::string const& content, std::int64_t vocabulary,
                    format as = format::automatic) {
    test::scratch directory;
    test::write_file(directory / name, content);
    return test::refusal([&] { token_file::open(directory / name, vocabulary, as); });
}

token_file data_of(test::scratch const& directory, std::size_t count) {
    test::write_file(directory / "data.bin", raw(counting(count)));
    return token_file::open(directory / "data.bin", 65536);
}
}  // namespace

TEST_CASE("the formats are told apart and read the same") {
    test::scratch directory;
    std::vector<std::uint16_t> const tokens{72, 105, 33, 10, 0, 255};
    test::write_file(directory / "llmc.bin", llmc(tokens));
    test::write_file(directory / "llmc.dat", llmc(tokens));
    test::write_file(directory / "raw.bin", raw(tokens));
    test::write_file(directory / "text.txt", std::string("Hi!\n\0\xff", 6));
    test::write_file(directory / "raw", raw(tokens));
    auto const wide = raw32({tokens.begin(), tokens.end()});
    test::write_file(directory / "raw32", wide);
    test::write_file(directory / "wide.bin", wide);
    test::write_file(directory / "llama3.bin", llmc_header(20240801, 7, 6) + wide);
    test::write_file(directory / "llama3", llmc_header(20240801, 7, 6) + wide);
    test::write_file(directory / "text.bin", std::string("Hi!\n\0\xff", 6));
    auto const check = [&](token_file const& file) {
        REQUIRE(file.size() == 6);
        std::vector<std::int32_t> copied(6);
        file.copy(0, 6, copied.data());
        for (std::size_t i = 0; i < 6; ++i) {
            CHECK(copied[i] == tokens[i]);
            CHECK(file[static_cast<std::int64_t>(i)] == tokens[i]);
        }
        file.part(2, 3).copy(1, 2, copied.data());
        CHECK(copied[0] == tokens[3]);
        CHECK(copied[1] == tokens[4]);
        CHECK_THAT(test::refusal([&] { file.copy(5, 2, copied.data()); }), Contains("2 tokens from token 5"));
        CHECK_THAT(test::refusal([&] { file.copy(-1, 1, copied.data()); }), Contains("from token -1"));
        CHECK_FALSE(test::refusal([&] { file.part(1, std::numeric_limits<std::int64_t>::max()); }).empty());
        CHECK_FALSE(test::refusal([&] { file.part(1, 2).copy(0, 3, copied.data()); }).empty());
    };
    check(token_file::open(directory / "llmc.bin", 256));
    check(token_file::open(directory / "llmc.dat", 256));
    check(token_file::open(directory / "raw.bin", 256));
    check(token_file::open(directory / "text.txt", 256));
    check(token_file::open(directory / "raw", 256, format::raw16));
    check(token_file::open(directory / "text.bin", 256, format::text));
    check(token_file::open(directory / "text.txt", 128256, format::text));
    check(token_file::open(directory / "raw32", 256, format::raw32));
    check(token_file::open(directory / "raw32", 128256, format::raw32));
    check(token_file::open(directory / "wide.bin", 65537));
    check(token_file::open(directory / "llama3.bin", 128256));
    check(token_file::open(directory / "llama3", 128256));
    check(token_file::open(directory / "llama3.bin", 256));
    check(token_file::open(directory / "llama3", 256, format::llmc));
}

TEST_CASE("tokens above 65535 are read from 32 bits") {
    test::scratch directory;
    std::vector<std::uint32_t> const tokens{128000, 9906, 11, 1917, 0, 128009, 91000, 12, 13};
    test::write_file(directory / "raw.bin", raw(tokens));
    test::write_file(directory / "llmc.bin", llmc_header(20240801, 7, 9) + raw(tokens));
    for (auto const* name : {"raw.bin", "llmc.bin"}) {
        auto const file = token_file::open(directory / name, 128256);
        REQUIRE(file.size() == 9);
        CHECK(file[0] == 128000);
        CHECK(file.part(5, 2)[0] == 128009);
        std::vector<std::int32_t> inputs(4), targets(4);
        batch_order::sequential(file, 4).fill(1, 1, inputs.data(), targets.data());
        CHECK(inputs == std::vector<std::int32_t>{0, 128009, 91000, 12});
        CHECK(targets == std::vector<std::int32_t>{128009, 91000, 12, 13});
    }
}

TEST_CASE("tokens of a width that their vocabulary can't have are refused") {
    // 16-bit tokens where the vocabulary needs more: by header, by name, and by what the pairs of them would be.
    CHECK_THAT(refused("a.bin", llmc({1, 2, 3, 4}), 128256),
               Contains("byte 0: found tokens of 16 bits, expected tokens of 32 bits"));
    CHECK_THAT(refused("a.bin", raw({1, 2, 3, 4}), 128256, format::raw16), Contains("vocabulary of 128256"));
    CHECK_THAT(refused("a.bin", raw({1, 2, 3, 4}), 128256),
               Contains("byte 0: found token 131073") && Contains("32 bits"));
    CHECK_THAT(refused("a.bin", raw({1, 2, 3}), 128256),
               Contains("a number of bytes (6), expected a multiple of 4"));
    CHECK(refused("a.bin", raw({1, 2, 3, 4}), 65536).empty());
    // Tokens of twice the width, which would be read with a 0 after each.
    CHECK_THAT(refused("a.bin", raw32({500, 600, 7, 31999}), 32000),
               Contains("tokens of 32 bits") && Contains("format::raw32"));
    CHECK_THAT(refused("a.bin", raw<std::uint64_t>({500, 600, 7, 31999}), 32000),
               Contains("every second one"));
    CHECK_THAT(refused("a.bin", raw<std::uint64_t>({500, 600, 7, 128000}), 128256),
               Contains("tokens of 64 bits"));
    CHECK(refused("a.bin", raw({500, 0, 7, 0}), 32000, format::raw16).empty());
    CHECK(refused("a.bin", raw({500, 0, 7, 1}), 32000).empty());
    CHECK(refused("a.bin", raw32({500, 600, 7, 31999}), 32000, format::raw32).empty());
    // Tokens that are no bytes are not read from a file of any other name.
    CHECK_THAT(refused("a.txt", "text", 257),
               Contains("text, or a file of unknown format") && Contains("format::text"));
    CHECK_THAT(refused("a.npy", "\x93NUMPY\1\0 a header, 1 2 3", 50257),
               Contains("NumPy") && Contains("tofile"));
    CHECK_THAT(refused("a.bin", "\x93NUMPY\1\0 a header, 1 2 3", 65536), Contains("NumPy"));
    // Beyond any vocabulary.
    CHECK_THAT(refused("a.bin", raw32({1, 0x80000000, 2}), 128256),
               Contains("byte 4: found token 2147483648"));
    CHECK_THAT(refused("a.bin", raw32({1, 128256, 2}), 128256), Contains("byte 4: found token 128256"));
    CHECK_THAT(refused("a.bin", llmc_header(20240801, 7, 2) + raw32({1, 70000}), 65536),
               Contains("byte 1028: found token 70000"));
    CHECK_THAT(refused("a.txt", "text", (std::int64_t{1} << 31) + 1), Contains("2^31"));
}

TEST_CASE("a part outlives the file it was cut from") {
    test::scratch directory;
    auto part = data_of(directory, 100).part(40, 10);
    CHECK(part[3] == 43);
}

TEST_CASE("a missing or empty token file is refused in a sentence") {
    test::scratch directory;
    CHECK_THAT(test::refusal([&] { token_file::open(directory / "none.txt", 256); }),
               Contains("none.txt: found no such file or directory"));
    CHECK_THAT(test::refusal([&] { token_file::open(directory / "", 256); }), Contains("a directory"));
    CHECK_THAT(refused("empty.txt", "", 256), Contains("empty.txt: found an empty file"));
    CHECK_THAT(refused("empty.bin", "", 256), Contains("an empty file"));
    CHECK_THAT(refused("none.bin", llmc({}), 256), Contains("byte 8: found 0 tokens"));
}

TEST_CASE("a damaged llm.c file is refused") {
    auto const good = llmc({1, 2, 3, 4});
    CHECK(refused("a.bin", good, 5).empty());
    CHECK_THAT(refused("a.bin", good.substr(0, good.size() - 1), 5), Contains("1031 bytes"));
    CHECK_THAT(refused("a.bin", good + "x", 5), Contains("expected 1032 bytes"));
    for (std::size_t length = 4; length < good.size(); length += 4)
        CHECK_FALSE(refused("a.bin", good.substr(0, length), 5).empty());
    CHECK_THAT(refused("a.bin", good.substr(0, 600), 5), Contains("600 bytes, expected an llm.c header"));
    CHECK_THAT(refused("a.bin", llmc({1}, 20240520, 2), 5), Contains("byte 4: found version 2"));
    CHECK_THAT(refused("a.bin", llmc({1}, 20240520, 1, -7), 5), Contains("a size of -7"));
    CHECK_THAT(refused("a.bin", llmc({1}, 20240520, 1, 0x7fffffff), 5), Contains("2147483647 tokens"));
}

TEST_CASE("other files of llm.c are named, not read as tokens") {
    CHECK_THAT(refused("a.bin", llmc({1}, 20240522), 65536), Contains("HellaSwag"));
    CHECK_THAT(refused("a.bin", llmc({1}, 20240801, 1), 65536),
               Contains("byte 4: found version 1, expected version 7"));
    CHECK_THAT(refused("a.bin", llmc({1}, 20240326, 3), 65536), Contains("model"));
    CHECK_THAT(refused("a.bin", llmc({1}, 20240801, 7), 65536, format::llmc),
               Contains("expected 1028 bytes (1024 + 4 per token)"));
    CHECK_THAT(refused("a.bin", llmc({1}, 12345), 65536, format::llmc), Contains("magic 12345"));
    CHECK_THAT(refused("a.bin", "ab", 65536, format::llmc), Contains("2 bytes"));
}

TEST_CASE("an odd byte is refused") { CHECK_THAT(refused("a.bin", raw({1, 2}) + "x", 256), Contains("(5)")); }

TEST_CASE("a token outside the vocabulary is refused with its place") {
    CHECK_THAT(refused("a.bin", raw({1, 2, 50257, 3}), 50257),
               Contains("byte 4: found token 50257") && Contains("vocabulary of 50257"));
    CHECK(refused("a.bin", raw({1, 2, 50256, 3}), 50257).empty());
    CHECK_THAT(refused("a.bin", llmc({1, 2, 9}), 9), Contains("byte 1028: found token 9"));
    // Behind the first chunk of the check, and the very last token.
    auto many = std::vector<std::uint16_t>((std::size_t{1} << 20) + 77, 5);
    many.back() = 65535;
    CHECK_THAT(refused("a.bin", raw(many), 65535), Contains("byte " + std::to_string(2 * many.size() - 2)));
    CHECK(refused("a.bin", raw(many), 65536).empty());
    CHECK_THAT(refused("a.txt", "text", 255), Contains("at least 256"));
    CHECK_THAT(refused("a.txt", "text", 0), Contains("a vocabulary of 0"));
}

TEST_CASE("the tail of the data is for validation") {
    test::scratch directory;
    auto const parts = split(data_of(directory, 1000), 0.1, 4, 16);
    CHECK(parts.training.size() == 900);
    CHECK(parts.validation.size() == 100);
    CHECK(parts.validation[0] == 900);
}

TEST_CASE("data shorter than one batch is refused") {
    test::scratch directory;
    auto const data = data_of(directory, 100);
    CHECK(split(data, 0.2, 4, 19).training.size() == 80);
    CHECK_THAT(test::refusal([&] { split(data, 0.2, 4, 20); }),
               Contains("80 tokens for training (of 100)") && Contains("at least 81"));
    CHECK_THAT(test::refusal([&] { split(data, 0.1, 1, 10); }),
               Contains("10 tokens for validation") && Contains("at least 11"));
    for (auto const fraction : {0.0, 1.0, -1.0, 2.0, std::nan("")})
        CHECK_THAT(test::refusal([&] { split(data, fraction, 1, 10); }), Contains("between 0 and 1"));
    CHECK_FALSE(
        test::refusal([&] { split(data, 0.5, std::int64_t{1} << 40, std::int64_t{1} << 40); }).empty());
    CHECK_THAT(test::refusal([&] { batch_order(data, 100, 0); }),
               Contains("found 100 tokens, expected at least 101"));
    CHECK(batch_order(data, 99, 0).windows() == 1);
    CHECK_FALSE(test::refusal([&] { batch_order(data, 0, 0); }).empty());
    CHECK_FALSE(
        test::refusal([&] { batch_order(data, std::numeric_limits<std::int64_t>::max(), 0); }).empty());
}

TEST_CASE("an epoch visits each window once, on one grid") {
    test::scratch directory;
    for (std::size_t const count : {std::size_t{17}, std::size_t{33}, std::size_t{40}, std::size_t{1000}}) {
        batch_order const order(data_of(directory, count), 16, 42);
        auto const windows = order.windows();
        REQUIRE(windows == std::max<std::int64_t>(1, static_cast<std::int64_t>(count - 1) / 16 - 1));
        for (std::int64_t epoch = 0; epoch < 20; ++epoch) {
            std::set<std::int64_t> starts;
            for (std::int64_t i = 0; i < windows; ++i) starts.insert(order.start(epoch * windows + i));
            CHECK(static_cast<std::int64_t>(starts.size()) == windows);
            CHECK(*starts.begin() >= 0);
            CHECK(*starts.rbegin() + 16 < static_cast<std::int64_t>(count));
            CHECK(*starts.rbegin() - *starts.begin() == 16 * (windows - 1));
        }
    }
}

TEST_CASE("over the epochs every token is an input") {
    test::scratch directory;
    constexpr std::int64_t count = 70;
    batch_order const order(data_of(directory, count), 16, 1);
    std::set<std::int64_t> seen;
    for (std::int64_t i = 0; i < 200 * order.windows(); ++i)
        for (std::int64_t t = 0; t < 16; ++t) seen.insert(order.start(i) + t);
    CHECK(static_cast<std::int64_t>(seen.size()) == count - 1);
}

TEST_CASE("the order follows from the seed and differs from epoch to epoch") {
    test::scratch directory;
    auto const data = data_of(directory, 5000);
    batch_order const one(data, 16, 7), same(data, 16, 7), other(data, 16, 8);
    auto const windows = one.windows();
    std::int64_t equal_to_other = 0, equal_to_next = 0, in_file_order = 0;
    for (std::int64_t i = 0; i < windows; ++i) {
        REQUIRE(one.start(i) == same.start(i));
        equal_to_other += one.start(i) == other.start(i);
        equal_to_next += one.start(i) / 16 == one.start(windows + i) / 16;
        in_file_order += i > 0 && one.start(i) == one.start(i - 1) + 16;
    }
    CHECK(equal_to_other < windows / 10);
    CHECK(equal_to_next < windows / 10);
    CHECK(in_file_order < windows / 10);
}

TEST_CASE("targets are the tokens after the inputs, and a counter resumes the sequence") {
    test::scratch directory;
    batch_order const order(data_of(directory, 1000), 16, 3);
    std::vector<std::int32_t> inputs(96), targets(96), later(32), later_targets(32);
    order.fill(57, 6, inputs.data(), targets.data());  // over the end of the first epoch, at 61
    for (std::size_t row = 0; row < 6; ++row)
        for (std::size_t t = 0; t < 16; ++t) {
            auto const expected =
                order.start(57 + static_cast<std::int64_t>(row)) + static_cast<std::int64_t>(t);
            REQUIRE(inputs[row * 16 + t] == expected);
            REQUIRE(targets[row * 16 + t] == expected + 1);
        }
    order.fill(61, 2, later.data(), later_targets.data());
    CHECK(std::equal(later.begin(), later.end(), inputs.begin() + 64));
    CHECK(std::equal(later_targets.begin(), later_targets.end(), targets.begin() + 64));

    CHECK_FALSE(test::refusal([&] { order.fill(-1, 1, inputs.data(), targets.data()); }).empty());
    CHECK_FALSE(test::refusal([&] { order.fill(0, -1, inputs.data(), targets.data()); }).empty());
    CHECK_FALSE(test::refusal([&] {
                    order.fill(std::numeric_limits<std::int64_t>::max(), 1, inputs.data(), targets.data());
                }).empty());
}

TEST_CASE("the sequential order is the file's") {
    test::scratch directory;
    auto const order = batch_order::sequential(data_of(directory, 50), 16);
    CHECK(order.windows() == 3);
    for (std::int64_t i = 0; i < 3; ++i) CHECK(order.start(i) == 16 * i);
    CHECK(order.start(3) == 0);
}

TEST_CASE("of several files an epoch visits each window once, and none goes from one file into the next") {
    test::scratch directory;
    std::vector<std::string> paths;
    std::vector<std::int64_t> const sizes{17, 500, 33, 90};
    std::int64_t first = 0, windows = 0;
    for (auto const size : sizes) {
        std::vector<std::uint16_t> tokens(static_cast<std::size_t>(size));
        std::iota(tokens.begin(), tokens.end(), static_cast<std::uint16_t>(first));
        paths.push_back(directory / ("shard_" + std::to_string(paths.size()) + ".bin"));
        test::write_file(paths.back(), raw(tokens));
        first += 1000;
        windows += std::max<std::int64_t>(1, (size - 1) / 16 - 1);
    }
    auto const files = token_file::open_all(paths, 10000);
    batch_order const order(files, 16, 5);
    REQUIRE(order.windows() == windows);
    std::vector<std::int32_t> inputs(16), targets(16);
    for (std::int64_t epoch = 0; epoch < 5; ++epoch) {
        std::set<std::int32_t> begins;
        std::vector<std::int32_t> of_files;
        for (std::int64_t i = 0; i < windows; ++i) {
            order.fill(epoch * windows + i, 1, inputs.data(), targets.data());
            begins.insert(inputs[0]);
            of_files.push_back(inputs[0] / 1000);
            for (int t = 0; t < 16; ++t) {
                REQUIRE(inputs[static_cast<std::size_t>(t)] == inputs[0] + t);
                REQUIRE(targets[static_cast<std::size_t>(t)] == inputs[0] + t + 1);
            }
            auto const file = static_cast<std::size_t>(inputs[0] / 1000);
            REQUIRE(targets[15] <
                    1000 * static_cast<std::int32_t>(file) + static_cast<std::int32_t>(sizes[file]));
        }
        CHECK(static_cast<std::int64_t>(begins.size()) == windows);
        CHECK_FALSE(std::is_sorted(of_files.begin(), of_files.end()));
    }
    // One file in a list is that file.
    batch_order const alone(files[1], 16, 5), listed(std::vector{files[1]}, 16, 5);
    for (std::int64_t i = 0; i < 100; ++i) REQUIRE(alone.start(i) == listed.start(i));
    auto const straight = batch_order::sequential(files, 16);
    for (std::int64_t i = 0, last = -1; i < straight.windows(); ++i) {
        straight.fill(i, 1, inputs.data(), targets.data());
        CHECK(inputs[0] > last);
        last = inputs[0];
    }
    CHECK_THAT(test::refusal([&] { batch_order(std::vector<token_file>{}, 16, 0); }),
               Contains("no token file"));
    CHECK_THAT(test::refusal([&] { batch_order(files, 20, 0); }),
               Contains("shard_0.bin") && Contains("17 tokens"));
}

TEST_CASE("whichever call fails, no token file is opened") {
    test::scratch directory;
    test::write_file(directory / "a.bin", raw({1, 2, 3}));
    for (auto const kind : {test::call::open, test::call::stat_open, test::call::map}) {
        test::faults faults;
        faults.fail(kind, 1);
        CHECK_THAT(test::refusal([&] { token_file::open(directory / "a.bin", 256); }), Contains("a.bin"));
    }
}
