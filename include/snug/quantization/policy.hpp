// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <snug/quantization/none.hpp>
#include <snug/quantization/scheme.hpp>

namespace snug::SNUG_TARGET {

/// A policy of the quantization axis: `quantization::none`, or a scheme that stores the weights of linear layers, which
/// are frozen then.
template <class P>
concept quantization_policy = std::same_as<P, quantization::none> || quantization::quantization_scheme<P>;

namespace refusal {

template <class Policy>
struct this_is_not_a_quantization {
    static constexpr bool holds = quantization_policy<Policy>;
    static_assert(holds,
                  "snug: a policy of the axis quantization is quantization::none or a scheme with storage, "
                  "encode, view_of and decode (see Policy, and snug/quantization/scheme.hpp)");
};

}  // namespace refusal
}  // namespace snug::SNUG_TARGET
