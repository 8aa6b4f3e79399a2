// SPDX-License-Identifier: Apache-2.0
// expected-error: its result is stored in a matrix of another width
// expected-error: 16, 12>
#include <snug/plan.hpp>

namespace user {

struct machine {
    template <class T>
    static constexpr snug::index_t matmul_workspace(snug::index_t, snug::index_t) {
        return 0;
    }
};

template <class Store, class... Products>
void matmul_on(machine, std::byte*, Store const&, Products...) {}

}  // namespace user

#ifdef REFUSED
constexpr snug::index_t width = 12;
#else
constexpr snug::index_t width = 16;
#endif

void product(snug::matrix<float, 8> x, snug::matrix<float, 16> w, snug::matrix<float, width> y) {
    snug::ops::matmul(user::machine{}, x, w, nullptr, snug::written<float, width>{y});
}
