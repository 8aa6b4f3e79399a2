// SPDX-License-Identifier: Apache-2.0
// expected-error: a layer's 'work' is a public 'template <class Setting>
// expected-error: the_work_of_a_layer_is_a_constant_of_the_setting<user::twice
#include <snug/plan.hpp>

namespace user {

struct twice {
    static constexpr snug::index_t input_width = 8;
    static constexpr snug::index_t output_width = 8;
    static void forward(auto const&, auto, auto) {}
    static void backward(auto const&, auto, auto, auto, auto) {}
#ifdef REFUSED
    static constexpr snug::layer_work work() { return {}; }
#else
    template <class Setting>
    static constexpr snug::layer_work work() {
        return {};
    }
#endif
};

}  // namespace user

struct my_model
    : snug::stack<snug::embedding<16, 8>, user::twice, snug::rms_norm<8>, snug::head_with_loss<8, 16, true>> {
};
struct my_trainer : snug::trainer<my_model, snug::batch<1, 16>> {};
static_assert(snug::footprint<my_trainer>.total > snug::bytes{});
