// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <snug/meta.hpp>
#include <snug/units.hpp>
#include <type_traits>

/// What `data_parallel` and `zero` take beside the number of ranks, in any order.
namespace snug::SNUG_TARGET::sharding {

/// The gradients of all ranks are added after every micro-batch, unit by unit, as backward leaves the unit: each
/// rank keeps the sums of its share only. Sent once for every micro-batch.
struct each_micro_batch {};
/// The gradients of all ranks are added once a step. Each rank keeps its own of the whole model until then.
struct at_the_end {};

/// When the gradients of all ranks are added: `each_micro_batch` or `at_the_end`. With one micro-batch the sums are
/// the same to the bit; with more, additions come in another order.
template <class When>
struct reduced {
    using reduction = When;
};

/// At most so many bytes are received at once from all other ranks together.
template <bytes Size>
struct bucket {
    static constexpr bytes bucket_size = Size;
};

/// So many units ahead are gathered while one is worked on; for `zero<3, ...>`.
template <int Units>
struct prefetch {
    static constexpr int prefetched_units = Units;
};

namespace detail {

struct defaults {
    static constexpr bytes bucket_size{std::int64_t{32} << 20};
    static constexpr int prefetched_units = 1;
};

template <class Option>
inline constexpr bool is_option = requires {
    typename Option::reduction;
}
|| requires { Option::bucket_size; }
|| requires { Option::prefetched_units; };

template <class Default, class... Options>
struct reduction_of {
    using type = Default;
};
template <class Default, class First, class... Rest>
struct reduction_of<Default, First, Rest...> : reduction_of<Default, Rest...> {};
template <class Default, class First, class... Rest>
    requires requires { typename First::reduction; }
struct reduction_of<Default, First, Rest...> {
    using type = typename First::reduction;
};

template <class... Options>
constexpr bytes bucket_of() {
    bytes size = defaults::bucket_size;
    meta::for_each<meta::list<Options...>>([&]<class Option>(Option) {
        if constexpr (requires { Option::bucket_size; }) size = Option::bucket_size;
    });
    return size;
}
template <class... Options>
constexpr int prefetch_of() {
    int units = defaults::prefetched_units;
    meta::for_each<meta::list<Options...>>([&]<class Option>(Option) {
        if constexpr (requires { Option::prefetched_units; }) units = Option::prefetched_units;
    });
    return units;
}

}  // namespace detail
}  // namespace snug::SNUG_TARGET::sharding

namespace snug::SNUG_TARGET::refusal {

template <class Given>
struct this_is_not_an_option_of_sharding {
    static_assert(sharding::detail::is_option<Given>,
                  "snug: beside ranks<N>, a sharding takes sharding::reduced<...>, bucket<32_MiB> and "
                  "prefetch<1> (see Given)");
};

template <class Ranks>
struct a_sharding_takes_the_number_of_ranks {
    static_assert(
        requires { Ranks::count; },
        "snug: a sharding takes snug::ranks<N>, the number of its processes (see Ranks)");
};

}  // namespace snug::SNUG_TARGET::refusal
