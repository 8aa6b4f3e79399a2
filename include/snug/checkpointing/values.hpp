// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <algorithm>
#include <array>
#include <snug/checkpointing/policies.hpp>
#include <snug/diagnose/bill.hpp>
#include <snug/error.hpp>
#include <snug/layers/keeping.hpp>
#include <snug/layers/repeat.hpp>
#include <snug/layers/tables.hpp>

/// What the blocks of a model compute and backward reads, by name.
namespace snug::SNUG_TARGET {

/// An activation inside a block, of all rows of a micro-batch.
struct block_value {
    path name{};  ///< in the block, after the layer that computes it: "qkv.output"
    std::string_view element{};
    index_t element_size = 1;
    index_t rows = 0;
    index_t width = 0;
    index_t blocks = 0;  ///< have it
    index_t kept = 0;    ///< of these keep it from forward to backward

    /// Of one block.
    constexpr bytes size() const { return {rows * width * element_size}; }
};

namespace refusal {

template <bool IsThere, class... Name>
struct a_value_that_checkpointing_keeps_is_in_no_block {
    static constexpr bool holds = IsThere;
    static_assert(
        holds,
        "snug: checkpointing::keep names a value that no block of the model has (see Name, and those whose "
        "names come nearest). A value is called after the layer that computes it, \"qkv.output\"; "
        "snug::values<my_trainer> lists those of a trainer");
};

}  // namespace refusal

namespace detail {

template <class L>
concept is_repeat = requires {
    typename L::block;
    L::keeps_all_blocks;
};

/// f<Block>() for the block of every `repeat` in L.
template <class L, class F>
constexpr void for_each_block(F const& f) {
    if constexpr (is_repeat<L>) f.template operator()<typename L::block>();
    else if constexpr (layer::composite<L>)
        meta::mp::mp_for_each<meta::mp::mp_transform<std::type_identity, typename L::children>>(
            [&]<class Child>(std::type_identity<Child>) { for_each_block<Child>(f); });
}

/// Names of the values in the blocks of a model, each once.
template <class Model>
struct names_of_values {
    static constexpr std::size_t capacity = static_cast<std::size_t>(leaves_in<typename Model::body>());
    std::array<path, capacity> names{};
    std::size_t size = 0;

    constexpr names_of_values() {
        for_each_block<typename Model::body>([&]<class Block>() {
            if constexpr (layer::composite<Block>)
                for (std::size_t v = 0; v + 1 < values_of_block<Block>.size(); ++v)
                    add(values_of_block<Block>[v].name);
        });
    }
    constexpr bool has(std::string_view name) const {
        for (std::size_t i = 0; i < size; ++i)
            if (names[i].view() == name) return true;
        return false;
    }
    /// The one that is the `place`-th in likeness to `name`; empty when there are fewer.
    constexpr std::string_view nearest(std::string_view name, std::size_t place) const {
        for (std::size_t i = 0; i < size; ++i) {
            std::size_t nearer = 0;
            for (std::size_t j = 0; j < size; ++j) {
                auto const mine = likeness(names[i].view(), name), others = likeness(names[j].view(), name);
                nearer += others > mine || (others == mine && j < i);
            }
            if (nearer == place) return names[i].view();
        }
        return {};
    }

  private:
    constexpr void add(path const& name) {
        if (!has(name.view())) names[size++] = name;
    }
};
template <class Model>
inline constexpr names_of_values<Model> value_names{};

/// Whether the model has a value of a name, and in words what it has instead.
template <class Model, class Name>
struct value_is_there {
    static constexpr auto& all = value_names<Model>;
    static constexpr bool is_there = all.has(Name::name.view());

#if SNUG_RENDERS_TEXT_IN_ERRORS
    static constexpr snug::diagnose::sentence words = [] {
        snug::diagnose::sentence result;
        auto const quote = [&](char const* before, std::string_view name) {
            char quoted[path::capacity + 3] = {'"'};
            auto const length = std::min(name.size(), path::capacity);
            std::copy_n(name.data(), length, quoted + 1);
            quoted[length + 1] = '"';
            (result += before) += quoted;
        };
        quote("no value is called ", Name::name.view());
        char const* before = "; the nearest are ";
        for (std::size_t place = 0; place < std::min<std::size_t>(3, all.size); ++place) {
            quote(before, all.nearest(Name::name.view(), place));
            before = ", ";
        }
        return result;
    }();
    using found =
        refusal::a_value_that_checkpointing_keeps_is_in_no_block<is_there, snug::diagnose::which_says<words>>;
#else
    struct given {
        static constexpr std::string_view name = Name::name.view();
    };
    template <std::size_t Place>
    struct nearest {
        static constexpr std::string_view name = all.nearest(Name::name.view(), Place);
    };
    template <class Which, std::size_t... I>
    static auto spell(std::index_sequence<I...>) -> snug::diagnose::spelled<Which::name[I]...>;
    template <class Which>
    using spelled = decltype(spell<Which>(std::make_index_sequence<Which::name.size()>{}));
    using found = refusal::a_value_that_checkpointing_keeps_is_in_no_block<
        is_there, spelled<given>,
        snug::diagnose::the_nearest<spelled<nearest<0>>, spelled<nearest<1>>, spelled<nearest<2>>>>;
#endif
    using checked = std::conditional_t<is_there, std::true_type, found>;
};

template <class Model, class Names>
struct values_are_there;
template <class Model, class... Names>
struct values_are_there<Model, meta::list<Names...>> {
    static_assert((sizeof(typename value_is_there<Model, Names>::checked) * ... * 1) > 0);
    static constexpr bool value = (value_is_there<Model, Names>::is_there && ... && true);
};

/// Every value that a checkpointing policy names is in some block of the model.
template <class Model, class Policy>
struct kept_values_exist
    : values_are_there<Model, meta::mp::mp_unique<typename names_to_keep<Policy>::type>> {};

/// Some of the model's values are kept by name.
template <class Policy>
inline constexpr bool keeps_some_by_name = keeps_by_name<Policy>;
template <keeps_by_groups Policy>
inline constexpr bool keeps_some_by_name<Policy> = []<class... Groups>(meta::list<Groups...>) {
    return (keeps_by_name<typename Groups::policy> || ...);
}(typename Policy::groups{});

template <std::size_t N>
struct value_list {
    std::array<block_value, N> values{};
    std::size_t size = 0;
};

/// Values that backward reads, of the blocks in the layer at Node; `buffers`: what the model declares.
template <class Node, class Setting, class Buffers, std::size_t N>
constexpr void list_values(Buffers const& buffers, value_list<N>& all) {
    using L = typename Node::type;
    if constexpr (is_repeat<L>) {
        if constexpr (layer::composite<typename L::block>) {
            using leaves = typename leaves_of<typename L::template block_node<Node>, -1>::type;
            constexpr auto& facts = values_of_block<typename L::block>;
            meta::for_each_index<static_cast<int>(facts.size()) - 1>([&]<int V>() {
                if constexpr (is_read_in_backward(facts, V)) {
                    using element = typename Setting::activation;
                    constexpr auto id = meta::at<leaves, V>::output;
                    bool const is_kept =
                        L::keeps_all_blocks && buffers[static_cast<std::size_t>(id)].line == role::activation;
                    all.values[all.size++] = {
                        facts[V].name,          element_name<element>, static_cast<index_t>(sizeof(element)),
                        Setting::rows,          facts[V].width,        L::blocks,
                        is_kept ? L::blocks : 0};
                }
            });
        }
    } else if constexpr (is_residual<L>) {
        list_values<typename L::template inner_node<Node>, Setting>(buffers, all);
    } else if constexpr (is_sequence<L>) {
        meta::for_each_index<L::length>([&]<int K>() {
            auto const before = all.size;
            list_values<typename L::template child_node<Node, K>, Setting>(buffers, all);
            // Stretches of one kind of block are one list.
            if (!layer::shares_parameters<L> || K == 0) return;
            auto const length = all.size - before;
            for (auto i = before; i < all.size; ++i) {
                all.values[i - length].blocks += all.values[i].blocks;
                all.values[i - length].kept += all.values[i].kept;
            }
            all.size = before;
        });
    }
}

/// Marks the buffers in stretches of blocks of which the next call of forward finds nothing again: values that no layer
/// behind them keeps as its input (see layer::keeps_input).
template <class Node, std::size_t N>
constexpr void mark_left_behind(std::array<bool, N>& all) {
    using L = typename Node::type;
    if constexpr (layer::shares_parameters<L>) {
        meta::for_each_index<L::length>([&]<int K>() {
            using stretch = typename L::template child_node<Node, K>;
            using block = typename stretch::type::block;
            if constexpr (layer::composite<block> && names_its_values<block>()) {
                using leaves =
                    typename leaves_of<typename stretch::type::template block_node<stretch>, -1>::type;
                constexpr auto& facts = values_of_block<block>;
                meta::for_each_index<static_cast<int>(facts.size()) - 1>([&]<int V>() {
                    if constexpr (!facts[V + 1].keeps_input)
                        all[static_cast<std::size_t>(meta::at<leaves, V>::output)] = true;
                });
            }
        });
    } else if constexpr (is_sequence<L> && !is_repeat<L>) {
        meta::for_each_index<L::length>(
            [&]<int K>() { mark_left_behind<typename L::template child_node<Node, K>>(all); });
    }
}

template <class Model, class Setting>
constexpr auto values_in() {
    value_list<static_cast<std::size_t>(leaves_in<typename Model::body>())> all;
    auto const buffers = Model::template declare_buffers<Setting>().entries;
    list_values<typename Model::nodes::body, Setting>(buffers, all);
    return all;
}

}  // namespace detail
}  // namespace snug::SNUG_TARGET
