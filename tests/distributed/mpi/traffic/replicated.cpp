// SPDX-License-Identifier: Apache-2.0
#include "traffic.hpp"

namespace {

using namespace snug;
using snug_test::check;
using snug_test::sharded;

template <int N>
void data_parallel(distributed::mpi& world) {
    using each = sharding::reduced<sharding::each_micro_batch>;
    check<sharded<sharding::data_parallel<ranks<N>>, 2>>("data parallel, at the end", world);
    check<sharded<sharding::data_parallel<ranks<N>, each, sharding::bucket<48_KiB>>, 2>>(
        "data parallel, each micro-batch", world);
}

}  // namespace

int main() {
    return snug_test::run_checks([](distributed::mpi& world) {
        data_parallel<2>(world);
        data_parallel<3>(world);
        data_parallel<4>(world);
    });
}
