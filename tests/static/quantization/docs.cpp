// SPDX-License-Identifier: Apache-2.0
// The code of docs/quantization.md, word for word between the lines that name a section.
#include <cstdint>
#include <vector>

#include <snug/plan.hpp>
#include <snug/quantization/schemes.hpp>

namespace what_a_model_takes {

using namespace snug;

// --- What a model takes
using qlora_base = quantization::double_quantized<quantization::nf4<64>>;
static_assert(weight_bytes<models::llama2_7b, bf16> == bytes{6'738'415'616 * 2});
static_assert(weight_bytes<models::llama2_7b, qlora_base>.count == 3'865'600'000);
// ---

/// A row of the table, in hundredths of a GiB.
template <class Model>
constexpr bool takes(std::int64_t fp32_size, std::int64_t bf16_size, std::int64_t int8_size,
                     std::int64_t nf4_size, std::int64_t double_quantized_size) {
    constexpr auto hundredths = [](bytes amount) { return (amount.count * 100 + (1 << 29)) >> 30; };
    return hundredths(weight_bytes<Model, fp32>) == fp32_size &&
           hundredths(weight_bytes<Model, bf16>) == bf16_size &&
           hundredths(weight_bytes<Model, quantization::int8<256>>) == int8_size &&
           hundredths(weight_bytes<Model, quantization::nf4<64>>) == nf4_size &&
           hundredths(weight_bytes<Model, qlora_base>) == double_quantized_size;
}
static_assert(takes<models::gpt2_124m>(46, 23, 15, 12, 11));
static_assert(takes<models::smollm2_135m>(50, 25, 15, 11, 10));
static_assert(takes<models::smollm2_1_7b>(638, 319, 171, 103, 96));
static_assert(takes<models::llama2_7b>(2510, 1255, 661, 388, 360));
static_assert(takes<models::llama3_8b>(2992, 1496, 856, 561, 531));
static_assert(takes<models::llama2_13b>(4849, 2424, 1261, 726, 671));
static_assert(takes<models::llama2_70b>(25696, 12848, 6573, 3684, 3387));

}  // namespace what_a_model_takes

namespace in_a_trainer {

using namespace snug;

// --- In a trainer
struct frozen : trainer<models::smollm2_135m, batch<8, 1024>, precision::mixed<bf16>,
                        quantization::double_quantized<quantization::nf4<64>>> {};
static_assert(footprint<frozen>.weights < 120_MiB);
// ---

}  // namespace in_a_trainer

namespace alone {

// --- Alone
namespace quantization = snug::quantization;

std::vector<float> through_nf4(std::vector<float> const& weights) {
    quantization::quantized_array<quantization::nf4<64>> const array(weights);
    return array.decoded();
}

// Or in memory of your own, which starts at a multiple of 64.
using scheme = quantization::double_quantized<quantization::nf4<64>>;
constexpr quantization::shape extent{4096, 4096};
static_assert(scheme::storage(extent).count == 8'388'608 + 262'144 + 4'096 + 4);

void row_to_bf16(std::byte const* region, std::int64_t row, snug::bf16* out) {
    auto const stored = scheme::view_of(region, extent);
    scheme::decode(stored, row * extent.columns, extent.columns, out);
}
// ---

}  // namespace alone

namespace own_codebook {

using namespace snug::quantization;

// --- Your own codebook
struct three_levels {
    static constexpr int bits = 4;
    static constexpr std::array<float, 16> values = {-1, -1, -1, -1, -1, 0, 0, 0, 0, 0, 0, 1, 1, 1, 1, 1};
};
struct ternary : blocked<table_code<three_levels>, 64> {};
struct small_ternary : double_quantized<ternary> {};
// ---
static_assert(coded_scheme<ternary> && coded_scheme<small_ternary>);

}  // namespace own_codebook

namespace own_scheme {

using namespace snug::quantization;

// --- Your own scheme
/// The sign of each number, and one magnitude for all.
struct signs {
    using axis = snug::axis::quantization;

    static constexpr snug::bytes storage(shape extent) { return {4 + (extent.count() + 7) / 8}; }

    template <class Loop>
    static void encode(std::span<float const> values, shape, std::byte* region, Loop const&) {
        float sum = 0;
        for (float const value : values) sum += value < 0 ? -value : value;
        *reinterpret_cast<float*>(region) = values.empty() ? 0 : sum / static_cast<float>(values.size());
        for (std::size_t i = 0; i < values.size(); ++i) {
            if (i % 8 == 0) region[4 + i / 8] = {};
            region[4 + i / 8] |= std::byte{values[i] < 0} << i % 8;
        }
    }

    struct view {
        std::byte const* region;
    };
    static view view_of(std::byte const* region, shape) { return {region}; }

    template <class T>
    static void decode(view const& stored, std::int64_t first, std::int64_t count, T* out) {
        float const size = *reinterpret_cast<float const*>(stored.region);
        for (std::int64_t i = 0; i < count; ++i) {
            std::int64_t const at = first + i;
            bool const negative = (stored.region[4 + at / 8] >> at % 8 & std::byte{1}) != std::byte{0};
            out[i] = T(negative ? -size : size);
        }
    }
};
static_assert(quantization_scheme<signs>);
// ---
static_assert(signs::storage({4096, 4096}).count == 4 + 4096 * 4096 / 8);

}  // namespace own_scheme
