// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <sys/resource.h>
#include <unistd.h>
#include <chrono>
#include <cstdint>
#include <cstdio>

namespace example {

using clock = std::chrono::steady_clock;

inline double seconds_since(clock::time_point start) {
    return std::chrono::duration<double>(clock::now() - start).count();
}

/// The most that this process has had in memory so far.
inline double resident_mebibytes() {
    rusage usage{};
    getrusage(RUSAGE_SELF, &usage);
    return static_cast<double>(usage.ru_maxrss) / 1024;
}

/// What the progress line shows.
struct progress {
    std::int64_t step = 0;
    std::int64_t total = 0;        ///< 0: not known yet
    double loss = 0;               ///< running mean
    double validation = 0;         ///< 0: none yet
    double tokens_per_second = 0;  ///< running mean
    double mebibytes = 0;
    double seconds_left = 0;

    void update(std::int64_t done, std::int64_t of, double step_loss, double speed) {
        auto const weight = step == 0 ? 1 : 0.05;
        step = done;
        total = of;
        loss += weight * (step_loss - loss);
        tokens_per_second += weight * (speed - tokens_per_second);
    }
};

/// One line that is written over and over on a terminal, and now and then a new one elsewhere.
class progress_line {
  public:
    /// `may_be_terminal`: standard output is one if it looks like it. That of a process that mpirun has started always does.
    explicit progress_line(bool may_be_terminal) : terminal_(may_be_terminal && isatty(STDOUT_FILENO) != 0) {}
    progress_line(progress_line const&) = delete;
    progress_line& operator=(progress_line const&) = delete;
    /// Leaves the last state standing; what follows begins on a line of its own.
    ~progress_line() {
        if (open_) std::printf("\n");
        std::fflush(stdout);
    }

    void show(progress const& now, bool important) {
        auto const since = seconds_since(last_);
        if (!important && since < (terminal_ ? 0.1 : 10)) return;
        last_ = clock::now();
        // A terminal that is too narrow cuts the line off instead of breaking it in two.
        if (terminal_) std::printf("\r\033[?7l");
        std::printf("step %lld/", static_cast<long long>(now.step));
        if (now.total > 0) std::printf("%lld", static_cast<long long>(now.total));
        else std::printf("...");
        std::printf("  loss %.3f", now.loss);
        if (now.validation > 0) std::printf("  validation %.3f", now.validation);
        std::printf("  %.0f tokens/s  memory %.0f MiB", now.tokens_per_second, now.mebibytes);
        if (now.total > 0) {
            auto const left = static_cast<long long>(now.seconds_left + 0.5);
            std::printf("  %lld:%02lld left", left / 60, left % 60);
        }
        std::printf(terminal_ ? "\033[K\033[?7h" : "\n");
        std::fflush(stdout);
        open_ = terminal_;
    }

  private:
    bool terminal_;
    bool open_ = false;
    clock::time_point last_{};
};

}  // namespace example
