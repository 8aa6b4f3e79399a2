// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <snug/policy.hpp>

namespace snug {

/// Where a trainer runs: `on<host>`.
template <class Backend>
struct on {
    using axis = snug::axis::where;
    using backend = Backend;
};

}  // namespace snug
