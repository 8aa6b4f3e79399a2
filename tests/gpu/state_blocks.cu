// SPDX-License-Identifier: Apache-2.0
#include "../kernels/state_blocks.hpp"
