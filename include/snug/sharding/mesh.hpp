// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <snug/sharding/data_parallel.hpp>
#include <snug/sharding/zero.hpp>
#include <type_traits>

namespace snug::SNUG_TARGET {

namespace sharding::detail {

enum class mesh_axis { unknown, replicas, shards };

template <class T>
inline constexpr auto mesh_axis_of = mesh_axis::unknown;
template <class Ranks, class... Options>
inline constexpr auto mesh_axis_of<data_parallel<Ranks, Options...>> = mesh_axis::replicas;
template <int Stage, class Ranks, class... Options>
inline constexpr auto mesh_axis_of<zero<Stage, Ranks, Options...>> = mesh_axis::shards;

template <class T>
inline constexpr bool has_options = false;
template <class Ranks, class First, class... Rest>
inline constexpr bool has_options<data_parallel<Ranks, First, Rest...>> = true;

}  // namespace sharding::detail

namespace refusal {

template <class... Axes>
struct a_mesh_is_of_data_parallel_and_zero {
    static_assert(
        sizeof...(Axes) == 2 &&
            ((sharding::detail::mesh_axis_of<Axes> != sharding::detail::mesh_axis::unknown) && ...),
        "snug: a mesh is sharding::mesh<data_parallel<ranks<R>>, zero<Stage, ranks<N>>>: R replicas of "
        "a model that N ranks share (see Axes)");
};

template <class A, class B>
struct a_mesh_names_an_axis_twice {
    static_assert(sharding::detail::mesh_axis_of<A> != sharding::detail::mesh_axis_of<B>,
                  "snug: a mesh has one data_parallel and one zero (see A and B); two of one kind are one "
                  "with more ranks");
};

template <class Replicas>
struct replicas_of_a_mesh_take_no_options {
    static_assert(
        !sharding::detail::has_options<Replicas>,
        "snug: in a mesh, options stand in zero<...>; data_parallel<ranks<N>> is its replicas, whose "
        "gradients are added once a step (see Replicas)");
};

}  // namespace refusal

namespace sharding {

/// Hybrid sharding: `mesh<data_parallel<ranks<R>>, zero<Stage, ranks<N>>>` is R replicas of a model that N ranks share, over
/// R x N processes (MiCS, Zhang et al., arXiv 2205.00119; PyTorch's HYBRID_SHARD). Ranks that share a model follow each
/// other, as those of a node do: weights and the gradients of micro-batches travel between them, and only the shares of
/// summed gradients, once a step, between replicas.
template <class... Axes>
struct mesh {
    static_assert(sizeof(refusal::a_mesh_is_of_data_parallel_and_zero<Axes...>) > 0);
};
template <class A, class B>
struct mesh<A, B> {
    static_assert(sizeof(refusal::a_mesh_is_of_data_parallel_and_zero<A, B>) > 0);
    static_assert(sizeof(refusal::a_mesh_names_an_axis_twice<A, B>) > 0);

  private:
    static constexpr bool in_order = detail::mesh_axis_of<A> == detail::mesh_axis::replicas;
    using outer = std::conditional_t<in_order, A, B>;
    using inner = std::conditional_t<in_order, B, A>;
    static_assert(sizeof(refusal::replicas_of_a_mesh_take_no_options<outer>) > 0);

  public:
    using axis = snug::axis::sharding;
    static constexpr int ranks = outer::ranks * inner::ranks;
    static constexpr int replicas = outer::ranks;
    static constexpr int stage = inner::stage;
    static constexpr bool reduces_each_micro_batch = inner::reduces_each_micro_batch;
    static constexpr bytes bucket = inner::bucket;
    static constexpr int prefetch = inner::prefetch;
    static constexpr bytes keep_below = inner::keep_below;
    using wire = typename inner::wire;
};

}  // namespace sharding
}  // namespace snug::SNUG_TARGET
