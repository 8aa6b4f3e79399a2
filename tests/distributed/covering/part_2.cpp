// SPDX-License-Identifier: Apache-2.0
#include <distributed/covering/covering.hpp>

TEST_CASE("pairs of policies, part 2") { snug_test::check_part<2, snug_test::parts>(); }
