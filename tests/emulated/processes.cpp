// SPDX-License-Identifier: Apache-2.0
// Two processes, each with an emulated device.
#define SNUG_TEST_ON_CUDA
#include "../trainer/processes.hpp"

TEST_CASE("processes with a device each give the bits of one") {
    snug::distributed::mpi world;
    snug_test::give_the_bits_of_one(world);
}
