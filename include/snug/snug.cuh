// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <snug/snug.hpp>

#include <snug/backend/cuda.cuh>
#include <snug/optimizers/state_block.cuh>

/// Everything that `snug/snug.hpp` has, and trainers on a GPU: `snug::on<snug::cuda>`. For files that nvcc compiles, with
/// --expt-relaxed-constexpr (the CMake target snug::cuda sees to that).
