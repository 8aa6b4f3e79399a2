// SPDX-License-Identifier: Apache-2.0
// expected-error: a policy of the axis where needs 'using backend'
// expected-error: this_is_not_a_place_to_run<
#include <snug/plan.hpp>

namespace user {

#ifdef REFUSED
using place = snug::on<int>;
#else
using place = snug::on<snug::host>;
#endif

}  // namespace user

struct my_trainer : snug::trainer<snug::models::gpt2_124m, snug::batch<1, 64>, user::place> {};
static_assert(snug::footprint<my_trainer>.total > snug::bytes{});
