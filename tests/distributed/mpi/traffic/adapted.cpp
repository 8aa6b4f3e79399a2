// SPDX-License-Identifier: Apache-2.0
#include "traffic.hpp"

namespace {

using namespace snug;
using snug_test::check;
using snug_test::sharded;
using low_rank = adapters::lora<rank<4>, alpha<8>, targets<all_linear>>;
using with_lengths = adapters::dora<rank<4>, alpha<8>, targets<all_linear>>;
using nf4 = quantization::nf4<64>;
using in_blocks = optimizers::adamw<optimizers::states<int8>>;
template <int Stage, int N>
using zero = sharding::zero<Stage, ranks<N>>;

}  // namespace

int main() {
    return snug_test::run_checks([](distributed::mpi& world) {
        check<sharded<zero<1, 2>, 1, low_rank>>("LoRA, ZeRO-1", world);
        check<sharded<zero<3, 3>, 1, low_rank>>("LoRA, ZeRO-3", world);
        check<sharded<zero<3, 2>, 2, nf4, low_rank>>("QLoRA, ZeRO-3", world);
        // Lengths of rows are derived anew after an update, for which the base is gathered once more.
        check<sharded<zero<3, 4>, 2, nf4, with_lengths>>("DoRA over nf4, ZeRO-3", world);
        check<sharded<zero<2, 3>, 1, in_blocks>>("states in blocks, ZeRO-2", world);
        check<sharded<zero<3, 4>, 1, in_blocks, precision::mixed<bf16>>>("states in blocks, ZeRO-3", world);
    });
}
