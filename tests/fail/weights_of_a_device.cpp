// SPDX-License-Identifier: Apache-2.0
// expected-error: this one's is a device's
// expected-error: the_memory_of_a_device_is_not_the_programs
#include <snug/engine/access.hpp>
#include <snug/plan.hpp>

#ifdef REFUSED
using place = snug::on<snug::cuda>;
#else
using place = snug::on<snug::host>;
#endif

using model = snug::models::gpt2<snug::layers<1>, snug::heads<1>, snug::width<8>, snug::vocabulary<9>,
                                 snug::context<4>>;
struct my_trainer : snug::trainer<model, snug::batch<1, 4>, place> {};

auto first_weights(my_trainer& run) { return run.weights("embedding.table"); }
