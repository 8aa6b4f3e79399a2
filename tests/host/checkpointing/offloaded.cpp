// SPDX-License-Identifier: Apache-2.0
// Inputs of blocks that wait in the host's memory for backward: nothing but memory and time changes.
#include "../exact/plans.hpp"
#include "kept.hpp"

#include <filesystem>

namespace {

using namespace snug;
using checkpointing::every;
using checkpointing::every_block;
using checkpointing::group;
using checkpointing::keep;
using checkpointing::offloaded;
using checkpointing::plan;

constexpr index_t blocks = 10;
template <class... Policies>
using gpt2 = trainer<test::gpt2_of<blocks>, test::rows_of_16, Policies...>;
template <class... Policies>
using llama = trainer<test::llama_of<blocks>, test::rows_of_16, precision::mixed<bf16>,
                      accumulation::micro_batches<2>, test::lora_with_dropout, Policies...>;
/// Three blocks of a group have two inputs, and nothing that would leave.
using in_groups =
    offloaded<plan<group<6, every_block>, group<3, keep<"qkv.output">>, group<1, checkpointing::none>>>;

/// Values beside them, in two groups; what attention left of its input too.
using with_values =
    plan<group<5, offloaded<keep<"attention.output", "projection.output">, "attention.output">>,
         group<5, offloaded<checkpointing::none, "qkv.output", "norm2.output">>>;

/// In the folder in which the test runs, as a path of the program's own is no type.
using in_a_file = checkpointing::offloaded_to<checkpointing::file<".">, every_block>;

auto const of_gpt2 =
    test::trainers_of<meta::list<gpt2<>, gpt2<offloaded<>>, gpt2<offloaded<checkpointing::none>>,
                                 gpt2<offloaded<every<2>>>, gpt2<in_groups>, gpt2<with_values>>>();
auto const of_llama = test::trainers_of<
    meta::list<llama<>, llama<offloaded<keep<"attention.output">>>,
               llama<plan<group<5, offloaded<checkpointing::selective>>, group<5, every_block>>>,
               llama<offloaded<keep<"qkv.output", "attention.output">, "qkv.output", "attention.output">>>>();

/// 2 x 16 rows of width 24.
constexpr bytes input = 2 * 16 * 24 * bytes{sizeof(float)};
template <class Policy>
constexpr bytes activations = footprint<gpt2<Policy>>.activations;
template <class Policy>
constexpr bytes away = footprint<gpt2<Policy>>.paged;

// Of the nine inputs that wait for backward, beside that of the first block, three are where the step runs.
static_assert(away<every_block> == bytes{});
static_assert(away<offloaded<>> == 6 * input);
static_assert(activations<every_block> - activations<offloaded<>> == 6 * input);
static_assert(footprint<gpt2<every_block>>.total - footprint<gpt2<offloaded<>>>.total == 6 * input);
static_assert(away<offloaded<checkpointing::none>> == 6 * input);
static_assert(away<offloaded<every<2>>> == input);
static_assert(away<in_groups> == 2 * input);
static_assert(away<with_values> == input + 2 * input + input + 2 * (3 * input + input));
static_assert(away<offloaded<every<3>>> == bytes{});
static_assert(footprint<gpt2<offloaded<every<3>>>>.total == footprint<gpt2<every<3>>>.total);

}  // namespace

TEST_CASE("whatever is offloaded, what is trained is the same to the bit") {
    test::check_same_bits(of_gpt2);
    test::check_same_bits(of_llama);
}

TEST_CASE("what offloads allocates its plan, and a step reads only what it has written") {
    for (auto const* all : {&of_gpt2, &of_llama})
        for (std::size_t i = 1; i < all->size(); ++i) {
            test::check_bill((*all)[i]);
            test::check_layout((*all)[i]);
            test::check_allocations((*all)[i]);
            test::check_memory((*all)[i]);
        }
}

TEST_CASE("generation and evaluation need no inputs of blocks") {
    static_assert(gpt2<offloaded<checkpointing::none>>::composition::keeps_all_activations);
    static_assert(!gpt2<with_values>::composition::keeps_all_activations);
    gpt2<> none;
    gpt2<offloaded<checkpointing::none>> some;
    gpt2<offloaded<>> least;
    std::vector<std::int32_t> const prompt{5, 17, 3};
    generation_options options;
    options.tokens = 13;
    auto const text = none.generate(prompt, options);
    CHECK(some.generate(prompt, options) == text);
    CHECK(least.generate(prompt, options) == text);
    gpt2<with_values> without_keys;
    CHECK(without_keys.generate(prompt, options) == text);
}

TEST_CASE(
    "activations in a file: the same bits, no name, and what goes wrong is said when the trainer is made") {
    static_assert(footprint<gpt2<in_a_file>>.total == footprint<gpt2<offloaded<>>>.total);
    auto const all = test::trainers_of<meta::list<gpt2<>, gpt2<in_a_file>>>();
    auto const expected = test::packed_history(all[0]);
    auto const names = [] {
        std::vector<std::string> result;
        for (auto const& entry : std::filesystem::directory_iterator(".")) result.push_back(entry.path());
        return result;
    };
    auto const before = names();
    auto& calls = io::calls();
    auto const real = calls;
    static auto const real_open = calls.open;
    for (bool const has_nameless_files : {true, false}) {
        if (!has_nameless_files)
            calls.open = [](char const* path, int flags, mode_t mode) {
                if ((flags & O_TMPFILE) == O_TMPFILE) return errno = EOPNOTSUPP, -1;
                return real_open(path, flags, mode);
            };
        CHECK(test::same_bits(test::packed_history(all[1]), expected));
        gpt2<in_a_file> const run;
        CHECK(names() == before);
    }
    calls.reserve = [](int, off_t) { return ENOSPC; };
    CHECK_THROWS_WITH(gpt2<in_a_file>(), Catch::Contains("No space left") && Catch::Contains("room for"));
    calls = real;
    calls.map_shared = [](std::size_t, int) { return errno = ENOMEM, MAP_FAILED; };
    CHECK_THROWS_WITH(gpt2<in_a_file>(), Catch::Contains("mmap"));
    calls = real;
    calls.open = [](char const*, int, mode_t) { return errno = EACCES, -1; };
    CHECK_THROWS_WITH(gpt2<in_a_file>(), Catch::Contains("Permission denied"));
    calls = real;
    CHECK(names() == before);
}
