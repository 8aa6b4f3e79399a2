// SPDX-License-Identifier: Apache-2.0
// expected-error: also_train takes snug::norms, snug::embeddings, snug::head
#include <snug/plan.hpp>

using namespace snug::quantization;

#ifdef REFUSED
using policy_of_mine = snug::adapters::lora<snug::rank<4>, snug::also_train<int>>;
#else
using policy_of_mine = snug::adapters::lora<snug::rank<4>, snug::also_train<snug::norms>>;
#endif

struct my_trainer : snug::trainer<snug::models::gpt2_124m, snug::batch<1, 64>, policy_of_mine> {};
static_assert(snug::footprint<my_trainer>.total > snug::bytes{});
