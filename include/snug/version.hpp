// SPDX-License-Identifier: Apache-2.0
#pragma once

/// \file
/// The version of these headers, for `#if` in programs that follow more than one. CMake reads it here. What changes with which
/// number: CONTRIBUTING.md, "Versions".

#define SNUG_VERSION_MAJOR 0
#define SNUG_VERSION_MINOR 1
#define SNUG_VERSION_PATCH 0
/// In one number that can be compared: 0.1.0 is 100, 1.2.3 is 10203.
#define SNUG_VERSION (SNUG_VERSION_MAJOR * 10000 + SNUG_VERSION_MINOR * 100 + SNUG_VERSION_PATCH)
