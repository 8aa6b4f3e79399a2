// SPDX-License-Identifier: Apache-2.0
#include "traffic.hpp"

namespace {

using namespace snug;
using snug_test::check;
using snug_test::sharded;

template <int N>
void stages(distributed::mpi& world) {
    check<sharded<sharding::zero<1, ranks<N>>, 2>>("ZeRO-1", world);
    check<sharded<sharding::zero<2, ranks<N>>, 2, precision::mixed<bf16>>>("ZeRO-2, mixed<bf16>", world);
    check<sharded<sharding::zero<3, ranks<N>>, 2>>("ZeRO-3", world);
}

}  // namespace

int main() {
    return snug_test::run_checks([](distributed::mpi& world) {
        stages<2>(world);
        stages<3>(world);
        stages<4>(world);
        using replicated = sharding::data_parallel<ranks<2>>;
        check<sharded<sharding::mesh<replicated, sharding::zero<1, ranks<2>>>, 2>>("2 x ZeRO-1", world);
        check<sharded<sharding::mesh<replicated, sharding::zero<3, ranks<2>>>, 2>>("2 x ZeRO-3", world);
    });
}
