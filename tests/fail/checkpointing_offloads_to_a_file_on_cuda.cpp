// SPDX-License-Identifier: Apache-2.0
// expected-error: offloaded_to<file<...>> is for trainers on the host
// expected-error: a_device_copies_from_memory_and_no_file
#include <snug/plan.hpp>

using policy = snug::checkpointing::offloaded_to<snug::checkpointing::file<"/scratch">>;
#ifdef REFUSED
using where = snug::on<snug::cuda>;
#else
using where = snug::on<snug::host>;
#endif

struct my_trainer : snug::trainer<snug::models::gpt2_124m, snug::batch<1, 64>, policy, where> {};
static_assert(snug::footprint<my_trainer>.paged > snug::bytes{});
