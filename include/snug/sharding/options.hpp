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

/// Gradients travel between ranks in this format, bf16, and are added in their own: half of what is exchanged. Each rank's
/// are rounded once, so results differ from those without, though not with the number of ranks.
template <class Format>
struct wire {
    using wire_format = Format;
};

/// Units with fewer bytes of weights than this are whole on every rank of `zero<3, ...>`: they are gathered once a step,
/// after their update, instead of each time they are worked on.
template <bytes Size>
struct keep_below {
    static constexpr bytes kept_size = Size;
};

namespace detail {

template <class Option>
inline constexpr bool is_option = requires {
    typename Option::reduction;
}
|| requires { typename Option::wire_format; }
|| requires { Option::bucket_size; }
|| requires { Option::prefetched_units; }
|| requires { Option::kept_size; };

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

/// The constants of a policy that stand for options, with their defaults.
template <class... Options>
struct chosen_options {
    static constexpr bytes bucket{std::int64_t{32} << 20};
    static constexpr int prefetch = 1;
    static constexpr bytes keep_below{};
    using wire = void;
};
template <class First, class... Rest>
struct chosen_options<First, Rest...> : chosen_options<Rest...> {};
template <class First, class... Rest>
    requires requires { First::bucket_size; }
struct chosen_options<First, Rest...> : chosen_options<Rest...> {
    static constexpr bytes bucket = First::bucket_size;
};
template <class First, class... Rest>
    requires requires { First::prefetched_units; }
struct chosen_options<First, Rest...> : chosen_options<Rest...> {
    static constexpr int prefetch = First::prefetched_units;
};
template <class First, class... Rest>
    requires requires { First::kept_size; }
struct chosen_options<First, Rest...> : chosen_options<Rest...> {
    static constexpr bytes keep_below = First::kept_size;
};
template <class First, class... Rest>
    requires requires { typename First::wire_format; }
struct chosen_options<First, Rest...> : chosen_options<Rest...> {
    using wire = typename First::wire_format;
};

}  // namespace detail
}  // namespace snug::SNUG_TARGET::sharding

namespace snug::SNUG_TARGET::refusal {

template <class Given>
struct this_is_not_an_option_of_sharding {
    static_assert(
        sharding::detail::is_option<Given>,
        "snug: beside ranks<N>, a sharding takes sharding::reduced<...>, bucket<32_MiB>, prefetch<1>, "
        "keep_below<64_KiB> and wire<bf16> (see Given)");
};

template <class Ranks>
struct a_sharding_takes_the_number_of_ranks {
    static_assert(
        requires { Ranks::count; },
        "snug: a sharding takes snug::ranks<N>, the number of its processes (see Ranks)");
};

}  // namespace snug::SNUG_TARGET::refusal
