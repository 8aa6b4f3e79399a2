// SPDX-License-Identifier: Apache-2.0
// expected-error: this layer did not declare what it asks for
// expected-error: scale<8>
#include <snug/plan.hpp>

namespace user {

/// y = weight · x, element by element.
template <snug::index_t Width>
struct scale {
    static constexpr snug::index_t input_width = Width;
    static constexpr snug::index_t output_width = Width;
    using weight = snug::parameter<"weight", snug::shape<Width>, snug::initial::ones>;
    using rms = snug::saved_per_token<"rms", snug::statistic, 1>;
#ifdef REFUSED
    using saved = snug::meta::list<rms>;
#else
    using parameters = snug::meta::list<weight>;
    using saved = snug::meta::list<rms>;
#endif

    template <class Call, class X, class Y>
    static void forward(Call const& call, X x, Y y) {
        auto const* const w = call.value(weight{});
        auto* const kept = call.saved(rms{});
        for (snug::index_t row = 0; row < x.rows; ++row) {
            kept[row] = 1;
            for (snug::index_t i = 0; i < Width; ++i) y(row, i, w[i] * x.row(row)[i]);
        }
    }
};

}  // namespace user

using setting = snug::setting<1, 8, snug::precision::full<snug::fp32>, snug::host>;
using layer = user::scale<8>;
using rows = snug::matrix<float, 8>;
template void layer::forward(snug::layer_call<layer, setting> const&, rows, snug::written<float, 8>);
