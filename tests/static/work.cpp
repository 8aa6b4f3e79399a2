// SPDX-License-Identifier: Apache-2.0

// What snug::work<T> counts, against formulas by hand from the numbers that the models' authors published.

#include <snug/plan.hpp>
#include <snug/quantization/double_quantized.hpp>
#include <snug/quantization/nf4.hpp>

namespace {

using snug::batch;
using snug::index_t;
using snug::workload;
namespace models = snug::models;
namespace checkpointing = snug::checkpointing;

/// Parameters that products are with: no biases, no norms, the embedding's table only as the tied head.
struct published {
    index_t layers, width, mlp, mlp_matrices, vocabulary;

    constexpr index_t down() const { return mlp * width; }
    constexpr index_t of_block(index_t kv_width) const {
        return 2 * width * width + 2 * width * kv_width + mlp_matrices * mlp * width;
    }
    constexpr index_t of_block() const { return of_block(width); }
    constexpr index_t of_head() const { return vocabulary * width; }
    constexpr index_t all() const { return layers * of_block() + of_head(); }
};
constexpr published gpt2{12, 768, 4 * 768, 2, 50257};
constexpr published llama2_7b{32, 4096, 11008, 3, 32000};
constexpr published llama2_70b{80, 8192, 28672, 3, 32000};

/// Attention, forward and backward, causal: half of 12 · layers · width · tokens for each token.
constexpr index_t attention_of(published of, index_t sequences, index_t tokens) {
    return sequences * tokens * 12 * of.layers * of.width * tokens / 2;
}

// Training of all parameters: 6 N for each token.

template <class... Policies>
using gpt2_run = snug::trainer<models::gpt2_124m, batch<2, 1024>, Policies...>;
constexpr auto plain = snug::work<gpt2_run<>>;
static_assert(plain.model().products == 6 * gpt2.all() * 2 * 1024);
static_assert(plain.model().attention == attention_of(gpt2, 2, 1024));
static_assert(plain.model().total() == plain.model().products + plain.model().attention);
static_assert(3 * plain.forward.products == plain.model().products);
static_assert(3 * plain.forward.attention == plain.model().attention);
static_assert(plain.recomputed == workload{});
static_assert(plain.update.total() == 0);

struct llama2_run : snug::trainer<models::llama2_7b, batch<1, 4096>, snug::precision::mixed<snug::bf16>> {};
static_assert(snug::work<llama2_run>.model().products == 6 * llama2_7b.all() * 4096);
static_assert(snug::work<llama2_run>.model().attention == attention_of(llama2_7b, 1, 4096));

// AdamW in fp32: the norm reads a gradient, the rule reads and writes weight, gradient and two moments. With master copies of bf16
// weights the rule reads and writes those, and writes the weights.
static_assert(plain.update.bytes == index_t{124'439'808} * (4 + 2 * (4 + 4 + 8)));
static_assert(snug::work<llama2_run>.update.bytes == index_t{6'738'415'616} * (4 + 2 * (4 + 4 + 8) + 2));

// A derived struct counts as its trainer; micro-batches multiply everything but the update.
struct derived : gpt2_run<> {};
static_assert(snug::work<derived>.step() == plain.step());
constexpr auto four = snug::work<gpt2_run<snug::accumulation::micro_batches<4>>>;
static_assert(four.model() == plain.model() * 4);
static_assert(four.update == plain.update);

// States in blocks of 8 bits, and paged ones, as they are stored.
template <class Optimizer>
constexpr index_t of_states =
    snug::work<gpt2_run<Optimizer>>.update.bytes - plain.update.bytes + 124'439'808 * 2 * index_t{8};
using in_8_bits = snug::optimizers::adamw<snug::optimizers::states<snug::int8>>;
static_assert(of_states<in_8_bits> == 2 * snug::footprint<gpt2_run<in_8_bits>>.optimizer_state.count);
static_assert(of_states<snug::optimizers::paged<in_8_bits>> == of_states<in_8_bits>);

// Checkpointing changes what runs and not what the model needs. The last product of a segment, whose output nobody reads, does not
// run again.

template <class Policy>
constexpr auto recomputed = [] {
    constexpr auto counted = snug::work<gpt2_run<Policy>>;
    static_assert(counted.model() == plain.model());
    static_assert(counted.step() == plain.step() + counted.recomputed);
    return counted.recomputed;
}();
constexpr index_t products_of(index_t blocks, index_t segments) {
    return 2 * 2 * 1024 * (blocks * gpt2.of_block() - segments * gpt2.down());
}
static_assert(recomputed<checkpointing::every_block>.products == products_of(12, 12));
static_assert(recomputed<checkpointing::every_block>.attention == plain.forward.attention);
static_assert(recomputed<checkpointing::every<5>>.products == products_of(12, 3));  // 5, 5 and 2 blocks
static_assert(recomputed<checkpointing::every<11>>.products == products_of(12, 2));
static_assert(recomputed<checkpointing::square_root>.products == products_of(12, 3));
static_assert(recomputed<checkpointing::selective>.total() == 0);
static_assert(recomputed<checkpointing::selective>.bytes > 0);
using groups = checkpointing::plan<checkpointing::group<5, checkpointing::every_block>,
                                   checkpointing::group<7, checkpointing::selective>>;
static_assert(recomputed<groups>.products == products_of(5, 5));

/// Walks every block.
template <class Setting>
struct one_by_one : snug::detail::counting_walker<Setting> {
    template <class Body>
    constexpr void loop(index_t count, Body const& body) const {
        snug::in_order::loop(count, body);
    }
};
template <class Policy>
constexpr bool is_the_same_one_by_one = [] {
    using composition = typename gpt2_run<Policy>::composition;
    one_by_one<typename composition::setting> walker;
    composition::model::walk_training(walker);
    return walker.counted.model() == plain.model() && walker.counted.recomputed == recomputed<Policy>;
}();
static_assert(is_the_same_one_by_one<checkpointing::none>);
static_assert(is_the_same_one_by_one<checkpointing::every_block>);
static_assert(is_the_same_one_by_one<checkpointing::every<5>>);
static_assert(is_the_same_one_by_one<checkpointing::every<11>>);
static_assert(is_the_same_one_by_one<groups>);

// Fine-tuning: 4 N, for nothing computes the gradient of a frozen weight, and 6 of every parameter of A and B. Of a block that
// runs again the last product needs the adapter's A alone.

using nf4 = snug::quantization::double_quantized<snug::quantization::nf4<64>>;
template <class Adapter>
using tuning = snug::trainer<models::llama2_7b, batch<1, 512>, snug::precision::mixed<snug::bf16>, nf4,
                             Adapter, checkpointing::every_block>;
constexpr index_t a_of_block = 16 * (3 * 4096 + 4096 + 2 * 4096 + 11008);
constexpr index_t b_of_block = 16 * (3 * 4096 + 4096 + 2 * 11008 + 4096);
constexpr auto lora = snug::work<tuning<snug::adapters::lora<snug::rank<16>, snug::alpha<32>>>>;
static_assert(lora.model().products == 512 * (4 * llama2_7b.all() + 6 * 32 * (a_of_block + b_of_block)));
static_assert(lora.model().attention == attention_of(llama2_7b, 1, 512));
static_assert(lora.recomputed.products ==
              512 * 2 * 32 * (llama2_7b.of_block() - llama2_7b.down() + a_of_block + b_of_block - 16 * 4096));
// With a magnitude the last product runs again, for what it was before the magnitude; the lengths of rows take A Wᵀ in an update.
constexpr auto dora = snug::work<tuning<snug::adapters::dora<snug::rank<16>, snug::alpha<32>>>>;
static_assert(dora.model().products == lora.model().products);
static_assert(dora.recomputed.products == 512 * 2 * 32 * (llama2_7b.of_block() + a_of_block + b_of_block));
static_assert(dora.update.products ==
              2 * 32 * 16 * index_t{4096} * (3 * 3 * 4096 + 4096 + 2 * 2 * 11008 + 11008));
static_assert(dora.model().bytes > lora.model().bytes && lora.update.products == 0);

// 70 billion parameters and 4 million tokens to a step are within the range of the integers.
struct large : snug::trainer<models::llama2_70b, batch<1, 4096>, snug::precision::mixed<snug::bf16>,
                             snug::accumulation::micro_batches<1024>, checkpointing::every_block,
                             snug::on<snug::cuda>> {};
static_assert(snug::work<large>.model().products ==
              6 * (80 * llama2_70b.of_block(1024) + llama2_70b.of_head()) * 4096 * 1024);
static_assert(snug::work<large>.step().total() > index_t{2'200'000'000'000'000'000});

// Bytes, in fp32: 16 rows of 8 activations (512 bytes), 16 of 16 logits (1024), a table of 16 by 8 (512).
struct small_model
    : snug::stack<snug::embedding<16, 8>, snug::rms_norm<8>, snug::head_with_loss<8, 16, true>> {};
struct small : snug::trainer<small_model, batch<1, 16>> {};
constexpr index_t tokens = 64, statistics = 64, norm_weight = 32;
static_assert(snug::work<small>.forward.bytes ==
              tokens + 512 + 512                          // rows of the table, stored
                  + 512 + 512 + norm_weight + statistics  // the norm
                  + 512 + 512 + 1024 + 1024 + 1024);  // logits; the loss reads them and stores their gradient
static_assert(snug::work<small>.backward.bytes ==
              1024 + 512 + 512 + 512                        // the weight's gradient, read and written
                  + 1024 + 512 + 512                        // the gradient of x
                  + 3 * 512 + 3 * norm_weight + statistics  // the norm, with its weight's gradient
                  + tokens + 512 + 512 + 512);              // into the rows of the table's gradient
static_assert(snug::work<small>.update.bytes == (16 * 8 + 8) * 36);

// A residual connection reads what is added where its last product stores, and dy once more in backward; GELU between two products
// is stored beside its argument, and in backward its argument is read.
struct with_mlp : snug::stack<snug::embedding<16, 8>,
                              snug::residual<snug::named<"inner", snug::rms_norm<8>>,
                                             snug::named<"up", snug::linear<8, 16, false>>, snug::gelu<16>,
                                             snug::named<"down", snug::linear<16, 8, false>>>,
                              snug::rms_norm<8>, snug::head_with_loss<8, 16, true>> {};
constexpr auto mlp = snug::work<snug::trainer<with_mlp, batch<1, 16>>>;
static_assert(mlp.forward.bytes - snug::work<small>.forward.bytes ==
              512 + 512 + norm_weight + statistics  // the norm
                  + 512 + 512 + 1024 + 1024         // x, weight, product, GELU of it
                  + 1024 + 512 + 512 + 512);        // x, weight, what is added, sum
static_assert(mlp.backward.bytes - snug::work<small>.backward.bytes ==
              512 + 1024 + 2 * 512                          // the second weight's gradient, read and written
                  + 512 + 512 + 1024 + 1024                 // dy, weight, GELU's argument, dx
                  + 1024 + 512 + 2 * 512                    // the first weight's gradient
                  + 1024 + 512 + 512                        // dy, weight, dx
                  + 3 * 512 + 3 * norm_weight + statistics  // the norm
                  + 512);                                   // what is added

}  // namespace
