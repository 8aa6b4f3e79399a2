// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <concepts>
#include <cstdint>
#include <snug/data/rows_of_rank.hpp>
#include <snug/data/token_batch.hpp>
#include <utility>
#include <vector>

namespace snug::SNUG_TARGET::io {

/// Where sequences come from, by number: `fill(number, count, inputs, targets)` writes `count` of them from a number on, each
/// array (count x tokens). Whoever asks for a number again, in another run or on another rank, gets the same sequence.
template <class Order>
concept sequence_order = requires(Order const& order, std::int64_t number, std::int64_t count,
                                  std::int32_t* tokens) {
    order.fill(number, count, tokens, tokens);
};

/// The batches of an order of sequences for the trainer T, one after the other with `next()`. The whole state is
/// `position()`, the number of sequences drawn so far. Of several ranks each draws its own (`rows_of_rank`), and the
/// position is that of all of them.
template <class T, sequence_order Order>
class numbered_batches {
  protected:
    using composition = typename T::composition;
    using rows = rows_of_rank<T>;
    static constexpr std::int64_t tokens = composition::batch::tokens;

  public:
    explicit numbered_batches(Order order, rows part = rows()) : order_(std::move(order)), rows_(part) {}

    /// For one rank of a world.
    template <says_rank World>
    numbered_batches(Order order, World const& world) : numbered_batches(std::move(order), rows(world)) {}

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

    Order const& order() const { return order_; }

  private:
    Order order_;
    rows rows_;
    std::vector<std::int32_t> inputs_ =
        std::vector<std::int32_t>(static_cast<std::size_t>(rows::own * tokens));
    std::vector<std::int32_t> targets_ =
        std::vector<std::int32_t>(static_cast<std::size_t>(rows::own * tokens));
    std::int64_t position_ = 0;
};

}  // namespace snug::SNUG_TARGET::io
