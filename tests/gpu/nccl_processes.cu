// SPDX-License-Identifier: Apache-2.0
// Processes that have a device each.
#include <snug/distributed/mpi.hpp>
#include <snug/distributed/nccl.cuh>

#define SNUG_TEST_ON_CUDA
#include "../trainer/processes.hpp"

TEST_CASE("processes whose devices talk over NCCL give the bits of one") {
    snug::distributed::mpi processes;
    snug::distributed::nccl world(processes);
    snug_test::give_the_bits_of_one(world);
}
