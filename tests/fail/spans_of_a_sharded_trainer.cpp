// SPDX-License-Identifier: Apache-2.0
// expected-error: of a sharded one
// expected-error: spans_of_a_sharded_trainer
#include <snug/distributed/self.hpp>
#include <snug/engine/access.hpp>
#include <snug/plan.hpp>

#ifdef REFUSED
using sharding = snug::sharding::zero<3, snug::ranks<1>>;
using transport = snug::over<snug::distributed::self>;
#else
using sharding = snug::sharding::none;
using transport = snug::on<snug::host>;
#endif

using model = snug::models::gpt2<snug::layers<1>, snug::heads<1>, snug::width<8>, snug::vocabulary<9>,
                                 snug::context<4>>;
struct my_trainer : snug::trainer<model, snug::batch<1, 4>, sharding, transport> {};

auto first_weights(my_trainer& run) { return run.weights("embedding.table"); }
