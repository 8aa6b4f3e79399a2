// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <snug/backend/cuda/add_column_sums.cuh>
#include <snug/backend/cuda/add_exact_sum.cuh>
#include <snug/backend/cuda/add_rows.cuh>
#include <snug/backend/cuda/add_sum.cuh>
#include <snug/backend/cuda/attention.cuh>
#include <snug/backend/cuda/copy.cuh>
#include <snug/backend/cuda/for_each_element.cuh>
#include <snug/backend/cuda/for_each_row.cuh>
#include <snug/backend/cuda/for_each_row_with_column_sums.cuh>
#include <snug/backend/cuda/matmul.cuh>
#include <snug/backend/cuda/memory.cuh>
#include <snug/backend/cuda/pages.cuh>
#include <snug/backend/cuda/prepare.cuh>
#include <snug/backend/cuda/run_recorded.cuh>
#include <snug/backend/cuda/tag.hpp>
