// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>

namespace snug_test {

/// What this process has sent through MPI_Isend; a test may set it to nothing.
struct sent_counts {
    std::int64_t bytes = 0;
    std::int64_t messages = 0;

    friend bool operator==(sent_counts const&, sent_counts const&) = default;
};

/// Counted where tests/distributed/count_mpi.cpp is linked in.
sent_counts& sent();

}  // namespace snug_test
