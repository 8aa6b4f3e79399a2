// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cuda_runtime.h>

#include <snug/backend/cuda/decode.cuh>
#include <snug/backend/cuda/intrinsics.cuh>
#include <snug/memory/tensor.hpp>
#include <snug/meta.hpp>
#include <snug/quantization/matrix.hpp>

/// Teams of a device: the lanes of a warp or the threads of a block share the elements of a row. `sum`, `largest` and `map` give
/// each lane groups of neighbours, so that nvcc reads and writes 16 bytes at a time where it knows how rows are aligned: of a
/// pointer that a kernel is given it has to be said (`std::assume_aligned`), of the sums of such a pointer and multiples it finds
/// out, but an assumption about a sum is lost; `for_each`, whose function may read and write as it likes, gives
/// neighbours to neighbouring lanes. The order of a sum depends on the length and the team only. All lanes get the
/// same bits.
namespace snug::SNUG_TARGET::backend::cuda {

namespace detail {

/// Neighbours that one lane takes: 16 bytes of the 16-bit formats.
inline constexpr int group_size = 8;

/// f(i) for the elements i that are lane `lane` of `Lanes`; of the groups, `prepare(i)` for all elements comes before f(i, prepared)
/// of the first. What no group is left for, the first lanes take.
template <index_t Lanes, class Prepare, class F>
__device__ __forceinline__ void for_each_grouped(index_t lane, index_t n, Prepare prepare, F f) {
    using element = decltype(prepare(index_t{}));
    auto const groups = n / group_size;
    for (auto group = lane; group < groups; group += Lanes) {
        auto const first = opaque(group) * group_size;
        element prepared[group_size];
#pragma unroll
        for (int k = 0; k < group_size; ++k) prepared[k] = prepare(first + k);
#pragma unroll
        for (int k = 0; k < group_size; ++k) f(first + k, prepared[k]);
    }
    if (auto const i = groups * group_size + lane; i < n) f(i, prepare(i));
}

struct plus {
    template <class S>
    __device__ __forceinline__ S operator()(S a, S b) const {
        return a + b;
    }
};
struct larger {
    template <class S>
    __device__ __forceinline__ S operator()(S a, S b) const {
        return b > a ? b : a;
    }
};

/// The values of all lanes of a warp, or of `Lanes` that follow each other, combined; every lane gets the result. What
/// lanes read before, others may then write.
template <int Lanes = warp_width, class S, class Combine>
__device__ __forceinline__ S combined_in_warp(S value, Combine combine) {
#pragma unroll
    for (int bit = Lanes / 2; bit > 0; bit /= 2)
        value = combine(value, __shfl_xor_sync(full_warp, value, bit));
    __syncwarp();
    return value;
}

/// The same for the values of all threads of a block of `Threads`.
template <int Threads, class S, class Combine>
__device__ __forceinline__ S combined_in_block(S value, Combine combine) {
    constexpr int warps = Threads / warp_width;
    __shared__ S of_warp[warps];
    value = combined_in_warp(value, combine);
    if (threadIdx.x % warp_width == 0) of_warp[threadIdx.x / warp_width] = value;
    __syncthreads();
    value = of_warp[0];
#pragma unroll
    for (int i = 1; i < warps; ++i) value = combine(value, of_warp[i]);
    __syncthreads();  // the next call writes there again
    return value;
}

}  // namespace detail

/// What both teams share; `Self` has `lanes`, `lane()` and `combined(value, combine)`.
template <class Self>
struct team_of {
    template <class F>
    __device__ __forceinline__ void for_each(index_t n, F f) const {
        for (index_t i = self().lane(); i < n; i += Self::lanes) f(i);
    }

    /// A lane gets the same groups of neighbours for every n, as far as they go.
    template <class F>
    __device__ __forceinline__ void for_each_owned(index_t n, F f) const {
        for (index_t first = self().lane() * detail::group_size; first < n;
             first += Self::lanes * detail::group_size)
#pragma unroll
            for (int k = 0; k < detail::group_size; ++k)
                if (first + k < n) f(first + k);
    }

    template <class Value, class Store>
    __device__ __forceinline__ void map(index_t n, Value value, Store store) const {
        detail::for_each_grouped<Self::lanes>(self().lane(), n, value, store);
    }

    template <class S, class F>
    __device__ __forceinline__ S sum(index_t n, F f) const {
        S total{};
        detail::for_each_grouped<Self::lanes>(self().lane(), n, f, [&](index_t, S value) { total += value; });
        return self().combined(total, detail::plus{});
    }

    template <class S, class F>
    __device__ __forceinline__ S largest(index_t n, F f) const {
        S result = f(0);
        detail::for_each_grouped<Self::lanes>(
            self().lane(), n, f, [&](index_t, S value) { result = value > result ? value : result; });
        return self().combined(result, detail::larger{});
    }

    /// One number of a matrix, quantized or not.
    template <class T, index_t Width, index_t Stride>
    __device__ __forceinline__ float number(matrix<T, Width, Stride> w, index_t row, index_t i) const {
        return static_cast<float>(w.row(row)[i]);
    }
    template <class Scheme, index_t Rows, index_t Width>
    __device__ __forceinline__ float number(quantized_matrix<Scheme, Rows, Width> w, index_t row,
                                            index_t i) const {
        return stored_value<Scheme>(w.stored, row * Width + i);
    }

  private:
    __device__ __forceinline__ Self const& self() const { return static_cast<Self const&>(*this); }
};

/// A warp. Blocks are lines of threads and hold whole warps.
struct warp_team : team_of<warp_team> {
    static constexpr index_t lanes = warp_width;
    static __device__ __forceinline__ index_t lane() { return threadIdx.x % warp_width; }

    template <class S, class Combine>
    __device__ __forceinline__ S combined(S value, Combine combine) const {
        return detail::combined_in_warp(value, combine);
    }
};

/// A block of `Threads` threads.
template <int Threads>
struct block_team : team_of<block_team<Threads>> {
    static_assert(Threads % warp_width == 0 && Threads <= 1024);
    static constexpr index_t lanes = Threads;
    static __device__ __forceinline__ index_t lane() { return threadIdx.x; }

    template <class S, class Combine>
    __device__ __forceinline__ S combined(S value, Combine combine) const {
        return detail::combined_in_block<Threads>(value, combine);
    }
};

}  // namespace snug::SNUG_TARGET::backend::cuda
