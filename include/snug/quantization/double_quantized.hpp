// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <snug/quantization/blocked.hpp>
#include <snug/quantization/nf4.hpp>
#include <string>
#include <type_traits>

namespace snug::SNUG_TARGET::quantization {

namespace detail {

template <class Scheme>
concept has_plain_scales = requires {
    typename Scheme::code;
    Scheme::block;
}
&&std::is_same_v<typename Scheme::scale_storage, scales::plain>;

template <class Scheme>
struct double_quantization_needs_a_blockwise_scheme {
    static constexpr bool holds = has_plain_scales<Scheme>;
    static_assert(
        holds,
        "snug: double_quantized quantizes the scales of a block-wise scheme, and this one has none, or has "
        "quantized ones (see Scheme). Give it nf4<64>, blockwise<absmax, 64>, or the like");
};

template <index_t Group>
struct a_group_of_scales_has_1_to_4096 {
    static constexpr bool holds = Group >= 1 && Group <= longest_piece;
    static_assert(holds, "snug: double_quantized<Scheme, Group> has 1 to 4096 scales in a group (see Group)");
};

/// How a dialect quantizes scales: bitsandbytes' way where the code follows nobody.
template <class Code>
struct method_for {
    using type = scales::by_dynamic_map;
};
template <codebook Codebook>
struct method_for<table_code<Codebook, dialects::torchao>> {
    using type = scales::by_even_steps;
};

/// Refused, it is another scheme, so that the refusal is the only error.
template <class Scheme, index_t Group>
struct double_quantized_base {
    using type = nf4<64>;
};
template <class Scheme, index_t Group>
    requires(double_quantization_needs_a_blockwise_scheme<Scheme>::holds&&
                 a_group_of_scales_has_1_to_4096<Group>::holds)
struct double_quantized_base<Scheme, Group> {
    using type = blocked<typename Scheme::code, Scheme::block,
                         scales::nested<typename method_for<typename Scheme::code>::type, Group>>;
};

}  // namespace detail

/// The scales of a block-wise scheme quantized in turn to 8 bits: their mean is subtracted, and every `Group` of them
/// share one fp32 (arXiv 2305.14314, "double quantization"). 4 + 8/64 + 32/(64 * 256) = 4.127 bits for nf4<64>.
template <class Scheme, index_t Group = 256>
struct double_quantized : detail::double_quantized_base<Scheme, Group>::type {
    static std::string name() {
        return "double_quantized<" + name_of<Scheme>() + ", " + std::to_string(Group) + ">";
    }
};

// 1 byte a block, 4 bytes a group, and one mean, each part from a multiple of 64 on.
static_assert(double_quantized<nf4<64>>::storage(64 * 256).count == 64 * 256 / 2 + 256 + 64 + 4);
static_assert(double_quantized<nf4<64>>::storage({4096, 4096}).count == 8'388'608 + 262'144 + 4'096 + 4);

}  // namespace snug::SNUG_TARGET::quantization
