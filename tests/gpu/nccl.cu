// SPDX-License-Identifier: Apache-2.0
#include <snug/distributed/nccl.cuh>

#define SNUG_TEST_ON_CUDA
#include "../trainer/nccl.hpp"
