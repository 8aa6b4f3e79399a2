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

TEST_CASE("weights changed from outside reach the master copy") {
    // A plain loop from one place of the arena to another is what g++ 12 gets wrong at -O1 and -O2: it writes the store's
    // address as the null pointer plus a difference, takes the store for undefined and the function for one without
    // effects, and drops the call. This program is compiled at -O1.
    using trainer = snug::trainer<gpt2, batch<2, 11>, precision::mixed<bf16>>;
    using composition = trainer::composition;
    test::guarded_seam seam;
    trainer run;
    for (auto const& entry : composition::parameter_table.entries)
        for (auto& weight : run.weights(entry.name.view())) weight = bf16(0.375f);
    run.weights_changed();
    int wrong = 0;
    for (int p = 0; p < composition::parameters; ++p) {
        auto const masters = run.store().masters(p);
        CHECK(reinterpret_cast<std::byte*>(masters.data()) >= seam.memory());
        wrong += masters.empty() ||
                 std::any_of(masters.begin(), masters.end(), [](float x) { return x != 0.375f; });
    }
    CHECK(wrong == 0);
}

// The plan -----------------------------------------------------------------------------------------------------

namespace {

/// The same composition with every buffer in memory of its own, and a fence behind each.
template <class Composition>
struct fenced : Composition {
    static constexpr snug::index_t fence = 4096;
    static constexpr auto plan = [] {
        auto result = Composition::plan;
        snug::index_t next = 0;
        for (std::size_t i = 0; i < result.offsets.size(); ++i) {
            result.offsets[i] = next;
            next += round_up(result.declarations[i].size().count, buffer_alignment) + fence;
        }
        result.sizes[0] = {next};
        return result;
    }();
};

template <class Run>
std::vector<double> losses(Run& run) {
    std::vector<double> all;
    for (int step = 0; step < 4; ++step) {
        auto const done = run.step(data_for<Run>(step).batch());
        all.push_back(done.loss);
        all.push_back(done.gradient_norm);
    }
    return all;
}

template <class Trainer>
void sharing_changes_no_bit() {
    using apart = fenced<typename Trainer::composition>;
    test::use_threads(2);
    Trainer shared;
    test::guarded_seam seam;
    run<apart> separate;
    CHECK(losses(separate) == losses(shared));
    for (std::size_t i = 0; i < apart::plan.offsets.size(); ++i) {
        auto const& buffer = apart::plan.declarations[i];
        auto const* const end = seam.memory() + apart::plan.offsets[i] + buffer.size().count;
        auto const* const next = i + 1 < apart::plan.offsets.size()
                                     ? seam.memory() + apart::plan.offsets[i + 1]
                                     : seam.memory() + seam.size();
        INFO("behind " << buffer.name.view());
        CHECK(std::all_of(end, next, [](std::byte b) { return b == test::guarded_seam::nan_byte; }));
    }
}

template <class Checkpointing>
constexpr memory_bill gpt2_124m = footprint<trainer<models::gpt2_124m, batch<4, 1024>, Checkpointing>>;

}  // namespace

TEST_CASE(
    "buffers that share memory give the same bits as buffers apart, and nothing is written behind one") {
    sharing_changes_no_bit<trainer<gpt2, batch<2, 11>>>();
    sharing_changes_no_bit<
        trainer<gpt2, batch<2, 11>, checkpointing::every_block, accumulation::micro_batches<2>>>();
    sharing_changes_no_bit<
        trainer<gpt2, batch<2, 11>, checkpointing::selective, accumulation::micro_batches<2>>>();
    sharing_changes_no_bit<trainer<llama, batch<2, 11>, precision::mixed<bf16>, checkpointing::every<2>>>();
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
