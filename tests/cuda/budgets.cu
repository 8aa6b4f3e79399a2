// SPDX-License-Identifier: Apache-2.0
// Budgets in a .cu file: plans are the same numbers, and require_fit asserts them.
#include <snug/plan.hpp>

using namespace snug;

struct pretraining : trainer<models::gpt2_124m, batch<4, 1024>, precision::mixed<bf16>> {};
struct fine_tuning
    : trainer<models::llama2_7b, batch<1, 1024>, precision::mixed<bf16>, checkpointing::every_block,
              accumulation::micro_batches<8>, optimizers::sgd<bf16>> {};
struct large
    : trainer<models::llama2_70b, batch<1, 4096>, precision::mixed<bf16>, checkpointing::square_root> {};

template struct snug::require_fit<pretraining, devices::rtx_3090>;
template struct snug::require_fit<fine_tuning, devices::h200>;
template struct snug::require_fit<large, budget<2_TiB>>;
template struct snug::require_fit<pretraining, budget<footprint<pretraining>.total>>;

static_assert(fits<fine_tuning, devices::h200> && !fits<fine_tuning, devices::rtx_4090>);
static_assert(!fits<large, devices::b200>);
static_assert(!fits<pretraining, budget<footprint<pretraining>.total - 1_B>>);
static_assert(!fits<int, devices::t4> && !fits<pretraining, int>);

static_assert(parameter_count<models::gpt2_124m> == 124'439'808);
static_assert(footprint<pretraining>.weights == 2_B * parameter_count<models::gpt2_124m>);
static_assert(footprint<pretraining>.optimizer_state == 8_B * parameter_count<models::gpt2_124m>);

static_assert(work<fine_tuning>.model().products ==
              8 * 1024 * 6 * (parameter_count<models::llama2_7b> - 32000 * 4096 - 65 * 4096));
static_assert(work<fine_tuning>.recomputed.attention == work<fine_tuning>.forward.attention);

// The page docs/cuda.md: g++ finds the same bytes in tests/static/docs.cpp.
struct on_a_device : trainer<models::gpt2_1558m, batch<8, 1024>, precision::mixed<bf16>,
                             checkpointing::selective, on<cuda>> {};
static_assert(footprint<on_a_device>.total.count == 40'957'792'704);

// A policy, a layer and a budget of one's own.
namespace user {

struct two_blocks {
    using axis = snug::axis::checkpointing;
    static constexpr snug::index_t segment(snug::index_t) { return 2; }
};
struct model : stack<embedding<256, 64>,
                     repeat<4, residual<named<"norm", rms_norm<64>>, named<"up", linear<64, 128>>, gelu<128>,
                                        named<"down", linear<128, 64>>>>,
                     head_with_loss<64, 256, true>> {};
struct card {
    static constexpr bytes memory = 64_MiB;
    static constexpr bytes reserve = 1_MiB;
};
using training = trainer<model, batch<2, 64>, two_blocks>;

}  // namespace user

static_assert(fits<user::training, user::card>);
template struct snug::require_fit<user::training, user::card>;
