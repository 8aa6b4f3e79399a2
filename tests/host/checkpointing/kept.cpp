// SPDX-License-Identifier: Apache-2.0
// Whatever blocks keep by name, nothing but memory and time changes. Here any two values are kept and not, together and each without
// the other, in one model of many blocks; all sets are for the night (tests/nightly/kept.cpp).
#include "kept.hpp"

#include <bit>

namespace {

using namespace snug;
using checkpointing::group;
using checkpointing::keep;
using checkpointing::plan;

/// Of the columns of an orthogonal array of 8 rows (a Hadamard matrix's), any two have all four pairs.
template <unsigned Row>
constexpr unsigned set_of_row = [] {
    unsigned set = 0;
    for (unsigned v = 0; v < test::values_of_a_block; ++v)
        set |= (static_cast<unsigned>(std::popcount(Row & (v + 1))) & 1) << v;
    return set;
}();
template <unsigned... Rows>
test::plan_of_sets<set_of_row<Rows>...> sets_of_rows(std::integer_sequence<unsigned, Rows...>);
constexpr index_t blocks = 8;
constexpr unsigned sets[] = {set_of_row<0>, set_of_row<1>, set_of_row<2>, set_of_row<3>,
                             set_of_row<4>, set_of_row<5>, set_of_row<6>, set_of_row<7>};
using in_pairs = decltype(sets_of_rows(std::make_integer_sequence<unsigned, blocks>{}));
static_assert([] {
    for (unsigned a = 0; a < test::values_of_a_block; ++a)
        for (unsigned b = 0; b < a; ++b) {
            unsigned met = 0;
            for (unsigned set : sets) met |= 1u << ((set >> a & 1) * 2 + (set >> b & 1));
            if (met != 15) return false;
        }
    return true;
}());

template <class... Policies>
using gpt2 = trainer<test::gpt2_of<blocks>, test::rows_of_16, Policies...>;
template <class... Policies>
using llama = trainer<test::llama_of<blocks>, test::rows_of_16, precision::mixed<bf16>,
                      accumulation::micro_batches<2>, test::lora_with_dropout, Policies...>;

/// By a list of names, several blocks of a group.
using keys_in_all = plan<group<blocks / 2, keep<"qkv.output", "projection.output">>,
                         group<blocks - blocks / 2, keep<"attention.output", "qkv.output">>>;

auto const of_gpt2 = test::trainers_of<meta::list<gpt2<>, gpt2<in_pairs>>>();
auto const of_llama = test::trainers_of<meta::list<llama<>, llama<in_pairs>, llama<keys_in_all>>>();

}  // namespace

TEST_CASE("whatever a block keeps, what is trained is the same to the bit") {
    test::check_same_bits(of_gpt2);
    test::check_same_bits(of_llama);
}

TEST_CASE("what keeps by name allocates its plan, and a step reads only what it has written") {
    for (auto const* all : {&of_gpt2, &of_llama})
        for (std::size_t i = 1; i < all->size(); ++i) {
            test::check_allocations((*all)[i]);
            test::check_memory((*all)[i]);
        }
}

TEST_CASE(
    "generation goes on from kept keys and values where all blocks keep them, and is the same where not") {
    static_assert(llama<keys_in_all>::composition::keeps_all_activations);
    static_assert(!llama<in_pairs>::composition::keeps_all_activations);
    llama<> none;
    llama<in_pairs> some;
    llama<keys_in_all> kept;
    std::vector<std::int32_t> const prompt{5, 17, 3};
    generation_options options;
    options.tokens = 13;
    auto const text = none.generate(prompt, options);
    CHECK(text.size() == 13);
    CHECK(some.generate(prompt, options) == text);
    CHECK(kept.generate(prompt, options) == text);
}
