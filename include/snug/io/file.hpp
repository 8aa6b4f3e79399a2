// SPDX-License-Identifier: Apache-2.0
#pragma once

/// \file
/// The io room: what comes from files and goes to them. Files are untrusted: every size is a `checked`,
/// everything is validated before any of it is handed out, and a refusal is a `snug::error` with file,
/// offset, found, expected.
///
/// This header is the one seam to the file system: every file call of the library is made through `calls()`,
/// so a test can make the n-th call of any kind fail.

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <span>
#include <string>
#include <string_view>
#include <system_error>
#include <utility>

#include <fcntl.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/types.h>
#include <unistd.h>

#include <snug/error.hpp>
#include <snug/io/size.hpp>

namespace snug::SNUG_TARGET::io {

/// The calls of POSIX that the library makes, with POSIX's meaning: -1 (MAP_FAILED) and errno on failure.
struct file_calls {
    int (*open)(char const* path, int flags, mode_t mode);
    int (*close)(int file);
    ssize_t (*pread)(int file, void* to, std::size_t count, off_t offset);
    ssize_t (*write)(int file, void const* from, std::size_t count);
    ssize_t (*pwrite)(int file, void const* from, std::size_t count, off_t offset);
    int (*truncate)(int file, off_t size);
    int (*sync)(int file);
    int (*lock)(int file, int operation);
    int (*stat)(char const* path, struct ::stat* to);
    ssize_t (*read_link)(char const* path, char* to, std::size_t count);
    int (*change_mode)(int file, mode_t mode);
    int (*stat_open)(int file, struct ::stat* to);
    int (*rename)(char const* from, char const* to);
    int (*unlink)(char const* path);
    int (*make_folder)(char const* path, mode_t mode);
    void* (*map)(std::size_t size, int file);
    void* (*map_shared)(std::size_t size, int file);
    int (*reserve)(int file, off_t size);  ///< the error itself, or 0
    int (*unmap)(void* address, std::size_t size);
    int (*advise)(void* address, std::size_t size, int advice);
};

/// The table that every file call goes through. Tests replace its members while no other thread uses files.
inline file_calls& calls() noexcept {
    static constinit file_calls table{
        .open = [](char const* path, int flags, mode_t mode) { return ::open(path, flags, mode); },
        .close = ::close,
        .pread = ::pread,
        .write = ::write,
        .pwrite = ::pwrite,
        .truncate = ::ftruncate,
        .sync = ::fsync,
        .lock = ::flock,
        .stat = [](char const* path, struct ::stat* to) { return ::stat(path, to); },
        .read_link = ::readlink,
        .change_mode = ::fchmod,
        .stat_open = [](int file, struct ::stat* to) { return ::fstat(file, to); },
        .rename = [](char const* from, char const* to) { return std::rename(from, to); },
        .unlink = ::unlink,
        .make_folder = ::mkdir,
        .map = [](std::size_t size,
                  int file) { return ::mmap(nullptr, size, PROT_READ, MAP_PRIVATE, file, 0); },
        .map_shared =
            [](std::size_t size, int file) {
                return ::mmap(nullptr, size, PROT_READ | PROT_WRITE, MAP_SHARED, file, 0);
            },
        .reserve = [](int file, off_t size) { return ::posix_fallocate(file, 0, size); },
        .unmap = ::munmap,
        .advise = ::madvise,
    };
    return table;
}

/// Text from a file as it may stand in a message: one line, quoted, nothing unprintable, not endless.
inline std::string printable(std::string_view text) {
    std::size_t longest = 120;
    bool const is_whole = text.size() <= longest;
    if (!is_whole)  // not within a sign of several bytes
        while (longest > 116 && (static_cast<unsigned char>(text[longest]) & 0xc0) == 0x80) --longest;
    return '"' + harmless(text.substr(0, longest), "\"\\") + (is_whole ? "\"" : "...\"");
}

namespace detail {

/// Repeats a call that a signal interrupted.
template <class Call>
auto uninterrupted(Call call) {
    auto result = call();
    while (result == -1 && errno == EINTR) result = call();
    return result;
}

/// Throws what errno says about a failed call.
[[noreturn]] inline void refuse_call(place where, std::string const& what, std::string expected = {}) {
    if (errno == ENOENT) throw error(std::move(where), "no such file or directory", std::move(expected));
    auto const reason = std::system_category().message(errno);
    throw error(std::move(where), "an error on " + what + " (" + reason + ")", std::move(expected));
}

/// Owns a file descriptor.
class descriptor {
  public:
    descriptor() = default;
    explicit descriptor(int number) noexcept : number_(number) {}
    descriptor(descriptor&& other) noexcept : number_(std::exchange(other.number_, -1)) {}
    descriptor& operator=(descriptor&& other) noexcept {
        std::swap(number_, other.number_);
        return *this;
    }
    ~descriptor() {
        // What had to last was synced before, with its errors; there is nothing left that close could report.
        if (number_ >= 0) calls().close(number_);
    }
    int get() const noexcept { return number_; }

  private:
    int number_ = -1;
};

inline struct ::stat status_of(descriptor const& file, std::string const& path) {
    struct ::stat status {};
    if (uninterrupted([&] { return calls().stat_open(file.get(), &status); }) < 0)
        refuse_call({path}, "stat");
    return status;
}

inline void require_regular(place where, struct ::stat const& status, std::string expected) {
    if (S_ISREG(status.st_mode)) return;
    throw error(std::move(where),
                S_ISDIR(status.st_mode) ? "a directory" : "something that is not a regular file",
                std::move(expected));
}

/// Throws what errno says about an open that must not wait.
[[noreturn]] inline void refuse_open(place where, std::string expected) {
    if (errno == ENXIO)  // a pipe that nobody reads, or a socket
        throw error(std::move(where), "something that is not a regular file", std::move(expected));
    refuse_call(std::move(where), "open", std::move(expected));
}

/// Writes all of it, however many calls that takes.
inline void write_all(int file, std::string const& path, checked offset, std::span<std::byte const> data) {
    while (!data.empty()) {
        auto const written = uninterrupted([&] { return calls().write(file, data.data(), data.size()); });
        if (written < 0) refuse_call({path, offset.index()}, "write");
        if (written == 0) throw error({path, offset.index()}, "a file that takes no more bytes", "");
        offset += written;
        data = data.subspan(static_cast<std::size_t>(written));
    }
}

}  // namespace detail

/// There is a folder at `path`. What is wrong with any other path is said when it is opened.
inline bool is_folder(std::string const& path) {
    struct ::stat status {};
    return detail::uninterrupted([&] { return calls().stat(path.c_str(), &status); }) == 0 &&
           S_ISDIR(status.st_mode);
}

/// There is something at `path`. Throws when the system does not say.
inline bool is_there(std::string const& path) {
    struct ::stat status {};
    if (detail::uninterrupted([&] { return calls().stat(path.c_str(), &status); }) == 0) return true;
    if (errno != ENOENT) detail::refuse_call({path}, "stat");
    return false;
}

/// Makes a folder, unless it is there. Throws when that fails.
inline void make_folder(std::string const& path) {
    if (detail::uninterrupted([&] { return calls().make_folder(path.c_str(), 0777); }) == 0 ||
        is_folder(path))
        return;
    detail::refuse_call({path}, "mkdir", "a folder that can be made, or is there");
}

/// The path of a file in a folder.
inline std::string in_folder(std::string const& folder, std::string_view name) {
    return folder + (folder.ends_with('/') ? "" : "/") + std::string(name);
}

/// A regular file open for reading.
class input_file {
  public:
    /// Throws when `path` is missing, unreadable, or not a regular file.
    explicit input_file(std::string path) : path_(std::move(path)) {
        // Not blocking: opening a pipe would otherwise wait for its other end.
        file_ = detail::descriptor(detail::uninterrupted(
            [&] { return calls().open(path_.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK, 0); }));
        if (file_.get() < 0) detail::refuse_open({path_}, "a readable file");
        auto const status = detail::status_of(file_, path_);
        detail::require_regular({path_}, status, "a file");
        size_ = checked(status.st_size);
    }

    std::string const& path() const noexcept { return path_; }
    /// Bytes in the file when it was opened.
    checked size() const noexcept { return size_; }
    int descriptor() const noexcept { return file_.get(); }

    /// Fills `to` from `offset`. Throws when the file ends before.
    void read_at(checked offset, std::span<std::byte> to) const {
        while (!to.empty()) {
            auto const from = offset.narrow<off_t>();
            auto const count =
                detail::uninterrupted([&] { return calls().pread(file_.get(), to.data(), to.size(), from); });
            if (count < 0) detail::refuse_call({path_, from}, "read");
            if (count == 0)
                throw error({path_, from}, "the end of the file", std::to_string(to.size()) + " more bytes");
            offset += count;
            to = to.subspan(static_cast<std::size_t>(count));
        }
    }

  private:
    std::string path_;
    detail::descriptor file_;
    checked size_;
};

/// A whole file as read-only memory. The file must not be made shorter in place while it is mapped (the
/// system answers a read past the end with SIGBUS); replacing it by rename, as `output_file` does, is safe.
class mapping {
  public:
    explicit mapping(std::string path) : mapping(input_file(std::move(path))) {}

    explicit mapping(input_file const& file) : path_(file.path()) {
        auto const size = file.size().narrow<std::size_t>();
        if (size == 0) return;  // mmap refuses an empty range
        auto* const address = calls().map(size, file.descriptor());
        if (address == MAP_FAILED) detail::refuse_call({path_}, "mmap");
        bytes_ = {static_cast<std::byte const*>(address), size};
    }
    mapping(mapping&& other) noexcept
        : path_(std::move(other.path_)), bytes_(std::exchange(other.bytes_, {})) {}
    mapping& operator=(mapping&& other) noexcept {
        std::swap(path_, other.path_);
        std::swap(bytes_, other.bytes_);
        return *this;
    }
    ~mapping() {
        if (!bytes_.empty()) calls().unmap(address(), bytes_.size());
    }

    std::string const& path() const noexcept { return path_; }
    std::span<std::byte const> bytes() const noexcept { return bytes_; }
    checked size() const noexcept { return bytes_.size(); }

    /// `count` bytes from `offset`. Throws when the file does not hold them.
    std::span<std::byte const> bytes(checked offset, checked count) const {
        if (offset > size() || count > size() - offset)
            throw error({path_, static_cast<std::int64_t>(std::min(offset.value(), size().value()))},
                        "a file of " + std::to_string(bytes_.size()) + " bytes",
                        std::to_string(count.value()) + " bytes from byte " + std::to_string(offset.value()));
        return bytes_.subspan(offset.narrow<std::size_t>(), count.narrow<std::size_t>());
    }

    /// Takes the pages out of this process's resident memory; reading them again brings them back. Without it
    /// a pass over a large file would count as memory of the training run.
    void forget() const noexcept {
        if (!bytes_.empty()) calls().advise(address(), bytes_.size(), MADV_DONTNEED);
    }

  private:
    void* address() const noexcept { return const_cast<std::byte*>(bytes_.data()); }

    std::string path_;
    std::span<std::byte const> bytes_;
};

/// A file that appears whole or not at all. Bytes go to `PATH.partial` beside the target; `commit()` syncs
/// it, renames it over the target and syncs the directory. Without `commit()` the target stays as it was and
/// the partial file is removed. After a kill the target is the old or the new file, and a partial file that
/// was left behind is taken over by the next writer. Two writers at once of one target: the second is
/// refused. Where `PATH` is a symbolic link, the target is the file it leads to. A file that is replaced hands on
/// who may read and write it (its mode).
class output_file {
  public:
    /// Throws when the directory can't be written, when the target exists and is not a regular file, when the
    /// partial file is something that a writer would not have left, or when somebody else is writing it.
    explicit output_file(std::string path)
        : path_(std::move(path)), target_(followed(path_)), partial_(target_ + ".partial") {
        struct ::stat target {};
        if (detail::uninterrupted([&] { return calls().stat(target_.c_str(), &target); }) == 0) {
            detail::require_regular({path_}, target, "a file, or nothing yet");
            replaces_ = true;
            mode_ = target.st_mode & permissions;
        } else if (errno != ENOENT) {
            detail::refuse_call({path_}, "stat");
        }
        // Opened now: after the rename there must be as little left to fail as possible.
        auto const directory = parent(target_);
        directory_ = detail::descriptor(detail::uninterrupted(
            [&] { return calls().open(directory.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC, 0); }));
        if (directory_.get() < 0) detail::refuse_call({directory}, "open", "a directory to write in");
        try {
            for (int attempts = 1; !claim(); ++attempts)
                if (attempts == 10)
                    throw error({partial_}, "a file that changes hands", "one writer at a time");
            if (detail::uninterrupted([&] { return calls().truncate(file_.get(), 0); }) < 0)
                detail::refuse_call({partial_}, "truncate");
            // Before the first byte; so that a writer after a kill can open it, with the right to write.
            if (replaces_) change_mode(mode_ | S_IWUSR);
        } catch (...) {
            discard();
            throw;
        }
    }
    output_file(output_file const&) = delete;
    output_file& operator=(output_file const&) = delete;
    ~output_file() { discard(); }

    std::string const& path() const noexcept { return path_; }
    /// Bytes appended so far.
    checked size() const noexcept { return size_; }

    /// So much is appended before it is synced. Ranks that wait for the one that writes must hear from it, and a single sync of
    /// a large file on a slow disk would take longer than their patience.
    static constexpr std::size_t longest_unsynced = std::size_t{256} << 20;

    /// Appends.
    void write(std::span<std::byte const> data) {
        whole_ = false;
        detail::write_all(file_.get(), path_, size_, data);
        size_ += data.size();
        unsynced_ += data.size();
        if (unsynced_ >= longest_unsynced) sync();
        whole_ = true;
    }
    void write(std::string_view text) { write(std::as_bytes(std::span(text))); }

    /// Overwrites bytes that were written before.
    void write_at(checked offset, std::span<std::byte const> data) {
        if (offset + data.size() > size_)
            throw error({path_, offset.index()}, std::to_string(data.size()) + " bytes to overwrite",
                        "bytes among the " + std::to_string(size_.value()) + " written before");
        whole_ = false;
        while (!data.empty()) {
            auto const to = offset.narrow<off_t>();
            auto const written = detail::uninterrupted(
                [&] { return calls().pwrite(file_.get(), data.data(), data.size(), to); });
            if (written < 0) detail::refuse_call({path_, to}, "write");
            if (written == 0) throw error({path_, to}, "a file that takes no more bytes", "");
            offset += written;
            data = data.subspan(static_cast<std::size_t>(written));
        }
        whole_ = true;
    }

    /// Makes the file the target, lastingly; once, and only when no write failed. When it throws, the target
    /// is the old file; only when the very last call fails, the sync of the directory, it is the new one,
    /// whole, but a power cut may still undo it.
    void commit() {
        if (!std::exchange(whole_, false))
            throw error({path_}, "a file that was committed or whose writing failed",
                        "all writes to succeed first");
        if (replaces_) change_mode(mode_);
        sync();
        if (detail::uninterrupted([&] { return calls().rename(partial_.c_str(), target_.c_str()); }) < 0)
            detail::refuse_call({path_}, "rename from " + partial_);
        claimed_ = false;
        // EINVAL: a file system whose directories can't be synced; there is nothing more to do there.
        if (detail::uninterrupted([&] { return calls().sync(directory_.get()); }) < 0 && errno != EINVAL)
            detail::refuse_call({path_}, "sync of the directory");
        file_ = detail::descriptor();
    }

  private:
    static std::string parent(std::string const& path) {
        auto const slash = path.rfind('/');
        return slash == std::string::npos ? "." : path.substr(0, slash + 1);
    }

    /// The path of the file that a symbolic link leads to, whether it is there or not; any other path as it is.
    static std::string followed(std::string const& path) {
        constexpr int most = 40;  // as Linux has it
        auto result = path;
        std::array<char, 4096> link;
        for (int links = 0;; ++links) {
            auto const length = detail::uninterrupted(
                [&] { return calls().read_link(result.c_str(), link.data(), link.size()); });
            if (length < 0) {
                if (errno == EINVAL || errno == ENOENT || errno == ENOTDIR) return result;
                detail::refuse_call({path}, "readlink");
            }
            if (links == most || static_cast<std::size_t>(length) == link.size())
                throw error({path}, "a link that leads nowhere", "a file, or nothing yet");
            std::string_view const to(link.data(), static_cast<std::size_t>(length));
            auto const slash = to.starts_with('/') ? std::string::npos : result.rfind('/');
            result = result.substr(0, slash + 1).append(to);  // npos + 1 is 0
        }
    }

    void sync() {
        if (detail::uninterrupted([&] { return calls().sync(file_.get()); }) < 0)
            detail::refuse_call({path_}, "sync");
        unsynced_ = 0;
    }

    void change_mode(mode_t mode) {
        if (mode == current_mode_) return;
        if (detail::uninterrupted([&] { return calls().change_mode(file_.get(), mode); }) < 0)
            detail::refuse_call({path_}, "chmod");
        current_mode_ = mode;
    }

    /// Opens and locks the partial file. False when another writer renamed it before the lock was ours: try
    /// again.
    bool claim() {
        constexpr auto* expected = "nothing, or a file that a writer left when it was killed";
        file_ = detail::descriptor(detail::uninterrupted([&] {
            return calls().open(partial_.c_str(), O_WRONLY | O_CREAT | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK,
                                0666);
        }));
        if (file_.get() < 0) detail::refuse_open({partial_}, "a place to write to");
        struct ::stat ours {};
        bool const is_known =
            detail::uninterrupted([&] { return calls().stat_open(file_.get(), &ours); }) == 0;
        if (is_known) {
            detail::require_regular({partial_}, ours, expected);
            // What is written here would be in another file as well.
            if (ours.st_nlink > 1)
                throw error({partial_}, "a file with another name (a hard link)", expected);
            current_mode_ = ours.st_mode & permissions;
        }
        // The lock goes with the process, so one that was killed is in nobody's way. A file system that knows
        // no locks still gives everything but the refusal of a second writer.
        if (detail::uninterrupted([&] { return calls().lock(file_.get(), LOCK_EX | LOCK_NB); }) < 0 &&
            errno == EWOULDBLOCK)
            throw error({path_}, "another process that is writing this file", "one writer at a time");
        struct ::stat named {};
        claimed_ = is_known &&
                   detail::uninterrupted([&] { return calls().stat(partial_.c_str(), &named); }) == 0 &&
                   ours.st_dev == named.st_dev && ours.st_ino == named.st_ino;
        return claimed_;
    }

    void discard() noexcept {
        if (std::exchange(claimed_, false)) calls().unlink(partial_.c_str());
    }

    static constexpr mode_t permissions = 0777;

    std::string path_;
    std::string target_;  ///< where the path leads to
    std::string partial_;
    bool replaces_ = false;
    mode_t mode_ = 0;          ///< of the file that is replaced
    mode_t current_mode_ = 0;  ///< of the partial file
    detail::descriptor directory_;
    detail::descriptor file_;
    bool claimed_ = false;
    bool whole_ = true;
    checked size_;
    std::size_t unsynced_ = 0;
};

/// A text file that grows line by line, such as metrics: kept up to the last line when the process dies.
class append_file {
  public:
    /// Goes on behind what the file holds, or begins it.
    explicit append_file(std::string path) : path_(std::move(path)) {
        constexpr auto* expected = "a file to append to";
        file_ = detail::descriptor(detail::uninterrupted([&] {
            return calls().open(path_.c_str(), O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC | O_NONBLOCK, 0666);
        }));
        if (file_.get() < 0) detail::refuse_open({path_}, expected);
        detail::require_regular({path_}, detail::status_of(file_, path_), expected);
    }
    void write(std::string_view text) {
        detail::write_all(file_.get(), path_, size_, std::as_bytes(std::span(text)));
        size_ += text.size();
    }

  private:
    std::string path_;
    detail::descriptor file_;
    checked size_;
};

}  // namespace snug::SNUG_TARGET::io
