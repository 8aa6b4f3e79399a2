// SPDX-License-Identifier: Apache-2.0
// Layers, a block and an optimizer of one's own: nothing of them is in snug, nothing of them is registered anywhere.
// The program trains a small model of such blocks on a made-up language and shows that the loss falls.
#include <snug/snug.hpp>

#include <cstdint>
#include <iostream>
#include <vector>

#include "support/output.hpp"

namespace mine {

using snug::index_t;

/// A layer without parameters. Squared ReLU (So et al., arXiv 2109.08668): y = max(x, 0)².
template <index_t Width>
struct squared_relu {
    static constexpr index_t input_width = Width;
    static constexpr index_t output_width = Width;
    // What backward computes for one element reads x and dy at this element only: it may overwrite either.
    static constexpr bool backward_writes_over_input = true;
    static constexpr bool backward_writes_over_gradient = true;

    template <class S>
    struct forward_row {
        constexpr void operator()(auto team, index_t row, auto x, auto y) const {
            auto const* const in = x.row(row);
            team.for_each(Width, [=](index_t i) {
                auto const positive = in[i] > 0 ? static_cast<S>(in[i]) : S(0);
                y(row, i, positive * positive);
            });
        }
    };

    template <class S>
    struct backward_row {
        constexpr void operator()(auto team, index_t row, auto x, auto dy, auto dx) const {
            auto const* const in = x.row(row);
            auto const* const d_out = dy.row(row);
            team.for_each(Width, [=](index_t i) {
                auto const positive = in[i] > 0 ? static_cast<S>(in[i]) : S(0);
                dx(row, i, 2 * positive * static_cast<S>(d_out[i]));
            });
        }
    };

    template <class Call, class X, class Y>
    static void forward(Call const& call, X x, Y y) {
        using S = typename Call::setting::statistic;
        snug::ops::for_each_row<Width>(call.on, x.rows, snug::ops::bound<forward_row<S>>(x, y));
    }

    template <class Call, class X, class Y, class DY, class DX>
    static void backward(Call const& call, X x, Y, DY dy, DX dx) {
        using S = typename Call::setting::statistic;
        snug::ops::for_each_row<Width>(call.on, x.rows, snug::ops::bound<backward_row<S>>(x, dy, dx));
    }

    /// For snug::work: forward reads x and stores y, backward reads x and dy and stores dx.
    template <class Setting>
    static constexpr snug::layer_work work() {
        return {.forward = {.bytes = snug::bytes_of::rows<Setting>(2 * Width)},
                .backward = {.bytes = snug::bytes_of::rows<Setting>(3 * Width)}};
    }
};

/// The start of `layer_scale`: an initialiser is a function of seed, tensor and element.
struct one_tenth {
    static constexpr double value(std::uint64_t, std::uint64_t, std::uint64_t) { return 0.1; }
};

/// A layer with a parameter. LayerScale (Touvron et al., arXiv 2103.17239): y = scale ∘ x, scale of shape (Width).
template <index_t Width>
struct layer_scale {
    static constexpr index_t input_width = Width;
    static constexpr index_t output_width = Width;
    static constexpr bool backward_writes_over_input = true;
    static constexpr bool backward_writes_over_gradient = true;

    using scale = snug::parameter<"scale", snug::shape<Width>, one_tenth>;
    using parameters = snug::meta::list<scale>;

    template <class Setting>
    static constexpr index_t backward_workspace() {
        return snug::ops::column_sums_workspace<typename Setting::backend, typename Setting::gradient>(
            Setting::rows, Width);
    }

    /// to = from ∘ scale, one row: forward of x, and backward of dy.
    template <class S>
    struct scale_row {
        constexpr void operator()(auto team, index_t row, auto from, auto scales, auto to) const {
            auto const* const in = from.row(row);
            team.for_each(Width,
                          [=](index_t i) { to(row, i, static_cast<S>(in[i]) * static_cast<S>(scales[i])); });
        }
    };

    template <class S>
    struct scale_gradient {
        constexpr S operator()(index_t row, index_t column, auto x, auto dy) const {
            return static_cast<S>(dy.row(row)[column]) * static_cast<S>(x.row(row)[column]);
        }
    };

    template <class Call, class X, class Y>
    static void forward(Call const& call, X x, Y y) {
        using S = typename Call::setting::statistic;
        snug::ops::for_each_row<Width>(call.on, x.rows,
                                       snug::ops::bound<scale_row<S>>(x, call.value(scale{}), y));
    }

    template <class Call, class X, class Y, class DY, class DX>
    static void backward(Call const& call, X x, Y, DY dy, DX dx) {
        using S = typename Call::setting::statistic;
        // Before dx is written: it may lie where x or dy lies.
        snug::ops::add_column_sums(call.on, x.rows, Width, call.workspace(), call.gradient(scale{}),
                                   snug::ops::bound<scale_gradient<S>>(x, dy));
        snug::ops::for_each_row<Width>(call.on, x.rows,
                                       snug::ops::bound<scale_row<S>>(dy, call.value(scale{}), dx));
    }

    /// For snug::work: backward reads x and dy for the gradient of the scale, and dy again for dx.
    template <class Setting>
    static constexpr snug::layer_work work() {
        using namespace snug::bytes_of;
        constexpr auto pass = rows<Setting>(2 * Width) + values<Setting>(scale{});
        return {.forward = {.bytes = pass},
                .backward = {.bytes = pass + rows<Setting>(2 * Width) + gradient<Setting>(scale{})}};
    }
};

/// A block from layers of both kinds, mine and snug's: RMSNorm and rotary positions like Llama, squared ReLU, and a
/// scale at the end of each branch.
template <index_t Width, index_t Heads>
using block = snug::sequence<
    snug::residual<
        snug::named<"norm1", snug::rms_norm<Width>>, snug::named<"qkv", snug::linear<Width, 3 * Width>>,
        snug::named<"attention", snug::causal_attention<Heads, Heads, Width / Heads, snug::rotary<10000>>>,
        snug::named<"projection", snug::linear<Width, Width>>, snug::named<"scale1", layer_scale<Width>>>,
    snug::residual<
        snug::named<"norm2", snug::rms_norm<Width>>, snug::named<"up", snug::linear<Width, 4 * Width>>,
        snug::named<"relu", squared_relu<4 * Width>>, snug::named<"down", snug::linear<4 * Width, Width>>,
        snug::named<"scale2", layer_scale<Width>>>>;

constexpr std::int32_t vocabulary = 64;

struct model : snug::stack<snug::named<"embedding", snug::embedding<vocabulary, 64>>,
                           snug::named<"blocks", snug::repeat<3, block<64, 4>>>,
                           snug::named<"norm", snug::rms_norm<64>>,
                           snug::named<"head", snug::head_with_loss<64, vocabulary, true>>> {};

/// An optimizer: Lion (Chen et al., arXiv 2302.06675, algorithm 2), one state for every trained element.
struct lion {
    using axis = snug::axis::optimizer;
    using states = snug::meta::list<snug::optimizer_state<"momentum", snug::fp32>>;

    struct options {
        double beta1 = 0.9;
        double beta2 = 0.99;
    };

    struct update {
        double learning_rate, decay, beta1, beta2;

        template <class S, class State>
        constexpr S operator()(S weight, S gradient, State& momentum) const {
            auto const b1 = static_cast<S>(beta1), b2 = static_cast<S>(beta2);
            auto const m = static_cast<S>(momentum);
            auto const direction = b1 * m + (S(1) - b1) * gradient;
            momentum = static_cast<State>(b2 * m + (S(1) - b2) * gradient);
            auto const sign = static_cast<S>(direction > S(0)) - static_cast<S>(direction < S(0));
            return weight * static_cast<S>(decay) - static_cast<S>(learning_rate) * sign;
        }
    };

    static update rule(options const& o, snug::update_numbers const& n) {
        return {n.learning_rate, 1 - n.learning_rate * n.weight_decay, o.beta1, o.beta2};
    }
};

/// A checkpointing policy: the first block of every pair keeps its input, the rest is computed again.
struct pairs {
    using axis = snug::axis::checkpointing;
    static constexpr index_t segment(index_t blocks) { return blocks < 2 ? blocks : 2; }
};

/// A language of numbers that go up by 1 or by 5, around the clock: two of them tell which, the first is chance.
class made_up_language {
  public:
    snug::token_batch next(int sequences, int tokens) {
        inputs_.clear();
        targets_.clear();
        for (int s = 0; s < sequences; ++s) {
            auto const chance = snug::random::bits(1, 0, drawn_++);
            auto word = static_cast<std::int32_t>(chance % vocabulary);
            auto const stride = chance >> 32 & 1 ? 1 : 5;
            for (int t = 0; t < tokens; ++t) {
                inputs_.push_back(word);
                word = (word + stride) % vocabulary;
                targets_.push_back(word);
            }
        }
        return {inputs_, targets_};
    }

  private:
    std::uint64_t drawn_ = 0;
    std::vector<std::int32_t> inputs_, targets_;
};

struct trainer : snug::trainer<model, lion, pairs, snug::batch<16, 32>, snug::precision::mixed<snug::bf16>> {
    using trainer_type::trainer_type;  // constructors: a seed can be given
};

// A step's products: 6 operations for every weight and token.
static_assert(snug::work<trainer>.model().products == 6 * (3 * 12 * 64 * 64 + vocabulary * 64) * 16 * 32);

// Own layers and policies are part of the plan like all others.
static_assert(snug::fits<trainer, snug::budget<snug::bytes{32 << 20}>>);
static_assert(snug::footprint<trainer>.optimizer_state.count == 4 * snug::parameter_count<model>);

}  // namespace mine

int main() try {
    mine::trainer run;
    run.options.learning_rate = snug::schedule::warm_up_cosine(1e-3, 20, 300, 0.05);
    mine::made_up_language language;

    std::cout << "A model of " << snug::parameter_count<mine::model> << " parameters:\n"
              << snug::report<mine::trainer>();
    double first = 0, last = 0;
    for (int step = 1; step <= 300; ++step) {
        auto const result = run.step(language.next(16, 32));
        last = result.loss;
        if (step == 1) first = last;
        if (step == 1 || step % 50 == 0) std::cout << "step " << step << "  loss " << last << '\n';
    }
    if (last < first / 2) return example::finished("custom_block");
    std::cerr << "custom_block: the loss did not fall\n";
    return 1;
} catch (snug::error const& problem) {
    std::cerr << "custom_block: " << problem.what() << '\n';
    return 1;
}
