// SPDX-License-Identifier: Apache-2.0
#include <catch2/catch.hpp>

#include <array>
#include <cstddef>
#include <memory>
#include <snug/snug.hpp>
#include <thread>
#include <type_traits>
#include <vector>

namespace user {

/// A backend of which a value knows where to count: its context has a state.
struct counting_machine {
    class context;
    snug::index_t* rows = nullptr;
};
class counting_machine::context {
  public:
    counting_machine on() const { return {rows_.get()}; }

  private:
    std::unique_ptr<snug::index_t> rows_ = std::make_unique<snug::index_t>(0);
};
template <class Bill>
counting_machine::context prepare_on(counting_machine, Bill const&) {
    return {};
}
template <snug::index_t Width, class Body>
void for_each_row_on(counting_machine on, std::integral_constant<snug::index_t, Width>, snug::index_t rows,
                     Body const& body) {
    for (snug::index_t row = 0; row < rows; ++row) body(snug::backend::host::serial_team{}, row);
    *on.rows += rows;
}

/// One whose `prepare_on` returns nothing: it has no context.
struct plain_machine {};
template <class Bill>
void prepare_on(plain_machine, Bill const&) {}

}  // namespace user

using namespace snug;
using snug::index_t;

namespace {

constexpr index_t length = 24;

struct doubled_row {
    template <class Team>
    constexpr void operator()(Team const& team, index_t row, float const* x, float* y) const {
        team.for_each(length, [=](index_t i) { y[row * length + i] = 2 * x[row * length + i]; });
    }
};

/// Whole numbers, so that sums are exact.
std::vector<float> numbers(index_t count, index_t seed) {
    std::vector<float> result(static_cast<std::size_t>(count));
    for (std::size_t i = 0; i < result.size(); ++i)
        result[i] = static_cast<float>((static_cast<index_t>(i) * 7 + seed * 13) % 17 - 8);
    return result;
}

/// Rows and a product on a context of its own; true if they are right every time.
template <class Backend>
bool works_alone(index_t seed, index_t rows, int times) {
    auto const context = ops::prepare<Backend>(memory_bill{});
    auto const on = context.on();
    arena const workspace(bytes{ops::matmul_workspace<Backend, float>(length, length)});
    auto const w = numbers(length * length, seed + 1);
    for (int time = 0; time < times; ++time) {
        auto const x = numbers(rows * length, seed + time);
        std::vector<float> copy(x.size()), y(x.size()), z(x.size());
        ops::copy_in(on, copy.data(), x.data(), x.size() * sizeof(float));
        ops::for_each_row<length>(on, rows,
                                  ops::bound<doubled_row>(static_cast<float const*>(copy.data()), y.data()));
        ops::matmul(on, matrix<float const, length>{y.data(), rows},
                    transposed{matrix<float const, length>{w.data(), length}}, workspace.data(),
                    written<float, length>{{z.data(), rows}});
        for (index_t row = 0; row < rows; ++row)
            for (index_t column = 0; column < length; ++column) {
                float sum = 0;
                for (index_t k = 0; k < length; ++k)
                    sum += 2 * x[static_cast<std::size_t>(row * length + k)] *
                           w[static_cast<std::size_t>(column * length + k)];
                if (z[static_cast<std::size_t>(row * length + column)] != sum) return false;
            }
    }
    return true;
}

// Operations of a backend's type, as they once were: no call of them is taken for another one.
template <class B, class Body = ops::bound_function<doubled_row>>
concept takes_rows_of_a_type = requires(Body body) {
    ops::for_each_row<B>(index_t{1}, body);
};
template <class B, class Body = ops::bound_function<doubled_row>>
concept takes_wide_rows_of_a_type = requires(Body body) {
    ops::for_each_row<B, 8>(index_t{1}, body);
};
template <class B, class Body = ops::bound_function<doubled_row>>
concept takes_elements_of_a_type = requires(Body body) {
    ops::for_each_element<B>(index_t{1}, body);
};
template <class B>
concept copies_of_a_type = requires(void* to, void const* from) {
    ops::copy_in<B>(to, from, std::size_t{1});
}
|| requires(void* to, void const* from) { ops::copy_out<B>(to, from, std::size_t{1}); }
|| requires(void* to, void const* from) { ops::page_in<B>(0, to, from, std::size_t{1}); }
|| requires { ops::pages_are_away<B>(); };
template <class B>
concept multiplies_of_a_type = requires(matrix<float, 8> m, written<float, 8> to, std::byte* room) {
    ops::matmul<B>(m, m, room, to);
}
|| requires(matrix<float, 8> m, written<float, 8> to, std::byte* room) {
    ops::matmul<B>(room, to, product{m, m});
};
static_assert(!takes_rows_of_a_type<host> && !takes_wide_rows_of_a_type<host> &&
              !takes_elements_of_a_type<host> && !copies_of_a_type<host> && !multiplies_of_a_type<host>);

static_assert(std::is_same_v<ops::context<user::counting_machine>, user::counting_machine::context>);
static_assert(std::is_same_v<ops::context<cuda>, cuda::context>);
static_assert(!std::is_copy_constructible_v<cuda::context> &&
              std::is_nothrow_move_constructible_v<cuda::context>);
static_assert(std::is_empty_v<ops::context<host>> && std::is_empty_v<ops::context<user::plain_machine>>);
static_assert(std::is_same_v<decltype(ops::prepare<host>(memory_bill{}).on()), host>);

}  // namespace

TEST_CASE("two contexts in two threads do not meet on the host") {
    std::array<bool, 2> right{};
    std::thread first([&] { right[0] = works_alone<host>(1, 37, 50); });
    std::thread second([&] { right[1] = works_alone<host_threads<1>>(2, 12, 50); });
    first.join();
    second.join();
    CHECK(right == std::array{true, true});
}

TEST_CASE("a body is given the context that the operation was called on") {
    auto const first = ops::prepare<user::counting_machine>(memory_bill{});
    auto const second = ops::prepare<user::counting_machine>(memory_bill{});
    auto const x = numbers(5 * length, 1);
    std::vector<float> y(x.size());
    auto const body = ops::bound<doubled_row>(x.data(), y.data());
    ops::for_each_row(first.on(), 5, body);
    ops::for_each_row<length>(second.on(), 2, body);
    ops::for_each_row<length>(first.on(), 1, body);
    CHECK(*first.on().rows == 6);
    CHECK(*second.on().rows == 2);
    CHECK(y[4 * length] == 2 * x[4 * length]);
}

TEST_CASE("a backend of a user's may have nothing to prepare") {
    auto const context = ops::prepare<user::plain_machine>(memory_bill{});
    CHECK(std::is_same_v<decltype(context.on()), user::plain_machine>);
}
