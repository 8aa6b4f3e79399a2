// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <snug/distributed/mpi.hpp>
#include <snug/distributed/threads.hpp>
#include <variant>

namespace snug_test {

/// Processes or threads: a trainer over this is compiled once and runs on both.
class either_world {
    using of_mpi = snug::distributed::mpi;
    using of_threads = snug::distributed::threads;

    template <class F>
    auto visit(F const& f) const {
        return std::visit([&](auto* world) { return f(*world); }, of_);
    }
    template <class F, class Transfer>
    void with(Transfer& t, F const& f) const {
        visit([&]<class World>(World& world) { f(world, std::get<typename World::transfer>(t.of_)); });
    }

  public:
    class transfer {
      public:
        transfer(either_world& in, int messages)
            : of_(in.visit([&](auto& world) { return made(world, messages); })) {}

      private:
        friend either_world;
        using either = std::variant<of_mpi::transfer, of_threads::transfer>;
        template <class World>
        static either made(World& world, int messages) {
            return typename World::transfer(world, messages);
        }
        either of_;
    };

    explicit either_world(of_mpi& world) : deadline(world.deadline), doing(world.doing), of_(&world) {}
    explicit either_world(of_threads& world) : deadline(world.deadline), doing(world.doing), of_(&world) {}

    int rank() const {
        return visit([](auto& world) { return world.rank(); });
    }
    int size() const {
        return visit([](auto& world) { return world.size(); });
    }
    bool is_root() const { return rank() == 0; }

    void send(transfer& in, int to, std::span<std::byte const> bytes) {
        with(in, [&](auto& world, auto& its) { world.send(its, to, bytes); });
    }
    void receive(transfer& in, int from, std::span<std::byte> bytes) {
        with(in, [&](auto& world, auto& its) { world.receive(its, from, bytes); });
    }
    bool is_done(transfer& t) {
        bool done = false;
        with(t, [&](auto& world, auto& its) { done = world.is_done(its); });
        return done;
    }
    void wait(transfer& t) {
        with(t, [](auto& world, auto& its) { world.wait(its); });
    }

    snug::distributed::seconds& deadline;
    snug::distributed::activity& doing;

  private:
    std::variant<of_mpi*, of_threads*> of_;
};

static_assert(snug::distributed::transport<either_world>);

}  // namespace snug_test
