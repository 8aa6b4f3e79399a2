// SPDX-License-Identifier: Apache-2.0
#include <snug/quantization/schemes.hpp>

#include <bit>
#include <cstddef>
#include <cstdint>
#include <span>

namespace {

namespace quantization = snug::quantization;
using namespace snug::quantization;
using snug::index_t;

// The table as bitsandbytes publishes it, to the bit.
constexpr float published_nf4[] = {-1.0f,
                                   -0.6961928009986877f,
                                   -0.5250730514526367f,
                                   -0.39491748809814453f,
                                   -0.28444138169288635f,
                                   -0.18477343022823334f,
                                   -0.09105003625154495f,
                                   0.0f,
                                   0.07958029955625534f,
                                   0.16093020141124725f,
                                   0.24611230194568634f,
                                   0.33791524171829224f,
                                   0.44070982933044434f,
                                   0.5626170039176941f,
                                   0.7229568362236023f,
                                   1.0f};

constexpr float four_digits[] = {-1.0f,   -0.6962f, -0.5251f, -0.3949f, -0.2844f, -0.1848f, -0.0911f, 0.0f,
                                 0.0796f, 0.1609f,  0.2461f,  0.3379f,  0.4407f,  0.5626f,  0.7230f,  1.0f};

template <std::size_t N>
constexpr bool same_bits(std::array<float, N> const& found, float const (&wanted)[N]) {
    for (std::size_t i = 0; i < N; ++i)
        if (std::bit_cast<std::uint32_t>(found[i]) != std::bit_cast<std::uint32_t>(wanted[i])) return false;
    return true;
}
static_assert(same_bits(codebooks::nf4::values, published_nf4));
static_assert(same_bits(codebooks::nf4_four_digits::values, four_digits));

// The same construction in exact arithmetic, with the offset of the paper: (1 - 1/30 + 1 - 1/32) / 2.
constexpr auto exact_nf4 = codebooks::detail::normal_float<double>([](int count, int i) {
    constexpr double offset = (1 - 1.0 / 30 + 1 - 1.0 / 32) / 2;
    return offset + (0.5 - offset) / (count - 1) * i;
});
constexpr bool within(double bound) {
    for (std::size_t i = 0; i < 16; ++i) {
        double const difference = exact_nf4[i] - double{published_nf4[i]};
        if (difference > bound || -difference > bound) return false;
    }
    return true;
}
static_assert(within(2e-7) && !within(1e-7));

static_assert(codebooks::dynamic_signed::values[0] == -0.992968738079071f);
static_assert(codebooks::dynamic_signed::values[127] == 0 && codebooks::dynamic_signed::values[255] == 1);
static_assert(codebooks::dynamic_signed::values[128] == 5.500000384017767e-7f);
static_assert(codebooks::dynamic_unsigned::values[0] == 0 && codebooks::dynamic_unsigned::values[255] == 1);
static_assert(codebooks::fp4::values[1] == 0.0625f / 12 && codebooks::fp4::values[3] == 1);

// Ties go to the lower neighbour, so zero, which is FP4's boundary between its codes 0 and 8, has code 0.
static_assert(table_code<codebooks::nf4>::code_of_zero == 7);
static_assert(table_code<codebooks::fp4>::code_of_zero == 0);
static_assert(table_code<codebooks::dynamic_signed>::code_of_zero == 127);

// Bytes of any shape are constants.
static_assert(nf4<64>::storage(1).count == 64 + 4 && nf4<64>::storage(0).count == 0);
static_assert(nf4<64>::storage({7, 9}).count == 64 + 4 && nf4<64>::storage({5, 13}).count == 64 + 2 * 4);
static_assert(bits_per_element<nf4<64>>({4096, 4096}) == 4.5);
static_assert(bits_per_element<fp4<64>>({4096, 4096}) == 4.5);
static_assert(bits_per_element<quantization::int8<256>>({4096, 4096}) == 8.125);
static_assert(bits_per_element<double_quantized<nf4<64>>>({4096, 4096}) > 4.126953);
static_assert(bits_per_element<double_quantized<nf4<64>>>({4096, 4096}) < 4.126956);
static_assert(bits_per_element<blockwise<affine, 64>>({4096, 4096}) == 8 + 32.0 / 64 + 8.0 / 64);

// Llama-2 7B: 6,738,415,616 parameters, 6,476,005,376 of them in the linear layers of its 32 blocks.
constexpr index_t linear_bytes_of_llama2_7b() {
    using scheme = double_quantized<nf4<64>>;
    return 32 * (4 * scheme::storage({4096, 4096}).count + 3 * scheme::storage({11008, 4096}).count);
}
static_assert(32 * (4 * 4096LL * 4096 + 3 * 11008LL * 4096) == 6'476'005'376);
static_assert(linear_bytes_of_llama2_7b() == 3'340'772'224);

static_assert(quantization_scheme<nf4<64>> && coded_scheme<nf4<64>>);
static_assert(quantization_scheme<double_quantized<nf4<64>>>);
static_assert(quantization_scheme<outlier_split<threshold<6>>>);
static_assert(quantization_scheme<quantile> && quantization_scheme<type_range<>>);
static_assert(!quantization_scheme<none> && !quantization_scheme<int>);

}  // namespace
