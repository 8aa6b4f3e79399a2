// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <snug/accumulation/micro_batches.hpp>
#include <snug/adapters/none.hpp>
#include <snug/backend/host/tag.hpp>
#include <snug/backend/on.hpp>
#include <snug/batch.hpp>
#include <snug/checkpointing/policies.hpp>
#include <snug/engine/composition.hpp>
#include <snug/engine/run.hpp>
#include <snug/memory/budget.hpp>
#include <snug/models/stack.hpp>
#include <snug/optimizers/adamw.hpp>
#include <snug/policy.hpp>
#include <snug/precision/policies.hpp>
#include <snug/quantization/none.hpp>
#include <snug/sharding/none.hpp>

namespace snug {

namespace detail {

/// One policy for every axis: the given one or the default. Everything is refused here that can be refused before
/// anything is built.
template <class... Policies>
struct chosen {
    static_assert((sizeof(refusal::this_template_argument_is_not_a_policy<Policies>) * ... * 1) > 0);

    using model = typename pick_required<axis::model, Policies...>::type;
    using batch = typename pick_required<axis::batch, Policies...>::type;
    using precision = typename pick<axis::precision, snug::precision::full<fp32>, Policies...>::type;
    using quantization = typename pick<axis::quantization, snug::quantization::none, Policies...>::type;
    using adapters = typename pick<axis::adapters, snug::adapters::none, Policies...>::type;
    using accumulation = typename pick<axis::accumulation, snug::accumulation::micro_batches<1>, Policies...>::type;
    using checkpointing = typename pick<axis::checkpointing, snug::checkpointing::none, Policies...>::type;
    using sharding = typename pick<axis::sharding, snug::sharding::none, Policies...>::type;
    using optimizer = typename pick<axis::optimizer, optimizers::adamw<>, Policies...>::type;
    using where = typename pick<axis::where, on<host>, Policies...>::type;
};

}  // namespace detail

/// A trainer composed from policies, in any order, each of one axis; an axis that is not named has its default. The
/// whole step is laid out at compile time (`footprint`), allocated once by the constructor and never again.
///
///     struct my_trainer : snug::trainer<snug::models::gpt2_124m, snug::batch<4, 256>> {};
///     static_assert(snug::fits<my_trainer, snug::devices::rtx_3070>);
template <class... Policies>
class trainer : public run<composition<detail::chosen<Policies...>>> {
  public:
    using trainer_type = trainer;
    using composition = snug::composition<detail::chosen<Policies...>>;
    using run<composition>::run;
};

/// Parameters that training changes, a constant.
template <class T>
inline constexpr index trainable_parameter_count =
    parameter_count<typename detail::trainer_of<T>::composition::model>;

}  // namespace snug
