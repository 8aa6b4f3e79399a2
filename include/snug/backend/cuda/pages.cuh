// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cuda_runtime.h>

#include <cstddef>
#include <snug/backend/cuda/context.cuh>
#include <snug/backend/cuda/tag.hpp>
#include <snug/ops/pages.hpp>

/// Pages of paged states, and activations that are offloaded: a stream for each direction beside that of the kernels,
/// so that one comes while another is worked on and a third leaves.
namespace snug::SNUG_TARGET::backend::cuda {

namespace detail {

inline void wait(cudaStream_t s, cudaEvent_t event) {
    cuda::check(cudaStreamWaitEvent(s, event, 0), "cudaStreamWaitEvent");
}
inline void record(cudaEvent_t event, cudaStream_t s) {
    cuda::check(cudaEventRecord(event, s), "cudaEventRecord");
}

}  // namespace detail

/// The slot's memory is the passes' too, until they are over: so the page waits for all operations that came before.
inline void page_in_on(tag on, int slot, void* to, void const* from, std::size_t size) {
    auto& traffic = execution_of(on).pages();
    auto const& s = traffic.slots[static_cast<std::size_t>(slot)];
    detail::record(s.free.get(), stream(on));
    detail::wait(traffic.in.get(), s.free.get());
    detail::wait(traffic.in.get(), s.away.get());
    check(cudaMemcpyAsync(to, from, size, cudaMemcpyHostToDevice, traffic.in.get()),
          "cudaMemcpyAsync of a page");
    detail::record(s.here.get(), traffic.in.get());
}

inline void page_is_here_on(tag on, int slot) {
    detail::wait(stream(on), execution_of(on).pages().slots[static_cast<std::size_t>(slot)].here.get());
}

inline void page_out_on(tag on, int slot, void* to, void const* from, std::size_t size) {
    auto& traffic = execution_of(on).pages();
    auto const& s = traffic.slots[static_cast<std::size_t>(slot)];
    detail::record(s.updated.get(), stream(on));
    detail::wait(traffic.out.get(), s.updated.get());
    check(cudaMemcpyAsync(to, from, size, cudaMemcpyDeviceToHost, traffic.out.get()),
          "cudaMemcpyAsync of a page");
    detail::record(s.away.get(), traffic.out.get());
}

inline void page_is_away_on(tag on, int slot) {
    detail::wait(stream(on), execution_of(on).pages().slots[static_cast<std::size_t>(slot)].away.get());
}
inline void pages_are_away_on(tag on) {
    for (int slot = 0; slot < ops::page_slots; ++slot) page_is_away_on(on, slot);
}

}  // namespace snug::SNUG_TARGET::backend::cuda
