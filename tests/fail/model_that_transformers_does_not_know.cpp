// SPDX-License-Identifier: Apache-2.0
// expected-error: there is no config.json for a model of your own
// expected-error: transformers_does_not_know_this_model<model
#include <snug/engine/executor.hpp>
#include <snug/engine/merge.hpp>
#include <snug/plan.hpp>

struct model : snug::stack<snug::embedding<9, 8>, snug::named<"up", snug::linear<8, 8>>,
                           snug::named<"head", snug::head_with_loss<8, 9, true>>> {};
struct my_trainer : snug::trainer<model, snug::batch<1, 4>> {};

#ifdef REFUSED
void save(my_trainer const& run) { run.save_model("folder"); }
#else
void save(my_trainer const& run) { run.save_weights("file.safetensors"); }
#endif
