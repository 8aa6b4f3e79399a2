// SPDX-License-Identifier: Apache-2.0
// expected-error: in a product of a matrix with a transposed matrix both must have the same width
// expected-error: 8, 12>
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
constexpr snug::index_t width = 8;
#endif

void product(snug::matrix<float, 8> x, snug::matrix<float, width> w, snug::matrix<float, 16> y) {
    snug::ops::matmul(user::machine{}, x, snug::transposed{w}, nullptr, snug::written<float, 16>{y});
}
