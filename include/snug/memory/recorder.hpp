// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <snug/memory/declaration.hpp>

namespace snug::SNUG_TARGET {

/// A buffer of the step as layers refer to it: the position of its declaration, and which of its copies (-1: the copy
/// of the block that runs).
/// While the plan is recorded a reference may stand for one of several buffers (`other`, `another`).
struct buffer_reference {
    int id = -1;
    index_t copy = -1;
    int other = -1;
    int another = -1;
};

/// Finds lifetimes by running the step symbolically: the same traversal of the model that executes a step
/// walks over a recorder first, and every call of a layer is a position of the schedule. Nothing can be
/// used in a step that was not declared, and nothing is declared dead that the step still reads.
template <std::size_t N>
class recorder {
  public:
    /// One call of a layer that touches these buffers.
    template <class... References>
    constexpr void call(References... references) {
        ++now_;
        (touch(references.id), ...);
        (touch(references.other), ...);
        (touch(references.another), ...);
    }

    /// A further buffer of the call recorded last.
    constexpr void also(int id) { touch(id); }

    /// A loop runs its body once here and stands for all iterations: what lives on beyond an iteration is
    /// alive throughout the loop.
    constexpr void begin_loop() { open_loops_[static_cast<std::size_t>(depth_++)] = ++now_; }

    constexpr void end_loop() {
        auto const begin = open_loops_[static_cast<std::size_t>(--depth_)];
        ++now_;
        if (closed_ == max_loops) throw "snug: a model has more loops than the recorder holds";
        closed_loops_[static_cast<std::size_t>(closed_++)] = {begin, now_};
    }

    /// What is in these buffers is not needed any more; they are written again before they are read again.
    constexpr void release(int first_id, int last_id) {
        for (int id = first_id; id < last_id; ++id) close(static_cast<std::size_t>(id));
    }

    /// Lifetimes of all buffers, after the whole step has been recorded.
    constexpr std::array<lifetime, N> finish() {
        for (std::size_t id = 0; id < N; ++id) close(id);
        std::array<lifetime, N> result{};
        for (std::size_t i = 0; i < epochs_; ++i) {
            auto span = history_[i].span;
            // A use inside a loop by something that lives beyond it is a use in every iteration.
            for (bool grown = true; grown;) {
                grown = false;
                for (int l = 0; l < closed_; ++l) {
                    auto const loop = closed_loops_[static_cast<std::size_t>(l)];
                    bool const overlap = span.first <= loop.last && loop.first <= span.last;
                    bool const inside = loop.first <= span.first && span.last <= loop.last;
                    if (!overlap || inside || (span.first <= loop.first && loop.last <= span.last)) continue;
                    span = {std::min(span.first, loop.first), std::max(span.last, loop.last)};
                    grown = true;
                }
            }
            result[history_[i].id].add(span);
        }
        return result;
    }

  private:
    struct epoch {
        std::size_t id = 0;
        lifetime::interval span{};
    };
    static constexpr int max_loops = 64;

    constexpr void touch(int id) {
        if (id < 0) return;
        auto& span = open_[static_cast<std::size_t>(id)];
        if (span.last < 0) span.first = now_;
        span.last = now_;
    }

    constexpr void close(std::size_t id) {
        if (open_[id].last < 0) return;
        if (epochs_ == history_.size())
            throw "snug: a step needs buffers in more pieces than the recorder holds";
        history_[epochs_++] = {id, open_[id]};
        open_[id] = {};
    }

    int now_ = -1;
    std::array<lifetime::interval, N> open_{};
    std::array<epoch, N * lifetime::capacity + 1> history_{};
    std::size_t epochs_ = 0;
    std::array<int, max_loops> open_loops_{};
    int depth_ = 0;
    std::array<lifetime::interval, max_loops> closed_loops_{};
    int closed_ = 0;
};

}  // namespace snug::SNUG_TARGET
