// SPDX-License-Identifier: Apache-2.0
// Trainers of several ranks whose devices talk over NCCL: each rank a thread with a device of its own.
#pragma once

#include "place.hpp"

#include <catch2/catch.hpp>
#include <distributed/acts.hpp>
#include <snug/distributed/nccl.cuh>

using namespace snug_test;
namespace sharding = snug::sharding;

namespace {

using snug::distributed::threads;
using nccl_world = snug::distributed::nccl_beside<threads>;

// Four micro-batches of a step over all ranks.
template <class Model, class Sharding, class... Policies>
using moved = job_over<nccl_world, Model, Sharding, 4 / Sharding::ranks, place, Policies...>;
template <class Model, class Sharding, class... Policies>
using staged = job<Model, Sharding, 4 / Sharding::ranks, place, Policies...>;

}  // namespace
