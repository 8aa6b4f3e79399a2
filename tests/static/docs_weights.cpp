// SPDX-License-Identifier: Apache-2.0

// The code of docs/weights.md, word for word.
#include <iostream>
#include <span>
#include <string>
#include <vector>

#include <snug/hub/model_config.hpp>
#include <snug/io/gguf.hpp>
#include <snug/io/safetensors.hpp>
#include <snug/models/presets.hpp>

namespace documented_weights {

float first_weight(std::string const& path) {
    snug::io::gguf const file(path);
    snug::io::require(snug::models::smollm2_135m::numbers, snug::io::read_model_config(file), {path});
    auto const& tensor = file.tensor("blk.0.attn_q.weight");  // Q4_1 [576, 576]
    std::vector<float> row(576);
    snug::io::decode(tensor, 0, row);  // elements 0 to 575
    return row[0];
}

void list(std::string const& path) {
    snug::io::safetensors const file(path);
    for (auto const& tensor : file.tensors())
        std::cout << tensor.name << ' ' << snug::io::shape_text(tensor) << '\n';
}

void write(std::string const& path, std::span<float const> weight, std::span<float const> bias) {
    snug::io::safetensors_writer file(path);
    file.declare("weight", snug::io::tensor_type::f32, {2, 3});
    file.declare("bias", snug::io::tensor_type::f32, {2});
    for (auto const& tensor : file.tensors())  // in the order of the file, which sorts them
        file.write(tensor.name, std::as_bytes(tensor.name == "weight" ? weight : bias));
    file.commit();
}

}  // namespace documented_weights
