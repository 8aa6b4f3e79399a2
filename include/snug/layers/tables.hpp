// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <array>
#include <snug/layers/node.hpp>
#include <snug/memory/declaration.hpp>
#include <string>
#include <string_view>

/// The parameters and buffers of a model, in the order of their declarations.
namespace snug::SNUG_TARGET {

/// How the blocks that have a parameter are numbered.
struct block_numbers {
    int at = -1;          ///< where in its name the number goes, "blocks.3.qkv.weight"; -1: it is in no block
    int placeholder = 0;  ///< so many characters stand there for all of the numbers: ".5-11", ".0+2"
    index_t first = 0;    ///< of the first copy
    index_t every = 1;    ///< from one copy to the next

    constexpr index_t operator()(index_t copy) const { return at < 0 ? -1 : first + copy * every; }
};

/// A parameter of a model: one entry stands for all `copies` of a repeated block.
struct parameter_entry {
    path name{};  ///< "blocks.qkv.weight"
    std::array<index_t, 4> dimensions{};
    int rank = 0;
    index_t count = 0;  ///< elements of one copy
    index_t copies = 1;
    block_numbers block{};     ///< block(copy) is the number of a copy's block, -1 of none
    index_t stored_bytes = 0;  ///< of one copy, when a quantization scheme stores it
    bool trains = true;        ///< has a gradient and states
    bool derived = false;      ///< follows from the others
    bool of_adapter = false;

    constexpr bool is_matrix() const { return rank >= 2; }
    constexpr bool is_quantized() const { return stored_bytes > 0; }
    constexpr bool is_trained() const { return trains; }
    constexpr bool is_derived() const { return derived; }
    /// Comes with the model, not with an adapter.
    constexpr bool is_of_base() const { return !derived && !of_adapter; }
    constexpr index_t total() const { return count * copies; }
    constexpr index_t trained() const { return trains ? total() : 0; }

    /// Of one copy as a matrix; of a vector, its elements are rows.
    constexpr index_t rows() const { return dimensions[0]; }
    constexpr index_t width() const { return count / dimensions[0]; }

    constexpr bool is_repeated() const { return block.at >= 0; }
    /// "blocks.qkv.weight" as "qkv.weight": the name inside a block.
    constexpr std::string_view name_in_block() const {
        if (!is_repeated()) return name.view();
        return name.view().substr(static_cast<std::size_t>(block.at + block.placeholder) + 1);
    }
    /// "blocks", or nothing.
    constexpr std::string_view name_before_block() const {
        return name.view().substr(0, is_repeated() ? static_cast<std::size_t>(block.at) : 0);
    }
    /// The name with its block: "blocks.3.qkv.weight".
    std::string full_name(index_t copy) const {
        std::string whole(name.view());
        if (is_repeated())
            whole.replace(static_cast<std::size_t>(block.at), static_cast<std::size_t>(block.placeholder),
                          "." + std::to_string(block(copy)));
        return whole;
    }
};

template <std::size_t N>
struct parameter_table {
    std::array<parameter_entry, N> entries{};
    std::size_t size = 0;

    constexpr void add(parameter_entry entry) { entries[size++] = entry; }
};

/// Buffers whose lifetimes are not known yet.
template <std::size_t N>
struct buffer_table {
    std::array<declaration, N> entries{};
    std::size_t size = 0;

    template <class T>
    constexpr void add(path name, index_t count, index_t copies, role line,
                       space where = space::device_memory) {
        entries[size++] = declare<T>(name, count, count == 0 ? 1 : copies, line, lifetime::always(), where);
    }
};

/// Where in the model a declaration is made.
struct declaration_context {
    path name{};
    index_t copies = 1;       ///< of parameters: the number of blocks
    index_t kept_copies = 1;  ///< of what backward reads: the number of blocks kept at once
    block_numbers block{};

    constexpr declaration_context inside(std::string_view part) const {
        auto deeper = *this;
        deeper.name = name / part;
        return deeper;
    }
};

namespace layer {

template <class L, std::size_t N>
constexpr void declare_parameters(parameter_table<N>& table, declaration_context where) {
    where = where.inside(name<L>());
    if constexpr (composite<L>) {
        L::declare_parameters(table, where);
    } else {
        meta::for_each<parameters<L>>([&]<class P>(P) {
            parameter_entry entry{
                where.name / P::name.view(), {}, P::shape::rank, P::shape::count, where.copies, where.block};
            for (std::size_t i = 0; i < P::shape::dimensions.size(); ++i)
                entry.dimensions[i] = P::shape::dimensions[i];
            if constexpr (is_quantized<P>) entry.stored_bytes = P::stored_bytes;
            entry.trains = trains<L, P>;
            entry.derived = is_derived<P>;
            entry.of_adapter = is_of_adapter<L, P>;
            table.add(entry);
        });
    }
}

template <class Node, class Setting, std::size_t N>
constexpr void declare_buffers(buffer_table<N>& table, declaration_context where) {
    using L = typename Node::type;
    where = where.inside(name<L>());
    if constexpr (composite<L>) {
        L::template declare_buffers<Node, Setting>(table, where);
    } else {
        meta::for_each<saved<L>>([&]<class B>(B) {
            table.template add<resolved<typename B::element, Setting>>(
                where.name / B::name.view(), B::per_token * Setting::rows, where.kept_copies,
                Node::is_forward_only ? role::workspace : role::activation);
        });
        table.template add<std::byte>(where.name / "forward", forward_workspace<L, Setting>(), 1,
                                      role::workspace);
        table.template add<std::byte>(where.name / "backward", backward_workspace<L, Setting>(), 1,
                                      role::workspace);
    }
}

}  // namespace layer

}  // namespace snug::SNUG_TARGET
