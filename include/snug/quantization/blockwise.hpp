// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <snug/quantization/blocked.hpp>
#include <snug/quantization/whole.hpp>
#include <string>

namespace snug::SNUG_TARGET::quantization {

namespace detail {

template <class Scheme>
concept measures_its_numbers = requires {
    typename Scheme::code;
}
&&std::is_base_of_v<whole<typename Scheme::code>, Scheme> && !requires { Scheme::code::step; };

template <class Scheme>
struct blockwise_needs_a_scheme_with_one_scale {
    static constexpr bool holds = measures_its_numbers<Scheme>;
    static_assert(
        holds,
        "snug: blockwise gives every block the scale that a scheme has once for the whole array, and this "
        "one "
        "measures no scale, or is block-wise already (see Scheme). Give it absmax, affine, or the like");
};

/// Refused, it is another scheme, so that the refusal is the only error.
template <class Scheme, index_t Block>
struct blockwise_base {
    using type = blocked<symmetric_code<8>, 64>;
};
template <class Scheme, index_t Block>
    requires(blockwise_needs_a_scheme_with_one_scale<Scheme>::holds)
struct blockwise_base<Scheme, Block> {
    using type = blocked<typename Scheme::code, Block>;
};

}  // namespace detail

/// A scheme of one scale applied to each block of `Block` elements, so that an outlier takes the codes of its own block
/// only.
template <class Scheme, index_t Block = 64>
struct blockwise : detail::blockwise_base<Scheme, Block>::type {
    static std::string name() {
        return "blockwise<" + name_of<Scheme>() + ", " + std::to_string(Block) + ">";
    }
};

}  // namespace snug::SNUG_TARGET::quantization
