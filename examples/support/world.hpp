// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <array>
#include <csignal>
#include <cstddef>
#include <cstdio>
#include <iostream>
#include <optional>
#include <snug/snug.hpp>
#include <span>
#include <type_traits>
#include <utility>
#include <vector>
#ifdef SNUG_EXAMPLE_RANKS
#include <snug/distributed/agree.hpp>
#include <snug/distributed/mpi.hpp>
#endif

#include "output.hpp"

/// Who trains: one process; or, compiled for SNUG_EXAMPLE_RANKS of them, the processes that mpirun has started.
namespace example {

#ifndef SNUG_EXAMPLE_RANKS

class world {
  public:
    /// What asks a run to stop.
    static constexpr std::array stop_signals{SIGINT, SIGTERM, SIGPIPE};

    static constexpr int rank() { return 0; }
    static constexpr int size() { return 1; }

    /// `f()`, by every rank; what one of them throws, all throw.
    template <class F>
    auto together(F&& f) {
        return f();
    }
    /// The same by rank 0 alone.
    template <class F>
    void on_root(F&& f) {
        f();
    }
    /// What every rank has, in their order.
    template <class T>
    std::vector<T> gathered(T const& own) {
        return {own};
    }
};

/// A trainer of one batch in a step.
template <class Batch, class... Policies>
struct trainer : snug::trainer<Batch, Policies...> {
    trainer(world&, std::uint64_t seed) : trainer::trainer_type(seed) {}
};

#else

class world : public snug::distributed::mpi {
  public:
    /// SIGUSR1 too: mpirun passes it on, while SIGINT and SIGTERM make it kill the ranks after a second or two.
    static constexpr std::array stop_signals{SIGINT, SIGTERM, SIGPIPE, SIGUSR1};

    /// What ranks print they print alike: one of them is enough.
    world() {
        if (is_root()) return;
        if (!std::freopen("/dev/null", "w", stdout))
            throw snug::error({.rank = rank()}, "no /dev/null", "a place for what rank 0 prints");
        std::cerr.setstate(std::ios::badbit);
    }
    ~world() { std::cerr.clear(); }

    template <class F>
    auto together(F&& f) {
        using result_type = std::invoke_result_t<F&>;
        if constexpr (std::is_void_v<result_type>) {
            guarded(*this, talk_, room_, {}, f);
        } else {
            std::optional<result_type> result;
            guarded(*this, talk_, room_, {}, [&] { result.emplace(f()); });
            return std::move(*result);
        }
    }
    template <class F>
    void on_root(F&& f) {
        together([&] {
            if (is_root()) f();
        });
    }
    template <class T>
    std::vector<T> gathered(T const& own) {
        std::vector<T> all(static_cast<std::size_t>(size()));
        all[static_cast<std::size_t>(rank())] = own;
        snug::distributed::all_gather(*this, talk_, std::as_writable_bytes(std::span(all)));
        wait(talk_);
        return all;
    }

  private:
    transfer talk_{*this, snug::distributed::messages_to_agree(*this)};
    std::vector<std::byte> room_ =
        std::vector<std::byte>(static_cast<std::size_t>(size()) * sizeof(snug::distributed::statement));
};

template <class Batch, class... Policies>
struct trainer;

/// The sequences of the batch are dealt among the ranks, each as a micro-batch: a step adds up the same in the same order
/// for any number of ranks.
template <snug::index_t Sequences, snug::index_t Tokens, class... Policies>
struct trainer<snug::batch<Sequences, Tokens>, Policies...>
    : snug::trainer<snug::batch<1, Tokens>, snug::accumulation::micro_batches<Sequences / SNUG_EXAMPLE_RANKS>,
                    snug::sharding::zero<2, snug::ranks<SNUG_EXAMPLE_RANKS>>, Policies...> {
    static_assert(Sequences % SNUG_EXAMPLE_RANKS == 0, "the sequences of a step are dealt among the ranks");
    using trainer::trainer_type::trainer_type;
};

#endif

/// main: runs `f(world)`, whose result is the exit status. What goes wrong is a sentence on stderr.
template <class F>
int program(char const* name, F&& f) {
    auto const complain = [&](std::exception const& problem) {
        std::cerr << name << ": " << snug::harmless(problem.what()) << '\n';
        return 1;
    };
    try {
        world here;
        try {
            return finished(name, f(here));
        } catch (end_of_program const& end) {
            return end.status;
        } catch (snug::error const& problem) {  // of all ranks; anything else ends the world as well
            return complain(problem);
        }
    } catch (std::exception const& problem) {
        return complain(problem);
    }
}

}  // namespace example
