// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <snug/backend/host/tag.hpp>
#include <snug/engine/store.hpp>
#include <snug/ops/copy.hpp>

namespace snug::SNUG_TARGET::engine {

/// The lasting memory of a trainer (weights, states, and the room in which values are quantized) as the
/// program's own, for what the program does itself with files. That is the memory itself or, where a device
/// has it, a copy for as long as this lives: taken when it begins, put back by `write_back`.
template <class C>
class host_view {
  public:
    explicit host_view(store<C> const& of) : store_(of), copy_(copied(of)) {}
    host_view(host_view const&) = delete;
    host_view& operator=(host_view const&) = delete;

    memory_view<C> view() const {
        if constexpr (is_copied)
            return memory_view<C>(copy_.data(), store_.view().base(space::host_memory), store_.ranks.shard());
        else return store_.view();
    }
    template <class T>
    T* at(region where, index_t copy = 0, index_t element = 0) const {
        return view().template at<T>(where, copy, element);
    }

    auto on() const { return store_.on_host(); }

    void write_back() const {
        if constexpr (is_copied)
            ops::copy_in(store_.on(), store_.view().base(space::device_memory), copy_.data(), lasting_bytes);
    }

  private:
    using backend = typename C::backend;
    static constexpr bool is_copied = !in_program_memory<backend>;

    static constexpr std::size_t end_of(bool (*wanted)(std::size_t)) {
        index_t end = 0;
        for (std::size_t i = 0; i < C::plan.declarations.size(); ++i)
            if (wanted(i)) end = std::max(end, C::plan.offsets[i] + C::plan.declarations[i].size().count);
        return static_cast<std::size_t>(end);
    }
    static constexpr std::size_t lasting_bytes = end_of([](std::size_t i) {
        auto const& declared = C::plan.declarations[i];
        return declared.where == space::device_memory && declared.alive.forever;
    });
    // Values on their way into a quantized matrix, and whole arrays of which this rank holds a share, begin where the lasting
    // memory ends, or further up.
    static constexpr std::size_t copied_bytes =
        std::max(lasting_bytes, end_of([](std::size_t i) {
                     auto const is = [&](region where) { return where.declaration == static_cast<int>(i); };
                     for (auto const& group : C::places.groups)
                         if (is(group.gathered)) return true;
                     return is(C::places.quantization_source);
                 }));

    static arena copied(store<C> const& of) {
        auto const from = of.view();
        if constexpr (is_copied) {
            arena copy({static_cast<index_t>(copied_bytes)});
            ops::copy_out(of.on(), copy.data(), from.base(space::device_memory), lasting_bytes);
            return copy;
        } else {
            return {};
        }
    }

    store<C> const& store_;
    arena copy_;
};

}  // namespace snug::SNUG_TARGET::engine
