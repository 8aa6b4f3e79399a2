// SPDX-License-Identifier: Apache-2.0
// expected-error: a layer asks for workspace that it did not declare
// expected-error: doubled<8>
#include <snug/plan.hpp>

namespace user {

/// y = 2 x. Workspace for forward is none for backward.
template <snug::index_t Width>
struct doubled {
    static constexpr snug::index_t input_width = Width;
    static constexpr snug::index_t output_width = Width;

    template <class Setting>
#ifdef REFUSED
    static constexpr snug::index_t forward_workspace(){
#else
    static constexpr snug::index_t backward_workspace() {
#endif
        return Setting::rows * Width * static_cast<snug::index_t>(sizeof(float));
}

template <class Call, class X, class Y, class DY, class DX>
static void backward(Call const& call, X, Y, DY dy, DX dx) {
    auto* const copy = reinterpret_cast<float*>(call.workspace());
    for (snug::index_t row = 0; row < dy.rows; ++row)
        for (snug::index_t i = 0; i < Width; ++i) {
            copy[i] = dy.row(row)[i];
            dx(row, i, 2 * copy[i]);
        }
}
};  // namespace user

}  // namespace user

using setting = snug::setting<1, 8, snug::precision::full<snug::fp32>, snug::host>;
using layer = user::doubled<8>;
using backward_call = snug::layer_call<layer, setting, snug::pass::backward>;
using rows = snug::matrix<float, 8>;
template void layer::backward(backward_call const&, rows, rows, rows, snug::written<float, 8>);
