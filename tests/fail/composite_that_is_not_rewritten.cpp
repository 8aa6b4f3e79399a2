// SPDX-License-Identifier: Apache-2.0
// expected-error: would pass over what is inside a layer of your own
#include <snug/plan.hpp>

namespace user {

/// One layer, as a composite of one's own.
template <class Layer>
struct just {
    using children = snug::meta::list<Layer>;
    static constexpr snug::index_t input_width = Layer::input_width;
    static constexpr snug::index_t output_width = Layer::output_width;
};

struct rule {
    template <class Layer, snug::text>
    using of = Layer;
};

}  // namespace user

#ifdef REFUSED
using block = user::just<snug::linear<8, 8>>;
#else
struct block : snug::sequence<snug::linear<8, 8>> {};
#endif
using rewritten = snug::rewrite<user::rule, block>::type;
static_assert(rewritten::output_width == 8);
