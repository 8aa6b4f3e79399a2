// SPDX-License-Identifier: Apache-2.0
// expected-error: no recomputation fits the budget of checkpointing::within
// expected-error: no_recomputation_fits_the_budget<snug::least_MiB<2[0-9][0-9][0-9]>, snug::budget_MiB<2048>, snug::over_by_MiB<[1-9][0-9]*>, snug::refusal::the_largest_line_is_optimizer_state_MiB<950>, snug::bill<snug::total_MiB<2[0-9][0-9][0-9]>, snug::budget_MiB<2048>, snug::weights_MiB<238>
#include <snug/plan.hpp>

using namespace snug::literals;
#ifdef REFUSED
using budget = snug::budget<2_GiB>;
#else
using budget = snug::budget<3_GiB>;
#endif

struct my_trainer
    : snug::trainer<snug::models::gpt2_124m, snug::batch<4, 1024>, snug::precision::mixed<snug::bf16>,
                    snug::checkpointing::within<budget>, snug::on<snug::cuda>> {};
static_assert(snug::footprint<my_trainer>.total <= 3_GiB);
