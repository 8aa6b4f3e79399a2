// SPDX-License-Identifier: Apache-2.0
#include <snug/distributed/nccl.cuh>
#include <snug/distributed/self.hpp>

int main(int count, char**) {
    if (count < 2) return 0;
    snug::distributed::self alone;
    snug::distributed::nccl_beside<snug::distributed::self> world(alone);
    return world.rank();
}
