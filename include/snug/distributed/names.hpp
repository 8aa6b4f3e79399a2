// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <snug/policy.hpp>
#include <type_traits>

namespace snug::SNUG_TARGET {

/// What moves bytes between the processes of one training. A *world* is an object of one of these classes: this process's
/// membership. Names alone, so that a plan needs no MPI.
namespace distributed {
class self;
class threads;
class mpi;
class nccl;
}  // namespace distributed

/// It moves memory of devices; others move the program's.
template <class World>
inline constexpr bool moves_device_memory = std::is_same_v<World, distributed::nccl>;

/// What ranks talk over: `over<distributed::mpi>`. The class is a tag here, and may be one that nobody has defined yet.
template <class World>
struct over {
    using axis = snug::axis::transport;
    using world = World;
};

}  // namespace snug::SNUG_TARGET
