// SPDX-License-Identifier: Apache-2.0
// main FOLDER: what was linked of trainer.cpp's two trains, as far as this machine has the instructions.
#include <sys/wait.h>
#include <unistd.h>

#include <cstdio>
#include <exception>

[[gnu::weak]] void train_for_v2(char const* who, char const* folder);
[[gnu::weak]] void train_for_v4(char const* who, char const* folder);

namespace {

/// OpenMP's threads are not in the child of a fork, whichever of the two had them.
bool trains_in_a_child(char const* folder) {
    std::fflush(stdout);
    auto const child = fork();
    if (child == 0) {
        alarm(60);
        bool const is_quiet = std::freopen("/dev/null", "w", stdout) != nullptr;
        train_for_v4("v4", folder);
        _exit(is_quiet ? 0 : 1);
    }
    int status = 1;
    return waitpid(child, &status, 0) == child && status == 0;
}

}  // namespace

int main(int, char** argv) try {
    if (train_for_v2 != nullptr) train_for_v2("v2", argv[1]);
    bool const has_v4 = __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
                        __builtin_cpu_supports("avx512cd") && __builtin_cpu_supports("avx512dq") &&
                        __builtin_cpu_supports("avx512vl");
    if (train_for_v4 == nullptr || !has_v4) return 0;
    if (train_for_v2 != nullptr && !trains_in_a_child(argv[1])) {
        std::printf("no training after a fork\n");
        return 1;
    }
    train_for_v4("v4", argv[1]);
    return 0;
} catch (std::exception const& problem) {
    std::printf("%s\n", problem.what());
    return 1;
}
