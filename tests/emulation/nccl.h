// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <atomic>
#include <deque>

#include "cuda_runtime.h"

/// A stand-in for NVIDIA's header of this name, for tests: the part that include/snug/distributed/nccl.cuh uses, for
/// ranks that are threads of one process, each with a device of its own number. Groups are tasks of their streams,
/// which are over when all that they send and receive has come and gone. Only memory of devices is taken.
#define NCCL_MAJOR 2
#define NCCL_MINOR 28
#define NCCL_PATCH 9
#define NCCL_VERSION_CODE 22809
#define NCCL_VERSION(X, Y, Z) (((X) <= 2 && (Y) <= 8) ? (X)*1000 + (Y)*100 + (Z) : (X)*10000 + (Y)*100 + (Z))
#define NCCL_UNIQUE_ID_BYTES 128

struct ncclUniqueId {
    char internal[NCCL_UNIQUE_ID_BYTES];
};
enum ncclResult_t {
    ncclSuccess = 0,
    ncclUnhandledCudaError = 1,
    ncclSystemError = 2,
    ncclInternalError = 3,
    ncclInvalidArgument = 4,
    ncclInvalidUsage = 5,
    ncclRemoteError = 6,
    ncclInProgress = 7
};
enum ncclDataType_t { ncclInt8 = 0, ncclUint8 = 1 };
struct ncclConfig_t {
    int blocking;
};
#define NCCL_CONFIG_INITIALIZER \
    { 1 }

namespace emulation {

/// What goes wrong in NCCL, for tests: in call `call`, from 0, of those of `rank` that send, receive or gather, each
/// launch of a graph counting as all that were captured; none of its calls is refused any more.
struct nccl_fault {
    enum class kind { none, is_refused, fails_later, is_lost };
    kind what = kind::none;
    int rank = 0;
    int call = 0;
};
inline nccl_fault& fault_of_nccl() {
    static nccl_fault only;
    return only;
}
/// Calls that send, receive or gather, of a graph when it was captured, and those that began a group of them, of all
/// ranks since the program began; and groups that came last (see `device_state`) and let some work of their device that was begun later go before them.
struct nccl_counts {
    std::int64_t sends = 0, receives = 0, gathers = 0, groups = 0;
    std::int64_t passed_gathers = 0, passed_exchanges = 0;
};
inline nccl_counts& counted_of_nccl() {
    static nccl_counts only;
    return only;
}

struct nccl_message {
    std::byte* bytes;
    std::size_t size;
    bool is_done = false;
};
using nccl_messages = std::deque<std::shared_ptr<nccl_message>>;

// The ranks of one unique id.
struct nccl_hub {
    explicit nccl_hub(int n) : size(n), devices(static_cast<std::size_t>(n), -1) {
        sent.resize(static_cast<std::size_t>(n * n));
        wanted = sent;
    }
    int size, joined = 0;
    std::vector<int> devices;
    bool is_broken = false;                   // a rank has given it up
    std::vector<nccl_messages> sent, wanted;  // by sender and receiver, in order
};
inline std::map<int, std::weak_ptr<nccl_hub>>& hubs_of_nccl() {
    static std::map<int, std::weak_ptr<nccl_hub>> all;
    return all;
}

struct nccl_communicator {
    std::shared_ptr<nccl_hub> hub;
    int rank;
    int calls = 0;
    ncclResult_t error = ncclSuccess;
    bool is_gone = false;  // what its streams still have to do is over
};

struct nccl_part {
    bool is_receive;
    int other;
    std::shared_ptr<nccl_message> message;
};
struct nccl_group {
    std::shared_ptr<nccl_communicator> of;
    stream* in;
    std::vector<nccl_part> parts{};
    std::vector<std::function<void()>> copies{};  // of the own part of a gather
    int calls = 0;
    bool gathers = false, is_begun = false, is_lost = false;

    /// Has made so many calls: whether one of them goes wrong.
    static bool meets_fault(nccl_communicator& its, int calls) {
        auto const& wrong = fault_of_nccl();
        auto const first = std::exchange(its.calls, its.calls + calls);
        bool const is_wrong = wrong.what != nccl_fault::kind::none && wrong.rank == its.rank &&
                              first <= wrong.call && wrong.call < its.calls;
        if (is_wrong && wrong.what == nccl_fault::kind::fails_later) its.error = ncclSystemError;
        return is_wrong;
    }
    task as_task() const {
        auto const its = std::make_shared<nccl_group>(*this);
        return {[] {}, true, [its] { return its->is_over(); }};
    }
    /// The same messages as one launch of a graph sends them.
    task launched(stream* lane) const {
        auto its = *this;
        its.in = lane;
        for (auto& p : its.parts)
            p.message = std::make_shared<nccl_message>(nccl_message{p.message->bytes, p.message->size});
        its.is_lost = meets_fault(*of, calls) || is_lost;
        return its.as_task();
    }

    /// When its turn has come in its stream, and from then on.
    bool is_over() {
        auto& hub = *of->hub;
        // Of a rank that has given it up the memory may be gone.
        if (of->is_gone || is_lost || hub.is_broken) return of->is_gone;
        auto const at = [&](int from, int to) { return static_cast<std::size_t>(from * hub.size + to); };
        if (!std::exchange(is_begun, true)) {
            if (device().messages_late && let_others_pass())
                ++(gathers ? counted_of_nccl().passed_gathers : counted_of_nccl().passed_exchanges);
            for (auto const& copy : copies) run(copy);
            for (auto const& p : parts)
                if (p.is_receive) hub.wanted[at(p.other, of->rank)].push_back(p.message);
                else hub.sent[at(of->rank, p.other)].push_back(p.message);
        }
        for (int other = 0; other < hub.size; ++other) {
            meet(hub.sent[at(other, of->rank)], hub.wanted[at(other, of->rank)]);
            meet(hub.sent[at(of->rank, other)], hub.wanted[at(of->rank, other)]);
        }
        return std::all_of(parts.begin(), parts.end(), [](auto const& p) { return p.message->is_done; });
    }

  private:
    /// Does what other streams of its device can do without it; true: there was some.
    bool let_others_pass() const {
        bool found = false;
        for (bool again = true; std::exchange(again, false);)
            for (auto* s : device().streams)
                for (; s != in && s->device == in->device && may_do_next(*s); do_next(*s))
                    again = found = true;
        return found;
    }
    void meet(nccl_messages& sent, nccl_messages& wanted) {
        for (; !sent.empty() && !wanted.empty(); sent.pop_front(), wanted.pop_front()) {
            auto &from = *sent.front(), &to = *wanted.front();
            if (from.size != to.size) throw failure("NCCL moves as much as was asked for");
            run([&] { std::memcpy(to.bytes, from.bytes, to.size); });
            from.is_done = to.is_done = true;
        }
    }
};
inline thread_local std::vector<nccl_group> open_groups;
inline thread_local int open_nccl_calls = 0;

inline bool is_device_memory(void const* p, std::size_t size) {
    auto const& memory = device().memory;
    auto next = memory.upper_bound(const_cast<void*>(p));
    if (next == memory.begin()) return false;
    --next;
    auto const* const first = static_cast<std::byte const*>(p);
    return first + size <= static_cast<std::byte const*>(next->second.first) + next->second.second;
}

}  // namespace emulation

using ncclComm_t = std::shared_ptr<emulation::nccl_communicator>*;

inline char const* ncclGetErrorString(ncclResult_t result) {
    switch (result) {
    case ncclSuccess: return "no error";
    case ncclUnhandledCudaError: return "unhandled cuda error";
    case ncclSystemError: return "unhandled system error";
    case ncclInternalError: return "internal error";
    case ncclInvalidArgument: return "invalid argument";
    case ncclInvalidUsage: return "invalid usage";
    case ncclRemoteError: return "remote process exited or there was a network error";
    case ncclInProgress: return "NCCL operation in progress";
    }
    return "unknown result code";
}
inline ncclResult_t ncclGetVersion(int* version) {
    *version = NCCL_VERSION_CODE;
    return ncclSuccess;
}
inline ncclResult_t ncclGetUniqueId(ncclUniqueId* id) {
    static std::atomic<int> next = 1;
    *id = {};
    int const number = next++;
    std::memcpy(id->internal, &number, sizeof number);
    return ncclSuccess;
}

inline ncclResult_t ncclCommInitRankConfig(ncclComm_t* made, int size, ncclUniqueId id, int rank,
                                           ncclConfig_t* config) {
    auto const alone = emulation::lock();
    if (config->blocking != 0) throw emulation::failure("only communicators that do not block are emulated");
    int number = 0;
    std::memcpy(&number, id.internal, sizeof number);
    auto& known = emulation::hubs_of_nccl()[number];
    auto hub = known.lock();
    if (!hub) known = hub = std::make_shared<emulation::nccl_hub>(size);
    for (int const device : hub->devices)
        if (device == emulation::current_device) return ncclInvalidUsage;
    hub->devices[static_cast<std::size_t>(rank)] = emulation::current_device;
    ++hub->joined;
    *made = new std::shared_ptr<emulation::nccl_communicator>(
        new emulation::nccl_communicator{std::move(hub), rank});
    return ncclInProgress;
}
inline ncclResult_t ncclCommGetAsyncError(ncclComm_t c, ncclResult_t* result) {
    auto const alone = emulation::lock();
    auto const& its = **c;
    *result = its.error != ncclSuccess          ? its.error
              : its.hub->is_broken              ? ncclRemoteError
              : its.hub->joined < its.hub->size ? ncclInProgress
                                                : ncclSuccess;
    return ncclSuccess;
}
inline ncclResult_t ncclCommFinalize(ncclComm_t) { return ncclSuccess; }
inline ncclResult_t ncclCommDestroy(ncclComm_t c) {
    auto const alone = emulation::lock();
    (*c)->is_gone = true;
    delete c;
    return ncclSuccess;
}
inline ncclResult_t ncclCommAbort(ncclComm_t c) {
    auto const alone = emulation::lock();
    (*c)->hub->is_broken = true;
    return ncclCommDestroy(c);
}

inline ncclResult_t ncclGroupStart() {
    ++emulation::open_nccl_calls;
    return ncclSuccess;
}
inline ncclResult_t ncclGroupEnd() {
    auto const alone = emulation::lock();
    if (--emulation::open_nccl_calls > 0) return ncclSuccess;
    for (auto& its : std::exchange(emulation::open_groups, {})) {
        ++emulation::counted_of_nccl().groups;
        auto one = its.as_task();
        one.anew = [its](emulation::stream* lane) { return its.launched(lane); };
        emulation::enqueue(its.in, std::move(one));
    }
    return ncclInProgress;
}

namespace emulation {

/// Adds a call to the open group of its stream: f(group).
template <class F>
ncclResult_t add_to_group(ncclComm_t c, stream* s, void const* bytes, std::size_t size, F const& f) {
    auto const alone = lock();
    auto& its = **c;
    if (!is_device_memory(bytes, size)) return ncclInvalidArgument;
    if (open_nccl_calls == 0) throw failure("a call of NCCL outside a group");
    bool const is_wrong = nccl_group::meets_fault(its, 1);
    if (is_wrong && fault_of_nccl().what == nccl_fault::kind::is_refused) return ncclInternalError;
    auto found =
        std::find_if(open_groups.begin(), open_groups.end(), [&](auto const& g) { return g.in == s; });
    if (found == open_groups.end()) found = open_groups.insert(found, nccl_group{*c, s});
    found->is_lost = found->is_lost || is_wrong;
    ++found->calls;
    f(*found);
    return ncclSuccess;
}
inline nccl_part part_of(bool is_receive, int other, void const* bytes, std::size_t size) {
    auto* const first = static_cast<std::byte*>(const_cast<void*>(bytes));
    return {is_receive, other, std::make_shared<nccl_message>(nccl_message{first, size})};
}

}  // namespace emulation

inline ncclResult_t ncclSend(void const* bytes, std::size_t count, ncclDataType_t, int to, ncclComm_t c,
                             cudaStream_t s) {
    return emulation::add_to_group(c, s, bytes, count, [&](auto& group) {
        ++emulation::counted_of_nccl().sends;
        group.parts.push_back(emulation::part_of(false, to, bytes, count));
    });
}
inline ncclResult_t ncclRecv(void* bytes, std::size_t count, ncclDataType_t, int from, ncclComm_t c,
                             cudaStream_t s) {
    return emulation::add_to_group(c, s, bytes, count, [&](auto& group) {
        ++emulation::counted_of_nccl().receives;
        group.parts.push_back(emulation::part_of(true, from, bytes, count));
    });
}
inline ncclResult_t ncclAllGather(void const* own, void* all, std::size_t count, ncclDataType_t, ncclComm_t c,
                                  cudaStream_t s) {
    auto const ranks = static_cast<std::size_t>((*c)->hub->size);
    return emulation::add_to_group(c, s, all, ranks * count, [&](auto& group) {
        ++emulation::counted_of_nccl().gathers;
        group.gathers = true;
        auto const at = [=](int rank) {
            return static_cast<std::byte*>(all) + static_cast<std::size_t>(rank) * count;
        };
        int const rank = (*c)->rank;
        if (at(rank) != own) group.copies.push_back([=] { std::memcpy(at(rank), own, count); });
        for (int other = 0; other < (*c)->hub->size; ++other) {
            if (other == rank) continue;
            group.parts.push_back(emulation::part_of(false, other, own, count));
            group.parts.push_back(emulation::part_of(true, other, at(other), count));
        }
    });
}
