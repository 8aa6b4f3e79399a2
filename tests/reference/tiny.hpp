// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "fixture.hpp"

#include <cmath>
#include <cstdint>
#include <snug/snug.hpp>
#include <string>
#include <vector>

/// The models of the fixtures, and what tests do with fixtures.
namespace tiny {

using namespace snug;

using gpt2 = models::gpt2<layers<2>, heads<4>, width<48>, vocabulary<97>, context<16>>;
using llama =
    models::llama<layers<2>, heads<4>, kv_heads<2>, width<48>, mlp<128>, vocabulary<97>, context<16>>;
using llama_tied = models::llama<layers<2>, heads<4>, kv_heads<2>, width<48>, mlp<128>, vocabulary<97>,
                                 context<16>, tied_head<1>>;

inline snug_test::fixture fixture_named(std::string const& name) {
    return snug_test::fixture(std::string(SNUG_TEST_DATA) + "/" + name + ".fixture");
}

template <class Run, class F>
void for_each_tensor(F&& f) {
    for (auto const& entry : Run::composition::parameter_table.entries)
        if (!entry.is_derived())
            for (snug::index_t copy = 0; copy < entry.copies; ++copy) f(entry, copy, entry.full_name(copy));
}
template <class Run, class F>
void for_each_trained_tensor(F&& f) {
    for_each_tensor<Run>([&](auto const& entry, snug::index_t copy, std::string const& name) {
        if (entry.is_trained()) f(entry, copy, name);
    });
}

template <class Values>
auto copy_of(Values values, parameter_entry const& entry, snug::index_t copy) {
    return values.subspan(static_cast<std::size_t>(copy * entry.count),
                          static_cast<std::size_t>(entry.count));
}

inline std::vector<std::int32_t> integers(snug_test::tensor const& tensor, std::size_t first,
                                          std::size_t count) {
    std::vector<std::int32_t> result(count);
    for (std::size_t i = 0; i < count; ++i) result[i] = static_cast<std::int32_t>(tensor.values[first + i]);
    return result;
}

/// Largest difference relative to the largest magnitude of the reference; of a reference of zeros, as it is.
template <class Values>
double difference(Values const& found, double const* expected, std::size_t count) {
    double largest = 0, apart = 0;
    for (std::size_t i = 0; i < count; ++i) {
        largest = std::max(largest, std::abs(expected[i]));
        apart = std::max(apart, std::abs(static_cast<double>(found[i]) - expected[i]));
    }
    return largest == 0 ? apart : apart / largest;
}

}  // namespace tiny
