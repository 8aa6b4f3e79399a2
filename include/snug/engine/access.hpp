// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <algorithm>
#include <cmath>
#include <cstring>
#include <functional>
#include <snug/engine/diagnose.hpp>
#include <snug/engine/finite.hpp>
#include <snug/engine/options.hpp>
#include <snug/engine/quantize.hpp>
#include <snug/engine/refresh.hpp>
#include <snug/engine/store.hpp>
#include <snug/ops/add_sum.hpp>
#include <snug/ops/copy.hpp>
#include <snug/ops/for_each_element.hpp>
#include <span>
#include <string>
#include <string_view>
#include <vector>

/// Weights and gradients by name.
namespace snug::SNUG_TARGET {

namespace refusal {

template <class Backend>
struct the_memory_of_a_device_is_not_the_programs {
    static_assert(
        in_program_memory<Backend>,
        "snug: weights(), stored() and gradients() hand out the trainer's memory, and this one's is "
        "a device's (see Backend). Use copy_of_weights(), copy_of_stored(), copy_of_gradients(), "
        "set_weights() and set_stored()");
};

}  // namespace refusal

namespace engine {

/// The number of the parameter called so. Throws `snug::error`, with the names that are most like it, when
/// there is none.
inline int parameter_named(std::span<parameter_entry const> entries, std::string_view name) {
    for (std::size_t p = 0; p < entries.size(); ++p)
        if (entries[p].name.view() == name) return static_cast<int>(p);
    std::vector<std::string_view> names;
    for (auto const& entry : entries) names.push_back(entry.name.view());
    std::ranges::stable_sort(names, std::ranges::greater{},
                             [&](auto const& other) { return detail::likeness(other, name); });
    std::string closest;
    for (std::size_t i = 0; i < std::min<std::size_t>(names.size(), 3); ++i)
        if (detail::likeness(names[i], name) * 2 > name.size())
            (closest += closest.empty() ? "; the closest are " : ", ") += names[i];
    throw error({}, "no parameter called " + std::string(name),
                "one of the " + std::to_string(names.size()) + " parameters of the model" +
                    (closest.empty() ? ", such as " + std::string(entries[0].name.view()) : closest));
}

/// One that is stored as numbers of the precision's weight type.
inline int plain_parameter_named(std::span<parameter_entry const> entries, std::string_view name) {
    auto const p = parameter_named(entries, name);
    auto const& entry = entries[static_cast<std::size_t>(p)];
    if (entry.is_quantized())
        throw error({{}, -1, std::string(name)}, "a quantized parameter", "another one; see stored()");
    if (entry.is_derived())
        throw error({{}, -1, std::string(name)}, "a derived parameter",
                    "one that is not computed from others");
    return p;
}

inline int quantized_parameter_named(std::span<parameter_entry const> entries, std::string_view name) {
    auto const p = parameter_named(entries, name);
    if (!entries[static_cast<std::size_t>(p)].is_quantized())
        throw error({{}, -1, std::string(name)}, "a parameter that is not quantized",
                    "a quantized one; see weights()");
    return p;
}

template <class C>
region weights_named(std::string_view name) {
    return C::weight(plain_parameter_named(C::parameter_table.entries, name));
}
template <class C>
region stored_named(std::string_view name) {
    return C::weight(quantized_parameter_named(C::parameter_table.entries, name));
}
template <class C>
region gradients_named(std::string_view name) {
    return C::gradient(parameter_named(C::parameter_table.entries, name));
}

/// All copies of a region in the trainer's own memory.
template <class T, class C>
std::span<T> in_place(store<C> const& s, region where) {
    static_assert(sizeof(refusal::the_memory_of_a_device_is_not_the_programs<typename C::backend>) > 0);
    return s.template elements<T>(where);
}
/// A copy of them, on any backend.
template <class T, class C>
std::vector<T> copied(store<C> const& s, region where) {
    auto const from = s.template elements<T>(where);
    std::vector<T> result(from.size());
    ops::copy_out(s.on(), result.data(), from.data(), from.size_bytes());
    return result;
}

template <class C>
auto view_of_weights(store<C> const& s, std::string_view name) {
    return in_place<typename C::precision::weight>(s, weights_named<C>(name));
}
template <class C>
auto view_of_stored(store<C> const& s, std::string_view name) {
    return in_place<std::byte>(s, stored_named<C>(name));
}
template <class C>
auto view_of_gradients(store<C> const& s, std::string_view name) {
    return in_place<typename C::precision::gradient>(s, gradients_named<C>(name));
}
template <class C>
auto copied_weights(store<C> const& s, std::string_view name) {
    return copied<typename C::precision::weight>(s, weights_named<C>(name));
}
template <class C>
auto copied_stored(store<C> const& s, std::string_view name) {
    return copied<std::byte>(s, stored_named<C>(name));
}
template <class C>
auto copied_gradients(store<C> const& s, std::string_view name) {
    return copied<typename C::precision::gradient>(s, gradients_named<C>(name));
}

/// After the weights of parameter p were replaced from outside by finite ones.
template <class T, class C>
void replace(store<C>& s, int p, std::span<T const> values) {
    auto const to = s.template elements<T>(C::weight(p));
    if (to.size() != values.size())
        throw error({{}, -1, std::string(C::entry(p).name.view())}, std::to_string(values.size()) + " values",
                    std::to_string(to.size()) + ", as this trainer was compiled for");
    ops::copy_in(s.on(), to.data(), values.data(), values.size_bytes());
    refresh_master(s, p);
    clear_gradients(s);  // they were those of other weights
    refresh_derived(s);
}

template <class C>
void replace_weights(store<C>& s, std::string_view name,
                     std::span<typename C::precision::weight const> values, load_options const& allowed) {
    for (std::size_t i = 0; i < values.size(); ++i)
        if (auto const value = kernels::as_double(values[i]);
            !allowed.allow_not_finite && !std::isfinite(value))
            throw error({{}, -1, std::string(name)}, element_as_text(value, static_cast<index_t>(i)),
                        "finite weights");
    replace(s, plain_parameter_named(C::parameter_table.entries, name), values);
}

template <class C>
void replace_stored(store<C>& s, std::string_view name, std::span<std::byte const> bytes) {
    auto const p = quantized_parameter_named(C::parameter_table.entries, name);
    with_quantized<C>(p, [&]<class Parameter>(Parameter) {
        arena const beside({Parameter::stored_bytes});  // a scheme reads aligned memory
        auto const size = static_cast<std::size_t>(Parameter::stored_bytes);
        for (std::size_t first = 0; first + size <= bytes.size(); first += size) {
            std::memcpy(beside.data(), bytes.data() + first, size);
            auto const [i, value] = first_not_finite_stored<Parameter>(s.on_host(), beside.data());
            if (i < Parameter::shape::count)
                throw error({{}, -1, std::string(name)},
                            "bytes that the quantization scheme reads as " +
                                element_as_text(
                                    value, i + static_cast<index_t>(first / size) * Parameter::shape::count),
                            "finite weights");
        }
    });
    replace(s, p, bytes);
}

/// Without a look at every number where the program is.
template <class T, class C>
bool is_finite(store<C> const& s, region where) {
    auto const values = s.template elements<T>(where);
    auto* const count = &s.numbers()->not_finite;
    ops::for_each_element(s.on(), 1, ops::bound<kernels::set_to_zero>(count));
    ops::add_sum(s.on(), static_cast<index_t>(values.size()), s.template at<double>(C::places.partial_sums),
                 count, ops::bound<kernels::is_not_finite>(static_cast<T const*>(values.data())));
    return s.found().not_finite == 0;
}

/// After weights were changed from outside: what follows them.
template <class C>
void follow_weights(store<C>& s) {
    using weight = typename C::precision::weight;
    for (int p = 0; p < C::parameters; ++p) {
        auto const& entry = C::entry(p);
        if (entry.is_quantized() || entry.is_derived() || is_finite<weight>(s, C::weight(p))) continue;
        for_each_number<weight>(s, C::weight(p), [&](index_t i, double value) {
            if (std::isfinite(value)) return false;
            throw error(place_of(entry, i), element_as_text(value, i % entry.count), "finite weights");
        });
    }
    for (int p = 0; p < C::parameters; ++p) refresh_master(s, p);
    refresh_derived(s);
}

}  // namespace engine
}  // namespace snug::SNUG_TARGET
