// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <snug/kernels/low_rank.hpp>
#include <snug/layers/frozen_linear.hpp>
#include <snug/ops/add_column_sums.hpp>
#include <snug/ops/for_each_element.hpp>
#include <snug/ops/for_each_row.hpp>
#include <snug/ops/matmul.hpp>
#include <span>

namespace snug::SNUG_TARGET {

namespace detail {

/// The outputs of a linear layer that an adapter changes, as blocks of columns: its selected parts, or all of it.
template <class Adapter, index_t Out, class Parts>
struct adapted_columns;
template <class Adapter, index_t Out, class... Part>
struct adapted_columns<Adapter, Out, parts<Part...>> {
    static constexpr index_t width = Out;
    static constexpr index_t blocks = (static_cast<index_t>(Adapter::selects(Part::name.view())) + ... + 0);
    static constexpr auto found = [] {
        struct {
            std::array<index_t, static_cast<std::size_t>(blocks)> first{}, count{};
            std::array<std::string_view, static_cast<std::size_t>(blocks)> name{};
        } result;
        std::size_t next = 0;
        index_t column = 0;
        auto const visit = [&](std::string_view name, index_t columns) {
            if (Adapter::selects(name)) {
                result.first[next] = column;
                result.count[next] = columns;
                result.name[next++] = name;
            }
            column += columns;
        };
        (visit(Part::name.view(), Part::width), ...);
        return result;
    }();
    static constexpr auto first = found.first;
    static constexpr auto count = found.count;
    static constexpr auto name = found.name;  ///< of the modules, for files
};
template <class Adapter, index_t Out>
struct adapted_columns<Adapter, Out, parts<>> {
    static constexpr index_t width = Out;
    static constexpr index_t blocks = 1;
    static constexpr std::array<index_t, 1> first{0};
    static constexpr std::array<index_t, 1> count{Out};
    static constexpr std::array<std::string_view, 1> name{};
};

/// The same as numbers alone, for the names of kernels: column ranges of a block-diagonal operand.
template <index_t Width, class First, class Count>
struct column_ranges;
template <index_t Width, index_t... First, index_t... Count>
struct column_ranges<Width, std::integer_sequence<index_t, First...>,
                     std::integer_sequence<index_t, Count...>> {
    static constexpr index_t width = Width;
    static constexpr index_t blocks = sizeof...(First);
    static constexpr std::array<index_t, sizeof...(First)> first{First...};
    static constexpr std::array<index_t, sizeof...(First)> count{Count...};
};

template <class Columns, std::size_t... I>
auto ranges_of(std::index_sequence<I...>)
    -> column_ranges<Columns::width, std::integer_sequence<index_t, Columns::first[I]...>,
                     std::integer_sequence<index_t, Columns::count[I]...>>;

}  // namespace detail

namespace refusal {

template <class Linear, class Adapter, index_t SelectedParts>
struct an_adapter_selects_no_part_of_a_layer_that_it_adapts {
    static_assert(
        SelectedParts > 0,
        "snug: an adapter's 'adapts' says yes to a layer of which its targets<...> select no part (see "
        "Linear and Adapter). Name the parts in targets<...>, or let 'adapts' say no");
};

}  // namespace refusal

/// A frozen linear layer with a low-rank update that is trained (Hu et al., "LoRA", arXiv 2106.09685):
/// y = x Wᵀ + s · drop(x) Aᵀ Bᵀ + b, with A of shape (blocks · rank, In) and B of shape (adapted columns, rank), where every
/// block of columns (the queries, the keys, ...) has its own A. With a magnitude (Liu et al., "DoRA", arXiv 2402.09353)
/// the rows of W + s B A are scaled to the length m, which is trained too; the length of a row is a constant for the
/// gradient, as in the paper's section 4.3.
///
/// Neither s B A nor the updated weight is ever formed: the update is a second product into the same sums (with many rows on a
/// device: stored, and added to). Row lengths
/// follow from ‖w + s b A‖² = ‖w‖² + 2 s (A w)·b + s² bᵀ (A Aᵀ) b, once for every change of the weights.
template <class Linear, class Scheme, class Adapter>
struct low_rank_linear;

template <index_t In, index_t Out, bool Bias, class Initial, class Parts, class Scheme, class Adapter>
struct low_rank_linear<linear<In, Out, Bias, Initial, Parts>, Scheme, Adapter> {
    static constexpr index_t input_width = In;
    static constexpr index_t output_width = Out;
    // A's gradient first: after it x is dead.
    static constexpr bool backward_writes_over_input = true;
    static constexpr bool saves_without_output = true;

    using columns = detail::adapted_columns<Adapter, Out, Parts>;
    static_assert(sizeof(refusal::an_adapter_selects_no_part_of_a_layer_that_it_adapts<
                         linear<In, Out, Bias, Initial, Parts>, Adapter, columns::blocks>) > 0);
    using ranges = decltype(detail::ranges_of<columns>(
        std::make_index_sequence<static_cast<std::size_t>(columns::blocks)>{}));
    static constexpr index_t rank = Adapter::rank;
    static constexpr index_t ranks = columns::blocks * rank;  ///< of all blocks together
    static constexpr index_t adapted = [] {
        index_t total = 0;
        for (auto const count : columns::count) total += count;
        return total;
    }();
    static constexpr double scale = Adapter::scale;
    static constexpr bool has_magnitude = Adapter::has_magnitude;
    static constexpr double dropout = Adapter::dropout;
    static constexpr bool drops = dropout > 0;

    using weight = frozen_parameter<"weight", shape<Out, In>, Initial, Scheme>;
    using bias = frozen_parameter<"bias", shape<Out>, initial::zeros>;
    using lora_a = parameter<"lora_A", shape<ranks, In>, initial::uniform<In>>;
    using lora_b = parameter<"lora_B", shape<adapted, rank>, initial::zeros>;
    using magnitude = parameter<"magnitude", shape<adapted>, initial::ones>;
    /// 1 / the length of every adapted row of W + s B A, and m times that; 1 for other rows.
    using inverse_length = derived_parameter<"inverse_length", shape<Out>>;
    using direction_scale = derived_parameter<"direction_scale", shape<Out>>;
    using parameters = meta::mp::mp_append<
        std::conditional_t<Bias, meta::list<weight, bias>, meta::list<weight>>, meta::list<lora_a, lora_b>,
        std::conditional_t<has_magnitude, meta::list<magnitude, inverse_length, direction_scale>,
                           meta::list<>>>;

    using adapter_parameters = meta::list<lora_a, lora_b, magnitude>;

    using low_rank = saved_per_token<"low_rank", activation, ranks>;  ///< s · drop(x) Aᵀ
    using direction = saved_per_token<"direction", activation, Out>;  ///< y before the magnitude
    using saved = std::conditional_t<has_magnitude, meta::list<low_rank, direction>, meta::list<low_rank>>;

    template <class Setting>
    static constexpr index_t forward_workspace() {
        return std::max(dropped_bytes<Setting>() + std::max(products<Setting>(Out, std::max(In, ranks)),
                                                            plain_products<Setting>(ranks, In)),
                        has_magnitude ? lengths_bytes<Setting>() + products<Setting>(Out, In) : 0);
    }
    template <class Setting>
    static constexpr index_t backward_workspace() {
        return dropped_bytes<Setting>() + low_rank_bytes<Setting>() + direction_bytes<Setting>() +
               std::max({products<Setting>(In, std::max(Out, ranks)),
                         plain_products<Setting>(In, std::max(ranks, Setting::rows)),
                         plain_products<Setting>(rank, std::max(Out, Setting::rows)), sums_bytes<Setting>()});
    }

    /// The products with the weight, with A and with B, each of these three times: forward, and two in backward. Of the magnitude
    /// the passes over rows; `refresh`: A Wᵀ, and W read once more for the lengths.
    template <class Setting>
    static constexpr layer_work work() {
        using namespace bytes_of;
        constexpr auto twice_rows = 2 * Setting::rows;
        constexpr auto biases = Bias ? values<Setting>(bias{}) : 0;
        constexpr auto scales = has_magnitude ? values<Setting>(direction_scale{}) : 0;
        constexpr auto drop = drops ? rows<Setting>(2 * In) : 0;  // the copy with the mask
        workload const low{.products = twice_rows * In * ranks,
                           .bytes = drop + rows<Setting>(In + ranks) + values<Setting>(lora_a{})};
        workload const rest{.products = twice_rows * (In * Out + adapted * rank),
                            .bytes = rows<Setting>(In + ranks) + values<Setting>(weight{}) +
                                     values<Setting>(lora_b{}) + biases + scales +
                                     (has_magnitude ? rows<Setting>(Out) : 0)};
        workload const gradients{.products = twice_rows * 2 * (In * ranks + adapted * rank),
                                 .bytes = 2 * drop + rows<Setting>(2 * adapted + 4 * ranks + In) +
                                          values<Setting>(lora_a{}) + values<Setting>(lora_b{}) +
                                          gradient<Setting>(lora_a{}) + gradient<Setting>(lora_b{})};
        workload const through{.products = twice_rows * In * Out,
                               .bytes = rows<Setting>(In + Out) + values<Setting>(weight{})};
        workload const of_magnitude{.bytes = has_magnitude ? rows<Setting>(2 * adapted + 2 * Out) + scales +
                                                                 gradient<Setting>(magnitude{})
                                                           : 0};
        workload const lengths{
            .products = 2 * ranks * In * Out,
            .bytes = (columns::blocks + 1) * values<Setting>(weight{}) + values<Setting>(lora_a{}) +
                     values<Setting>(lora_b{}) + 2 * scales +
                     2 * ranks * Out * static_cast<index_t>(sizeof(typename Setting::statistic))};
        return {.forward = low + rest + workload{.bytes = rows<Setting>(Out)},
                .backward = of_magnitude + gradients + through,
                .save = has_magnitude ? low + rest : low,
                .refresh = has_magnitude ? lengths : workload{}};
    }

    template <class Call, class X, class Y>
    static void forward(Call const& call, X x, Y y) {
        save_low_rank(call, x);
        auto* const scratch = call.workspace() + dropped_bytes<typename Call::setting>();
        auto const base = product{x, transposed{call.operand(weight{})}};
        auto const update =
            product{low_rank_of(call, x.rows),
                    block_diagonal<typename Call::weight_type, ranges, rank>{call.value(lora_b{})}};
        auto const to = biased(call, y);
        if constexpr (has_magnitude)
            ops::matmul(
                call.on, scratch,
                kernels::stored_and_scaled{
                    matrix<typename Call::setting::activation, Out>{call.saved(direction{}), x.rows},
                    static_cast<typename Call::setting::statistic const*>(call.derived(direction_scale{})),
                    to},
                base, update);
        else ops::matmul(call.on, scratch, to, base, update);
    }

    /// What backward reads of forward, when a block runs again and nobody needs its output.
    template <class Call, class X>
    static void save(Call const& call, X x) {
        if constexpr (has_magnitude) forward(call, x, discarded<Out>{});
        else save_low_rank(call, x);
    }

    template <class Call, class X, class Y, class DY, class DX>
    static void backward(Call const& call, X x, Y, DY dy, DX dx) {
        using setting = typename Call::setting;
        auto* const memory = call.workspace();
        auto* const d_ax = reinterpret_cast<typename setting::activation*>(memory + dropped_bytes<setting>());
        auto* const directions = memory + dropped_bytes<setting>() + low_rank_bytes<setting>();
        auto* const scratch = directions + direction_bytes<setting>();
        auto const dz = direction_gradient(call, dy, directions, scratch);
        for_each_block([&]<index_t First, index_t Count, index_t K, index_t Stacked>() {
            auto const d_block = dz.template columns<First, Count>();
            ops::matmul(
                call.on, d_block,
                matrix<typename Call::weight_type const, rank>{call.value(lora_b{}) + Stacked * rank, Count},
                scratch,
                scaled{written<typename setting::activation, rank, ranks>{{d_ax + K, x.rows}}, scale});
            ops::matmul(call.on, transposed{d_block}, low_rank_of(call, x.rows).template columns<K, rank>(),
                        scratch,
                        accumulated<typename Call::gradient_type, rank>{
                            {call.gradient(lora_b{}) + Stacked * rank, Count}});
        });
        auto const d_low = matrix<typename setting::activation const, ranks>{d_ax, x.rows};
        ops::matmul(call.on, transposed{d_low}, dropped(call, x, memory), scratch,
                    accumulated<typename Call::gradient_type, In>{{call.gradient(lora_a{}), ranks}});
        auto const base = product{dz, call.operand(weight{})};
        auto const update = product{d_low, a_of(call)};
        if constexpr (drops) {
            if (call.draws) {
                auto* const through = reinterpret_cast<typename setting::activation*>(memory);
                ops::matmul(call.on, scratch,
                            ops::bound<kernels::store_kept<In>>(call.draws, through, dropout), update);
                ops::matmul(call.on, scratch,
                            with_addend<DX, typename setting::activation>{dx, {through, x.rows}}, base);
                return;
            }
        }
        ops::matmul(call.on, scratch, dx, base, update);
    }

    /// After parameters have changed: the lengths of the rows, and what the magnitudes make of them.
    template <class Call>
    static void refresh(Call const& call) {
        if constexpr (has_magnitude) {
            using S = typename Call::setting::statistic;
            auto* const inverse = call.derived(inverse_length{});
            auto* const scales = call.derived(direction_scale{});
            ops::for_each_element(call.on, Out, ops::bound<kernels::set_to_one>(inverse, scales));
            auto* const aw =
                reinterpret_cast<S*>(call.workspace());  // (rank, Out) of one block after the other
            auto* const scratch = call.workspace() + lengths_bytes<typename Call::setting>();
            for_each_block([&]<index_t First, index_t Count, index_t K, index_t Stacked>() {
                auto const* const a = call.value(lora_a{}) + K * In;
                auto const* const b = call.value(lora_b{}) + Stacked * rank;
                auto const* const m = call.value(magnitude{}) + Stacked;
                ops::matmul(call.on, matrix<typename Call::weight_type const, In>{a, rank},
                            transposed{call.operand(weight{})}, scratch, written<S, Out>{{aw, rank}});
                auto* const squares = aw + rank * Out;  // A Aᵀ
                ops::for_each_row<In>(call.on, rank,
                                      ops::bound<kernels::products_of_rows<S, rank, In>>(a, squares));
                ops::for_each_row<In>(
                    call.on, Count,
                    ops::bound<kernels::length_of_row<S, rank, In, Out>>(
                        call.operand(weight{}), First, b, m, aw, squares, inverse, scales, scale));
            });
        }
    }

    /// When the base weights are new: every magnitude is the length that its row has, so that the update changes nothing yet.
    static constexpr bool starts = has_magnitude;
    template <class Call, class Put>
    static void start(Call const& call, Put const& put_magnitude) {
        for_each_block([&]<index_t First, index_t Count, index_t, index_t Stacked>() {
            auto const* const inverse = call.derived(inverse_length{});
            for (index_t j = 0; j < Count; ++j)
                put_magnitude(magnitude{}, Stacked + j, 1 / inverse[First + j]);
        });
    }

    /// Row j of the weight as fp32, which gets the update; the bias is as it was.
    template <class Call, class Parameter>
    static void merged_row(Call const& call, Parameter, index_t j, std::span<float> row) {
        if constexpr (std::is_same_v<Parameter, weight>) {
            for_each_block([&]<index_t First, index_t Count, index_t K, index_t Stacked>() {
                if (j < First || j >= First + Count) return;
                auto const* const b = call.value(lora_b{}) + (Stacked + j - First) * rank;
                auto const* const a = call.value(lora_a{}) + K * In;
                for (index_t k = 0; k < rank; ++k) {
                    auto const factor = static_cast<float>(scale) * static_cast<float>(b[k]);
                    for (index_t c = 0; c < In; ++c)
                        row[static_cast<std::size_t>(c)] += factor * static_cast<float>(a[k * In + c]);
                }
            });
            if constexpr (has_magnitude)
                for (auto& value : row) value *= static_cast<float>(call.derived(direction_scale{})[j]);
        }
    }

  private:
    template <class Call, class X>
    static void save_low_rank(Call const& call, X x) {
        ops::matmul(
            call.on, dropped(call, x, call.workspace()), transposed{a_of(call)},
            call.workspace() + dropped_bytes<typename Call::setting>(),
            scaled{written<typename Call::setting::activation, ranks>{{call.saved(low_rank{}), x.rows}},
                   scale});
    }

    /// f<first column, columns, first rank, first stacked column>() for every block.
    template <class F>
    static void for_each_block(F const& f) {
        [&]<std::size_t... I>(std::index_sequence<I...>) {
            (f.template operator()<columns::first[I], columns::count[I], static_cast<index_t>(I) * rank,
                                   stacked_before(I)>(),
             ...);
        }
        (std::make_index_sequence<static_cast<std::size_t>(columns::blocks)>{});
    }
    static constexpr index_t stacked_before(std::size_t block) {
        index_t total = 0;
        for (std::size_t i = 0; i < block; ++i) total += columns::count[i];
        return total;
    }

    template <class Call>
    static auto a_of(Call const& call) {
        return matrix<typename Call::weight_type const, In>{call.value(lora_a{}), ranks};
    }
    template <class Call>
    static auto low_rank_of(Call const& call, index_t rows) {
        return matrix<typename Call::setting::activation const, ranks>{call.saved(low_rank{}), rows};
    }

    /// y, or y with the bias added.
    template <class Call, class Y>
    static auto biased(Call const& call, Y y) {
        if constexpr (Bias) return with_bias{y, call.value(bias{})};
        else return y;
    }

    /// x, or in training with dropout a copy with the mask on it, in `memory`.
    template <class Call, class X>
    static auto dropped(Call const& call, X x, [[maybe_unused]] std::byte* memory) {
        using element = typename Call::setting::activation;
        matrix<element const, In> result{x.data, x.rows};
        if constexpr (drops) {
            if (call.draws) {
                auto* const to = reinterpret_cast<element*>(memory);
                ops::for_each_row<In>(call.on, x.rows,
                                      ops::bound<kernels::drop_row<In>>(
                                          call.draws, x, to, typename Call::setting::statistic(0), dropout));
                result.data = to;
            }
        }
        return result;
    }

    /// The gradient before the magnitude, and the magnitude's own.
    template <class Call, class DY>
    static auto direction_gradient(Call const& call, DY dy, [[maybe_unused]] std::byte* memory,
                                   [[maybe_unused]] std::byte* scratch) {
        using setting = typename Call::setting;
        using element = typename setting::activation;
        matrix<element const, Out> result{dy.data, dy.rows};
        if constexpr (has_magnitude) {
            using S = typename setting::statistic;
            auto const* const scales = call.derived(direction_scale{});
            auto const* const inverse = call.derived(inverse_length{});
            auto const* const z = call.saved(direction{});
            for_each_block([&]<index_t First, index_t Count, index_t, index_t Stacked>() {
                ops::add_column_sums(call.on, dy.rows, Count, scratch, call.gradient(magnitude{}) + Stacked,
                                     ops::bound<kernels::magnitude_gradient<Out>>(
                                         dy.template columns<First, Count>(), z + First,
                                         static_cast<S const*>(inverse + First)));
            });
            auto* const to = reinterpret_cast<element*>(memory);
            ops::for_each_row<Out>(call.on, dy.rows,
                                   ops::bound<kernels::scale_row>(dy, static_cast<S const*>(scales),
                                                                  written<element, Out>{{to, dy.rows}}));
            result.data = to;
        }
        return result;
    }

    template <class Setting>
    static constexpr index_t products(index_t wide, index_t deep) {
        return ops::matmul_workspace_with<Scheme, Setting>(wide, deep);
    }
    template <class Setting>
    static constexpr index_t plain_products(index_t wide, index_t deep) {
        return ops::matmul_workspace_with<quantization::none, Setting>(wide, deep);
    }
    template <class Setting>
    static constexpr index_t elements(index_t count) {
        return round_up(count * static_cast<index_t>(sizeof(typename Setting::activation)), 64);
    }
    template <class Setting>
    static constexpr index_t dropped_bytes() {
        return drops ? elements<Setting>(Setting::rows * In) : 0;
    }
    template <class Setting>
    static constexpr index_t low_rank_bytes() {
        return elements<Setting>(Setting::rows * ranks);
    }
    template <class Setting>
    static constexpr index_t direction_bytes() {
        return has_magnitude ? elements<Setting>(Setting::rows * Out) : 0;
    }
    template <class Setting>
    static constexpr index_t sums_bytes() {
        index_t most = 0;
        if constexpr (has_magnitude)
            for (auto const count : columns::count)
                most = std::max(
                    most, ops::column_sums_workspace<typename Setting::backend, typename Setting::gradient>(
                              Setting::rows, count));
        return most;
    }
    template <class Setting>
    static constexpr index_t lengths_bytes() {
        return round_up(
            (rank * Out + rank * rank) * static_cast<index_t>(sizeof(typename Setting::statistic)), 64);
    }
};

}  // namespace snug::SNUG_TARGET
