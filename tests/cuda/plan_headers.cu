// SPDX-License-Identifier: Apache-2.0
// The headers of the plan are C++20 that nvcc's front end reads.
#if __has_include(<snug/plan.hpp>)
#include <snug/plan.hpp>
#endif
#include <snug/precision/bf16.hpp>

static_assert(snug::bf16{1.0f}.bits == 0x3F80);
