// SPDX-License-Identifier: Apache-2.0
// expected-error: over<distributed::nccl> moves the memory of devices
// expected-error: nccl_moves_the_memory_of_devices
#include <snug/plan.hpp>

using namespace snug;

#ifdef REFUSED
using chosen_place = on<host>;
#else
using chosen_place = on<snug::cuda>;
#endif
using pretraining = trainer<models::gpt2_124m, batch<1, 64>, sharding::data_parallel<ranks<2>>,
                            over<distributed::nccl>, chosen_place>;
static_assert(footprint<pretraining>.total > bytes{});
