// SPDX-License-Identifier: Apache-2.0
// expected-error: a bucket holds 256 gradients from each rank, at least
// expected-error: the_bucket_of_a_sharding_is_too_small<.*1024, 2048>
#include <snug/plan.hpp>

using namespace snug;

#ifdef REFUSED
using pieces = sharding::bucket<1_KiB>;
#else
using pieces = sharding::bucket<2_KiB>;
#endif
using pretraining = trainer<models::gpt2_124m, batch<1, 64>, sharding::data_parallel<ranks<2>, pieces>>;
static_assert(footprint<pretraining>.total > bytes{});
