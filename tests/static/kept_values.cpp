// SPDX-License-Identifier: Apache-2.0
// What blocks keep by name, in bytes, and what they compute again, in operations.
#include <snug/plan.hpp>

namespace {

using namespace snug;
using checkpointing::group;
using checkpointing::keep;
using checkpointing::plan;

template <class Policy>
constexpr auto bill_of = footprint<trainer<models::gpt2_124m, batch<4, 256>, Policy>>;
using all_of_gpt2 = keep<"norm1.output", "qkv.output", "attention.output", "projection.output",
                         "norm2.output", "up.output", "gelu.output">;

// The ends of the scale are policies that there are.
static_assert(bill_of<all_of_gpt2>.total == bill_of<checkpointing::none>.total);
static_assert(bill_of<all_of_gpt2>.activations == bill_of<checkpointing::none>.activations);
static_assert(bill_of<keep<>>.total == bill_of<checkpointing::every_block>.total);
// What selective computes again is the output of layers that save statistics, which are computed again with it.
static_assert(
    bill_of<checkpointing::selective>.activations.count -
        bill_of<keep<"qkv.output", "attention.output", "projection.output", "up.output">>.activations.count ==
    12 * 2 * 2 * 4 * 1024);

// A stretch keeps what is its own, and of all others what one block needs at a time.
using two_thirds = plan<group<8, keep<"qkv.output", "attention.output">>, group<4, checkpointing::none>>;
constexpr auto listed = values<trainer<models::gpt2_124m, batch<4, 256>, two_thirds>>;
static_assert(listed.size() == 7);
constexpr bool is(block_value const& value, std::string_view name, index_t width, index_t kept) {
    return value.name.view() == name && value.width == width && value.rows == 1024 && value.blocks == 12 &&
           value.kept == kept && value.size() == bytes{width * 1024 * 4} && value.element == "fp32";
}
static_assert(is(listed[0], "norm1.output", 768, 4));
static_assert(is(listed[1], "qkv.output", 3 * 768, 12));
static_assert(is(listed[2], "attention.output", 768, 12));
static_assert(is(listed[3], "projection.output", 768, 4));
static_assert(is(listed[4], "norm2.output", 768, 4));
static_assert(is(listed[5], "up.output", 4 * 768, 4));
static_assert(is(listed[6], "gelu.output", 4 * 768, 4));
template <class Policy>
constexpr index_t kept_somewhere = [] {
    index_t total = 0;
    for (auto const& value : values<trainer<models::gpt2_124m, batch<4, 256>, Policy>>) total += value.kept;
    return total;
}();
static_assert(kept_somewhere<checkpointing::none> == 7 * 12);
static_assert(kept_somewhere<checkpointing::selective> == 4 * 12);
static_assert(kept_somewhere<checkpointing::every<3>> == 0);
// Frozen matrices do not read their inputs.
static_assert(values<trainer<models::llama2_7b, batch<1, 64>, precision::mixed<bf16>, quantization::nf4<64>,
                             adapters::lora<rank<8>, targets<"q_proj">>>>
                  .size() == 5);

// Each value that is not kept is computed again once.
constexpr index_t width = 768, rows = 1024;
constexpr index_t qkv = 2 * rows * width * 3 * width, projection = qkv / 3, up = qkv / 3 * 4;
template <class Policy>
constexpr auto recomputed = work<trainer<models::gpt2_124m, batch<4, 256>, Policy>>.recomputed;
static_assert(recomputed<all_of_gpt2> == workload{});
static_assert(recomputed<keep<>> == recomputed<checkpointing::every_block>);
static_assert(recomputed<keep<"qkv.output">>.products == 12 * (projection + up));
static_assert(recomputed<keep<"attention.output">>.products == 12 * (qkv + projection + up));
static_assert(recomputed<keep<"attention.output">>.attention == 0);
static_assert(recomputed<keep<"qkv.output", "attention.output", "projection.output">>.products == 12 * up);
static_assert(recomputed<keep<"gelu.output", "up.output">>.products == 12 * (qkv + projection));
static_assert(recomputed<two_thirds>.products == 8 * (projection + up));

}  // namespace
