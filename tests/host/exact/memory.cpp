// SPDX-License-Identifier: Apache-2.0
// The one allocation: when it is refused, when it moves, and what the plan makes of it.
#include "promises.hpp"

#include <algorithm>
#include <new>

namespace {

using namespace snug;

using gpt2 = models::gpt2<layers<5>, heads<3>, width<18>, vocabulary<37>, context<11>>;
using llama =
    models::llama<layers<5>, heads<4>, kv_heads<2>, width<24>, mlp<27>, vocabulary<41>, context<16>>;

template <class Trainer>
struct data_for : test::tokens_of_step {
    explicit data_for(int step) : test::tokens_of_step(numbers(), step) {}
    static test::subject numbers() {
        test::subject s;
        s.tokens = Trainer::tokens_per_step;
        s.vocabulary = Trainer::composition::model::vocabulary;
        return s;
    }
};

}  // namespace

TEST_CASE("every way to get memory is counted") {
    if (SNUG_TEST_COUNTS_CALLS) {
        auto const made = [](auto get) {
            auto const before = test::calls();
            get();
            return test::calls() - before;
        };
        struct alignas(128) wide {
            char bytes[128];
        };
        static void* volatile kept;  // or the compiler leaves the pair out
        CHECK(made([] { kept = std::malloc(1), std::free(kept); })[test::call::malloc] == 1);
        CHECK(made([] { kept = std::calloc(1, 1), std::free(kept); })[test::call::calloc] == 1);
        CHECK(made([] { kept = std::realloc(nullptr, 1), std::free(kept); })[test::call::realloc] == 1);
        CHECK(made([] { kept = aligned_alloc(64, 64), std::free(kept); })[test::call::aligned_alloc] == 1);
        CHECK(made([] { kept = memalign(64, 64), std::free(kept); })[test::call::memalign] == 1);
        CHECK(made([] { kept = ::operator new(1), ::operator delete(kept); })[test::call::malloc] == 1);
        CHECK(made([] { kept = new wide, delete static_cast<wide*>(kept); })[test::call::aligned_alloc] == 1);
        CHECK(made([] {
                  void* p = nullptr;
                  if (posix_memalign(&p, 64, 64) == 0) kept = p, std::free(p);
              })[test::call::posix_memalign] == 1);
        CHECK(made([] {
                  kept = mmap(nullptr, 4096, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
                  munmap(kept, 4096);
              })[test::call::mmap] == 1);
    }
}

TEST_CASE("memory that is not to be had is an error that names the size, and leaks nothing") {
    using trainer = snug::trainer<gpt2, batch<2, 11>>;
    test::guarded_seam seam;
    seam.fail();
    std::string words(200, ' ');
    auto const bytes_left_behind = [&] {
        auto const before = mallinfo2().uordblks;
        try {
            trainer run;
        } catch (error const& refused) {
            words.assign(refused.what(), std::min(words.size(), std::strlen(refused.what())));
        }
        return mallinfo2().uordblks - before;
    };
    bytes_left_behind();  // the first exception of a program sets things up
    auto const left_behind = bytes_left_behind();
    CHECK_THAT(words, Catch::Contains("not enough free memory") &&
                          Catch::Contains(to_string(footprint<trainer>.total)));
    CHECK(left_behind == 0);
    CHECK(seam.allocations() == 2);
    CHECK(seam.size() == static_cast<std::size_t>(footprint<trainer>.total.count));
    CHECK(seam.releases() == 0);
}

TEST_CASE("the default seam refuses what no machine has") {
    // AddressSanitizer ends the program instead.
    if (SNUG_TEST_COUNTS_CALLS)
        CHECK_THROWS_WITH(arena(bytes{std::int64_t{1} << 60}), Catch::Contains("not enough free memory"));
}

TEST_CASE("a trainer moves with its memory, which is released once") {
    using trainer = snug::trainer<gpt2, batch<2, 11>>;
    test::guarded_seam seam;
    {
        trainer first;
        trainer second(std::move(first));
        second.step(data_for<trainer>(0).batch());
        CHECK(second.allocated() == footprint<trainer>.total);
        CHECK(seam.releases() == 0);
    }
    CHECK(seam.allocations() == 1);
    CHECK(seam.releases() == 1);
    CHECK(seam.guards_are_whole());
}

TEST_CASE("evaluation and the logits of a next token allocate nothing") {
    using trainer = snug::trainer<llama, batch<2, 16>, precision::mixed<bf16>>;
    test::use_threads(2);
    trainer run;
    data_for<trainer> const data(0);
    auto const sequence = std::span(data.inputs).first(9);
    auto const before = test::calls();
    run.evaluate(data.batch());
    run.next_token_logits(sequence);
    run.next_token_logits(sequence, 8);
    CHECK(test::calls() - before == test::tally{});
}

// The plan -----------------------------------------------------------------------------------------------------

namespace {

/// The same composition with every buffer in memory of its own.
template <class Composition>
struct unpacked : Composition {
    static constexpr auto plan = [] {
        auto all = Composition::plan.declarations;
        for (auto& d : all) d.alive = lifetime::always();
        return pack(all);
    }();
};

template <class Run>
std::vector<double> losses() {
    Run run;
    std::vector<double> all;
    for (int step = 0; step < 4; ++step) {
        auto const done = run.step(data_for<Run>(step).batch());
        all.push_back(done.loss);
        all.push_back(done.gradient_norm);
    }
    return all;
}

template <class Trainer>
void packing_changes_no_bit() {
    using composition = typename Trainer::composition;
    static_assert(unpacked<composition>::plan.total > composition::plan.total);
    CHECK(losses<run<unpacked<composition>>>() == losses<Trainer>());
}

template <class Checkpointing>
constexpr memory_bill gpt2_124m = footprint<trainer<models::gpt2_124m, batch<4, 1024>, Checkpointing>>;

}  // namespace

TEST_CASE("sharing memory changes no bit") {
    packing_changes_no_bit<trainer<gpt2, batch<2, 11>>>();
    packing_changes_no_bit<
        trainer<gpt2, batch<2, 11>, checkpointing::every_block, accumulation::micro_batches<2>>>();
    packing_changes_no_bit<
        trainer<gpt2, batch<2, 11>, checkpointing::selective, accumulation::micro_batches<2>>>();
    packing_changes_no_bit<trainer<llama, batch<2, 11>, precision::mixed<bf16>, checkpointing::every<2>>>();
}

TEST_CASE("the more is recomputed, the less is kept") {
    constexpr auto none = gpt2_124m<checkpointing::none>, selective = gpt2_124m<checkpointing::selective>,
                   square_root = gpt2_124m<checkpointing::square_root>,
                   every_block = gpt2_124m<checkpointing::every_block>;
    CHECK(selective.total < none.total);
    CHECK(square_root.total < selective.total);
    CHECK(every_block.total < square_root.total);
    CHECK(every_block.activations < square_root.activations);
    for (auto const& bill : {none, selective, square_root, every_block}) {
        CHECK(bill.weights == none.weights);
        CHECK(bill.gradients == none.gradients);
        CHECK(bill.optimizer_state == none.optimizer_state);
    }
}

TEST_CASE("a step of accumulation needs no more memory than a step without") {
    using one = trainer<gpt2, batch<2, 11>, checkpointing::every<2>>;
    using many = trainer<gpt2, batch<2, 11>, checkpointing::every<2>, accumulation::micro_batches<64>>;
    CHECK(footprint<many>.total == footprint<one>.total);
}
