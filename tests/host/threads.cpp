// SPDX-License-Identifier: Apache-2.0
// Whichever thread steps and however many there are: the same bits, within the workspaces that the plan has.
#include "../trainer/laws.hpp"

#include <omp.h>
#include <sys/wait.h>
#include <unistd.h>

#include <sstream>
#include <thread>

namespace {

// Attention, products with and without quantized weights, a head in chunks: everything that has memory for each thread, and
// more heads and sequences than threads.
using full = placed<gpt2, batch<8, 16>>;
using narrow = snug::trainer<gpt2, batch<8, 16>, on<host_threads<2>>>;
using quantized = snug::trainer<
    models::llama<layers<2>, heads<4>, kv_heads<4>, width<64>, mlp<96>, vocabulary<61>, context<16>>,
    batch<8, 16>, precision::mixed<bf16>, quantization::nf4<64>,
    adapters::lora<rank<4>, alpha<8>, targets<all_linear>>, on<host_threads<2>>>;

using bits = std::vector<unsigned char>;

bits losses_of(auto& run, int steps = 2) {
    bits all;
    for (int i = 0; i < steps; ++i) {
        tokens const data(static_cast<std::size_t>(run.tokens_per_step), static_cast<std::uint64_t>(i));
        auto const result = run.step(data.batch());
        for (double const number : {result.loss, result.gradient_norm}) {
            unsigned char bytes[sizeof number];
            std::memcpy(bytes, &number, sizeof number);
            all.insert(all.end(), std::begin(bytes), std::end(bytes));
        }
    }
    return all;
}

/// OpenMP's number of threads for the calling thread, for as long as this lives.
struct offered {
    explicit offered(int threads) { omp_set_num_threads(threads); }
    ~offered() { omp_set_num_threads(before); }
    int before = omp_get_max_threads();
};

template <class Run>
bits alone() {
    offered const one(1);
    Run run;
    return losses_of(run);
}

template <class F>
auto in_another_thread(F const& f) {
    decltype(f()) result{};
    std::thread thread([&] { result = f(); });
    thread.join();
    return result;
}

constexpr int many[] = {1, 2, 17, 64};

}  // namespace

TEMPLATE_TEST_CASE("a step has the same bits at any number of threads, set before or after construction", "",
                   full, narrow, quantized) {
    auto const expected = alone<TestType>();
    for (int const before : many)
        for (int const after : many) {
            INFO(before << " threads, then " << after);
            offered const first(before);
            TestType run;
            CHECK(omp_get_max_threads() == before);
            offered const then(after);
            CHECK(losses_of(run) == expected);
            CHECK(omp_get_max_threads() == after);
        }
}

TEMPLATE_TEST_CASE("a trainer steps in another thread than the one that made it", "", full, narrow,
                   quantized) {
    auto const expected = alone<TestType>();
    for (int const threads : many) {
        INFO(threads << " threads");
        TestType run;
        CHECK(in_another_thread([&] {
                  offered const here(threads);
                  return losses_of(run);
              }) == expected);
    }
}

TEMPLATE_TEST_CASE("every thread of an outer team steps a trainer of its own", "", full, narrow, quantized) {
    auto const expected = alone<TestType>();
    for (int const team : {2, 5}) {
        INFO("a team of " << team);
        std::vector<TestType> runs(static_cast<std::size_t>(team));
        std::vector<bits> results(static_cast<std::size_t>(team));
#pragma omp parallel num_threads(team)
        {
            auto const me = static_cast<std::size_t>(omp_get_thread_num());
            results[me] = losses_of(runs[me]);
        }
        for (auto const& result : results) CHECK(result == expected);
    }
}

TEST_CASE("two trainers in two threads do not meet") {
    auto const expected = alone<full>();
    auto const expected_narrow = alone<narrow>();
    full a;
    narrow b;
    bits of_a, of_b;
    std::thread first([&] { of_a = losses_of(a); });
    std::thread second([&] {
        offered const here(17);
        of_b = losses_of(b);
    });
    first.join();
    second.join();
    CHECK(of_a == expected);
    CHECK(of_b == expected_narrow);
}

TEST_CASE("a process that was forked after a step goes on, on one thread and with the same bits") {
    auto const expected = alone<full>();
    offered const two(2);
    full run;
    auto const first = losses_of(run, 1);
    auto const child = fork();
    REQUIRE(child >= 0);
    auto const go_on = [&] {
        tokens const data(static_cast<std::size_t>(full::tokens_per_step), 1);
        return run.step(data.batch()).loss;
    };
    double wanted;
    std::memcpy(&wanted, expected.data() + first.size(), sizeof wanted);
    if (child == 0) {
        alarm(60);  // a team that is not there would be waited for
        _exit(go_on() == wanted ? 0 : 1);
    }
    int status = -1;
    REQUIRE(waitpid(child, &status, 0) == child);
    CHECK(status == 0);
    CHECK(go_on() == wanted);
}

TEST_CASE("a trainer that was moved from says so") {
    full run;
    full const owner = std::move(run);
    tokens const data(static_cast<std::size_t>(full::tokens_per_step));
    std::vector<std::int32_t> const prompt{1, 2};
    auto const refused = Catch::Contains("a trainer that was moved from");
    // NOLINTBEGIN(bugprone-use-after-move)
    CHECK_THROWS_WITH(run.step(data.batch()), refused);
    CHECK_THROWS_WITH(run.accumulate(data.batch()), refused);
    CHECK_THROWS_WITH(run.evaluate(data.batch()), refused);
    CHECK_THROWS_WITH(run.generate(prompt), refused);
    CHECK_THROWS_WITH(run.next_token_logits(prompt), refused);
    CHECK_THROWS_WITH(run.weights("norm.weight"), refused);
    CHECK_THROWS_WITH(run.copy_of_weights("norm.weight"), refused);
    CHECK_THROWS_WITH(run.save("/nonexistent/moved.snapshot"), refused);
    // NOLINTEND(bugprone-use-after-move)
}

TEST_CASE("a report says when a machine has more threads than a trainer uses, and how to use them") {
    CHECK(snug::idle_threads(16, 16).empty());
    CHECK(snug::idle_threads(16, 2).empty());
    CHECK_THAT(snug::idle_threads(16, 64), Catch::Contains("at most 16 of this machine's 64 threads") &&
                                               Catch::Contains("host_threads<64>"));
}
