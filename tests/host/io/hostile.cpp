// SPDX-License-Identifier: Apache-2.0
// Hostile files for all readers of containers, made from tables: every field of a good file with values that it can't have,
// and files that ask for much memory or time.
#include <catch2/catch.hpp>

#include <malloc.h>
#include <algorithm>
#include <atomic>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <functional>
#include <new>
#include <string>
#include <utility>
#include <vector>

#include <snug/data/chat.hpp>
#include <snug/data/examples.hpp>
#include <snug/data/tokenizer.hpp>
#include <snug/data/tokens.hpp>
#include <snug/io/gguf.hpp>
#include <snug/io/json.hpp>
#include <snug/io/safetensors.hpp>
#include <snug/io/snapshot.hpp>

#include "weight_files.hpp"

namespace {

std::atomic<std::int64_t> held{0}, peak{0};

void* counted(std::size_t size) {
    auto* const memory = std::malloc(std::max<std::size_t>(size, 1));
    if (memory == nullptr) throw std::bad_alloc();
    auto const now = held += static_cast<std::int64_t>(malloc_usable_size(memory));
    for (auto before = peak.load(); before < now && !peak.compare_exchange_weak(before, now);) {
    }
    return memory;
}
void release(void* memory) noexcept {
    held -= static_cast<std::int64_t>(malloc_usable_size(memory));
    std::free(memory);
}

}  // namespace

void* operator new(std::size_t size) { return counted(size); }
void* operator new(std::size_t size, std::nothrow_t const&) noexcept { return counted(size); }
void* operator new[](std::size_t size) { return counted(size); }
void operator delete(void* memory) noexcept { release(memory); }
void operator delete(void* memory, std::nothrow_t const&) noexcept { release(memory); }
void operator delete[](void* memory) noexcept { release(memory); }
void operator delete(void* memory, std::size_t) noexcept { release(memory); }
void operator delete[](void* memory, std::size_t) noexcept { release(memory); }

namespace {

using namespace snug::io;
using test::raw;
using test::u32;
using test::u64;
using test::zeros;

enum class outcome { read, refused };

struct reader {
    char const* file;  ///< what its name must be
    std::function<void(std::string const&)> open;
};

reader const json_file{"h", [](auto const& path) { json_document(path, std::int64_t{1} << 30); }};
reader const safetensors_of{"h", [](auto const& path) { safetensors file(path); }};
reader const index_of{"h.json", [](auto const& path) { safetensors file(path); }};
reader const gguf_of{"h", [](auto const& path) { gguf file(path); }};
reader const part_of{"h-00001-of-00002.gguf", [](auto const& path) { gguf file(path); }};
reader const snapshot_of{"h", [](auto const& path) { snapshot_reader file(path); }};
reader const tokens_of{"h.bin", [](auto const& path) { (void)token_file::open(path, 50257); }};
reader const conversations_of{
    "h.jsonl", [](auto const& path) {
        static auto const vocabulary = tokenizer::from_json(SNUG_TEST_DATA "/tokenizers/gpt2.json");
        (void)examples::from_json_lines(path, vocabulary, {.chat = chatml(vocabulary), .end_of_text = false});
    }};
reader const wide_tokens_of{"h.bin", [](auto const& path) { (void)token_file::open(path, 128256); }};

int tried = 0;

/// Opens a file of that content, within a second and 64 MiB and four times its size; a refusal names the file, a place and
/// nothing that a terminal would obey.
outcome attempt(reader const& with, std::string const& content) {
    test::scratch folder;
    auto const path = folder / with.file;
    test::write_file(path, content);
    auto const before = held.load();
    peak = before;
    auto const start = std::clock();
    auto result = outcome::read;
    ++tried;
    try {
        with.open(path);
    } catch (snug::error const& refused) {
        result = outcome::refused;
        std::string const words = refused.what();
        CAPTURE(words);
        CHECK(refused.where().file.starts_with(folder / ""));
        CHECK((refused.where().offset >= 0 || !refused.where().tensor.empty()));
        CHECK(words.size() < 1000);
        CHECK(std::ranges::none_of(words, [](unsigned char c) { return c < 0x20 || c >= 0x7f; }));
    }
    CHECK(static_cast<double>(std::clock() - start) / CLOCKS_PER_SEC < test::soon);
    CHECK(peak - before <= (std::int64_t{64} << 20) + 4 * static_cast<std::int64_t>(content.size()));
    return result;
}
void check_refused(reader const& with, std::string const& content) {
    CHECK(attempt(with, content) == outcome::refused);
}

/// Values that no field has, whatever it counts.
constexpr std::uint64_t extremes[] = {0x7fffffff,         0x80000000,         0xffffffff,
                                      0x100000000,        0x3fffffffffffffff, 0x7fffffffffffffff,
                                      0x8000000000000000, 0xffffffffffffffff};

/// `content` with another number of `width` bytes at `at`.
std::string with_number(std::string content, std::size_t at, std::size_t width, std::uint64_t value) {
    std::memcpy(content.data() + at, &value, width);
    return content;
}

/// All fields, with all extremes that they are wide enough for.
void check_fields(
    reader const& with, std::string const& good,
    std::vector<std::pair<std::size_t, std::size_t>> const& fields,
    std::function<std::string(std::string)> const& finish = [](std::string all) { return all; }) {
    REQUIRE(attempt(with, finish(good)) == outcome::read);
    for (auto const& [at, width] : fields)
        for (auto const value : extremes) {
            if (width < 8 && value >> 32 != 0) continue;
            CAPTURE(at, width, value);
            check_refused(with, finish(with_number(good, at, width, value)));
        }
}

std::string repeated(std::string const& piece, std::size_t count, std::string const& between = ",") {
    std::string result;
    result.reserve((piece.size() + between.size()) * count);
    for (std::size_t i = 0; i < count; ++i) result += (i ? between : "") + piece;
    return result;
}
/// "k0":piece,"k1":piece,...
std::string members(std::string const& piece, std::size_t count) {
    std::string result;
    for (std::size_t i = 0; i < count; ++i)
        result += (i ? ",\"k" : "\"k") + std::to_string(i) + "\":" + piece;
    return result;
}

std::uint64_t sum(std::string const& data) { return checksum::of(std::as_bytes(std::span(data))); }

/// A snapshot whose checksums are right, whatever else is not. 128 bytes of header and payload, then the table.
std::string with_checksums(std::string content) {
    content = with_number(content, 48, 8, sum(content.substr(128)));
    return with_number(content, 56, 8, sum(content.substr(0, 56)));
}
std::string snapshot_with(std::string const& table) {
    auto const payload = "payload" + zeros(57);
    return with_checksums(std::string("snug-snapshot\n\0\0", 16) + u32(1) + u32(0) + u64(128 + table.size()) +
                          u64(128) + u64(table.size()) + u64(0) + u64(0) + payload + table);
}
std::string snapshot_tensor_entry(std::string const& name) {
    return u32(2) + u32(static_cast<std::uint32_t>(name.size())) + name + u32(5) + "uint8" + u32(1) +
           u64(64) + u64(64) + u64(64) + u64(sum("payload" + zeros(57)));
}
std::string number_entry(std::string const& name) {
    return u32(1) + u32(static_cast<std::uint32_t>(name.size())) + name + u64(7);
}

}  // namespace

TEST_CASE("no field of a GGUF file can have a value beyond the file") {
    namespace g = test::gguf;
    auto const head = g::header(1, 2);
    auto const entry = g::entry("k", 8, g::text("v"));
    auto const array = g::array("a", 5, 2, u32(1) + u32(2));
    auto const tensor = g::tensor("t", {2, 3}, 0, 0);
    auto const before = head.size() + entry.size() + array.size();
    auto good = head + entry + array + tensor;
    good.resize((good.size() + 31) / 32 * 32, '\0');
    good += zeros(24);
    check_fields(gguf_of, good,
                 {{4, 4},
                  {8, 8},
                  {16, 8},  // version, counts
                  {24, 8},
                  {24 + 9, 4},
                  {24 + 13, 8},  // key, type, text
                  {24 + 22, 8},
                  {24 + 31, 4},
                  {24 + 35, 4},
                  {24 + 39, 8},  // of the array
                  {before, 8},
                  {before + 9, 4},
                  {before + 13, 8},
                  {before + 21, 8},  // name, rank, dimensions
                  {before + 29, 4},
                  {before + 33, 8}});  // type, offset
}

TEST_CASE("no field of a snapshot can have a value beyond the file, right checksums or not") {
    auto const table = u64(2) + snapshot_tensor_entry("t") + number_entry("n");
    auto const good = snapshot_with(table);
    constexpr std::size_t entry = 128 + 8;
    auto const end = entry + snapshot_tensor_entry("t").size();
    check_fields(snapshot_of, good,
                 {{16, 4},
                  {20, 4},
                  {24, 8},
                  {32, 8},
                  {40, 8},  // header
                  {128, 8},
                  {entry, 4},
                  {entry + 4, 4},
                  {entry + 9, 4},  // count, kind, name, type
                  {entry + 18, 4},
                  {entry + 22, 8},
                  {entry + 30, 8},
                  {entry + 38, 8},  // rank to bytes
                  {end, 4},
                  {end + 4, 4}},
                 with_checksums);
    check_fields(snapshot_of, good, {{48, 8}, {56, 8}, {entry + 46, 8}, {64, 8}});
}

TEST_CASE("no field of a token file can have a value beyond the file") {
    auto const header = [](std::uint32_t magic, std::uint32_t version) {
        return u32(magic) + u32(version) + u32(2) + zeros(1012);
    };
    check_fields(tokens_of, header(20240520, 1) + std::string("\1\0\2\0", 4), {{4, 4}, {8, 4}});
    check_fields(wide_tokens_of, header(20240801, 7) + u32(1) + u32(2),
                 {{4, 4}, {8, 4}, {1024, 4}, {1028, 4}});
    check_fields(wide_tokens_of, u32(1) + u32(2), {{0, 4}, {4, 4}});
    for (auto const count : {1u, 3u, 5u, 7u}) check_refused(tokens_of, std::string(count, '\1'));
    for (auto const count : {1u, 2u, 3u, 5u, 6u, 7u}) check_refused(wide_tokens_of, std::string(count, '\1'));
}

TEST_CASE("no value of a safetensors header can be of another kind or beyond the file") {
    std::string const strange[] = {"-1",
                                   "0.5",
                                   "1e3",
                                   "1e400",
                                   "null",
                                   "true",
                                   "[]",
                                   "{}",
                                   "[[]]",
                                   "\"4\"",
                                   "\"\"",
                                   "18446744073709551615",
                                   "18446744073709551616",
                                   "9223372036854775807",
                                   "[1,2,3]",
                                   "\"\\u202e\\n\"",
                                   "{\"a\":1}",
                                   "nan"};
    std::string const good = R"({"a":{"dtype":"F32","shape":[1],"data_offsets":[0,4]}})";
    REQUIRE(attempt(safetensors_of, test::safetensors_file(good, zeros(4))) == outcome::read);
    // What is put in place of which part of it, up to what follows.
    for (auto const& [field, after] :
         std::vector<std::pair<std::string, std::string>>{{R"("F32")", ","},
                                                          {"[1]", ","},
                                                          {"1", "],"},
                                                          {"[0,4]", "}"},
                                                          {"0", ",4"},
                                                          {"4", "]}"},
                                                          {good.substr(5, good.size() - 6), "}"}})
        for (auto const& other : strange) {
            if (field == "[1]" && other == "[]") continue;  // one number
            auto header = good;
            auto const at = header.find(field + after);
            REQUIRE(at != header.npos);
            header.replace(at, field.size(), other);
            CAPTURE(header);
            check_refused(safetensors_of, test::safetensors_file(header, zeros(4)));
        }
    for (auto const& other : strange) {
        CAPTURE(other);
        if (other != "null" && other != "{}")
            check_refused(safetensors_of, test::safetensors_file(R"({"__metadata__":)" + other + '}'));
        if (other.front() != '"')
            check_refused(safetensors_of, test::safetensors_file(R"({"__metadata__":{"k":)" + other + "}}"));
        check_refused(index_of, R"({"weight_map":{"a":)" + other + "}}");
        if (other != "{}") check_refused(index_of, R"({"weight_map":)" + other + '}');
    }
}

TEST_CASE("what asks for much memory or time costs 64 MiB and four times the file, and a second, at most") {
    constexpr std::size_t million = 1'000'000;
    auto const header = [](std::string const& json) { return test::safetensors_file(json); };

    // JSON: many small values, deep ones, long ones.
    for (std::string const value : {"0", "[]", "{}", "\"\"", "null", "0.5", "[0]", "{\"\":0}", "[[[[]]]]"}) {
        CAPTURE(value);
        (void)attempt(json_file, '[' + repeated(value, million / 8) + ']');
        check_refused(json_file, '[' + repeated(value, 2 * million) + ']');
        check_refused(safetensors_of, header('{' + members(value, million / 8) + '}'));
    }
    CHECK(attempt(json_file, '[' + repeated("0", million) + ']') == outcome::read);
    CHECK(attempt(json_file, '{' + members("{}", million / 2) + '}') == outcome::read);
    check_refused(json_file, '{' + repeated("\"k\":0", million) + '}');
    check_refused(json_file, repeated("[", 3 * million, ""));
    check_refused(json_file, repeated("{\"a\":", million, ""));
    check_refused(json_file, "[\"" + std::string(9 * million, 'x') + "\"]");
    check_refused(json_file, "[\"" + std::string(8 * million, 'x') + "\x01\"]");
    check_refused(json_file, "[" + std::string(million, '\t') + "x]");
    check_refused(json_file, "[" + std::string(million, '1') + "]");
    check_refused(json_file, "[0." + std::string(2 * million, '1') + "]");
    check_refused(json_file, "[\"" + repeated("\\u0001", million, "") + "\\x\"]");
    check_refused(json_file, std::string((std::size_t{1} << 26) + 1, ' ') + "x");
    (void)attempt(json_file, "[\"" + repeated("\\u00e9", million, "") + "\"]");
    (void)attempt(json_file, '[' + repeated('"' + std::string(1000, 'x') + '"', 8000) + ']');

    // safetensors: tensors, dimensions, texts.
    std::string const empty = R"({"dtype":"U8","shape":[0],"data_offsets":[0,0]})";
    check_refused(safetensors_of, header('{' + members(empty, 140'000) + '}'));
    CHECK(attempt(safetensors_of, header('{' + members(empty, 30'000) + '}')) == outcome::read);

    auto const of_rank = [](std::size_t rank) {
        return R"({"dtype":"U8","shape":[0,)" + repeated("1", rank - 1) + R"(],"data_offsets":[0,0]})";
    };
    check_refused(safetensors_of, header('{' + members(of_rank(100), 1000) + '}'));
    check_refused(safetensors_of, header('{' + members(of_rank(million), 1) + '}'));
    CHECK(attempt(safetensors_of, header('{' + members(of_rank(64), 1000) + '}')) == outcome::read);
    check_refused(safetensors_of, header(R"({"__metadata__":{)" + members("\"\"", 70'000) + "}}"));
    CHECK(attempt(safetensors_of, header(R"({"__metadata__":{)" + members("\"v\"", 60'000) + "}}")) ==
          outcome::read);
    check_refused(index_of, R"({"weight_map":{)" + members("\"a.safetensors\"", 200'000) + "}}");

    // GGUF: entries, texts, tensors.
    namespace g = test::gguf;
    check_refused(gguf_of, g::header(0, 200'000) + repeated(g::entry("k", 0, "x"), 200'000, ""));
    check_refused(gguf_of, g::header(0, 65'536) + repeated(g::entry("k", 0, "x"), 65'536, ""));
    check_refused(gguf_of, g::header(200'000, 0) + repeated(g::tensor("t", {}, 0, 0), 200'000, ""));
    check_refused(gguf_of,
                  g::header(131'072, 0) + repeated(g::tensor("t", {0}, 0, 0), 131'072, "") + zeros(64));
    CHECK(attempt(gguf_of, g::file({g::array("a", 8, million, zeros(8 * million))}, {})) == outcome::read);
    check_refused(gguf_of, g::file({g::array("a", 8, 5 * million, zeros(40 * million))}, {}));
    check_refused(gguf_of, g::file({g::array("a", 7, 10 * million, zeros(10 * million - 1) + '\2')}, {}));

    // Snapshots: entries, dimensions, names.
    auto table = u64(100'001) + snapshot_tensor_entry("payload");
    for (std::size_t i = 0; i < 100'000; ++i) table += number_entry(std::to_string(i * 7919 % 100'000));
    CHECK(attempt(snapshot_of, snapshot_with(table)) == outcome::read);
    check_refused(snapshot_of, snapshot_with(table + number_entry("one more")));
    check_refused(snapshot_of, snapshot_with(u64(million) + repeated(number_entry("n"), million, "") + 'x'));
    check_refused(snapshot_of,
                  snapshot_with(u64((1 << 20) + 1) + repeated(number_entry("n"), (1 << 20) + 1, "")));
    check_refused(snapshot_of, snapshot_with(u64(1) + u32(2) + u32(1) + "t" + u32(5) + "uint8" +
                                             u32(million) + repeated(u64(1), million + 3, "")));
    check_refused(snapshot_of, snapshot_with(u64(1) + number_entry(std::string(million, 'n')) + 'x'));
    // Tensors without bytes may be many.
    table = u64(100'001) + snapshot_tensor_entry("payload");
    for (int i = 0; i < 100'000; ++i) {
        auto const name = std::to_string(i);
        table += u32(2) + u32(static_cast<std::uint32_t>(name.size())) + name + u32(0) + u32(1) + u64(0) +
                 u64(128) + u64(0) + u64(sum({}));
    }
    CHECK(attempt(snapshot_of, snapshot_with(table)) == outcome::read);
}

TEST_CASE("a line of a file of conversations costs 64 MiB and four times itself, and a second, at most") {
    std::string const good =
        R"({"messages":[{"role":"user","content":"a"},{"role":"assistant","content":"b"}]})";
    REQUIRE(attempt(conversations_of, good) == outcome::read);
    constexpr std::size_t longest = std::size_t{1} << 20;
    auto const prompt = [](std::string const& text) {
        return R"({"prompt":")" + text + R"(","completion":"b"})";
    };
    auto const said = [](std::string const& text) {
        return R"({"messages":[{"role":"assistant","content":")" + text + R"("}]})";
    };
    for (std::string const piece : {"a", " ", "the ", "\\n", "\xc3\xa9", "0", "don't", "\\u00e9"}) {
        CAPTURE(piece);
        auto const text = repeated(piece, (longest - 100) / piece.size(), "");
        CHECK(attempt(conversations_of, prompt(text)) == outcome::read);
        CHECK(attempt(conversations_of, said(text)) == outcome::read);
    }
    check_refused(conversations_of, prompt(std::string(longest, 'a')));
    // One message over and over, and what is left out over and over.
    std::string const turn = R"({"role":"assistant","content":""})";
    CHECK(attempt(conversations_of, R"({"messages":[)" + repeated(turn, longest / (turn.size() + 1) - 2) +
                                        "]}") == outcome::read);
    check_refused(conversations_of, R"({"messages":[)" + repeated("0", longest / 2 - 20) + "]}");
    check_refused(conversations_of, R"({"messages":[")" + std::string(longest - 100, 'x') + "\"]}");
    check_refused(conversations_of,
                  R"({"messages":[{"role":")" + std::string(longest - 100, 'u') + R"(","content":""}]})");
    check_refused(conversations_of, R"({"messages":[{)" + members("1", 80'000) + "}]}");
    auto const unknown = [](std::size_t i) {
        return R"({"messages":[{"role":"user","content":"a","k)" + std::to_string(i) + "\":1}]}\n";
    };
    std::string lines = good + '\n';
    for (std::size_t i = 0; i < 50'000; ++i) lines += unknown(i);
    CHECK(attempt(conversations_of, lines) == outcome::read);
}

TEST_CASE("a part of a GGUF model can't be more than one of those that are there") {
    namespace g = test::gguf;
    auto const first = [](std::uint32_t type, std::string const& number, std::string const& count) {
        return g::file({g::entry("split.no", type, number), g::entry("split.count", type, count)}, {});
    };
    for (auto const count : extremes) {
        CAPTURE(count);
        check_refused(part_of, first(10, u64(0), u64(count)));
        check_refused(part_of, first(10, u64(count), u64(2)));
        check_refused(part_of, first(11, u64(count), u64(count)));
    }
    check_refused(part_of, first(8, g::text("0"), g::text("2")));
    check_refused(part_of, first(6, raw(0.f), raw(2.f)));
    check_refused(part_of, g::file({g::array("split.count", 5, 2, u32(2) + u32(3))}, {}));
}

TEST_CASE("hundreds of hostile files were tried") { CHECK(tried >= 200); }
