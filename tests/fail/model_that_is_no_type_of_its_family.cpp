// SPDX-License-Identifier: Apache-2.0
// expected-error: its family has none with this model's traits and window
// expected-error: no_type_of_the_family_is_like_this_model<model
#include <snug/engine/executor.hpp>
#include <snug/engine/merge.hpp>
#include <snug/plan.hpp>

using gpt2 = snug::models::gpt2<snug::layers<1>, snug::heads<1>, snug::width<8>, snug::vocabulary<9>,
                                snug::context<4>>;

/// No type of GPT-2 in a config.json has a window.
struct model : gpt2 {
    static constexpr snug::model_numbers numbers = [] {
        auto changed = gpt2::numbers;
        changed.sliding_window = 4;
        return changed;
    }();
};
struct my_trainer : snug::trainer<model, snug::batch<1, 4>> {};

#ifdef REFUSED
void save(my_trainer const& run) { run.save_model("folder"); }
#else
void save(my_trainer const& run) { run.save_weights("file.safetensors"); }
#endif
