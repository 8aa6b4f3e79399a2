// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cxxabi.h>
#include <boost/mp11/algorithm.hpp>
#include <cstdlib>
#include <memory>
#include <snug/quantization/schemes.hpp>
#include <snug/snug.hpp>
#include <span>
#include <string>
#include <typeinfo>
#include <vector>

#include "calls.hpp"

/// The compositions that the promises of memory are tested for: a product over the axes.
namespace test {

namespace mp = boost::mp11;

// Odd sizes on purpose: most buffers end in the middle of a cache line, the last segment of blocks is short.
using models = mp::mp_list<
    snug::models::gpt2<snug::layers<5>, snug::heads<3>, snug::width<18>, snug::vocabulary<37>,
                       snug::context<11>>,
    snug::models::llama<snug::layers<5>, snug::heads<4>, snug::kv_heads<2>, snug::width<24>, snug::mlp<27>,
                        snug::vocabulary<41>, snug::context<16>>,
    snug::models::llama<snug::layers<5>, snug::heads<3>, snug::kv_heads<1>, snug::width<18>, snug::mlp<25>,
                        snug::vocabulary<29>, snug::context<16>, snug::tied_head<1>, snug::qkv_bias<1>>>;
using precisions = mp::mp_list<snug::precision::full<snug::fp32>, snug::precision::full<snug::fp64>,
                               snug::precision::mixed<snug::bf16>>;
using accumulations = mp::mp_list<snug::accumulation::micro_batches<1>, snug::accumulation::micro_batches<3>>;
using optimizers =
    mp::mp_list<snug::optimizers::adamw<>, snug::optimizers::adamw<snug::optimizers::states<snug::bf16>>,
                snug::optimizers::sgd<>>;

/// Several values of one axis that take turns, so that all are tried and the product stays small.
template <class... Policies>
struct turns {};
using batches = mp::mp_list<turns<snug::batch<2, 11>, snug::batch<3, 7>>>;
using checkpointings =
    mp::mp_list<snug::checkpointing::none, snug::checkpointing::every_block, snug::checkpointing::every<2>,
                turns<snug::checkpointing::square_root, snug::checkpointing::selective>>;

using product =
    mp::mp_product<mp::mp_list, precisions, models, accumulations, checkpointings, optimizers, batches>;

template <class Policy, std::size_t Turn>
struct at_turn {
    using type = Policy;
};
template <class... Policies, std::size_t Turn>
struct at_turn<turns<Policies...>, Turn> {
    using type = mp::mp_at_c<mp::mp_list<Policies...>, Turn % sizeof...(Policies)>;
};

/// Composition number I, its policies in an order of its own.
template <class Policies, class I>
struct composed;
template <class... Policies, class I>
struct composed<mp::mp_list<Policies...>, I> {
    using policies = mp::mp_list<typename at_turn<Policies, I::value>::type...>;
    using turned = mp::mp_rotate_left_c<policies, I::value % sizeof...(Policies)>;
    using trainer =
        mp::mp_apply<snug::trainer, mp::mp_if_c<I::value / 2 % 2 == 0, turned, mp::mp_reverse<turned>>>;
};

using all_composed = mp::mp_transform<composed, product, mp::mp_iota<mp::mp_size<product>>>;
template <class Composed>
using trainer_of = typename Composed::trainer;
static_assert(mp::mp_size<all_composed>::value >= 200);
static_assert(mp::mp_is_set<mp::mp_transform<trainer_of, all_composed>>::value);

/// Sanitizers make everything slow to compile: there, one composition of five (which still meets every policy).
inline constexpr std::size_t stride = SNUG_TEST_COUNTS_CALLS ? 1 : 5;

/// The compositions of one precision that a program tests.
template <class Precision>
struct tested_in {
    template <class Composed>
    using has_precision = mp::mp_contains<typename Composed::policies, Precision>;
    template <class I>
    using every_stride = mp::mp_bool<I::value % stride == 0>;
    using all = mp::mp_copy_if<all_composed, has_precision>;
    using positions = mp::mp_copy_if<mp::mp_iota<mp::mp_size<all>>, every_stride>;
    template <class I>
    using at = trainer_of<mp::mp_at<all, I>>;
    using type = mp::mp_transform<at, positions>;
};

/// A trainer that runs; construction is watched.
class running {
  public:
    virtual ~running() = default;
    virtual snug::step_result step(snug::token_batch const& batch) = 0;
    virtual snug::bytes allocated() const = 0;
    tally calls_of_construction{};
};

/// What the tests need to know of a composition, without its type: the checks are compiled once for all of them.
struct subject {
    std::string name{};
    std::span<snug::declaration const> declarations{};
    std::span<snug::index const> offsets{};
    snug::memory_bill bill{};
    snug::index weights = 0;      ///< bytes
    snug::index parameters = 0;   ///< trained elements
    snug::index master_size = 0;  ///< bytes of one element; 0: there is none
    snug::index gradient_size = 0;
    snug::index states_size = 0;  ///< of all states of one trained element
    snug::index tokens = 0;       ///< of a step
    snug::index vocabulary = 0;
    std::unique_ptr<running> (*start)() = nullptr;
};

template <class Trainer>
class running_trainer final : public running {
  public:
    running_trainer() { calls_of_construction = calls() - before_; }
    snug::step_result step(snug::token_batch const& batch) override { return trainer_.step(batch); }
    snug::bytes allocated() const override { return trainer_.allocated(); }

  private:
    tally before_ = calls();
    Trainer trainer_;
};

/// Bytes of the weights from the shapes of the model that was given: a matrix in a scheme ends on a multiple of 64.
template <class Composition>
snug::index bytes_of_weights() {
    using scheme = typename Composition::quantization;
    snug::index total = 0;
    auto const given = Composition::chosen::model::declare_parameters();
    for (std::size_t i = 0; i < given.entries.size(); ++i) {
        auto const& entry = given.entries[i];
        snug::index bytes =
            entry.count * static_cast<snug::index>(sizeof(typename Composition::precision::weight));
        if constexpr (!std::is_same_v<scheme, snug::quantization::none>)
            if (Composition::parameter_table.entries[i].is_quantized())
                bytes = snug::round_up(scheme::storage({entry.dimensions[0], entry.dimensions[1]}).count, 64);
        total += entry.copies * bytes;
    }
    return total;
}

template <class Trainer>
subject describe() {
    using composition = typename Trainer::composition;
    using master = typename composition::precision::master;
    subject s;
    std::unique_ptr<char, void (*)(void*)> const name(
        abi::__cxa_demangle(typeid(Trainer).name(), nullptr, nullptr, nullptr), std::free);
    s.name = name.get();
    s.declarations = composition::plan.declarations;
    s.offsets = composition::plan.offsets;
    s.bill = snug::footprint<Trainer>;
    s.weights = bytes_of_weights<composition>();
    s.parameters = snug::trainable_parameter_count<Trainer>;
    if constexpr (!std::is_void_v<master>) s.master_size = sizeof(master);
    s.gradient_size = sizeof(typename composition::precision::gradient);
    snug::meta::for_each<typename composition::optimizer::states>([&]<class State>(State) {
        s.states_size += static_cast<snug::index>(sizeof(typename State::element));
    });
    s.tokens = Trainer::tokens_per_step;
    s.vocabulary = composition::model::vocabulary;
    s.start = [] { return std::unique_ptr<running>(std::make_unique<running_trainer<Trainer>>()); };
    return s;
}

template <class Trainers>
std::vector<subject> describe_all() {
    std::vector<subject> all;
    mp::mp_for_each<mp::mp_transform<mp::mp_identity, Trainers>>(
        [&]<class Trainer>(mp::mp_identity<Trainer>) { all.push_back(describe<Trainer>()); });
    return all;
}

/// The compositions of one precision: a program for each.
template <class Precision>
std::vector<subject> subjects() {
    return describe_all<typename tested_in<Precision>::type>();
}

/// Every quantization scheme.
using schemes = mp::mp_list<
    snug::quantization::type_range<>, snug::quantization::absmax, snug::quantization::affine,
    snug::quantization::quantile, snug::quantization::blockwise<snug::quantization::affine_4bit, 64>,
    snug::quantization::nf4<64>, snug::quantization::fp4<64>, snug::quantization::int8<256>,
    snug::quantization::outlier_split<snug::quantization::threshold<6>, snug::quantization::absmax_4bit>,
    snug::quantization::double_quantized<snug::quantization::nf4<64>>>;

/// A model frozen in each scheme, in one precision; models take turns.
template <class Precision>
struct frozen_in {
    template <class Scheme, class I>
    using at = snug::trainer<mp::mp_at_c<models, I::value % 2>, snug::batch<2, 11>, Precision, Scheme,
                             snug::checkpointing::every<2>>;
    using type = mp::mp_transform<at, schemes, mp::mp_iota<mp::mp_size<schemes>>>;
};
template <class Precision>
std::vector<subject> frozen_subjects() {
    return describe_all<typename frozen_in<Precision>::type>();
}

}  // namespace test
