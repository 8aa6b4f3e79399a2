// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <algorithm>
#include <cstdint>
#include <snug/data/batch_iterator.hpp>
#include <snug/data/token_batch.hpp>
#include <snug/data/tokens.hpp>
#include <string>
#include <vector>

namespace snug::SNUG_TARGET {

namespace refusal {

template <class Trainer, bool IsAlone>
struct batches_of_a_sharded_trainer_need_its_world {
    static_assert(IsAlone,
                  "snug: a trainer of several ranks (see Trainer) is given batches of its rank: "
                  "token_batches<my_trainer>{file, world}");
};

}  // namespace refusal

namespace io {

/// The batches of a data set for the trainer T, in an order that a seed fixes: a range of one epoch, or one after the
/// other with `next()`. The whole state is `position()`, the number of sequences drawn so far. Of several ranks each
/// draws its own part of what all of them train on in a step: micro-batch m of rank d is number m · ranks + d, so a
/// step sees the same sequences in the same order on any number of ranks, and the position is that of all of them.
template <class T>
class token_batches {
    using composition = typename T::composition;
    static constexpr std::int64_t in_micro_batch = composition::batch::sequences;
    static constexpr std::int64_t own = composition::micro_batches * in_micro_batch;
    static constexpr std::int64_t sequences = own * composition::ranks;  ///< of a step
    static constexpr std::int64_t tokens = composition::batch::tokens;

  public:
    /// Opens a file of tokens (`token_file`). Throws `snug::error` when it is missing, damaged, or shorter than one batch.
    explicit token_batches(std::string const& path, std::uint64_t seed = 0)
        : token_batches(token_file::open(path, composition::model::vocabulary), seed) {}

    token_batches(token_file const& data, std::uint64_t seed) : order_(require(data), tokens, seed) {
        static_assert(
            sizeof(refusal::batches_of_a_sharded_trainer_need_its_world<T, composition::ranks == 1>) > 0);
    }

    /// The same for one rank of a world (`distributed::mpi`, ...).
    template <class World>
        requires requires(World const& world) { world.rank(); }
    token_batches(std::string const& path, World const& world, std::uint64_t seed = 0)
        : token_batches(token_file::open(path, composition::model::vocabulary), world, seed) {}
    template <class World>
        requires requires(World const& world) { world.rank(); }
    token_batches(token_file const& data, World const& world, std::uint64_t seed = 0)
        : order_(require(data), tokens, seed), rank_(world.rank()) {}

    /// All windows from the first to the last, not shuffled: for validation. Less than a batch at the end is left out.
    static token_batches in_order(token_file const& data) {
        static_assert(
            sizeof(refusal::batches_of_a_sharded_trainer_need_its_world<T, composition::ranks == 1>) > 0);
        return token_batches(batch_order::sequential(require(data), tokens), 0);
    }
    template <class World>
        requires requires(World const& world) { world.rank(); }
    static token_batches in_order(token_file const& data, World const& world) {
        return token_batches(batch_order::sequential(require(data), tokens), world.rank());
    }

    /// The next batch; valid until the next call.
    token_batch next() {
        for (std::int64_t m = 0; m < composition::micro_batches; ++m)
            order_.fill(position_ + (m * composition::ranks + rank_) * in_micro_batch, in_micro_batch,
                        inputs_.data() + m * in_micro_batch * tokens,
                        targets_.data() + m * in_micro_batch * tokens);
        position_ += sequences;
        return {inputs_, targets_};
    }

    std::int64_t position() const { return position_; }
    /// Goes on from a position of an earlier run with the same data and seed.
    void resume_at(std::int64_t position) { position_ = position; }

    /// Whole batches in one epoch, at least one: a short epoch lends sequences from the next.
    std::int64_t batches_per_epoch() const { return std::max<std::int64_t>(1, order_.windows() / sequences); }

    using iterator = batch_iterator<token_batches>;
    iterator begin() { return {this, batches_per_epoch()}; }
    iterator end() { return {this, 0}; }

  private:
    token_batches(batch_order order, int rank) : order_(std::move(order)), rank_(rank) {}

    static token_file require(token_file const& data) {
        auto const needed = checked(sequences) * tokens + 1;
        if (needed > data.size())
            throw error({data.path()}, std::to_string(data.size()) + " tokens",
                        "at least " + std::to_string(needed.value()) + ", one batch and its last target");
        return data;
    }

    batch_order order_;
    int rank_ = 0;
    std::vector<std::int32_t> inputs_ = std::vector<std::int32_t>(static_cast<std::size_t>(own * tokens));
    std::vector<std::int32_t> targets_ = std::vector<std::int32_t>(static_cast<std::size_t>(own * tokens));
    std::int64_t position_ = 0;
};

}  // namespace io
}  // namespace snug::SNUG_TARGET
