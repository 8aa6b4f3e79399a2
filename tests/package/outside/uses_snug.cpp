// SPDX-License-Identifier: Apache-2.0
#include <snug/precision/bf16.hpp>

#include <thrust/reduce.h>
#include <thrust/system/omp/execution_policy.h>

#include <array>

#ifndef _OPENMP
#error "snug::snug must turn OpenMP on"
#endif

int main() {
    std::array const values{snug::bf16{1.0f}, snug::bf16{2.0f}};
    return thrust::reduce(thrust::omp::par, values.begin(), values.end(), 0.0f) == 3.0f ? 0 : 1;
}
