// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <snug/distributed/collectives.hpp>
#include <snug/engine/store.hpp>
#include <snug/ops/copy.hpp>
#include <snug/ops/run_recorded.hpp>
#include <span>

/// Messages of a trainer's own memory to other ranks. Where that is a device's, a world moves it there, in the order of
/// the operations; or, where the world moves the program's memory only, messages are staged: what is sent is copied out
/// first, what arrives is copied in when it is waited for.
namespace snug::SNUG_TARGET::engine {

template <class T>
std::span<std::byte const> as_bytes_of(T const* first, index_t count) {
    return {reinterpret_cast<std::byte const*>(first), static_cast<std::size_t>(count) * sizeof(T)};
}
template <class T>
std::span<std::byte> as_bytes_of(T* first, index_t count) {
    return {reinterpret_cast<std::byte*>(first), static_cast<std::size_t>(count) * sizeof(T)};
}

/// The program's memory in which messages of this transfer are staged.
template <class C, class Transfer>
std::byte* staging_of(store<C> const& s, Transfer const& transfer) {
    return s.template at<std::byte>(C::places.staged, 0, transfer.room);
}

/// Begins a message of the trainer's memory.
template <class C, class Transfer>
void send(store<C> const& s, Transfer& transfer, int to, std::span<std::byte const> bytes) {
    if constexpr (C::sends_device_memory) return s.ranks.world->send(transfer.of_device, to, bytes);
    if constexpr (C::stages_messages) {
        auto* const staged = staging_of(s, transfer) + transfer.used;
        transfer.used += static_cast<index_t>(bytes.size());
        ops::copy_out(s.on(), staged, bytes.data(), bytes.size());
        bytes = {staged, bytes.size()};
    }
    s.ranks.world->send(transfer.messages, to, bytes);
}

/// Begins to wait for one that comes into the trainer's memory.
template <class C, class Transfer>
void receive(store<C> const& s, Transfer& transfer, int from, std::span<std::byte> bytes) {
    if constexpr (C::sends_device_memory) return s.ranks.world->receive(transfer.of_device, from, bytes);
    if constexpr (C::stages_messages) {
        std::span<std::byte> const staged(staging_of(s, transfer) + transfer.used, bytes.size());
        transfer.used += static_cast<index_t>(bytes.size());
        transfer.arrivals.push_back({bytes.data(), staged});
        bytes = staged;
    }
    s.ranks.world->receive(transfer.messages, from, bytes);
}

/// What has begun goes on its way: called by all that it concerns, for the same messages.
template <class C, class Transfer>
void depart(store<C> const& s, Transfer& transfer) {
    if constexpr (C::sends_device_memory) s.ranks.world->depart(transfer.of_device, s.on());
}

/// `distributed::all_gather` of the trainer's memory.
template <class C, class Transfer>
void all_gather(store<C> const& s, Transfer& transfer, distributed::group ranks, std::span<std::byte> all) {
    if constexpr (C::sends_device_memory) {
        s.ranks.world->all_gather(transfer.of_device, ranks, all);
        return depart(s, transfer);
    }
    if constexpr (C::stages_messages) {
        std::span<std::byte> const staged(staging_of(s, transfer) + transfer.used, all.size());
        transfer.used += static_cast<index_t>(all.size());
        auto const part = all.size() / static_cast<std::size_t>(ranks.count);
        auto const own = static_cast<std::size_t>(ranks.find(s.ranks.rank())) * part;
        ops::copy_out(s.on(), staged.data() + own, all.data() + own, part);
        // What is this rank's own is there already.
        transfer.arrivals.push_back({all.data(), staged.first(own)});
        transfer.arrivals.push_back({all.data() + own + part, staged.subspan(own + part)});
        all = staged;
    }
    distributed::all_gather(*s.ranks.world, transfer.messages, ranks, all);
}

/// Until all of them have come and gone.
template <class C, class Transfer>
void wait(store<C> const& s, Transfer& transfer) {
    if constexpr (C::sends_device_memory) return s.ranks.world->wait(transfer.of_device);
    s.ranks.world->wait(transfer.messages);
    if constexpr (C::stages_messages) {
        for (auto const& [to, staged] : transfer.arrivals)
            if (!staged.empty()) ops::copy_in(s.on(), to, staged.data(), staged.size());
        // Its room is used again.
        ops::copies_are_done(s.on());
        transfer.arrivals.clear();
        transfer.used = 0;
    }
}

/// Runs operations and their messages, always the same ones with the same arguments; all ranks call it for the same
/// ones. A device that sends its own messages repeats them at once, as does one that has none to send; elsewhere the
/// program has a part in each message, and runs them as they come.
template <class C, class Operations>
void repeat(store<C>& s, repeated which, Operations const& operations) {
    auto& recording = s.recordings[static_cast<std::size_t>(which)];
    if constexpr (C::sends_device_memory)
        s.ranks.world->repeat(s.on(), recording, s.ranks.under_way->repeated[static_cast<std::size_t>(which)],
                              operations);
    else if constexpr (C::is_sharded) operations();
    else ops::run_recorded(s.on(), recording, operations);
}

}  // namespace snug::SNUG_TARGET::engine
