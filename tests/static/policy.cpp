// SPDX-License-Identifier: Apache-2.0
// Policies come in any order and from anywhere; what is not one is told apart without an error.
#include <snug/plan.hpp>

#include <type_traits>

namespace user {

struct weights_of_64_bits {
    using axis = snug::axis::precision;
    using weight = double;
    using activation = float;
    using gradient = float;
    using statistic = double;
    using master = void;
};
struct pairs {
    using axis = snug::axis::batch;
    static constexpr int sequences = 2;
    static constexpr long tokens = 8;
};
struct three_steps {
    using axis = snug::axis::accumulation;
    static constexpr short count = 3;
};
struct half_of_them {
    using axis = snug::axis::checkpointing;
    static constexpr snug::index_t segment(snug::index_t blocks) { return (blocks + 1) / 2; }
};
/// Descent by the sign of the gradient: no states.
struct sign_descent {
    using axis = snug::axis::optimizer;
    using states = snug::meta::list<>;
    struct options {};
    static auto rule(options const&, snug::update_numbers const& n) {
        return [=](auto weight, auto gradient) {
            using S = decltype(weight);
            return weight - static_cast<S>(n.learning_rate) * (gradient < 0 ? S(-1) : S(1));
        };
    }
};
/// A backend of which only the plan is wanted.
struct paper {
    template <class T>
    static constexpr snug::index_t matmul_workspace(snug::index_t columns, snug::index_t) {
        return columns * static_cast<snug::index_t>(sizeof(T));
    }
    template <class T>
    static constexpr snug::index_t column_sums_workspace(snug::index_t, snug::index_t) {
        return 0;
    }
    template <class T>
    static constexpr snug::index_t rows_with_column_sums_workspace(snug::index_t, snug::index_t,
                                                                   snug::index_t) {
        return 0;
    }
    template <class Shape, class T>
    static constexpr snug::index_t attention_forward_workspace(snug::index_t, snug::index_t) {
        return 0;
    }
    template <class Shape, class T>
    static constexpr snug::index_t attention_backward_workspace(snug::index_t, snug::index_t) {
        return 0;
    }
};
struct model
    : snug::stack<snug::embedding<32, 8>, snug::repeat<4, snug::residual<snug::rms_norm<8>, snug::gelu<8>>>,
                  snug::head_with_loss<8, 32, true>> {};

struct derived_batch : snug::batch<2, 8> {};

// Not quite policies.
struct no_axis {};
struct another_axis {
    using axis = int;
};
struct only_the_axis_of_precision {
    using axis = snug::axis::precision;
};
struct integers : weights_of_64_bits {
    using statistic = int;
};
struct empty_batch {
    using axis = snug::axis::batch;
    static constexpr int sequences = 0, tokens = 8;
};
struct negative_segment {
    using axis = snug::axis::checkpointing;
    static constexpr snug::index_t segment(snug::index_t) { return -1; }
};
struct rule_without_numbers : sign_descent {
    static auto rule(options const&) { return 0; }
};
struct no_numbers {
    using axis = snug::axis::where;
    using backend = int;
};

}  // namespace user

namespace {

using namespace snug;

using model = models::llama<layers<4>, heads<2>, width<8>, mlp<16>, vocabulary<32>, context<8>>;
using sequences = batch<2, 8>;
using numbers = precision::mixed<bf16>;
using blocks = checkpointing::every<2>;
using descent = optimizers::sgd<>;

template <class... Policies>
constexpr memory_bill of = footprint<trainer<Policies...>>;

constexpr bool same(memory_bill const& a, memory_bill const& b) {
    return a.weights == b.weights && a.master_weights == b.master_weights && a.gradients == b.gradients &&
           a.optimizer_state == b.optimizer_state && a.activations == b.activations &&
           a.workspace == b.workspace && a.staging == b.staging && a.communication == b.communication &&
           a.total == b.total;
}

// Any order.
constexpr auto composed = of<model, sequences, numbers, blocks, descent>;
static_assert(same(composed, of<sequences, numbers, blocks, descent, model>));
static_assert(same(composed, of<numbers, blocks, descent, model, sequences>));
static_assert(same(composed, of<blocks, descent, model, sequences, numbers>));
static_assert(same(composed, of<descent, blocks, numbers, sequences, model>));
// Every axis has an effect.
static_assert(!same(composed, of<user::model, sequences, numbers, blocks, descent>));
static_assert(!same(composed, of<model, batch<3, 8>, numbers, blocks, descent>));
static_assert(!same(composed, of<model, sequences, blocks, descent>));
static_assert(!same(composed, of<model, sequences, numbers, descent>));
static_assert(!same(composed, of<model, sequences, numbers, blocks>));
static_assert(!same(composed, of<model, sequences, numbers, blocks, descent, on<host_threads<2>>>));

// The defaults, spelled out.
static_assert(same(of<model, sequences>,
                   of<model, sequences, precision::full<fp32>, quantization::none, adapters::none,
                      accumulation::micro_batches<1>, checkpointing::none, sharding::none,
                      optimizers::adamw<optimizers::states<fp32>>, on<host>>));
// Micro-batches accumulate in place.
static_assert(same(of<model, sequences>, of<model, sequences, accumulation::micro_batches<64>>));

// Policies of the user.
static_assert(same(of<model, sequences>, of<model, user::pairs>));
static_assert(same(of<model, sequences>, of<user::derived_batch, model>));
static_assert(same(of<model, sequences>, of<model, user::three_steps, sequences>));
static_assert(same(of<model, sequences, checkpointing::every<2>>, of<user::half_of_them, model, sequences>));
static_assert(of<model, sequences, user::weights_of_64_bits>.weights == 2 * of<model, sequences>.weights);
static_assert(of<model, sequences, user::weights_of_64_bits>.gradients == of<model, sequences>.gradients);
static_assert(of<model, sequences, user::sign_descent>.optimizer_state == bytes{});
static_assert(of<user::model, sequences>.weights == bytes{4 * (32 * 8 + 4 * 8)});
static_assert(of<model, sequences, on<user::paper>>.workspace < of<model, sequences>.workspace);
static_assert(of<user::model, user::pairs, user::weights_of_64_bits, user::three_steps, user::half_of_them,
                 user::sign_descent, on<user::paper>>.total > bytes{});

// Policies weigh nothing.
static_assert(std::is_empty_v<sequences> && std::is_empty_v<numbers> && std::is_empty_v<blocks> &&
              std::is_empty_v<descent> && std::is_empty_v<optimizers::adamw<>> && std::is_empty_v<model> &&
              std::is_empty_v<on<host>> && std::is_empty_v<host> &&
              std::is_empty_v<accumulation::micro_batches<2>>);

// What is a policy, and of which axis.
static_assert(policy<model> && policy<sequences> && policy<numbers> && policy<user::pairs> &&
              policy<sharding::none> && policy<adapters::none> && policy<quantization::none>);
static_assert(!policy<int> && !policy<void> && !policy<user::no_axis> && !policy<user::another_axis>);

static_assert(snug::model<model> && snug::model<user::model> && snug::model<models::gpt2_124m>);
static_assert(!snug::model<sequences> && !snug::model<user::no_axis>);

static_assert(batch_policy<sequences> && batch_policy<user::pairs> && batch_policy<user::derived_batch>);
static_assert(!batch_policy<batch<0, 8>> && !batch_policy<batch<8, -1>> && !batch_policy<user::empty_batch> &&
              !batch_policy<numbers> && !batch_policy<int>);

static_assert(precision_policy<numbers> && precision_policy<precision::full<fp64>> &&
              precision_policy<user::weights_of_64_bits>);
static_assert(!precision_policy<user::only_the_axis_of_precision> && !precision_policy<user::integers> &&
              !precision_policy<sequences>);
static_assert(element_type<fp32> && element_type<fp64> && element_type<bf16> && !element_type<int> &&
              !element_type<bool> && !element_type<char*> && !element_type<void>);

static_assert(accumulation_policy<accumulation::micro_batches<1>> && accumulation_policy<user::three_steps>);
static_assert(!accumulation_policy<accumulation::micro_batches<0>> && !accumulation_policy<sequences>);

static_assert(checkpointing_policy<checkpointing::none> && checkpointing_policy<checkpointing::every_block> &&
              checkpointing_policy<checkpointing::selective> &&
              checkpointing_policy<checkpointing::square_root> && checkpointing_policy<user::half_of_them>);
static_assert(!checkpointing_policy<user::negative_segment> && !checkpointing_policy<user::pairs>);

static_assert(optimizer_policy<optimizers::adamw<>> && optimizer_policy<optimizers::sgd<bf16>> &&
              optimizer_policy<user::sign_descent>);
static_assert(!optimizer_policy<user::rule_without_numbers> && !optimizer_policy<numbers>);

// A norm of a user's trains with the others.
struct norm_of_heads : layer::norm {};
static_assert(decltype(norms::is(static_cast<norm_of_heads const*>(nullptr)))::value &&
              decltype(norms::is(static_cast<rms_norm<8> const*>(nullptr)))::value &&
              decltype(norms::is(static_cast<layer_norm<8> const*>(nullptr)))::value &&
              !decltype(norms::is(static_cast<linear<8, 8> const*>(nullptr)))::value);

static_assert(where_policy<on<host>> && where_policy<on<host_threads<1>>> && where_policy<on<user::paper>>);
static_assert(!where_policy<user::no_numbers> && !where_policy<on<int>> && !where_policy<sequences>);

}  // namespace
