// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <algorithm>
#include <cstdint>
#include <snug/data/batch_iterator.hpp>
#include <snug/data/rows_of_rank.hpp>
#include <snug/data/token_batch.hpp>
#include <snug/data/tokens.hpp>
#include <string>
#include <vector>

namespace snug::SNUG_TARGET::io {

/// The batches of a data set for the trainer T, in an order that a seed fixes: a range of one epoch, or one after the
/// other with `next()`. The whole state is `position()`, the number of sequences drawn so far. Of several ranks each
/// draws its own (`rows_of_rank`), and the position is that of all of them.
template <class T>
class token_batches {
    using composition = typename T::composition;
    using rows = rows_of_rank<T>;
    static constexpr std::int64_t tokens = composition::batch::tokens;

  public:
    /// Opens a file of tokens (`token_file`). Throws `snug::error` when it is missing, damaged, or shorter than one batch.
    explicit token_batches(std::string const& path, std::uint64_t seed = 0)
        : token_batches(token_file::open(path, composition::model::vocabulary), seed) {}

    token_batches(token_file const& data, std::uint64_t seed) : order_(require(data), tokens, seed) {}

    /// The same for one rank of a world.
    template <says_rank World>
    token_batches(std::string const& path, World const& world, std::uint64_t seed = 0)
        : token_batches(token_file::open(path, composition::model::vocabulary), world, seed) {}
    template <says_rank World>
    token_batches(token_file const& data, World const& world, std::uint64_t seed = 0)
        : order_(require(data), tokens, seed), rows_(world) {}

    /// All windows from the first to the last, not shuffled: for validation. Less than a batch at the end is left out.
    static token_batches in_order(token_file const& data) {
        return {batch_order::sequential(require(data), tokens), rows()};
    }
    template <says_rank World>
    static token_batches in_order(token_file const& data, World const& world) {
        return {batch_order::sequential(require(data), tokens), rows(world)};
    }

    /// The next batch; valid until the next call.
    token_batch next() {
        for (std::int64_t m = 0; m < composition::micro_batches; ++m) {
            auto const at = m * rows::in_micro_batch * tokens;
            order_.fill(position_ + rows_.first_of(m), rows::in_micro_batch, inputs_.data() + at,
                        targets_.data() + at);
        }
        position_ += rows::in_step;
        return {inputs_, targets_};
    }

    std::int64_t position() const { return position_; }
    /// Goes on from a position of an earlier run with the same data and seed.
    void resume_at(std::int64_t position) { position_ = position; }

    /// Whole batches in one epoch, at least one: a short epoch lends sequences from the next.
    std::int64_t batches_per_epoch() const {
        return std::max<std::int64_t>(1, order_.windows() / rows::in_step);
    }

    using iterator = batch_iterator<token_batches>;
    iterator begin() { return {this, batches_per_epoch()}; }
    iterator end() { return {this, 0}; }

  private:
    token_batches(batch_order order, rows part) : order_(std::move(order)), rows_(part) {}

    static token_file require(token_file const& data) {
        auto const needed = checked(rows::in_step) * tokens + 1;
        if (needed > data.size())
            throw error({data.path()}, std::to_string(data.size()) + " tokens",
                        "at least " + std::to_string(needed.value()) + ", one batch and its last target");
        return data;
    }

    batch_order order_;
    rows rows_;
    std::vector<std::int32_t> inputs_ =
        std::vector<std::int32_t>(static_cast<std::size_t>(rows::own * tokens));
    std::vector<std::int32_t> targets_ =
        std::vector<std::int32_t>(static_cast<std::size_t>(rows::own * tokens));
    std::int64_t position_ = 0;
};

}  // namespace snug::SNUG_TARGET::io
