// SPDX-License-Identifier: Apache-2.0
// expected-error: a sharded trainer .* is one rank of several
#include <snug/distributed/self.hpp>
#include <snug/snug.hpp>

using model = snug::models::gpt2<snug::layers<1>, snug::heads<2>, snug::width<16>, snug::vocabulary<17>,
                                 snug::context<8>>;
struct my_trainer : snug::trainer<model, snug::batch<1, 8>, snug::sharding::data_parallel<snug::ranks<1>>,
                                  snug::over<snug::distributed::self>> {
    using trainer::trainer;
};

static_assert(std::is_constructible_v<my_trainer, snug::distributed::self&>);
#ifdef REFUSED
void run() { my_trainer run; }
#endif
