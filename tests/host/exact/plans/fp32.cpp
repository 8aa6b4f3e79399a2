// SPDX-License-Identifier: Apache-2.0
// The plans of every composition in snug::precision::full<snug::fp32>.
#include "../plans.hpp"

TEST_CASE("fp32: every line of a bill is exact, and buffers that are needed at the same time lie apart") {
    auto const all = test::plans_of<test::composed_in<snug::precision::full<snug::fp32>>::type>();
    REQUIRE(all.size() >= 90);
    test::check_plans(all, "fp32");
}
