// SPDX-License-Identifier: Apache-2.0
#pragma once

// Open MPI's and MPICH's bindings for C++, which MPI has given up, would have to be linked.
#ifndef OMPI_SKIP_MPICXX
#define OMPI_SKIP_MPICXX 1
#endif
#ifndef MPICH_SKIP_MPICXX
#define MPICH_SKIP_MPICXX 1
#endif
#include <mpi.h>
#include <unistd.h>

#include <chrono>
#include <climits>
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <exception>
#include <memory>
#include <snug/distributed/deadline.hpp>
#include <snug/distributed/launch.hpp>
#include <snug/distributed/names.hpp>
#include <snug/distributed/transport.hpp>
#include <thread>
#include <utility>
#include <vector>
#ifdef _OPENMP
#include <omp.h>
#endif

namespace snug::SNUG_TARGET::distributed {

/// The world of an MPI program, for the life of this object: it initialises MPI and finalises it. One of a process,
/// made and used by its main thread, before anything that talks over it.
///
///     int main() {
///         snug::distributed::mpi world;
///
/// When something ends here that the others would wait for, all processes end: an exception that leaves the life of the
/// world, or that nobody catches, and a wait beyond the deadline, each say so in one line on stderr and call MPI_Abort.
class mpi {
    struct message {
        int other;
        int size;
        bool is_receive;
    };

    // What a transfer refers to, at an address that does not change. One element for every message.
    struct state {
        state(mpi& in, std::size_t count)
            : world(&in),
              requests(count, MPI_REQUEST_NULL),
              messages(count),
              indices(count),
              statuses(count) {}
        mpi* world;
        std::vector<MPI_Request> requests;
        std::vector<message> messages;
        std::vector<int> indices;
        std::vector<MPI_Status> statuses;
        std::size_t used = 0;
        int left = 0;
    };

  public:
    class transfer {
      public:
        transfer(mpi& world, int messages)
            : state_(std::make_unique<state>(world, static_cast<std::size_t>(std::max(messages, 0)))) {}
        transfer(transfer&&) noexcept = default;
        transfer& operator=(transfer&& other) noexcept {
            if (this != &other) {
                if (state_) state_->world->leave(*state_);
                state_ = std::move(other.state_);
            }
            return *this;
        }
        ~transfer() {
            if (state_) state_->world->leave(*state_);
        }

      private:
        friend mpi;
        std::unique_ptr<state> state_;
    };

    mpi() {
        int initialised = 0;
        check(MPI_Initialized(&initialised), "MPI_Initialized");
        if (initialised)
            throw error({}, "MPI in use already",
                        "one snug::distributed::mpi in a process, which initialises MPI itself");
        int level = 0;
        check(MPI_Init_thread(nullptr, nullptr, MPI_THREAD_FUNNELED, &level), "MPI_Init_thread");
        check(MPI_Comm_size(MPI_COMM_WORLD, &size_), "MPI_Comm_size");
        check(MPI_Comm_rank(MPI_COMM_WORLD, &rank_), "MPI_Comm_rank");
        auto refused = wrong_launch(size_);
        if (level < MPI_THREAD_FUNNELED) refused = "an MPI for programs of one thread";
        if (!refused.empty()) {
            MPI_Finalize();
            throw error({}, refused, "");
        }
        // Messages of its own, whatever else the program sends.
        check(MPI_Comm_dup(MPI_COMM_WORLD, &all_), "MPI_Comm_dup");
        check(MPI_Comm_set_errhandler(all_, MPI_ERRORS_RETURN), "MPI_Comm_set_errhandler");
        MPI_Comm here = MPI_COMM_NULL;
        check(MPI_Comm_split_type(all_, MPI_COMM_TYPE_SHARED, rank_, MPI_INFO_NULL, &here),
              "MPI_Comm_split_type");
        check(MPI_Comm_rank(here, &local_rank_), "MPI_Comm_rank");
        check(MPI_Comm_size(here, &local_size_), "MPI_Comm_size");
        check(MPI_Comm_free(&here), "MPI_Comm_free");
        share_processors();
        exceptions_ = std::uncaught_exceptions();
        the_world() = this;
        terminate_ = std::set_terminate(end_by_exception);
    }

    mpi(mpi const&) = delete;
    mpi& operator=(mpi const&) = delete;

    ~mpi() {
        std::set_terminate(terminate_);
        the_world() = nullptr;
        bool const unwinding = std::uncaught_exceptions() > exceptions_;
        if (unwinding || is_broken_) {
            detail::say(rank_, doing,
                        unwinding ? "an exception ends the run of all ranks"
                                  : "messages were left behind: the run of all ranks ends");
            // At the end of the program, so that who catches the exception can still say what it was.
            if (std::atexit(end_everybody) != 0) end_everybody();
            return;
        }
        // Who has left already waits here for the others, as long as they work: when they give up, the launcher of
        // Open MPI 4.1 hangs or crashes if a rank is inside MPI_Finalize.
        MPI_Request everybody_leaves;
        MPI_Ibarrier(all_, &everybody_leaves);
        for (int done = 0; MPI_Test(&everybody_leaves, &done, MPI_STATUS_IGNORE), !done;)
            std::this_thread::sleep_for(std::chrono::milliseconds(1));
        MPI_Comm_free(&all_);
        MPI_Finalize();
    }

    int rank() const { return rank_; }
    int size() const { return size_; }
    bool is_root() const { return rank_ == 0; }
    /// The number of this process among those of its machine.
    int local_rank() const { return local_rank_; }
    /// Processes on this machine.
    int local_size() const { return local_size_; }

    void send(transfer& in, int to, std::span<std::byte const> bytes) {
        if (bytes.empty()) return;
        auto& s = *in.state_;
        auto const size = begin(s, to, bytes.size(), false);
        check(MPI_Isend(bytes.data(), size, MPI_BYTE, to, 0, all_, &s.requests[s.used]), "MPI_Isend");
        ++s.used, ++s.left;
    }
    void receive(transfer& in, int from, std::span<std::byte> bytes) {
        if (bytes.empty()) return;
        auto& s = *in.state_;
        auto const size = begin(s, from, bytes.size(), true);
        check(MPI_Irecv(bytes.data(), size, MPI_BYTE, from, 0, all_, &s.requests[s.used]), "MPI_Irecv");
        ++s.used, ++s.left;
    }

    bool is_done(transfer& t) { return advance(*t.state_) < 0; }

    void wait(transfer& t) {
        auto& s = *t.state_;
        detail::yielding_wait([&] { return advance(s); }, deadline,
                              [&](seconds waited) { end_late(s, waited); });
    }

    /// Says what was found in one line, and ends all processes.
    [[noreturn]] void end(std::string const& found, std::string const&) {
        detail::say(rank_, doing, found);
        end_late();
    }

    seconds deadline = deadline_from_environment();
    activity doing{};

  private:
    void check(int code, char const* call) const {
        if (code == MPI_SUCCESS) return;
        char text[MPI_MAX_ERROR_STRING] = "";
        int length = 0;
        MPI_Error_string(code, text, &length);
        throw error({.rank = rank_}, std::string(text) + " from " + call, "");
    }

    // The size of a message that may begin.
    int begin(state& s, int other, std::size_t size, bool is_receive) {
        detail::require_other(rank_, size_, other);
        detail::require_room(rank_, s.used, s.messages.size());
        if (size > INT_MAX)
            throw error({.rank = rank_}, "a message of " + std::to_string(size) + " bytes",
                        "at most 2147483647");
        s.messages[s.used] = {other, static_cast<int>(size), is_receive};
        return static_cast<int>(size);
    }

    // How many messages came to their end, or -1: all have.
    int advance(state& s) {
        if (s.left == 0) {
            s.used = 0;
            return -1;
        }
        int ended = 0;
        auto const code = MPI_Testsome(static_cast<int>(s.used), s.requests.data(), &ended, s.indices.data(),
                                       s.statuses.data());
        if (code != MPI_SUCCESS) is_broken_ = true;
        if (code != MPI_ERR_IN_STATUS) check(code, "MPI_Testsome");
        for (int i = 0; i < ended; ++i) {
            auto const& m = s.messages[static_cast<std::size_t>(s.indices[static_cast<std::size_t>(i)])];
            auto const& status = s.statuses[static_cast<std::size_t>(i)];
            if (code == MPI_ERR_IN_STATUS && status.MPI_ERROR != MPI_SUCCESS &&
                status.MPI_ERROR != MPI_ERR_PENDING) {
                int what = MPI_SUCCESS;
                MPI_Error_class(status.MPI_ERROR, &what);
                if (what == MPI_ERR_TRUNCATE) throw_size(m, "more than " + std::to_string(m.size));
                check(status.MPI_ERROR, m.is_receive ? "MPI_Irecv" : "MPI_Isend");
            }
            int arrived = m.size;
            if (m.is_receive) check(MPI_Get_count(&status, MPI_BYTE, &arrived), "MPI_Get_count");
            if (arrived != m.size) throw_size(m, std::to_string(arrived));
        }
        s.left -= ended;
        if (s.left > 0) return ended;
        s.used = 0;
        return -1;
    }

    [[noreturn]] void throw_size(message const& m, std::string const& arrived) {
        is_broken_ = true;
        throw error({.rank = rank_}, arrived + " bytes from rank " + std::to_string(m.other),
                    std::to_string(m.size) + ", as it asked for");
    }

    [[noreturn]] void end_late(state const& s, seconds waited) {
        // What is asked for tells more than what is not taken.
        message missing{-1, 0, false};
        for (std::size_t i = 0; i < s.used; ++i)
            if (auto const& m = s.messages[i];
                s.requests[i] != MPI_REQUEST_NULL && (missing.other < 0 || m.is_receive > missing.is_receive))
                missing = m;
        detail::say_late(rank_, doing, missing.is_receive, missing.other, waited);
        end_late();
    }
    // Ranks wait for one that waits for another. A moment for all of them to say so: what they wait for in the end is
    // the rank that is named and says nothing itself.
    [[noreturn]] static void end_late() {
        ::usleep(300'000);
        abort();
    }

    static void end_everybody() {
        // Open MPI's waits for its launcher, which may never answer; that a process died of a signal it notices anyway.
        std::signal(SIGALRM, SIG_DFL);
        ::alarm(1);
        MPI_Abort(MPI_COMM_WORLD, 1);
    }
    [[noreturn]] static void abort() {
        end_everybody();
        std::_Exit(1);
    }

    // Messages that nobody waited for. What is asked for is taken back, what is being sent has to be taken, as its
    // memory may go next; but not while an exception is on its way: then nothing can be said of these messages any
    // more, and the world ends.
    void leave(state& s) noexcept {
        if (s.left == 0) return;
        for (std::size_t i = 0; i < s.used; ++i)
            if (s.messages[i].is_receive && s.requests[i] != MPI_REQUEST_NULL) MPI_Cancel(&s.requests[i]);
        if (std::uncaught_exceptions() > exceptions_) {
            is_broken_ = true;
            for (auto& request : s.requests)
                if (request != MPI_REQUEST_NULL) MPI_Request_free(&request);
            return;
        }
        auto const taken = [&] {
            int done = 0;
            MPI_Testall(static_cast<int>(s.used), s.requests.data(), &done, s.statuses.data());
            return done ? -1 : 0;
        };
        detail::yielding_wait(taken, deadline, [&](seconds waited) { end_late(s, waited); });
    }

    // Launchers bind a process to one core, or to none; its threads have to follow.
    void share_processors() const {
#ifdef _OPENMP
        int const threads = usable_threads(local_size_), before = omp_get_max_threads();
        if (threads >= before) return;
        omp_set_num_threads(threads);
        if (rank_ == 0)
            detail::say(0, {},
                        std::to_string(threads) + (threads == 1 ? " thread" : " threads") + " in place of " +
                            std::to_string(before) + ": " + std::to_string(local_size_) +
                            " processes share this machine (OMP_NUM_THREADS and mpirun --bind-to none decide "
                            "otherwise)");
#endif
    }

    static mpi*& the_world() {
        static mpi* world = nullptr;
        return world;
    }

    // Of std::terminate: an exception that nobody catches.
    [[noreturn]] static void end_by_exception() {
        if (auto const* const world = the_world()) {
            try {
                if (auto const thrown = std::current_exception()) std::rethrow_exception(thrown);
                detail::say(world->rank_, world->doing, "std::terminate was called");
            } catch (std::exception const& e) {
                detail::say(world->rank_, world->doing, e.what());
            } catch (...) {
                detail::say(world->rank_, world->doing, "an exception of an unknown type");
            }
        }
        abort();
    }

    MPI_Comm all_ = MPI_COMM_NULL;
    int rank_ = -1, size_ = 0, local_rank_ = 0, local_size_ = 1;
    int exceptions_ = 0;
    bool is_broken_ = false;  // a message ended in a way that the other side does not know of
    std::terminate_handler terminate_ = nullptr;
};

static_assert(transport<mpi>);

}  // namespace snug::SNUG_TARGET::distributed
