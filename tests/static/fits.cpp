// SPDX-License-Identifier: Apache-2.0
// `fits` is exact to the byte, takes what it says it takes, and can be asked without an error.
#include <snug/plan.hpp>

#include <utility>

namespace user {

struct small_card {
    static constexpr snug::bytes memory{1 << 20};
    static constexpr snug::bytes reserve{};
};
struct no_reserve {
    static constexpr snug::bytes memory{1 << 20};
};
struct counts_elements {
    static constexpr double memory = 1 << 20;
    static constexpr double reserve = 0;
};

}  // namespace user

namespace {

using namespace snug;

using tiny = models::gpt2<layers<2>, heads<2>, width<8>, vocabulary<16>, context<64>>;
using alias = trainer<tiny, batch<1, 64>>;
struct derived : alias {};
struct most_derived : derived {};

constexpr auto total = footprint<alias>.total;

// To the byte, also where total and budget are the same number of MiB.
static_assert(fits<alias, budget<total>>);
static_assert(fits<alias, budget<total + 1_B>>);
static_assert(!fits<alias, budget<total - 1_B>>);
static_assert(!fits<alias, budget<bytes{}>>);
static_assert(!fits<alias, budget<bytes{-1}>>);

// The reserve is not the trainer's.
template <bytes Reserve>
struct card {
    static constexpr bytes memory = total + 1_MiB;
    static constexpr bytes reserve = Reserve;
};
static_assert(fits<alias, card<1_MiB>>);
static_assert(!fits<alias, card<1_MiB + 1_B>>);
static_assert(!fits<alias, card<total + 2_MiB>>);

// On both sides of a boundary of MiB the answer is that of the bytes.
template <class T, snug::index_t... K>
constexpr bool exact(std::integer_sequence<snug::index_t, K...>) {
    constexpr auto whole = footprint<T>.total.count;
    constexpr auto around = [](snug::index_t k) {
        return bytes{((whole >> 20) << 20) + (k - 4) * (1 << 19) + k % 3 - 1};
    };
    return ((fits<T, budget<around(K)>> == (whole <= around(K).count)) && ...);
}
static_assert(exact<alias>(std::make_integer_sequence<snug::index_t, 12>{}));
static_assert(exact<trainer<tiny, batch<5, 64>>>(std::make_integer_sequence<snug::index_t, 12>{}));

// A trainer, an alias of one, a struct derived from one: the same trainer.
static_assert(footprint<derived>.total == total && footprint<most_derived>.total == total);
static_assert(fits<most_derived, budget<total>> && !fits<most_derived, budget<total - 1_B>>);
static_assert(any_trainer<alias> && any_trainer<most_derived>);

// Everything else is no.
static_assert(!fits<int, devices::t4> && !fits<tiny, devices::t4> && !fits<void, devices::t4>);
static_assert(!fits<alias, int> && !fits<alias, tiny> && !fits<alias, void>);
static_assert(memory_budget<user::small_card> && memory_budget<devices::b200> &&
              memory_budget<budget<24_GiB>>);
static_assert(!memory_budget<user::no_reserve> && !fits<alias, user::no_reserve>);
static_assert(!memory_budget<user::counts_elements> && !fits<alias, user::counts_elements>);
static_assert(!any_trainer<int> && !any_trainer<tiny>);

// A question in a search: in a requires-expression, in if constexpr, as a constraint.
template <class T, class B>
concept also_fits = requires {
    requires fits<T, B>;
};
static_assert(also_fits<alias, devices::t4> && !also_fits<alias, budget<total - 1_B>>);

template <class B, snug::index_t Sequences = 1>
constexpr snug::index_t most_sequences() {
    if constexpr (fits<trainer<tiny, batch<Sequences + 1, 64>>, B>) return most_sequences<B, Sequences + 1>();
    else return Sequences;
}
static_assert(most_sequences<budget<footprint<trainer<tiny, batch<3, 64>>>.total>>() == 3);

template <class T>
constexpr int choose() {
    return 0;
}
template <class T>
    requires fits<T, devices::t4>
constexpr int choose() { return 1; }
static_assert(choose<alias>() == 1 && choose<trainer<models::llama2_7b, batch<1, 8>>>() == 0);

// `require_fit` says nothing where nothing is wrong.
static_assert(sizeof(require_fit<most_derived, budget<total>>) > 0);

// The total is packed, and no line is larger than it.
constexpr auto bill_of_it = footprint<alias>;
static_assert(bill_of_it.total <= bill_of_it.sum() &&
              bill_of_it.weights + bill_of_it.gradients < bill_of_it.total);
static_assert(bill_of_it.weights == parameter_count<tiny> * bytes{4});
static_assert(bill_of_it.gradients == bill_of_it.weights &&
              bill_of_it.optimizer_state == 2 * bill_of_it.weights);
static_assert(bill_of_it.master_weights == bytes{} && bill_of_it.communication == bytes{});

}  // namespace
