// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cuda_runtime.h>
#include <nccl.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <chrono>
#include <cstdint>
#include <cstdio>
#include <cstring>
#include <exception>
#include <memory>
#include <snug/backend/cuda/context.cuh>
#include <snug/backend/cuda/memory.cuh>
#include <snug/backend/cuda/run_recorded.cuh>
#include <snug/distributed/agree.hpp>
#include <snug/distributed/collectives.hpp>
#include <snug/distributed/deadline.hpp>
#include <snug/distributed/names.hpp>
#include <snug/distributed/transport.hpp>
#include <snug/memory/arena.hpp>
#include <span>
#include <string>
#include <thread>
#include <vector>

namespace snug::SNUG_TARGET {

namespace refusal {

template <class World>
struct nccl_stands_beside_a_world_that_is_in_this_file {
    static_assert(
        requires { sizeof(World); },
        "snug: NCCL stands beside a world for the program's memory (see World), whose class is not in this "
        "file. Include snug/distributed/mpi.hpp beside snug/distributed/nccl.cuh");
};

}  // namespace refusal

namespace distributed {

namespace detail {

/// Tells the program, in memory of its own, how far a stream has come.
template <class Number>
__global__ void say_reached(Number volatile* where, Number number) {
    *where = number;
    __threadfence_system();
}

}  // namespace detail

/// NCCL between the devices of ranks, of which each has its own, beside a world of the same ranks for the program's
/// memory, which outlives it: `distributed::nccl` is that beside `distributed::mpi`.
///
///     snug::distributed::mpi processes;
///     snug::distributed::nccl world(processes);
///     my_trainer run(world);  // on<cuda>, over<distributed::nccl>
///
/// It moves bytes and adds nothing. Messages of the program's memory (agreements, files) go over the world beside it,
/// as do the deadline and what is said when it passes. Those of a device's memory have transfers of their own: `send`,
/// `receive` and `all_gather` note a message, `depart` puts those noted on their way behind what the device has to do
/// until then, and the program waits for them, so nothing that a device does waits for another rank but these messages.
/// All ranks that a departure concerns call it for the same messages, in the same order of departures. In what is
/// repeated (`repeat`) the device waits for them itself, and tells the program at which of them it is.
///
/// A message that does not come within the deadline, and an error of NCCL's, end everybody's run with one line. Errors
/// of NCCL's are looked for whenever this rank waits.
template <class World>
class nccl_beside {
    static_assert(sizeof(refusal::nccl_stands_beside_a_world_that_is_in_this_file<World>) > 0);
    static_assert(NCCL_VERSION_CODE >= NCCL_VERSION(2, 14, 0),
                  "snug: NCCL 2.14 or later: see NCCL_VERSION_CODE");

    enum class kind { send, receive, gather };
    struct message {
        std::byte* bytes;  // what is sent is only read
        std::size_t size;
        int other;
        kind what;
    };
    using event = backend::cuda::detail::owned<cudaEvent_t>;
    using progress = std::uint32_t;
    // Messages on their way together, in what is repeated.
    struct departure {
        std::vector<message> messages;
        activity doing;
    };

    // What a transfer refers to, at an address that does not change.
    struct state {
        state(nccl_beside& in, int count) : world(&in) {
            messages.reserve(static_cast<std::size_t>(std::max(count, 0)));
        }
        nccl_beside* world;
        std::vector<message> messages;
        std::size_t departed = 0;  // of the messages
        cudaStream_t behind = nullptr;
        bool is_begun = false;  // the device has come to the last departure
        event begun = backend::cuda::detail::make_event(), done = backend::cuda::detail::make_event();
    };

  public:
    /// Of the program's memory.
    using transfer = typename World::transfer;

    /// Of the device's memory.
    class device_transfer {
      public:
        device_transfer(nccl_beside& world, int messages)
            : state_(std::make_unique<state>(world, messages)) {}
        device_transfer(device_transfer&&) noexcept = default;
        device_transfer& operator=(device_transfer&& other) noexcept {
            if (this != &other) {
                if (state_) state_->world->leave(*state_);
                state_ = std::move(other.state_);
            }
            return *this;
        }
        ~device_transfer() {
            if (state_) state_->world->leave(*state_);
        }

      private:
        friend nccl_beside;
        std::unique_ptr<state> state_;
    };

    /// What is kept of messages that a device repeats.
    class repeated_messages {
        friend nccl_beside;
        std::vector<departure> departures_{};
        progress seen_ = 0;
        event end_ = backend::cuda::detail::make_event();
    };

    /// All ranks construct it. Rank r of a machine takes its device number r, modulo how many it sees, for the calling
    /// thread. Throws the same `snug::error` on all of them where a rank has no device that can be used, two have one
    /// device, or their versions of NCCL differ.
    explicit nccl_beside(World& of)
        : deadline(of.deadline), doing(of.doing), world_(of), exceptions_(std::uncaught_exceptions()) {
        join();
    }
    nccl_beside(nccl_beside const&) = delete;
    nccl_beside& operator=(nccl_beside const&) = delete;

    ~nccl_beside() {
        if (communicator_ == nullptr) return;
        if (std::uncaught_exceptions() > exceptions_) {
            abort();
            return;
        }
        // Who has left already waits for the others, as long as they work.
        auto result = ncclCommFinalize(communicator_);
        while (result == ncclInProgress) {
            std::this_thread::sleep_for(std::chrono::milliseconds(1));
            if (ncclCommGetAsyncError(communicator_, &result) != ncclSuccess) break;
        }
        if (result == ncclSuccess) (void)ncclCommDestroy(communicator_);
        else abort();
    }

    int rank() const { return world_.rank(); }
    int size() const { return world_.size(); }
    bool is_root() const { return world_.is_root(); }

    /// For messages of the program's memory.
    World& beside() const { return world_; }
    operator World&() const { return world_; }

    void send(transfer& in, int to, std::span<std::byte const> bytes) { world_.send(in, to, bytes); }
    void receive(transfer& in, int from, std::span<std::byte> bytes) { world_.receive(in, from, bytes); }
    bool is_done(transfer& t) { return world_.is_done(t); }
    void wait(transfer& t) { world_.wait(t); }

    void send(device_transfer& in, int to, std::span<std::byte const> bytes) {
        note(*in.state_, {const_cast<std::byte*>(bytes.data()), bytes.size(), to, kind::send});
    }
    void receive(device_transfer& in, int from, std::span<std::byte> bytes) {
        note(*in.state_, {bytes.data(), bytes.size(), from, kind::receive});
    }
    /// As `distributed::all_gather`: of all ranks by NCCL's, of some of them pairwise.
    void all_gather(device_transfer& in, group ranks, std::span<std::byte> all) {
        if (ranks.count < size() || size() == 1) return distributed::all_gather(*this, in, ranks, all);
        auto const count = static_cast<std::size_t>(size());
        if (all.size() % count)
            throw error(
                {.rank = rank()},
                std::to_string(all.size()) + " bytes to gather from " + std::to_string(count) + " ranks",
                "equal parts");
        if (all.empty()) return;
        detail::require_room(rank(), in.state_->messages.size(), in.state_->messages.capacity());
        in.state_->messages.push_back({all.data(), all.size() / count, rank(), kind::gather});
    }
    /// Puts what was noted on its way, behind all that `on` has to do until now.
    void depart(device_transfer& in, snug::cuda on) {
        auto& s = *in.state_;
        if (s.departed == s.messages.size()) return;
        require_communicator();
        s.behind = backend::cuda::stream(on);
        backend::cuda::check(cudaEventRecord(s.begun.get(), s.behind), "cudaEventRecord");
        backend::cuda::check(cudaStreamWaitEvent(stream_.get(), s.begun.get(), 0), "cudaStreamWaitEvent");
        if (recorded_ != nullptr) record_departure(s);
        require(ncclGroupStart(), "ncclGroupStart");
        for (; s.departed < s.messages.size(); ++s.departed) begin(s.messages[s.departed]);
        settle(ncclGroupEnd(), "ncclGroupEnd");
        if (recorded_ != nullptr) say_reached(2 * recorded_->departures_.size());
        backend::cuda::check(cudaEventRecord(s.done.get(), stream_.get()), "cudaEventRecord");
        s.is_begun = false;
    }
    /// Never blocks.
    bool is_done(device_transfer& t) { return advance(*t.state_) < 0; }
    void wait(device_transfer& t) {
        auto& s = *t.state_;
        if (s.departed != s.messages.size())
            throw error({.rank = rank()}, "a wait for messages that have not departed", "");
        if (recorded_ != nullptr) return wait_on_device(s);
        detail::yielding_wait([&] { return advance(s); }, deadline,
                              [&](seconds waited) { end_late(s.messages, waited); });
    }

    /// Runs `operations` and the messages in them, as `ops::run_recorded`: always the same ones. From the second run on
    /// the device does all of it by itself, messages in a stream beside that of `on`. Returns when the messages are
    /// over: other ranks are waited for here, with the deadline, and nowhere later. All ranks call it for the same
    /// operations, as often: NCCL wants a message captured on each of its ranks or on none. `its` keeps what this rank was
    /// doing at each message, but not the texts.
    template <class Operations>
    void repeat(snug::cuda on, backend::cuda::recording& recording, repeated_messages& its,
                Operations const& operations) {
        require_communicator();
        // The program waits in the first run, in which NCCL makes its connections.
        if (recording.runs == 0) return backend::cuda::run_recorded_on(on, recording, operations);
        reached().store(0, std::memory_order_relaxed);
        backend::cuda::run_recorded_on(on, recording, [&] {
            struct recorded_for_now {
                recorded_for_now(nccl_beside& in, repeated_messages& its) : world(in) {
                    world.recorded_ = &its;
                }
                ~recorded_for_now() { world.recorded_ = nullptr; }
                nccl_beside& world;
            } const here(*this, its);
            its.departures_.clear();
            operations();
        });
        if (its.departures_.empty()) return;
        backend::cuda::check(cudaEventRecord(its.end_.get(), backend::cuda::stream(on)), "cudaEventRecord");
        its.seen_ = 0;
        auto const step = doing.step;
        detail::yielding_wait([&] { return advance(its, step); }, deadline,
                              [&](seconds waited) { end_late(at(its).messages, waited); });
    }

    seconds& deadline;  ///< of the world beside it
    activity& doing;

  private:
    // What ranks tell each other before NCCL begins.
    struct identity {
        ncclUniqueId id;  // of rank 0: that of all
        std::array<char, 16> device;
        std::int32_t version;
    };

    void join() {
        auto const count = static_cast<std::size_t>(size());
        std::vector<std::byte> room(count * std::max(sizeof(statement), sizeof(identity)));
        transfer talk(world_, messages_to_agree(world_));
        identity mine{};
        statement states;
        states.name("agreement on NCCL");
        doing = {-1, "agreement on NCCL"};
        guarded(world_, talk, std::span(room).first(count * sizeof(statement)), states, [&] {
            choose_device(mine);
            stream_ = backend::cuda::detail::make_stream();
            reached_ = arena(bytes{sizeof(progress)}, backend::cuda::pinned_memory_calls());
            say_reached(0);  // a kernel is loaded when it first runs, which is not for a capture to do
            int version = 0;
            refuse(ncclGetVersion(&version), "ncclGetVersion");
            mine.version = version;
            if (rank() == 0) refuse(ncclGetUniqueId(&mine.id), "ncclGetUniqueId");
        });
        auto const at = [&](int rank) {
            return room.data() + static_cast<std::size_t>(rank) * sizeof(identity);
        };
        std::memcpy(at(rank()), &mine, sizeof mine);
        distributed::all_gather(world_, talk, std::span(room).first(count * sizeof(identity)));
        world_.wait(talk);
        std::vector<identity> all(count);
        std::memcpy(all.data(), room.data(), count * sizeof(identity));
        for (int r = 1; r < size(); ++r) require_another(all, r);

        doing = {-1, "start of NCCL"};
        ncclConfig_t config = NCCL_CONFIG_INITIALIZER;
        config.blocking = 0;
        settle(ncclCommInitRankConfig(&communicator_, size(), all[0].id, rank(), &config),
               "ncclCommInitRankConfig");
    }

    /// The device of this rank, for this thread.
    void choose_device(identity& mine) const {
        backend::cuda::require_device();
        int here = 0;
        backend::cuda::check(cudaGetDeviceCount(&here), "cudaGetDeviceCount");
        int const local = [&] {
            if constexpr (requires { world_.local_rank(); }) return world_.local_rank();
            else return rank();
        }();
        backend::cuda::check(cudaSetDevice(local % here), "cudaSetDevice");
        backend::cuda::require_device();
        cudaDeviceProp properties;
        backend::cuda::check(cudaGetDeviceProperties(&properties, local % here), "cudaGetDeviceProperties");
        static_assert(sizeof properties.uuid == sizeof mine.device);
        std::memcpy(mine.device.data(), &properties.uuid, sizeof properties.uuid);
    }

    // Every rank has the same list, so all of them throw alike.
    static void require_another(std::vector<identity> const& all, int rank) {
        auto const& mine = all[static_cast<std::size_t>(rank)];
        for (int other = 0; other < rank; ++other)
            if (all[static_cast<std::size_t>(other)].device == mine.device)
                throw error(
                    {.rank = rank}, "the device of rank " + std::to_string(other),
                    "one for each rank, as NCCL wants it; over<distributed::mpi> takes one for several");
        auto const words = [](std::int32_t version) {
            return "version " + std::to_string(version) + " of NCCL";
        };
        if (mine.version != all[0].version)
            throw error({.rank = rank}, words(mine.version), words(all[0].version) + " as on rank 0");
    }

    // As threads and MPI check a message.
    void note(state& s, message const& m) {
        if (m.size == 0) return;
        detail::require_other(rank(), size(), m.other);
        detail::require_room(rank(), s.messages.size(), s.messages.capacity());
        s.messages.push_back(m);
    }

    void begin(message const& m) {
        auto* const stream = stream_.get();
        switch (m.what) {
        case kind::send:
            return require(ncclSend(m.bytes, m.size, ncclUint8, m.other, communicator_, stream), "ncclSend");
        case kind::receive:
            return require(ncclRecv(m.bytes, m.size, ncclUint8, m.other, communicator_, stream), "ncclRecv");
        case kind::gather:
            return require(ncclAllGather(m.bytes + static_cast<std::size_t>(m.other) * m.size, m.bytes,
                                         m.size, ncclUint8, communicator_, stream),
                           "ncclAllGather");
        }
    }

    // -1: all have come and gone; 0: they are on their way. The device's own work before them is no waiting for others.
    int advance(state& s) {
        if (s.departed == 0) return -1;
        require_communicator();
        if (!s.is_begun) {
            s.is_begun = is_over(s.begun.get());
            return 1;
        }
        require(error_of_others(), "NCCL");
        if (!is_over(s.done.get())) return 0;
        s.messages.clear();
        s.departed = 0;
        return -1;
    }

    // In what is repeated: 2n + 1 when the device has come to departure n, and 2n + 2 when its messages are over.
    std::atomic_ref<progress> reached() const {
        return std::atomic_ref<progress>(*reinterpret_cast<progress*>(reached_.data()));
    }
    void say_reached(std::size_t number) const {
        cudaLaunchConfig_t config{};
        config.gridDim = config.blockDim = dim3(1);
        config.stream = stream_.get();
        backend::cuda::check(
            cudaLaunchKernelEx(&config, detail::say_reached<progress>,
                               static_cast<progress volatile*>(reinterpret_cast<progress*>(reached_.data())),
                               static_cast<progress>(number)),
            "cudaLaunchKernelEx");
    }
    void record_departure(state const& s) {
        auto const first = s.messages.begin() + static_cast<std::ptrdiff_t>(s.departed);
        recorded_->departures_.push_back({{first, s.messages.end()}, doing});
        say_reached(2 * recorded_->departures_.size() - 1);
    }
    // What comes after it on the device comes after the messages.
    static void wait_on_device(state& s) {
        if (s.departed == 0) return;
        backend::cuda::check(cudaStreamWaitEvent(s.behind, s.done.get(), 0), "cudaStreamWaitEvent");
        s.messages.clear();
        s.departed = 0;
    }
    // The departure that the device is at, or will come to next.
    static departure const& at(repeated_messages const& its) {
        return its.departures_[std::min<std::size_t>(its.seen_ / 2, its.departures_.size() - 1)];
    }
    // -1: all messages are over; 0: the device waits for some of them. Its own work before them is no waiting for others.
    int advance(repeated_messages& its, std::int64_t step) {
        require_communicator();
        auto const before = std::exchange(its.seen_, reached().load(std::memory_order_acquire));
        if (its.seen_ == 2 * its.departures_.size()) return -1;
        doing = at(its).doing;
        doing.step = step;
        require(error_of_others(), "NCCL");
        (void)is_over(its.end_.get());  // for errors of the device's
        return its.seen_ != before || its.seen_ % 2 == 0 ? 1 : 0;
    }

    static bool is_over(cudaEvent_t e) {
        auto const result = cudaEventQuery(e);
        if (result == cudaErrorNotReady) (void)cudaGetLastError();
        else backend::cuda::check(result, "cudaEventQuery");
        return result == cudaSuccess;
    }

    // What has become of calls that had not ended, and of messages under way.
    ncclResult_t error_of_others() const {
        auto result = ncclSuccess;
        auto const asked = ncclCommGetAsyncError(communicator_, &result);
        return asked == ncclSuccess ? result : asked;
    }

    std::string words_of(ncclResult_t result, char const* call) const {
        return std::string(ncclGetErrorString(result)) + " from " + call;
    }
    // An error that every rank hears of.
    void refuse(ncclResult_t result, char const* call) const {
        if (result != ncclSuccess) throw error({.rank = rank()}, words_of(result, call), "");
    }
    void require(ncclResult_t result, char const* call) {
        if (result == ncclSuccess || result == ncclInProgress) return;
        // A moment for that rank to say what it was.
        if (result == ncclRemoteError) ::usleep(300'000);
        end(words_of(result, call), "");
    }
    /// Waits until a call that does not block has done what it says.
    void settle(ncclResult_t result, char const* call) {
        require(result, call);
        if (result == ncclSuccess) return;
        detail::yielding_wait(
            [&] {
                auto const now = error_of_others();
                require(now, call);
                return now == ncclSuccess ? -1 : 0;
            },
            deadline,
            [&](seconds waited) {
                char what[96];
                std::snprintf(what, sizeof what, "nothing from %s for %.1f s", call, waited.count());
                end(what, "an answer");
            });
    }

    [[noreturn]] void end_late(std::vector<message> const& messages, seconds waited) {
        // NCCL says no more than that some have not come.
        std::string others;
        int count = 0;
        auto const add = [&](int other) { (others += count++ ? ", " : "") += std::to_string(other); };
        for (auto const& m : messages) {
            if (m.what == kind::receive) add(m.other);
            if (m.what != kind::gather) continue;
            others.clear(), count = 0;
            for (int r = 0; r < size(); ++r)
                if (r != rank()) add(r);
            break;
        }
        bool const receiving = count > 0;
        if (!receiving)
            for (auto const& m : messages) add(m.other);
        char time[32];
        std::snprintf(time, sizeof time, " for %.1f s", waited.count());
        end((receiving ? "nothing from " : "nothing taken by ") +
                std::string(count == 1 ? "rank " : "one of the ranks ") + others + time,
            "an answer");
    }

    // The world beside it ends everybody's run: processes end here, and their kernels with them, where NCCL's abort
    // might wait; threads throw, and then nothing that a device does may go on waiting.
    [[noreturn]] void end(std::string const& found, std::string const& expected) {
        try {
            world_.end(found, expected);
        } catch (...) {
            abort();
            throw;
        }
    }
    void abort() noexcept {
        if (communicator_ != nullptr) (void)ncclCommAbort(communicator_);
        communicator_ = nullptr;
    }
    void require_communicator() const {
        if (communicator_ == nullptr) throw error({.rank = rank()}, "a message after NCCL was given up", "");
    }

    // Messages that nobody waited for: their memory may go next.
    void leave(state& s) noexcept {
        if (s.departed == 0 || communicator_ == nullptr) return;
        if (std::uncaught_exceptions() > exceptions_) return abort();
        try {
            detail::yielding_wait([&] { return advance(s); }, deadline,
                                  [&](seconds waited) { end_late(s.messages, waited); });
        } catch (...) {
            abort();
        }
    }

    World& world_;
    arena reached_;  // one number, in pinned memory
    backend::cuda::detail::owned<cudaStream_t> stream_;
    ncclComm_t communicator_ = nullptr;
    repeated_messages* recorded_ = nullptr;  // while operations are captured
    int exceptions_;
};

}  // namespace distributed
}  // namespace snug::SNUG_TARGET
