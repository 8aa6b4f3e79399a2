// SPDX-License-Identifier: Apache-2.0
// A snapshot goes on in a trainer to which its numbers mean the same, and in no other.
#include "io/faults.hpp"

#include <catch2/catch.hpp>
#include <cmath>
#include <limits>
#include <snug/snug.hpp>

namespace {

using namespace snug;
using Catch::Matchers::Contains;

template <index_t Heads, index_t Theta = 10000, index_t EpsilonInverse = 100000>
using tiny =
    models::llama<layers<1>, heads<Heads>, kv_heads<2>, head_width<16 / Heads>, width<16>, mlp<16>,
                  vocabulary<32>, context<8>, rope_theta<Theta>, norm_epsilon_inverse<EpsilonInverse>>;
template <class Model, class... Policies>
using on_rows = trainer<Model, batch<1, 8>, Policies...>;
using plain = on_rows<tiny<2>>;
/// Goes on from snapshots of fp32, which have no loss scale.
struct unscaled_fp16 : precision::mixed<fp16> {
    static constexpr bool scales_loss = false;
};
using mixed_fp16_without_scale = on_rows<tiny<2>, unscaled_fp16>;
using in_fp16 = on_rows<tiny<2>, precision::mixed<fp16>>;

template <index_t Alpha, class... More>
using adapted = on_rows<tiny<2>, adapters::lora<rank<2>, alpha<Alpha>, More...>>;

/// A user's layers: of one shape, and not one meaning.
template <index_t Width>
struct halved : elementwise<Width, kernels::gelu_function> {};
template <class Function, index_t Heads, class Norm>
struct own_model
    : stack<named<"embedding", embedding<32, 8, 8>>,
            named<"blocks", repeat<1, residual<named<"norm", Norm>, named<"qkv", linear<8, 24>>,
                                               named<"attention", causal_attention<Heads, Heads, 8 / Heads>>,
                                               named<"projection", linear<8, 8>>>>>,
            named<"function", Function>, named<"norm", layer_norm<8>>,
            named<"head", head_with_loss<8, 32, true>>> {};
using own = on_rows<own_model<gelu<8>, 2, layer_norm<8>>>;

/// A user's optimizer with the states of the library's.
struct other_adam {
    using axis = snug::axis::optimizer;
    using states = optimizers::adamw<>::states;
    struct options {};
    struct update {
        double learning_rate;
        template <class S, class State>
        constexpr S operator()(S weight, S gradient, State& first, State&) const {
            first = static_cast<State>(gradient);
            return weight - static_cast<S>(learning_rate) * gradient;
        }
    };
    static update rule(options const&, update_numbers const& n) { return {n.learning_rate}; }
};

template <class Run>
std::string saved(test::scratch const& directory) {
    Run run(3);
    run.save(directory / "s", {{"key", "value"}});
    return directory / "s";
}

/// What a snapshot of one trainer is refused with by another; empty when it goes on there.
template <class Saved, class Resumed>
std::string refused() {
    test::scratch directory;
    auto const path = saved<Saved>(directory);
    Resumed run(4);
    return test::refusal([&] { run.resume(path); });
}

std::uint64_t field(std::string const& content, std::size_t at) {
    std::uint64_t value;
    std::memcpy(&value, content.data() + at, sizeof value);
    return value;
}

std::uint64_t sum_of(std::string const& content, std::size_t first, std::size_t length) {
    return io::checksum::of(std::as_bytes(std::span(content)).subspan(first, length));
}

/// With the checksums of table and header right.
void write_sealed(std::string const& path, std::string content) {
    auto const table = field(content, 32), size = field(content, 40);
    auto sum = sum_of(content, table, size);
    std::memcpy(content.data() + 48, &sum, sizeof sum);
    sum = sum_of(content, 0, 56);
    std::memcpy(content.data() + 56, &sum, sizeof sum);
    test::write_file(path, content);
}

/// The snapshot with another number for a key, and all checksums right.
void forge(std::string const& path, std::string const& key, std::int64_t number) {
    auto content = test::read_file(path);
    auto const at = content.find(key, field(content, 32)) + key.size();
    std::memcpy(content.data() + at, &number, sizeof number);
    write_sealed(path, content);
}

/// The same with another element of a tensor of floats.
void forge(std::string const& path, std::string const& tensor, std::size_t element, float value) {
    std::size_t offset = 0, size = 0;
    {
        io::snapshot_reader const file(path);
        offset = static_cast<std::size_t>(file.tensor(tensor).offset);
        size = file.tensor(tensor).bytes.size();
    }
    auto content = test::read_file(path);
    auto const before = sum_of(content, offset, size);
    std::memcpy(content.data() + offset + element * sizeof value, &value, sizeof value);
    auto const after = sum_of(content, offset, size);
    // The entry begins with the name behind its length; another tensor may have the same sum.
    auto const length = static_cast<std::uint32_t>(tensor.size());
    auto const entry = content.find(
        std::string(reinterpret_cast<char const*>(&length), sizeof length) + tensor, field(content, 32));
    auto const at = content.find(std::string(reinterpret_cast<char const*>(&before), sizeof before), entry);
    std::memcpy(content.data() + at, &after, sizeof after);
    write_sealed(path, content);
}

template <class Run>
std::string refused_number(std::string const& key, std::int64_t number) {
    test::scratch directory;
    auto const path = saved<Run>(directory);
    forge(path, key, number);
    Run run(4);
    auto const scale = run.current_loss_scale();
    auto const words = test::refusal([&] { run.resume(path); });
    CHECK(run.current_loss_scale() == scale);
    CHECK(run.steps() == 0);
    return words;
}

}  // namespace

TEST_CASE("a snapshot goes on where its numbers mean the same, whatever moves memory") {
    CHECK(refused<plain, plain>().empty());
    CHECK(refused<plain, trainer<tiny<2>, batch<2, 4>, checkpointing::every_block,
                                 optimizers::paged<optimizers::adamw<>>>>()
              .empty());
    CHECK(refused<in_fp16, plain>().empty());
    CHECK(refused<own, own>().empty());
    CHECK(refused<adapted<8, targets<"q_proj", "v_proj">>,
                  on_rows<tiny<2>, adapters::lora<targets<"v_proj", "q_proj">, alpha<8>, rank<2>>>>()
              .find("checksum") != std::string::npos);  // another seed's base: the adapter is the same
}

TEST_CASE("a snapshot of a model whose numbers mean something else is refused by the name of what differs") {
    // Two heads of 8 and four of 4 have the same tensors with two heads of keys of half the width; so what is told is a name.
    CHECK_THAT((refused<plain, on_rows<tiny<2, 20000>>>()),
               Contains("\"rope_theta: 10000\", expected \"rope_theta: 20000\""));
    CHECK_THAT((refused<plain, on_rows<tiny<2, 10000, 1000000>>>()),
               Contains("\"norm_epsilon: 1e-05\", expected \"norm_epsilon: 1e-06\""));
    using two = on_rows<models::gpt2<layers<1>, heads<2>, width<16>, vocabulary<32>, context<8>>>;
    using four = on_rows<models::gpt2<layers<1>, heads<4>, width<16>, vocabulary<32>, context<8>>>;
    CHECK_THAT((refused<two, four>()), Contains("\"heads: 2\", expected \"heads: 4\""));
    CHECK_THAT((refused<two, plain>()), Contains("\"family: gpt2\", expected \"family: llama\""));
}

TEST_CASE("a snapshot of a user's model is refused by the layer that differs") {
    CHECK_THAT((refused<own, on_rows<own_model<gelu<8>, 4, layer_norm<8>>>>()),
               Contains("\"layer blocks.attention: snug::causal_attention<2, 2, 4, snug::no_rotation>\""));
    CHECK_THAT((refused<own, on_rows<own_model<halved<8>, 2, layer_norm<8>>>>()),
               Contains("\"layer function: snug::gelu<8>\", expected \"layer function: halved<8>\""));
    CHECK_THAT((refused<own, on_rows<own_model<gelu<8>, 2, layer_norm<8, std::ratio<1, 10>>>>>()),
               Contains("\"layer blocks.norm: snug::layer_norm<8, std::ratio<1, 10>>\""));
}

TEST_CASE("a snapshot of another adapter or optimizer is refused by the name of what differs") {
    CHECK_THAT((refused<adapted<8>, adapted<16>>()), Contains("\"alpha: 8\", expected \"alpha: 16\""));
    CHECK_THAT((refused<adapted<8>, adapted<8, rank_stabilized>>()),
               Contains("\"rank_stabilized: no\", expected \"rank_stabilized: yes\""));
    CHECK_THAT((refused<adapted<8>, adapted<8, dropout<std::ratio<1, 10>>>>()),
               Contains("\"dropout: 0\", expected \"dropout: 0.1\""));
    CHECK_THAT((refused<adapted<8, targets<"q_proj">>, adapted<8, targets<"k_proj">>>()),
               Contains("self_attn.q_proj 0 + 16") && Contains("self_attn.k_proj 16 + 16"));
    CHECK_THAT((refused<plain, adapted<8>>()), Contains("\"adapter: none\", expected \"adapter: lora\""));
    CHECK_THAT(
        (refused<plain, on_rows<tiny<2>, other_adam>>()),
        Contains("\"optimizer: snug::kernels::adamw_step\", expected \"optimizer: other_adam::update\""));
}

namespace {

template <int Factor>
struct leaky {
    template <class S>
    static constexpr S value(S x) {
        return x > 0 ? x : x / Factor;
    }
    template <class S>
    static constexpr S derivative(S x) {
        return x > 0 ? S(1) : S(1) / Factor;
    }
};
template <int Factor>
struct of_leaky : stack<named<"embedding", embedding<32, 16>>,
                        named<"blocks", repeat<1, residual<linear<16, 16>, elementwise<16, leaky<Factor>>,
                                                           named<"down", linear<16, 16>>>>>,
                        named<"head", head_with_loss<16, 32, true>>> {};
template <int Power>
struct rule_without_a_name {
    using axis = snug::axis::optimizer;
    using states = meta::list<optimizer_state<"m", float>>;
    struct options {};
    static auto rule(options, update_numbers const&) {
        return [](auto weight, auto gradient, float& m) {
            m += static_cast<float>(gradient);
            return weight - static_cast<decltype(weight)>(m) / Power;
        };
    }
};

}  // namespace

TEST_CASE("numbers in any arguments of a layer, and lambdas of two optimizers, are told apart") {
    CHECK((refused<on_rows<of_leaky<2>>, on_rows<of_leaky<2>>>()).empty());
    CHECK_THAT((refused<on_rows<of_leaky<2>>, on_rows<of_leaky<1000>>>()),
               Contains("leaky<2>") && Contains("leaky<1000>"));
    CHECK((refused<on_rows<tiny<2>, rule_without_a_name<3>>, on_rows<tiny<2>, rule_without_a_name<3>>>())
              .empty());
    CHECK_THAT(
        (refused<on_rows<tiny<2>, rule_without_a_name<3>>, on_rows<tiny<2>, rule_without_a_name<4>>>()),
        Contains("rule_without_a_name<3>") && Contains("rule_without_a_name<4>"));
}

TEST_CASE("a snapshot that does not say what its numbers mean is refused") {
    test::scratch directory;
    {
        io::snapshot_writer file(directory / "s");
        file.number("steps", 1);
        file.commit();
    }
    plain run;
    CHECK_THAT(test::refusal([&] { run.resume(directory / "s"); }),
               Contains("does not say what its numbers mean"));
}

TEST_CASE("numbers of a snapshot that no training gives are refused by name, with nothing changed") {
    using limits = std::numeric_limits<std::int64_t>;
    for (auto const steps : {std::int64_t{-1}, limits::min(), limits::max(), (std::int64_t{1} << 53) + 1})
        CHECK_THAT(refused_number<plain>("steps", steps),
                   Contains("the number " + std::to_string(steps) + " for \"steps\""));
    CHECK(refused_number<plain>("steps", 0).empty());
    for (auto const notes : {std::int64_t{-1}, std::int64_t{1} << 21, limits::max()})
        CHECK_THAT(refused_number<plain>("notes", notes), Contains("for \"notes\""));
    CHECK_THAT(refused_number<plain>("notes", 7), Contains("\"note.1."));
    for (auto const exponent : {std::int64_t{-1}, std::int64_t{-5000}, std::int64_t{25}, std::int64_t{5000},
                                std::int64_t{1} << 32, limits::min(), limits::max()})
        CHECK_THAT(refused_number<in_fp16>("loss_scale.exponent", exponent),
                   Contains("for \"loss_scale.exponent\""));
    CHECK_THAT(refused_number<in_fp16>("loss_scale.good_steps", -1),
               Contains("for \"loss_scale.good_steps\""));
    CHECK_THAT(refused_number<in_fp16>("loss_scale.good_steps", 2000),
               Contains("for \"loss_scale.good_steps\""));
}

TEST_CASE("a snapshot with weights that are not finite is refused by tensor and element") {
    test::scratch directory;
    plain broken(3);
    broken.save(directory / "s");
    auto const good = test::read_file(directory / "s");
    // What would be refused is not written over what would not.
    for (float const value : {std::numeric_limits<float>::infinity(), std::nanf("")}) {
        broken.weights("norm.weight")[5] = value;
        CHECK_THAT(
            test::refusal([&] { broken.save(directory / "s"); }),
            Contains("tensor norm.weight") && Contains("at element 5") && Contains("the file is as it was"));
    }
    CHECK((test::read_file(directory / "s") == good));
    forge(directory / "s", "norm.weight", 5, std::numeric_limits<float>::infinity());
    plain run(4);
    auto const before = run.copy_of_weights("head.weight");
    CHECK_THAT(test::refusal([&] { run.resume(directory / "s"); }),
               Contains("tensor norm.weight") && Contains("infinity at element 5"));
    CHECK(run.copy_of_weights("head.weight") == before);
    // What fp32 holds may be too much for fp16.
    broken.weights("norm.weight")[5] = 1e6f;
    broken.save(directory / "s");
    CHECK(test::refusal([&] { run.resume(directory / "s"); }).empty());
    mixed_fp16_without_scale narrow;
    CHECK_THAT(test::refusal([&] { narrow.resume(directory / "s"); }),
               Contains("tensor norm.weight") && Contains("1000000 at element 5"));
}

TEST_CASE("a loss scale at its end is still there after a snapshot") {
    test::scratch directory;
    {
        auto const path = saved<in_fp16>(directory);
        forge(path, "loss_scale.exponent", 0);
    }
    in_fp16 run(4);
    run.resume(directory / "s");
    CHECK(run.current_loss_scale() == 1);
    for (auto& w : run.weights("norm.weight")) w = static_cast<fp16>(std::numeric_limits<float>::infinity());
    std::vector<std::int32_t> const text(8, 3);
    CHECK_THAT(test::refusal([&] {
                   run.step({text, text});
               }),
               Contains("skipped 1 times in a row, now at a loss scale of 1") && Contains("a gradient of"));
}

TEST_CASE("a loss scale stays between its ends, and gives up") {
    loss_scale scale;
    for (int i = 0; i < 16; ++i) CHECK(scale.gradient_overflowed());
    CHECK(scale.value == 1);
    CHECK_FALSE(scale.gradient_overflowed());
    CHECK(scale.value == 1);
    for (int i = 0; i < 24; ++i) CHECK(scale.gradient_vanished());
    CHECK(scale.value == 16777216);
    CHECK_FALSE(scale.gradient_vanished());
    scale.step_was_good();
    for (int i = 1; i < loss_scale::most_skips; ++i)
        CHECK((i % 2 == 0 ? scale.gradient_vanished() : scale.gradient_overflowed()));
    CHECK_FALSE(scale.gradient_overflowed());
    for (std::int64_t i = 0; i < 5 * loss_scale::steps_until_growth; ++i) scale.step_was_good();
    CHECK(scale.value == 16777216);
}

TEST_CASE("generation reuses no keys that a checkpointing policy lets be overwritten") {
    struct long_models_only {
        using axis = snug::axis::checkpointing;
        static constexpr index_t segment(index_t blocks) { return blocks > 2 ? 1 : 0; }
    };
    struct short_models_only {
        using axis = snug::axis::checkpointing;
        static constexpr index_t segment(index_t blocks) { return blocks > 2 ? 0 : 1; }
    };
    using model = models::llama<layers<3>, heads<2>, width<16>, mlp<16>, vocabulary<32>, context<8>>;
    using long_only = on_rows<model, long_models_only>;
    using short_only = on_rows<model, short_models_only>;
    STATIC_REQUIRE_FALSE(long_only::composition::keeps_all_activations);
    STATIC_REQUIRE(short_only::composition::keeps_all_activations);
    long_only run;
    short_only kept;
    on_rows<model> everything;
    std::vector<std::int32_t> const prompt{5, 17, 3};
    auto const wanted = everything.generate(prompt, {.tokens = 6, .temperature = 0});
    CHECK(run.generate(prompt, {.tokens = 6, .temperature = 0}) == wanted);
    CHECK(kept.generate(prompt, {.tokens = 6, .temperature = 0}) == wanted);
}

TEST_CASE(
    "weights written where they lie are refused when they are not finite, and the master copy does not "
    "follow") {
    in_fp16 run;
    auto const weights = run.weights("blocks.down.weight");
    auto const good = weights[9];
    weights[9] = static_cast<fp16>(std::numeric_limits<float>::quiet_NaN());
    CHECK_THAT(test::refusal([&] { run.weights_changed(); }),
               Contains("tensor blocks.0.down.weight") && Contains("NaN at element 9"));
    weights[9] = good;
    CHECK(test::refusal([&] { run.weights_changed(); }).empty());
}

TEST_CASE("what numbers mean does not depend on the processor that a file is compiled for") {
    using trainer = snug::trainer<snug::models::gpt2<snug::layers<1>, snug::heads<1>, snug::width<8>,
                                                     snug::vocabulary<9>, snug::context<4>>,
                                  snug::batch<1, 4>>;
    auto const meaning = snug::engine::meaning_of<trainer::composition>();
    CHECK_THAT(meaning, Catch::Contains("snug::layer_norm<8, std::ratio<1, 100000>>"));
    CHECK_THAT(meaning, !Catch::Contains("x86_"));
}
