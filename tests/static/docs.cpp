// SPDX-License-Identifier: Apache-2.0

// The code and the figures of docs/. A snippet of a page stands here word for word, or in examples/custom_block.cpp; a
// figure of a page is asserted here.
#include <algorithm>
#include <bit>
#include <cmath>
#include <cstdint>
#include <iostream>
#include <snug/data/mixture.hpp>
#include <snug/snug.hpp>
#include <snug/training.hpp>
#include <string>
#include <string_view>

// docs/bill.md -----------------------------------------------------------------------------------------------------

namespace documented_bill {

using namespace snug::literals;

struct fp32_run : snug::trainer<snug::models::gpt2_124m, snug::batch<4, 256>> {};
struct bf16_run
    : snug::trainer<snug::models::gpt2_124m, snug::batch<4, 256>, snug::precision::mixed<snug::bf16>> {};

constexpr auto P = snug::parameter_count<snug::models::gpt2_124m>;
static_assert(P == 124'439'808);

constexpr auto fp32 = snug::footprint<fp32_run>;
static_assert(fp32.weights.count == 4 * P);          // 474.7 MiB
static_assert(fp32.master_weights == 0_B);           // the optimizer updates the weights themselves
static_assert(fp32.gradients.count == 4 * P);        // 474.7 MiB
static_assert(fp32.optimizer_state.count == 8 * P);  // 949.4 MiB: two moments

constexpr auto bf16 = snug::footprint<bf16_run>;
static_assert(bf16.weights.count == 2 * P);          // 237.4 MiB
static_assert(bf16.master_weights.count == 4 * P);   // 474.7 MiB
static_assert(bf16.gradients.count == 4 * P);        // 474.7 MiB
static_assert(bf16.optimizer_state.count == 8 * P);  // 949.4 MiB

// Activations: a unit is one activation of the width of the residual stream, for every token.
constexpr std::int64_t rows = 4 * 256, width = 768, heads = 12, blocks = 12;
constexpr std::int64_t units = 16 * blocks + 2;
constexpr std::int64_t statistics = rows * (blocks * (4 + heads) + 2);               // always fp32
static_assert(fp32.activations.count == 4 * (units * rows * width + statistics));    // 582.8 MiB
static_assert(bf16.activations.count == 2 * units * rows * width + 4 * statistics);  // 291.8 MiB

static_assert(fp32.staging.count == 3 * 4 * rows);  // tokens, targets, starts, int32: 12.0 KiB
static_assert(fp32.communication == 0_B);
static_assert(fp32.total < fp32.sum());

template <class Run>
constexpr bool largest_in_the_head() {
    using composition = typename Run::composition;
    constexpr auto bill = snug::footprint<Run>;
    constexpr auto head =
        composition::model::head::template forward_workspace<typename composition::setting>();
    constexpr auto partial_sums = snug::bytes{8 * snug::ops::sum_partials};
    constexpr auto numbers = snug::bytes{64};  // of a step
    return bill.total == bill.weights + bill.master_weights + bill.gradients + bill.optimizer_state +
                             partial_sums + numbers + bill.activations + bill.staging + snug::bytes{head};
}
static_assert(largest_in_the_head<fp32_run>() && largest_in_the_head<bf16_run>());

// Rows of a chunk of the head, and what its logits take beside all logits in fp32.
template <class Run>
constexpr auto chunk =
    Run::composition::model::head::template chunk_rows<typename Run::composition::setting>();
static_assert(chunk<fp32_run> == 256 && chunk<bf16_run> == 512);
constexpr auto row_of_logits = fp32_run::model::head::logits_stride;
static_assert(row_of_logits == 786 * 64 && 785 * 64 < 50257);
static_assert(256 * row_of_logits * 4 == 512 * row_of_logits * 2);
static_assert(snug::bytes{256 * row_of_logits * 4} > 49_MiB && snug::bytes{256 * row_of_logits * 4} < 50_MiB);
static_assert(snug::bytes{rows * 50257 * 4} > 196_MiB);

// The Llama family, elements for each row of a block: 4 width + (heads + 2 kv_heads) head_width + heads head_width + 3 mlp.
struct llama_run : snug::trainer<snug::models::smollm2_135m, snug::batch<4, 256>> {};
constexpr std::int64_t llama_block = 4 * 576 + (9 + 2 * 3) * 64 + 9 * 64 + 3 * 1536;
static_assert(snug::footprint<llama_run>.activations.count ==
              4 * rows * (30 * llama_block + 2 * 576 + 30 * (2 + 9) + 1));

}  // namespace documented_bill

// docs/checkpointing.md --------------------------------------------------------------------------------------------

namespace documented_checkpointing {

struct small : snug::trainer<snug::models::gpt2_124m, snug::batch<4, 256>, snug::checkpointing::every_block> {
};

/// Units of rows x width that GPT-2 124M keeps, by the bill.
template <class Checkpointing>
constexpr std::int64_t units =
    snug::footprint<snug::trainer<snug::models::gpt2_124m, snug::batch<4, 256>, Checkpointing>>.activations.count /
    (4 * documented_bill::rows * documented_bill::width);

namespace kept = snug::checkpointing;
static_assert(units<kept::none> == 16 * 12 + 2);
static_assert(units<kept::selective> == 10 * 12 + 2);
static_assert(units<kept::every_block> == 12 + 15 + 2);
static_assert(units<kept::every<2>> == 6 + 1 + 2 * 15 + 2);
static_assert(units<kept::every<3>> == 4 + 2 + 3 * 15 + 2);
static_assert(units<kept::every<6>> == 2 + 5 + 6 * 15 + 2);
static_assert(units<kept::square_root> == units<kept::every<4>>);
// Blocks in groups, in units: what the first five keep for all, and what the other seven do.
using kept::group;
static_assert(units<kept::plan<group<5, kept::every_block>, group<7, kept::selective>>> ==
              5 + 15 + 7 * 10 + 2);
// Groups that keep the same are one group, to the byte.
template <class Checkpointing>
constexpr auto total =
    snug::footprint<snug::trainer<snug::models::gpt2_124m, snug::batch<4, 256>, Checkpointing>>.total;
static_assert(total<kept::plan<group<1, kept::none>, group<11, kept::none>>> == total<kept::none>);
static_assert(total<kept::plan<group<6, kept::every_block>, group<6, kept::every_block>>> ==
              total<kept::every_block>);
static_assert(total<kept::plan<group<4, kept::selective>, group<8, kept::selective>>> ==
              total<kept::selective>);
static_assert(total<kept::plan<group<12, kept::every<3>>>> == total<kept::every<3>>);
// By name.
using kept::keep;
using keys_and_attention = keep<"qkv.output", "attention.output">;
static_assert(units<keys_and_attention> == 5 * 12 + 2);
static_assert(total<kept::plan<group<6, keys_and_attention>, group<6, keys_and_attention>>> ==
              total<keys_and_attention>);
using checkpointed = snug::trainer<
    snug::models::gpt2_124m, snug::batch<4, 256>,
    snug::checkpointing::plan<
        snug::checkpointing::group<8, snug::checkpointing::keep<"qkv.output", "attention.output">>,
        snug::checkpointing::group<4, snug::checkpointing::none>>>;
static_assert(snug::values<checkpointed>.size() == 7);
// Within a budget: tests/static/within.cpp has the trainer.

/// Activations of Llama-2 70B, to the nearest tenth of a GiB, in tenths.
template <class Checkpointing>
constexpr std::int64_t tenths_of_llama =
    (snug::footprint<snug::trainer<snug::models::llama2_70b, snug::batch<1, 4096>,
                                   snug::precision::mixed<snug::bf16>, Checkpointing>>
             .activations.count *
         10 +
     (std::int64_t{1} << 29)) >>
    30;
static_assert(tenths_of_llama<kept::every_block> == 61);
static_assert(tenths_of_llama<kept::every<2>> == 47);
static_assert(tenths_of_llama<kept::every<3>> == 49);
static_assert(tenths_of_llama<kept::square_root> == 101);

}  // namespace documented_checkpointing

// docs/policies.md -------------------------------------------------------------------------------------------------

namespace mine {

// A precision: fp32 throughout, with an fp64 copy for the optimizer and fp64 row statistics.
struct fp32_with_fp64_master {
    using axis = snug::axis::precision;
    using weight = snug::fp32;
    using activation = snug::fp32;
    using gradient = snug::fp32;
    using statistic = snug::fp64;
    using master = snug::fp64;
};

// A number format: the upper 24 bits of an fp32, in three bytes.
struct fp24 {
    static constexpr std::string_view name = "fp24";  // in snapshots and reports
    std::uint8_t bytes[3];

    fp24() = default;
    constexpr explicit fp24(float value) : bytes{} {
        auto const word = std::bit_cast<std::uint32_t>(value);
        auto const nearest = word + 0x7Fu + (word >> 8 & 1u);  // ties to even
        for (int i = 0; i < 3; ++i) bytes[i] = static_cast<std::uint8_t>(nearest >> (8 + 8 * i));
    }
    constexpr operator float() const {
        std::uint32_t word = 0;
        for (int i = 0; i < 3; ++i) word |= static_cast<std::uint32_t>(bytes[i]) << (8 + 8 * i);
        return std::bit_cast<float>(word);
    }
};

struct mixed_fp24 {
    using axis = snug::axis::precision;
    using weight = fp24;
    using activation = fp24;
    using gradient = snug::fp32;
    using statistic = snug::fp32;
    using master = snug::fp32;
};

// Checkpointing: segments as long as is best for a block that saves `Units` times its input.
template <snug::index_t Units>
struct best_segments {
    using axis = snug::axis::checkpointing;
    static constexpr snug::index_t segment(snug::index_t blocks) {
        auto const kept = [=](snug::index_t k) { return (blocks + k - 1) / k + k * Units; };
        snug::index_t best = 1;
        for (snug::index_t k = 2; k <= blocks; ++k)
            if (kept(k) < kept(best)) best = k;
        return best;
    }
};

// Accumulation: as many micro-batches as make up a step of `Tokens` tokens.
template <snug::index_t Tokens, class Batch>
struct tokens_per_step {
    static_assert(Tokens % (Batch::sequences * Batch::tokens) == 0, "a step holds whole micro-batches");
    using axis = snug::axis::accumulation;
    static constexpr snug::index_t count = Tokens / (Batch::sequences * Batch::tokens);
};

// A batch: as many sequences as fill `Rows` rows.
template <snug::index_t Rows, snug::index_t Tokens>
struct batch_of_rows {
    using axis = snug::axis::batch;
    static constexpr snug::index_t sequences = Rows / Tokens;
    static constexpr snug::index_t tokens = Tokens;
};

}  // namespace mine

struct my_run : snug::trainer<snug::models::gpt2_124m, mine::batch_of_rows<8192, 1024>,
                              mine::tokens_per_step<524288, mine::batch_of_rows<8192, 1024>>,
                              mine::mixed_fp24, mine::best_segments<15>, snug::on<snug::host_threads<4>>> {};

static_assert(my_run::tokens_per_step == 524288);
static_assert(snug::footprint<my_run>.weights.count == 3 * snug::parameter_count<snug::models::gpt2_124m>);

// The arithmetic compiles as well.
template snug::step_result snug::run<my_run::composition>::step(snug::token_batch const&);

// docs/data.md -----------------------------------------------------------------------------------------------------

using my_model = snug::models::gpt2<snug::layers<2>, snug::heads<2>, snug::width<64>, snug::vocabulary<256>,
                                    snug::context<128>>;
struct my_trainer : snug::trainer<my_model, snug::batch<8, 128>> {};

namespace documented_data {

void train_on(my_trainer& run, std::string const& path) {
    for (auto const& batch : snug::io::token_batches<my_trainer>(path, /* seed */ 7))  // one epoch
        std::cout << run.step(batch) << '\n';
}

snug::evaluation train_and_validate(my_trainer& run, std::string const& path, std::int64_t steps) {
    using batch = my_trainer::composition::batch;
    auto const all = snug::io::token_file::open(path, my_trainer::model::vocabulary);
    auto const [training, validation] =
        snug::io::split(all, 0.1, batch::sequences, batch::tokens);  // the last tenth
    auto batches = snug::io::token_batches<my_trainer>(training, /* seed */ 7);
    for (std::int64_t i = 0; i < steps; ++i) run.step(batches.next());
    return run.evaluate(snug::io::token_batches<my_trainer>::in_order(validation));
}

void save(my_trainer const& run, snug::io::token_batches<my_trainer> const& batches) {
    run.save("run.snapshot", {{"position", std::to_string(batches.position())}});
}

void resume(my_trainer& run, snug::io::token_batches<my_trainer>& batches) {
    for (auto const& [key, value] : run.resume("run.snapshot"))
        if (key == "position") batches.resume_at(std::stoll(value));
}

snug::io::mixed_batches<my_trainer> mixture_of(std::vector<std::string> const& web, std::string const& code,
                                               std::string const& books) {
    auto const open = [](std::vector<std::string> const& paths) {
        return snug::io::token_file::open_all(paths, my_trainer::model::vocabulary);
    };
    return {{{.files = open(web), .parts = 7}, {.files = open({code}), .parts = 2}, {.files = open({books})}},
            /* seed */ 7};
}

struct squares {
    void fill(std::int64_t number, std::int64_t count, std::int32_t* inputs, std::int32_t* targets) const {
        constexpr auto tokens = my_trainer::composition::batch::tokens;
        for (std::int64_t i = 0; i < count * tokens; ++i) {
            auto const n = number + i / tokens + i % tokens;
            inputs[i] = static_cast<std::int32_t>(n * n % 251);
            targets[i] = static_cast<std::int32_t>((n + 1) * (n + 1) % 251);
        }
    }
};
using batches_of_squares = snug::io::numbered_batches<my_trainer, squares>;

}  // namespace documented_data

// docs/snapshots.md ------------------------------------------------------------------------------------------------

namespace documented_snapshots {

void first_part(my_trainer& run) {
    // ... steps ...
    run.save("run.snapshot", {{"position", "4096"}});
}

std::string second_part(my_trainer& run) {
    auto const notes =
        run.resume("run.snapshot");  // throws snug::error and changes nothing, or restores every bit
    return notes.front().second;     // "4096"
}

}  // namespace documented_snapshots

// docs/layers.md, besides what is in examples/custom_block.cpp ---------------------------------------------------------

namespace documented_layers {

struct squared_relu_function {
    template <class S>
    static constexpr S value(S x) {
        return x > 0 ? x * x : S(0);
    }
    template <class S>
    static constexpr S derivative(S x) {
        return x > 0 ? 2 * x : S(0);
    }
};
template <snug::index_t Width>
using squared_relu = snug::elementwise<Width, squared_relu_function>;

static_assert(squared_relu<8>::output_width == 8 && snug::layer::elementwise<squared_relu<8>>);

}  // namespace documented_layers

// docs/models.md, docs/training.md -----------------------------------------------------------------------------------

namespace documented_models {

using small_llama = snug::models::llama<snug::layers<6>, snug::heads<6>, snug::kv_heads<2>, snug::width<384>,
                                        snug::mlp<1024>, snug::vocabulary<32000>, snug::context<1024>>;

static_assert(snug::parameter_count<small_llama> == 34'018'176);
static_assert(snug::parameter_count<snug::models::smollm2_135m> == 134'515'008);

template <class Run>
double largest_weight(Run& run) {
    double largest = 0;
    for (auto const& parameter : snug::parameters<Run>)
        if (!parameter.is_quantized() && !parameter.is_derived())
            for (auto const weight : run.weights(parameter.name.view()))  // copy after copy, row by row
                largest = std::max(largest, std::abs(static_cast<double>(weight)));
    return largest;
}

template <class Run>
void set_learning_rate(Run& run) {
    run.options.learning_rate = 3e-4;
    run.options.learning_rate = snug::schedule::warm_up_stable_decay{
        .peak = 1e-3, .warm_up = 100, .decay = 400, .total = 2000, .shape = snug::schedule::shape::cosine};
    run.options.learning_rate = [](snug::index_t step) { return step <= 500 ? 1e-3 : 1e-4; };
}

template <class Run>
void set_groups(Run& run) {
    run.options.groups = {{.where = "blocks.0-2.*", .learning_rate = 0.5},  // the first three blocks
                          {.where = "embedding.*", .learning_rate = 0.1, .weight_decay = 0.0},
                          {.where = "*norm*", .weight_decay = 0.01}};
}

template <class Run, class Batches>
void train_and_watch(Run& run, Batches& batches, Batches& validation, snug::index_t steps) {
    snug::training::metrics_file metrics("metrics.jsonl", {"loss", "validation_loss"}, run.steps());
    snug::training::best_loss best;
    while (run.steps() < steps && best.since < 5) {  // five validations without a better one end it
        auto const result = run.step(batches.next());
        std::optional<double> loss;
        if (run.steps() % 100 == 0) {
            validation.resume_at(0);
            loss = run.evaluate(validation).loss;
            if (best.is_improved_by(*loss)) run.save("best.snapshot");
        }
        metrics.write(run.steps(), {result.loss, loss});
    }
}

struct documented : snug::trainer<small_llama, snug::batch<1, 64>> {};
static_assert(snug::parameters<documented>[0].name.view() == "embedding.table" &&
              snug::parameters<documented>[0].dimensions[0] == 32000);
[[maybe_unused]] double (*const used)(documented&) = &largest_weight<documented>;
[[maybe_unused]] void (*const set)(documented&) = &set_learning_rate<documented>;
[[maybe_unused]] void (*const grouped)(documented&) = &set_groups<documented>;
using documented_batches = snug::io::token_batches<documented>;
[[maybe_unused]] void (*const watched)(documented&, documented_batches&, documented_batches&,
                                       snug::index_t) = &train_and_watch<documented, documented_batches>;

}  // namespace documented_models

namespace documented_work {

using pretraining =
    snug::trainer<snug::models::gpt2_124m, snug::batch<4, 1024>, snug::checkpointing::every_block>;
constexpr auto done = snug::work<pretraining>;
constexpr std::int64_t N = 12 * 12 * 768 * 768 + 50257 * 768;  // of products: no norms, biases, positions
static_assert(done.model().products == 6 * N * 4 * 1024);
static_assert(done.step().total() > done.model().total());  // blocks run again

}  // namespace documented_work

namespace documented_walks {

struct counting : snug::in_order {
    int forward = 0, backward = 0;

    template <class Call>  // Call::node::type is the layer
    constexpr void leaf(Call const&) {
        ++(Call::which == snug::pass::forward ? forward : backward);
    }
};

constexpr counting counted = [] {
    counting walker;
    snug::models::smollm2_135m::walk_training(walker);
    return walker;
}();
// Eight leaves in each of 30 blocks, the embedding, the last norm, and the head, which does both at once.
static_assert(snug::walker<counting> && counted.forward == 30 * 8 + 3 && counted.backward == 30 * 8 + 2);

}  // namespace documented_walks

template <class... Layers>
struct chain : snug::sequence<Layers...> {};

template <class Rule, class... Layers, auto Path>
struct snug::rewrite<Rule, chain<Layers...>, Path> {
    using type = chain<typename snug::rewrite<Rule, Layers, Path>::type...>;
};

// docs/adapters.md -------------------------------------------------------------------------------------------------

namespace documented_adapters {

struct only_some : snug::adapters::lora<snug::rank<4>> {
    using paths = snug::layer_paths<"blocks.down", "norm">;
    template <snug::text Path, class Layer>
    static constexpr bool trains = paths::contain(Path.view());
};

using small = snug::models::gpt2<snug::layers<1>, snug::heads<1>, snug::width<8>, snug::vocabulary<9>,
                                 snug::context<4>>;
struct some : snug::trainer<small, snug::batch<1, 4>, only_some> {};
// "blocks.down" is linear, and lora adapts it.
static_assert([] {
    for (auto const& entry : some::composition::parameter_table.entries)
        if (entry.is_trained() != (entry.of_adapter || entry.name.view().starts_with("norm."))) return false;
    return true;
}());

struct chained : snug::stack<snug::named<"embedding", snug::embedding<9, 8>>,
                             snug::named<"low", chain<snug::named<"up", snug::linear<8, 8>>>>,
                             snug::named<"head", snug::head_with_loss<8, 9, true>>> {};
struct of_chain : snug::trainer<chained, snug::batch<1, 4>,
                                snug::adapters::lora<snug::rank<2>, snug::targets<"low.up">>> {};
static_assert(of_chain::composition::parameter_table.entries[1].name.view() == "low.up.weight");
static_assert(!of_chain::composition::parameter_table.entries[1].is_trained());

template <class... Options>
using of_queries = snug::trainer<snug::models::gpt2_124m, snug::batch<4, 256>,
                                 snug::adapters::lora<snug::rank<8>, snug::targets<"c_attn">, Options...>>;
using in_all = of_queries<>;
using in_three = of_queries<snug::only_in<snug::last_blocks<3>>>;
constexpr snug::index_t of_a_block = 8 * (768 + 3 * 768);
static_assert(snug::trainable_parameter_count<in_all> == 12 * of_a_block);
static_assert(snug::trainable_parameter_count<in_three> == 3 * of_a_block);
static_assert(snug::footprint<in_three>.gradients.count == 3 * of_a_block * 4);
static_assert(snug::footprint<in_three>.optimizer_state.count == 2 * 3 * of_a_block * 4);
static_assert(snug::footprint<in_all>.weights.count - snug::footprint<in_three>.weights.count ==
              9 * of_a_block * 4);
// Nine blocks without backward keep nothing.
static_assert(snug::footprint<in_all>.activations.count == 422'715'392);
static_assert(snug::footprint<in_three>.activations.count == 113'549'312);
// Behind the adapted blocks the gradient goes through.
static_assert(snug::footprint<of_queries<snug::only_in<snug::block_range<0, 2>>>>.activations.count >
              2 * snug::footprint<in_three>.activations.count);

}  // namespace documented_adapters

// docs/host.md -----------------------------------------------------------------------------------------------------

namespace documented_host {

struct for_16 : snug::trainer<snug::models::gpt2_124m, snug::batch<4, 256>> {};
struct for_2 : snug::trainer<snug::models::gpt2_124m, snug::batch<4, 256>, snug::on<snug::host_threads<2>>> {
};
static_assert(snug::footprint<for_2>.workspace < snug::footprint<for_16>.workspace);
static_assert(snug::footprint<for_2>.activations == snug::footprint<for_16>.activations);

}  // namespace documented_host

// docs/cuda.md -----------------------------------------------------------------------------------------------------

namespace documented_cuda {

struct pretraining
    : snug::trainer<snug::models::gpt2_1558m, snug::batch<8, 1024>, snug::precision::mixed<snug::bf16>,
                    snug::checkpointing::selective, snug::on<snug::cuda>> {};
static_assert(snug::fits<pretraining, snug::devices::a100_40gb>);
static_assert(snug::footprint<pretraining>.total.count == 40'957'792'704);  // 38.1 GiB

}  // namespace documented_cuda

namespace documented_seed {

struct my_trainer : snug::trainer<snug::models::gpt2_124m, snug::batch<4, 256>> {
    using trainer::trainer;
};
static_assert(std::is_constructible_v<my_trainer, int> && std::is_default_constructible_v<my_trainer>);

struct trainer : snug::trainer<snug::models::gpt2_124m, snug::batch<4, 256>> {
    using trainer_type::trainer_type;
};
static_assert(std::is_constructible_v<trainer, int>);

}  // namespace documented_seed

// docs/training.md, docs/checkpointing.md -----------------------------------------------------------------------------

namespace documented_part {

struct last_quarter : snug::trainer<snug::models::gpt2_124m, snug::batch<4, 256>,
                                    snug::trains<snug::last_blocks<3>, snug::norms>> {};
static_assert(snug::trainable_parameter_count<last_quarter> == 21'292'800);
static_assert(snug::footprint<last_quarter>.total.count == 1'286'608'960);
struct blocks_alone
    : snug::trainer<snug::models::gpt2_124m, snug::batch<4, 256>, snug::trains<snug::last_blocks<3>>> {};
static_assert(snug::footprint<blocks_alone>.total.count == 1'002'553'408);

template <class Model, class Batch, class Checkpointing>
constexpr snug::memory_bill in_16_bits = snug::footprint<
    snug::trainer<Model, Batch, snug::precision::pure<snug::bf16>, Checkpointing, snug::on<snug::cuda>>>;
template <class Checkpointing>
constexpr auto of_7b = in_16_bits<snug::models::llama2_7b, snug::batch<4, 4096>, Checkpointing>;
static_assert(of_7b<snug::checkpointing::every_block>.total.count == 87'448'477'760);             // 81.4 GiB
static_assert(of_7b<snug::checkpointing::offloaded<>>.total.count == 83'690'381'376);             // 77.9 GiB
static_assert(of_7b<snug::checkpointing::offloaded<>>.paged.count == 28l * 4 * 4096 * 4096 * 2);  // 3.5 GiB
template <class Checkpointing>
constexpr auto of_8b = in_16_bits<snug::models::llama3_1_8b, snug::batch<1, 32'768>, Checkpointing>;
static_assert(of_8b<snug::checkpointing::every_block>.total.count == 109'789'765'696);  // 102.2 GiB
static_assert(of_8b<snug::checkpointing::offloaded<>>.total.count == 102'273'572'928);  // 95.2 GiB

}  // namespace documented_part
