// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <snug/backend/host/add_column_sums.hpp>
#include <snug/backend/host/add_exact_sum.hpp>
#include <snug/backend/host/add_rows.hpp>
#include <snug/backend/host/add_sum.hpp>
#include <snug/backend/host/attention.hpp>
#include <snug/backend/host/copy.hpp>
#include <snug/backend/host/for_each_element.hpp>
#include <snug/backend/host/for_each_row.hpp>
#include <snug/backend/host/for_each_row_with_column_sums.hpp>
#include <snug/backend/host/matmul.hpp>
#include <snug/backend/host/memory.hpp>
#include <snug/backend/host/pages.hpp>
#include <snug/backend/host/prepare.hpp>
#include <snug/backend/host/run_recorded.hpp>
#include <snug/backend/host/tag.hpp>
