// SPDX-License-Identifier: Apache-2.0
#define SNUG_TEST_ON_CUDA
#include "../trainer/nccl.hpp"
