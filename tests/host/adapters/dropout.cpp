// SPDX-License-Identifier: Apache-2.0
// The dropout of an adapter's input.
#include <omp.h>
#include <catch2/catch.hpp>
#include <cmath>
#include <snug/quantization/nf4.hpp>
#include <snug/snug.hpp>
#include <vector>

namespace {

using namespace snug;
using snug::index_t;

// One layer by itself ------------------------------------------------------------------------------------------

/// A linear layer under LoRA, run by hand: `x` (Rows, In) holds ones until changed, all weights are 0.
template <index_t In, index_t Out, index_t Rank, index_t Rows, class Dropout>
struct lone_layer {
    using adapter = adapters::lora<rank<Rank>, alpha<2 * Rank>, dropout<Dropout>>;
    using layer_type = low_rank_linear<linear<In, Out, false>, quantization::none, adapter>;
    using setting = snug::setting<1, Rows, precision::full<fp64>, host_threads<2>>;
    using values = std::vector<double>;

    static std::size_t size(index_t count) { return static_cast<std::size_t>(count); }

    values w = values(size(Out * In)), a = values(size(Rank * In)), b = values(size(Out * Rank));
    values d_a = a, d_b = b;
    values x = values(size(Rows * In), 1), y = values(size(Rows * Out)), dy = y, dx = x;
    values low_rank = values(size(Rows * Rank));
    std::uint64_t drawn = 0;
    arena workspace{bytes{std::max(layer_type::template forward_workspace<setting>(),
                                   layer_type::template backward_workspace<setting>())}};

    auto call(std::uint64_t key) {
        auto const at = [](values& v) { return reinterpret_cast<std::byte*>(v.data()); };
        layer_call<layer_type, setting> result;
        result.values = {at(w), at(a), at(b)};
        result.gradients = {nullptr, at(d_a), at(d_b)};
        result.saved_buffers = {at(low_rank)};
        result.scratch = workspace.data();
        result.span = {1, Rows, 0};
        drawn = key;
        if (key != 0) result.draws = {&drawn, 0, 0};
        return result;
    }
    void forward(std::uint64_t key) {
        layer_type::forward(call(key), matrix<double, In>{x.data(), Rows},
                            written<double, Out>{{y.data(), Rows}});
    }
    void backward(std::uint64_t key) {
        layer_type::backward(call(key), matrix<double, In>{x.data(), Rows},
                             matrix<double, Out>{y.data(), Rows}, matrix<double, Out>{dy.data(), Rows},
                             written<double, In>{{dx.data(), Rows}});
    }
};

/// The factors that the mask of `key` has, (Rows, In): what comes out when A is the identity and the input is ones.
template <index_t In, index_t Rows, class Dropout>
std::vector<double> mask_of(std::uint64_t key) {
    lone_layer<In, 1, In, Rows, Dropout> layer;
    for (std::size_t i = 0; i < static_cast<std::size_t>(In); ++i)
        layer.a[i * static_cast<std::size_t>(In) + i] = 1;
    layer.forward(key);
    for (auto& value : layer.low_rank) value /= 2;  // alpha / rank
    return layer.low_rank;
}

/// Counts of a binomial distribution are within 5 deviations.
void check_share(double found, double expected, double trials) {
    INFO("share " << found << " of " << trials);
    CHECK(std::abs(found - expected) <= 5 * std::sqrt(expected * (1 - expected) / trials));
}

}  // namespace

TEST_CASE("dropout drops its part of the inputs and scales the rest by what makes up for it") {
    using snug::index_t;
    auto const check = []<class Dropout>(Dropout) {
        constexpr double part = static_cast<double>(Dropout::num) / static_cast<double>(Dropout::den);
        constexpr index_t in = 128, rows = 512;
        double dropped = 0, pairs = 0, below = 0;
        auto const mask = mask_of<in, rows, Dropout>(1);
        for (std::size_t i = 0; i < mask.size(); ++i) {
            if (mask[i] == 0) ++dropped;
            else REQUIRE(mask[i] == Approx(1 / (1 - part)).epsilon(1e-15));
            // Neighbours along the row and down the column fall together no more often than chance has it.
            if (i > 0 && mask[i] == 0 && mask[i - 1] == 0) ++pairs;
            if (i >= in && mask[i] == 0 && mask[i - in] == 0) ++below;
        }
        auto const count = static_cast<double>(mask.size());
        check_share(dropped / count, part, count);
        check_share(pairs / count, part * part, count);
        check_share(below / count, part * part, count);
    };
    check(std::ratio<5, 100>{});
    check(std::ratio<1, 2>{});
    check(std::ratio<9, 10>{});
}

TEST_CASE("dropout draws another mask for another key, and none without one") {
    auto const one = mask_of<64, 64, std::ratio<1, 2>>(1);
    CHECK(mask_of<64, 64, std::ratio<1, 2>>(1) == one);
    auto const other = mask_of<64, 64, std::ratio<1, 2>>(3);
    double same = 0;
    for (std::size_t i = 0; i < one.size(); ++i) same += one[i] == other[i];
    check_share(same / 4096, 0.5, 4096);
    CHECK(mask_of<64, 64, std::ratio<1, 2>>(0) == std::vector<double>(4096, 1.0));
}

TEST_CASE("dropout is in the update only, forward and backward") {
    using snug::index_t;
    constexpr index_t in = 12, out = 7, r = 3, rows = 9;
    constexpr double scale = 2;
    constexpr std::uint64_t key = 77;
    using layer_type = lone_layer<in, out, r, rows, std::ratio<1, 4>>;
    layer_type layer;
    std::uint64_t stream = 0;
    for (auto* values : {&layer.w, &layer.a, &layer.b, &layer.x, &layer.dy}) {
        for (std::size_t i = 0; i < values->size(); ++i) (*values)[i] = random::normal<double>(5, stream, i);
        ++stream;
    }
    auto const mask = mask_of<in, rows, std::ratio<1, 4>>(key);
    auto const at = [](std::vector<double> const& values, index_t columns) {
        return [&values, columns](index_t row, index_t column) {
            return values[static_cast<std::size_t>(row * columns + column)];
        };
    };
    auto const w = at(layer.w, in), a = at(layer.a, in), b = at(layer.b, r), x = at(layer.x, in),
               dy = at(layer.dy, out), m = at(mask, in);
    auto const sum = [](index_t count, auto const& term) {
        double total = 0;
        for (index_t i = 0; i < count; ++i) total += term(i);
        return total;
    };
    layer.forward(key);
    layer.backward(key);
    auto const low = [&](index_t row, index_t k) {
        return scale * sum(in, [&](index_t c) { return x(row, c) * m(row, c) * a(k, c); });
    };
    auto const d_low = [&](index_t row, index_t k) {
        return scale * sum(out, [&](index_t j) { return dy(row, j) * b(j, k); });
    };
    auto const check = [](double found, double expected) { CHECK(found == Approx(expected).margin(1e-11)); };
    for (index_t row = 0; row < rows; ++row) {
        for (index_t j = 0; j < out; ++j)
            check(at(layer.y, out)(row, j), sum(in, [&](index_t c) { return x(row, c) * w(j, c); }) +
                                                sum(r, [&](index_t k) { return low(row, k) * b(j, k); }));
        for (index_t c = 0; c < in; ++c)
            check(at(layer.dx, in)(row, c),
                  sum(out, [&](index_t j) { return dy(row, j) * w(j, c); }) +
                      m(row, c) * sum(r, [&](index_t k) { return d_low(row, k) * a(k, c); }));
    }
    for (index_t k = 0; k < r; ++k) {
        for (index_t c = 0; c < in; ++c)
            check(at(layer.d_a, in)(k, c),
                  sum(rows, [&](index_t row) { return d_low(row, k) * x(row, c) * m(row, c); }));
        for (index_t j = 0; j < out; ++j)
            check(at(layer.d_b, r)(j, k), sum(rows, [&](index_t row) { return dy(row, j) * low(row, k); }));
    }
}

// In a model ---------------------------------------------------------------------------------------------------

namespace {

using model =
    models::llama<layers<3>, heads<4>, kv_heads<2>, width<32>, mlp<48>, vocabulary<61>, context<16>>;
using half = dropout<std::ratio<1, 2>>;

struct tokens {
    std::vector<std::int32_t> inputs, targets;
    explicit tokens(std::uint64_t seed, std::size_t count = 64) {
        for (std::size_t i = 0; i < count; ++i) {
            inputs.push_back(static_cast<std::int32_t>(random::bits(seed, 0, i) % 61));
            targets.push_back(static_cast<std::int32_t>(random::bits(seed, 1, i) % 61));
        }
    }
    token_batch batch() const { return {inputs, targets}; }
};

template <class... Policies>
using fine_tuning = trainer<model, batch<2, 16>, accumulation::micro_batches<2>, Policies...>;

/// B starts at 0, and with it the update: a mask would not be seen.
template <class Run>
void make_the_update_matter(Run& run) {
    for (auto const& entry : Run::composition::parameter_table.entries)
        if (entry.name.view().ends_with("lora_B")) {
            auto const b = run.weights(entry.name.view());
            for (std::size_t i = 0; i < b.size(); ++i)
                b[i] = static_cast<typename Run::weight_type>(0.3f * random::normal<float>(11, 0, i));
        }
    run.weights_changed();
}

/// Losses and gradient norms of a few steps, then what has been trained.
template <class... Policies>
std::vector<double> history(std::uint64_t seed = 0) {
    fine_tuning<Policies...> run;
    make_the_update_matter(run);
    run.options.learning_rate = schedule::constant(1e-2);
    run.options.dropout_seed = seed;
    std::vector<double> all;
    for (std::uint64_t step = 0; step < 3; ++step) {
        auto const result = run.step(tokens(step).batch());
        all.insert(all.end(), {result.loss, result.gradient_norm});
    }
    for (auto const& entry : decltype(run)::composition::parameter_table.entries)
        if (entry.is_trained())
            for (auto const value : run.weights(entry.name.view())) all.push_back(static_cast<double>(value));
    return all;
}

}  // namespace

TEST_CASE("dropout is the same bits when blocks are computed again, and at any number of threads") {
    auto const check = []<class... Policies>(fine_tuning<Policies...>*) {
        auto const threads = omp_get_max_threads();
        omp_set_num_threads(1);
        auto const plain = history<Policies...>();
        CHECK((history<Policies..., checkpointing::every_block>() == plain));
        omp_set_num_threads(2);
        CHECK((history<Policies...>() == plain));
        CHECK((history<Policies..., checkpointing::selective>() == plain));
        omp_set_num_threads(threads);
        CHECK((history<Policies...>(1) != plain));
    };
    check(static_cast<fine_tuning<adapters::lora<rank<4>, half>>*>(nullptr));
    check(static_cast<
          fine_tuning<adapters::dora<rank<4>, half>, quantization::nf4<64>, precision::mixed<bf16>>*>(
        nullptr));
}

TEST_CASE("dropout differs from step to step and between micro-batches, and is not in evaluate") {
    fine_tuning<adapters::lora<rank<4>, half>> run;
    fine_tuning<adapters::lora<rank<4>>> without;
    make_the_update_matter(run);
    make_the_update_matter(without);
    tokens data(1, 32);
    // Both micro-batches the same: only their masks can differ.
    for (auto* const values : {&data.inputs, &data.targets})
        values->insert(values->end(), values->begin(), values->end());
    CHECK(run.evaluate(data.batch()).loss == without.evaluate(data.batch()).loss);
    CHECK(run.evaluate(data.batch()).loss == run.evaluate(data.batch()).loss);

    run.options.learning_rate = schedule::constant(0);
    without.options.learning_rate = schedule::constant(0);
    auto const first = run.step(data.batch()), second = run.step(data.batch());
    CHECK(first.loss != second.loss);
    CHECK(without.step(data.batch()).loss == without.step(data.batch()).loss);
    CHECK(without.step(data.batch()).loss != first.loss);
    CHECK(run.evaluate(data.batch()).loss == without.evaluate(data.batch()).loss);

    // Two batches that wait for one update are masked as differently as two micro-batches.
    auto const one = run.accumulate(data.batch()), two = run.accumulate(data.batch());
    CHECK(one.loss != two.loss);
    run.update(two);

    // The mean of two different micro-batches is that of neither.
    auto quiet = data;
    for (std::size_t i = 32; i < 64; ++i) quiet.targets[i] = -1;
    fine_tuning<adapters::lora<rank<4>, half>> again;
    make_the_update_matter(again);
    CHECK(again.step(quiet.batch()).loss != Approx(first.loss).epsilon(1e-9));
}
