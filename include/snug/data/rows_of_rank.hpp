// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <concepts>
#include <cstdint>
#include <snug/target.hpp>

namespace snug::SNUG_TARGET {

namespace refusal {

template <class Trainer, bool IsAlone>
struct batches_of_a_sharded_trainer_need_its_world {
    static_assert(
        IsAlone,
        "snug: a trainer of several ranks (see Trainer) is given batches of its rank: name its world "
        "behind the data, as in token_batches<my_trainer>{file, world}");
};

}  // namespace refusal

namespace io {

/// A world of ranks (`distributed::mpi`, ...), as far as data goes.
template <class World>
concept says_rank = requires(World const& world) {
    { world.rank() } -> std::convertible_to<int>;
};

/// Which rows of a step are drawn by one rank of the trainer T: micro-batch m of rank d is number m · ranks + d of all, so a
/// step sees the same rows in the same order on any number of ranks.
template <class T>
class rows_of_rank {
    using composition = typename T::composition;

  public:
    static constexpr std::int64_t in_micro_batch = composition::batch::sequences;
    static constexpr std::int64_t own = composition::micro_batches * in_micro_batch;
    static constexpr std::int64_t in_step = own * composition::ranks;

    /// Of a trainer that is alone.
    rows_of_rank() {
        static_assert(
            sizeof(refusal::batches_of_a_sharded_trainer_need_its_world<T, composition::ranks == 1>) > 0);
    }
    template <says_rank World>
    explicit rows_of_rank(World const& world) : rank_(world.rank()) {}

    /// The first row of micro-batch `m`, from the start of the step.
    std::int64_t first_of(std::int64_t m) const { return (m * composition::ranks + rank_) * in_micro_batch; }

  private:
    int rank_ = 0;
};

}  // namespace io
}  // namespace snug::SNUG_TARGET
