// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cxxabi.h>
#include <boost/mp11/algorithm.hpp>
#include <boost/mp11/bind.hpp>
#include <cstdlib>
#include <memory>
#include <snug/plan.hpp>
#include <snug/quantization/schemes.hpp>
#include <span>
#include <string>
#include <typeinfo>
#include <vector>

#include "covering.hpp"

/// The compositions that the promises of memory are tested for. Their plans are checked for a product over the axes, without a
/// backend; they run for rows of it in which any two policies meet, and nightly for all of it.
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

using checkpointings =
    mp::mp_list<snug::checkpointing::none, snug::checkpointing::every_block, snug::checkpointing::every<2>,
                snug::checkpointing::square_root, snug::checkpointing::selective>;
using batches = mp::mp_list<snug::batch<2, 11>, snug::batch<3, 7>>;

/// Composition number I, its policies in an order of its own.
template <class Policies, class I>
using composed_in_order = mp::mp_apply<
    snug::trainer,
    mp::mp_if_c<I::value / 2 % 2 == 0,
                mp::mp_rotate_left_c<Policies, I::value % mp::mp_size<Policies>::value>,
                mp::mp_reverse<mp::mp_rotate_left_c<Policies, I::value % mp::mp_size<Policies>::value>>>>;

/// Every composition in one precision; batches take turns.
template <class Precision>
struct composed_in {
    using product = mp::mp_product<mp::mp_list, mp::mp_list<Precision>, models, accumulations, checkpointings,
                                   optimizers>;
    template <class Policies, class I>
    using at = composed_in_order<mp::mp_push_back<Policies, mp::mp_at_c<batches, I::value % 2>>, I>;
    using type = mp::mp_transform<at, product, mp::mp_iota<mp::mp_size<product>>>;
};

/// Row I of a covering of these axes, each a list of policies: some of their compositions, in which any two policies meet.
template <class... Axes>
struct covering_of {
    using rows = covering<mp::mp_size<Axes>::value...>;
    template <class I, class A>
    using policy = mp::mp_at_c<mp::mp_at<mp::mp_list<Axes...>, A>, rows::at(I::value)[A::value]>;
    template <class I>
    using at = mp::mp_transform_q<mp::mp_bind<policy, I, mp::_1>, mp::mp_iota_c<sizeof...(Axes)>>;
    using type = mp::mp_transform<at, mp::mp_iota_c<rows::rows>>;
};

class running;

/// What the tests need to know of a composition, without its type: the checks are compiled once for all of them.
struct subject {
    std::string name{};
    std::span<snug::declaration const> declarations{};
    std::span<snug::index_t const> offsets{};
    snug::memory_bill bill{};
    snug::index_t weights = 0;      ///< bytes
    snug::index_t parameters = 0;   ///< trained elements
    snug::index_t master_size = 0;  ///< bytes of one element; 0: there is none
    snug::index_t gradient_size = 0;
    snug::index_t states = 0;  ///< bytes
    snug::index_t paged_states = 0;
    snug::index_t tokens = 0;  ///< of a step
    snug::index_t vocabulary = 0;
    std::unique_ptr<running> (*start)() = nullptr;  ///< where it runs
};

/// Bytes of the weights from the shapes of the model that was given: a matrix in a scheme ends on a multiple of 64. An adapter
/// adds its own, and numbers that it derives.
template <class Composition>
snug::index_t bytes_of_weights() {
    using scheme = typename Composition::quantization;
    using precision = typename Composition::precision;
    snug::index_t total = 0;
    auto const given = Composition::chosen::model::declare_parameters();
    for (auto const& built : Composition::parameter_table.entries) {
        auto bytes = built.count * static_cast<snug::index_t>(sizeof(typename precision::weight));
        if (built.is_derived())
            bytes = built.count * static_cast<snug::index_t>(sizeof(typename precision::statistic));
        for (auto const& entry : given.entries)
            if (entry.name.view() == built.name.view())
                if constexpr (!std::is_same_v<scheme, snug::quantization::none>)
                    if (built.is_quantized())
                        bytes = snug::round_up(
                            scheme::storage({entry.dimensions[0], entry.dimensions[1]}).count, 64);
        total += built.copies * bytes;
    }
    return total;
}

/// Bytes of the states: in elements, or for tensors that are large enough in blocks of 256 codes and a scale.
template <class Composition>
snug::index_t bytes_of_states(snug::index_t alignment) {
    snug::index_t total = 0;
    for (auto const& entry : Composition::parameter_table.entries) {
        if (!entry.is_trained()) continue;
        snug::meta::for_each<typename Composition::optimizer::states>([&]<class State>(State) {
            auto bytes = entry.total() * static_cast<snug::index_t>(sizeof(typename State::element));
            if constexpr (snug::may_be_in_blocks<State>)
                if (entry.count >= 4096) bytes = entry.copies * ((entry.count + 255) / 256) * 260;
            total += snug::round_up(bytes, alignment);
        });
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
    if constexpr (snug::pages_states<typename composition::optimizer>)
        s.paged_states = bytes_of_states<composition>(snug::buffer_alignment);
    else s.states = bytes_of_states<composition>(1);
    s.tokens = Trainer::tokens_per_step;
    s.vocabulary = composition::model::vocabulary;
    return s;
}

/// The subjects of a list of trainers. `Description` makes one of a trainer.
template <class Trainers, class Description>
std::vector<subject> described(Description const& description) {
    std::vector<subject> all;
    mp::mp_for_each<mp::mp_transform<mp::mp_identity, Trainers>>(
        [&]<class Trainer>(mp::mp_identity<Trainer>) {
            all.push_back(description.template operator()<Trainer>());
        });
    return all;
}

/// Every quantization scheme.
using schemes = mp::mp_list<
    snug::quantization::type_range<>, snug::quantization::absmax, snug::quantization::affine,
    snug::quantization::quantile, snug::quantization::blockwise<snug::quantization::affine_4bit, 64>,
    snug::quantization::nf4<64>, snug::quantization::fp4<64>, snug::quantization::int8<256>,
    snug::quantization::outlier_split<snug::quantization::threshold<6>, snug::quantization::absmax_4bit>,
    snug::quantization::double_quantized<snug::quantization::nf4<64>>>;

using frozen_precisions = mp::mp_list<snug::precision::full<snug::fp32>, snug::precision::mixed<snug::bf16>,
                                      snug::precision::mixed<snug::fp16>, snug::precision::pure<snug::bf16>>;
template <class Scheme, class Precision, class Model>
using frozen_model =
    snug::trainer<Model, snug::batch<2, 11>, Precision, Scheme, snug::checkpointing::every<2>>;

/// A model frozen in each scheme, in one precision; models take turns.
template <class Precision>
struct frozen_in {
    template <class Scheme, class I>
    using at = frozen_model<Scheme, Precision, mp::mp_at_c<models, I::value % 2>>;
    using type = mp::mp_transform<at, schemes, mp::mp_iota<mp::mp_size<schemes>>>;
};
/// Every scheme twice; precisions and models take turns.
struct frozen_in_turns {
    template <class I>
    using at = frozen_model<mp::mp_at_c<schemes, I::value / 2>,
                            mp::mp_at_c<frozen_precisions, (I::value + I::value / 4) % 4>,
                            mp::mp_at_c<models, I::value / 2 % 2>>;
    using type = mp::mp_transform<at, mp::mp_iota_c<2 * mp::mp_size<schemes>::value>>;
};

// Wide enough that an adapter's matrices keep their states in blocks.
using adapted_models =
    mp::mp_list<snug::models::gpt2<snug::layers<3>, snug::heads<3>, snug::width<96>, snug::vocabulary<37>,
                                   snug::context<11>>,
                snug::models::llama<snug::layers<3>, snug::heads<4>, snug::kv_heads<2>, snug::width<96>,
                                    snug::mlp<131>, snug::vocabulary<41>, snug::context<16>>>;
using adapters =
    mp::mp_list<snug::adapters::lora<snug::rank<43>>,
                snug::adapters::lora<snug::rank<3>, snug::alpha<7>, snug::dropout<std::ratio<1, 10>>,
                                     snug::also_train<snug::norms, snug::embeddings>>,
                snug::adapters::dora<snug::rank<5>>>;
using adapter_storage = mp::mp_list<snug::quantization::none, snug::quantization::nf4<32>,
                                    snug::quantization::double_quantized<snug::quantization::nf4<64>>>;
using adapter_states =
    mp::mp_list<snug::optimizers::adamw<>, snug::optimizers::adamw<snug::optimizers::states<snug::int8>>,
                snug::optimizers::paged<snug::optimizers::adamw<snug::optimizers::states<snug::int8>>>>;
using adapter_checkpointings =
    mp::mp_list<snug::checkpointing::none, snug::checkpointing::every_block, snug::checkpointing::selective>;
using adapted_precisions = mp::mp_list<snug::precision::full<snug::fp32>, snug::precision::mixed<snug::bf16>>;
template <class... Policies>
using adapted = snug::trainer<snug::batch<2, 11>, Policies...>;

/// Adapters x quantization x optimizer states x checkpointing in one precision: 27 of the 81, chosen so that any three of the
/// four axes meet in every combination (an orthogonal array). Models take turns.
template <class Precision>
struct adapted_in {
    using product = mp::mp_product<mp::mp_list, adapters, adapter_storage, adapter_states>;
    template <class Policies, class I>
    using at = mp::mp_append<
        adapted<Precision, mp::mp_at_c<adapted_models, I::value % 2>,
                mp::mp_at_c<adapter_checkpointings, (I::value / 9 + I::value / 3 + I::value) % 3>>,
        mp::mp_rename<Policies, snug::trainer>>;
    using type = mp::mp_transform<at, product, mp::mp_iota<mp::mp_size<product>>>;
};

}  // namespace test
