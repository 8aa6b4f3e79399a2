// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cuda_runtime.h>

#include <array>
#include <cstddef>
#include <snug/backend/cuda/context.cuh>
#include <snug/backend/cuda/tag.hpp>

/// Pages of paged states: a stream for each direction beside that of the kernels, so that one page comes while another is
/// updated and a third leaves.
namespace snug::backend::cuda {

namespace detail {

struct page_traffic {
    struct slot {
        cudaEvent_t free = nullptr, here = nullptr, updated = nullptr, away = nullptr;
    };
    cudaStream_t in = nullptr, out = nullptr;
    std::array<slot, 2> slots{};
};

/// Made when it is first asked for and never destroyed, as `stream()`.
inline page_traffic& pages() {
    static auto& only = *[] {
        (void)stream();
        auto* const made = new page_traffic;
        for (auto* s : {&made->in, &made->out})
            cuda::check(cudaStreamCreateWithFlags(s, cudaStreamNonBlocking), "cudaStreamCreateWithFlags");
        for (auto& slot : made->slots)
            for (auto* event : {&slot.free, &slot.here, &slot.updated, &slot.away})
                cuda::check(cudaEventCreateWithFlags(event, cudaEventDisableTiming),
                            "cudaEventCreateWithFlags");
        return made;
    }();
    return only;
}

inline void wait(cudaStream_t s, cudaEvent_t event) {
    cuda::check(cudaStreamWaitEvent(s, event, 0), "cudaStreamWaitEvent");
}
inline void record(cudaEvent_t event, cudaStream_t s) {
    cuda::check(cudaEventRecord(event, s), "cudaEventRecord");
}

}  // namespace detail

/// The slot's memory is the passes' too, until they are over: so the page waits for all operations that came before.
inline void page_in_on(tag, int slot, void* to, void const* from, std::size_t size) {
    auto& traffic = detail::pages();
    auto const& s = traffic.slots[static_cast<std::size_t>(slot)];
    detail::record(s.free, stream());
    detail::wait(traffic.in, s.free);
    detail::wait(traffic.in, s.away);
    check(cudaMemcpyAsync(to, from, size, cudaMemcpyHostToDevice, traffic.in), "cudaMemcpyAsync of a page");
    detail::record(s.here, traffic.in);
}

inline void page_is_here_on(tag, int slot) {
    detail::wait(stream(), detail::pages().slots[static_cast<std::size_t>(slot)].here);
}

inline void page_out_on(tag, int slot, void* to, void const* from, std::size_t size) {
    auto& traffic = detail::pages();
    auto const& s = traffic.slots[static_cast<std::size_t>(slot)];
    detail::record(s.updated, stream());
    detail::wait(traffic.out, s.updated);
    check(cudaMemcpyAsync(to, from, size, cudaMemcpyDeviceToHost, traffic.out), "cudaMemcpyAsync of a page");
    detail::record(s.away, traffic.out);
}

inline void pages_are_away_on(tag) {
    for (auto const& slot : detail::pages().slots) detail::wait(stream(), slot.away);
}

}  // namespace snug::backend::cuda
