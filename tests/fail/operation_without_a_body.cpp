// SPDX-License-Identifier: Apache-2.0
// expected-error: this backend has no body for an operation that a layer calls
// expected-error: this_backend_has_no_body_for_this_operation<user::machine, snug::operation::matmul
#include <snug/plan.hpp>

namespace user {

struct machine {
    template <class T>
    static constexpr snug::index_t matmul_workspace(snug::index_t, snug::index_t) {
        return 0;
    }
};

#ifndef REFUSED
template <class Store, class... Products>
void matmul_on(machine, std::byte*, Store const&, Products...) {}
#endif

}  // namespace user

void product(snug::matrix<float, 8> x, snug::matrix<float, 8> w, snug::matrix<float, 16> y) {
    snug::ops::matmul(user::machine{}, x, snug::transposed{w}, nullptr, snug::written<float, 16>{y});
}
