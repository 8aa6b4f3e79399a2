// SPDX-License-Identifier: Apache-2.0
// Tests of trainers are written once, for any place to run; a file that includes them says which: SNUG_TEST_ON_CUDA for the
// GPU (or its stand-in), else the host.
#pragma once

#if defined(SNUG_TEST_ON_CUDA)
#include <snug/snug.cuh>
namespace snug_test {
using place = snug::on<snug::cuda>;
}
#else
#include <snug/snug.hpp>
namespace snug_test {
using place = snug::on<snug::host>;
}
#endif

namespace snug_test {

/// A device that is only emulated takes its time: long runs are shorter there.
#if defined(SNUG_CUDA_EMULATION)
inline constexpr int half_of_a_long_run = 5;
#else
inline constexpr int half_of_a_long_run = 50;
#endif

/// A trainer where the tests run.
template <class... Policies>
using placed = snug::trainer<Policies..., place>;

}  // namespace snug_test
