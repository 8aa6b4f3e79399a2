// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <snug/meta.hpp>
#include <type_traits>

/// Operations: what layers call, one header each. The first argument, `on`, is the execution context: where the operation
/// runs, a value of the backend's type (`snug::host`, ...). Each operation is an entry point that finds its
/// body by argument-dependent lookup on that type, in the namespace where it is declared: `matmul` finds
/// `matmul_on`, and the concept `has_matmul` says whether there is one. There is no fallback: a body that is
/// missing is a refusal that names operation and backend. Operations on one context run in the order of the
/// calls, and only one thread at a time may call them; contexts know nothing of each other.
namespace snug::SNUG_TARGET {

namespace refusal {

template <class Backend, class Operation, class... Operands>
struct this_backend_has_no_body_for_this_operation {
    static_assert(
        sizeof(Backend) == 0,
        "snug: this backend has no body for an operation that a layer calls (see Backend, Operation and "
        "Operands). Include snug/snug.hpp for the host's, or write the function that snug/ops names");
};

/// One for all operations, so that it is the only error.
template <class Backend>
struct the_bodies_of_this_backend_are_not_in_this_file {
    static_assert(
        sizeof(Backend) == 0,
        "snug: a trainer runs here on snug::on<snug::cuda>, whose bodies are not in this file: compile it "
        "with "
        "nvcc, as a .cu, and include snug/snug.cuh. Budgets (snug::fits, snug::footprint) need neither, and "
        "snug::on<snug::host> runs with snug/snug.hpp");
};

}  // namespace refusal

/// nvcc 13 finds no body in some requires-expressions for which it does find one when it is called. Where it
/// compiles, a body that is missing is the compiler's own error.
#if defined(__CUDACC__)
inline constexpr bool takes_bodies_for_granted = true;
#else
inline constexpr bool takes_bodies_for_granted = false;
#endif

namespace ops {

/// The refusal of an operation whose body is not here.
template <class Backend, class... Operation>
using missing_body = std::conditional_t < requires {
    requires Backend::bodies_need_nvcc;
}
, refusal::the_bodies_of_this_backend_are_not_in_this_file<Backend>,
    refusal::this_backend_has_no_body_for_this_operation < Backend, Operation... >>
    ;

}  // namespace ops

/// Operations are only put under way, and nobody looks at results before they are copied out: a device's way.
template <class Backend>
inline constexpr bool runs_ahead = requires {
    requires Backend::runs_ahead;
};

}  // namespace snug::SNUG_TARGET
