// SPDX-License-Identifier: Apache-2.0
// Two processes that share a device.
#include <snug/distributed/mpi.hpp>

#define SNUG_TEST_ON_CUDA
#include "../trainer/processes.hpp"

TEST_CASE("processes on one device give the bits of one") {
    snug::distributed::mpi world;
    snug_test::give_the_bits_of_one(world);
}
