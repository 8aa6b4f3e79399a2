// SPDX-License-Identifier: Apache-2.0

// An input is a GGUF file. The values that are asked for have the keys of the files in corpus/gguf.

#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <vector>

#include <snug/error.hpp>
#include <snug/hub/model_config.hpp>
#include <snug/io/gguf.hpp>

#include "memory_file.hpp"

namespace {
template <class Call>
void allow_refusal(Call call) {
    try {
        call();
    } catch (snug::error const&) {
    }
}
}  // namespace

extern "C" int LLVMFuzzerTestOneInput(std::uint8_t const* data, std::size_t size) {
    allow_refusal([&] {
        snug::io::gguf const file(fuzz::memory_file({data, size}));
        for (auto const* key : {"n", "t", "ts", "ns", "rs", "f"}) {
            allow_refusal([&] { (void)file.text(key); });
            allow_refusal([&] { (void)file.number(key); });
            allow_refusal([&] { (void)file.real(key); });
            allow_refusal([&] { (void)file.flag(key); });
            allow_refusal([&] { (void)file.texts(key); });
            allow_refusal([&] { (void)file.numbers(key); });
            allow_refusal([&] { (void)file.reals(key); });
        }
        std::vector<float> to;
        for (auto const& tensor : file.tensors()) {
            if (&file.tensor(tensor.name) != &tensor) std::abort();
            to.resize(static_cast<std::size_t>(tensor.size()));
            allow_refusal([&] { decode(tensor, 0, to); });
        }
        (void)read_model_config(file);
    });
    return 0;
}
