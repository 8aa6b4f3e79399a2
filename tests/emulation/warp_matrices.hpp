// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <cstring>

#include "fibers.hpp"

/// The instructions that snug's intrinsics.cuh wraps, with the layouts of the PTX ISA (sections "Matrix fragments for
/// mma.m16n8k16 with floating point type", "ldmatrix", "cp.async").
namespace emulation {

template <class T>
float element(std::uint32_t pair, unsigned which) {
    auto const bits = static_cast<std::uint16_t>(pair >> (16 * which));
    T value;
    std::memcpy(&value, &bits, 2);
    return static_cast<float>(value);
}

/// d += a b, with a of 16 x 16 and b of 16 x 8 elements of T.
template <class T>
void multiply_16x8x16(float (&d)[4], std::uint32_t const (&a)[4], std::uint32_t const (&b)[2]) {
    struct arguments {
        float* d;
        std::uint32_t const *a, *b;
    } mine{d, a, b};
    multiprocessor::instance().warp_operation("mma.m16n8k16", mine, [](arguments** all) {
        float left[16][16], right[16][8];
        for (unsigned lane = 0; lane < lanes; ++lane) {
            unsigned const group = lane / 4, pair = lane % 4 * 2;
            for (unsigned i = 0; i < 8; ++i)
                left[group + i / 2 % 2 * 8][pair + i % 2 + i / 4 * 8] =
                    element<T>(all[lane]->a[i / 2], i % 2);
            for (unsigned i = 0; i < 4; ++i)
                right[pair + i % 2 + i / 2 * 8][group] = element<T>(all[lane]->b[i / 2], i % 2);
        }
        for (unsigned lane = 0; lane < lanes; ++lane)
            for (unsigned i = 0; i < 4; ++i) {
                unsigned const row = lane / 4 + i / 2 * 8, column = lane % 4 * 2 + i % 2;
                double sum = all[lane]->d[i];
                for (unsigned k = 0; k < 16; ++k)
                    sum += static_cast<double>(left[row][k]) * static_cast<double>(right[k][column]);
                all[lane]->d[i] = static_cast<float>(sum);
            }
        ++counted().products;
    });
}

/// Matrices of 8 x 8 elements of 16 bits; lane 8 m + i gives the address of row i of matrix m.
template <unsigned Matrices, bool Transposed>
void load_matrices(std::uint32_t (&result)[Matrices], void const* row_of_this_lane) {
    auto& here = multiprocessor::instance();
    if (here.lane() < Matrices * 8 && reinterpret_cast<std::uintptr_t>(row_of_this_lane) % 16 != 0)
        here.fail("gives ldmatrix an address that is not a multiple of 16");
    struct arguments {
        std::uint32_t* result;
        void const* row;
    } mine{result, row_of_this_lane};
    here.warp_operation(Transposed ? "ldmatrix.trans" : "ldmatrix", mine, [](arguments** all) {
        for (unsigned m = 0; m < Matrices; ++m) {
            std::uint16_t matrix[8][8];
            unsigned passes = 1, of_bank_group[8] = {};
            for (unsigned i = 0; i < 8; ++i) {
                void const* const row = all[8 * m + i]->row;
                std::memcpy(matrix[i], row, 16);
                passes = std::max(passes, ++of_bank_group[reinterpret_cast<std::uintptr_t>(row) / 16 % 8]);
            }
            counted().shared_conflicts += passes - 1;
            for (unsigned lane = 0; lane < lanes; ++lane) {
                unsigned const outer = lane / 4, inner = lane % 4 * 2;
                std::uint32_t const low = Transposed ? matrix[inner][outer] : matrix[outer][inner];
                std::uint32_t const high = Transposed ? matrix[inner + 1][outer] : matrix[outer][inner + 1];
                all[lane]->result[m] = low | high << 16;
            }
        }
        ++counted().matrix_loads;
    });
}

/// The copy happens in `wait_copies`; until then the destination is poison.
inline void copy_async(void* shared, void const* global, std::size_t size, bool valid) {
    auto& here = multiprocessor::instance();
    auto const unaligned = [=](void const* p) { return reinterpret_cast<std::uintptr_t>(p) % size != 0; };
    if (unaligned(shared) || unaligned(global))
        here.fail("gives cp.async an address that is not a multiple of " + std::to_string(size));
    std::memset(shared, poison, size);
    here.current().groups.back().push_back({shared, valid ? global : nullptr, size});
}
inline void commit_copies() { multiprocessor::instance().current().groups.emplace_back(); }
inline void wait_copies(unsigned pending) { multiprocessor::instance().current().complete_groups(pending); }

}  // namespace emulation
