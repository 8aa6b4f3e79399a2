// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <algorithm>
#include <snug/engine/composition.hpp>
#include <snug/memory/budget.hpp>

namespace snug::SNUG_TARGET {

/// What the blocks of T compute and backward reads, in the order in which it is computed: `block_value`s, with their names for
/// `checkpointing::keep`, their sizes, and how many blocks keep them. The input of each block is kept beside these. A constant.
///
///     for (auto const& value : snug::values<my_trainer>)
///         std::cout << value.name.view() << ' ' << value.size() << ", kept in " << value.kept << '\n';
template <class T>
inline constexpr auto values = [] {
    if constexpr (any_trainer<T>) {
        constexpr auto& found = detail::trainer_of<T>::composition::values;
        std::array<block_value, found.size> result{};
        std::copy_n(found.values.begin(), found.size, result.begin());
        return result;
    } else {
        (void)sizeof(detail::trainer_of<T>);  // refuses it
        return std::array<block_value, 0>{};
    }
}();

}  // namespace snug::SNUG_TARGET
