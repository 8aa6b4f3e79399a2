// SPDX-License-Identifier: Apache-2.0
// expected-error: a target of an adapter names no linear layer of the model
// expected-error: an_adapter_targets_what_the_model_does_not_have
#include <snug/plan.hpp>

#ifdef REFUSED
using adapter = snug::adapters::lora<snug::rank<8>, snug::targets<"q_proj", "c_attn">>;
#else
using adapter = snug::adapters::lora<snug::rank<8>, snug::targets<"q_proj", "up_proj">>;
#endif

struct my_trainer : snug::trainer<snug::models::llama2_7b, snug::batch<1, 64>, adapter> {};
static_assert(snug::footprint<my_trainer>.total > snug::bytes{});
