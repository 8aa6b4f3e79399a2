// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cuda_runtime.h>

#include <snug/backend/cuda/launch.cuh>
#include <snug/backend/cuda/tag.hpp>
#include <snug/ops/for_each_element.hpp>

namespace snug::SNUG_TARGET::backend::cuda {

namespace detail {

inline constexpr int element_threads = 256;
inline constexpr int elements_of_thread = 4;

template <class Body>
__global__ void __launch_bounds__(element_threads) element_for_each_thread(index_t count, Body body) {
    auto const first =
        static_cast<index_t>(blockIdx.x) * (element_threads * elements_of_thread) + threadIdx.x;
#pragma unroll
    for (int k = 0; k < elements_of_thread; ++k)
        if (auto const i = first + k * element_threads; i < count) body(i);
}

}  // namespace detail

template <class Body>
void for_each_element_on(tag on, index_t count, Body const& body) {
    if (count <= 0) return;
    launch(on, detail::element_for_each_thread<Body>,
           detail::pieces(count, detail::element_threads * detail::elements_of_thread),
           detail::element_threads, 0, count, body);
}

}  // namespace snug::SNUG_TARGET::backend::cuda
