// SPDX-License-Identifier: Apache-2.0
// The plan is what runs, for weights frozen in every quantization scheme, in mixed<snug::fp16>.
#include "promises.hpp"

namespace {

auto const all = test::frozen_subjects<snug::precision::mixed<snug::fp16>>();

}  // namespace

TEST_CASE("frozen, fp16: every line of the bill is exact") {
    REQUIRE(all.size() == 10);
    for (auto const& s : all) test::check_bill(s);
}

TEST_CASE("frozen, fp16: buffers that are needed at the same time lie apart") {
    for (auto const& s : all) test::check_layout(s);
}

TEST_CASE("frozen, fp16: construction is one allocation and a step none") {
    for (auto const& s : all) test::check_allocations(s);
}

TEST_CASE("frozen, fp16: the allocation is the footprint, and a step reads only what it has written") {
    for (auto const& s : all) test::check_memory(s);
}
