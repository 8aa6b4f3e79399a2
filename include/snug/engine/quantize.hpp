// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <snug/engine/store.hpp>
#include <snug/layers/layer.hpp>
#include <snug/ops/for_each_row.hpp>
#include <span>

namespace snug::SNUG_TARGET::engine {

/// f(p, parameter) for every parameter's number and type.
template <class C, class F>
void for_each_parameter(F const& f) {
    int p = 0;
    auto const visit = [&]<class Parameter>(Parameter parameter) { f(p++, parameter); };
    meta::for_each<typename layer::all_parameters_of<typename C::model::body>::type>(visit);
    meta::for_each<typename layer::all_parameters_of<typename C::model::head>::type>(visit);
}

/// f(a quantized parameter) of this number.
template <class C, class F>
void with_quantized(int wanted, F const& f) {
    for_each_parameter<C>([&]<class Parameter>(int p, Parameter parameter) {
        if constexpr (is_quantized<Parameter>)
            if (p == wanted) f(parameter);
    });
}

/// The values of one copy, row by row, as the parameter's scheme stores them, into memory aligned to 64.
/// `on`: a context of the program's own memory.
template <class Parameter, class Context>
void quantize(Context on, float const* values, std::byte* to) {
    Parameter::scheme::encode(std::span(values, static_cast<std::size_t>(Parameter::shape::count)),
                              Parameter::extent, to, [on](index_t count, auto const& body) {
                                  ops::for_each_row(on, count, [&body](auto, index_t i) { body(i); });
                              });
}

}  // namespace snug::SNUG_TARGET::engine
