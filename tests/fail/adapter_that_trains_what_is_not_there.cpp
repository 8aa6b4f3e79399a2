// SPDX-License-Identifier: Apache-2.0
// expected-error: also_train names a kind of layer that the model does not have
// expected-error: an_adapter_trains_what_the_model_does_not_have
#include <snug/plan.hpp>

#ifdef REFUSED
using adapter = snug::adapters::lora<snug::rank<8>, snug::also_train<snug::norms, snug::head>>;
#else
using adapter = snug::adapters::lora<snug::rank<8>, snug::also_train<snug::norms, snug::embeddings>>;
#endif

// The head is tied: it is the embedding.
struct my_trainer : snug::trainer<snug::models::smollm2_135m, snug::batch<1, 64>, adapter> {};
static_assert(snug::footprint<my_trainer>.total > snug::bytes{});
