// SPDX-License-Identifier: Apache-2.0
// expected-error: a layer asks for the gradient of a parameter that this trainer does not train
// expected-error: scale<8>
#include <snug/plan.hpp>

namespace user {

/// y = weight · x, element by element.
template <snug::index_t Width>
struct scale {
    static constexpr snug::index_t input_width = Width;
    static constexpr snug::index_t output_width = Width;
    using weight = snug::parameter<"weight", snug::shape<Width>, snug::initial::ones>;
    using parameters = snug::meta::list<weight>;

    template <class Call, class X, class Y, class DY, class DX>
    static void backward(Call const& call, X x, Y, DY dy, DX dx) {
#ifndef REFUSED
        if constexpr (Call::trains(weight{}))
#endif
            for (snug::index_t i = 0; i < Width; ++i)
                call.gradient(weight{})[i] += dy.row(0)[i] * x.row(0)[i];
        for (snug::index_t i = 0; i < Width; ++i) dx(0, i, call.value(weight{})[i] * dy.row(0)[i]);
    }
};

}  // namespace user

using one_token = snug::setting<1, 1, snug::precision::full<snug::fp32>, snug::host>;
using call_of_the_frozen = snug::layer_call<snug::frozen<user::scale<8>>, one_token>;
using rows = snug::matrix<float, 8>;
template void user::scale<8>::backward(call_of_the_frozen const&, rows, rows, rows, snug::written<float, 8>);
