// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <snug/layers/initial.hpp>
#include <snug/layers/layer.hpp>
#include <snug/ops/add_column_sums.hpp>
#include <snug/ops/matmul.hpp>

namespace snug::SNUG_TARGET {

/// `Width` outputs of a linear layer, under the name of the module that has them in Hugging Face's model.
template <text Name, index_t Width>
struct part {
    static constexpr auto name = Name;
    static constexpr index_t width = Width;
};

/// What others keep as several modules and snug as one product: queries, keys and values. Files and adapters know the parts.
template <class... Parts>
struct parts {
    static constexpr index_t width = (Parts::width + ... + 0);
};

namespace refusal {

template <class Parts, index_t WidthOfTheParts, index_t Out>
struct the_parts_of_a_linear_layer_make_up_its_output {
    static_assert(WidthOfTheParts == 0 || WidthOfTheParts == Out,
                  "snug: the widths of the parts of a linear layer must add up to its output (see "
                  "WidthOfTheParts and Out)");
};

}  // namespace refusal

/// y = x Wᵀ + b with W of shape (Out, In), b of shape (Out). `Initial` initialises W; b starts at zero.
template <index_t In, index_t Out, bool Bias = true, class Initial = initial::normal<std::ratio<2, 100>>,
          class Parts = parts<>>
struct linear {
    static_assert(sizeof(refusal::the_parts_of_a_linear_layer_make_up_its_output<Parts, Parts::width, Out>) >
                  0);
    static constexpr index_t input_width = In;
    static constexpr index_t output_width = Out;
    static constexpr bool backward_writes_over_input = true;
    static constexpr bool stores_products = true;

    using weight = parameter<"weight", shape<Out, In>, Initial>;
    using bias = parameter<"bias", shape<Out>, initial::zeros>;
    using parameters = std::conditional_t<Bias, meta::list<weight, bias>, meta::list<weight>>;

    template <class Setting>
    static constexpr index_t forward_workspace() {
        return ops::matmul_workspace<typename Setting::backend, typename Setting::activation>(Out, In);
    }
    template <class Setting>
    static constexpr index_t backward_workspace() {
        using backend = typename Setting::backend;
        using element = typename Setting::activation;
        return std::max(
            {ops::matmul_workspace<backend, element>(In, Setting::rows),
             ops::matmul_workspace<backend, element>(In, Out),
             Bias ? ops::column_sums_workspace<backend, typename Setting::gradient>(Setting::rows, Out) : 0});
    }

    template <class Setting>
    static constexpr layer_work work() {
        using namespace bytes_of;
        constexpr auto product = 2 * Setting::rows * In * Out;
        constexpr auto biases = Bias ? values<Setting>(bias{}) : 0;
        // Backward reads dy for each of its products, and for the bias.
        constexpr auto bias_gradient = Bias ? rows<Setting>(Out) + gradient<Setting>(bias{}) : 0;
        return {.forward = {.products = product,
                            .bytes = rows<Setting>(In + Out) + values<Setting>(weight{}) + biases},
                .backward = {.products = 2 * product,
                             .bytes = rows<Setting>(2 * In + 2 * Out) + values<Setting>(weight{}) +
                                      gradient<Setting>(weight{}) + bias_gradient}};
    }

    template <class Call, class X, class Y>
    static void forward(Call const& call, X x, Y y) {
        auto const w = matrix<typename Call::weight_type const, In>{call.value(weight{}), Out};
        if constexpr (Bias) {
            ops::matmul(call.on, x, transposed{w}, call.workspace(), with_bias{y, call.value(bias{})});
        } else {
            ops::matmul(call.on, x, transposed{w}, call.workspace(), y);
        }
    }

    template <class Call, class X, class Y, class DY, class DX>
    static void backward(Call const& call, X x, Y, DY dy, DX dx) {
        auto const w = matrix<typename Call::weight_type const, In>{call.value(weight{}), Out};
        // The gradient of W first: after it x is dead and dx may take its place.
        ops::matmul(call.on, transposed{dy}, x, call.workspace(),
                    accumulated<typename Call::gradient_type, In>{{call.gradient(weight{}), Out}});
        if constexpr (Bias)
            ops::add_column_sums(call.on, dy.rows, Out, call.workspace(), call.gradient(bias{}),
                                 elements_of{dy});
        ops::matmul(call.on, dy, w, call.workspace(), dx);
    }
};

}  // namespace snug::SNUG_TARGET
