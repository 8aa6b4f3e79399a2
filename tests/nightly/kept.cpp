// SPDX-License-Identifier: Apache-2.0
// Every set of values that a block may keep, 16 blocks of a model each with another.
#include <host/checkpointing/kept.hpp>

namespace {

template <class... Policies>
using tested = snug::trainer<SNUG_TESTED<16>, test::rows_of_16, SNUG_PRECISION, Policies...>;

template <unsigned First, unsigned... I>
test::plan_of_sets<(First + I)...> sixteen(std::integer_sequence<unsigned, I...>);
template <unsigned First>
using trainer_from =
    tested<SNUG_ADAPTER, decltype(sixteen<First>(std::make_integer_sequence<unsigned, 16>{}))>;

using all = snug::meta::list<tested<SNUG_ADAPTER>, trainer_from<0>, trainer_from<16>, trainer_from<32>,
                             trainer_from<48>, trainer_from<64>, trainer_from<80>, trainer_from<96>,
                             trainer_from<112>>;

}  // namespace

TEST_CASE("every set of kept values trains the same to the bit, in memory that is planned") {
    auto const subjects = test::trainers_of<all>();
    REQUIRE(subjects.size() == 9);
    test::check_same_bits(subjects);
    for (auto const& s : subjects) {
        test::check_allocations(s);
        test::check_memory(s);
    }
}
