// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <array>
#include <cstring>
#include <snug/engine/collect.hpp>
#include <snug/engine/executor.hpp>
#include <snug/engine/host_view.hpp>
#include <utility>

/// Weights of which ranks hold shares, whole where the program reads them itself.
namespace snug::SNUG_TARGET::engine {

/// Where all weights of a copy of parameter p are; of those that ranks hold shares of, once they are brought there.
struct place_of_copy {
    region where{};
    index_t copy = 0;
};
template <class C>
place_of_copy weights_at_hand(int p, index_t copy) {
    auto const where = C::weight_in_use(p);
    return {where, copy % C::plan.declarations[static_cast<std::size_t>(where.declaration)].copies};
}

/// Brings layers of which ranks hold shares to where their calls read them, on rank 0 or on every rank. Calls nobody
/// where the weights are whole anyway.
template <class C>
class bringing_of_layers {
  public:
    bringing_of_layers(store<C> const& s, host_view<C> const& here, audience who)
        : store_(s), here_(here), who_(who) {
        there_.fill(-1);
        for (int p = 0; p < C::parameters; ++p) layers_[static_cast<std::size_t>(p)] = {p, p + 1};
        if constexpr (C::gathers_weights)
            for_each_leaf(here.view(), {}, [&]<class Node>(auto const&, index_t) {
                auto const first = Node::first_parameter;
                auto const end = first + static_cast<int>(meta::size<layer::parameters<typename Node::type>>);
                for (int p = first; p < end; ++p) layers_[static_cast<std::size_t>(p)] = {first, end};
            });
    }

    /// A copy of the layer that parameter p is one of. All ranks call it.
    void operator()(int p, index_t copy) {
        if constexpr (C::gathers_weights) {
            auto const [first, end] = layers_[static_cast<std::size_t>(p)];
            for (int q = first; q < end; ++q) bring(q, copy);
        }
    }

  private:
    void bring(int p, index_t copy) {
        auto const& entry = C::entry(p);
        auto& there = there_[static_cast<std::size_t>(p)];
        if (!C::is_gathered(p) || there == copy) return;
        there = copy;
        auto const size = entry.is_quantized() ? entry.stored_bytes
                                               : entry.count * index_t{sizeof(typename C::precision::weight)};
        auto const place = weights_at_hand<C>(p, copy);
        auto* to = here_.template at<std::byte>(place.where, place.copy);
        collect(store_, here_.view(), {C::weight(p), size, entry.copies}, copy, 0, size, who_,
                [&](std::span<std::byte const> bytes) {
                    std::memcpy(to, bytes.data(), bytes.size());
                    to += bytes.size();
                });
    }

    store<C> const& store_;
    host_view<C> const& here_;
    audience who_;
    std::array<std::pair<int, int>, static_cast<std::size_t>(C::parameters)> layers_{};
    std::array<index_t, static_cast<std::size_t>(C::parameters)> there_{};
};

}  // namespace snug::SNUG_TARGET::engine
