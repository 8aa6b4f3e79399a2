// SPDX-License-Identifier: Apache-2.0
#include <distributed/anywhere/anywhere.hpp>

std::vector<snug_test::one_of_sixteen> snug_test::stage_3() { return all_of_stage<3>(); }
