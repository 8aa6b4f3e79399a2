// SPDX-License-Identifier: Apache-2.0
// The plans of weights frozen in every quantization scheme.
#include "../plans.hpp"

TEMPLATE_LIST_TEST_CASE(
    "frozen: every line of a bill is exact, and buffers that are needed at the same time lie apart", "",
    test::frozen_precisions) {
    auto const all = test::plans_of<typename test::frozen_in<TestType>::type>();
    REQUIRE(all.size() == 10);
    test::check_plans(all, "frozen." + test::format_of<TestType>());
}
