// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <array>
#include <snug/layers/tables.hpp>
#include <snug/memory/declaration.hpp>
#include <snug/optimizers/optimizer.hpp>
#include <string_view>
#include <type_traits>

namespace snug::SNUG_TARGET::engine {

/// Where the numbers of one parameter lie. What it does not have (a frozen parameter its gradient) lies
/// nowhere.
template <std::size_t States>
struct parameter_places {
    region weight{};
    region master{};
    region gradient{};
    std::array<region, States> states{};
};

/// The places of all parameters of a composition, and what else it declares.
template <std::size_t Parameters, std::size_t States>
struct layout {
    std::array<parameter_places<States>, Parameters> parameters{};
    int first_buffer = 0;  ///< the declaration of the model's first buffer; the others follow
    region partial_sums{};
    region numbers{};
    region quantization_source{};
    region pages{};
    int declarations = 0;
};

/// A state of an optimizer for every element of a parameter: its declaration.
template <class State>
constexpr declaration declare_state(parameter_entry const& entry, space where) {
    auto const name = entry.name / State::name.view();
    if constexpr (may_be_in_blocks<State>)
        if (is_in_blocks<State>(entry.count)) {
            using block = typename State::block;
            return declare<block>(name, optimizers::units_for<block>(entry.count), entry.copies,
                                  role::optimizer_state, lifetime::always(), where);
        }
    return declare<typename State::element>(name, entry.count, entry.copies, role::optimizer_state,
                                            lifetime::always(), where);
}

/// Declares, through add(declaration), which gives the region that it became, what every parameter has: all
/// weights first, then master copies, gradients and states, so that each lies beside its like.
template <class Precision, class Optimizer, std::size_t N, std::size_t States, class Add>
constexpr void place_parameters(std::array<parameter_entry, N> const& entries,
                                std::array<parameter_places<States>, N>& places, Add const& add) {
    auto const as = []<class T>(std::type_identity<T>, parameter_entry const& entry, role line,
                                std::string_view suffix) {
        return declare<T>(entry.name / suffix, entry.count, entry.copies, line);
    };
    using weight = std::type_identity<typename Precision::weight>;
    using statistic = std::type_identity<typename Precision::statistic>;
    for (std::size_t p = 0; p < N; ++p) {
        auto const& entry = entries[p];
        places[p].weight = add(entry.is_quantized() ? declare<std::byte>(entry.name, entry.stored_bytes,
                                                                         entry.copies, role::weight)
                               : entry.is_derived() ? as(statistic{}, entry, role::weight, "")
                                                    : as(weight{}, entry, role::weight, ""));
    }
    if constexpr (!std::is_void_v<typename Precision::master>)
        for (std::size_t p = 0; p < N; ++p)
            if (entries[p].is_trained())
                places[p].master = add(as(std::type_identity<typename Precision::master>{}, entries[p],
                                          role::master_weight, "master"));
    for (std::size_t p = 0; p < N; ++p)
        if (entries[p].is_trained())
            places[p].gradient = add(as(std::type_identity<typename Precision::gradient>{}, entries[p],
                                        role::gradient, "gradient"));
    std::size_t which = 0;
    meta::for_each<typename Optimizer::states>([&]<class State>(State) {
        for (std::size_t p = 0; p < N; ++p)
            if (entries[p].is_trained())
                places[p].states[which] = add(declare_state<State>(
                    entries[p], pages_states<Optimizer> ? space::host_memory : space::device_memory));
        ++which;
    });
}

}  // namespace snug::SNUG_TARGET::engine
