// SPDX-License-Identifier: Apache-2.0
#include <catch2/catch.hpp>

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <functional>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include <snug/data/tokenizer/keyed_hash.hpp>

namespace {

constexpr std::uint64_t mix(std::uint64_t x) { return x ^ (x >> 47); }

/// Different keys of 16 bytes that libstdc++'s std::hash (MurmurHash64A with a known seed) gives one value: whatever the first
/// half is, there is a second half for it.
std::vector<std::string> keys_that_fall_together(std::size_t count) {
    constexpr std::uint64_t factor = 0xc6a4a7935bd1e995, seed = 0xc70f6907;
    constexpr std::uint64_t inverse = [] {
        auto result = factor;
        for (int i = 0; i < 6; ++i) result *= 2 - factor * result;
        return result;
    }();
    std::vector<std::string> keys;
    for (std::uint64_t first = 0; first < count; ++first) {
        auto const after_first = ((seed ^ (16 * factor)) ^ (mix(first * factor) * factor)) * factor;
        auto const second = mix((0x1234567 * inverse ^ after_first) * inverse) * inverse;
        std::string key(16, '\0');
        std::memcpy(key.data(), &first, 8);
        std::memcpy(key.data() + 8, &second, 8);
        keys.push_back(std::move(key));
    }
    return keys;
}

template <class Hash>
std::size_t values_of(std::vector<std::string> const& keys) {
    std::set<std::size_t> values;
    for (auto const& key : keys) values.insert(Hash{}(std::string_view(key)));
    return values.size();
}

}  // namespace

TEST_CASE("a file can't choose keys that fall together in a vocabulary") {
    auto const keys = keys_that_fall_together(5000);
#if defined(__GLIBCXX__) && defined(__LP64__)
    REQUIRE(values_of<std::hash<std::string_view>>(keys) == 1);  // so that the keys are an attack
#endif
    CHECK(values_of<snug::io::detail::keyed_hash>(keys) > 4990);
}
