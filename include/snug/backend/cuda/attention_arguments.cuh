// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cuda_runtime.h>

#include <cmath>
#include <cstddef>
#include <cstdint>
#include <snug/backend/cuda/attention_sizes.hpp>
#include <snug/backend/cuda/intrinsics.cuh>

/// What the kernels of attention are told, and the two small kernels that every kind of it shares.
namespace snug::SNUG_TARGET::backend::cuda::attending {

/// Scores are kept times log2 e, so that exponentials are powers of two.
inline constexpr double log2_e = 1.4426950408889634;
inline constexpr double ln_2 = 0.6931471805599453;

template <class T, class S>
struct forward_arguments {
    int sequences;
    int tokens;
    index_t past;
    T const* qkv;
    std::int32_t const* starts;
    T* out;
    S* logsumexp;
};

template <class T, class S>
struct backward_arguments {
    using sum = attention_sum<T>;

    int sequences;
    int tokens;
    int padded_tokens;
    T const* qkv;
    std::int32_t const* starts;
    T const* out;
    T const* d_out;
    S const* logsumexp;
    T* d_qkv;
    /// (sequence, head, padded row): the logsumexp to base 2, and the sum of dO ∘ O.
    sum* exponents;
    sum* row_sums;
    /// (row, dK then dV, kv head, column)
    T* key_gradients;
};

/// 1 / √scalar, and the same for scores to base 2.
template <class Shape, class Sum>
struct score_scales {
    Sum plain = static_cast<Sum>(1 / std::sqrt(static_cast<double>(Shape::scalar)));
    Sum to_base_2 = static_cast<Sum>(log2_e / std::sqrt(static_cast<double>(Shape::scalar)));
};

/// Work `task` of a kernel's grid, with the head as the fastest: a tile of rows of one head of one sequence.
struct task {
    int tile;
    int sequence;
    int head;

    __device__ task(int number, int sequences, int heads)
        : tile{number / heads / sequences}, sequence{number / heads % sequences}, head{number % heads} {}
};

/// The first position that a row sees, which stands at `position` of its sequence: where its example or its window
/// begins.
template <class Shape>
__device__ int first_key(std::int32_t const* starts, index_t row, index_t position) {
    int const first = starts != nullptr ? starts[row] : 0;
    if constexpr (Shape::window > 0) return max(first, static_cast<int>(position - Shape::window + 1));
    else return first;
}

/// As many elements as 16 bytes hold, if rows of `Width` divide into such.
template <class T, index_t Width>
inline constexpr int elements_at_once = Width % static_cast<index_t>(16 / sizeof(T)) == 0 ? 16 / sizeof(T)
                                                                                          : 1;

template <class T, int Count>
struct alignas(sizeof(T) * Count) elements {
    T at[Count];
};

template <int Count, class T>
__device__ elements<T, Count> load_elements(T const* from) {
    return *reinterpret_cast<elements<T, Count> const*>(from);
}
template <int Count, class T>
__device__ void store_elements(T* to, elements<T, Count> const& value) {
    *reinterpret_cast<elements<T, Count>*>(to) = value;
}

inline constexpr unsigned small_kernel_threads = 256;
inline constexpr int lanes_per_row = 8;

/// Fills `exponents` and `row_sums`. Eight lanes share a row of a head. Rows beyond a sequence's end get an exponent
/// that makes their probabilities zero.
template <class Shape, class T, class S>
__global__ void __launch_bounds__(small_kernel_threads)
    row_statistics_kernel(backward_arguments<T, S> const a) {
    using sum = attention_sum<T>;
    constexpr int heads = static_cast<int>(Shape::heads);
    constexpr int width = static_cast<int>(Shape::head_width);
    constexpr int group = elements_at_once<T, Shape::head_width>;

    index_t const thread = static_cast<index_t>(blockIdx.x) * blockDim.x + threadIdx.x;
    index_t const count = static_cast<index_t>(a.sequences) * a.padded_tokens * heads;
    // All lanes stay to the end: the shuffles below are the whole warp's.
    index_t const number = thread / lanes_per_row < count ? thread / lanes_per_row : count - 1;
    int const head = static_cast<int>(number % heads);
    int const row = static_cast<int>(number / heads % a.padded_tokens);
    int const sequence = static_cast<int>(number / heads / a.padded_tokens);
    bool const exists = row < a.tokens;
    index_t const entry = (static_cast<index_t>(sequence) * a.tokens + (exists ? row : 0)) * heads + head;

    sum total{};
    for (int c = static_cast<int>(thread % lanes_per_row) * group; c < width; c += lanes_per_row * group) {
        auto const o = load_elements<group>(a.out + entry * width + c);
        auto const d_o = load_elements<group>(a.d_out + entry * width + c);
#pragma unroll
        for (int i = 0; i < group; ++i) total += static_cast<sum>(o.at[i]) * static_cast<sum>(d_o.at[i]);
    }
#pragma unroll
    for (int distance = lanes_per_row / 2; distance > 0; distance /= 2)
        total += __shfl_xor_sync(full_warp, total, distance);

    if (thread % lanes_per_row != 0 || thread / lanes_per_row >= count) return;
    index_t const to = (static_cast<index_t>(sequence) * heads + head) * a.padded_tokens + row;
    a.row_sums[to] = exists ? total : sum(0);
    a.exponents[to] = exists ? static_cast<sum>(a.logsumexp[entry]) * static_cast<sum>(log2_e) : sum(1e30);
}

/// Copies dK and dV from where they waited to their place in d_qkv.
template <class Shape, class T, class S>
__global__ void __launch_bounds__(small_kernel_threads)
    copy_key_gradients_kernel(backward_arguments<T, S> const a) {
    constexpr int group = elements_at_once<T, Shape::head_width>;
    constexpr index_t width = 2 * Shape::kv_heads * Shape::head_width;
    constexpr index_t groups = width / group;
    index_t const number = static_cast<index_t>(blockIdx.x) * blockDim.x + threadIdx.x;
    index_t const row = number / groups;
    if (row >= static_cast<index_t>(a.sequences) * a.tokens) return;
    index_t const column = number % groups * group;
    store_elements(a.d_qkv + row * Shape::qkv_width + Shape::key_offset + column,
                   load_elements<group>(a.key_gradients + row * width + column));
}

}  // namespace snug::SNUG_TARGET::backend::cuda::attending
