// SPDX-License-Identifier: Apache-2.0
// Tests of kernels are written once, for a GPU and for its stand-in (tests/emulation). What only the stand-in can show stays
// in tests/emulated.
#pragma once

#include <cuda_runtime.h>

#include <algorithm>
#include <catch2/catch.hpp>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <snug/backend/cuda/copy.cuh>
#include <snug/backend/cuda/memory.cuh>
#include <vector>

namespace snug_test {

#if defined(SNUG_CUDA_EMULATION)
inline constexpr bool is_emulated = true;
inline std::int64_t launches() { return emulation::counted().launches; }
inline std::int64_t shared_conflicts() { return emulation::counted().shared_conflicts; }
#else
inline constexpr bool is_emulated = false;
// A GPU counts neither.
inline std::int64_t launches() { return 0; }
inline std::int64_t shared_conflicts() { return 0; }
#endif

/// The context of what a test does itself.
inline snug::backend::cuda::tag on() {
    static auto const only = snug::backend::cuda::make_context();
    return only.on();
}

/// Numbers in memory of the device, from `offset` elements after a multiple of 256 bytes on, in an allocation of their own that
/// ends where they end. Until they are written all bits are set: a NaN in every format here, which no comparison lets pass.
/// Copies are in the order of the operations, as snug's own.
template <class T>
class device_array {
  public:
    explicit device_array(std::size_t size, snug::index_t offset = 0)
        : size_(size), skipped_(static_cast<std::size_t>(offset) * sizeof(T)) {
        namespace cuda = snug::backend::cuda;
        memory_ = static_cast<std::byte*>(
            cuda::device_memory_calls().allocate(256, std::max<std::size_t>(skipped_ + bytes(), 1)));
        REQUIRE(memory_ != nullptr);
        if (bytes() > 0)
            cuda::check(cudaMemsetAsync(data(), 0xFF, bytes(), cuda::stream(on())), "cudaMemsetAsync");
    }
    explicit device_array(std::vector<T> const& values, snug::index_t offset = 0)
        : device_array(values.size(), offset) {
        assign(values.data());
    }
    device_array(device_array const&) = delete;
    device_array& operator=(device_array const&) = delete;
    ~device_array() { snug::backend::cuda::device_memory_calls().release(memory_); }

    T* data() const { return reinterpret_cast<T*>(memory_ + skipped_); }
    std::size_t size() const { return size_; }

    void assign(T const* from) {
        if (bytes() > 0) snug::backend::cuda::copy_to_device(on(), data(), from, bytes());
    }
    std::vector<T> values() const {
        std::vector<T> result(size_);
        if (bytes() > 0) snug::backend::cuda::copy_to_host(on(), result.data(), data(), bytes());
        snug::backend::cuda::synchronize(on());
        return result;
    }

  private:
    std::size_t bytes() const { return size_ * sizeof(T); }

    std::size_t size_, skipped_;
    std::byte* memory_;
};

template <class T>
bool same_bits(std::vector<T> const& a, std::vector<T> const& b) {
    return a.size() == b.size() && (a.empty() || std::memcmp(a.data(), b.data(), a.size() * sizeof(T)) == 0);
}

}  // namespace snug_test
