// SPDX-License-Identifier: Apache-2.0
// An adapter kind of your own, in your own namespace: IA3 (Liu et al., arXiv 2205.05638) learns one factor for every output
// of the linear layers, and nothing else. The model is frozen and quantized, and the bill shows it.
#include <snug/snug.hpp>

#include <cmath>
#include <iostream>
#include <span>
#include <string_view>
#include <vector>

#include "support/output.hpp"

namespace mine {

// What the operations run. These depend on a width and not on the layer: the layer's type spells the names of its modules,
// which nvcc cannot repeat in the name of a kernel.
template <snug::index_t Width>
struct keep_and_scale {
    template <class Value, class T>
    constexpr void operator()(snug::index_t row, snug::index_t column, Value value, T* kept, auto factors,
                              auto y) const {
        kept[row * Width + column] = static_cast<T>(value);
        y(row, column, value * static_cast<Value>(factors[column]));
    }
};

template <class S, snug::index_t Width>
struct scale_gradient {
    constexpr S operator()(snug::index_t row, snug::index_t column, auto dy, auto kept) const {
        return static_cast<S>(dy.row(row)[column]) * static_cast<S>(kept[row * Width + column]);
    }
};

template <class S, snug::index_t Width>
struct scale_row {
    template <class T>
    constexpr void operator()(auto team, snug::index_t row, auto dy, auto factors, T* scaled) const {
        auto const* const d_out = dy.row(row);
        auto* const to = scaled + row * Width;
        team.for_each(Width, [=](snug::index_t i) {
            to[i] = static_cast<T>(static_cast<S>(d_out[i]) * static_cast<S>(factors[i]));
        });
    }
};

/// y = scale ∘ (x Wᵀ) with W frozen, stored by Scheme; `scale`, one number for every output, is trained.
template <class Linear, class Scheme>
struct scaled_linear {
    static constexpr snug::index_t input_width = Linear::input_width;
    static constexpr snug::index_t output_width = Linear::output_width;
    static constexpr bool backward_reads_input = false;

    using weight = snug::frozen_parameter<"weight", snug::shape<output_width, input_width>,
                                          typename Linear::weight::initial, Scheme>;
    using scale = snug::parameter<"scale", snug::shape<output_width>, snug::initial::ones>;
    using parameters = snug::meta::list<weight, scale>;
    // What tells files of the model from files of the adapter.
    using adapter_parameters = snug::meta::list<scale>;
    /// Row of the weight, as it is in a model without adapter: for merge_into() and save_model().
    template <class Call>
    static void merged_row(Call const& call, weight, snug::index_t row, std::span<float> values) {
        for (auto& value : values) value *= static_cast<float>(call.value(scale{})[row]);
    }

    using unscaled = snug::saved_per_token<"unscaled", snug::activation, output_width>;
    using saved = snug::meta::list<unscaled>;

    template <class Setting>
    static constexpr snug::index_t forward_workspace() {
        return snug::ops::matmul_workspace_with<Scheme, Setting>(output_width, input_width);
    }
    template <class Setting>
    static constexpr snug::index_t backward_workspace() {
        return scaled_gradient<Setting>() +
               std::max(
                   snug::ops::matmul_workspace_with<Scheme, Setting>(input_width, output_width),
                   snug::ops::column_sums_workspace<typename Setting::backend, typename Setting::gradient>(
                       Setting::rows, output_width));
    }

    template <class Call, class X, class Y>
    static void forward(Call const& call, X x, Y y) {
        snug::ops::matmul(
            call.on, x, snug::transposed{call.operand(weight{})}, call.workspace(),
            snug::ops::bound<keep_and_scale<output_width>>(call.saved(unscaled{}), call.value(scale{}), y));
    }

    template <class Call, class X, class Y, class DY, class DX>
    static void backward(Call const& call, X, Y, DY dy, DX dx) {
        using setting = typename Call::setting;
        using S = typename setting::statistic;
        using element = typename setting::activation;
        auto* const scaled = reinterpret_cast<element*>(call.workspace());
        auto* const scratch = call.workspace() + scaled_gradient<setting>();
        snug::ops::add_column_sums(
            call.on, dy.rows, output_width, scratch, call.gradient(scale{}),
            snug::ops::bound<scale_gradient<S, output_width>>(dy, call.saved(unscaled{})));
        snug::ops::for_each_row<output_width>(
            call.on, dy.rows, snug::ops::bound<scale_row<S, output_width>>(dy, call.value(scale{}), scaled));
        snug::ops::matmul(call.on, snug::matrix<element const, output_width>{scaled, dy.rows},
                          call.operand(weight{}), scratch, dx);
    }

  private:
    template <class Setting>
    static constexpr snug::index_t scaled_gradient() {
        return snug::round_up(
            Setting::rows * output_width * static_cast<snug::index_t>(sizeof(typename Setting::activation)),
            64);
    }
};

/// The policy: every linear layer gets its factors; nothing else trains.
struct ia3 {
    using axis = snug::axis::adapters;
    template <snug::text Name, class Linear>
    static constexpr bool adapts = true;
    template <snug::text Name, class Layer>
    static constexpr bool trains = false;
    template <class Linear, class Scheme>
    using layer = scaled_linear<Linear, Scheme>;
};

}  // namespace mine

using namespace snug::literals;  // 64_KiB

using model = snug::models::llama<snug::layers<4>, snug::heads<4>, snug::width<128>, snug::mlp<352>,
                                  snug::vocabulary<256>, snug::context<64>>;
struct tuning : snug::trainer<model, snug::batch<4, 64>, snug::quantization::nf4<64>, mine::ia3> {};

// A factor for every output: queries, keys, values, the projection, gate and up, and down.
static_assert(snug::trainable_parameter_count<tuning> == 4 * (3 * 128 + 128 + 2 * 352 + 128));
static_assert(snug::footprint<tuning>.optimizer_state < 64_KiB);

int main() {
    tuning run;
    run.options.learning_rate = snug::schedule::constant(2e-2);
    std::string_view const line = "the factors learn what the frozen weights cannot say by themselves. ";
    std::vector<std::int32_t> inputs, targets;
    for (snug::index_t i = 0; i < tuning::tokens_per_step; ++i) {
        auto const at = static_cast<std::size_t>(i);
        inputs.push_back(line[at % line.size()]);
        targets.push_back(line[(at + 1) % line.size()]);
    }
    std::cout << snug::report<tuning>() << '\n';
    for (int i = 0; i < 30; ++i) {
        auto const result = run.step({inputs, targets});
        if (i % 10 == 0 || i == 29) std::cout << "step " << i + 1 << ": " << result << '\n';
    }
    snug::trainer<model, snug::batch<4, 64>> merged;
    run.merge_into(merged);
    auto const adapted = run.evaluate({inputs, targets}).loss;
    auto const plain = merged.evaluate({inputs, targets}).loss;
    std::cout << "loss " << adapted << ", merged into a model without adapter " << plain << '\n';
    if (!(std::abs(adapted - plain) < 1e-3)) return 1;
    return example::finished("custom_adapter");
}
