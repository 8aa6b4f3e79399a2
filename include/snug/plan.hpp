// SPDX-License-Identifier: Apache-2.0
#pragma once

/// The light umbrella: models, axes, memory. Enough for a file that only asserts budgets: no backend's bodies, no Thrust.

// First, so that a refusal is not preceded by a long list of includes that lead to it.
#include <snug/layers/refusals.hpp>
#include <snug/layers/sequence.hpp>

#include <snug/layers/keeping.hpp>

#include <snug/adapters/partial.hpp>
#include <snug/backend/cuda/tag.hpp>
#include <snug/memory/budget.hpp>
#include <snug/memory/devices.hpp>
#include <snug/memory/report.hpp>
#include <snug/models/presets.hpp>
#include <snug/models/weight_bytes.hpp>
#include <snug/optimizers/lion.hpp>
#include <snug/optimizers/sgd.hpp>
#include <snug/quantization/schemes.hpp>
#include <snug/sharding/traffic.hpp>
#include <snug/trainer.hpp>
#include <snug/version.hpp>

// Last, for the same reason.
#include <snug/engine/values.hpp>
#include <snug/engine/work.hpp>
