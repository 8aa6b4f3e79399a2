// SPDX-License-Identifier: Apache-2.0
// The same trainer from the same weights on the host and on the device: what the tests of that share.
#pragma once

#define SNUG_TEST_ON_CUDA
#include "place.hpp"

#include <catch2/catch.hpp>
#include <cmath>
#include <string>
#include <vector>

namespace {

using namespace snug;

// Widths that whole 16-byte accesses fill, and heads for tensor cores; and others, rotated by scaled frequencies.
using gpt2 = models::gpt2<layers<2>, heads<2>, width<64>, vocabulary<131>, context<32>>;
using llama =
    models::llama<layers<2>, heads<4>, kv_heads<2>, width<64>, mlp<96>, vocabulary<131>, context<32>>;
using odd = models::llama<layers<2>, heads<3>, kv_heads<1>, width<42>, mlp<27>, vocabulary<61>, context<32>,
                          tied_head<1>, rope_scaling<rope::llama3<8, 1, 4, 16>>>;
using qwen3 = models::qwen3<layers<2>, heads<4>, kv_heads<2>, head_width<32>, width<64>, mlp<96>,
                            vocabulary<131>, context<32>, tied_head<1>>;

template <class... Policies>
struct both {
    using on_host = trainer<Policies..., on<host>>;
    using on_device = trainer<Policies..., on<snug::cuda>>;
};

template <class Run>
struct step_data {
    std::vector<std::int32_t> inputs, targets, starts;
    explicit step_data(std::uint64_t seed, bool packed) {
        constexpr auto vocabulary = static_cast<std::uint64_t>(Run::composition::model::vocabulary);
        for (std::uint64_t i = 0; i < static_cast<std::uint64_t>(Run::tokens_per_step); ++i) {
            inputs.push_back(static_cast<std::int32_t>(random::bits(seed, 0, i) % vocabulary));
            targets.push_back(i % 7 == 3 ? -1
                                         : static_cast<std::int32_t>(random::bits(seed, 1, i) % vocabulary));
            auto const position = static_cast<std::int32_t>(i % Run::composition::batch::tokens);
            if (packed) starts.push_back(position < 5 ? 0 : position < 19 ? 5 : 19);
        }
    }
    token_batch batch() const { return {inputs, targets, starts}; }
};

/// Copies every parameter from one trainer into the other.
template <class From, class To>
void copy_parameters(From const& from, To& to) {
    for (auto const& entry : From::composition::parameter_table.entries) {
        auto const name = entry.name.view();
        if (entry.is_derived()) continue;
        if (entry.is_quantized()) to.set_stored(name, from.copy_of_stored(name));
        else to.set_weights(name, from.copy_of_weights(name));
    }
}

/// Largest difference of two arrays, relative to the largest magnitude.
template <class Values>
double apart(Values const& a, Values const& b) {
    double largest = 1e-30, difference = 0;
    for (std::size_t i = 0; i < a.size(); ++i) {
        largest = std::max(largest, std::abs(static_cast<double>(a[i])));
        difference = std::max(difference, std::abs(static_cast<double>(a[i]) - static_cast<double>(b[i])));
    }
    return difference / largest;
}

/// `bound` is relative: of the loss and of the gradients in the first step; later steps add up to a few times that.
template <class Pair>
void agree(double bound, bool packed = false) {
    using host_run = typename Pair::on_host;
    using device_run = typename Pair::on_device;
    host_run a(1);
    device_run b(2);
    // What starts at zero would hide what depends on it.
    for (auto const& entry : host_run::composition::parameter_table.entries)
        if (std::string_view(entry.name.view()).find("lora_B") != std::string_view::npos) {
            auto values = a.copy_of_weights(entry.name.view());
            for (std::size_t i = 0; i < values.size(); ++i)
                values[i] = static_cast<typename host_run::weight_type>(
                    0.02f * random::normal(7, static_cast<std::uint64_t>(entry.count), i));
            a.set_weights(entry.name.view(), values);
        }
    copy_parameters(a, b);
    a.options.learning_rate = b.options.learning_rate = 1e-3;
    a.options.groups = b.options.groups = {{.where = "blocks.1.*", .learning_rate = 0.25}};
    step_data<host_run> const first(0, packed);
    auto const found_a = a.accumulate(first.batch());
    auto const found_b = b.accumulate(first.batch());
    CHECK(found_b.loss == Approx(found_a.loss).epsilon(bound));
    for (auto const& entry : host_run::composition::parameter_table.entries) {
        if (!entry.is_trained()) continue;
        auto const name = entry.name.view();
        INFO("gradient of " << name);
        CHECK(apart(a.copy_of_gradients(name), b.copy_of_gradients(name)) <= 4 * bound);
    }
    auto const norm = a.update(found_a).gradient_norm;
    CHECK(b.update(found_b).gradient_norm == Approx(norm).epsilon(4 * bound));
    for (std::uint64_t step = 1; step < 5; ++step) {
        step_data<host_run> const data(step, packed && step % 2 == 1);
        auto const expected = a.step(data.batch());
        auto const found = b.step(data.batch());
        INFO("step " << step);
        CHECK(found.loss == Approx(expected.loss).epsilon(4 * bound));
        CHECK(found.tokens == expected.tokens);
    }
    step_data<host_run> const data(9, packed);
    CHECK(b.evaluate(data.batch()).loss == Approx(a.evaluate(data.batch()).loss).epsilon(4 * bound));
}

inline constexpr double fp32_bound = 2e-5, bf16_bound = 2e-2, fp16_bound = 3e-3;

}  // namespace
