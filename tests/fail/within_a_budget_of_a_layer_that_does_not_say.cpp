// SPDX-License-Identifier: Apache-2.0
// expected-error: cannot count a layer that does not say what its calls do .see Layer., nor can checkpointing::within
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
    : snug::stack<snug::embedding<16, 8>,
                  snug::repeat<4, snug::residual<user::twice, snug::named<"fc", snug::linear<8, 8>>>>,
                  snug::rms_norm<8>, snug::head_with_loss<8, 16, true>> {};
using namespace snug::literals;
struct my_trainer
    : snug::trainer<my_model, snug::batch<1, 16>, snug::checkpointing::within<snug::budget<1_GiB>>> {};
static_assert(snug::footprint<my_trainer>.total > snug::bytes{});
