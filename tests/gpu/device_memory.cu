// SPDX-License-Identifier: Apache-2.0
#include "../trainer/device_memory.hpp"
