// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <snug/layers/linear.hpp>
#include <snug/ops/add_column_sums.hpp>
#include <snug/ops/matmul.hpp>

namespace snug::SNUG_TARGET {

/// `linear` with a weight that training does not change, stored by a quantization scheme or as it is; quantized, it is decoded
/// a part at a time for the products, forward and backward. Its bias, if any, is trained unless the layer is `frozen`.
template <class Linear, class Scheme>
struct frozen_linear;

template <index_t In, index_t Out, bool Bias, class Initial, class Parts, class Scheme>
struct frozen_linear<linear<In, Out, Bias, Initial, Parts>, Scheme> {
    static constexpr index_t input_width = In;
    static constexpr index_t output_width = Out;
    static constexpr bool backward_reads_input = false;
    static constexpr bool stores_products = true;

    using weight = frozen_parameter<"weight", shape<Out, In>, Initial, Scheme>;
    using bias = parameter<"bias", shape<Out>, initial::zeros>;
    using parameters = std::conditional_t<Bias, meta::list<weight, bias>, meta::list<weight>>;

    template <class Setting>
    static constexpr index_t forward_workspace() {
        return ops::matmul_workspace_with<Scheme, Setting>(Out, In);
    }
    template <class Setting>
    static constexpr index_t backward_workspace() {
        using backend = typename Setting::backend;
        using gradient = typename Setting::gradient;
        auto const products = ops::matmul_workspace_with<Scheme, Setting>(In, Out);
        if (!Bias || !Setting::trains(bias{})) return products;
        return std::max(products, ops::column_sums_workspace<backend, gradient>(Setting::rows, Out));
    }

    template <class Setting>
    static constexpr layer_work work() {
        using namespace bytes_of;
        constexpr auto biases = Bias ? values<Setting>(bias{}) : 0;
        constexpr auto bias_gradient =
            Bias && Setting::trains(bias{}) ? rows<Setting>(Out) + gradient<Setting>(bias{}) : 0;
        workload const product{.products = 2 * Setting::rows * In * Out,
                               .bytes = rows<Setting>(In + Out) + values<Setting>(weight{})};
        return {.forward = product + workload{.bytes = biases},
                .backward = product + workload{.bytes = bias_gradient}};
    }

    template <class Call, class X, class Y>
    static void forward(Call const& call, X x, Y y) {
        auto const w = call.operand(weight{});
        if constexpr (Bias) {
            ops::matmul(call.on, x, transposed{w}, call.workspace(), with_bias{y, call.value(bias{})});
        } else {
            ops::matmul(call.on, x, transposed{w}, call.workspace(), y);
        }
    }

    template <class Call, class X, class Y, class DY, class DX>
    static void backward(Call const& call, X, Y, DY dy, DX dx) {
        if constexpr (Bias)
            if constexpr (Call::trains(bias{}))
                ops::add_column_sums(call.on, dy.rows, Out, call.workspace(), call.gradient(bias{}),
                                     elements_of{dy});
        ops::matmul(call.on, dy, call.operand(weight{}), call.workspace(), dx);
    }
};

}  // namespace snug::SNUG_TARGET
