// SPDX-License-Identifier: Apache-2.0

// An input is an adapter_config.json.

#include <cstddef>
#include <cstdint>
#include <string_view>

#include <snug/hub/adapter_config.hpp>

extern "C" int LLVMFuzzerTestOneInput(std::uint8_t const* data, std::size_t size) {
    static snug::engine::adapter_numbers const compiled{
        2, 2, false, false, 1, "layers", {"model.layers.0.self_attn.q_proj", "model.layers.0.mlp.down_proj"}};
    std::string_view const text(reinterpret_cast<char const*>(data), size);
    try {
        snug::io::json_document const document(text, "adapter_config.json", 0);
        snug::engine::check_adapter_config(document.root(), compiled);
        snug::engine::check_tied_head(document.root(), "model.embed_tokens", "lm_head", true, false);
    } catch (snug::error const&) {
    }
    return 0;
}
