// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <algorithm>
#include <condition_variable>
#include <cstring>
#include <exception>
#include <memory>
#include <mutex>
#include <snug/distributed/deadline.hpp>
#include <snug/distributed/names.hpp>
#include <snug/distributed/transport.hpp>
#include <thread>
#include <utility>
#include <vector>
#ifdef _OPENMP
#include <omp.h>
#endif

namespace snug::SNUG_TARGET::distributed {

/// Something that goes wrong in a world of threads, for tests of who uses one. A rank's `send` and `receive` count as its calls.
struct fault {
    enum class kind { none, fails, delays, answers_no_more, damages };

    kind what = kind::none;
    int rank = 0;
    std::int64_t call = 0;  ///< which call of that rank, from 0
    seconds delay{0};       ///< of `delays`
};

/// A world whose ranks are threads of one process: what several processes do, where a debugger and a sanitizer see all of it.
///
///     distributed::threads::run(4, [](distributed::threads& world) { ... });
///
/// Ranks that wait sleep. The later of sender and receiver copies, from the one's memory to the other's.
class threads {
    struct state;
    struct message {
        std::byte* bytes = nullptr;  // a sender's are only read
        std::size_t size = 0;
        int rank = -1, other = -1;
        bool is_receive = false, is_queued = false, is_damaged = false;
        state* of = nullptr;
        message* next = nullptr;
    };

    // What a transfer refers to, at an address that does not change.
    struct state {
        state(threads& in, int count) : world(&in), messages(static_cast<std::size_t>(std::max(count, 0))) {}
        threads* world;
        std::vector<message> messages;
        std::size_t used = 0, left = 0;
    };

    // Begun by one side and not by the other yet, in order.
    struct queue {
        message *first = nullptr, *last = nullptr;

        void push(message& m) {
            m.is_queued = true;
            m.next = nullptr;
            (first ? last->next : first) = &m;
            last = &m;
        }
        message* pop() {
            auto* const m = first;
            if (m) {
                first = m->next;
                m->is_queued = false;
            }
            return m;
        }
        void remove(message& gone) {
            auto all = std::exchange(*this, {});
            while (auto* const m = all.pop())
                if (m != &gone) push(*m);
        }
    };

    struct member {
        std::condition_variable changed;  // a message of this rank is done, or the hub has closed
        int copying = 0;  // messages of this rank that another rank copies now, outside the lock
    };

    struct hub {
        hub(int n, fault what)
            : size(n),
              wrong(what),
              members(static_cast<std::size_t>(n)),
              queues(static_cast<std::size_t>(n) * static_cast<std::size_t>(n)) {}

        queue& between(message const& m) {
            auto const from = m.is_receive ? m.other : m.rank, to = m.is_receive ? m.rank : m.other;
            return queues[static_cast<std::size_t>(from * size + to)];
        }
        member& at(int rank) { return members[static_cast<std::size_t>(rank)]; }

        // Ends everybody's run by the exception that is being handled, unless another has. Under the lock.
        void close(int rank) {
            if (first_failure) return;
            first_failure = std::current_exception();
            failed_rank = rank;
            try {
                throw;
            } catch (error const& e) {
                why = e.what();
                if (e.where().rank >= 0) failed_rank = e.where().rank;
            } catch (std::exception const& e) {
                why = e.what();
            } catch (...) {
                why = "an exception of an unknown type";
            }
            for (auto& m : members) m.changed.notify_all();
        }

        int size;
        fault wrong;
        std::mutex lock;
        std::vector<member> members;
        std::vector<queue> queues;
        std::exception_ptr first_failure{};
        std::string why{};
        int failed_rank = -1;
    };

  public:
    class transfer {
      public:
        transfer(threads& world, int messages) : state_(std::make_unique<state>(world, messages)) {}
        transfer(transfer&&) noexcept = default;
        transfer& operator=(transfer&& other) noexcept {
            if (this != &other) {
                leave();
                state_ = std::move(other.state_);
            }
            return *this;
        }
        ~transfer() { leave(); }

      private:
        friend threads;
        // What nobody has answered is taken back; what is being copied is waited for, as its memory may go next.
        void leave() noexcept {
            if (!state_) return;
            auto& hub = *state_->world->hub_;
            auto const rank = state_->world->rank_;
            std::unique_lock lock(hub.lock);
            hub.at(rank).changed.wait(lock, [&] { return hub.at(rank).copying == 0; });
            for (std::size_t i = 0; i < state_->used; ++i)
                if (auto& m = state_->messages[i]; m.is_queued) hub.between(m).remove(m);
        }
        std::unique_ptr<state> state_;
    };

    threads(threads const&) = delete;
    threads& operator=(threads const&) = delete;

    /// Calls `f(world)` in `ranks` threads, OpenMP's threads dealt among them, and returns when all have left. The exception of the
    /// rank that was the first to leave by one is thrown again; the others have got a `snug::error` that names it.
    template <class F>
    static void run(int ranks, F&& f, fault wrong = {}) {
        if (ranks < 1) throw error({}, std::to_string(ranks) + " ranks", "at least one");
        hub shared(ranks, wrong);
        [[maybe_unused]] int share = 1;
#ifdef _OPENMP
        share = std::max(1, omp_get_max_threads() / ranks);
#endif
        auto const member = [&](int rank) {
#ifdef _OPENMP
            omp_set_num_threads(share);
#endif
            try {
                threads world(shared, rank);
                f(world);
            } catch (...) {
                std::scoped_lock lock(shared.lock);
                shared.close(rank);
            }
        };
        {
            std::vector<std::jthread> all;
            all.reserve(static_cast<std::size_t>(ranks));
            try {
                for (int rank = 0; rank < ranks; ++rank) all.emplace_back(member, rank);
            } catch (...) {  // no more threads to be had: those that are here must not wait for the others
                std::scoped_lock lock(shared.lock);
                shared.close(static_cast<int>(all.size()));
            }
        }
        if (shared.first_failure) std::rethrow_exception(shared.first_failure);
    }

    int rank() const { return rank_; }
    int size() const { return hub_->size; }
    bool is_root() const { return rank_ == 0; }

    void send(transfer& in, int to, std::span<std::byte const> bytes) {
        begin(in, to, const_cast<std::byte*>(bytes.data()), bytes.size(), false);
    }
    void receive(transfer& in, int from, std::span<std::byte> bytes) {
        begin(in, from, bytes.data(), bytes.size(), true);
    }

    bool is_done(transfer& t) {
        auto& s = *t.state_;
        std::unique_lock lock(hub_->lock);
        if (s.left > 0) {
            if (hub_->first_failure) throw_failure(lock);
            return false;
        }
        s.used = 0;
        return true;
    }

    void wait(transfer& t) {
        using clock = std::chrono::steady_clock;
        auto& s = *t.state_;
        std::unique_lock lock(hub_->lock);
        auto begun = clock::now();
        while (s.left > 0) {
            if (hub_->first_failure) throw_failure(lock);
            auto const before = s.left;
            auto const until =
                begun + std::chrono::duration_cast<clock::duration>(std::min(deadline, seconds{1e9}));
            bool const changed = hub_->at(rank_).changed.wait_until(
                lock, until, [&] { return s.left != before || hub_->first_failure; });
            if (!changed && hub_->at(rank_).copying == 0) throw_late(s, seconds(clock::now() - begun));
            begun = clock::now();
        }
        s.used = 0;
    }

    /// Says what was found in one line, and ends everybody's run by a `snug::error`: this one, unless another rank has
    /// failed before.
    [[noreturn]] void end(std::string const& found, std::string const& expected) {
        detail::say(rank_, doing, found);
        std::unique_lock lock(hub_->lock);
        if (hub_->first_failure) throw_failure(lock);
        end_all(error({.rank = rank_}, found, expected));
    }

    seconds deadline = deadline_from_environment();
    activity doing{};

  private:
    threads(hub& all, int rank) : hub_(&all), rank_(rank) {}

    void begin(transfer& in, int other, std::byte* bytes, std::size_t size, bool is_receive) {
        if (size == 0) return;
        detail::require_other(rank_, hub_->size, other);
        auto& s = *in.state_;
        detail::require_room(rank_, s.used, s.messages.size());
        bool const damaged = meets_fault();
        std::unique_lock lock(hub_->lock);
        if (hub_->first_failure) throw_failure(lock);
        auto& mine = s.messages[s.used++];
        mine = {.bytes = bytes,
                .size = size,
                .rank = rank_,
                .other = other,
                .is_receive = is_receive,
                .is_damaged = damaged,
                .of = &s};
        ++s.left;
        // One of the two sides waits in the queue, so all that is in it is of the same side.
        auto& waiting = hub_->between(mine);
        if (!waiting.first || waiting.first->is_receive == is_receive) return waiting.push(mine);
        auto& theirs = *waiting.pop();
        if (theirs.size != size) {
            auto const& sent = is_receive ? theirs : mine;
            auto const& wanted = is_receive ? mine : theirs;
            end_all(error({.rank = wanted.rank},
                          std::to_string(sent.size) + " bytes from rank " + std::to_string(sent.rank),
                          std::to_string(wanted.size) + ", as it asked for"));
        }
        auto& peer = hub_->at(other);
        ++peer.copying;
        lock.unlock();
        auto* const to = is_receive ? mine.bytes : theirs.bytes;
        std::memcpy(to, is_receive ? theirs.bytes : mine.bytes, size);
        if (mine.is_damaged || theirs.is_damaged) to[size / 2] ^= std::byte{1};
        lock.lock();
        --peer.copying;
        --s.left;
        --theirs.of->left;
        peer.changed.notify_all();
    }

    // Whether the message of this call is to be damaged.
    bool meets_fault() {
        auto const& wrong = hub_->wrong;
        if (wrong.what == fault::kind::none || wrong.rank != rank_ || calls_++ != wrong.call) return false;
        if (wrong.what == fault::kind::fails)
            throw error({.rank = rank_}, "a fault that a test asked for", "");
        if (wrong.what == fault::kind::delays) std::this_thread::sleep_for(wrong.delay);
        if (wrong.what == fault::kind::answers_no_more) {
            std::unique_lock lock(hub_->lock);
            hub_->at(rank_).changed.wait(lock, [&] { return hub_->first_failure != nullptr; });
        }
        return wrong.what == fault::kind::damages;
    }

    // Another rank has left by an exception. Memory of this one that is being copied may go when it has left too.
    [[noreturn]] void throw_failure(std::unique_lock<std::mutex>& lock) {
        hub_->at(rank_).changed.wait(lock, [&] { return hub_->at(rank_).copying == 0; });
        throw error::of_rank(hub_->failed_rank, hub_->why);
    }

    [[noreturn]] void throw_late(state const& s, seconds waited) {
        // What is asked for tells more than what is not taken.
        message const* missing = nullptr;
        for (std::size_t i = 0; i < s.used; ++i)
            if (auto const& m = s.messages[i];
                m.is_queued && (!missing || m.is_receive > missing->is_receive))
                missing = &m;
        detail::say_late(rank_, doing, missing->is_receive, missing->other, waited);
        end_all(error({.rank = rank_},
                      "nothing from rank " + std::to_string(missing->other) + " in " +
                          std::to_string(waited.count()) + " s",
                      "an answer"));
    }

    // Under the lock.
    [[noreturn]] void end_all(error const& why) {
        try {
            throw why;
        } catch (...) {
            hub_->close(rank_);
            throw;
        }
    }

    hub* hub_;
    int rank_;
    std::int64_t calls_ = 0;
};

static_assert(transport<threads>);

}  // namespace snug::SNUG_TARGET::distributed
