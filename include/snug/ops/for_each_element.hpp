// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <snug/ops/bound.hpp>
#include <snug/ops/operation.hpp>

namespace snug::SNUG_TARGET::operation {
struct for_each_element;
}  // namespace snug::SNUG_TARGET::operation

namespace snug::SNUG_TARGET::ops {

template <class Backend, class Body>
concept has_for_each_element = takes_bodies_for_granted ||
    requires(Backend on, index_t count, Body const& body) {
    for_each_element_on(on, count, body);
};

/// body(i) for every i below `count`, in any order, on all threads.
template <class Backend, class Body>
inline void for_each_element(Backend on, index_t count, Body const& body) {
    if constexpr (has_for_each_element<Backend, Body>) for_each_element_on(on, count, body);
    else (void)sizeof(missing_body<Backend, operation::for_each_element, Body>);
}

}  // namespace snug::SNUG_TARGET::ops
