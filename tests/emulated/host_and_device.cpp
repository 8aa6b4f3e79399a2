// SPDX-License-Identifier: Apache-2.0
#include "../trainer/host_and_device.hpp"
