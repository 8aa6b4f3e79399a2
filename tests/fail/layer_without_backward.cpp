// SPDX-License-Identifier: Apache-2.0
// expected-error: a layer needs 'static void backward
// expected-error: a_layer_runs_backward<user::twice
// nvcc
#include <snug/plan.hpp>

namespace user {

struct twice {
    static constexpr snug::index_t input_width = 8;
    static constexpr snug::index_t output_width = 8;
#ifdef REFUSED
    static void forward(auto const&, auto, auto) {}
#else
    static void forward(auto const&, auto, auto) {}
    static void backward(auto const&, auto, auto, auto, auto) {}
#endif
};

}  // namespace user

struct my_model
    : snug::stack<snug::embedding<16, 8>, user::twice, snug::rms_norm<8>, snug::head_with_loss<8, 16, true>> {
};
struct my_trainer : snug::trainer<my_model, snug::batch<1, 16>> {};
static_assert(snug::footprint<my_trainer>.total > snug::bytes{});
