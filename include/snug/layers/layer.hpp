// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <snug/layers/call.hpp>
#include <snug/layers/declare.hpp>
#include <snug/layers/node.hpp>
#include <snug/layers/tables.hpp>
#include <snug/layers/traits.hpp>
#include <snug/layers/walk.hpp>
#include <snug/layers/work.hpp>

/// \file
/// A layer is a struct that declares what it needs and says how to run forward and backward; see docs/layers.md.
/// A leaf layer has `input_width`, `output_width` and two functions,
///
///     static void forward(auto const& call, auto x, auto y);                 // y(row, column, value) stores
///     static void backward(auto const& call, auto x, auto y, auto dy, auto dx);
///
/// and may declare `parameters`, `saved`, `forward_workspace<Setting>()`, `backward_workspace<Setting>()`, the four
/// `backward_...` constants, `cheap_to_recompute` and `stores_products` (traits.hpp), and `work<Setting>()`
/// (work.hpp). When a block runs again and nobody needs the output of its last layer, `save(call, x)` fills that
/// layer's `saved` buffers alone, if the layer `saves_without_output`; otherwise `forward` runs into nowhere. A
/// composite layer (`sequence`, `residual`, `repeat`) has children. Layers call operations (`snug::ops`); they know
/// neither backend nor policy.
