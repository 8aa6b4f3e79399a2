// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <snug/ops/operation.hpp>

namespace snug::SNUG_TARGET::operation {
struct run_recorded;
}  // namespace snug::SNUG_TARGET::operation

namespace snug::SNUG_TARGET::ops {

/// What a backend keeps of a sequence of operations to run it again at once; nothing where it has no use for
/// it.
template <class Backend>
struct no_recording {};
template <class Backend>
struct recording_of {
    using type = no_recording<Backend>;
};
template <class Backend>
    requires requires { typename Backend::recording; }
struct recording_of<Backend> {
    using type = typename Backend::recording;
};
template <class Backend>
using recording = typename recording_of<Backend>::type;

template <class Backend, class Operations>
concept has_run_recorded = takes_bodies_for_granted ||
    requires(Backend on, recording<Backend>& recorded, Operations const& operations) {
    run_recorded_on(on, recorded, operations);
};

/// Runs `operations`, which must always be the same ones with the same arguments; what differs from run to
/// run lies in memory.
template <class Backend, class Operations>
inline void run_recorded(Backend on, recording<Backend>& recorded, Operations const& operations) {
    if constexpr (has_run_recorded<Backend, Operations>) run_recorded_on(on, recorded, operations);
    else (void)sizeof(missing_body<Backend, operation::run_recorded>);
}

}  // namespace snug::SNUG_TARGET::ops
