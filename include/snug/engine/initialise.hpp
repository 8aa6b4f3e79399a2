// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <snug/engine/bring.hpp>
#include <snug/engine/host_view.hpp>
#include <snug/engine/quantize.hpp>
#include <snug/engine/refresh.hpp>
#include <snug/engine/store.hpp>
#include <snug/kernels/elements.hpp>
#include <snug/layers/hooks.hpp>
#include <snug/ops/for_each_element.hpp>

namespace snug::SNUG_TARGET::refusal {

template <class Composition>
struct to_run_a_trainer_include_snug_snug_hpp {};

}  // namespace snug::SNUG_TARGET::refusal

/// The model as its layers say that it begins, every element a function of the seed, its parameter and its
/// index.
namespace snug::SNUG_TARGET::engine {

template <class Parameter, class C>
void initialise_plain(store<C>& s, int p, std::uint64_t seed) {
    using kernel = kernels::initialise<typename Parameter::initial, typename C::precision::statistic>;
    using updated = typename C::updated;
    auto const put = [&](index_t first, auto values, updated* masters) {
        ops::for_each_element(
            s.on(), static_cast<index_t>(values.size()),
            ops::bound<kernel>(seed, static_cast<std::uint64_t>(p), first, values.data(), masters));
    };
    bool const together = part_of(C::weight(p)) == part_of(C::master(p));
    s.template for_each_stretch<typename C::precision::weight>(
        C::weight(p), p, [&](auto values, index_t first) {
            put(first, values, together ? s.view().template in<updated>(C::master(p), p, first) : nullptr);
        });
    if (!together)
        s.template for_each_stretch<updated>(C::master(p), p, [&](auto values, index_t first) {
            put(first, values, static_cast<updated*>(nullptr));
        });
}

template <class Parameter, class C>
void initialise_quantized(host_view<C> const& here, int p, std::uint64_t seed) {
    using kernel = kernels::initialise<typename Parameter::initial, double>;
    auto* const values = here.template at<float>(C::places.quantization_source);
    for (index_t copy = 0; copy < C::entry(p).copies; ++copy) {
        ops::for_each_element(
            here.on(), Parameter::shape::count,
            ops::bound<kernel>(seed, static_cast<std::uint64_t>(p), copy * Parameter::shape::count, values,
                               static_cast<float*>(nullptr)));
        store_quantized<Parameter>(here, p, copy, values);
    }
}

/// After new base weights: what an adapter takes from them.
template <class C>
void start_adapters(store<C>& s) {
    refresh_derived(s);
    bool is_needed = false;
    for_each_leaf(s.view(), s.on(), [&]<class Node>(auto const&, index_t) {
        is_needed |= layer::says_start<typename Node::type>;
    });
    if (!is_needed) return;
    {
        host_view<C> const here(s);
        auto const start = [&here]<class Node>(auto const& call, index_t block) {
            using L = typename Node::type;
            auto const put = [&]<class Parameter>(Parameter, index_t i, auto value) {
                using parameters = layer::parameters<L>;
                static_assert(meta::contains<parameters, Parameter> && !is_quantized<Parameter> &&
                                  !is_derived<Parameter>,
                              "snug: what a layer's 'start' puts is a parameter that it declares");
                auto const p = Node::first_parameter + static_cast<int>(meta::find<parameters, Parameter>);
                using weight = typename C::precision::weight;
                auto const at = block * Parameter::shape::count + i;
                if (auto* const to = here.view().template find<weight>(C::weight(p), p, at))
                    *to = static_cast<weight>(value);
                if constexpr (C::has_master && layer::trains<L, Parameter>)
                    if (auto* const to = here.view().template find<typename C::updated>(C::master(p), p, at))
                        *to = static_cast<typename C::updated>(value);
            };
            layer::start<L>(call, put);
        };
        if constexpr (!C::gathers_weights) {
            for_each_leaf(here.view(), {}, start);
        } else if constexpr (in_program_memory<typename C::backend>) {
            for_each_leaf(s, start);
        } else {
            bringing_of_layers<C> bring(s, here, audience::everybody);
            for_each_leaf(here.view(), {}, [&]<class Node>(auto const& call, index_t block) {
                bring(Node::first_parameter, block);
                start.template operator()<Node>(call, block);
            });
        }
        here.write_back();
    }
    refresh_derived(s);
}

template <class C>
void initialise(store<C>& s, std::uint64_t seed) {
    if constexpr (!std::is_same_v<typename C::quantization, quantization::none>) {
        host_view<C> const here(s);
        for_each_parameter<C>([&]<class Parameter>(int p, Parameter) {
            if constexpr (is_quantized<Parameter>) initialise_quantized<Parameter>(here, p, seed);
        });
        here.write_back();
    }
    for_each_parameter<C>([&]<class Parameter>(int p, Parameter) {
        if constexpr (!is_quantized<Parameter> && !is_derived<Parameter>)
            initialise_plain<Parameter>(s, p, seed);
    });
    clear_states(s);
    start_adapters(s);
}

}  // namespace snug::SNUG_TARGET::engine
