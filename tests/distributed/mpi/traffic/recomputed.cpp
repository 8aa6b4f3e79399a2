// SPDX-License-Identifier: Apache-2.0
#include "traffic.hpp"

namespace {

using namespace snug;
using snug_test::check;
using snug_test::sharded;

template <int N, class... Options>
using zero_3 = sharding::zero<3, ranks<N>, Options...>;

}  // namespace

int main() {
    return snug_test::run_checks([](distributed::mpi& world) {
        check<sharded<zero_3<2>, 1, checkpointing::every_block>>("ZeRO-3, every_block", world);
        check<sharded<zero_3<3>, 2, checkpointing::every_block>>("ZeRO-3, every_block", world);
        check<sharded<zero_3<2, sharding::prefetch<0>>, 1, checkpointing::every<2>>>(
            "ZeRO-3, every<2>, nothing ahead", world);
        check<sharded<zero_3<3, sharding::prefetch<2>>, 1, checkpointing::every<2>>>(
            "ZeRO-3, every<2>, two units ahead", world);
        check<sharded<zero_3<4>, 1, checkpointing::every<2>>>("ZeRO-3, every<2>", world);
    });
}
