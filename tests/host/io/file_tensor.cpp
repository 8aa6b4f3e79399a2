// SPDX-License-Identifier: Apache-2.0
#include <catch2/catch.hpp>

#include <bit>
#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include <snug/io/file_tensor.hpp>
#include <snug/io/gguf.hpp>
#include <snug/io/safetensors.hpp>

#include "weight_files.hpp"

using namespace snug::io;
using Catch::Matchers::Contains;

namespace {

std::vector<float> decoded(file_tensor const& tensor) {
    std::vector<float> values(static_cast<std::size_t>(tensor.size()));
    decode(tensor, 0, values);
    return values;
}

bool same_bits(std::vector<float> const& a, std::vector<float> const& b) {
    if (a.size() != b.size()) return false;
    for (std::size_t i = 0; i < a.size(); ++i) {
        // Which NaN it is, formats without its payload can't say.
        bool const both_nan = a[i] != a[i] && b[i] != b[i];
        if (!both_nan && std::bit_cast<std::uint32_t>(a[i]) != std::bit_cast<std::uint32_t>(b[i]))
            return false;
    }
    return true;
}

file_tensor tensor_of(tensor_type type, std::vector<std::byte> const& bytes) {
    return {"name", type, {}, bytes, 100, "file"};
}

}  // namespace

TEST_CASE("every floating-point type of safetensors decodes to the bits that PyTorch gives") {
    safetensors const file(test::weights + "every_type.safetensors");
    for (std::string const name : {"f64", "f32", "f16", "bf16", "f8_e4m3", "f8_e5m2"}) {
        CAPTURE(name);
        CHECK(same_bits(decoded(file.tensor(name)), decoded(file.tensor(name + ".values"))));
        CHECK(file.tensor(name).dimensions == file.tensor(name + ".values").dimensions);
    }
}

TEST_CASE("every block type of GGUF decodes to the bits that gguf's dequantization gives") {
    gguf const file(test::weights + "blocks.gguf");
    for (std::string const name :
         {"f32", "f16", "bf16", "q4_0", "q4_1", "q5_0", "q5_1", "q8_0", "q4_k", "q5_k", "q6_k"}) {
        CAPTURE(name);
        CHECK(same_bits(decoded(file.tensor(name)), decoded(file.tensor(name + ".values"))));
        CHECK(file.tensor(name).dimensions == std::vector<snug::index_t>{3, 512});
    }
}

TEST_CASE("any range of a tensor decodes as it does within the whole") {
    gguf const file(test::weights + "blocks.gguf");
    for (std::string const name : {"bf16", "q4_1", "q6_k"}) {
        CAPTURE(name);
        auto const& tensor = file.tensor(name);
        auto const whole = decoded(tensor);
        for (auto const first : {0, 1, 31, 32, 33, 255, 256, 500, 1023, 1500, 1536})
            for (auto const count : {0, 1, 2, 31, 32, 33, 300, 600}) {
                if (first + count > tensor.size()) continue;
                std::vector<float> part(static_cast<std::size_t>(count) + 1, 7.f);
                decode(tensor, first, std::span(part).first(part.size() - 1));
                CHECK(part.back() == 7.f);
                part.pop_back();
                CHECK(same_bits(part, {whole.begin() + first, whole.begin() + first + count}));
            }
    }
}

TEST_CASE("a range outside of a tensor is refused, and nothing is written") {
    std::vector<std::byte> const bytes(2 * 20);
    auto const tensor = tensor_of(tensor_type::q4_1, bytes);
    std::vector<float> to(65, 7.f);
    auto const refused = [&](snug::index_t first, std::size_t count) {
        return test::refusal([&] { decode(tensor, first, std::span(to).first(count)); });
    };
    CHECK(refused(0, 64).empty());
    to.assign(65, 7.f);
    CHECK_THAT(refused(0, 65), Contains("file, byte 100, tensor \"name\": found 64 elements, expected 65"));
    CHECK_THAT(refused(64, 1), Contains("64 elements"));
    CHECK_THAT(refused(-1, 1), Contains("from element -1"));
    CHECK_THAT(refused(INT64_MAX, 1), Contains("64 elements"));
    CHECK_THAT(refused(65, 0), Contains("64 elements"));
    CHECK(to == std::vector<float>(65, 7.f));
}

TEST_CASE("a type without a float value is refused by name") {
    std::vector<std::byte> const bytes(84);
    std::vector<float> to(1);
    for (auto const type : {tensor_type::boolean, tensor_type::u8, tensor_type::i64, tensor_type::c64,
                            tensor_type::f8_e8m0, tensor_type::q2_k})
        CHECK_THAT(test::refusal([&] { decode(tensor_of(type, bytes), 0, to); }),
                   Contains("elements of type " + std::string(name_of(type)) + ","));
}

TEST_CASE("names and blocks of types are those of the formats") {
    CHECK(name_of(tensor_type::bf16) == "BF16");
    CHECK(name_of(tensor_type::boolean) == "BOOL");
    CHECK(name_of(tensor_type::u64) == "U64");
    CHECK(name_of(tensor_type::q4_0) == "Q4_0");
    CHECK(name_of(tensor_type::mxfp4) == "MXFP4");
    CHECK(layout_of(tensor_type::q4_1).block_bytes == 20);
    CHECK(layout_of(tensor_type::q6_k).block_length == 256);
    CHECK(shape_text(tensor_type::f16, std::vector<snug::index_t>{2, 3}) == "F16 [2, 3]");
}

TEST_CASE("the bytes of a shape never wrap") {
    using detail::tensor_bytes;
    auto const bytes = [](tensor_type type, std::vector<snug::index_t> dimensions) {
        return tensor_bytes({"f"}, type, dimensions).index();
    };
    auto const refused = [&](tensor_type type, std::vector<snug::index_t> dimensions) {
        return test::refusal([&] { (void)bytes(type, dimensions); });
    };
    constexpr auto half = snug::index_t{1} << 32;
    CHECK(bytes(tensor_type::f32, {}) == 4);
    CHECK(bytes(tensor_type::f32, {2, 0, 3}) == 0);
    CHECK(bytes(tensor_type::q8_0, {3, 64}) == 204);
    CHECK(bytes(tensor_type::f4, {3, 2}) == 3);
    CHECK_THAT(refused(tensor_type::f32, {half, half}), Contains("4294967296 * 4294967296"));
    CHECK_THAT(refused(tensor_type::f32, {half, half, 0}), Contains("4294967296 * 4294967296"));
    CHECK_THAT(refused(tensor_type::f32, {0, half, half}), Contains("4294967296 * 4294967296"));
    CHECK_THAT(refused(tensor_type::u8, {half, half / 2}), Contains("9223372036854775808"));
    CHECK_THAT(refused(tensor_type::u8, {half, half / 2, 0}), Contains("9223372036854775808"));
    CHECK_THAT(refused(tensor_type::f64, {half / 2, half / 2}), Contains(" * 8"));
    CHECK_THAT(refused(tensor_type::f4, {3}), Contains("blocks of 2"));
    CHECK_THAT(refused(tensor_type::f32, {-1}), Contains("a size of -1"));
}

TEST_CASE("a missing tensor is refused with the closest name") {
    std::vector<std::byte> const bytes(4);
    std::vector<file_tensor> tensors;
    for (std::string const name :
         {"model.layers.0.self_attn.q_proj.weight", "model.layers.0.mlp.up_proj.weight"})
        tensors.push_back({name, tensor_type::f32, {1}, bytes, 0, "file"});
    detail::tensor_list const list(tensors);
    CHECK(list.find(tensors[1].name)->name == tensors[1].name);
    CHECK(list.find("model") == nullptr);
    CHECK_THAT(test::refusal([&] { (void)list.at("file", "layers.0.self_attn.q_proj.weight"); }),
               Contains("no tensor \"layers.0.self_attn.q_proj.weight\"") &&
                   Contains("the closest name is \"model.layers.0.self_attn.q_proj.weight\""));
    CHECK_THAT(test::refusal([&] { (void)list.at("file", "xyz"); }),
               Contains("one of the 2 tensors") && !Contains("closest"));
    CHECK_THAT(test::refusal([&] { (void)detail::tensor_list{}.at("file", "x"); }), Contains("0 tensors"));
    tensors.push_back(tensors[0]);
    CHECK_THAT(test::refusal([&] { detail::tensor_list{tensors}; }), Contains("for the second time"));
}
