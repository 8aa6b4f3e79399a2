// SPDX-License-Identifier: Apache-2.0
// Contexts in several threads of the host.
#pragma once

#include <catch2/catch.hpp>

#include <cstdint>
#include <snug/snug.cuh>
#include <thread>
#include <vector>

using namespace snug;
using snug::index_t;
using device = snug::cuda;  // not the namespace of that name, which NVIDIA's headers have

namespace {

constexpr index_t columns = 32;

struct times_row_number {
    template <class Team>
    constexpr void operator()(Team const& team, index_t row, float const* x, float* y, float factor) const {
        team.for_each(columns, [=](index_t i) {
            y[row * columns + i] = x[row * columns + i] * factor * static_cast<float>(row + 1);
        });
    }
};

std::vector<float> numbers(index_t count, int seed) {
    std::vector<float> result(static_cast<std::size_t>(count));
    for (std::size_t i = 0; i < result.size(); ++i)
        result[i] = static_cast<float>((i * 7 + static_cast<std::size_t>(seed) * 13) % 17) - 8.0f;
    return result;
}

/// y = 2 x, row r of it times r + 1; then y wᵀ, all in whole numbers: sums are exact. True if both are right
/// every time.
bool is_right(device on, int seed, index_t rows, int times) {
    auto const size = [](index_t count) { return bytes{count * 4}; };
    auto const whole = static_cast<std::size_t>(rows * columns) * 4;
    arena const x(size(rows * columns), ops::memory<device>()),
        y(size(rows * columns), ops::memory<device>());
    arena const w(size(columns * columns), ops::memory<device>()),
        z(size(rows * columns), ops::memory<device>());
    arena const workspace(bytes{ops::matmul_workspace<device, float>(columns, columns)},
                          ops::memory<device>());
    auto const at = [](arena const& in) { return reinterpret_cast<float*>(in.data()); };
    auto const of_w = numbers(columns * columns, seed + 1);
    ops::copy_in(on, w.data(), of_w.data(), of_w.size() * 4);
    for (int time = 0; time < times; ++time) {
        auto const of_x = numbers(rows * columns, seed + time);
        ops::copy_in(on, x.data(), of_x.data(), whole);
        ops::for_each_row<columns>(
            on, rows, ops::bound<times_row_number>(static_cast<float const*>(at(x)), at(y), 2.0f));
        ops::matmul(on, matrix<float const, columns>{at(y), rows},
                    transposed{matrix<float const, columns>{at(w), columns}}, workspace.data(),
                    written<float, columns>{{at(z), rows}});
        std::vector<float> of_y(of_x.size()), of_z(of_x.size());
        ops::copy_out(on, of_y.data(), y.data(), whole);
        ops::copy_out(on, of_z.data(), z.data(), whole);
        for (index_t row = 0; row < rows; ++row)
            for (index_t column = 0; column < columns; ++column) {
                auto const i = static_cast<std::size_t>(row * columns + column);
                if (of_y[i] != of_x[i] * 2.0f * static_cast<float>(row + 1)) return false;
                float sum = 0;
                for (index_t k = 0; k < columns; ++k)
                    sum += of_y[static_cast<std::size_t>(row * columns + k)] *
                           of_w[static_cast<std::size_t>(column * columns + k)];
                if (of_z[i] != sum) return false;
            }
    }
    return true;
}

/// In two threads at once. Every shape is another one, more than a context keeps plans for.
void two_threads_do_not_meet() {
    bool one = true, other = true;
    std::thread first([&] {
        auto const context = ops::prepare<device>(memory_bill{});
        for (index_t rows = 1; rows < 40; ++rows) one = one && is_right(context.on(), 1, rows, 3);
    });
    std::thread second([&] {
        auto const context = ops::prepare<device>(memory_bill{});
        for (index_t rows = 40; rows > 0; --rows) other = other && is_right(context.on(), 2, rows, 3);
    });
    first.join();
    second.join();
    CHECK(one);
    CHECK(other);
}

}  // namespace

TEST_CASE("two contexts in two threads do not meet") { two_threads_do_not_meet(); }

TEST_CASE("a graph of one context is captured while another works") {
    auto const context = ops::prepare<device>(memory_bill{});
    auto const on = context.on();
    arena const x(bytes{columns * 4}, ops::memory<device>());
    auto* const at_x = reinterpret_cast<float*>(x.data());
    std::vector<float> values(columns, 1.0f);
    ops::copy_in(on, x.data(), values.data(), columns * 4);
    ops::recording<device> recording;
    bool other = false;
    for (int run = 0; run < 4; ++run)
        ops::run_recorded(on, recording, [&] {
            ops::for_each_row<columns>(
                on, 1, ops::bound<times_row_number>(static_cast<float const*>(at_x), at_x, 2.0f));
            std::thread([&] {
                auto const its_own = ops::prepare<device>(memory_bill{});
                other = is_right(its_own.on(), run, 5, 2);
            }).join();
        });
    ops::copy_out(on, values.data(), x.data(), columns * 4);
    CHECK(values == std::vector<float>(columns, 16.0f));
    CHECK(other);
}
