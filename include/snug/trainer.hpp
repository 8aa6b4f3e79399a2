// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <snug/accumulation/micro_batches.hpp>
#include <snug/adapters/lora.hpp>
#include <snug/backend/host/tag.hpp>
#include <snug/backend/on.hpp>
#include <snug/batch.hpp>
#include <snug/checkpointing/policies.hpp>
#include <snug/checkpointing/values.hpp>
#include <snug/distributed/names.hpp>
#include <snug/engine/composition.hpp>
#include <snug/engine/run.hpp>
#include <snug/engine/within.hpp>
#include <snug/memory/budget.hpp>
#include <snug/models/stack.hpp>
#include <snug/optimizers/adamw.hpp>
#include <snug/policy.hpp>
#include <snug/precision/policies.hpp>
#include <snug/quantization/policy.hpp>
#include <snug/sharding/data_parallel.hpp>
#include <snug/sharding/mesh.hpp>
#include <snug/sharding/none.hpp>

namespace snug::SNUG_TARGET {

namespace detail {

template <class Where>
concept on_a_device = where_policy<Where> && runs_ahead<typename Where::backend>;

/// What ranks talk over where nothing is said: what moves the memory that they compute in.
template <class Sharding, class Where>
using default_world =
    std::conditional_t<std::is_same_v<Sharding, snug::sharding::none>, distributed::self,
                       std::conditional_t<on_a_device<Where>, distributed::nccl, distributed::mpi>>;

/// One policy for every axis: the given one or the default.
template <class... Policies>
struct chosen {
    using model = pick<axis::model, void, Policies...>;
    using batch = pick<axis::batch, void, Policies...>;
    using precision = pick<axis::precision, snug::precision::full<fp32>, Policies...>;
    using quantization = pick<axis::quantization, snug::quantization::none, Policies...>;
    using adapters = pick<axis::adapters, snug::adapters::none, Policies...>;
    using accumulation = pick<axis::accumulation, snug::accumulation::micro_batches<1>, Policies...>;
    using checkpointing = pick<axis::checkpointing, snug::checkpointing::none, Policies...>;
    using sharding = pick<axis::sharding, snug::sharding::none, Policies...>;
    using optimizer = pick<axis::optimizer, optimizers::adamw<>, Policies...>;
    using where = pick<axis::where, on<host>, Policies...>;
    using transport = pick<axis::transport, over<default_world<sharding, where>>, Policies...>;
};

template <class Chosen>
struct accepted_one_by_one : accepted<refusal::this_is_not_a_model<typename Chosen::model>,
                                      refusal::this_is_not_a_batch<typename Chosen::batch>,
                                      refusal::this_is_not_a_precision<typename Chosen::precision>,
                                      refusal::this_is_not_a_quantization<typename Chosen::quantization>,
                                      refusal::this_is_not_an_adapter<typename Chosen::adapters>,
                                      refusal::this_is_not_an_accumulation<typename Chosen::accumulation>,
                                      refusal::this_is_not_a_checkpointing<typename Chosen::checkpointing>,
                                      refusal::this_is_not_a_sharding<typename Chosen::sharding>,
                                      refusal::this_is_not_an_optimizer<typename Chosen::optimizer>,
                                      refusal::this_is_not_a_place_to_run<typename Chosen::where>> {};

template <class Chosen>
struct accepted_together
    : accepted<refusal::the_sequences_of_the_batch_are_longer_than_the_model_allows<
                   typename Chosen::model, Chosen::model::longest_sequence, Chosen::batch::tokens>,
               refusal::the_states_of_an_optimizer_are_a_list<typename Chosen::optimizer>,
               refusal::nccl_moves_the_memory_of_devices<typename Chosen::transport::world,
                                                         typename Chosen::where::backend>,
               refusal::the_bucket_of_a_sharding_is_too_small<
                   typename Chosen::sharding, snug::detail::bucket_of<typename Chosen::sharding>(),
                   snug::detail::smallest_bucket_of<typename Chosen::sharding,
                                                    typename Chosen::precision::gradient>()>,
               snug::detail::targets_exist<typename Chosen::adapters, typename Chosen::model>,
               snug::detail::trained_kinds_exist<typename Chosen::adapters, typename Chosen::model>,
               snug::detail::paths_exist<typename Chosen::adapters, typename Chosen::model>> {};

template <class Chosen>
struct accepted_adapter
    : something_trains<typename Chosen::model, typename Chosen::quantization, typename Chosen::adapters> {};

/// The model as it will run, adapted and quantized: every layer's functions are there and can be called. Last
/// what a checkpointing within a budget looks for, as it lays models out.
template <class Chosen>
struct accepted_to_run {
    using model = typename adapted_model<typename Chosen::model, typename Chosen::quantization,
                                         typename Chosen::adapters>::type;
    using setting = snug::setting<Chosen::batch::sequences, Chosen::batch::tokens, typename Chosen::precision,
                                  typename Chosen::where::backend>;
    static constexpr bool value =
        layers_run<typename model::body, setting>::value &&
        accepted<refusal::the_update_of_an_optimizer_takes_a_weight_a_gradient_and_its_states<
            typename Chosen::optimizer, typename setting::statistic>>::value &&
        std::conditional_t<layers_run<typename model::body, setting>::value, accepted_search<Chosen>,
                           std::false_type>::value;
};

/// What checkpointing keeps by name is there.
template <class Chosen>
struct accepted_values : kept_values_exist<typename Chosen::model, typename Chosen::checkpointing> {};

/// Everything is refused here that can be refused before anything is built. Stops at the first cause.
template <class... Policies>
using accepted_policies = std::conjunction<
    accepted<refusal::this_template_argument_is_not_a_policy<Policies>...>,
    accepted_by_axis<refusal::two_policies_for_one_axis, axis::all, Policies...>,
    accepted_by_axis<refusal::a_required_axis_is_missing, meta::list<axis::model, axis::batch>, Policies...>,
    accepted_one_by_one<chosen<Policies...>>, accepted_together<chosen<Policies...>>,
    accepted_adapter<chosen<Policies...>>, accepted_values<chosen<Policies...>>,
    accepted_to_run<chosen<Policies...>>>;

/// What a refused trainer is built from instead, so that its refusal is the only error.
using stand_in = chosen<stack<embedding<1, 1>, head_with_loss<1, 1, true>>, batch<1, 1>>;

/// With what checkpointing::within has found.
template <class... Policies>
using composition_of = composition<typename resolved<
    std::conditional_t<accepted_policies<Policies...>::value, chosen<Policies...>, stand_in>>::type>;

}  // namespace detail

/// A trainer composed from policies, in any order, each of one axis; an axis that is not named has its default. The
/// whole step is laid out at compile time (`footprint`), allocated once by the constructor and never again.
///
///     struct my_trainer : snug::trainer<snug::models::gpt2_124m, snug::batch<4, 256>> {};
///     static_assert(snug::fits<my_trainer, snug::devices::rtx_3070>);
template <class... Policies>
class trainer : public run<detail::composition_of<Policies...>> {
  public:
    using trainer_type = trainer;
    using composition = detail::composition_of<Policies...>;
    using run<composition>::run;
};

/// The parameters of a trainer in the order of its snapshots, a constant: an array of `parameter_entry`, whose `name.view()` is what
/// `weights`, `gradients` and the like are asked by.
template <class T>
inline constexpr auto const& parameters = detail::trainer_of<T>::composition::parameter_table.entries;

/// Parameters that training changes, a constant.
template <class T>
inline constexpr index_t trainable_parameter_count = [] {
    index_t total = 0;
    for (auto const& entry : detail::trainer_of<T>::composition::parameter_table.entries)
        total += entry.trained();
    return total;
}();

}  // namespace snug::SNUG_TARGET
