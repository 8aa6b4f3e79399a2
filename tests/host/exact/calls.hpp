// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <malloc.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>
#include <array>
#include <atomic>
#include <cerrno>
#include <cstddef>
#include <cstdlib>
#include <ostream>

/// Counts every call in this process that gets memory, by whichever library: what this header defines takes the place of
/// the C library's functions for all of them. `operator new` ends in one of these. Include it in one file of a program.
/// AddressSanitizer needs these names for itself; there nothing is counted.
#if defined(__SANITIZE_ADDRESS__)
#define SNUG_TEST_COUNTS_CALLS 0
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#define SNUG_TEST_COUNTS_CALLS 0
#endif
#endif
#if !defined(SNUG_TEST_COUNTS_CALLS)
#define SNUG_TEST_COUNTS_CALLS 1
#endif

namespace test {

enum class call { malloc, calloc, realloc, posix_memalign, aligned_alloc, memalign, mmap };
inline constexpr std::size_t kinds_of_call = 7;

/// How often each function was called.
struct tally {
    std::array<long, kinds_of_call> calls{};

    long operator[](call kind) const { return calls[static_cast<std::size_t>(kind)]; }
    friend bool operator==(tally const&, tally const&) = default;
    friend tally operator-(tally a, tally const& b) {
        for (std::size_t i = 0; i < kinds_of_call; ++i) a.calls[i] -= b.calls[i];
        return a;
    }
    friend std::ostream& operator<<(std::ostream& out, tally const& t) {
        constexpr std::array names{"malloc",        "calloc",   "realloc", "posix_memalign",
                                   "aligned_alloc", "memalign", "mmap"};
        for (std::size_t i = 0; i < kinds_of_call; ++i) out << names[i] << ' ' << t.calls[i] << ' ';
        return out;
    }
};

inline std::array<std::atomic<long>, kinds_of_call> counters{};

/// Calls since the program started.
inline tally calls() {
    tally result;
    for (std::size_t i = 0; i < kinds_of_call; ++i) result.calls[i] = counters[i].load();
    return result;
}

inline void count(call kind) {
    counters[static_cast<std::size_t>(kind)].fetch_add(1, std::memory_order_relaxed);
}

}  // namespace test

#if SNUG_TEST_COUNTS_CALLS
extern "C" {
void* __libc_malloc(std::size_t);
void* __libc_calloc(std::size_t, std::size_t);
void* __libc_realloc(void*, std::size_t);
void* __libc_memalign(std::size_t, std::size_t);

void* malloc(std::size_t size) noexcept {
    test::count(test::call::malloc);
    return __libc_malloc(size);
}
void* calloc(std::size_t count, std::size_t size) noexcept {
    test::count(test::call::calloc);
    return __libc_calloc(count, size);
}
void* realloc(void* old, std::size_t size) noexcept {
    test::count(test::call::realloc);
    return __libc_realloc(old, size);
}
int posix_memalign(void** result, std::size_t alignment, std::size_t size) noexcept {
    test::count(test::call::posix_memalign);
    void* const memory = __libc_memalign(alignment, size);
    if (!memory) return ENOMEM;
    *result = memory;
    return 0;
}
void* aligned_alloc(std::size_t alignment, std::size_t size) noexcept {
    test::count(test::call::aligned_alloc);
    return __libc_memalign(alignment, size);
}
void* memalign(std::size_t alignment, std::size_t size) noexcept {
    test::count(test::call::memalign);
    return __libc_memalign(alignment, size);
}
void* mmap(void* address, std::size_t size, int protection, int flags, int file, off_t offset) noexcept {
    test::count(test::call::mmap);
    return reinterpret_cast<void*>(syscall(SYS_mmap, address, size, protection, flags, file, offset));
}
void* mmap64(void* address, std::size_t size, int protection, int flags, int file, off64_t offset) noexcept {
    test::count(test::call::mmap);
    return reinterpret_cast<void*>(syscall(SYS_mmap, address, size, protection, flags, file, offset));
}
}
#endif
