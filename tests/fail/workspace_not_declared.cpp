// SPDX-License-Identifier: Apache-2.0
// expected-error: a layer asks for workspace that it did not declare
// expected-error: doubled<8>
#include <snug/plan.hpp>

namespace user {

/// y = 2 x, through a copy in workspace; its hook is there, but misspelt.
template <snug::index_t Width>
struct doubled {
    static constexpr snug::index_t input_width = Width;
    static constexpr snug::index_t output_width = Width;

    template <class Setting>
#ifdef REFUSED
    static constexpr snug::index_t forward_workpsace(){
#else
    static constexpr snug::index_t forward_workspace() {
#endif
        return Setting::rows * Width * static_cast<snug::index_t>(sizeof(float));
}

template <class Call, class X, class Y>
static void forward(Call const& call, X x, Y y) {
    auto* const copy = reinterpret_cast<float*>(call.workspace());
    for (snug::index_t row = 0; row < x.rows; ++row)
        for (snug::index_t i = 0; i < Width; ++i) {
            copy[i] = x.row(row)[i];
            y(row, i, 2 * copy[i]);
        }
}
};  // namespace user

}  // namespace user

using setting = snug::setting<1, 8, snug::precision::full<snug::fp32>, snug::host>;
using layer = user::doubled<8>;
using rows = snug::matrix<float, 8>;
template void layer::forward(snug::layer_call<layer, setting> const&, rows, snug::written<float, 8>);
