// SPDX-License-Identifier: Apache-2.0
// Every backward against finite differences of its forward, in fp64.
#include <algorithm>
#include <catch2/catch.hpp>
#include <cmath>
#include <cstring>
#include <snug/layers/head_norm.hpp>
#include <snug/quantization/int8.hpp>
#include <snug/quantization/nf4.hpp>
#include <snug/snug.hpp>
#include <string>
#include <vector>

#include <omp.h>

namespace {

using namespace snug;
using snug::index_t;

// Thousands of tiny runs: a second thread would only be waited for.
[[maybe_unused]] bool const one_thread = (omp_set_num_threads(1), true);

/// Of a tensor: largest difference over largest magnitude.
constexpr double bound = 1e-6;

/// Derivative of `f` by the number that it reads at `at`. Central differences over five points: the error falls with the
/// fourth power of the distance, so that the distance can be large against rounding.
template <class F>
double derivative(double& at, F const& f) {
    constexpr double h = 1e-3;
    double const middle = at;
    auto const value = [&](double distance) {
        at = middle + distance;
        return f();
    };
    double const near = value(h) - value(-h);
    double const far = value(2 * h) - value(-2 * h);
    at = middle;
    return (8 * near - far) / (12 * h);
}

double random_number(std::uint64_t stream, std::size_t i) {
    return random::normal<double>(7, stream, static_cast<std::uint64_t>(i));
}

/// Compares the gradient with differences of f at every `step`-th number of the tensor.
template <class F>
void check_gradient(std::string const& name, std::span<double> values, std::span<double const> gradient,
                    F const& f, std::size_t step = 1) {
    REQUIRE(values.size() == gradient.size());
    double largest = 0, apart = 0;
    for (std::size_t i = 0; i < values.size(); i += step) {
        double const expected = derivative(values[i], f);
        largest = std::max(largest, std::abs(expected));
        apart = std::max(apart, std::abs(gradient[i] - expected));
    }
    INFO("gradient of " << name << ", off by " << apart << " of " << largest);
    CHECK(largest > 1e-4);
    CHECK(apart <= bound * largest);
}

// One layer by itself ------------------------------------------------------------------------------------------

/// Where backward puts the gradient of the input.
enum class place { own, over_input, over_gradient };

/// What the executor needs to know to run one layer: its declarations, then x, y and their gradients.
template <class Layer, class Batch, place Place>
struct lone_layer {
    using model = Layer;
    using backend = host_threads<2>;
    using setting = snug::setting<Batch::sequences, Batch::tokens, precision::full<fp64>, backend>;
    using node = snug::node<Layer, 0, 0, false>;

    static constexpr int parameters = layer::parameter_declarations<Layer>();
    static constexpr region weight(int parameter) { return at(parameter); }
    static constexpr region gradient(int parameter) { return at(parameters + parameter); }
    static constexpr bool reduces_each_micro_batch = false, gathers_weights = false;
    static constexpr region weight_in_use(int parameter) { return weight(parameter); }
    static constexpr region gradient_in_use(int parameter) { return gradient(parameter); }
    static constexpr int first_buffer = 2 * parameters;
    static constexpr region buffer(int which) { return at(first_buffer + which); }
    static constexpr struct {
        region numbers{};  // no layer here drops anything
    } places{};
    static constexpr int x = layer::buffer_declarations<Layer>(), y = x + 1, dy = x + 2, dx = x + 3;

    static constexpr auto parameter_table = [] {
        snug::parameter_table<static_cast<std::size_t>(parameters)> table;
        layer::declare_parameters<Layer>(table, {});
        return table;
    }();

    static constexpr auto plan = [] {
        std::array<declaration, static_cast<std::size_t>(first_buffer + dx + 1)> all{};
        for (int p = 0; p < parameters; ++p) {
            auto const& entry = parameter_table.entries[static_cast<std::size_t>(p)];
            all[static_cast<std::size_t>(p)] =
                declare<double>(entry.name, entry.count, entry.copies, role::weight);
            all[static_cast<std::size_t>(parameters + p)] =
                declare<double>(entry.name, entry.count, entry.copies, role::gradient);
        }
        buffer_table<static_cast<std::size_t>(x)> buffers;
        layer::declare_buffers<node, setting>(buffers, {});
        auto next = all.begin() + first_buffer;
        for (auto const& buffer : buffers.entries) *next++ = buffer;
        for (index_t width :
             {Layer::input_width, Layer::output_width, Layer::output_width, Layer::input_width})
            *next++ = declare<double>({}, width * setting::rows, 1, role::activation);
        auto result = pack(all);
        auto const at = [&](int id) -> index_t& {
            return result.offsets[static_cast<std::size_t>(first_buffer + id)];
        };
        if (Place == place::over_input) at(dx) = at(x);
        if (Place == place::over_gradient) at(dx) = at(dy);
        return result;
    }();

  private:
    static constexpr region at(int id) {
        return {id, 0, plan.declarations[static_cast<std::size_t>(id)].stride()};
    }
};

/// Runs one layer: x and the parameters are random, the loss is Σ c · y with a random c.
template <class Layer, class Batch, place Place>
class lone_run {
  public:
    using composition = lone_layer<Layer, Batch, Place>;
    using setting = typename composition::setting;
    using input_element = layer::input_element<Layer, setting>;
    static constexpr bool reads_tokens = std::is_same_v<input_element, std::int32_t>;
    /// Backward adds to what is there already.
    static constexpr double gradient_before = 0.75;

    lone_run() {
        std::memset(memory_.data(), 0xFF, static_cast<std::size_t>(memory_.size().count));
        for (int p = 0; p < composition::parameters; ++p) {
            auto const values = parameter(p);
            for (std::size_t i = 0; i < values.size(); ++i)
                values[i] = random_number(static_cast<std::uint64_t>(p), i);
        }
        for (std::size_t i = 0; i < x_.size(); ++i) {
            if constexpr (reads_tokens)
                x_[i] = static_cast<std::int32_t>(random::bits(7, 100, i) %
                                                  static_cast<std::uint64_t>(Layer::vocabulary));
            else x_[i] = random_number(100, i);
        }
        for (std::size_t i = 0; i < c_.size(); ++i) c_[i] = random_number(101, i);
    }

    std::span<double> parameter(int p) { return elements<double>(composition::weight(p)); }
    std::span<double> parameter_gradient(int p) { return elements<double>(composition::gradient(p)); }
    std::vector<input_element>& x() { return x_; }
    std::span<double> dx() { return elements<double>(composition::buffer(composition::dx)); }

    double forward() {
        // A layer may change its input in place (attention turns queries and keys).
        auto const x = elements<input_element>(composition::buffer(composition::x));
        std::copy(x_.begin(), x_.end(), x.begin());
        layer::forward<typename composition::node, false>(walker_, {composition::x}, {composition::y}, {});
        auto const y = elements<double>(composition::buffer(composition::y));
        double loss = 0;
        for (std::size_t i = 0; i < c_.size(); ++i) loss += c_[i] * y[i];
        return loss;
    }

    void backward() {
        for (int p = 0; p < composition::parameters; ++p) {
            auto const gradient = parameter_gradient(p);
            std::fill(gradient.begin(), gradient.end(), gradient_before);
        }
        auto const dy = elements<double>(composition::buffer(composition::dy));
        std::copy(c_.begin(), c_.end(), dy.begin());
        layer::backward<typename composition::node, false>(walker_, {composition::x}, {composition::y},
                                                           {composition::dy}, {composition::dx}, {});
        for (int p = 0; p < composition::parameters; ++p)
            for (auto& g : parameter_gradient(p)) g -= gradient_before;
    }

    /// All gradients one after the other.
    std::vector<double> gradients() {
        forward();
        backward();
        std::vector<double> all;
        for (int p = 0; p < composition::parameters; ++p)
            all.insert(all.end(), parameter_gradient(p).begin(), parameter_gradient(p).end());
        if (!reads_tokens) all.insert(all.end(), dx().begin(), dx().end());
        return all;
    }

  private:
    template <class T>
    std::span<T> elements(region where) {
        auto const count =
            composition::plan.declarations[static_cast<std::size_t>(where.declaration)].size().count;
        return {view_.template at<T>(where), static_cast<std::size_t>(count) / sizeof(T)};
    }

    arena memory_{composition::plan.total()};
    engine::memory_view<composition> view_{memory_.data()};
    executor<composition> walker_{view_, {}, {setting::sequences, setting::tokens, 0}};
    std::vector<input_element> x_ =
        std::vector<input_element>(static_cast<std::size_t>(Layer::input_width * setting::rows));
    std::vector<double> c_ =
        std::vector<double>(static_cast<std::size_t>(Layer::output_width * setting::rows));
};

/// The layer as a checkpointing policy rewrites it.
template <class Policy, class Layer>
using kept = typename rewrite<snug::detail::checkpoint<Policy>, Layer>::type;

/// The gradients of a layer are right, and the same bits where it says that they may take the place of something.
template <class Layer, class Batch = batch<2, 5>>
void check_layer(std::size_t step = 1) {
    lone_run<Layer, Batch, place::own> run;
    using composition = typename decltype(run)::composition;
    auto const loss = [&] { return run.forward(); };
    run.forward();
    run.backward();
    std::vector<double> const dx(run.dx().begin(), run.dx().end());
    for (int p = 0; p < composition::parameters; ++p) {
        auto const gradient = run.parameter_gradient(p);
        std::vector<double> const found(gradient.begin(), gradient.end());
        auto const name = composition::parameter_table.entries[static_cast<std::size_t>(p)].name;
        check_gradient(std::string(name.view()), run.parameter(p), found, loss, step);
    }
    if constexpr (!decltype(run)::reads_tokens) {
        check_gradient("the input", run.x(), dx, loss, step);
        auto const expected = run.gradients();
        if constexpr (layer::backward_writes_over_input<Layer>)
            CHECK(lone_run<Layer, Batch, place::over_input>().gradients() == expected);
        if constexpr (layer::backward_writes_over_gradient<Layer>)
            CHECK(lone_run<Layer, Batch, place::over_gradient>().gradients() == expected);
    }
}

template <class Layer>
std::vector<double> gradients_of() {
    return lone_run<Layer, batch<2, 5>, place::own>().gradients();
}

}  // namespace

TEST_CASE("gradients of layer_norm") { check_layer<layer_norm<7>>(); }
TEST_CASE("gradients of rms_norm") { check_layer<rms_norm<7>>(); }
TEST_CASE("gradients of query_key_norm") {
    check_layer<query_key_norm<2, 2, 6>>();
    check_layer<query_key_norm<6, 2, 3>>();
}
TEST_CASE("gradients of linear, with and without a bias") {
    check_layer<linear<7, 5>>();
    check_layer<linear<7, 5, false>>();
    check_layer<linear<300, 3>, batch<1, 3>>(5);  // a sum in several pieces
    check_layer<linear<3, 70>, batch<5, 60>>(7);
}
TEST_CASE("gradients of gelu") { check_layer<gelu<7>>(); }
TEST_CASE("gradients of swiglu") { check_layer<swiglu<5>>(); }

TEST_CASE("gradients of causal attention") {
    SECTION("as many keys as queries") { check_layer<causal_attention<2, 2, 6>>(); }
    SECTION("grouped queries") { check_layer<causal_attention<6, 2, 3>>(); }
    SECTION("one key for all queries") { check_layer<causal_attention<3, 1, 5>>(); }
    SECTION("rotated") { check_layer<causal_attention<2, 2, 6, rotary<10000>>>(); }
    SECTION("rotated by scaled frequencies") {
        check_layer<causal_attention<2, 2, 6, rotary<100, rope::llama3<4, 1, 4, 32>>>>();
    }
    SECTION("rotated, grouped queries") { check_layer<causal_attention<4, 2, 4, rotary<100>>>(); }
    SECTION("more queries than fit a tile") {
        check_layer<causal_attention<2, 1, 4, rotary<100>>, batch<2, 70>>(5);
    }
    SECTION("one token") { check_layer<causal_attention<2, 1, 4>, batch<3, 1>>(); }
    SECTION("a window") { check_layer<sliding_attention<4, 2, 4, 3, rotary<100>>>(); }
    SECTION("a window, and more queries than fit a tile") {
        check_layer<sliding_attention<2, 1, 4, 9>, batch<2, 70>>(5);
    }
}

TEST_CASE("gradients of embedding, with and without positions") {
    check_layer<embedding<6, 7>>();
    check_layer<embedding<6, 7, 5>>();
    check_layer<embedding<3, 70, 5>>();
}

namespace {

using attention_part =
    residual<named<"norm", rms_norm<6>>, named<"qkv", linear<6, 16>>, causal_attention<2, 1, 4, rotary<100>>,
             named<"projection", linear<8, 6, false>>>;
using gelu_part =
    residual<named<"norm", layer_norm<6>>, named<"up", linear<6, 9>>, gelu<9>, named<"down", linear<9, 6>>>;
/// x / (1 + x²), a function of a user's.
struct witch {
    template <class S>
    static constexpr S value(S x) {
        return x / (1 + x * x);
    }
    template <class S>
    static constexpr S derivative(S x) {
        return (1 - x * x) / ((1 + x * x) * (1 + x * x));
    }
};
using witch_part =
    residual<linear<6, 9>, elementwise<9, witch>, linear<9, 7>, elementwise<7, witch>, linear<7, 6, false>>;
using swiglu_part =
    residual<named<"norm", rms_norm<6>>, named<"up", linear<6, 10>>, swiglu<5>, named<"down", linear<5, 6>>>;

}  // namespace

TEST_CASE("gradients of a sequence") {
    check_layer<sequence<named<"a", linear<7, 9>>, gelu<9>, layer_norm<9>, named<"b", linear<9, 4>>>>();
    check_layer<sequence<linear<6, 16>, causal_attention<2, 1, 4>>>();
    check_layer<sequence<attention_part, gelu_part, linear<6, 3>>>();
}

TEST_CASE("gradients of elementwise layers, between products and elsewhere") {
    check_layer<witch_part>();
    check_layer<sequence<witch_part, elementwise<6, witch>, elementwise<6, witch>, linear<6, 3>>>();
    check_layer<kept<checkpointing::selective, repeat<2, gelu_part>>>();
    check_layer<kept<checkpointing::every_block, repeat<2, gelu_part>>>();
}

TEST_CASE("gradients of a residual connection") {
    check_layer<residual<layer_norm<7>>>();
    check_layer<attention_part>();
    check_layer<gelu_part>();
    check_layer<swiglu_part>();
}

TEST_CASE("gradients of a norm before attention, which turns its output where it lies") {
    using part = residual<named<"qkv", linear<6, 16>>, named<"norm", rms_norm<16>>,
                          causal_attention<2, 1, 4, rotary<100>>, named<"projection", linear<8, 6, false>>>;
    check_layer<part>();
    check_layer<kept<checkpointing::selective, repeat<2, part>>>();
    check_layer<kept<checkpointing::every_block, repeat<2, part>>>();
}

TEST_CASE("gradients of repeated blocks, whatever is kept of them") {
    using blocks = repeat<5, sequence<attention_part, swiglu_part>>;
    check_layer<blocks>(3);
    check_layer<kept<checkpointing::every_block, blocks>>(3);
    check_layer<kept<checkpointing::every<2>, blocks>>(3);
    check_layer<kept<checkpointing::square_root, blocks>>(3);
    check_layer<repeat<1, gelu_part>>();
    check_layer<repeat<3, linear<6, 6>>>();  // cannot put its gradient in place
    check_layer<kept<checkpointing::every_block, repeat<3, linear<6, 6>>>>();
    check_layer<kept<checkpointing::every<2>, repeat<3, linear<6, 6>>>>();
    // Stretches that keep different things; of the second kind of block the gradient can't take the place of another.
    using plan = checkpointing::plan<checkpointing::group<2, checkpointing::every_block>,
                                     checkpointing::group<1, checkpointing::none>,
                                     checkpointing::group<3, checkpointing::every<2>>>;
    check_layer<kept<plan, repeat<6, gelu_part>>>(3);
    check_layer<kept<plan, repeat<6, linear<6, 6>>>>();
}

TEST_CASE("gradients of repeated blocks that keep some of their values by name") {
    using checkpointing::keep;
    using turned = residual<named<"norm", rms_norm<6>>, named<"qkv", linear<6, 16>>,
                            named<"attention", causal_attention<2, 1, 4, rotary<100>>>,
                            named<"projection", linear<8, 6, false>>>;
    using joined = residual<named<"norm2", layer_norm<6>>, named<"up", linear<6, 9>>, named<"gelu", gelu<9>>,
                            named<"down", linear<9, 6>>>;
    using blocks = repeat<2, sequence<turned, joined>>;
    // Attention from what it has turned; what it turns without it; both; neither. Of the second part likewise the product and the
    // function that is done where it stores.
    check_layer<kept<keep<"qkv.output", "up.output">, blocks>>(3);
    check_layer<kept<keep<"attention.output", "gelu.output", "norm.output">, blocks>>(3);
    check_layer<kept<keep<"qkv.output", "attention.output", "up.output", "gelu.output">, blocks>>(3);
    check_layer<kept<keep<"projection.output">, blocks>>(3);

    // Sums of residual connections that need the sum before them.
    using three = repeat<2, sequence<turned, joined,
                                     residual<named<"gate_up", linear<6, 10>>, named<"swiglu", swiglu<5>>,
                                              named<"last", linear<5, 6>>>>>;
    auto const expected = gradients_of<three>();
    CHECK(gradients_of<kept<keep<>, three>>() == expected);
    CHECK(gradients_of<kept<keep<"gelu.output", "swiglu.output">, three>>() == expected);
    CHECK(gradients_of<kept<keep<"norm2.output", "attention.output">, three>>() == expected);
    CHECK(gradients_of<kept<keep<"down.output">, three>>() == expected);
}

namespace {

/// Segments, of which each keeps by name what is computed in them again.
template <index_t Length>
struct segments_that_keep_products {
    using axis = snug::axis::checkpointing;
    static constexpr bool keeps(std::string_view name) { return name == "up.output"; }
    static constexpr index_t segment(index_t blocks) { return Length < blocks ? Length : blocks; }
};

}  // namespace

TEST_CASE("gradients of segments of blocks that keep by name") {
    using named_gelu = residual<named<"norm", layer_norm<6>>, named<"up", linear<6, 9>>, gelu<9>,
                                named<"down", linear<9, 6>>>;
    check_layer<kept<segments_that_keep_products<2>, repeat<5, named_gelu>>>();
    check_layer<kept<segments_that_keep_products<1>, repeat<3, named_gelu>>>();
    check_layer<kept<checkpointing::keep<>, repeat<3, linear<6, 6>>>>();
}

// Whole models -------------------------------------------------------------------------------------------------

namespace {

/// Gradients of all parameters of a model, of the loss that `evaluate` finds.
template <class Trainer>
void check_model(std::size_t step) {
    using composition = typename Trainer::composition;
    Trainer run;
    std::vector<std::int32_t> inputs, targets;
    for (std::size_t i = 0; i < static_cast<std::size_t>(Trainer::tokens_per_step); ++i) {
        auto const vocabulary = static_cast<std::uint64_t>(composition::model::vocabulary);
        inputs.push_back(static_cast<std::int32_t>(random::bits(7, 0, i) % vocabulary));
        targets.push_back(i % 4 == 2 ? -1 : static_cast<std::int32_t>(random::bits(7, 1, i) % vocabulary));
    }
    auto const names = composition::parameter_table.entries;
    for (std::size_t p = 0; p < names.size(); ++p) {
        if (names[p].is_quantized() || names[p].is_derived()) continue;
        auto const values = run.weights(names[p].name.view());
        for (std::size_t i = 0; i < values.size(); ++i) values[i] = 0.5 * random_number(p, i);
    }
    run.weights_changed();
    auto const result = run.accumulate({inputs, targets});
    auto const loss = [&] { return run.evaluate({inputs, targets}).loss; };
    CHECK(result.loss == loss());
    for (auto const& entry : names) {
        if (!entry.is_trained()) continue;
        auto const name = entry.name.view();
        // Lengths of rows are constants for the gradient, so derived numbers stay; those of a magnitude follow it.
        auto const follows = name.ends_with("magnitude");
        auto const loss_of = [&] {
            if (follows) run.weights_changed();
            return loss();
        };
        check_gradient(std::string(name), run.weights(name), run.gradients(name), loss_of, step);
        if (follows) run.weights_changed();
    }
}

template <class Model, class Batch, class... Policies>
using trainer64 =
    trainer<Model, Batch, precision::full<fp64>, optimizers::sgd<fp64>, on<host_threads<2>>, Policies...>;

/// A model that is its head: the gradient of the head's input is the embedding's.
template <index_t Vocabulary, index_t Width, bool Tied>
using head_alone = stack<named<"embedding", embedding<Vocabulary, Width>>,
                         named<"head", head_with_loss<Width, Vocabulary, Tied>>>;

}  // namespace

TEST_CASE("gradients of head and loss, tied and not") {
    check_model<trainer64<head_alone<11, 7, true>, batch<2, 5>>>(1);
    check_model<trainer64<head_alone<11, 7, false>, batch<2, 5>>>(1);
}

TEST_CASE("gradients of head and loss do not depend on how many logits go through at once") {
    using model = head_alone<700001, 2, false>;
    using in_chunks = trainer64<model, batch<3, 4>>;
    using at_once = trainer64<model, batch<1, 4>, accumulation::micro_batches<3>>;
    static_assert(model::head::chunk_rows<in_chunks::composition::setting>() < 12);
    static_assert(model::head::chunk_rows<at_once::composition::setting>() == 4);
    std::vector<std::int32_t> const inputs{0, 700000, 5, 5, 1, 2, 3, 4, 5, 6, 7, 8};
    std::vector<std::int32_t> const targets{9, 8, -1, 6, 5, 700000, 3, 2, 1, 0, 1, 2};
    in_chunks a;
    at_once b;
    CHECK(a.accumulate({inputs, targets}).loss ==
          Approx(b.accumulate({inputs, targets}).loss).epsilon(1e-14));
    for (auto const name : {"embedding.table", "head.weight"}) {
        auto const found = a.gradients(name);
        auto const expected = b.gradients(name);
        double largest = 0, apart = 0;
        for (std::size_t i = 0; i < expected.size(); ++i) {
            largest = std::max(largest, std::abs(expected[i]));
            apart = std::max(apart, std::abs(found[i] - expected[i]));
        }
        INFO(name << ", off by " << apart << " of " << largest);
        CHECK(largest > 1e-4);
        CHECK(apart <= 1e-14 * largest);
    }
}

TEST_CASE("gradients of a whole GPT-2") {
    using model = models::gpt2<layers<2>, heads<2>, width<8>, vocabulary<11>, context<6>>;
    check_model<trainer64<model, batch<2, 6>>>(3);
    check_model<trainer64<model, batch<2, 6>, accumulation::micro_batches<2>, checkpointing::every_block>>(5);
}

TEST_CASE("gradients of a whole Llama, tied and not") {
    using untied =
        models::llama<layers<2>, heads<4>, kv_heads<2>, width<8>, mlp<12>, vocabulary<11>, context<6>>;
    using tied = models::llama<layers<2>, heads<2>, kv_heads<1>, width<8>, mlp<12>, vocabulary<11>,
                               context<6>, tied_head<1>, qkv_bias<1>>;
    check_model<trainer64<untied, batch<2, 6>>>(3);
    check_model<trainer64<tied, batch<2, 6>, accumulation::micro_batches<3>>>(3);
}

TEST_CASE("gradients of a whole Qwen3") {
    using model = models::qwen3<layers<2>, heads<4>, kv_heads<2>, head_width<6>, width<8>, mlp<12>,
                                vocabulary<11>, context<6>>;
    check_model<trainer64<model, batch<2, 6>>>(3);
    check_model<trainer64<model, batch<2, 6>, checkpointing::selective>>(3);
}

namespace {

using adapted_llama = models::llama<layers<2>, heads<4>, kv_heads<2>, width<8>, mlp<12>, vocabulary<11>,
                                    context<6>, tied_head<1>, qkv_bias<1>>;
using adapted_gpt2 = models::gpt2<layers<2>, heads<2>, width<8>, vocabulary<11>, context<6>>;
template <class Model, class Adapter, class... Policies>
using adapted64 = trainer64<Model, batch<2, 6>, Adapter, Policies...>;

}  // namespace

TEST_CASE("gradients of LoRA") {
    using adapters::lora;
    check_model<adapted64<adapted_llama, lora<rank<3>, alpha<4>>>>(1);
    check_model<adapted64<adapted_llama, lora<rank<2>, targets<"q_proj", "v_proj", "up_proj">>,
                          checkpointing::every_block>>(1);
    check_model<adapted64<adapted_gpt2, lora<rank<5>, rank_stabilized, targets<"c_attn", "mlp.c_proj">>,
                          accumulation::micro_batches<2>>>(1);
}
TEST_CASE("gradients of LoRA over quantized weights, and of what trains beside it") {
    using adapters::lora;
    check_model<
        adapted64<adapted_llama, lora<rank<3>, also_train<norms, embeddings>>, quantization::nf4<32>>>(1);
    using untied = models::llama<layers<1>, heads<2>, width<8>, mlp<12>, vocabulary<11>, context<6>>;
    check_model<adapted64<untied, lora<rank<2>, also_train<head>>, quantization::int8<32>>>(1);
}
TEST_CASE("gradients of DoRA, the lengths of rows being constants") {
    using adapters::dora;
    check_model<adapted64<adapted_llama, dora<rank<3>, alpha<4>>, checkpointing::every<2>>>(1);
    check_model<adapted64<adapted_gpt2, dora<rank<2>, targets<"c_proj">>, quantization::nf4<32>>>(1);
}
