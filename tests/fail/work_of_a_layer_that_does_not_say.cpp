// SPDX-License-Identifier: Apache-2.0
// expected-error: snug::work<T> cannot count a layer that does not say what its calls do
// expected-error: a_layer_does_not_say_what_its_calls_do<user::twice
#include <snug/plan.hpp>

namespace user {

struct twice {
    static constexpr snug::index_t input_width = 8;
    static constexpr snug::index_t output_width = 8;
    static void forward(auto const&, auto, auto) {}
    static void backward(auto const&, auto, auto, auto, auto) {}
#ifndef REFUSED
    template <class Setting>
    static constexpr snug::layer_work work() {
        return {.forward = {.bytes = snug::bytes_of::rows<Setting>(16)},
                .backward = {.bytes = snug::bytes_of::rows<Setting>(16)}};
    }
#endif
};

}  // namespace user

struct my_model
    : snug::stack<snug::embedding<16, 8>, user::twice, snug::rms_norm<8>, snug::head_with_loss<8, 16, true>> {
};
struct my_trainer : snug::trainer<my_model, snug::batch<1, 16>> {};
static_assert(snug::footprint<my_trainer>.total > snug::bytes{});
static_assert(snug::work<my_trainer>.step().bytes > 0);
