// SPDX-License-Identifier: Apache-2.0
#pragma once

/// Everything a user needs: plan.hpp and what runs it.

// First, so that a refusal is not preceded by a long list of includes that lead to it.
#include <snug/layers/refusals.hpp>

#include <snug/backend/host.hpp>
#include <snug/data/token_batches.hpp>
#include <snug/engine/access.hpp>
#include <snug/engine/adapter_files.hpp>
#include <snug/engine/evaluate.hpp>
#include <snug/engine/generate.hpp>
#include <snug/engine/initialise.hpp>
#include <snug/engine/load.hpp>
#include <snug/engine/merge.hpp>
#include <snug/engine/snapshot.hpp>
#include <snug/engine/step.hpp>
#include <snug/hub/model_config.hpp>
#include <snug/io/gguf.hpp>
#include <snug/io/safetensors.hpp>
#include <snug/plan.hpp>
