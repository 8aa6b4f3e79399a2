// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <functional>
#include <snug/distributed/transport.hpp>
#include <span>
#include <string_view>
#include <utility>

namespace snug_test {

/// A world, and somebody who is told of every call of it, before it and after it: to count, to throw, to wait, to end the process.
template <class World>
class watched {
  public:
    class transfer {
      public:
        transfer(watched& in, int messages) : of_(*in.of_, messages) {}

      private:
        friend watched;
        typename World::transfer of_;
    };
    /// `verb`: "send", "receive" or "wait". What the rank is at says `doing`.
    using watcher = std::function<void(std::string_view verb, bool is_made)>;

    watched(World& of, watcher tell)
        : deadline(of.deadline), doing(of.doing), of_(&of), tell_(std::move(tell)) {}

    int rank() const { return of_->rank(); }
    int size() const { return of_->size(); }
    bool is_root() const { return of_->is_root(); }

    void send(transfer& in, int to, std::span<std::byte const> bytes) {
        told("send", [&] { of_->send(in.of_, to, bytes); });
    }
    void receive(transfer& in, int from, std::span<std::byte> bytes) {
        told("receive", [&] { of_->receive(in.of_, from, bytes); });
    }
    bool is_done(transfer& t) { return of_->is_done(t.of_); }
    void wait(transfer& t) {
        told("wait", [&] { of_->wait(t.of_); });
    }

    snug::distributed::seconds& deadline;
    snug::distributed::activity& doing;

  private:
    template <class F>
    void told(std::string_view verb, F const& call) {
        tell_(verb, false);
        call();
        tell_(verb, true);
    }

    World* of_;
    watcher tell_;
};

}  // namespace snug_test
