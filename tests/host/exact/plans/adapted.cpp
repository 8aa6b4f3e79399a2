// SPDX-License-Identifier: Apache-2.0
// The plans of adapters x quantization x optimizer states x checkpointing.
#include "../plans.hpp"

TEMPLATE_LIST_TEST_CASE(
    "adapted: every line of a bill is exact, and buffers that are needed at the same time lie apart", "",
    test::adapted_precisions) {
    auto const all = test::plans_of<typename test::adapted_in<TestType>::type>();
    REQUIRE(all.size() == 27);
    test::check_plans(all, "adapted." + test::format_of<TestType>());
}
