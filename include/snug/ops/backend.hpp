// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <snug/ops/add_column_sums.hpp>
#include <snug/ops/add_exact_sum.hpp>
#include <snug/ops/add_rows.hpp>
#include <snug/ops/add_sum.hpp>
#include <snug/ops/copy.hpp>
#include <snug/ops/for_each_element.hpp>
#include <snug/ops/for_each_row.hpp>
#include <snug/ops/for_each_row_with_column_sums.hpp>
#include <snug/ops/matmul.hpp>
#include <snug/ops/memory.hpp>
#include <snug/ops/operation.hpp>
#include <snug/ops/pages.hpp>
#include <snug/ops/prepare.hpp>
#include <snug/ops/run_recorded.hpp>

/// All operations but attention, at an address of before.
