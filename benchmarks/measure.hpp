// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <omp.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <ctime>
#include <random>
#include <snug/snug.hpp>
#include <string_view>
#include <vector>

/// What the benchmarks share: clock, medians, random tokens, arguments, resident memory.
namespace measure {

/// Processor time of the process instead of the time on the clock (`--processor`): with OMP_NUM_THREADS=1 other work on
/// the machine disturbs it less. With more threads it counts their waiting for each other too.
inline bool processor_time = false;

inline double now() {
    std::timespec t{};
    clock_gettime(processor_time ? CLOCK_PROCESS_CPUTIME_ID : CLOCK_MONOTONIC, &t);
    return static_cast<double>(t.tv_sec) + 1e-9 * static_cast<double>(t.tv_nsec);
}

template <class Call>
double seconds_of(Call&& call) {
    double const start = now();
    call();
    return now() - start;
}

/// Times of one kind of call. The median is the figure; the fastest one says how far other work on the machine
/// disturbed it.
struct times {
    std::vector<double> seconds;

    template <class Call>
    void add(Call&& call) {
        seconds.push_back(seconds_of(call));
    }
    double median() const {
        auto sorted = seconds;
        std::sort(sorted.begin(), sorted.end());
        return sorted[sorted.size() / 2];
    }
    double fastest() const { return *std::min_element(seconds.begin(), seconds.end()); }
};

/// A step against the roofline: what snug::work says that it does, by its median time. Operations are those of products and of
/// attention's causal half, what is computed again included; bytes are those that must move.
template <class T>
void print_work(char const* name, times const& steps) {
    auto const gflop = static_cast<double>(snug::work<T>.step().total()) * 1e-9;
    auto const gigabytes = static_cast<double>(snug::work<T>.step().bytes) * 1e-9;
    std::printf("%s: %.1f GFLOP and %.2f GB a step, %.1f FLOP/byte: %.1f GFLOP/s and %.1f GB/s\n", name,
                gflop, gigabytes, gflop / gigabytes, gflop / steps.median(), gigabytes / steps.median());
}

/// One step's worth of random tokens for the trainer T.
template <class T>
class random_tokens {
  public:
    explicit random_tokens(unsigned seed) : inputs_(count), targets_(count) {
        std::minstd_rand random(seed);
        for (auto* const tokens : {&inputs_, &targets_})
            for (auto& token : *tokens)
                token = static_cast<std::int32_t>(random() %
                                                  static_cast<unsigned>(T::composition::model::vocabulary));
    }
    snug::token_batch batch() const { return {inputs_, targets_}; }

  private:
    static constexpr auto count = static_cast<std::size_t>(T::tokens_per_step);
    std::vector<std::int32_t> inputs_;
    std::vector<std::int32_t> targets_;
};

struct arguments {
    int count;  ///< the first argument that is a number
    bool memory_only = false;
};

/// `program [count] [--processor] [--memory]`; anything else ends the program.
inline arguments read_arguments(int argc, char** argv, int default_count) {
    arguments result{default_count};
    for (int i = 1; i < argc; ++i) {
        auto const word = std::string_view(argv[i]);
        if (word == "--processor") {
            processor_time = true;
        } else if (word == "--memory") {
            result.memory_only = true;
        } else if (int const value = std::atoi(argv[i]); value > 0) {
            result.count = value;
        } else {
            std::fprintf(stderr, "%s: not an option: %s\n", argv[0], argv[i]);
            std::exit(2);
        }
    }
    return result;
}

inline int count_argument(int argc, char** argv, int otherwise) {
    return read_arguments(argc, argv, otherwise).count;
}

/// What figures mean little without.
inline void print_machine() {
    double load[1] = {};
    (void)getloadavg(load, 1);
    std::printf("%d threads, load average before the run %.2f, %s\n", omp_get_max_threads(), load[0],
                processor_time ? "processor time" : "time on the clock");
}

inline char const* verdict(bool holds) { return holds ? "holds" : "MISSED"; }

/// Peak resident memory, in bytes, of a process that makes a trainer and takes three steps.
template <class Training>
double peak_resident() {
    std::fflush(stdout);
    auto const child = fork();
    if (child == 0) {
        Training run;
        auto const data = random_tokens<Training>(1);
        for (int i = 0; i < 3; ++i) run.step(data.batch());
        _exit(0);
    }
    int status = 0;
    rusage usage{};
    if (child < 0 || wait4(child, &status, 0, &usage) != child || status != 0) {
        std::fprintf(stderr, "the process that measures memory failed\n");
        std::exit(1);
    }
    return static_cast<double>(usage.ru_maxrss) * 1024;  // Linux counts in KiB
}

}  // namespace measure
