// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <array>
#include <cstdint>
#include <snug/backend/host/tag.hpp>
#include <snug/engine/composition.hpp>
#include <snug/engine/peers.hpp>
#include <snug/error.hpp>
#include <snug/io/file_memory.hpp>
#include <snug/memory/arena.hpp>
#include <snug/ops/copy.hpp>
#include <snug/ops/memory.hpp>
#include <snug/ops/operation.hpp>
#include <snug/ops/prepare.hpp>
#include <snug/ops/run_recorded.hpp>
#include <snug/precision/loss_scale.hpp>
#include <span>
#include <type_traits>
#include <vector>

namespace snug::SNUG_TARGET {

/// The program can read and write the backend's memory itself.
template <class Backend>
inline constexpr bool in_program_memory = !runs_ahead<Backend>;

}  // namespace snug::SNUG_TARGET

namespace snug::SNUG_TARGET::engine {

/// The memory that a composition's plan lays out, as typed arrays.
template <class C>
class memory_view {
  public:
    /// `shard`: which share of it this process holds, of what is sharded.
    explicit memory_view(std::byte* device, std::byte* host = nullptr, int shard = 0)
        : bases_{device, host}, shard_(shard) {}

    index_t shard() const { return shard_; }
    std::byte* base(space of) const { return bases_[static_cast<std::size_t>(of)]; }

    /// Where an element of a copy lies of what this region holds, in units of T; null when it lies nowhere or
    /// has size 0.
    template <class T>
    T* at(region where, index_t copy = 0, index_t element = 0) const {
        if (where.declaration < 0) return nullptr;
        auto const id = static_cast<std::size_t>(where.declaration);
        auto const& declared = C::plan.declarations[id];
        if (declared.count == 0) return nullptr;
        return reinterpret_cast<T*>(base(declared.where) + C::plan.offsets[id] + where.offset +
                                    copy * where.stride - shard_ * where.share) +
               element;
    }

    /// The same, null where this process does not hold it.
    template <class T>
    T* find(region where, int p, index_t first) const {
        if (where.declaration < 0) return nullptr;
        if (where.share > 0) {
            auto const& owned = C::owned(p);
            auto const position = owned.position + first % C::entry(p).count - shard_ * owned.share;
            if (position < 0 || position >= owned.share) return nullptr;
        }
        return in<T>(where, p, first);
    }

    /// f(first, count) for elements of all copies of parameter p, counted through, in stretches that lie one
    /// after the other.
    template <class F>
    void for_each_stretch(int p, part which, F const& f) const {
        engine::for_each_stretch(C::entry(p), C::owned(p), which, shard_, f);
    }
    /// Where element `first`, counted through all copies of parameter p, lies of an array of it.
    template <class T>
    T* in(region where, int p, index_t first) const {
        auto const count = C::entry(p).count;
        return at<T>(where, first / count, first % count);
    }

  private:
    std::array<std::byte*, spaces> bases_;
    int shard_;
};

/// So many steps in a row without any gradient are an error: something swallows it, such as a weight of 1e38.
inline constexpr std::int64_t most_vanished = 8;
/// A mean loss up to this, in nats, is a minimum, where gradients may be 0.
inline constexpr double loss_at_a_minimum = 1e-6;

/// How far training has come.
struct progress {
    std::int64_t steps = 0;           ///< optimizer steps done
    loss_scale scale{};               ///< of a precision that asks for a dynamic one
    index_t accumulated = 0;          ///< counted tokens of the last batch whose gradients wait for an update
    index_t accumulated_batches = 0;  ///< that wait for it
    std::int64_t vanished = 0;        ///< steps in a row without a gradient
    index_t kept = 0;                 ///< tokens of a sequence whose keys and values are there
};

/// Of what is not where the step runs.
template <class C>
memory_calls const& memory_beside() {
    if constexpr (C::offloads_to_a_file)
        return io::file_memory<C::checkpointing::place_of_offloaded::folder>();
    else return ops::paged_memory<typename C::backend>();
}

/// By which an act is found that has no store yet.
template <class C>
struct of_composition {};

/// What a trainer owns: the execution context in which it runs, one allocation for each space of the plan,
/// and how far training has come. What is done with it are functions of their own, one file an act:
/// `initialise`, `accumulate_gradients`, `update_weights`, `evaluate_batch`, `generate_tokens`,
/// `load_weights`, `save_snapshot` and so on.
template <class C>
class store {
  public:
    using composition = C;
    using backend = typename C::backend;
    using weight_type = typename C::precision::weight;
    using gradient_type = typename C::precision::gradient;
    using updated_type = typename C::updated;

    /// Throws `snug::error` when the memory is not to be had. What lies there is not initialised.
    explicit store(peers<C> of = {})
        : context_(ops::prepare<backend>(C::bill)),
          device_(C::plan.size(space::device_memory), ops::memory<backend>()),
          host_(C::plan.size(space::host_memory), memory_beside<C>()),
          ranks(std::move(of)) {}

    /// Where operations run: their first argument.
    backend on() const { return context_.on(); }
    /// Where those run that the program does itself, on memory of its own.
    auto on_host() const {
        if constexpr (in_program_memory<backend>) return on();
        else return host{};
    }
    bytes allocated() const { return device_.size() + host_.size(); }

    /// Throws `snug::error` when the trainer was moved from.
    memory_view<C> view() const {
        if (device_.data() == nullptr)
            throw error({}, "a trainer that was moved from: its memory belongs to another one now",
                        "the trainer that it was moved into");
        return memory_view<C>(device_.data(), host_.data(), ranks.shard());
    }
    template <class T>
    T* at(region where, index_t copy = 0, index_t element = 0) const {
        return view().template at<T>(where, copy, element);
    }
    /// f(elements, first) with the elements of an array of parameter p from `first` on, counted through all
    /// copies, in stretches that lie one after the other: all of them that this process holds.
    template <class T, class F>
    void for_each_stretch(region where, int p, F const& f) const {
        if (where.declaration < 0) return;
        auto const memory = view();
        memory.for_each_stretch(p, part_of(where), [&](index_t first, index_t count) {
            f(std::span<T>(memory.template in<T>(where, p, first), static_cast<std::size_t>(count)), first);
        });
    }

    /// All copies of parameter p, and of its gradient and master copy, which may be none; of a trainer that is alone.
    std::span<weight_type> weights(int p) const requires(!C::is_sharded) {
        return whole<weight_type>(C::weight(p), p);
    }
    std::span<gradient_type> gradients(int p) const requires(!C::is_sharded) {
        return whole<gradient_type>(C::gradient(p), p);
    }
    std::span<updated_type> masters(int p) const requires(!C::is_sharded) {
        return whole<updated_type>(C::master(p), p);
    }

    /// The numbers of a step, where it runs.
    step_numbers* numbers() const { return at<step_numbers>(C::places.numbers); }
    /// What the step has found so far; waits for it.
    step_numbers found() const {
        step_numbers result;
        ops::copy_out(on(), &result, numbers(), sizeof result);
        return result;
    }
    double loss_scale() const {
        if constexpr (scales_loss<typename C::precision>) return done.scale.value;
        else return 1;
    }

  private:
    template <class T>
    std::span<T> whole(region where, int p) const {
        auto const count = where.declaration < 0 ? 0 : C::entry(p).total();
        return {at<T>(where), static_cast<std::size_t>(count)};
    }

    ops::context<backend> context_;
    arena device_;
    arena host_;

  public:
    peers<C> ranks;
    progress done{};
    std::array<ops::recording<backend>, kinds_of_repeated> recordings{};
    std::vector<typename C::precision::activation> logits{};  ///< copied from a device
};

}  // namespace snug::SNUG_TARGET::engine
