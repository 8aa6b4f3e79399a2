// SPDX-License-Identifier: Apache-2.0
#include <catch2/catch.hpp>

#include <snug/backend/cuda/matmul.cuh>
#include <snug/precision/bf16.hpp>
#include <snug/precision/fp16.hpp>
#include <snug/quantization/schemes.hpp>

#include <array>
#include <cmath>
#include <cstdint>
#include <cstring>
#include <limits>
#include <random>
#include <string>
#include <tuple>
#include <type_traits>
#include <utility>
#include <vector>

namespace {

using snug::bf16;
using snug::fp16;
using snug::index;
using snug::matrix;
using snug::product;
using snug::transposed;
namespace cuda = snug::backend::cuda;
namespace q = snug::quantization;

constexpr auto at(index i) { return static_cast<std::size_t>(i); }

/// Numbers in device memory, from `offset` elements after a multiple of 256 bytes on.
template <class T>
class device_array {
  public:
    explicit device_array(std::vector<T> const& values, index offset = 0) : size_(values.size()) {
        auto const bytes = (size_ + at(offset)) * sizeof(T);
        REQUIRE(cudaMalloc(&memory_, bytes) == cudaSuccess);
        data_ = memory_ + offset;
        if (size_ > 0)
            REQUIRE(cudaMemcpy(data_, values.data(), size_ * sizeof(T), cudaMemcpyHostToDevice) == cudaSuccess);
    }
    device_array(device_array const&) = delete;
    ~device_array() { (void)cudaFree(memory_); }

    T* data() const { return data_; }
    std::vector<T> values() const {
        std::vector<T> result(size_);
        REQUIRE(cudaDeviceSynchronize() == cudaSuccess);
        if (size_ > 0)
            REQUIRE(cudaMemcpy(result.data(), data_, size_ * sizeof(T), cudaMemcpyDeviceToHost) == cudaSuccess);
        return result;
    }

  private:
    std::size_t size_;
    T* memory_ = nullptr;
    T* data_ = nullptr;
};

/// Rows x columns in double.
struct dense {
    index rows, columns;
    std::vector<double> values;

    dense(index r, index c) : rows(r), columns(c), values(at(r * c)) {}
    double& operator()(index i, index j) { return values[at(i * columns + j)]; }
    double operator()(index i, index j) const { return values[at(i * columns + j)]; }
};

dense flipped(dense const& m) {
    dense result(m.columns, m.rows);
    for (index i = 0; i < m.rows; ++i)
        for (index j = 0; j < m.columns; ++j) result(j, i) = m(i, j);
    return result;
}

template <class T>
std::vector<T> random_numbers(index count, std::uint32_t seed) {
    std::minstd_rand random(seed);
    std::vector<T> result(at(count));
    for (auto& x : result) x = T(static_cast<float>(random() % 2048u) / 1024.0f - 1.0f);
    return result;
}

/// A random matrix on the device; what lies between its rows is NaN.
template <class T, index Width, index Stride = Width>
struct stored {
    index rows;
    dense numbers;
    device_array<T> memory;

    stored(index r, std::uint32_t seed, index offset = 0)
        : rows(r), numbers(r, Width), memory(fill(seed), offset) {}

    matrix<T const, Width, Stride> view() const { return {memory.data(), rows}; }

  private:
    std::vector<T> fill(std::uint32_t seed) {
        std::vector<T> result(at(rows * Stride), T(std::numeric_limits<float>::quiet_NaN()));
        auto const values = random_numbers<T>(rows * Width, seed);
        for (index i = 0; i < rows; ++i)
            for (index j = 0; j < Width; ++j) {
                result[at(i * Stride + j)] = values[at(i * Width + j)];
                numbers(i, j) = static_cast<double>(values[at(i * Width + j)]);
            }
        return result;
    }
};

/// A store that only snug's own kernels know: the sums themselves, and how often each was given.
template <class Sum, index Width>
struct recorded {
    Sum* sums;
    int* calls;

    template <class Value>
    constexpr void operator()(index row, index column, Value value) const {
        static_assert(std::is_same_v<Value, Sum>);
        sums[row * Width + column] = value;
        ++calls[row * Width + column];
    }
};

struct sums_and_magnitudes {
    dense sums, magnitudes;
};
sums_and_magnitudes multiplied(std::vector<std::pair<dense, dense>> const& factors) {
    auto const m = factors[0].first.rows, n = factors[0].second.columns;
    sums_and_magnitudes result{dense(m, n), dense(m, n)};
    for (auto const& [a, b] : factors) {
        REQUIRE(a.columns == b.rows);
        for (index i = 0; i < m; ++i)
            for (index j = 0; j < n; ++j)
                for (index k = 0; k < a.columns; ++k) {
                    result.sums(i, j) += a(i, k) * b(k, j);
                    result.magnitudes(i, j) += std::abs(a(i, k) * b(k, j));
                }
    }
    return result;
}

index depth_of(std::vector<std::pair<dense, dense>> const& factors) {
    index result = 0;
    for (auto const& f : factors) result += f.first.columns;
    return result;
}

/// How far `got` is from the sums, in units of the bound of a sum in any order plus one rounding to a number of `epsilon`.
template <class T>
double worst_error(std::vector<T> const& got, index stride, sums_and_magnitudes const& expected, index depth,
                   double sum_epsilon, double epsilon) {
    double worst = 0;
    for (index i = 0; i < expected.sums.rows; ++i)
        for (index j = 0; j < expected.sums.columns; ++j) {
            auto const value = static_cast<double>(got[at(i * stride + j)]);
            double const exact = expected.sums(i, j), size = expected.magnitudes(i, j);
            double const bound =
                static_cast<double>(depth + 2) * sum_epsilon * size + epsilon * std::abs(exact) + 1e-30;
            double const error = std::abs(value - exact) / bound;
            worst = error <= worst ? worst : error;  // a NaN replaces it
        }
    return worst;
}

template <class T>
constexpr double epsilon_of = std::is_same_v<T, bf16> ? 0x1p-8
    : std::is_same_v<T, fp16>                         ? 0x1p-11
    : std::is_same_v<T, float>                        ? 0x1p-24
                                                      : 0x1p-53;

device_array<std::byte> const& workspace() {
    static device_array<std::byte> const only(std::vector<std::byte>(cuda::library_workspace), 64);
    return only;
}

/// Products by snug's own kernels, checked against the sums in double, twice.
template <class Sum, index Rows, index Columns, class... Products>
std::vector<Sum> check_own(std::vector<std::pair<dense, dense>> const& factors, Products... products) {
    std::vector<Sum> first;
    for (int run = 0; run < 2; ++run) {
        device_array<Sum> const sums(
            std::vector<Sum>(at(Rows * Columns), std::numeric_limits<Sum>::quiet_NaN()));
        device_array<int> const calls(std::vector<int>(at(Rows * Columns), 0));
        cuda::matmul_on(cuda::tag{}, nullptr, recorded<Sum, Columns>{sums.data(), calls.data()}, products...);
        auto const counts = calls.values();
        REQUIRE(std::all_of(counts.begin(), counts.end(), [](int c) { return c == 1; }));
        auto const values = sums.values();
        if (run == 0) first = values;
        REQUIRE(std::memcmp(values.data(), first.data(), values.size() * sizeof(Sum)) == 0);
    }
    auto const expected = multiplied(factors);
    REQUIRE(worst_error(first, Columns, expected, depth_of(factors), epsilon_of<Sum> * 2, 0) <= 1.0);
    return first;
}

template <class A, class B, index M, index N, index K, index Pad, index Offset = 0>
void check_plain() {
    CAPTURE(M, N, K, Pad, Offset);
    using sum = std::conditional_t<std::is_same_v<A, double> || std::is_same_v<B, double>, double, float>;
    stored<A, K, K + Pad> const a(M, 1, Offset);
    stored<A, M, M + Pad> const at_(K, 2, Offset);
    stored<B, N, N + Pad> const b(K, 3, Offset);
    stored<B, K, K + Pad> const bt(N, 4, Offset);
    check_own<sum, M, N>({{a.numbers, b.numbers}}, product{a.view(), b.view()});
    check_own<sum, M, N>({{a.numbers, flipped(bt.numbers)}}, product{a.view(), transposed{bt.view()}});
    check_own<sum, M, N>({{flipped(at_.numbers), b.numbers}}, product{transposed{at_.view()}, b.view()});
    check_own<sum, M, N>({{flipped(at_.numbers), flipped(bt.numbers)}},
                         product{transposed{at_.view()}, transposed{bt.view()}});
}

}  // namespace

TEMPLATE_TEST_CASE("own products of plain matrices equal the sum in double", "[cuda][matmul]",
                   (std::pair<bf16, bf16>), (std::pair<fp16, fp16>), (std::pair<float, float>),
                   (std::pair<double, double>), (std::pair<bf16, float>), (std::pair<float, double>)) {
    using A = typename TestType::first_type;
    using B = typename TestType::second_type;
    check_plain<A, B, 1, 1, 1, 0>();
    check_plain<A, B, 3, 37, 5, 3>();
    check_plain<A, B, 136, 72, 40, 8>();   // 16-byte aligned lines, narrow tiles
    check_plain<A, B, 131, 129, 75, 0>();  // nothing is aligned
    check_plain<A, B, 16, 8, 128, 0, 3>();  // widths are, the pointers are not
}
