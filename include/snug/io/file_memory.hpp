// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <snug/io/file.hpp>
#include <snug/memory/arena.hpp>
#include <snug/meta.hpp>
#include <string>

/// Memory that lies in a file, for what is larger than the machine's memory and waits long.
namespace snug::SNUG_TARGET::io {

namespace detail {

/// A file without a name in a folder, open to read and write.
inline descriptor open_nameless(std::string const& folder) {
    descriptor file(uninterrupted([&] { return calls().open(folder.c_str(), O_TMPFILE | O_RDWR, 0600); }));
    if (file.get() >= 0 || (errno != EOPNOTSUPP && errno != EISDIR)) return file;
    // Some file systems have none: its name goes as soon as it is there.
    for (int attempt = 0; attempt < 100; ++attempt) {
        auto const path = folder + "/.snug-" + std::to_string(::getpid()) + '-' + std::to_string(attempt);
        file = descriptor(uninterrupted(
            [&] { return calls().open(path.c_str(), O_CREAT | O_EXCL | O_RDWR | O_CLOEXEC, 0600); }));
        if (file.get() >= 0 && calls().unlink(path.c_str()) < 0) refuse_call({path}, "unlink");
        if (file.get() >= 0 || errno != EEXIST) break;
    }
    return file;
}

/// In front of the memory that is handed out, on a page of its own: how much is mapped.
inline constexpr std::size_t room_in_front = 4096;

inline void* map_nameless(std::string const& folder, std::size_t size) {
    auto const whole = size + room_in_front;
    auto const expected = "room for " + to_string(bytes{static_cast<index_t>(whole)}) + " in that folder";
    auto const file = open_nameless(folder);
    if (file.get() < 0) refuse_call({folder}, "a file without a name", expected);
    // Room that is not there would be missed in the middle of a step, by a signal.
    int failed = 0;
    do failed = calls().reserve(file.get(), static_cast<off_t>(whole));
    while (failed == EINTR);
    if (failed != 0) {
        errno = failed;
        refuse_call({folder}, "the room of a file", expected);
    }
    void* const all = calls().map_shared(whole, file.get());
    if (all == MAP_FAILED) refuse_call({folder}, "mmap", expected);
    *static_cast<std::uint64_t*>(all) = whole;
    return static_cast<std::byte*>(all) + room_in_front;
}

inline void unmap_nameless(void* memory) {
    auto* const all = static_cast<std::byte*>(memory) - room_in_front;
    calls().unmap(all, *reinterpret_cast<std::uint64_t const*>(all));
}

}  // namespace detail

/// Each allocation is a file of its own in the folder, which has no name and is gone with its memory, whatever ends the
/// process. All of its room is taken when it is allocated. Throws `snug::error` where the folder has none.
template <text Folder>
memory_calls const& file_memory() {
    static memory_calls const of_folder{[](std::size_t, std::size_t size) -> void* {
                                            return detail::map_nameless(std::string(Folder.view()), size);
                                        },
                                        detail::unmap_nameless};
    return of_folder;
}

}  // namespace snug::SNUG_TARGET::io
