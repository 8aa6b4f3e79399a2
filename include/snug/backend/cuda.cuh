// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <snug/backend/cuda/attention.cuh>
#include <snug/backend/cuda/exact_sum.cuh>
#include <snug/backend/cuda/matmul.cuh>
#include <snug/backend/cuda/memory.cuh>
#include <snug/backend/cuda/pages.cuh>
#include <snug/backend/cuda/prepare.cuh>
#include <snug/backend/cuda/recording.cuh>
#include <snug/backend/cuda/rows.cuh>
#include <snug/backend/cuda/tag.hpp>
