// SPDX-License-Identifier: Apache-2.0
#include <catch2/catch.hpp>

#include <algorithm>
#include <array>
#include <chrono>
#include <csignal>
#include <cstdint>
#include <cstring>
#include <limits>
#include <numeric>
#include <span>
#include <string>
#include <vector>

#include <sys/wait.h>
#include <unistd.h>

#include <snug/io/snapshot.hpp>

#include "faults.hpp"

using namespace snug::io;
using Catch::Matchers::Contains;

namespace {

std::vector<float> const weights{1, 2, 3, 4, 5, 6};
std::vector<std::uint8_t> const states{9, 8, 7};

void save(std::string const& path, std::int64_t step = 100) {
    snapshot_writer out(path);
    out.text("trainer", "gpt2 fp32");
    out.number("step", step);
    out.tensor("wte", "fp32", {2, 3}, weights.data(), 24);
    out.tensor("state", "blocks_of_mine", {3}, states.data(), 3);
    out.tensor("nothing", "bf16", {0}, nullptr, 0);
    out.commit();
}

std::string saved() {
    test::scratch directory;
    save(directory / "s");
    return test::read_file(directory / "s");
}

/// What opening a snapshot of these bytes is refused with; empty when it opens.
std::string refused(std::string const& content) {
    test::scratch directory;
    test::write_file(directory / "s", content);
    return test::refusal([&] { snapshot_reader(directory / "s"); });
}

template <class T>
std::string raw(T value) {
    std::string bytes(sizeof(T), '\0');
    std::memcpy(bytes.data(), &value, sizeof(T));
    return bytes;
}
std::string u32(std::uint32_t value) { return raw(value); }
std::string u64(std::uint64_t value) { return raw(value); }

std::uint64_t sum(std::string const& data) { return checksum::of(std::as_bytes(std::span(data))); }

/// A file of these parts, all checksums of header and table in order: what a malicious writer would make.
std::string crafted(std::string const& payload, std::string const& table, std::uint64_t table_offset,
                    std::uint64_t table_size, std::uint64_t file_size, std::uint32_t reserved = 0) {
    auto header = std::string("snug-snapshot\n\0\0", 16) + u32(1) + u32(reserved) + u64(file_size) +
                  u64(table_offset) + u64(table_size) + u64(sum(table));
    return header + u64(sum(header)) + payload + table;
}
std::string crafted(std::string const& payload, std::string const& table) {
    return crafted(payload, table, 64 + payload.size(), table.size(), 64 + payload.size() + table.size());
}

std::string tensor(std::string const& name, std::string const& dtype, std::vector<std::uint64_t> const& dims,
                   std::uint64_t offset, std::uint64_t bytes,
                   std::string const& payload = std::string(64, '\0')) {
    auto entry = u32(2) + u32(static_cast<std::uint32_t>(name.size())) + name +
                 u32(static_cast<std::uint32_t>(dtype.size())) + dtype +
                 u32(static_cast<std::uint32_t>(dims.size()));
    for (auto const dim : dims) entry += u64(dim);
    return entry + u64(offset) + u64(bytes) + u64(sum(payload));
}

std::string const zeros(64, '\0');
constexpr auto largest = ~std::uint64_t{0};

}  // namespace

TEST_CASE("a snapshot gives back what was saved") {
    test::scratch directory;
    save(directory / "s");
    CHECK(directory.files() == 1);
    snapshot_reader const in(directory / "s");
    CHECK(in.text("trainer") == "gpt2 fp32");
    CHECK(in.number("step") == 100);
    CHECK(in.has("wte"));
    CHECK_FALSE(in.has("wpe"));
    auto const& wte = in.tensor("wte");
    CHECK(wte.dtype == "fp32");
    CHECK(wte.dims == std::vector<std::int64_t>{2, 3});
    REQUIRE(wte.bytes.size() == 24);
    CHECK(std::ranges::equal(wte.bytes, std::as_bytes(std::span(weights))));
    CHECK(reinterpret_cast<std::uintptr_t>(wte.bytes.data()) % 64 == 0);
    CHECK(in.tensor("state").bytes[2] == std::byte{7});
    CHECK(in.tensor("nothing").bytes.empty());
    std::vector<tensor_shape> const all{
        {"wte", "fp32", {2, 3}, 24}, {"state", "blocks_of_mine", {3}, 3}, {"nothing", "bf16", {0}, 0}};
    in.require(all);
    in.forget();
    CHECK(in.tensor("state").bytes[0] == std::byte{9});
}

TEST_CASE("a snapshot without content and one with a large tensor hold") {
    test::scratch directory;
    {
        snapshot_writer out(directory / "empty");
        out.commit();
    }
    CHECK_FALSE(snapshot_reader(directory / "empty").has("anything"));

    // Several pieces of the checksum, the last one odd.
    std::vector<unsigned char> big((std::size_t{1} << 20) + 12345);
    std::iota(big.begin(), big.end(), static_cast<unsigned char>(1));
    auto const size = static_cast<std::int64_t>(big.size());
    {
        snapshot_writer out(directory / "big");
        out.tensor("a", "uint8", {size}, big.data(), size);
        out.tensor("b", "uint8", {size}, big.data(), size);
        out.commit();
    }
    {
        snapshot_reader const in(directory / "big");
        CHECK(std::memcmp(in.tensor("b").bytes.data(), big.data(), big.size()) == 0);
    }
    auto content = test::read_file(directory / "big");
    content[64 + (std::size_t{1} << 20)] ^= 1;
    test::write_file(directory / "big", content);
    CHECK_THAT(test::refusal([&] { snapshot_reader(directory / "big"); }),
               Contains("tensor \"a\"") && Contains("damaged data"));
}

TEST_CASE("a number outside of its bounds is refused by name and byte") {
    test::scratch directory;
    save(directory / "s", -1);
    snapshot_reader const in(directory / "s");
    CHECK(in.number("step", -1, 0) == -1);
    CHECK(in.number("step", -5, -1) == -1);
    constexpr auto most = std::numeric_limits<std::int64_t>::max();
    auto const refused = test::refusal([&] { (void)in.number("step", 0, most); });
    CHECK_THAT(refused,
               Contains(directory / "s") && Contains("the number -1 for \"step\", expected one from 0 to"));
    auto const at = static_cast<std::int64_t>(test::read_file(directory / "s").find(raw(std::int64_t{-1})));
    CHECK_THAT(refused, Contains("byte " + std::to_string(at) + ":"));
    CHECK_THAT(test::refusal([&] { (void)in.number("step", most, most); }), Contains("the number -1"));
    CHECK_THAT(test::refusal([&] { (void)in.number("trainer", 0, 1); }), Contains("the text \"trainer\""));
}

TEST_CASE("what a snapshot does not hold, or holds otherwise, is refused by name") {
    test::scratch directory;
    auto const path = directory / "s";
    save(path);
    snapshot_reader const in(path);
    auto const require = [&](std::vector<tensor_shape> const& wanted) {
        return test::refusal([&] { in.require(wanted); });
    };
    tensor_shape const wte{"wte", "fp32", {2, 3}, 24}, state{"state", "blocks_of_mine", {3}, 3};
    CHECK_THAT(test::refusal([&] { (void)in.text("nope"); }), Contains("no entry \"nope\", expected a text"));
    CHECK_THAT(test::refusal([&] { (void)in.number("trainer"); }),
               Contains("the text \"trainer\", expected a number"));
    CHECK_THAT(test::refusal([&] { (void)in.tensor("wpe"); }), Contains("tensor wpe: found no entry"));
    CHECK_THAT(require({wte, state}), Contains("tensor \"nothing\": found a tensor that is not wanted"));
    CHECK_THAT(
        require({{"wte", "bf16", {2, 3}, 12}}),
        Contains("byte 64, tensor wte: found \"fp32\" [2, 3]") && Contains("expected \"bf16\" [2, 3]"));
    CHECK_THAT(require({{"wte", "fp32", {3, 2}, 24}}), Contains("expected \"fp32\" [3, 2]"));
    CHECK_THAT(require({{"wte", "fp32", {6}, 24}}), Contains("expected \"fp32\" [6]"));
    CHECK_THAT(require({{"state", "blocks_of_mine", {3}, 4}}), Contains("found 3 bytes, expected 4 bytes"));
}

TEST_CASE("nonsense is not written") {
    test::scratch directory;
    snapshot_writer out(directory / "s");
    out.number("a", 1);
    CHECK_THAT(test::refusal([&] { out.text("a", "again"); }), Contains("the name \"a\""));
    CHECK_THAT(test::refusal([&] { out.number("", 1); }), Contains("not empty"));
    CHECK_THAT(test::refusal([&] {
                   out.tensor("w", "fp32", {2, 3}, weights.data(), 20);
               }),
               Contains("20 bytes") && Contains("24 bytes"));
    CHECK_THAT(test::refusal([&] {
                   out.tensor("w", "fp32", {-2, 3}, weights.data(), 24);
               }),
               Contains("a size of -2"));
    CHECK_THAT(
        test::refusal([&] { out.tensor("w", "fp32", std::vector<std::int64_t>(65, 1), weights.data(), 4); }),
        Contains("65 dimensions, expected at most 64"));
    out.tensor("w", "fp32", {2, 3}, weights.data(), 24);
    out.commit();
    CHECK_FALSE(test::refusal([&] { out.commit(); }).empty());
    snapshot_reader const in(directory / "s");
    CHECK(in.number("a") == 1);
    CHECK(in.tensor("w").bytes.size() == 24);
}

TEST_CASE("a snapshot cut anywhere, or longer than it should be, is refused") {
    auto const whole = saved();
    REQUIRE(refused(whole).empty());
    for (std::size_t length = 0; length < whole.size(); ++length) {
        INFO(length);
        CHECK_FALSE(refused(whole.substr(0, length)).empty());
    }
    CHECK_THAT(refused(whole + '\0'), Contains("byte 24"));
    CHECK_THAT(refused(""), Contains("without the magic"));
    CHECK_THAT(refused("a text that is no snapshot"), Contains("without the magic"));
}

TEST_CASE("a snapshot with any one byte changed is refused") {
    auto const whole = saved();
    test::scratch directory;
    for (std::size_t at = 0; at < whole.size(); ++at) {
        for (auto const flip : {0x01, 0x80, 0xff}) {
            auto damaged = whole;
            damaged[at] = static_cast<char>(damaged[at] ^ flip);
            test::write_file(directory / "s", damaged);
            INFO("byte " << at << " of " << whole.size());
            CHECK_FALSE(test::refusal([&] { snapshot_reader(directory / "s"); }).empty());
        }
    }
    auto newer = whole;
    newer[16] = 2;
    CHECK_THAT(refused(newer), Contains("byte 16: found version 2, expected version 1"));
}

TEST_CASE("hostile headers with right checksums are refused") {
    auto const table = u64(0);
    REQUIRE(refused(crafted("", table)).empty());
    CHECK_THAT(refused(crafted("", table, 64, 8, 72, 1)), Contains("byte 20"));
    CHECK_FALSE(refused(crafted("", table, 64, 8, 73)).empty());
    CHECK_FALSE(refused(crafted("", table, 64, 7, 72)).empty());
    CHECK_FALSE(refused(crafted("", table, 64, 9, 72)).empty());
    CHECK_FALSE(refused(crafted("", table, 0, 72, 72)).empty());
    CHECK_FALSE(refused(crafted("", table, 65, 7, 72)).empty());
    CHECK_FALSE(refused(crafted("", table, 128, 8, 72)).empty());
    CHECK_FALSE(
        refused(crafted("", table, largest - 63, 72 + 64, 72)).empty());  // offset + size wraps to the file's
    CHECK_FALSE(refused(crafted("", "", 64, 0, 64)).empty());
    CHECK_FALSE(refused(crafted("", u32(0), 64, 4, 68)).empty());
}

TEST_CASE("hostile tables with right checksums are refused") {
    auto const one = [](std::string const& entry) { return refused(crafted(zeros, u64(1) + entry)); };
    REQUIRE(one(tensor("a", "fp32", {16}, 64, 64)).empty());

    SECTION("counts and lengths beyond the table") {
        CHECK_THAT(refused(crafted("", u64(1))),
                   Contains("1 entries, expected at most the 0 that the table has room for"));
        CHECK_THAT(refused(crafted("", u64(largest))), Contains("18446744073709551615 entries"));
        CHECK_THAT(one(u32(0) + u32(0xffffffffu) + "a"), Contains("4294967295 more bytes"));
        CHECK_THAT(one(u32(0) + u32(1) + "a" + u64(largest)), Contains("18446744073709551615 more bytes"));
        CHECK_THAT(one(u32(2) + u32(1) + "a" + u32(0xffffffffu) + "fp32"), Contains("4294967295 more bytes"));
        CHECK_THAT(one(u32(2) + u32(1) + "a" + u32(4) + "fp32" + u32(0xffffffffu) + u64(1)),
                   Contains("tensor \"a\": found 4294967295 dimensions, expected at most 64"));
        CHECK_FALSE(one(u32(1) + u32(1) + "a" + u32(0)).empty());
    }
    SECTION("a table cut at any byte") {
        auto const table = u64(3) + u32(0) + u32(1) + "t" + u64(2) + "hi" + u32(1) + u32(1) + "n" + u64(5) +
                           tensor("a", "fp32", {4, 4}, 64, 64);
        REQUIRE(refused(crafted(zeros, table)).empty());
        for (std::size_t length = 0; length < table.size(); ++length)
            CHECK_FALSE(refused(crafted(zeros, table.substr(0, length))).empty());
        CHECK_THAT(refused(crafted(zeros, table + "x")), Contains("bytes after the last entry"));
    }
    SECTION("dimensions that wrap") {
        auto const big = std::uint64_t{1} << 32;
        CHECK_THAT(one(tensor("a", "fp32", {big, big}, 64, 64)), Contains("4294967296 * 4294967296"));
        CHECK_THAT(one(tensor("a", "fp32", {big, big / 4}, 64, 0)), Contains(" * 4"));
        CHECK_THAT(one(tensor("a", "mine", {big, big}, 64, 64)), Contains("4294967296 * 4294967296"));
        CHECK_THAT(one(tensor("a", "fp32", {largest}, 64, 64)), Contains("18446744073709551615"));
        CHECK_THAT(one(tensor("a", "fp32", {17}, 64, 64)),
                   Contains("64 bytes for \"fp32\" [17], expected 68 bytes"));
    }
    SECTION("payloads in wrong places") {
        CHECK_THAT(one(tensor("a", "fp32", {16}, 0, 64)), Contains("a payload at byte 0, expected byte 64"));
        CHECK_FALSE(one(tensor("a", "fp32", {16}, 68, 64)).empty());
        CHECK_FALSE(one(tensor("a", "fp32", {16}, 128, 64)).empty());
        CHECK_FALSE(one(tensor("a", "fp32", {16}, largest, 64)).empty());
        CHECK_THAT(one(tensor("a", "mine", {1}, 64, largest)), Contains("64 + 18446744073709551615"));
        CHECK_THAT(one(tensor("a", "mine", {1}, 64, 128)), Contains("its end before the table of contents"));
        // Less than the file holds: the rest would be unaccounted for.
        CHECK_FALSE(refused(crafted(zeros + zeros, u64(1) + tensor("a", "fp32", {16}, 64, 64))).empty());
    }
    SECTION("payloads that overlap") {
        auto const first = tensor("a", "fp32", {16}, 64, 64);
        REQUIRE(refused(crafted(zeros + zeros, u64(2) + first + tensor("b", "fp32", {16}, 128, 64))).empty());
        CHECK_THAT(refused(crafted(zeros + zeros, u64(2) + first + tensor("b", "fp32", {16}, 64, 64))),
                   Contains("tensor \"b\": found a payload at byte 64, expected byte 128"));
    }
    SECTION("a gap that is not zero") {
        auto const payload = std::string(5, '\0') + "secret" + std::string(53, '\0');
        CHECK_THAT(refused(crafted(payload, u64(1) + tensor("a", "uint8", {5}, 64, 5, std::string(5, '\0')))),
                   Contains("bytes in a gap"));
    }
    SECTION("names") {
        auto const number = [](std::string const& name) {
            return u32(1) + u32(static_cast<std::uint32_t>(name.size())) + name + u64(1);
        };
        REQUIRE(refused(crafted("", u64(2) + number("a") + number("b"))).empty());
        CHECK_THAT(refused(crafted("", u64(2) + number("a") + number("a"))), Contains("the name \"a\""));
        CHECK_THAT(refused(crafted(zeros, u64(2) + number("a") + tensor("a", "fp32", {16}, 64, 64))),
                   Contains("the name \"a\""));
        CHECK_THAT(refused(crafted("", u64(1) + number(""))), Contains("not empty"));
        auto const words = refused(crafted("", u64(2) + number("a\nb\x1b") + number("a\nb\x1b")));
        CHECK_THAT(words, Contains("a\\x0ab\\x1b"));
        CHECK(words.find('\n') == std::string::npos);
    }
    SECTION("an unknown kind") { CHECK_THAT(one(u32(3) + u32(1) + "a" + u64(1)), Contains("kind 3")); }
    SECTION("a wrong checksum of a payload") {
        CHECK_THAT(one(tensor("a", "fp32", {16}, 64, 64, "other")),
                   Contains("byte 64, tensor \"a\": found damaged"));
    }
}

TEST_CASE("whichever call fails while saving, the last good snapshot stays") {
    test::scratch directory;
    auto const path = directory / "s";
    std::array<int, test::kinds_of_call> made{};
    {
        test::faults faults;
        save(path);
        for (int kind = 0; kind < test::kinds_of_call; ++kind)
            made[static_cast<std::size_t>(kind)] = faults.made(static_cast<test::call>(kind));
    }
    REQUIRE(made[static_cast<std::size_t>(test::call::write)] > 5);
    for (int kind = 0; kind < test::kinds_of_call; ++kind) {
        for (int nth = 1; nth <= made[static_cast<std::size_t>(kind)]; ++nth) {
            INFO("call " << kind << ", number " << nth);
            save(path, 100);
            bool failed = false;
            {
                test::faults faults;
                faults.fail(static_cast<test::call>(kind), nth, ENOSPC);
                failed = !test::refusal([&] { save(path, 200); }).empty();
            }
            auto const directory_sync = kind == static_cast<int>(test::call::sync) && nth == 2;
            CHECK(snapshot_reader(path).number("step") == (failed && !directory_sync ? 100 : 200));
            CHECK(directory.files() == 1);
        }
    }
}

TEST_CASE("whichever call fails while opening, the snapshot is refused or whole") {
    test::scratch directory;
    save(directory / "s");
    for (int kind = 0; kind < test::kinds_of_call; ++kind) {
        INFO("call " << kind);
        test::faults faults;
        faults.fail(static_cast<test::call>(kind), 1);
        std::int64_t step = 0;
        auto const words = test::refusal([&] { step = snapshot_reader(directory / "s").number("step"); });
        CHECK((step == 100) == words.empty());
        auto const one = static_cast<test::call>(kind);
        CHECK(words.empty() ==
              (one != test::call::open && one != test::call::stat_open && one != test::call::map));
    }
}

TEST_CASE("a process killed before any of its calls leaves the old or the new snapshot") {
    test::scratch directory;
    auto const path = directory / "s";
    int total = 0;
    {
        test::faults faults;
        save(path);
        total = faults.made();
    }
    REQUIRE(total > 15);
    bool old_seen = false, new_seen = false;
    for (int nth = 1; nth <= total; ++nth) {
        INFO("call " << nth << " of " << total);
        save(path, 100);
        auto const child = ::fork();
        REQUIRE(child >= 0);
        if (child == 0) {
            test::faults faults;
            faults.die_before(nth);
            save(path, 200);
            ::_exit(0);
        }
        int status = 0;
        REQUIRE(::waitpid(child, &status, 0) == child);
        CHECK(WIFSIGNALED(status));
        auto const step = snapshot_reader(path).number("step");
        CHECK((step == 100 || step == 200));
        (step == 100 ? old_seen : new_seen) = true;
        save(path, 300);
        CHECK(snapshot_reader(path).number("step") == 300);
        CHECK(directory.files() == 1);
    }
    CHECK((old_seen && new_seen));
}

TEST_CASE("a process killed at any time leaves a good snapshot") {
    test::scratch directory;
    auto const path = directory / "s";
    std::vector<std::int64_t> content(40'000);
    auto const save_all = [&](std::int64_t step) {
        std::iota(content.begin(), content.end(), step);
        snapshot_writer out(path);
        out.number("step", step);
        auto const size = static_cast<std::int64_t>(content.size());
        out.tensor("content", "int64", {size}, content.data(), 8 * size);
        out.commit();
    };
    // Between no save and several: a slow machine takes longer for one than any number that could stand here.
    auto const before = std::chrono::steady_clock::now();
    save_all(0);
    auto const took =
        std::chrono::duration_cast<std::chrono::microseconds>(std::chrono::steady_clock::now() - before);
    auto const longest = std::max<std::uint64_t>(8000, 4 * static_cast<std::uint64_t>(took.count()));
    std::int64_t latest = 0;
    for (int kill = 0; kill < 30; ++kill) {
        auto const child = ::fork();
        REQUIRE(child >= 0);
        if (child == 0) {
            for (auto step = latest + 1;; ++step) save_all(step);
        }
        ::usleep(static_cast<unsigned>(200 +
                                       snug::random::bits(1, 2, static_cast<std::uint64_t>(kill)) % longest));
        ::kill(child, SIGKILL);
        int status = 0;
        REQUIRE(::waitpid(child, &status, 0) == child);
        REQUIRE(WIFSIGNALED(status));
        snapshot_reader const in(path);
        auto const step = in.number("step");
        CHECK(step >= latest);
        latest = step;
        std::int64_t last = 0;
        std::memcpy(&last, in.tensor("content").bytes.data() + 8 * (content.size() - 1), 8);
        CHECK(last == step + static_cast<std::int64_t>(content.size()) - 1);
    }
    CHECK(latest > 0);
    save_all(latest + 1);
    CHECK(directory.files() == 1);
}

TEST_CASE("the checksum sees changes, swaps and lengths") {
    std::string data(100, 'a');
    data[40] = 'b';
    auto const of = [](std::string const& text) { return sum(text); };
    auto const original = of(data);
    // Stored: another value would make every snapshot in the world unreadable.
    CHECK(original == 0x649c5943a7a6f8e9u);
    for (std::size_t bit = 0; bit < 800; ++bit) {
        auto changed = data;
        changed[bit / 8] = static_cast<char>(changed[bit / 8] ^ (1 << bit % 8));
        CHECK(of(changed) != original);
    }
    for (std::size_t i = 0; i + 8 < data.size(); i += 8) {
        auto swapped = data;
        std::swap_ranges(swapped.begin(), swapped.begin() + 8,
                         swapped.begin() + static_cast<std::ptrdiff_t>(i));
        CHECK((swapped == data || of(swapped) != original));
    }
    CHECK(of(std::string(8, '\0')) != of(std::string(9, '\0')));
    CHECK(of("") != of(std::string(1, '\0')));
    checksum pieces;
    pieces.update(std::as_bytes(std::span(data)).first(64));
    pieces.update(std::as_bytes(std::span(data)).subspan(64));
    CHECK(pieces.value() == original);
}
