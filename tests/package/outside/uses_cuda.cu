// SPDX-License-Identifier: Apache-2.0
#include <cstdio>
#include <snug/backend/cuda.cuh>
#include <snug/error.hpp>
#include <snug/ops/copy.hpp>
#include <snug/ops/for_each_element.hpp>
#include <snug/ops/memory.hpp>
#include <snug/ops/prepare.hpp>
#include <vector>

struct doubled {
    constexpr void operator()(snug::index_t i, float* x) const { x[i] *= 2.0f; }
};

int main() try {
    if (cublasLtGetVersion() == 0) return 1;
    std::vector<float> x(1000, 1.5f);
    auto const context = snug::ops::prepare<snug::cuda>(snug::memory_bill{});
    auto const on = context.on();
    auto const& memory = snug::ops::memory<snug::cuda>();
    auto* const there = static_cast<float*>(memory.allocate(256, 4000));
    snug::ops::copy_in(on, there, x.data(), 4000);
    snug::ops::for_each_element(on, 1000, snug::ops::bound<doubled>(there));
    snug::ops::copy_out(on, x.data(), there, 4000);
    memory.release(there);
    return x == std::vector<float>(1000, 3.0f) ? 0 : 1;
} catch (snug::error const& e) {
    std::puts(e.what());  // a machine without a device
}
