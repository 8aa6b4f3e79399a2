// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <algorithm>
#include <cmath>
#include <cstring>
#include <functional>
#include <snug/engine/collect.hpp>
#include <snug/engine/diagnose.hpp>
#include <snug/engine/finite.hpp>
#include <snug/engine/options.hpp>
#include <snug/engine/quantize.hpp>
#include <snug/engine/refresh.hpp>
#include <snug/engine/store.hpp>
#include <snug/engine/verdicts.hpp>
#include <snug/io/snapshot.hpp>
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

template <class Sharding, bool IsSharded>
struct spans_of_a_sharded_trainer {
    static_assert(
        !IsSharded,
        "snug: weights(), stored() and gradients() hand out the trainer's memory, and of a sharded one (see "
        "Sharding) that is in pieces, on several ranks. Use copy_of_weights(), copy_of_stored(), "
        "copy_of_gradients(), set_weights() and set_stored() on all ranks");
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
array_bytes weights_named(std::string_view name) {
    auto const p = plain_parameter_named(C::parameter_table.entries, name);
    return {C::weight(p), C::entry(p).count * index_t{sizeof(typename C::precision::weight)},
            C::entry(p).copies};
}
template <class C>
array_bytes stored_named(std::string_view name) {
    auto const p = quantized_parameter_named(C::parameter_table.entries, name);
    return {C::weight(p), C::entry(p).stored_bytes, C::entry(p).copies};
}
template <class C>
array_bytes gradients_named(std::string_view name) {
    using gradient = typename C::precision::gradient;
    auto const p = parameter_named(C::parameter_table.entries, name);
    if (!C::entry(p).is_trained()) return {};
    array_bytes result{C::gradient(p), C::entry(p).count * index_t{sizeof(gradient)}, C::entry(p).copies};
    if constexpr (C::reduces_each_micro_batch) {
        // A rank that has room for all has added up its share so far.
        auto const group = static_cast<std::size_t>(C::groups.members[static_cast<std::size_t>(p)].group);
        result.share = C::groups.groups[group].count / C::shards * index_t{sizeof(gradient)};
    }
    return result;
}

/// All copies in the trainer's own memory.
template <class T, class C>
std::span<T> in_place(store<C> const& s, array_bytes const& array) {
    static_assert(sizeof(refusal::the_memory_of_a_device_is_not_the_programs<typename C::backend>) > 0);
    static_assert(sizeof(refusal::spans_of_a_sharded_trainer<typename C::sharding, C::is_sharded>) > 0);
    return {s.template at<T>(array.where), array.total() / sizeof(T)};
}
/// A copy of the array that `find()` names, on any backend. `IsCollected`: ranks hold shares of such arrays, so all
/// of them ask, and get all of it.
template <class T, bool IsCollected, class C, class F>
std::vector<T> copied(store<C> const& s, F const& find) {
    array_bytes array;
    if constexpr (IsCollected) {
        together(s, "agreement on a copy", [&] { array = find(); });
        require_same(s, "another parameter", [&] {
            auto const& where = array.where;
            return distributed::fnv1a().add(where.declaration).add(where.offset).add(array.size).value();
        });
    } else {
        array = find();
    }
    std::vector<T> result(array.total() / sizeof(T));
    auto* to = reinterpret_cast<std::byte*>(result.data());
    collect(s, s.view(), array, audience::everybody, [&](std::span<std::byte const> bytes) {
        ops::copy_out(s.on(), to, bytes.data(), bytes.size());
        to += bytes.size();
    });
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
    return copied<typename C::precision::weight, C::gathers_weights>(s,
                                                                     [&] { return weights_named<C>(name); });
}
template <class C>
auto copied_stored(store<C> const& s, std::string_view name) {
    return copied<std::byte, C::gathers_weights>(s, [&] { return stored_named<C>(name); });
}
template <class C>
auto copied_gradients(store<C> const& s, std::string_view name) {
    return copied<typename C::precision::gradient, C::reduces_each_micro_batch>(
        s, [&] { return gradients_named<C>(name); });
}

/// Values from outside become those of the array that `find()` names, once `check()` has not refused them. All ranks
/// are given the same, and keep what they hold.
template <class T, class C, class Check, class Find>
void replace(store<C>& s, std::string_view name, std::span<T const> values, Check const& check,
             Find const& find) {
    array_bytes array;
    together(s, "agreement on weights", [&] {
        check();
        array = find();
        if (array.total() != values.size_bytes())
            throw error({{}, -1, std::string(name)}, std::to_string(values.size()) + " values",
                        std::to_string(array.total() / sizeof(T)) + ", as this trainer was compiled for");
    });
    require_same(s, "other weights", [&] {
        return distributed::fnv1a().add(name).add(io::checksum::of(std::as_bytes(values))).value();
    });
    auto const* const from = reinterpret_cast<std::byte const*>(values.data());
    for_each_own_part(s.view(), array, [&](std::byte* to, index_t first, std::size_t size) {
        ops::copy_in(s.on(), to, from + first, size);
    });
    refresh_master(s, parameter_named(C::parameter_table.entries, name));
    clear_gradients(s);  // they were those of other weights
    refresh_derived(s);
}

template <class C>
void replace_weights(store<C>& s, std::string_view name,
                     std::span<typename C::precision::weight const> values, load_options const& allowed) {
    auto const check = [&] {
        for (std::size_t i = 0; i < values.size(); ++i)
            if (auto const value = kernels::as_double(values[i]);
                !allowed.allow_not_finite && !std::isfinite(value))
                throw error({{}, -1, std::string(name)}, element_as_text(value, static_cast<index_t>(i)),
                            "finite weights");
    };
    replace(s, name, values, check, [&] { return weights_named<C>(name); });
}

template <class C>
void replace_stored(store<C>& s, std::string_view name, std::span<std::byte const> bytes) {
    auto const check_as = [&]<class Parameter>(Parameter) {
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
    };
    auto const check = [&] {
        with_quantized<C>(quantized_parameter_named(C::parameter_table.entries, name), check_as);
    };
    replace(s, name, bytes, check, [&] { return stored_named<C>(name); });
}

/// Without a look at every number where the program is.
template <class T, class C>
bool is_finite(store<C> const& s, region where, int p) {
    auto* const count = &s.numbers()->not_finite;
    ops::for_each_element(s.on(), 1, ops::bound<kernels::set_to_zero>(count));
    s.template for_each_stretch<T>(where, p, [&](std::span<T> values, index_t) {
        ops::add_sum(s.on(), static_cast<index_t>(values.size()),
                     s.template at<double>(C::places.partial_sums), count,
                     ops::bound<kernels::is_not_finite>(static_cast<T const*>(values.data())));
    });
    return s.found().not_finite == 0;
}

/// After weights were changed from outside: what follows them.
template <class C>
void follow_weights(store<C>& s) {
    static_assert(sizeof(refusal::spans_of_a_sharded_trainer<typename C::sharding, C::is_sharded>) > 0);
    using weight = typename C::precision::weight;
    for (int p = 0; p < C::parameters; ++p) {
        auto const& entry = C::entry(p);
        if (entry.is_quantized() || entry.is_derived() || is_finite<weight>(s, C::weight(p), p)) continue;
        for_each_number<weight>(s, C::weight(p), p, [&](index_t i, double value) {
            if (std::isfinite(value)) return false;
            throw error(place_of(entry, i), element_as_text(value, i % entry.count), "finite weights");
        });
    }
    for (int p = 0; p < C::parameters; ++p) refresh_master(s, p);
    refresh_derived(s);
}

}  // namespace engine
}  // namespace snug::SNUG_TARGET
