// SPDX-License-Identifier: Apache-2.0
// expected-error: weights(), stored() and gradients() hand out the trainer's memory, and of a sharded one
#include <snug/distributed/self.hpp>
#include <snug/snug.hpp>

using model = snug::models::gpt2<snug::layers<1>, snug::heads<2>, snug::width<16>, snug::vocabulary<17>,
                                 snug::context<8>>;
struct my_trainer : snug::trainer<model, snug::batch<1, 8>, snug::sharding::data_parallel<snug::ranks<1>>,
                                  snug::over<snug::distributed::self>> {
    using trainer::trainer;
};

auto weights(my_trainer& run) {
#ifdef REFUSED
    return run.weights("embedding.table").size();
#else
    return run.copy_of_weights("embedding.table").size();
#endif
}
