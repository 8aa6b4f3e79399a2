// SPDX-License-Identifier: Apache-2.0

// An input is an adapter_config.json.

#include <cstddef>
#include <cstdint>
#include <string_view>

#include <snug/engine/adapter_files.hpp>
#include <snug/plan.hpp>

using model = snug::models::llama<snug::layers<1>, snug::heads<2>, snug::width<16>, snug::mlp<24>,
                                  snug::vocabulary<31>, snug::context<8>>;
using tuning = snug::trainer<model, snug::batch<1, 8>, snug::adapters::lora<snug::rank<2>>>;

extern "C" int LLVMFuzzerTestOneInput(std::uint8_t const* data, std::size_t size) {
    std::string_view const text(reinterpret_cast<char const*>(data), size);
    try {
        snug::io::json_document const document(text, "adapter_config.json", 0);
        snug::detail::check_adapter_config<tuning::composition>(document.root());
    } catch (snug::error const&) {
    }
    return 0;
}
