// SPDX-License-Identifier: Apache-2.0
/// Host matrix product against oneDNN (2.x) on the products of one GPT-2 124M step over 1024 tokens.
///
///   g++ -std=c++20 -O3 -march=native -fopenmp -ffp-contract=fast -Iinclude benchmarks/matmul/host/gemm.cpp -ldnnl
///   ./a.out [substring of the rows to run]
///
/// Both sides read plain row-major matrices (weights change in every step, so nothing is prepacked), write a plain
/// row-major result of the operands' type and use all OpenMP threads. Calls alternate; GFLOP/s are of the medians.

#include <omp.h>
#include <dnnl.hpp>

#include <algorithm>
#include <chrono>
#include <cmath>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <memory>
#include <random>
#include <string>
#include <unordered_map>
#include <vector>

#include "snug/backend/host/gemm.hpp"
#include "snug/precision/bf16.hpp"

namespace {

using snug::bf16;
namespace host = snug::backend::host;

struct product {
    char const* name;
    std::int64_t m, n, k;
    bool a_transposed, b_transposed;
    int per_step;
};

// W is [outputs, inputs]: forward Y = X W^T, backward dX = dY W and dW = dY^T X. 12 blocks and the head.
constexpr std::int64_t tokens = 1024;
constexpr product products[] = {
    {"forward  qkv      ", tokens, 2304, 768, false, true, 12},
    {"forward  attention", tokens, 768, 768, false, true, 12},
    {"forward  up       ", tokens, 3072, 768, false, true, 12},
    {"forward  down     ", tokens, 768, 3072, false, true, 12},
    {"forward  head     ", tokens, 50257, 768, false, true, 1},
    {"backward qkv dX   ", tokens, 768, 2304, false, false, 12},
    {"backward attn dX  ", tokens, 768, 768, false, false, 12},
    {"backward up dX    ", tokens, 768, 3072, false, false, 12},
    {"backward down dX  ", tokens, 3072, 768, false, false, 12},
    {"backward head dX  ", tokens, 768, 50257, false, false, 1},
    {"backward qkv dW   ", 2304, 768, tokens, true, false, 12},
    {"backward attn dW  ", 768, 768, tokens, true, false, 12},
    {"backward up dW    ", 3072, 768, tokens, true, false, 12},
    {"backward down dW  ", 768, 3072, tokens, true, false, 12},
    {"backward head dW  ", 50257, 768, tokens, true, false, 1},
};

struct free_memory {
    void operator()(void* p) const { std::free(p); }
};

template <class T>
std::unique_ptr<T[], free_memory> aligned(std::int64_t count) {
    auto const bytes = (static_cast<std::size_t>(count) * sizeof(T) + 4095) / 4096 * 4096;
    auto* const p = std::aligned_alloc(4096, bytes);
    std::memset(p, 0, bytes);
    return std::unique_ptr<T[], free_memory>(static_cast<T*>(p));
}

double median(std::vector<double> seconds) {
    std::sort(seconds.begin(), seconds.end());
    return seconds[seconds.size() / 2];
}

template <class Call>
double seconds_of(Call&& call) {
    auto const start = std::chrono::steady_clock::now();
    call();
    return std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
}

template <class T>
void run(char const* type_name, std::string const& filter) {
    constexpr std::int64_t largest = tokens * 50257;
    auto const left = aligned<T>(largest);
    auto const right = aligned<T>(largest);
    auto const ours = aligned<T>(largest);
    auto const theirs = aligned<T>(largest);
    std::minstd_rand random(1);
    for (std::int64_t i = 0; i < largest; ++i) {
        left[i] = T(static_cast<float>(random() % 2001) / 1000.0f - 1.0f);
        right[i] = T(static_cast<float>(random() % 2001) / 1000.0f - 1.0f);
    }
    auto const scratch = aligned<std::byte>(host::gemm_scratch_bytes<T>(50257, 50257, omp_get_max_threads()));

    dnnl::engine engine(dnnl::engine::kind::cpu, 0);
    dnnl::stream stream(engine);
    constexpr auto type =
        std::is_same_v<T, float> ? dnnl::memory::data_type::f32 : dnnl::memory::data_type::bf16;
    constexpr auto plain = dnnl::memory::format_tag::ab;
    constexpr auto transposed = dnnl::memory::format_tag::ba;

    std::printf("\n%s, %d threads: GFLOP/s\n", type_name, omp_get_max_threads());
    std::printf("| product            |     m |     n |     k |  snug | oneDNN | ratio | difference |\n");
    double ours_total = 0;
    double theirs_total = 0;
    double log_ratio = 0;
    int rows = 0;
    for (auto const& p : products) {
        auto const label = std::string(type_name) + " " + p.name;
        if (label.find(filter) == std::string::npos) {
            continue;
        }
        host::operand<T> const a{left.get(), p.a_transposed ? 1 : p.k, p.a_transposed ? p.m : 1};
        host::operand<T> const b{right.get(), p.b_transposed ? 1 : p.n, p.b_transposed ? p.k : 1};
        auto const call_ours = [&] {
            host::gemm(omp_get_max_threads(), p.m, p.n, p.k, a, b, scratch.get(),
                       [&](std::int64_t i, std::int64_t j, std::int64_t count, float const* sums) {
                           T* const target = ours.get() + i * p.n + j;
                           for (std::int64_t c = 0; c < count; ++c) {
                               target[c] = T(sums[c]);
                           }
                       });
        };

        dnnl::memory::desc const a_desc({p.m, p.k}, type, p.a_transposed ? transposed : plain);
        dnnl::memory::desc const b_desc({p.k, p.n}, type, p.b_transposed ? transposed : plain);
        dnnl::memory::desc const c_desc({p.m, p.n}, type, plain);
        dnnl::matmul::primitive_desc const description(dnnl::matmul::desc(a_desc, b_desc, c_desc), engine);
        dnnl::matmul primitive(description);
        std::unordered_map<int, dnnl::memory> const arguments = {
            {DNNL_ARG_SRC, dnnl::memory(a_desc, engine, left.get())},
            {DNNL_ARG_WEIGHTS, dnnl::memory(b_desc, engine, right.get())},
            {DNNL_ARG_DST, dnnl::memory(c_desc, engine, theirs.get())},
        };
        auto const call_theirs = [&] {
            primitive.execute(stream, arguments);
            stream.wait();
        };

        call_ours();
        call_theirs();
        double difference = 0;
        for (std::int64_t i = 0; i < p.m * p.n; ++i) {
            difference = std::max(difference, std::abs(double(float(ours[i])) - double(float(theirs[i]))));
        }
        double const operations = 2.0 * double(p.m) * double(p.n) * double(p.k);
        int const repeats = std::clamp(static_cast<int>(150e9 / operations), 5, 41);
        std::vector<double> our_seconds;
        std::vector<double> their_seconds;
        for (int i = 0; i < repeats; ++i) {
            our_seconds.push_back(seconds_of(call_ours));
            their_seconds.push_back(seconds_of(call_theirs));
        }
        double const our_median = median(our_seconds);
        double const their_median = median(their_seconds);
        std::printf("| %s | %5ld | %5ld | %5ld | %5.0f | %6.0f | %5.2f | %10.2g |\n", p.name, long(p.m),
                    long(p.n), long(p.k), operations / our_median * 1e-9, operations / their_median * 1e-9,
                    their_median / our_median, difference);
        std::fflush(stdout);
        ours_total += p.per_step * our_median;
        theirs_total += p.per_step * their_median;
        log_ratio += std::log(their_median / our_median);
        ++rows;
    }
    if (rows > 0) {
        std::printf(
            "geometric mean of the ratios %.3f; a step (12 blocks and the head): snug %.0f ms, oneDNN %.0f "
            "ms, "
            "ratio %.3f\n",
            std::exp(log_ratio / rows), ours_total * 1e3, theirs_total * 1e3, theirs_total / ours_total);
    }
}

}  // namespace

int main(int argc, char** argv) {
    std::string const filter = argc > 1 ? argv[1] : "";
    run<float>("fp32", filter);
    run<bf16>("bf16", filter);
}
