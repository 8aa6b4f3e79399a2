// SPDX-License-Identifier: Apache-2.0
#include <cstdio>
#include <snug/distributed/mpi.hpp>

// Compiled and linked; starting it needs mpirun, or at least an MPI that is content without.
int main() {
    snug::distributed::mpi const world;
    std::printf("rank %d of %d\n", world.rank(), world.size());
}
