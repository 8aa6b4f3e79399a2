// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <algorithm>
#include <cstring>
#include <snug/engine/host_view.hpp>
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

/// The same as a copy of parameter p: of a sharded one the part that this rank owns. It is made whole first, so that
/// no block of a scheme is ever cut.
template <class Parameter, class C>
void store_quantized(host_view<C> const& here, int p, index_t copy, float const* values) {
    auto const whole = C::weight_in_use(p);
    quantize<Parameter>(here.on(), values, here.template at<std::byte>(whole, C::is_gathered(p) ? 0 : copy));
    if (C::is_gathered(p)) {
        auto const position = C::groups.members[static_cast<std::size_t>(p)].position;
        auto const share = C::weight(p).share;
        auto const first = std::max(index_t{0}, here.view().shard() * share - position);
        auto const last = std::min(Parameter::stored_bytes, (here.view().shard() + 1) * share - position);
        if (first < last)
            std::memcpy(here.view().template at<std::byte>(C::weight(p), copy, first),
                        here.template at<std::byte>(whole) + first, static_cast<std::size_t>(last - first));
    }
}

}  // namespace snug::SNUG_TARGET::engine
