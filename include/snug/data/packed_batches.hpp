// SPDX-License-Identifier: Apache-2.0
#pragma once

/// \file
/// Needs PCRE2 (link snug::tokenizer).

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <map>
#include <numeric>
#include <string>
#include <utility>
#include <vector>

#include <snug/data/batch_iterator.hpp>
#include <snug/data/examples.hpp>
#include <snug/data/rows_of_rank.hpp>
#include <snug/data/token_batch.hpp>
#include <snug/error.hpp>
#include <snug/io/size.hpp>
#include <snug/random.hpp>

namespace snug::SNUG_TARGET::io {

/// What becomes of an example that is longer than a row.
enum class long_examples {
    refused,
    cut  ///< its end is left out
};

/// Which examples share a row of `tokens` positions. An example of n tokens takes n - 1: the inputs are all but the last, the
/// targets all but the first.
///
/// Best fit decreasing: the longest example first, each into the fullest row that has room for it, or a new one. Examples of
/// one length take turns in an order drawn from the seed. Rows are packed once; an epoch only shuffles them.
class packing {
  public:
    packing(examples data, std::int64_t tokens, std::uint64_t seed, long_examples too_long)
        : data_(std::move(data)), tokens_(tokens) {
        auto order = kept(too_long);
        for (std::size_t i = order.size(); i > 1; --i)
            std::swap(order[i - 1], order[random::bits(seed, packing_stream, i) % i]);
        std::stable_sort(order.begin(), order.end(),
                         [&](auto a, auto b) { return positions(a) > positions(b); });

        std::vector<std::vector<std::int64_t>> rows;
        std::map<std::int64_t, std::vector<std::size_t>> with_room;  // rows by their free positions
        for (auto const number : order) {
            auto const needed = positions(number);
            auto room = tokens;
            std::size_t row = rows.size();
            if (auto const fullest = with_room.lower_bound(needed); fullest != with_room.end()) {
                room = fullest->first;
                row = fullest->second.back();
                fullest->second.pop_back();
                if (fullest->second.empty()) with_room.erase(fullest);
            } else {
                rows.emplace_back();
            }
            rows[row].push_back(number);
            used_ += needed;
            if (room > needed) with_room[room - needed].push_back(row);
        }
        for (auto const& row : rows) {
            members_.insert(members_.end(), row.begin(), row.end());
            ends_.push_back(members_.size());
        }
    }

    std::int64_t rows() const noexcept { return static_cast<std::int64_t>(ends_.size()); }
    /// Positions that no example takes, as a part of all.
    double waste() const noexcept {
        return 1 - static_cast<double>(used_) / static_cast<double>(rows() * tokens_);
    }
    /// Examples whose end was left out, and those of them that were left out as a whole, as nothing that counts remained.
    std::int64_t cut() const noexcept { return cut_; }
    std::int64_t dropped() const noexcept { return dropped_; }

    /// Row `number`, or an empty one from `rows()` on: `tokens` inputs, targets (-1 where none counts) and starts.
    void fill(std::int64_t number, std::int32_t* inputs, std::int32_t* targets, std::int32_t* starts) const {
        std::int64_t at = 0;
        auto const last = number < rows() ? ends_[static_cast<std::size_t>(number)] : 0;
        auto const first = number < rows() && number > 0 ? ends_[static_cast<std::size_t>(number - 1)] : 0;
        for (auto member = first; member < last; ++member) {
            auto const [tokens, counted, line] = data_[members_[member]];
            auto const begin = at;
            for (std::int64_t i = 0; i < positions(members_[member]); ++i, ++at) {
                auto const from = static_cast<std::size_t>(i);
                inputs[at] = tokens[from];
                targets[at] = counted[from + 1] ? tokens[from + 1] : -1;
                starts[at] = static_cast<std::int32_t>(begin);
            }
        }
        // What is left is an example of its own, so that nothing looks at it.
        std::fill(inputs + at, inputs + tokens_, 0);
        std::fill(targets + at, targets + tokens_, -1);
        std::fill(starts + at, starts + tokens_, static_cast<std::int32_t>(at));
    }

  private:
    static constexpr std::uint64_t packing_stream = 0x7061636b00000000;

    std::int64_t positions(std::int64_t number) const noexcept {
        return std::min(tokens_, static_cast<std::int64_t>(data_[number].tokens.size()) - 1);
    }

    std::vector<std::int64_t> kept(long_examples too_long) {
        std::vector<std::int64_t> result;
        for (std::int64_t i = 0; i < data_.size(); ++i) {
            auto const one = data_[i];
            auto const length = static_cast<std::int64_t>(one.tokens.size());
            if (length - 1 > tokens_) {
                auto const place_in_file =
                    one.line > 0 ? "line " + std::to_string(one.line) : "example " + std::to_string(i);
                if (too_long == long_examples::refused)
                    throw error({data_.name()}, place_in_file + " with " + std::to_string(length) + " tokens",
                                "at most " + std::to_string(tokens_ + 1) + ", or long_examples::cut");
                ++cut_;
                auto const seen = one.counted.subspan(1, static_cast<std::size_t>(tokens_));
                if (std::find(seen.begin(), seen.end(), 1) == seen.end()) {
                    ++dropped_;
                    continue;
                }
            }
            result.push_back(i);
        }
        if (result.empty())
            throw error({data_.name()}, "no example that is left to learn from", "at least one");
        return result;
    }

    examples data_;
    std::int64_t tokens_;
    std::int64_t used_ = 0, cut_ = 0, dropped_ = 0;
    std::vector<std::int64_t> members_;  // examples, row after row
    std::vector<std::size_t> ends_;      // of each row, in members_
};

/// The batches of packed examples for the trainer T, with `starts`, so that no token attends to another example. In an order
/// that a seed fixes: a range of one epoch, or one after the other with `next()`. The whole state is `position()`, the number
/// of rows drawn so far. Of several ranks each packs all examples, draws its own rows (`rows_of_rank`), and the position is that
/// of all of them.
template <class T>
class packed_batches {
    using composition = typename T::composition;
    using rows = rows_of_rank<T>;
    static constexpr std::int64_t tokens = composition::batch::tokens;

  public:
    /// Throws when an example does not fit the rows (unless it may be cut) or a token the model's vocabulary.
    explicit packed_batches(examples data, std::uint64_t seed = 0,
                            long_examples too_long = long_examples::refused)
        : packed_batches(std::move(data), seed, too_long, true, rows()) {}
    /// The same for one rank of a world, each of which is given the same examples.
    template <says_rank World>
    packed_batches(examples data, World const& world, std::uint64_t seed = 0,
                   long_examples too_long = long_examples::refused)
        : packed_batches(std::move(data), seed, too_long, true, rows(world)) {}

    /// All rows once, in the order they were packed in, the last batch filled up with rows in which nothing counts: for
    /// validation.
    static packed_batches in_order(examples data, long_examples too_long = long_examples::refused) {
        return {std::move(data), 0, too_long, false, rows()};
    }
    template <says_rank World>
    static packed_batches in_order(examples data, World const& world,
                                   long_examples too_long = long_examples::refused) {
        return {std::move(data), 0, too_long, false, rows(world)};
    }

    /// Rows, waste, and what was cut.
    io::packing const& packing() const noexcept { return packing_; }

    /// The next batch; valid until the next call.
    token_batch next() {
        for (std::int64_t row = 0; row < rows::own; ++row) {
            auto const in_step = rows_.first_of(row / rows::in_micro_batch) + row % rows::in_micro_batch;
            auto const at = row * tokens;
            packing_.fill(row_at(position_ + in_step), inputs_.data() + at, targets_.data() + at,
                          starts_.data() + at);
        }
        position_ += rows::in_step;
        return {inputs_, targets_, starts_};
    }

    std::int64_t position() const { return position_; }
    /// Goes on from a position of an earlier run with the same data and seed.
    void resume_at(std::int64_t position) { position_ = checked(position).index(); }

    /// Batches in one epoch, at least one. Where the rows are no whole number of batches, a shuffled epoch leaves some for
    /// the next; a short one borrows.
    std::int64_t batches_per_epoch() const {
        auto const all = packing_.rows();
        return shuffled_ ? std::max<std::int64_t>(1, all / rows::in_step)
                         : (all + rows::in_step - 1) / rows::in_step;
    }

    using iterator = batch_iterator<packed_batches>;
    iterator begin() { return {this, batches_per_epoch()}; }
    iterator end() { return {this, 0}; }

  private:
    static constexpr std::uint64_t order_stream = 0x7061636b00000001;

    packed_batches(examples data, std::uint64_t seed, long_examples too_long, bool shuffled, rows part)
        : packing_(require(std::move(data)), tokens, seed, too_long),
          rows_(part),
          seed_(seed),
          shuffled_(shuffled) {}

    static examples require(examples data) {
        for (std::int64_t i = 0; i < data.size(); ++i)
            for (auto const token : data[i].tokens)
                if (token < 0 || token >= composition::model::vocabulary)
                    throw error(
                        {data.name()}, "token " + std::to_string(token),
                        "a token below the vocabulary of " + std::to_string(composition::model::vocabulary));
        return data;
    }

    std::int64_t row_at(std::int64_t position) const noexcept {
        // In order, an epoch is whole batches; rows behind the last are empty.
        if (!shuffled_) return position % (batches_per_epoch() * rows::in_step);
        auto const all = static_cast<std::uint64_t>(packing_.rows());
        auto const drawn = static_cast<std::uint64_t>(position);
        auto const key = random::bits(seed_, order_stream, drawn / all);
        return static_cast<std::int64_t>(random::permuted(key, 0, drawn % all, all));
    }

    io::packing packing_;
    rows rows_;
    std::uint64_t seed_;
    bool shuffled_;
    std::vector<std::int32_t> inputs_ =
        std::vector<std::int32_t>(static_cast<std::size_t>(rows::own * tokens));
    std::vector<std::int32_t> targets_ = inputs_;
    std::vector<std::int32_t> starts_ = inputs_;
    std::int64_t position_ = 0;
};

}  // namespace snug::SNUG_TARGET::io
