// SPDX-License-Identifier: Apache-2.0

// What the estimators that people use today say of a job, beside what snug allocates for it.
// docs/estimators.md shows these figures; every estimate there is asserted here.

#include <snug/plan.hpp>

#include <cstdint>

namespace estimators {

using snug::bytes;

/// What the formulas ask of a job: a decoder of the GPT-2 or Llama family, trained in full.
struct job {
    std::int64_t layers, heads, kv_heads, width, mlp, vocabulary;
    /// Learned positions (GPT-2); 0 with RoPE.
    std::int64_t positions;
    /// Gated MLP, RMSNorm, no biases (Llama); else two-matrix MLP, LayerNorm, biases (GPT-2).
    bool llama;
    bool tied;
    std::int64_t sequences, tokens;
    /// Mixed precision with fp32 master weights; else all in fp32.
    bool mixed;
};

constexpr std::int64_t parameters(job const& j) {
    auto const head = j.width / j.heads;
    auto const qkv = (j.heads + 2 * j.kv_heads) * head;
    auto const matrices = j.width * (qkv + j.width + (j.llama ? 3 : 2) * j.mlp);
    auto const norm = (j.llama ? 1 : 2) * j.width;
    auto const biases = j.llama ? 0 : qkv + j.width + j.mlp + j.width;
    auto const embeddings = ((j.tied ? 1 : 2) * j.vocabulary + j.positions) * j.width;
    return embeddings + j.layers * (matrices + 2 * norm + biases) + norm;
}

/// DeepSpeed: model states only. No activations, no communication buckets, and the same for fp32 as for mixed
/// precision.
namespace deepspeed {

/// `estimate_zero2_model_states_mem_needs` without offload (deepspeed/runtime/zero/stage_1_and_2.py):
/// 2 + 18 / devices bytes a parameter.
constexpr bytes zero2(job const& j, std::int64_t devices = 1) {
    return {2 * parameters(j) + 18 * parameters(j) / devices};
}

/// `estimate_zero3_model_states_mem_needs` without offload (deepspeed/runtime/zero/stage3.py): 18 / devices
/// bytes a parameter, and 4 for each of the largest layer. That is the largest single module by its own
/// parameters; for these models the embedding.
constexpr bytes zero3(job const& j, std::int64_t devices = 1) {
    return {4 * j.vocabulary * j.width + 18 * parameters(j) / devices};
}

}  // namespace deepspeed

/// Megatron-LM, all parallel sizes 1 (megatron/training/theoretical_memory_usage.py).
namespace megatron {

/// `--make-vocab-size-divisible-by` is 128 unless told otherwise.
constexpr std::int64_t padded_vocabulary(job const& j) { return snug::round_up(j.vocabulary, 128); }

/// `compute_weight_and_optimizer_memory` counts for itself: no biases, no learned positions.
constexpr std::int64_t counted_parameters(job const& j) {
    auto const norm = (j.llama ? 1 : 2) * j.width;
    auto const mlp = (j.llama ? 3 : 2) * j.width * j.mlp;
    auto const attention = 2 * j.width * (j.heads + j.kv_heads) * (j.width / j.heads);
    auto const embeddings = (j.tied ? 1 : 2) * padded_vocabulary(j) * j.width;
    return embeddings + j.layers * (attention + mlp + 2 * norm) + norm;
}

/// 18 bytes a parameter, or 6 + 12 / devices with the distributed optimizer: on one device the same.
constexpr bytes weights_and_optimizer(job const& j, std::int64_t devices = 1) {
    return {6 * counted_parameters(j) + 12 * counted_parameters(j) / devices};
}

/// The ids that go into the embedding, 8 bytes each, and the mask of its dropout.
constexpr std::int64_t embedding_activations(job const& j) { return j.sequences * j.tokens * (8 + j.width); }

/// `compute_activation_memory_without_sp`, what is reported unless sequence parallelism and selective
/// recomputation are both on: 10 + 24 bytes a token, layer and unit of width whatever the MLP is, logits in
/// 16 bit, 5 % on top.
constexpr bytes activations(job const& j) {
    auto const tokens = j.sequences * j.tokens;
    auto const layers = j.layers * tokens * j.width * (10 + 24);
    auto const output = 2 * tokens * (padded_vocabulary(j) + j.width);
    return {(layers + embedding_activations(j) + output) * 105 / 100};
}

/// `compute_activation_memory`, for sequence parallelism with selective recomputation of attention (table 2
/// of arXiv 2205.05198): s b h (18 + 4 ffn / h) bytes a layer, logits in 32 bit.
constexpr bytes activations_selective(job const& j) {
    auto const tokens = j.sequences * j.tokens;
    auto const layers = j.layers * tokens * (18 * j.width + 4 * j.mlp);
    auto const output = 4 * tokens * (padded_vocabulary(j) + j.width);
    return {layers + embedding_activations(j) + output};
}

}  // namespace megatron

/// `accelerate estimate-memory`, its column "Training using Adam" (src/accelerate/commands/estimate.py).
namespace accelerate {

/// It builds an `AutoModel`, which has no language-model head: one that is not tied is not counted.
constexpr std::int64_t counted_parameters(job const& j) {
    return parameters(j) - (j.tied ? 0 : j.vocabulary * j.width);
}

/// float32: four times the weights. float16: the largest of the parts instead of their sum, which is the 8
/// bytes a parameter of the optimizer. The batch does not enter.
constexpr bytes training(job const& j) { return {(j.mixed ? 8 : 16) * counted_parameters(j)}; }

}  // namespace accelerate

constexpr job gpt2(std::int64_t layers, std::int64_t heads, std::int64_t width) {
    job j{};
    j.layers = layers, j.heads = j.kv_heads = heads, j.width = width, j.mlp = 4 * width;
    j.vocabulary = 50257, j.positions = 1024, j.tied = true;
    return j;
}

constexpr job llama(std::int64_t layers, std::int64_t heads, std::int64_t kv_heads, std::int64_t width,
                    std::int64_t mlp, std::int64_t vocabulary) {
    job j{};
    j.layers = layers, j.heads = heads, j.kv_heads = kv_heads, j.width = width, j.mlp = mlp;
    j.vocabulary = vocabulary, j.llama = true;
    return j;
}

constexpr job fp32(job j, std::int64_t sequences, std::int64_t tokens) {
    j.sequences = sequences, j.tokens = tokens, j.mixed = false;
    return j;
}

constexpr job mixed(job j, std::int64_t sequences, std::int64_t tokens) {
    j.sequences = sequences, j.tokens = tokens, j.mixed = true;
    return j;
}

constexpr auto gpt2_124m = gpt2(12, 12, 768);
constexpr auto gpt2_1558m = gpt2(48, 25, 1600);
constexpr auto llama2_7b = llama(32, 32, 32, 4096, 11008, 32000);
constexpr auto llama2_70b = llama(80, 64, 8, 8192, 28672, 32000);
constexpr auto llama3_8b = llama(32, 32, 8, 4096, 14336, 128256);

// The published counts.
static_assert(parameters(gpt2_124m) == 124'439'808);
static_assert(parameters(gpt2_1558m) == 1'557'611'200);
static_assert(parameters(llama2_7b) == 6'738'415'616);
static_assert(parameters(llama2_70b) == 68'976'648'192);
static_assert(parameters(llama3_8b) == 8'030'261'248);
// Megatron's own count is right for Llama. Of GPT-2 it leaves out positions and biases, and adds 47 rows of
// padding.
static_assert(megatron::counted_parameters(llama2_7b) == parameters(llama2_7b));
static_assert(megatron::counted_parameters(llama3_8b) == parameters(llama3_8b));
static_assert(megatron::counted_parameters(gpt2_124m) ==
              parameters(gpt2_124m) - (1024 + 12 * (3 + 1 + 4 + 1) - 47) * 768);

/// A row of the table in docs/estimators.md, in bytes.
struct estimates {
    std::int64_t zero2, zero3, megatron_states, megatron_activations, megatron_activations_selective,
        accelerate;
    friend constexpr bool operator==(estimates const&, estimates const&) = default;
};

constexpr estimates of(job const& j) {
    return {.zero2 = deepspeed::zero2(j).count,
            .zero3 = deepspeed::zero3(j).count,
            .megatron_states = megatron::weights_and_optimizer(j).count,
            .megatron_activations = megatron::activations(j).count,
            .megatron_activations_selective = megatron::activations_selective(j).count,
            .accelerate = accelerate::training(j).count};
}

static_assert(of(fp32(gpt2_124m, 1, 1024)) == estimates{2'488'796'160, 2'394'306'048, 2'224'917'504,
                                                        447'567'052, 530'849'792, 1'991'036'928});
static_assert(of(mixed(gpt2_124m, 8, 1024)) == estimates{2'488'796'160, 2'394'306'048, 2'224'917'504,
                                                         3'580'536'422, 4'246'798'336, 995'518'464});
static_assert(of(mixed(gpt2_1558m, 1, 1024)) == estimates{31'152'224'000, 28'358'646'400, 27'996'422'400,
                                                          2'920'905'523, 2'888'114'176, 12'460'889'600});
static_assert(of(mixed(llama2_7b, 1, 1024)) == estimates{134'768'312'320, 121'815'769'088, 121'291'481'088,
                                                         4'873'606'348, 4'010'811'392, 52'858'748'928});
static_assert(of(mixed(llama3_8b, 1, 8192)) == estimates{160'605'224'960, 146'646'048'768, 144'544'702'464,
                                                         40'644'762'009, 38'730'268'672, 60'039'397'376});

// What snug allocates for the same jobs, in full training with AdamW, nothing checkpointed.
namespace exact {

using snug::batch;
using bf16 = snug::precision::mixed<snug::bf16>;
namespace models = snug::models;

struct gpt2_124m_fp32 : snug::trainer<models::gpt2_124m, batch<1, 1024>> {};
struct gpt2_124m_bf16 : snug::trainer<models::gpt2_124m, batch<8, 1024>, bf16> {};
struct gpt2_1558m_bf16 : snug::trainer<models::gpt2_1558m, batch<1, 1024>, bf16> {};
struct llama2_7b_bf16 : snug::trainer<models::llama2_7b, batch<1, 1024>, bf16> {};
struct llama3_8b_bf16 : snug::trainer<models::llama3_8b, batch<1, 8192>, bf16> {};

}  // namespace exact

static_assert(parameters(gpt2_124m) == snug::parameter_count<snug::models::gpt2_124m>);
static_assert(parameters(gpt2_1558m) == snug::parameter_count<snug::models::gpt2_1558m>);
static_assert(parameters(llama2_7b) == snug::parameter_count<snug::models::llama2_7b>);
static_assert(parameters(llama3_8b) == snug::parameter_count<snug::models::llama3_8b>);

/// What every estimate is of the allocation, in percent, to the nearest: the second table of docs/estimators.md.
struct percentages {
    int zero2, zero3, megatron, megatron_selective, accelerate;
    friend constexpr bool operator==(percentages const&, percentages const&) = default;
};

template <class Trainer>
constexpr percentages compared(job const& j) {
    auto const percent = [](std::int64_t estimate) {
        return static_cast<int>(bytes{estimate} / snug::footprint<Trainer>.total * 100 + 0.5);
    };
    auto const e = of(j);
    return {percent(e.zero2), percent(e.zero3), percent(e.megatron_states + e.megatron_activations),
            percent(e.megatron_states + e.megatron_activations_selective), percent(e.accelerate)};
}

static_assert(compared<exact::gpt2_124m_fp32>(fp32(gpt2_124m, 1, 1024)) == percentages{92, 89, 99, 102, 74});
static_assert(compared<exact::gpt2_124m_bf16>(mixed(gpt2_124m, 8, 1024)) ==
              percentages{52, 50, 121, 135, 21});
static_assert(compared<exact::gpt2_1558m_bf16>(mixed(gpt2_1558m, 1, 1024)) ==
              percentages{102, 93, 101, 101, 41});
static_assert(compared<exact::llama2_7b_bf16>(mixed(llama2_7b, 1, 1024)) ==
              percentages{107, 97, 100, 100, 42});
static_assert(compared<exact::llama3_8b_bf16>(mixed(llama3_8b, 1, 8192)) ==
              percentages{89, 81, 102, 101, 33});

// The figures of the table, in hundredths of a GiB.
template <class Trainer>
constexpr std::int64_t hundredths = (snug::footprint<Trainer>.total.count * 100 + (std::int64_t{1} << 29)) >>
                                    30;
static_assert(hundredths<exact::gpt2_124m_fp32> == 251);
static_assert(hundredths<exact::gpt2_124m_bf16> == 445);
static_assert(hundredths<exact::gpt2_1558m_bf16> == 2855);
static_assert(hundredths<exact::llama2_7b_bf16> == 11710);
static_assert(hundredths<exact::llama3_8b_bf16> == 16897);

// On several ranks: one of them, blocks computed again, so that of all that the formulas leave out as little as can be is there.

namespace exact {

template <class Model, class Sharding>
using shared =
    snug::trainer<Model, batch<1, Model::longest_sequence>, bf16, snug::checkpointing::every_block, Sharding>;
template <class Model, int Stage, int N>
using zero = shared<Model, snug::sharding::zero<Stage, snug::ranks<N>>>;

}  // namespace exact

/// A row of the third table of docs/estimators.md, in hundredths of a GiB.
struct shares {
    std::int64_t megatron, snug1, deepspeed2, snug2, deepspeed3, snug3;
    friend constexpr bool operator==(shares const&, shares const&) = default;
};
constexpr std::int64_t in_hundredths(bytes amount) {
    return (amount.count * 100 + (std::int64_t{1} << 29)) >> 30;
}
template <class Model, int N>
constexpr shares on_ranks(job const& j) {
    return {.megatron = in_hundredths(megatron::weights_and_optimizer(j, N)),
            .snug1 = hundredths<exact::zero<Model, 1, N>>,
            .deepspeed2 = in_hundredths(deepspeed::zero2(j, N)),
            .snug2 = hundredths<exact::zero<Model, 2, N>>,
            .deepspeed3 = in_hundredths(deepspeed::zero3(j, N)),
            .snug3 = hundredths<exact::zero<Model, 3, N>>};
}
static_assert(on_ranks<snug::models::gpt2_1558m, 8>(gpt2_1558m) == shares{1086, 1117, 617, 663, 356, 420});
static_assert(on_ranks<snug::models::llama2_7b, 8>(llama2_7b) == shares{4707, 4866, 2667, 2869, 1461, 1847});
static_assert(on_ranks<snug::models::llama2_7b, 64>(llama2_7b) == shares{3883, 4043, 1432, 1772, 225, 612});
static_assert(on_ranks<snug::models::llama2_70b, 64>(llama2_70b) ==
              shares{39748, 40365, 14655, 15804, 1904, 3475});

}  // namespace estimators
