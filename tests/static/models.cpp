// SPDX-License-Identifier: Apache-2.0
// Every preset has exactly the published number of parameters.
#include <snug/plan.hpp>

namespace {

using namespace snug;
namespace m = snug::models;

static_assert(parameter_count<m::gpt2_124m> == 124'439'808);
static_assert(parameter_count<m::gpt2_355m> == 354'823'168);
static_assert(parameter_count<m::gpt2_774m> == 774'030'080);
static_assert(parameter_count<m::gpt2_1558m> == 1'557'611'200);

static_assert(parameter_count<m::llama2_7b> == 6'738'415'616);
static_assert(parameter_count<m::llama2_13b> == 13'015'864'320);
static_assert(parameter_count<m::llama2_70b> == 68'976'648'192);
static_assert(parameter_count<m::llama3_8b> == 8'030'261'248);
static_assert(parameter_count<m::llama3_1_8b> == 8'030'261'248);
static_assert(parameter_count<m::llama3_1_70b> == 70'553'706'496);
static_assert(parameter_count<m::llama3_2_1b> == 1'235'814'400);
static_assert(parameter_count<m::llama3_2_3b> == 3'212'749'824);
static_assert(parameter_count<m::llama3_70b> == 70'553'706'496);
static_assert(parameter_count<m::mistral_7b> == 7'241'732'096);
static_assert(parameter_count<m::mistral_7b_v0_3> == 7'248'023'552);
static_assert(parameter_count<m::mistral_nemo_12b> == 12'247'782'400);
static_assert(parameter_count<m::mistral_small_24b> == 23'572'403'200);
static_assert(parameter_count<m::ministral_8b> == 8'019'808'256);

static_assert(parameter_count<m::smollm2_135m> == 134'515'008);
static_assert(parameter_count<m::smollm2_360m> == 361'821'120);
static_assert(parameter_count<m::smollm2_1_7b> == 1'711'376'384);

static_assert(parameter_count<m::qwen2_5_0_5b> == 494'032'768);
static_assert(parameter_count<m::qwen2_5_1_5b> == 1'543'714'304);
static_assert(parameter_count<m::qwen2_5_7b> == 7'615'616'512);

static_assert(parameter_count<m::qwen3_0_6b> == 596'049'920);
static_assert(parameter_count<m::qwen3_1_7b> == 1'720'574'976);
static_assert(parameter_count<m::qwen3_4b> == 4'022'468'096);
static_assert(parameter_count<m::qwen3_8b> == 8'190'735'360);
static_assert(parameter_count<m::qwen3_14b> == 14'768'307'200);
static_assert(parameter_count<m::qwen3_32b> == 32'762'123'264);

static_assert(parameter_count<m::smollm3_3b> == 3'075'098'624);

// Named numbers come in any order, and defaults are what they say.
using plain = m::llama<layers<2>, heads<4>, width<32>, mlp<48>, vocabulary<64>, context<16>>;
static_assert(
    parameter_count<plain> ==
    parameter_count<m::llama<context<16>, mlp<48>, width<32>, vocabulary<64>, heads<4>, layers<2>>>);
static_assert(parameter_count<plain> ==
              parameter_count<m::llama<layers<2>, heads<4>, kv_heads<4>, head_width<8>, width<32>, mlp<48>,
                                       vocabulary<64>, context<16>, tied_head<0>, qkv_bias<0>>>);
static_assert(parameter_count<plain> - parameter_count<m::llama<layers<2>, heads<4>, width<32>, mlp<48>,
                                                                vocabulary<64>, context<16>, tied_head<1>>> ==
              64 * 32);
static_assert(
    parameter_count<m::gpt2<layers<2>, heads<4>, width<32>, vocabulary<64>, context<16>>> ==
    parameter_count<m::gpt2<layers<2>, heads<4>, width<32>, mlp<128>, vocabulary<64>, context<16>>>);
// A head may be wider than its share of the width.
static_assert(parameter_count<m::llama<layers<1>, heads<3>, head_width<16>, width<32>, mlp<48>,
                                       vocabulary<64>, context<16>>> > 0);

// Scaled rotary frequencies and a window that the sequences do not reach need no memory.
template <class... Options>
struct one_block
    : trainer<m::llama<layers<1>, heads<4>, width<32>, mlp<48>, vocabulary<64>, Options...>, batch<2, 16>> {};
constexpr auto plainly = footprint<one_block<context<16>>>.total;
static_assert(footprint<one_block<context<64>, rope_scaling<rope::llama3<32>>>>.total == plainly);
static_assert(footprint<one_block<context<64>, rope_scaling<rope::linear<4>>, sliding_window<16>>>.total ==
              plainly);
// A window as long as the context is none.
static_assert(m::llama<layers<1>, heads<4>, width<32>, mlp<48>, vocabulary<64>, context<64>,
                       sliding_window<16>>::numbers.sliding_window == 16);
static_assert(m::llama<layers<1>, heads<4>, width<32>, mlp<48>, vocabulary<64>, context<64>,
                       sliding_window<64>>::numbers.sliding_window == 0);

// What a trainer trains is the whole model, whatever the batch.
static_assert(trainable_parameter_count<trainer<m::gpt2_124m, batch<1, 8>>> == 124'439'808);

}  // namespace
