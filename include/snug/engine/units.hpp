// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <array>
#include <snug/engine/reduce.hpp>
#include <snug/engine/store.hpp>
#include <snug/kernels/elements.hpp>
#include <snug/ops/for_each_element.hpp>
#include <snug/sharding/visits.hpp>

namespace snug::SNUG_TARGET::engine {

/// How far a walk goes.
enum class walk { forward, evaluation, training };

/// Who is in the rooms that units share, during a walk. Weights of which ranks hold shares are gathered before they
/// are read, the next ones while one unit is worked on. Backward adds to a unit's gradients in its room, which is
/// empty when it comes and goes out to all ranks when it leaves; one exchange is under way while the next unit is
/// worked on. All ranks walk alike.
template <class C>
class unit_rooms {
  public:
    unit_rooms(store<C>& of, walk how) : store_(of), last_(entries_of(how)) {}
    unit_rooms(unit_rooms const&) = delete;
    unit_rooms& operator=(unit_rooms const&) = delete;

    /// The calls that follow need this unit of this block.
    void visit(sharding::visit next, index_t block) {
        auto const copy = C::groups.is_repeated(next.unit) ? block : 0;
        if (next.adds_gradients && (next.unit != adding_ || copy != copy_)) {
            leave();
            adding_ = next.unit;
            copy_ = copy;
            if (state(adding_).visits == 0) empty(adding_);
        }
        // Afterwards: what is gathered may come to where gradients were that are on their way until now.
        if constexpr (C::gathers_weights)
            if (next.reads_weights) gather(next.unit, copy);
    }

    /// At the end of a walk: everything is where it belongs.
    void finish() {
        leave();
        finish_exchanges();
        if constexpr (C::gathers_weights)
            while (position_ < begun_) wait_for(position_++);
        adding_ = -1;
        position_ = begun_ = 0;
    }

    /// Which of a unit's rooms for weights and for gradients it is in.
    index_t weight_slot(int unit) const { return state(unit).weight_slot; }
    index_t gradient_slot(int unit) const { return state(unit).gradient_slot; }

  private:
    struct unit_state {
        index_t weight_slot = 0;
        index_t gradient_slot = 0;
        int visits = 0;  ///< that have added gradients of this copy
    };
    static constexpr std::size_t units = static_cast<std::size_t>(C::groups.unit_count);
    static constexpr auto const& order = C::gatherings;
    static constexpr std::size_t entries_of(walk how) {
        return how == walk::forward ? order.forward : how == walk::evaluation ? order.evaluation : order.size;
    }

    unit_state& state(int unit) { return units_[static_cast<std::size_t>(unit)]; }
    unit_state const& state(int unit) const { return units_[static_cast<std::size_t>(unit)]; }

    template <class F>
    static void for_each_group_of(int unit, F const& f) {
        for (std::size_t g = 0; g < C::groups.size; ++g)
            if (C::groups.groups[g].unit == unit) f(g, C::places.groups[g]);
    }
    template <class F>
    static void for_each_trained_group_of(int unit, F const& f) {
        for_each_group_of(unit, [&](std::size_t g, auto const& at) {
            if (C::groups.groups[g].is_trained()) f(g, at);
        });
    }

    // Weights. `position_` is one behind the entry of the list that is worked on, `begun_` one behind the last that
    // is on its way.

    void gather(int unit, index_t copy) {
        if (position_ > 0) {
            auto const& here = order.all[position_ - 1];
            if (here.unit == unit && here.copy == copy) return;
        }
        auto const now = position_++;
        if (begun_ <= now) begin(begun_++);
        wait_for(now);
        state(unit).weight_slot = order.all[now].slot;
        for (auto const end = std::min(last_, position_ + C::sharding::prefetch); begun_ < end;)
            begin(begun_++);
    }

    void begin(std::size_t entry) {
        auto const& next = order.all[entry];
        if (!next.is_fresh) return;
        for_each_group_of(next.unit, [&](std::size_t g, auto const& at) {
            if (C::groups.groups[g].stored == sharding::storage::frozen_bytes)
                begin_array<std::byte>(entry, g, at);
            else begin_array<typename C::precision::weight>(entry, g, at);
        });
    }

    /// A share to its place in the whole array, and from there to all others.
    template <class T, class Places>
    void begin_array(std::size_t entry, std::size_t g, Places const& at) {
        auto const& next = order.all[entry];
        auto const& group = C::groups.groups[g];
        auto const share = group.count / C::shards;
        auto* const whole = store_.template at<T>(at.gathered, next.slot);
        ops::for_each_element(
            store_.on(), share,
            ops::bound<kernels::convert>(static_cast<T const*>(own_share<T>(at.weight, next.copy)),
                                         whole + store_.ranks.shard() * share));
        now_doing(store_, "gather of weights", g, next.copy);
        all_gather(store_, store_.ranks.gathering(entry), store_.ranks.of_model(),
                   as_bytes_of(whole, group.count));
    }

    void wait_for(std::size_t entry) {
        auto const& its = order.all[entry];
        if (!its.is_fresh) return;
        for_each_group_of(its.unit, [&](std::size_t g, auto const&) {
            now_doing(store_, "gather of weights", g, its.copy);
        });
        wait(store_, store_.ranks.gathering(entry));
    }

    // Gradients.

    void empty(int unit) {
        auto& slot = state(unit).gradient_slot;
        if (C::groups.is_repeated(unit)) slot = 1 - slot;
        for_each_trained_group_of(unit, [&](std::size_t g, auto const& at) {
            ops::for_each_element(store_.on(), C::groups.groups[g].count,
                                  ops::bound<kernels::set_to_zero>(room(at, slot)));
        });
    }

    void leave() {
        if (adding_ < 0) return;
        auto& its = state(adding_);
        if (++its.visits < C::gradient_visits[static_cast<std::size_t>(adding_)]) return;
        its.visits = 0;
        for_each_trained_group_of(adding_, [&](std::size_t g, auto const& at) {
            finish_exchanges();
            under_way_ = exchange_of_shares(store_, g, copy_, room(at, its.gradient_slot));
            under_way_.sum = share_of_gradients(store_, g, copy_);
            under_way_.onto = true;
            is_under_way_ = true;
            begin_exchange(store_, under_way_);
        });
    }

    void finish_exchanges() {
        if (is_under_way_) finish_exchange(store_, under_way_);
        is_under_way_ = false;
    }

    using gradient = typename C::precision::gradient;
    template <class Places>
    gradient* room(Places const& at, index_t slot) const {
        return store_.template at<gradient>(at.unit_gradient, slot);
    }
    /// Where this rank's share of a group's array begins, of which it holds nothing else.
    template <class T>
    T* own_share(region where, index_t copy) const {
        where.share = 0;
        return store_.template at<T>(where, copy);
    }

    store<C>& store_;
    std::array<unit_state, units> units_{};
    std::size_t last_;
    std::size_t position_ = 0;
    std::size_t begun_ = 0;
    int adding_ = -1;
    index_t copy_ = 0;
    exchange<C> under_way_{};
    bool is_under_way_ = false;
};

}  // namespace snug::SNUG_TARGET::engine
