// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <limits>
#include <string>
#include <string_view>
#include <unordered_map>
#include <utility>
#include <vector>

#include <snug/data/tokenizer/keyed_hash.hpp>
#include <snug/random.hpp>

namespace snug::SNUG_TARGET::io {

/// Byte pair encoding (Sennrich, Haddow, Birch, "Neural Machine Translation of Rare Words with Subword Units", 2016) over
/// bytes: a word is a sequence of tokens of one byte; as long as two neighbours have a merge, the merge of the lowest rank,
/// the leftmost of its places first, puts one token in their place.
class byte_pairs {
  public:
    struct merge {
        std::int32_t left, right, result;  ///< tokens; the position in the list is the rank
    };
    static constexpr std::int32_t none = -1;

    /// Where a word is put together; one per thread.
    class workspace {
        friend byte_pairs;
        struct symbol {
            std::int32_t token;
            std::uint32_t previous, next;
            std::uint32_t rank;  ///< of the merge with the next symbol
        };
        std::vector<symbol> symbols_;
        std::vector<std::uint64_t> queue_;
    };

    byte_pairs() { of_byte_.fill(none); }

    /// `of_byte[b]`: the token of byte b or `none`; `unknown`: the token in place of a byte without one, or `none` to drop
    /// the byte; `one_for_a_run`: one unknown token for neighbouring bytes without one.
    byte_pairs(std::array<std::int32_t, 256> const& of_byte, std::vector<merge> const& merges,
               std::int32_t unknown, bool one_for_a_run)
        : of_byte_(of_byte), unknown_(unknown), one_for_a_run_(one_for_a_run) {
        std::size_t slots = 16;
        while (slots < 2 * merges.size()) slots *= 2;
        table_.resize(slots);
        for (std::size_t rank = 0; rank < merges.size(); ++rank) {
            auto const& [left, right, result] = merges[rank];
            // A pair that is listed twice has its last rank, as in Hugging Face's tokenizers.
            table_[place_of(key(left, right))] = {key(left, right), static_cast<std::uint32_t>(rank), result};
        }
    }

    /// Appends the tokens of `word`. Needs fewer than 2^32 bytes.
    void encode(std::string_view word, std::vector<std::int32_t>& out, workspace& space) const {
        auto& symbols = space.symbols_;
        auto& queue = space.queue_;
        symbols.clear();
        queue.clear();
        // A word that a stranger wrote may be as long as the text: no more than it needs.
        symbols.reserve(word.size());
        queue.reserve(word.size());
        bool run = false;
        for (auto const c : word) {
            auto token = of_byte_[static_cast<unsigned char>(c)];
            auto const without = token == none;
            if (without && (unknown_ == none || (run && one_for_a_run_))) continue;
            run = without;
            if (without) token = unknown_;
            auto const number = static_cast<std::uint32_t>(symbols.size());
            symbols.push_back({token, number - 1, number + 1, no_rank});
        }
        if (symbols.empty()) return;
        symbols.front().previous = end;
        symbols.back().next = end;

        // The number is below the rank in the key, so that of equal ranks the leftmost comes first.
        constexpr auto later = std::greater<std::uint64_t>{};
        auto const rank_again = [&](std::uint32_t number) {
            auto& left = symbols[number];
            left.rank =
                left.next == end ? no_rank : table_[place_of(key(left.token, symbols[left.next].token))].rank;
            return left.rank != no_rank;
        };
        auto const entry = [&](std::uint32_t number) {
            return std::uint64_t{symbols[number].rank} << 32 | number;
        };
        for (std::uint32_t number = 0; number < symbols.size(); ++number)
            if (rank_again(number)) queue.push_back(entry(number));
        std::make_heap(queue.begin(), queue.end(), later);
        while (!queue.empty()) {
            std::pop_heap(queue.begin(), queue.end(), later);
            auto const best = queue.back();
            queue.pop_back();
            auto const number = static_cast<std::uint32_t>(best);
            auto& left = symbols[number];
            // The pair that was queued is gone: one of the two went into another merge.
            if (left.rank != best >> 32) continue;
            auto& right = symbols[left.next];
            left.token = table_[place_of(key(left.token, right.token))].result;
            left.next = right.next;
            right.rank = no_rank;
            if (left.next != end) symbols[left.next].previous = number;
            auto const push = [&](std::uint32_t changed) {
                if (!rank_again(changed)) return;
                queue.push_back(entry(changed));
                std::push_heap(queue.begin(), queue.end(), later);
            };
            push(number);
            if (left.previous != end) push(left.previous);
        }
        for (std::uint32_t number = 0; number != end; number = symbols[number].next)
            out.push_back(symbols[number].token);
    }

  private:
    struct slot {
        std::uint64_t key = empty;
        std::uint32_t rank = no_rank;
        std::int32_t result = none;
    };
    static constexpr std::uint64_t empty = ~std::uint64_t{0};
    static constexpr std::uint32_t no_rank = std::numeric_limits<std::uint32_t>::max();
    static constexpr std::uint32_t end = std::numeric_limits<std::uint32_t>::max();

    static std::uint64_t key(std::int32_t left, std::int32_t right) noexcept {
        return std::uint64_t{static_cast<std::uint32_t>(left)} << 32 | static_cast<std::uint32_t>(right);
    }
    /// The slot that holds the key, or the empty one where it would be.
    std::size_t place_of(std::uint64_t wanted) const noexcept {
        auto const mask = table_.size() - 1;
        auto at = random::mix(wanted ^ hash_key_) & mask;
        while (table_[at].key != wanted && table_[at].key != empty) at = (at + 1) & mask;
        return at;
    }

    std::array<std::int32_t, 256> of_byte_{};
    std::uint64_t hash_key_ = detail::hash_key();
    std::vector<slot> table_ = std::vector<slot>(1);  // never full: a search ends at an empty slot
    std::int32_t unknown_ = none;
    bool one_for_a_run_ = false;
};

}  // namespace snug::SNUG_TARGET::io
