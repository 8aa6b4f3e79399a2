// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <snug/policy.hpp>

namespace snug::SNUG_TARGET {

/// What moves bytes between the processes of one training. A *world* is an object of one of these classes: this process's
/// membership. Names alone, so that a plan needs no MPI.
namespace distributed {
class self;
class threads;
class mpi;
/// NCCL for the memory of devices, beside a world for the program's.
template <class World>
class nccl_beside;
using nccl = nccl_beside<mpi>;
}  // namespace distributed

/// It moves memory of devices as well; others move the program's alone.
template <class World>
inline constexpr bool moves_device_memory = false;
template <class World>
inline constexpr bool moves_device_memory<distributed::nccl_beside<World>> = true;

/// What ranks talk over: `over<distributed::mpi>`. The class is a tag here, and may be one that nobody has defined yet.
template <class World>
struct over {
    using axis = snug::axis::transport;
    using world = World;
};

}  // namespace snug::SNUG_TARGET
