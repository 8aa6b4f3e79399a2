// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <array>
#include <cstdint>
#include <snug/backend/host/tag.hpp>
#include <snug/engine/composition.hpp>
#include <snug/error.hpp>
#include <snug/memory/arena.hpp>
#include <snug/ops/context.hpp>
#include <snug/ops/copy.hpp>
#include <snug/ops/memory.hpp>
#include <snug/ops/operation.hpp>
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
    explicit memory_view(std::byte* device, std::byte* host = nullptr) : bases_{device, host} {}

    std::byte* base(space of) const { return bases_[static_cast<std::size_t>(of)]; }

    /// Where a copy of what lies in this region begins; null when it lies nowhere or has size 0.
    template <class T>
    T* at(region where, index_t copy = 0) const {
        if (where.declaration < 0) return nullptr;
        auto const id = static_cast<std::size_t>(where.declaration);
        auto const& declared = C::plan.declarations[id];
        if (declared.count == 0) return nullptr;
        return reinterpret_cast<T*>(base(declared.where) + C::plan.offsets[id] + where.offset +
                                    copy * where.stride);
    }
    /// All copies, one after the other; none when it lies nowhere.
    template <class T>
    std::span<T> elements(region where) const {
        if (where.declaration < 0) return {};
        auto const& declared = C::plan.declarations[static_cast<std::size_t>(where.declaration)];
        return {at<T>(where), static_cast<std::size_t>(declared.size().count) / sizeof(T)};
    }

  private:
    std::array<std::byte*, spaces> bases_;
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
    store()
        : context_(ops::prepare<backend>(C::bill)),
          device_(C::plan.size(space::device_memory), ops::memory<backend>()),
          host_(C::plan.size(space::host_memory), ops::paged_memory<backend>()) {}

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
        return memory_view<C>(device_.data(), host_.data());
    }
    template <class T>
    T* at(region where, index_t copy = 0) const {
        return view().template at<T>(where, copy);
    }
    template <class T>
    std::span<T> elements(region where) const {
        return view().template elements<T>(where);
    }

    /// All copies of parameter p, and of its gradient and master copy, which may be none.
    std::span<weight_type> weights(int p) const { return elements<weight_type>(C::weight(p)); }
    std::span<gradient_type> gradients(int p) const { return elements<gradient_type>(C::gradient(p)); }
    std::span<updated_type> masters(int p) const { return elements<updated_type>(C::master(p)); }

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
    ops::context<backend> context_;
    arena device_;
    arena host_;

  public:
    progress done{};
    /// The passes of a micro-batch, as a device replays them: without and with several examples in a row.
    std::array<ops::recording<backend>, 2> recordings{};
    std::vector<typename C::precision::activation> logits{};  ///< copied from a device
};

}  // namespace snug::SNUG_TARGET::engine
