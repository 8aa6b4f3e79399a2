// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <snug/ops/operation.hpp>

namespace snug::SNUG_TARGET::operation {
struct copy;
}  // namespace snug::SNUG_TARGET::operation

namespace snug::SNUG_TARGET::ops {

/// Copies `size` bytes from the program's memory into the backend's, in the order of the operations; `from`
/// may be changed as soon as this returns.
template <class Backend>
inline void copy_in(Backend on, void* to, void const* from, std::size_t size) {
    if constexpr (takes_bodies_for_granted || requires { copy_in_on(on, to, from, size); })
        copy_in_on(on, to, from, size);
    else (void)sizeof(missing_body<Backend, operation::copy>);
}
/// The same from the backend's memory into the program's; waits until it is there.
template <class Backend>
inline void copy_out(Backend on, void* to, void const* from, std::size_t size) {
    if constexpr (takes_bodies_for_granted || requires { copy_out_on(on, to, from, size); })
        copy_out_on(on, to, from, size);
    else (void)sizeof(missing_body<Backend, operation::copy>);
}

}  // namespace snug::SNUG_TARGET::ops
