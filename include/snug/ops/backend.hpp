// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <snug/memory/arena.hpp>
#include <snug/memory/tensor.hpp>
#include <snug/ops/bound.hpp>
#include <snug/quantization/none.hpp>
#include <type_traits>

/// Operations: what layers call. The first argument, `on`, is the execution context: where the operation
/// runs, a value of the backend's type (`snug::host`, ...). Each operation is an entry point that finds its
/// body by argument-dependent lookup on that type, in the namespace where it is declared. There is no
/// fallback: a body that is missing is a refusal that names operation and backend. Operations on one context
/// run in the order of the calls, and only one thread at a time may call them; contexts know nothing of each
/// other.
namespace snug::SNUG_TARGET {

/// The transpose of a matrix, as an operand of a product.
template <class M>
struct transposed {
    M of;
};
template <class M>
transposed(M) -> transposed<M>;

/// A block-diagonal matrix, as the right operand of a product: a block of `Rank` rows for every column range
/// of `Blocks` (`first[b]`, `count[b]`, in order, out of `width` columns). The block is stored transposed:
/// row i of `data`, `Rank` wide, is the i-th column that belongs to a block. Columns outside all blocks are
/// zero.
template <class T, class Blocks, index_t Rank>
struct block_diagonal {
    static constexpr index_t width = Blocks::width;
    T const* data;
};

/// A B, to be computed together with others.
template <class A, class B>
struct product {
    using left = A;
    using right = B;
    A a;
    B b;
};
template <class A, class B>
product(A, B) -> product<A, B>;

/// What refusals call the operations.
namespace operation {
struct matmul;
struct for_each_row;
struct for_each_element;
struct add_column_sums;
struct for_each_row_with_column_sums;
struct add_rows;
struct add_sum;
struct copy;
struct prepare;
struct memory;
struct run_recorded;
struct attention_forward;
struct attention_backward;
}  // namespace operation

namespace refusal {

template <class Backend, class Operation, class... Operands>
struct this_backend_has_no_body_for_this_operation {
    static_assert(
        sizeof(Backend) == 0,
        "snug: this backend has no body for an operation that a layer calls (see Backend, Operation and "
        "Operands). Include snug/snug.hpp for the host's, or write the function that snug/ops names");
};

/// One for all operations, so that it is the only error.
template <class Backend>
struct the_bodies_of_this_backend_are_not_in_this_file {
    static_assert(
        sizeof(Backend) == 0,
        "snug: a trainer runs here on snug::on<snug::cuda>, whose bodies are not in this file: compile it "
        "with "
        "nvcc, as a .cu, and include snug/snug.cuh. Budgets (snug::fits, snug::footprint) need neither, and "
        "snug::on<snug::host> runs with snug/snug.hpp");
};

template <class A, class B, index_t WidthOfA, index_t WidthOfB>
struct the_operands_of_a_product_do_not_fit {
    static_assert(
        WidthOfA == WidthOfB,
        "snug: in a product of a matrix with a transposed matrix both must have the same width (see "
        "WidthOfA and WidthOfB)");
};

template <class B, class Store, index_t WidthOfB, index_t WidthOfResult>
struct the_result_of_a_product_does_not_fit {
    static_assert(
        WidthOfB == WidthOfResult,
        "snug: a product is as wide as its right operand, and its result is stored in a matrix of another "
        "width (see WidthOfB and WidthOfResult)");
};

}  // namespace refusal

/// nvcc 13 finds no body in some requires-expressions for which it does find one when it is called. Where it
/// compiles, a body that is missing is the compiler's own error.
#if defined(__CUDACC__)
inline constexpr bool takes_bodies_for_granted = true;
#else
inline constexpr bool takes_bodies_for_granted = false;
#endif

namespace detail {

template <class A, class B>
struct checked_product {};
template <class T, index_t WidthOfA, index_t StrideOfA, class U, index_t WidthOfB, index_t StrideOfB>
struct checked_product<matrix<T, WidthOfA, StrideOfA>, transposed<matrix<U, WidthOfB, StrideOfB>>>
    : refusal::the_operands_of_a_product_do_not_fit<matrix<T, WidthOfA>, matrix<U, WidthOfB>, WidthOfA,
                                                    WidthOfB> {};

template <class B, class Store>
struct checked_result {};
template <class T, index_t WidthOfB, index_t StrideOfB, class Store>
    requires requires { Store::width; }
struct checked_result<matrix<T, WidthOfB, StrideOfB>, Store>
    : refusal::the_result_of_a_product_does_not_fit<matrix<T, WidthOfB>, Store, WidthOfB, Store::width> {};

}  // namespace detail

namespace ops {

/// The refusal of an operation whose body is not here.
template <class Backend, class... Operation>
using missing_body = std::conditional_t < requires {
    requires Backend::bodies_need_nvcc;
}
, refusal::the_bodies_of_this_backend_are_not_in_this_file<Backend>,
    refusal::this_backend_has_no_body_for_this_operation < Backend, Operation... >>
    ;

/// Bytes of workspace that a product needs whose right operand has `columns` columns, summed over at most
/// `depth` terms, with operands of type T. A constant of the program: it depends on no machine.
template <class Backend, class T>
constexpr index_t matmul_workspace(index_t columns, index_t depth) {
    return Backend::template matmul_workspace<T>(columns, depth);
}

/// The same when a quantization scheme stores the right operand, for up to `rows` rows of the result.
template <class Backend, class T>
constexpr index_t quantized_matmul_workspace(index_t rows, index_t columns, index_t depth) {
    return Backend::template quantized_matmul_workspace<T>(rows, columns, depth);
}

/// Either of the two, for the rows of the setting and its type of activations: `Scheme` stores the right
/// operand, `quantization::none` for none.
template <class Scheme, class Setting>
constexpr index_t matmul_workspace_with(index_t columns, index_t depth) {
    using backend = typename Setting::backend;
    using element = typename Setting::activation;
    if constexpr (std::is_same_v<Scheme, quantization::none>)
        return matmul_workspace<backend, element>(columns, depth);
    else return quantized_matmul_workspace<backend, element>(Setting::rows, columns, depth);
}

/// store(row, column, value) for every element of the sum of products A B, rounded there; a device may also
/// round what the later products add up to. A and B are `matrix` or `transposed<matrix>`, B also a
/// `quantized_matrix`, its transpose, or `block_diagonal`. `workspace` has `matmul_workspace` bytes for the
/// longest of the products, aligned to a cache line.
template <class Backend, class Store, class... A, class... B>
inline void matmul(Backend on, std::byte* workspace, Store const& store, product<A, B>... products) {
    static_assert((sizeof(detail::checked_product<A, B>) * ...) > 0 &&
                  (sizeof(detail::checked_result<B, Store>) * ...) > 0);
    if constexpr (takes_bodies_for_granted || requires { matmul_on(on, workspace, store, products...); })
        matmul_on(on, workspace, store, products...);
    else (void)sizeof(missing_body<Backend, operation::matmul, A..., B..., Store>);
}

/// The same for one product.
template <class Backend, class A, class B, class Store>
inline void matmul(Backend on, A a, B b, std::byte* workspace, Store const& store) {
    matmul(on, workspace, store, product{a, b});
}

/// body(team, row) for every row, in any order, on all threads. `Width` elements of work are in a row, 0 when
/// that is not known: a device gives wider rows to larger teams. A body is a named function object (see
/// `bound`), as are those below.
template <index_t Width, class Backend, class Body>
inline void for_each_row(Backend on, index_t rows, Body const& body) {
    if constexpr (takes_bodies_for_granted ||
                  requires { for_each_row_on(on, std::integral_constant<index_t, Width>{}, rows, body); })
        for_each_row_on(on, std::integral_constant<index_t, Width>{}, rows, body);
    else (void)sizeof(missing_body<Backend, operation::for_each_row, Body>);
}
template <class Backend, class Body>
inline void for_each_row(Backend on, index_t rows, Body const& body) {
    for_each_row<0>(on, rows, body);
}

/// body(i) for every i below `count`, in any order, on all threads.
template <class Backend, class Body>
inline void for_each_element(Backend on, index_t count, Body const& body) {
    if constexpr (takes_bodies_for_granted || requires { for_each_element_on(on, count, body); })
        for_each_element_on(on, count, body);
    else (void)sizeof(missing_body<Backend, operation::for_each_element, Body>);
}

/// Bytes of workspace that `add_column_sums` needs to add numbers of type T, for so many rows or fewer. A
/// constant of the program: it depends on no machine.
template <class Backend, class T>
constexpr index_t column_sums_workspace(index_t rows, index_t columns) {
    return Backend::template column_sums_workspace<T>(rows, columns);
}

/// sums[column] += Σ over rows of value(row, column). The order of summation is fixed.
/// `workspace` has `column_sums_workspace` bytes, aligned to a cache line.
template <class Backend, class T, class Value>
inline void add_column_sums(Backend on, index_t rows, index_t columns, std::byte* workspace, T* sums,
                            Value const& value) {
    if constexpr (takes_bodies_for_granted ||
                  requires { add_column_sums_on(on, rows, columns, workspace, sums, value); })
        add_column_sums_on(on, rows, columns, workspace, sums, value);
    else (void)sizeof(missing_body<Backend, operation::add_column_sums, T, Value>);
}

/// What `for_each_row_with_column_sums` adds where.
template <class T, class Value>
struct column_sum {
    using element = T;
    T* sums;
    Value value;
};
template <class T, class Value>
column_sum(T*, Value) -> column_sum<T, Value>;

/// Bytes of workspace that `for_each_row_with_column_sums` needs for `sums` sums of type T, for so many rows
/// or fewer.
template <class Backend, class T>
constexpr index_t rows_with_column_sums_workspace(index_t rows, index_t width, index_t sums) {
    return Backend::template rows_with_column_sums_workspace<T>(rows, width, sums);
}

/// `for_each_row` and, in the same pass where a backend can, `add_column_sums` over the `Width` columns of
/// the same rows: each of `sums` is a `column_sum`, all of them of one type of number. They are of what was
/// there before: `body` may store a row where the sums read it, but nothing of another row. `workspace` has
/// `rows_with_column_sums_workspace` bytes.
template <index_t Width, class Backend, class Body, class... Sums>
inline void for_each_row_with_column_sums(Backend on, index_t rows, std::byte* workspace, Body const& body,
                                          Sums const&... sums) {
    using width = std::integral_constant<index_t, Width>;
    if constexpr (takes_bodies_for_granted ||
                  requires { for_each_row_with_column_sums_on(on, width{}, rows, workspace, body, sums...); })
        for_each_row_with_column_sums_on(on, width{}, rows, workspace, body, sums...);
    else (void)sizeof(missing_body<Backend, operation::for_each_row_with_column_sums, Body, Sums...>);
}

/// Row key(r) of `to` += row r of `from` for every r, in order of r: rows that share a key are added one
/// after the other. Summed in type Sum.
template <class Sum, class Backend, class T, class From, class Key>
inline void add_rows(Backend on, From from, T* to, Key const& key) {
    if constexpr (takes_bodies_for_granted || requires { add_rows_on(on, Sum{}, from, to, key); })
        add_rows_on(on, Sum{}, from, to, key);
    else (void)sizeof(missing_body<Backend, operation::add_rows, From, T, Key>);
}

/// Partial sums that `add_sum` needs room for.
inline constexpr index_t sum_partials = 1024;

/// *total += Σ of value(i) for i below `count`, in double precision and in a fixed order; `partials` has room
/// for `sum_partials`. On a device the sum is there when the device gets there.
template <class Backend, class Value>
inline void add_sum(Backend on, index_t count, double* partials, double* total, Value const& value) {
    if constexpr (takes_bodies_for_granted || requires { add_sum_on(on, count, partials, total, value); })
        add_sum_on(on, count, partials, total, value);
    else (void)sizeof(missing_body<Backend, operation::add_sum, Value>);
}

/// Copies `size` bytes from the program's memory into the backend's, in the order of the operations; `from`
/// may be changed as soon as this returns.
template <class Backend>
inline void copy_in(Backend on, void* to, void const* from, std::size_t size) {
    if constexpr (takes_bodies_for_granted || requires { copy_in_on(on, to, from, size); })
        copy_in_on(on, to, from, size);
    else (void)sizeof(missing_body<Backend, operation::copy>);
}
/// The same from the backend's memory into the program's; waits until it is there.
template <class Backend>
inline void copy_out(Backend on, void* to, void const* from, std::size_t size) {
    if constexpr (takes_bodies_for_granted || requires { copy_out_on(on, to, from, size); })
        copy_out_on(on, to, from, size);
    else (void)sizeof(missing_body<Backend, operation::copy>);
}

/// Pages travel between paged memory and two slots of the backend's, where a backend can beside the other
/// operations: into a slot when the last page that was there is away again, ...
template <class Backend>
inline void page_in(Backend on, int slot, void* to, void const* from, std::size_t size) {
    if constexpr (takes_bodies_for_granted || requires { page_in_on(on, slot, to, from, size); })
        page_in_on(on, slot, to, from, size);
    else (void)sizeof(missing_body<Backend, operation::copy>);
}
/// ... before the operations that come after this, ...
template <class Backend>
inline void page_is_here(Backend on, int slot) {
    if constexpr (takes_bodies_for_granted || requires { page_is_here_on(on, slot); })
        page_is_here_on(on, slot);
    else (void)sizeof(missing_body<Backend, operation::copy>);
}
/// ... out of it after the operations that came before, ...
template <class Backend>
inline void page_out(Backend on, int slot, void* to, void const* from, std::size_t size) {
    if constexpr (takes_bodies_for_granted || requires { page_out_on(on, slot, to, from, size); })
        page_out_on(on, slot, to, from, size);
    else (void)sizeof(missing_body<Backend, operation::copy>);
}
/// ... and all of them away before the operations that come after this.
template <class Backend>
inline void pages_are_away(Backend on) {
    if constexpr (takes_bodies_for_granted || requires { pages_are_away_on(on); }) pages_are_away_on(on);
    else (void)sizeof(missing_body<Backend, operation::copy>);
}

/// The context of a backend that needs none.
template <class Backend>
struct no_context {
    Backend on() const { return {}; }
};
template <class Backend>
struct context_of {
    using type = no_context<Backend>;
};
template <class Backend>
    requires requires { typename Backend::context; }
struct context_of<Backend> {
    using type = typename Backend::context;
};
/// Owns what operations need to run on a backend (a device's stream, a library's handle): `on()` is the first
/// argument of all operations for as long as the owner lives. `Backend::context` where there is one,
/// move-only.
template <class Backend>
using context = typename context_of<Backend>::type;

/// Before a trainer gets its memory, which `bill` is about: a context for it. Throws `snug::error` where it
/// cannot run.
template <class Backend, class Bill>
context<Backend> prepare(Bill const& bill) {
    if constexpr (takes_bodies_for_granted || requires { prepare_on(Backend{}, bill); }) {
        if constexpr (std::is_same_v<context<Backend>, no_context<Backend>>) {
            prepare_on(Backend{}, bill);
            return {};
        } else {
            return prepare_on(Backend{}, bill);
        }
    } else {
        (void)sizeof(missing_body<Backend, operation::prepare>);
        return {};
    }
}

/// The calls that give a trainer its memory, ready for use: a backend's own, or the program's.
template <class Backend>
memory_calls const& memory() {
    if constexpr (takes_bodies_for_granted || requires { memory_on(Backend{}); }) return memory_on(Backend{});
    else {
        (void)sizeof(missing_body<Backend, operation::memory>);
        return memory_seam();
    }
}
/// The same for paged memory, which is the program's but may have to be pinned.
template <class Backend>
memory_calls const& paged_memory() {
    if constexpr (takes_bodies_for_granted || requires { paged_memory_on(Backend{}); })
        return paged_memory_on(Backend{});
    else {
        (void)sizeof(missing_body<Backend, operation::memory>);
        return memory_seam();
    }
}

/// What a backend keeps of a sequence of operations to run it again at once; nothing where it has no use for
/// it.
template <class Backend>
struct no_recording {};
template <class Backend>
struct recording_of {
    using type = no_recording<Backend>;
};
template <class Backend>
    requires requires { typename Backend::recording; }
struct recording_of<Backend> {
    using type = typename Backend::recording;
};
template <class Backend>
using recording = typename recording_of<Backend>::type;

/// Runs `operations`, which must always be the same ones with the same arguments; what differs from run to
/// run lies in memory.
template <class Backend, class Operations>
inline void run_recorded(Backend on, recording<Backend>& recorded, Operations const& operations) {
    if constexpr (takes_bodies_for_granted || requires { run_recorded_on(on, recorded, operations); })
        run_recorded_on(on, recorded, operations);
    else (void)sizeof(missing_body<Backend, operation::run_recorded>);
}

}  // namespace ops

/// Operations are only put under way, and nobody looks at results before they are copied out: a device's way.
template <class Backend>
inline constexpr bool runs_ahead = requires {
    requires Backend::runs_ahead;
};

}  // namespace snug::SNUG_TARGET
