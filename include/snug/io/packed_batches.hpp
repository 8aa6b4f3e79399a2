// SPDX-License-Identifier: Apache-2.0
#pragma once

// The old address.
#include <snug/data/packed_batches.hpp>
