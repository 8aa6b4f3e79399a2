// SPDX-License-Identifier: Apache-2.0
// expected-error: a trainer runs here on snug::on<snug::cuda>, whose bodies are not in this file: compile it with nvcc
#include <snug/plan.hpp>

#include <snug/engine/initialise.hpp>
#include <snug/engine/step.hpp>

struct my_trainer : snug::trainer<snug::models::gpt2_124m, snug::batch<1, 64>, snug::on<snug::cuda>> {};
// A budget needs neither nvcc nor a GPU.
static_assert(snug::fits<my_trainer, snug::devices::rtx_3070>);
#ifdef REFUSED
double train(snug::token_batch const& batch) { return my_trainer{}.step(batch).loss; }
#endif
