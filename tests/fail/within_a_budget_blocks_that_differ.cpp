// SPDX-License-Identifier: Apache-2.0
// expected-error: checkpointing::within looks for what the blocks of one snug::repeat keep
// expected-error: within_a_budget_all_blocks_are_of_one_kind<my_model, 2>
#include <snug/plan.hpp>

template <snug::index_t Width>
using block = snug::residual<snug::named<"up", snug::linear<8, Width>>, snug::gelu<Width>,
                             snug::named<"down", snug::linear<Width, 8>>>;
#ifdef REFUSED
using blocks = snug::repeat<4, snug::alternating<block<16>, block<24>>>;
#else
using blocks = snug::repeat<4, block<16>>;
#endif
struct my_model
    : snug::stack<snug::embedding<16, 8>, blocks, snug::rms_norm<8>, snug::head_with_loss<8, 16, true>> {};
using namespace snug::literals;
struct my_trainer
    : snug::trainer<my_model, snug::batch<1, 16>, snug::checkpointing::within<snug::budget<1_GiB>>> {};
static_assert(snug::footprint<my_trainer>.total > snug::bytes{});
