// SPDX-License-Identifier: Apache-2.0
/// Dequantizing and quantizing against a plain copy that reads and writes the same numbers of bytes in the same way.
///
///   benchmark.quantization.host.quantize [millions of elements, 32 by default]
///
/// What a copy is depends on its stores, so there are two: `copy` reads and writes as many bytes as the operation does,
/// with ordinary vector stores as the operation has them, and the ratio is to it; `memcpy` moves the same sum of bytes,
/// half of them read and half written, with the library's streaming stores. `in cache` is the operation alone on rows
/// of 256 numbers whose results stay in the cache, which is how a matrix product decodes its tiles.
/// Calls alternate; figures are medians, with all OpenMP threads. GB/s count bytes read and written.

#include <omp.h>

#include <algorithm>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <memory>
#include <random>
#include <span>
#include <vector>

#include <snug/precision/bf16.hpp>
#include <snug/quantization/schemes.hpp>

namespace {

namespace quantization = snug::quantization;
using snug::index_t;

struct threads {
    template <class F>
    void operator()(index_t count, F const& f) const {
#pragma omp parallel for schedule(static)
        for (index_t i = 0; i < count; ++i) f(i);
    }
};

struct free_memory {
    void operator()(void* p) const { std::free(p); }
};
using memory = std::unique_ptr<std::byte[], free_memory>;

memory aligned(index_t size) {
    auto const rounded = static_cast<std::size_t>(snug::round_up(size, 4096));
    memory result(static_cast<std::byte*>(std::aligned_alloc(4096, rounded)));
    std::memset(result.get(), 1, rounded);
    return result;
}

template <class Call>
double seconds_of(Call const& call) {
    auto const start = std::chrono::steady_clock::now();
    call();
    return std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
}

double median(std::vector<double> seconds) {
    std::sort(seconds.begin(), seconds.end());
    return seconds[seconds.size() / 2];
}

constexpr index_t chunk = 16384;  ///< elements of one call

/// Reads `read` bytes and writes `written`, by vectors of 64 bytes.
void copy(std::byte const* from, index_t read, std::byte* to, index_t written) {
    typedef std::uint64_t line __attribute__((vector_size(64)));
    index_t const lines_read = read / 64;
    index_t const lines_written = written / 64;
    threads{}(64, [&](index_t part) {
        index_t const r0 = lines_read * part / 64;
        index_t const r1 = lines_read * (part + 1) / 64;
        index_t const w0 = lines_written * part / 64;
        index_t const w1 = lines_written * (part + 1) / 64;
        auto const* const source = reinterpret_cast<line const*>(from);
        auto* const target = reinterpret_cast<line*>(to);
        line sum{};
        index_t w = w0;
        for (index_t r = r0; r < r1; ++r) {
            line const value = source[r];
            index_t const until = w0 + (w1 - w0) * (r + 1 - r0) / (r1 - r0);
            if (until == w) sum ^= value;
            for (; w < until; ++w) target[w] = value ^ sum;
        }
        if (w1 > w0) target[w1 - 1] = sum;
    });
}

void copy_by_library(std::byte const* from, std::byte* to, index_t size) {
    threads{}(64, [&](index_t part) {
        index_t const first = size * part / 64;
        std::memcpy(to + first, from + first, static_cast<std::size_t>(size * (part + 1) / 64 - first));
    });
}

struct figures {
    std::vector<double> operation, plain, library;

    void print(char const* name, index_t bytes, double in_cache) const {
        double const gigabytes = static_cast<double>(bytes) * 1e-9;
        auto const fastest = [](auto const& seconds) {
            return *std::min_element(seconds.begin(), seconds.end());
        };
        std::printf("| %-50s | %6.2f | %6.2f | %6.2f | %5.2f | %5.2f | %5.2f | %8.2f |\n", name,
                    gigabytes / median(operation), gigabytes / median(plain), gigabytes / median(library),
                    median(plain) / median(operation), fastest(plain) / fastest(operation),
                    fastest(library) / fastest(operation), in_cache);
        std::fflush(stdout);
    }
};

std::byte volatile sink;

template <class Scheme, class T>
void dequantize(char const* name, std::vector<float> const& values, std::byte* out, std::byte const* other) {
    auto const count = static_cast<index_t>(values.size());
    quantization::quantized_array<Scheme> const array(values, threads{});
    auto const view = array.view();
    auto* const target = reinterpret_cast<T*>(out);
    index_t const read = array.storage().count;
    index_t const written = count * index_t{sizeof(T)};
    figures found;
    for (int round = 0; round < 9; ++round) {
        found.operation.push_back(seconds_of([&] {
            threads{}(count / chunk,
                      [&](index_t c) { Scheme::decode(view, c * chunk, chunk, target + c * chunk); });
        }));
        found.plain.push_back(seconds_of([&] { copy(other, read, out, written); }));
        found.library.push_back(seconds_of([&] { copy_by_library(other, out, (read + written) / 2); }));
    }
    // Rows of 256 of a matrix 768 wide, into 64 KiB of each thread.
    std::vector<double> seconds;
    index_t const rows = count / 768;
    for (int round = 0; round < 9; ++round)
        seconds.push_back(seconds_of([&] {
            threads{}(rows, [&](index_t row) {
                T* const tile = target + omp_get_thread_num() * 32768 + (row % 64) * 256;
                Scheme::decode(view, row * 768 + 256, 256, tile);
            });
        }));
    sink = out[0];
    found.print(name, read + written, static_cast<double>(rows) * 256 / median(seconds) * 1e-9);
}

template <class Scheme>
void quantize(char const* name, std::vector<float> const& values, std::byte* out, std::byte const* other) {
    auto const count = static_cast<index_t>(values.size());
    quantization::shape const extent{1, count};
    index_t const read = count * index_t{sizeof(float)};
    index_t const written = Scheme::storage(extent).count;
    figures found;
    for (int round = 0; round < 9; ++round) {
        found.operation.push_back(
            seconds_of([&] { Scheme::encode(std::span<float const>(values), extent, out, threads{}); }));
        found.plain.push_back(seconds_of([&] { copy(other, read, out, written); }));
        found.library.push_back(seconds_of([&] { copy_by_library(other, out, (read + written) / 2); }));
    }
    sink = out[0];
    found.print(name, read + written, static_cast<double>(count) / median(found.operation) * 1e-9);
}

void print_head(char const* what, char const* last) {
    std::printf("\n| %-50s |   GB/s |   copy | memcpy | ratio | of fastest | to memcpy | %s |\n", what, last);
    std::printf("| --- | ---: | ---: | ---: | ---: | ---: | ---: | ---: |\n");
}

}  // namespace

int main(int argc, char** argv) {
    snug::index_t const millions = argc > 1 ? std::max(1, std::atoi(argv[1])) : 32;
    std::vector<float> values(static_cast<std::size_t>(millions << 20));
    std::minstd_rand random(1);
    std::normal_distribution<float> normal;
    std::vector<float> draws(1 << 16);
    for (float& draw : draws) draw = normal(random);
    for (std::size_t i = 0; i < values.size(); ++i) values[i] = draws[(i ^ (i >> 16)) & 0xFFFF];
    auto const size = static_cast<snug::index_t>(values.size() * sizeof(float));
    auto const out = aligned(size);
    auto const other = aligned(size);

    using quantization::absmax;
    using quantization::absmax_4bit;
    using quantization::affine;
    using quantization::blockwise;
    using quantization::double_quantized;
    using quantization::fp4;
    using quantization::nf4;
    using quantization::quantile;
    std::printf("%d threads, %ld million numbers\n", omp_get_max_threads(), static_cast<long>(millions));
    print_head("dequantize", "in cache, 10^9/s");
#define ROW(T, ...) dequantize<__VA_ARGS__, T>(#__VA_ARGS__ " to " #T, values, out.get(), other.get())
    ROW(float, nf4<64>);
    ROW(snug::bf16, nf4<64>);
    ROW(float, double_quantized<nf4<64>>);
    ROW(snug::bf16, double_quantized<nf4<64>>);
    ROW(float, fp4<64>);
    ROW(snug::bf16, fp4<64>);
    ROW(float, quantization::int8<256>);
    ROW(snug::bf16, quantization::int8<256>);
    ROW(float, double_quantized<quantization::int8<256>>);
    ROW(float, blockwise<absmax, 64>);
    ROW(snug::bf16, blockwise<absmax, 64>);
    ROW(float, blockwise<affine, 64>);
    ROW(float, blockwise<absmax_4bit, 64>);
    ROW(float, absmax);
    ROW(float, quantile);
    ROW(snug::bf16, quantile);
#undef ROW
    print_head("quantize fp32", "all, 10^9/s");
#define ROW(...) quantize<__VA_ARGS__>(#__VA_ARGS__, values, out.get(), other.get())
    ROW(nf4<64>);
    ROW(double_quantized<nf4<64>>);
    ROW(fp4<64>);
    ROW(quantization::int8<256>);
    ROW(blockwise<absmax, 64>);
    ROW(absmax);
#undef ROW
}
