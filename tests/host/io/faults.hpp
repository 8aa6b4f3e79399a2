// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <algorithm>
#include <array>
#include <cerrno>
#include <csignal>
#include <cstdint>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <string>

#include <unistd.h>

#include <snug/error.hpp>
#include <snug/io/file.hpp>

/// What tests of files share: a directory that goes away, calls that fail on demand, words of a refusal.
namespace test {

/// A fresh directory, removed with all that is in it.
class scratch {
  public:
    scratch() {
        std::string name = (std::filesystem::temp_directory_path() / "snug-test-XXXXXX").string();
        if (!::mkdtemp(name.data())) std::abort();
        directory_ = name;
    }
    scratch(scratch const&) = delete;
    scratch& operator=(scratch const&) = delete;
    ~scratch() {
        std::error_code ignored;
        std::filesystem::remove_all(directory_, ignored);
    }
    std::string operator/(std::string const& name) const { return (directory_ / name).string(); }
    std::int64_t files() const {
        return std::distance(std::filesystem::directory_iterator(directory_),
                             std::filesystem::directory_iterator());
    }

  private:
    std::filesystem::path directory_;
};

inline void write_file(std::string const& path, std::string const& content) {
    std::ofstream(path, std::ios::binary).write(content.data(), static_cast<std::streamsize>(content.size()));
}

inline std::string read_file(std::string const& path) {
    std::ifstream in(path, std::ios::binary);
    return {std::istreambuf_iterator<char>(in), {}};
}

/// The words of the snug::error that `action` throws; empty when it throws none.
template <class Action>
std::string refusal(Action action) {
    try {
        action();
    } catch (snug::error const& refused) {
        return refused.what();
    }
    return {};
}

enum class call {
    open,
    close,
    pread,
    write,
    pwrite,
    truncate,
    sync,
    lock,
    stat,
    read_link,
    change_mode,
    stat_open,
    rename,
    unlink,
    make_folder,
    map,
    map_shared,
    reserve,
    unmap,
    advise
};
inline constexpr int kinds_of_call = 20;

struct fault_state {
    std::array<int, kinds_of_call> made{};
    int total = 0;
    call kind{};
    int nth = 0;
    int code = 0;
    int death = 0;
    void (*deed)() = nullptr;
    bool disturbed = false;
};

/// While it lives, the library's file calls are counted, and one of them can be made to go wrong.
class faults {
  public:
    faults() : saved_(snug::io::calls()) {
        state_ = {};
        original_ = saved_;
        snug::io::calls() = {
            .open = [](char const* p, int f,
                       mode_t m) { return hit(call::open) ? -1 : original_.open(p, f, m); },
            .close = [](int f) { return hit(call::close) ? original_.close(f), -1 : original_.close(f); },
            .pread = [](int f, void* to, std::size_t n,
                        off_t at) { return hit(call::pread) ? -1 : original_.pread(f, to, cut(n), at); },
            .write = [](int f, void const* from,
                        std::size_t n) { return hit(call::write) ? -1 : original_.write(f, from, cut(n)); },
            .pwrite = [](int f, void const* from, std::size_t n,
                         off_t at) { return hit(call::pwrite) ? -1 : original_.pwrite(f, from, cut(n), at); },
            .truncate = [](int f, off_t n) { return hit(call::truncate) ? -1 : original_.truncate(f, n); },
            .sync = [](int f) { return hit(call::sync) ? -1 : original_.sync(f); },
            .lock = [](int f, int o) { return hit(call::lock) ? -1 : original_.lock(f, o); },
            .stat = [](char const* p,
                       struct ::stat* to) { return hit(call::stat) ? -1 : original_.stat(p, to); },
            .read_link =
                [](char const* p, char* to, std::size_t n) {
                    return hit(call::read_link) ? -1 : original_.read_link(p, to, n);
                },
            .change_mode = [](int f,
                              mode_t m) { return hit(call::change_mode) ? -1 : original_.change_mode(f, m); },
            .stat_open =
                [](int f, struct ::stat* to) {
                    return hit(call::stat_open) ? -1 : original_.stat_open(f, to);
                },
            .rename = [](char const* a,
                         char const* b) { return hit(call::rename) ? -1 : original_.rename(a, b); },
            .unlink = [](char const* p) { return hit(call::unlink) ? -1 : original_.unlink(p); },
            .make_folder = [](char const* p,
                              mode_t m) { return hit(call::make_folder) ? -1 : original_.make_folder(p, m); },
            .map = [](std::size_t n, int f) { return hit(call::map) ? MAP_FAILED : original_.map(n, f); },
            .map_shared =
                [](std::size_t n, int f) {
                    return hit(call::map_shared) ? MAP_FAILED : original_.map_shared(n, f);
                },
            .reserve = [](int f, off_t n) { return hit(call::reserve) ? errno : original_.reserve(f, n); },
            .unmap = [](void* p, std::size_t n) { return hit(call::unmap) ? -1 : original_.unmap(p, n); },
            .advise = [](void* p, std::size_t n,
                         int a) { return hit(call::advise) ? -1 : original_.advise(p, n, a); },
        };
    }
    faults(faults const&) = delete;
    faults& operator=(faults const&) = delete;
    ~faults() { snug::io::calls() = saved_; }

    /// Makes call number `nth` (from 1) of that kind fail.
    void fail(call kind, int nth, int code = EIO) {
        state_ = {};
        state_.kind = kind;
        state_.nth = nth;
        state_.code = code;
    }
    /// Makes the process die, or do what `deed` does, right before call number `nth` of any kind.
    void die_before(
        int nth, void (*deed)() = [] { std::raise(SIGKILL); }) {
        state_ = {};
        state_.death = nth;
        state_.deed = deed;
    }
    /// Every second call is interrupted by a signal, and none moves more than 7 bytes.
    void disturb() {
        state_ = {};
        state_.disturbed = true;
    }
    int made(call kind) const { return state_.made[static_cast<std::size_t>(kind)]; }
    int made() const { return state_.total; }

  private:
    static bool hit(call kind) {
        if (++state_.total == state_.death) state_.deed();
        auto const now = ++state_.made[static_cast<std::size_t>(kind)];
        auto const uninterruptible = kind == call::close || kind == call::map || kind == call::map_shared ||
                                     kind == call::unmap || kind == call::advise || kind == call::unlink;
        if (state_.disturbed && !uninterruptible && now % 2 == 1) return errno = EINTR, true;
        if (kind == state_.kind && now == state_.nth) return errno = state_.code, true;
        return false;
    }
    static std::size_t cut(std::size_t n) { return state_.disturbed ? std::min<std::size_t>(n, 7) : n; }

    inline static fault_state state_;
    inline static snug::io::file_calls original_;
    snug::io::file_calls saved_;
};

}  // namespace test
