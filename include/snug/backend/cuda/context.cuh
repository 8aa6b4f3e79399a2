// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cublasLt.h>
#include <cuda_runtime.h>

#include <array>
#include <map>
#include <memory>
#include <snug/backend/cuda/check.cuh>
#include <snug/backend/cuda/library_plan.cuh>
#include <snug/backend/cuda/tag.hpp>
#include <snug/ops/pages.hpp>
#include <string>
#include <type_traits>

namespace snug::SNUG_TARGET::backend::cuda {

/// Kernels are written for this compute capability and later ones: asynchronous copies, bf16 on tensor cores.
inline constexpr int oldest_major = 8;

/// Throws `snug::error` unless the current device can run the kernels.
inline void require_device() {
    int count = 0;
    if (auto const result = cudaGetDeviceCount(&count); result != cudaSuccess || count == 0) {
        (void)cudaGetLastError();
        throw error({}, std::string("no CUDA device (") + cudaGetErrorString(result) + ")",
                    "a device of compute capability 8.0 or later and its driver");
    }
    int device = 0, major = 0, minor = 0;
    check(cudaGetDevice(&device), "cudaGetDevice");
    check(cudaDeviceGetAttribute(&major, cudaDevAttrComputeCapabilityMajor, device),
          "cudaDeviceGetAttribute");
    check(cudaDeviceGetAttribute(&minor, cudaDevAttrComputeCapabilityMinor, device),
          "cudaDeviceGetAttribute");
    if (major < oldest_major)
        throw error(
            {},
            "a device too old, of compute capability " + std::to_string(major) + "." + std::to_string(minor),
            "8.0 or later");
}

namespace detail {

struct destroy {
    void operator()(cudaStream_t it) const { (void)cudaStreamDestroy(it); }
    void operator()(cudaEvent_t it) const { (void)cudaEventDestroy(it); }
    void operator()(cublasLtHandle_t it) const { (void)cublasLtDestroy(it); }
};
template <class Handle>
using owned = std::unique_ptr<std::remove_pointer_t<Handle>, destroy>;

/// Not the default stream, which no graph can capture.
inline owned<cudaStream_t> make_stream() {
    cudaStream_t made = nullptr;
    cuda::check(cudaStreamCreateWithFlags(&made, cudaStreamNonBlocking), "cudaStreamCreateWithFlags");
    return owned<cudaStream_t>(made);
}
inline owned<cudaEvent_t> make_event() {
    cudaEvent_t made = nullptr;
    cuda::check(cudaEventCreateWithFlags(&made, cudaEventDisableTiming), "cudaEventCreateWithFlags");
    return owned<cudaEvent_t>(made);
}
inline owned<cublasLtHandle_t> make_library() {
    cublasLtHandle_t made = nullptr;
    check(cublasLtCreate(&made), "cublasLtCreate");
    return owned<cublasLtHandle_t>(made);
}

/// A stream for each direction in which pages travel, and the events of the slots.
struct page_traffic {
    struct slot {
        owned<cudaEvent_t> free = make_event(), here = make_event(), updated = make_event(),
                           away = make_event();
    };
    owned<cudaStream_t> in = make_stream(), out = make_stream();
    std::array<slot, ops::all_slots> slots{};
};

}  // namespace detail

/// What `tag` points to. One thread at a time may use it; two of them have nothing in common. Throws
/// `snug::error` where no device can run the kernels.
class execution {
  public:
    execution() {
        require_device();
        stream_ = detail::make_stream();
        library_ = detail::make_library();
    }
    execution(execution const&) = delete;
    execution& operator=(execution const&) = delete;
    ~execution() {
        // The runtime may be gone before a static trainer is: what it has made is gone with it.
        if (cudaStreamSynchronize(stream_.get()) == cudaErrorCudartUnloading) (void)library_.release();
    }

    /// Of all kernels, and of all copies but those of pages.
    cudaStream_t stream() const { return stream_.get(); }
    cublasLtHandle_t library() const { return library_.get(); }
    /// The plans for a kind of product; memory of the host is allocated for one that is seen for the first
    /// time.
    detail::library_plans& plans(void const* kind) { return plans_[kind]; }
    /// Made when it is first asked for.
    detail::page_traffic& pages() {
        if (pages_ == nullptr) pages_ = std::make_unique<detail::page_traffic>();
        return *pages_;
    }

  private:
    detail::owned<cudaStream_t> stream_;
    detail::owned<cublasLtHandle_t> library_;
    std::map<void const*, detail::library_plans> plans_;
    std::unique_ptr<detail::page_traffic> pages_;
};

inline context make_context() {
    return {new execution, [](execution* state) { delete state; }};
}

inline execution& execution_of(tag on) {
    if (on.state == nullptr)
        throw error({}, "an operation on a snug::cuda that was made by default",
                    "the one that the `on()` of a context gives: a trainer's, or what ops::prepare returns");
    return *on.state;
}

inline cudaStream_t stream(tag on) { return execution_of(on).stream(); }

/// The host waits for all that the context's stream has to do.
inline void synchronize(tag on) { check(cudaStreamSynchronize(stream(on)), "cudaStreamSynchronize"); }

}  // namespace snug::SNUG_TARGET::backend::cuda
