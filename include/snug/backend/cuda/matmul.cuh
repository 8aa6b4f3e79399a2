// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <snug/backend/cuda/cublaslt.cuh>
#include <snug/backend/cuda/gemm.cuh>
#include <snug/backend/cuda/tag.hpp>
#include <snug/ops/backend.hpp>

/// Body of the matrix product: cuBLASLt where it can do the product, snug's own kernels elsewhere; decided at compile time.
namespace snug::backend::cuda {

template <class Store, class A, class B, class... Further>
void matmul_on(tag, std::byte* workspace, Store const& store, product<A, B> first, Further... further) {
    if constexpr (sizeof...(Further) == 0 && detail::library_computes<A, B, Store>()) {
        library_matmul(workspace, store, first);
    } else {
        own_matmul(store, first, further...);
    }
}

}  // namespace snug::backend::cuda
