// SPDX-License-Identifier: Apache-2.0
#include "../trainer/adapters_on_host_and_device.hpp"
