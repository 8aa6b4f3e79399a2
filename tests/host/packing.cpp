// SPDX-License-Identifier: Apache-2.0
// Several examples in one row: each is trained as if it were alone.
#include <catch2/catch.hpp>
#include <cmath>
#include <snug/snug.hpp>
#include <vector>

namespace {

using namespace snug;

using llama =
    models::llama<layers<2>, heads<4>, kv_heads<2>, width<16>, mlp<24>, vocabulary<61>, context<160>>;
using gpt2 = models::gpt2<layers<2>, heads<2>, width<16>, vocabulary<61>, context<160>>;

struct row {
    std::vector<std::int32_t> inputs, targets, starts;

    void add(snug::index_t count, std::uint64_t seed) {
        auto const start = static_cast<std::int32_t>(inputs.size());
        for (snug::index_t i = 0; i < count; ++i) {
            auto const token = [&](snug::index_t at) {
                return static_cast<std::int32_t>(random::bits(seed, 0, static_cast<std::uint64_t>(at)) % 61);
            };
            inputs.push_back(token(i));
            targets.push_back(i + 1 < count ? token(i + 1) : -1);
            starts.push_back(start);
        }
    }
};

double largest_difference(auto const& a, auto const& b) {
    double apart = 0, largest = 0;
    for (std::size_t i = 0; i < a.size(); ++i) {
        apart = std::max(apart, std::abs(static_cast<double>(a[i]) - static_cast<double>(b[i])));
        largest = std::max(largest, std::abs(static_cast<double>(b[i])));
    }
    return apart / largest;
}

/// Examples of 70, 3, 1 and 86 tokens in one row of 160, and one after the other in rows of their own.
template <class Model, class... Policies>
void packed_is_alone() {
    using packed = trainer<Model, batch<1, 160>, precision::full<fp64>, Policies...>;
    using alone =
        trainer<Model, batch<1, 160>, precision::full<fp64>, accumulation::micro_batches<4>, Policies...>;
    row together, apart;
    std::uint64_t seed = 3;
    for (snug::index_t const count : {70, 3, 1, 86}) {
        together.add(count, seed);
        row one;
        one.add(count, seed++);
        one.inputs.resize(160);
        one.targets.resize(160, -1);
        apart.inputs.insert(apart.inputs.end(), one.inputs.begin(), one.inputs.end());
        apart.targets.insert(apart.targets.end(), one.targets.begin(), one.targets.end());
    }
    packed a;
    alone b;
    auto const one = a.accumulate({together.inputs, together.targets, together.starts});
    auto const four = b.accumulate({apart.inputs, apart.targets});
    CHECK(one.loss == Approx(four.loss).epsilon(1e-13));
    CHECK(a.evaluate(token_batch{together.inputs, together.targets, together.starts}).loss == one.loss);
    for (auto const& entry : packed::composition::parameter_table.entries) {
        if (!entry.is_trained()) continue;
        INFO(entry.name.view());
        CHECK(largest_difference(a.gradients(entry.name.view()), b.gradients(entry.name.view())) < 1e-11);
    }
    // And it matters: without the starts they see each other.
    packed c;
    CHECK(std::abs(c.evaluate(token_batch{together.inputs, together.targets}).loss - one.loss) > 1e-6);
}

}  // namespace

TEST_CASE("examples packed into one row do not see each other") {
    packed_is_alone<llama>();
    packed_is_alone<gpt2>();
    packed_is_alone<llama, checkpointing::every_block>();
}

TEST_CASE("starts that go back, lie ahead or are of another number are refused") {
    using run_type = trainer<gpt2, batch<2, 4>>;
    run_type run;
    std::vector<std::int32_t> const tokens{1, 2, 3, 4, 5, 6, 7, 8};
    auto const step = [&](std::vector<std::int32_t> const& starts) { run.step({tokens, tokens, starts}); };
    CHECK_THROWS_WITH(step({0, 0, 0}),
                      Catch::Contains("3 starts of examples, expected none, or one for each"));
    CHECK_THROWS_WITH(step({0, 0, 2, 1, 0, 0, 0, 0}), Catch::Contains("found start 1 at position 3"));
    CHECK_THROWS_WITH(step({0, 0, 0, 0, 0, 2, 2, 2}), Catch::Contains("found start 2 at position 5"));
    CHECK_THROWS_WITH(step({-1, 0, 0, 0, 0, 0, 0, 0}), Catch::Contains("found start -1 at position 0"));
    CHECK_NOTHROW(step({0, 1, 2, 3, 0, 0, 2, 2}));
}
