// SPDX-License-Identifier: Apache-2.0
// The plan is what runs, for weights frozen in every quantization scheme, in pure<snug::bf16>.
#include "promises.hpp"

namespace {

auto const all = test::frozen_subjects<snug::precision::pure<snug::bf16>>();

}  // namespace

TEST_CASE("frozen, pure bf16: every line of the bill is exact") {
    REQUIRE(all.size() == 10);
    for (auto const& s : all) test::check_bill(s);
}

TEST_CASE("frozen, pure bf16: buffers that are needed at the same time lie apart") {
    for (auto const& s : all) test::check_layout(s);
}

TEST_CASE("frozen, pure bf16: construction is one allocation and a step none") {
    for (auto const& s : all) test::check_allocations(s);
}

TEST_CASE("frozen, pure bf16: the allocation is the footprint, and a step reads only what it has written") {
    for (auto const& s : all) test::check_memory(s);
}
