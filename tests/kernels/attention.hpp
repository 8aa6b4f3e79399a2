// SPDX-License-Identifier: Apache-2.0
// Attention on a device.
#pragma once

#include <snug/backend/cuda/attention.cuh>

#include <algorithm>
#include <catch2/catch.hpp>
#include <cmath>
#include <cstring>
#include <random>
#include <vector>

#include "device_array.hpp"

namespace {

using snug::attention_shape;
using snug::bf16;
using snug::fp16;
using snug::index_t;
using snug_test::device_array;

/// The largest relative error of a rounding to T; for the types that are summed in, of a few sums.
template <class T>
constexpr double rounding_of = 0;
template <>
constexpr double rounding_of<bf16> = 1.0 / 256;
template <>
constexpr double rounding_of<fp16> = 1.0 / 2048;
template <>
constexpr double rounding_of<float> = 1e-6;
template <>
constexpr double rounding_of<double> = 1e-14;

/// Memory of the device that begins as NaN, with a margin that has to stay so.
template <class T>
class poisoned {
  public:
    explicit poisoned(index_t size)
        : size_{static_cast<std::size_t>(size)}, memory_(size_ * sizeof(T) + margin) {}
    T* data() const { return reinterpret_cast<T*>(memory_.data()); }

    /// What is there now; the margin is looked at, too.
    std::vector<T> values() const {
        auto const bytes = memory_.values();
        CHECK(
            std::all_of(bytes.end() - margin, bytes.end(), [](std::byte b) { return b == std::byte{0xFF}; }));
        std::vector<T> result(size_);
        if (size_ > 0) std::memcpy(result.data(), bytes.data(), size_ * sizeof(T));
        return result;
    }

  private:
    static constexpr std::ptrdiff_t margin = 256;
    std::size_t size_;
    device_array<std::byte> memory_;
};

template <class T>
std::vector<T> random_values(index_t size, unsigned seed, double spread = 1) {
    std::mt19937 engine{seed};
    std::normal_distribution<float> normal{0, static_cast<float>(spread)};
    std::vector<T> values(static_cast<std::size_t>(size));
    for (auto& v : values) v = T(normal(engine));
    return values;
}

struct problem {
    index_t sequences;
    index_t tokens;
    index_t past = 0;
    std::vector<std::int32_t> starts = {};
};

/// A number and how far from it a computed one may be.
struct expected {
    double value = 0;
    double bound = 0;
};

/// Attention as its definition has it, with bounds that follow from roundings to T of the probabilities, of the
/// gradients of the scores, of the output, and of the results.
template <class Shape, class T>
struct reference {
    std::vector<expected> out, logsumexp, d_qkv;

    /// `qkv` holds `past` rows before the first.
    reference(problem const& p, T const* qkv, T const* d_out) {
        constexpr double u = rounding_of<T>;
        constexpr index_t width = Shape::head_width;
        auto const rows = p.sequences * p.tokens;
        out.resize(static_cast<std::size_t>(rows * Shape::output_width));
        logsumexp.resize(static_cast<std::size_t>(rows * Shape::heads));
        d_qkv.resize(static_cast<std::size_t>(rows * Shape::qkv_width));
        double const scale = 1 / std::sqrt(static_cast<double>(width));
        for (index_t row = 0; row < rows; ++row)
            for (index_t head = 0; head < Shape::heads; ++head) {
                auto const first = row / p.tokens * p.tokens - p.past;
                auto const position = p.past + row % p.tokens;
                index_t low = p.starts.empty() ? 0 : p.starts[static_cast<std::size_t>(row)];
                if (Shape::window > 0) low = std::max(low, position - Shape::window + 1);
                auto const at = [&](index_t r, index_t offset) {
                    return [=](index_t c) {
                        return static_cast<double>(qkv[r * Shape::qkv_width + offset + c]);
                    };
                };
                auto const q = at(row, head * width);
                auto const group = head / Shape::queries_per_key * width;
                auto const k = [&](index_t j) { return at(first + j, Shape::key_offset + group); };
                auto const v = [&](index_t j) { return at(first + j, Shape::value_offset + group); };
                auto const d_o = [&](index_t c) {
                    return static_cast<double>(d_out[row * Shape::output_width + head * width + c]);
                };

                std::vector<double> weight(static_cast<std::size_t>(position + 1));
                double total = 0, largest_value = 0;
                for (index_t j = low; j <= position; ++j) {
                    double s = 0;
                    for (index_t c = 0; c < width; ++c) s += q(c) * k(j)(c);
                    total += weight[static_cast<std::size_t>(j)] = std::exp(s * scale);
                    for (index_t c = 0; c < width; ++c)
                        largest_value = std::max(largest_value, std::abs(v(j)(c)));
                }
                for (auto& w : weight) w /= total;
                double const noise = std::is_same_v<T, double> ? 1e-13 : 4e-6;
                logsumexp[static_cast<std::size_t>(row * Shape::heads + head)] = {std::log(total),
                                                                                  2.5 * noise};
                double row_sum = 0, row_sum_bound = 0;
                for (index_t c = 0; c < width; ++c) {
                    auto& o = out[static_cast<std::size_t>(row * Shape::output_width + head * width + c)];
                    for (index_t j = low; j <= position; ++j)
                        o.value += weight[static_cast<std::size_t>(j)] * v(j)(c);
                    o.bound = (2.1 * u + noise) * largest_value;
                    row_sum += d_o(c) * o.value;
                    row_sum_bound += std::abs(d_o(c)) * o.bound;
                }
                if (p.past != 0) continue;
                for (index_t j = low; j <= position; ++j) {
                    double const w = weight[static_cast<std::size_t>(j)];
                    double d_p = 0, magnitude = 0;
                    for (index_t c = 0; c < width; ++c) {
                        d_p += d_o(c) * v(j)(c);
                        magnitude += std::abs(d_o(c) * v(j)(c));
                    }
                    double const d_s = w * (d_p - row_sum) * scale;
                    double const d_s_bound =
                        (u + noise) * std::abs(d_s) + w * (row_sum_bound + noise * magnitude) * scale;
                    for (index_t c = 0; c < width; ++c) {
                        add(row, head * width + c, d_s * k(j)(c), d_s_bound * std::abs(k(j)(c)));
                        add(first + j, Shape::key_offset + group + c, d_s * q(c), d_s_bound * std::abs(q(c)));
                        add(first + j, Shape::value_offset + group + c, w * d_o(c),
                            (u + noise) * std::abs(w * d_o(c)));
                    }
                }
            }
        // Below the smallest normal number a rounding errs by a fraction of that, not of the value.
        double const smallest = std::is_same_v<T, fp16> ? 6e-8 : 1e-30;
        for (auto& x : d_qkv) x.bound = 1.1 * (x.bound + u * std::abs(x.value)) + 40 * smallest;
    }

    void add(index_t row, index_t column, double value, double bound) {
        auto& x = d_qkv[static_cast<std::size_t>(row * Shape::qkv_width + column)];
        x.value += value;
        x.bound += bound;
    }
};

/// The largest error in units of its bound; infinite when a number is none.
template <class T>
double worst(std::vector<expected> const& wanted, std::vector<T> const& got) {
    double result = 0;
    for (std::size_t i = 0; i < wanted.size(); ++i) {
        auto const error = std::abs(static_cast<double>(got[i]) - wanted[i].value) / wanted[i].bound;
        result = std::isnan(error) ? INFINITY : std::max(result, error);
    }
    return result;
}

template <class T>
using statistic_of = std::conditional_t<std::is_same_v<T, double>, double, float>;

template <class Shape, class T>
struct results {
    std::vector<T> out, d_qkv;
    std::vector<statistic_of<T>> logsumexp;

    results(problem const& p, std::vector<T> const& rows, std::vector<T> const& d_out, bool in_place) {
        auto const on = snug_test::on();
        device_array<T> const in(rows), gradient(d_out);
        device_array<std::int32_t> const first(p.starts);
        auto const count = p.sequences * p.tokens;
        poisoned<T> const to(count * Shape::output_width), d_to(count * Shape::qkv_width);
        poisoned<statistic_of<T>> const statistics(count * Shape::heads);
        poisoned<std::byte> const workspace(
            snug::backend::cuda::attention_backward_workspace<Shape, T>(p.sequences, p.tokens));
        T const* const qkv = in.data() + p.past * Shape::qkv_width;
        std::int32_t const* const starts = p.starts.empty() ? nullptr : first.data();
        attention_forward_on(on, Shape{}, p.sequences, p.tokens, p.past, qkv, starts, to.data(),
                             statistics.data(), workspace.data());
        if (p.past == 0) {
            if (in_place)
                snug::backend::cuda::copy_to_device(on, d_to.data(), rows.data(), rows.size() * sizeof(T));
            attention_backward_on(on, Shape{}, p.sequences, p.tokens, in_place ? d_to.data() : qkv, starts,
                                  static_cast<T const*>(to.data()), static_cast<T const*>(gradient.data()),
                                  static_cast<statistic_of<T> const*>(statistics.data()), d_to.data(),
                                  workspace.data());
        }
        out = to.values();
        d_qkv = d_to.values();
        logsumexp = statistics.values();
        (void)workspace.values();
        CHECK(snug_test::same_bits(in.values(), rows));
    }
    bool is_the_same_as(results const& other) const {
        return snug_test::same_bits(out, other.out) && snug_test::same_bits(d_qkv, other.d_qkv) &&
               snug_test::same_bits(logsumexp, other.logsumexp);
    }
};

template <class Shape, class T>
void check(problem const& p, double spread = 1) {
    CAPTURE(Shape::heads, Shape::kv_heads, Shape::head_width, T{}, sizeof(T), p.sequences, p.tokens, p.past,
            p.starts);
    auto const rows = p.sequences * p.tokens;
    auto const qkv = random_values<T>((p.past + rows) * Shape::qkv_width, 1, spread);
    auto const d_out = random_values<T>(rows * Shape::output_width, 2);
    reference<Shape, T> const wanted(p, qkv.data() + p.past * Shape::qkv_width, d_out.data());
    results<Shape, T> const got(p, qkv, d_out, false);
    CHECK(worst(wanted.out, got.out) <= 1);
    CHECK(worst(wanted.logsumexp, got.logsumexp) <= 1);
    if (p.past == 0) CHECK(worst(wanted.d_qkv, got.d_qkv) <= 1);
    // In place, and a second time: the same bits.
    CHECK(results<Shape, T>(p, qkv, d_out, true).is_the_same_as(got));
}

/// Examples that begin at these rows of each sequence.
std::vector<std::int32_t> starts_at(index_t sequences, index_t tokens,
                                    std::vector<std::int32_t> const& begins) {
    std::vector<std::int32_t> starts;
    for (index_t row = 0; row < sequences * tokens; ++row) {
        std::int32_t start = 0;
        for (auto const b : begins)
            if (b <= row % tokens) start = b;
        starts.push_back(start);
    }
    return starts;
}

template <class Shape, class T>
void check_lengths(std::initializer_list<index_t> lengths) {
    for (index_t const tokens : lengths) check<Shape, T>({2, tokens});
}

}  // namespace

TEMPLATE_TEST_CASE("attention of any number of tokens", "[cuda][attention]", bf16, fp16, float, double) {
    check_lengths<attention_shape<2, 2, 16>, TestType>({1, 7, 64, 65, 130});
    check_lengths<attention_shape<4, 2, 32>, TestType>({65});
    check_lengths<attention_shape<3, 1, 64>, TestType>({1, 65, 130});
}

TEMPLATE_TEST_CASE("attention of wide heads", "[cuda][attention]", bf16, fp16) {
    check<attention_shape<2, 1, 128>, TestType>({1, 130});
    check<attention_shape<1, 1, 80>, TestType>({1, 70});
    check<attention_shape<1, 1, 256>, TestType>({1, 70});
}

TEMPLATE_TEST_CASE("attention of heads that no tensor core takes", "[cuda][attention]", bf16, float, double) {
    static_assert(!snug::backend::cuda::attends_on_tensor_cores<attention_shape<2, 1, 20>, TestType>);
    check<attention_shape<2, 1, 20>, TestType>({2, 37});
    check<attention_shape<2, 1, 5>, TestType>({2, 37});
    check<attention_shape<1, 1, 272>, TestType>({1, 19});
}

TEMPLATE_TEST_CASE("examples that follow each other do not see each other", "[cuda][attention]", bf16, fp16,
                   float, double) {
    for (auto const& begins :
         {std::vector<std::int32_t>{0, 30}, {0, 64, 100}, {0, 1, 2, 127, 129}, {0, 70, 71}})
        check<attention_shape<2, 1, 64>, TestType>({2, 130, 0, starts_at(2, 130, begins)});
    check<attention_shape<1, 1, 128>, TestType>({1, 130, 0, starts_at(1, 130, {0, 40, 90})});
}

TEMPLATE_TEST_CASE("a window moves on with its query", "[cuda][attention]", bf16, fp16, float) {
    check<attention_shape<2, 1, 64, 1>, TestType>({1, 70});
    check<attention_shape<2, 1, 64, 37>, TestType>({2, 200});
    check<attention_shape<2, 1, 64, 37>, TestType>({1, 130, 0, starts_at(1, 130, {0, 70, 71})});
    check<attention_shape<2, 1, 64, 37>, TestType>({1, 5, 64});
    check<attention_shape<2, 1, 64, 150>, TestType>({1, 130});
    check<attention_shape<2, 1, 20, 9>, TestType>({2, 37});
}

TEMPLATE_TEST_CASE("new tokens see those before them", "[cuda][attention]", bf16, fp16, float, double) {
    for (snug::index_t const tokens : {1, 5})
        for (snug::index_t const past : {1, 64, 99}) {
            check<attention_shape<3, 1, 64>, TestType>({1, tokens, past});
            check<attention_shape<2, 2, 128>, TestType>(
                {1, tokens, past, std::vector<std::int32_t>(static_cast<std::size_t>(tokens), 1)});
        }
}

TEMPLATE_TEST_CASE("large scores neither overflow nor vanish", "[cuda][attention]", bf16, float) {
    check<attention_shape<2, 1, 64>, TestType>({1, 70}, 3);
}

TEMPLATE_TEST_CASE("what a tile corrects is not corrected again by those after it", "[cuda][attention]", bf16,
                   fp16) {
    check<attention_shape<1, 1, 16>, TestType>({1, 1500}, 4);
}
