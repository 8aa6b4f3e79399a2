// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <array>
#include <cstdint>
#include <cstring>
#include <exception>
#include <optional>
#include <snug/distributed/agree.hpp>
#include <snug/engine/options.hpp>
#include <snug/engine/reduce.hpp>
#include <snug/engine/store.hpp>
#include <snug/kernels/exact_sum.hpp>
#include <snug/ops/for_each_element.hpp>
#include <type_traits>
#include <vector>

/// What ranks tell each other so that all of them decide alike: whether they can go on, how many tokens they count,
/// their losses, and the sums of the squares of their gradients.
namespace snug::SNUG_TARGET::engine {

/// Of each rank `size` bytes: the exact sum of squares, then a loss for each of `micro_batches`.
struct verdicts {
    std::byte* all;
    index_t size;
    index_t micro_batches;

    kernels::exact_sum* squares(int rank) const {
        return reinterpret_cast<kernels::exact_sum*>(all + rank * size);
    }
    double* losses(int rank) const { return reinterpret_cast<double*>(squares(rank) + 1); }
};

template <class C>
verdicts verdicts_of(store<C> const& s) {
    return {s.template at<std::byte>(C::places.verdicts), C::verdict_size, C::micro_batches};
}

/// The loss of a micro-batch is not added to those of others before they are there in the order of the global
/// batch.
struct set_loss_aside {
    template <class Numbers>
    constexpr void operator()(index_t, Numbers* numbers, double* loss) const {
        *loss = numbers->loss;
        numbers->loss = 0;
    }
};

template <class C>
void set_aside_loss(store<C> const& s, index_t micro_batch) {
    ops::for_each_element(
        s.on(), 1,
        ops::bound<set_loss_aside>(s.numbers(), verdicts_of(s).losses(s.ranks.rank()) + micro_batch));
}

/// The losses of all ranks in the order of the global batch: micro-batch by micro-batch, in each by rank.
struct add_losses {
    /// `losses`: those of rank 0; those of the next rank lie `stride` numbers on.
    template <class Numbers>
    constexpr void operator()(index_t, Numbers* numbers, double const* losses, index_t stride,
                              index_t micro_batches, int ranks) const {
        double sum = 0;
        for (index_t m = 0; m < micro_batches; ++m)
            for (int rank = 0; rank < ranks; ++rank) sum += losses[rank * stride + m];
        numbers->loss = sum;
    }
};

/// The squares of all ranks, part by part: exact, so in any order.
struct add_squares {
    /// `squares`: the parts of rank 0; those of the next rank lie `stride` numbers on.
    constexpr void operator()(index_t part, std::int64_t* sum, std::int64_t const* squares, index_t stride,
                              int ranks) const {
        std::int64_t total = 0;
        for (int rank = 0; rank < ranks; ++rank) total += squares[rank * stride + part];
        sum[part] = total;
    }
};

/// Everybody's verdicts to everybody.
template <class C>
void gather_verdicts(store<C> const& s) {
    now_doing(s, "gather of losses and norms");
    all_gather(s, s.ranks.talk(), {0, C::ranks, 1},
               as_bytes_of(s.template at<std::byte>(C::places.verdicts), C::ranks * C::verdict_size));
    wait(s, s.ranks.talk());
}

/// The losses that ranks have set aside, once they are gathered, become the loss.
template <class C>
void sum_losses(store<C> const& s) {
    auto const all = verdicts_of(s);
    ops::for_each_element(
        s.on(), 1,
        ops::bound<add_losses>(s.numbers(), static_cast<double const*>(all.losses(0)),
                               C::verdict_size / index_t{sizeof(double)}, C::micro_batches, C::ranks));
}

/// Equal on ranks whose trainers have one plan.
template <class C>
inline constexpr std::uint64_t plan_hash = [] {
    distributed::fnv1a sum;
    for (std::size_t i = 0; i < C::plan.declarations.size(); ++i) {
        auto const& declared = C::plan.declarations[i];
        sum.add(declared.name.view());
        sum.add(declared.element);
        sum.add(declared.count);
        sum.add(declared.copies);
        sum.add(C::plan.offsets[i]);
    }
    return sum.value();
}();

/// Equal on ranks whose options mean the same in a step with this learning rate.
template <class Optimizer>
std::uint64_t hash_of(training_options<Optimizer> const& options, double learning_rate) {
    distributed::fnv1a sum;
    sum.add(learning_rate);
    sum.add(options.weight_decay).add(options.largest_gradient_norm).add(options.dropout_seed);
    auto const add = [&](std::optional<double> const& number) {
        sum.add(int{number.has_value()}).add(number.value_or(0));
    };
    for (auto const& group : options.groups) {
        sum.add(group.where);
        add(group.learning_rate);
        add(group.weight_decay);
    }
    [[maybe_unused]] constexpr bool has_bytes = std::is_trivially_copyable_v<typename Optimizer::options> &&
                                                !std::is_empty_v<typename Optimizer::options>;
    // Options of a user's optimizer have no list of members: their bytes, without those between members, where the
    // compiler can tell which these are.
#if __has_builtin(__builtin_clear_padding)
    if constexpr (has_bytes) {
        auto copy = options.optimizer;
        __builtin_clear_padding(&copy);
        sum.add(std::string_view(reinterpret_cast<char const*>(&copy), sizeof copy));
    }
#endif
    return sum.value();
}

/// For up to `statement_size` bytes of each rank, in memory of the program.
template <class C>
std::byte* room_to_talk(store<C> const& s) {
    static_assert(C::verdict_size >= C::statement_size);
    if constexpr (C::talks_apart) return staging_of(s, s.ranks.talk());
    else return s.template at<std::byte>(C::places.verdicts);
}

/// All ranks go on, with the same plan, step and options, or all throw the same `snug::error`. `f()` or
/// `f(statement)` may throw, and says the hash of this rank's options and what it counts; the result is the sum
/// over all ranks.
template <class C, class F>
index_t agree_on(store<C> const& s, char const* what, F const& f) {
    now_doing(s, what);
    distributed::statement mine;
    mine.name(what);
    mine.ranks = C::ranks;
    mine.step = s.done.steps;
    mine.plan = plan_hash<C>;
    mine.batch = static_cast<std::uint64_t>(s.done.accumulated_batches);
    return distributed::guarded(*s.ranks.world, s.ranks.talk().messages,
                                as_bytes_of(room_to_talk(s), C::ranks * C::statement_size), mine, f)
        .counted;
}

/// All ranks go on, or all throw what one has thrown. Alone it is just `f()`.
template <class C, class F>
void together(store<C> const& s, [[maybe_unused]] char const* what, F const& f) {
    if constexpr (C::is_sharded) agree_on(s, what, f);
    else f();
}

/// What every rank has to say, in the order of ranks. All ranks call it.
template <class T, class C>
std::array<T, static_cast<std::size_t>(C::ranks)> from_all_ranks(store<C> const& s,
                                                                 [[maybe_unused]] char const* what,
                                                                 T const& mine) {
    static_assert(std::is_trivially_copyable_v<T>);
    std::array<T, static_cast<std::size_t>(C::ranks)> all{};
    all[static_cast<std::size_t>(s.ranks.rank())] = mine;
    if constexpr (C::is_sharded) {
        // Not in the array: when a message fails, others that are under way outlive it.
        static_assert(index_t{sizeof(T)} <= C::statement_size);
        auto const room = as_bytes_of(room_to_talk(s), index_t{sizeof all});
        std::memcpy(room.data(), all.data(), sizeof all);
        now_doing(s, what);
        distributed::all_gather(*s.ranks.world, s.ranks.talk().messages, room);
        s.ranks.world->wait(s.ranks.talk().messages);
        std::memcpy(all.data(), room.data(), sizeof all);
    }
    return all;
}

/// A rank's store, or what kept one of the ranks from making its own. What they agree in is not there before.
template <class C, class World>
store<C> make_store(of_composition<C>, World& world, std::uint64_t seed) {
    static_assert(sizeof(refusal::the_world_of_this_trainer_is_not_in_this_file<World>) > 0);
    std::vector<std::byte> room(static_cast<std::size_t>(world.size()) * sizeof(distributed::statement));
    typename World::transfer transfer(world, distributed::messages_to_agree(world));
    distributed::statement mine;
    mine.name("agreement on a trainer");
    mine.ranks = C::ranks;
    mine.plan = plan_hash<C>;
    mine.seed = seed;
    std::optional<store<C>> made;
    world.doing = {-1, "agreement on a trainer"};
    distributed::guarded(world, transfer, room, mine, [&] { made.emplace(peers<C>(world)); });
    return std::move(*made);
}

/// Throws on all ranks unless `hash()` of what they were given is the same on each of them.
template <class C, class F>
void require_same(store<C> const& s, [[maybe_unused]] std::string const& what,
                  [[maybe_unused]] F const& hash) {
    if constexpr (C::is_sharded) {
        auto const all = from_all_ranks(s, "agreement", std::uint64_t{hash()});
        for (std::size_t rank = 1; rank < all.size(); ++rank)
            if (all[rank] != all[0])
                throw error({.rank = static_cast<int>(rank)}, what + " than on rank 0",
                            "the same on every rank");
    }
}

/// What rank 0 does for all, in parts between which ranks talk. When one throws the others are not done, and all
/// ranks throw it at the end. Alone it is just the parts.
template <class C>
class work_of_root {
  public:
    explicit work_of_root(store<C> const& of) : store_(of) {}

    template <class F>
    void part(F const& f) {
        if constexpr (!C::is_sharded) {
            f();
        } else if (store_.ranks.rank() == 0 && !failure_) {
            try {
                f();
            } catch (...) {
                failure_ = std::current_exception();
            }
        }
    }
    /// All ranks call it.
    void finish(char const* what) const {
        together(store_, what, [&] {
            if (failure_) std::rethrow_exception(failure_);
        });
    }

  private:
    store<C> const& store_;
    std::exception_ptr failure_{};
};

}  // namespace snug::SNUG_TARGET::engine
