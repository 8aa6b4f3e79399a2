// SPDX-License-Identifier: Apache-2.0
// A header with a budget comes before the program's snug.hpp, and POSIX's names before both.
#include <strings.h>

#include <snug/plan.hpp>

#include <snug/snug.hpp>

using namespace snug;

static_assert(sizeof(index_t) == 8);
