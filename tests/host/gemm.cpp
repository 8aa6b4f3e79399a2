// SPDX-License-Identifier: Apache-2.0
#include <omp.h>
#include <catch2/catch.hpp>

#include <algorithm>
#include <array>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <limits>
#include <random>
#include <thread>
#include <type_traits>
#include <utility>
#include <vector>

#include "snug/backend/host/gemm.hpp"
#include "snug/backend/host/parallel.hpp"
#include "snug/precision/bf16.hpp"

namespace {

using snug::bf16;
using namespace snug::backend::host;

/// A random matrix whose storage holds NaN wherever it is not an element, so that a read past a row shows.
template <class T>
struct matrix {
    std::int64_t leading;
    bool transposed;
    std::vector<T> storage;

    matrix(std::int64_t rows, std::int64_t columns, bool transposed_, std::uint32_t seed)
        : transposed(transposed_) {
        std::int64_t const lines = transposed ? columns : rows;
        std::int64_t const length = transposed ? rows : columns;
        leading = length + 3;
        storage.assign(static_cast<std::size_t>(lines * leading), T(std::numeric_limits<float>::quiet_NaN()));
        std::minstd_rand random(seed);
        for (std::int64_t l = 0; l < lines; ++l) {
            for (std::int64_t i = 0; i < length; ++i) {
                storage[static_cast<std::size_t>(l * leading + i)] =
                    T(static_cast<float>(random() % 2048u) / 1024.0f - 1.0f);
            }
        }
    }

    operand<T> view() const {
        return transposed ? operand<T>{storage.data(), 1, leading} : operand<T>{storage.data(), leading, 1};
    }
};

template <class T>
double element(operand<T> const& x, std::int64_t i, std::int64_t j) {
    return static_cast<double>(x.data[i * x.row_stride + j * x.column_stride]);
}

/// Scratch of exactly the promised size between guard bytes.
class guarded_scratch {
  public:
    explicit guarded_scratch(std::int64_t bytes)
        : size(static_cast<std::size_t>(bytes)), memory(size + 3 * guard) {
        std::fill(memory.begin(), memory.end(), mark);
    }

    std::byte* data() {
        auto const address = reinterpret_cast<std::uintptr_t>(memory.data());
        return memory.data() + ((address + guard) / 64 * 64 + 64 - address);
    }

    bool guards_are_whole() {
        auto const is_mark = [](std::byte b) { return b == mark; };
        auto const begin = memory.begin() + (data() - memory.data());
        return std::all_of(memory.begin(), begin, is_mark) &&
               std::all_of(begin + static_cast<std::ptrdiff_t>(size), memory.end(), is_mark);
    }

  private:
    static constexpr std::size_t guard = 128;
    static constexpr std::byte mark{0xA5};
    std::size_t size;
    std::vector<std::byte> memory;
};

template <class Sum>
struct product {
    std::vector<Sum> sums;
    bool every_element_once;
    bool scratch_respected;
};

template <class A, class B>
product<accumulator_of<A, B>> multiply(std::int64_t m, std::int64_t n, std::int64_t k, operand<A> a,
                                       operand<B> b, int threads) {
    using sum = accumulator_of<A, B>;
    product<sum> result{std::vector<sum>(static_cast<std::size_t>(m * n)), true, true};
    std::vector<unsigned char> calls(static_cast<std::size_t>(m * n), 0);
    auto const epilogue = [&](std::int64_t i, std::int64_t j, std::int64_t count, sum const* sums) {
        for (std::int64_t c = 0; c < count; ++c) {
            result.sums[static_cast<std::size_t>(i * n + j + c)] = sums[c];
            ++calls[static_cast<std::size_t>(i * n + j + c)];
        }
    };
    if (threads == 0) {
        guarded_scratch scratch(gemm_serial_scratch_bytes<A, B>(n, k));
        gemm_serial(m, n, k, a, b, scratch.data(), epilogue);
        result.scratch_respected = scratch.guards_are_whole();
    } else {
        int const before = omp_get_max_threads();
        omp_set_num_threads(threads + 1);  // more than there is scratch for
        guarded_scratch scratch(gemm_scratch_bytes<A, B>(n, k, threads));
        gemm(threads, m, n, k, a, b, scratch.data(), epilogue);
        omp_set_num_threads(before);
        result.scratch_respected = scratch.guards_are_whole();
    }
    result.every_element_once =
        std::all_of(calls.begin(), calls.end(), [](unsigned char c) { return c == 1; });
    return result;
}

template <class T>
bool same_bits(std::vector<T> const& x, std::vector<T> const& y) {
    return x.size() == y.size() && std::memcmp(x.data(), y.data(), x.size() * sizeof(T)) == 0;
}

struct shape {
    std::int64_t m, n, k;
};

// Single elements, tails of every block size, several tiles in each direction and several chunks of k.
constexpr shape shapes[] = {{1, 1, 1},      {1, 37, 5},     {3, 1, 2},      {13, 33, 17},
                            {64, 64, 64},   {12, 32, 384},  {97, 70, 385},  {23, 300, 771},
                            {200, 261, 90}, {1030, 34, 19}, {390, 780, 31}, {11, 7, 1800}};

template <class A, class B>
void check_against_double_sums() {
    using sum = accumulator_of<A, B>;
    std::uint32_t seed = 1;
    for (auto const& [m, n, k] : shapes) {
        for (bool const a_transposed : {false, true}) {
            for (bool const b_transposed : {false, true}) {
                CAPTURE(m, n, k, a_transposed, b_transposed);
                matrix<A> const a(m, k, a_transposed, ++seed);
                matrix<B> const b(k, n, b_transposed, ++seed);
                auto const serial = multiply(m, n, k, a.view(), b.view(), 0);
                auto const one = multiply(m, n, k, a.view(), b.view(), 1);
                auto const two = multiply(m, n, k, a.view(), b.view(), 2);
                auto const three = multiply(m, n, k, a.view(), b.view(), 3);
                for (auto const* p : {&serial, &one, &two, &three}) {
                    REQUIRE(p->every_element_once);
                    REQUIRE(p->scratch_respected);
                    REQUIRE(same_bits(p->sums, serial.sums));
                }
                // The bound of a sum in any order, Higham, "Accuracy and Stability of Numerical Algorithms", 3.1.
                double const unit_roundoff = std::numeric_limits<sum>::epsilon();
                double worst = 0;
                for (std::int64_t i = 0; i < m; ++i) {
                    for (std::int64_t j = 0; j < n; ++j) {
                        double exact = 0;
                        double magnitude = 0;
                        for (std::int64_t l = 0; l < k; ++l) {
                            double const term = element(a.view(), i, l) * element(b.view(), l, j);
                            exact += term;
                            magnitude += std::abs(term);
                        }
                        auto const got =
                            static_cast<double>(serial.sums[static_cast<std::size_t>(i * n + j)]);
                        auto const bound = static_cast<double>(k) * unit_roundoff * magnitude;
                        // The comparison is this way round so that a NaN fails it.
                        if (!(std::abs(got - exact) <= bound)) {
                            worst = std::max(worst, bound > 0 ? std::abs(got - exact) / bound : 2.0);
                            worst = std::isnan(worst) || !std::isfinite(got) ? 2.0 : worst;
                        }
                    }
                }
                REQUIRE(worst <= 1.0);
            }
        }
    }
}

}  // namespace

TEMPLATE_TEST_CASE("gemm equals the sum in double, with the same bits on any number of threads",
                   "[host][gemm]", (std::pair<float, float>), (std::pair<bf16, bf16>),
                   (std::pair<double, double>), (std::pair<float, bf16>), (std::pair<bf16, float>),
                   (std::pair<float, double>), (std::pair<double, float>), (std::pair<bf16, double>),
                   (std::pair<double, bf16>)) {
    check_against_double_sums<typename TestType::first_type, typename TestType::second_type>();
}

TEMPLATE_TEST_CASE("a row of gemm has the same bits alone as in any batch", "[host][gemm]", float, bf16,
                   double) {
    constexpr std::int64_t m = 131;
    constexpr std::int64_t n = 150;
    constexpr std::int64_t k = 901;
    bool const a_transposed = GENERATE(false, true);
    bool const b_transposed = GENERATE(false, true);
    matrix<TestType> const a(m, k, a_transposed, 7);
    matrix<TestType> const b(k, n, b_transposed, 8);
    auto const all = multiply(m, n, k, a.view(), b.view(), 2).sums;
    for (std::int64_t const rows : {1, 2, 5, 11, 12, 100}) {
        for (std::int64_t first = 0; first < m; first += rows) {
            std::int64_t const count = std::min(rows, m - first);
            auto part = a.view();
            part.data += first * part.row_stride;
            auto const some = multiply(count, n, k, part, b.view(), static_cast<int>(first % 3)).sums;
            REQUIRE(std::memcmp(some.data(), all.data() + first * n, some.size() * sizeof(some[0])) == 0);
        }
    }
}

TEST_CASE("gemm inside a parallel loop runs on the calling thread, in its own scratch", "[host][gemm]") {
    constexpr std::int64_t m = 40;
    constexpr std::int64_t n = 50;
    constexpr std::int64_t k = 60;
    matrix<float> const a(m, k, false, 3);
    matrix<float> const b(k, n, true, 4);
    auto const expected = multiply(m, n, k, a.view(), b.view(), 0).sums;
    std::array<std::vector<float>, 4> results;
    std::vector<guarded_scratch> scratch;
    for (auto& r : results) {
        r.resize(m * n);
        scratch.emplace_back(gemm_scratch_bytes<float>(n, k, 1));
    }
    parallel_for(2, 4, [&](std::int64_t task) {
        auto const index = static_cast<std::size_t>(task);
        gemm(1, m, n, k, a.view(), b.view(), scratch[index].data(),
             [&](std::int64_t i, std::int64_t j, std::int64_t count, float const* sums) {
                 std::copy(sums, sums + count, results[index].data() + i * n + j);
             });
    });
    for (std::size_t i = 0; i < results.size(); ++i) {
        REQUIRE(same_bits(results[i], expected));
        REQUIRE(scratch[i].guards_are_whole());
    }
}

TEST_CASE("parallel_for calls every index once, in slots below its bound, and nests serially",
          "[host][parallel]") {
    int const before = omp_get_max_threads();
    for (int const offered : {1, 2, 3, 17, 64})
        for (int const most : {1, 2, 5}) {
            omp_set_num_threads(offered);
            std::vector<int> calls(1000, 0);
            std::vector<int> slots(1000, -1);
            std::vector<int> inner(1000 * 3, 0);
            parallel_for(most, 1000, [&](std::int64_t i, int slot) {
                ++calls[static_cast<std::size_t>(i)];
                slots[static_cast<std::size_t>(i)] = slot;
                auto const outer = std::this_thread::get_id();
                parallel_for(most, 3, [&](std::int64_t j, int inner_slot) {
                    if (std::this_thread::get_id() == outer && inner_slot == 0 && thread_count(most) == 1)
                        ++inner[static_cast<std::size_t>(i * 3 + j)];
                });
            });
            REQUIRE(std::all_of(calls.begin(), calls.end(), [](int c) { return c == 1; }));
            REQUIRE(std::all_of(inner.begin(), inner.end(), [](int c) { return c == 1; }));
            REQUIRE(std::is_sorted(slots.begin(), slots.end()));
            REQUIRE(slots.front() == 0);
            REQUIRE(slots.back() < std::min(most, offered));
            REQUIRE(omp_get_max_threads() == offered);
            REQUIRE(thread_count(most) == std::min(most, offered));
        }
    omp_set_num_threads(before);
}

TEST_CASE("the scratch of gemm is known at compile time and small per thread", "[host][gemm]") {
    constexpr auto serial = gemm_serial_scratch_bytes<float, bf16>(1024, 1024);
    STATIC_REQUIRE(serial <= 512 * 1024);
    STATIC_REQUIRE(gemm_scratch_bytes<float>(50257, 50257, 2) ==
                   2 * gemm_scratch_bytes<float>(50257, 50257, 1));
    STATIC_REQUIRE(gemm_scratch_bytes<float>(50257, 50257, 1) <= 3 * 1024 * 1024);
}
