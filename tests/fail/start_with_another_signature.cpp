// SPDX-License-Identifier: Apache-2.0
// expected-error: a layer's 'start' cannot be called with
// expected-error: start_of_a_layer_cannot_be_called<user::adapted
#include <snug/layers/hooks.hpp>

namespace user {

struct adapted {
#ifdef REFUSED
    static void start(auto const&) {}
#else
    static void start(auto const&, auto const& put) { put(0); }
#endif
};

}  // namespace user

void start(int call) {
    snug::layer::start<user::adapted>(call, [](int) {});
}
