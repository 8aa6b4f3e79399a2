// SPDX-License-Identifier: Apache-2.0
// main FOLDER: what was linked of trainer.cpp's two trains, as far as this machine has the instructions.
#include <sys/wait.h>
#include <unistd.h>

#include <cstdio>
#include <exception>

[[gnu::weak]] void train_for_v2(char const* who, char const* folder);
[[gnu::weak]] void train_for_v3(char const* who, char const* folder);

namespace {

/// OpenMP's threads are not in the child of a fork, whichever of the two had them.
bool trains_in_a_child(char const* folder) {
    std::fflush(stdout);
    auto const child = fork();
    if (child == 0) {
        alarm(60);
        bool const is_quiet = std::freopen("/dev/null", "w", stdout) != nullptr;
        train_for_v3("v3", folder);
        _exit(is_quiet ? 0 : 1);
    }
    int status = 1;
    return waitpid(child, &status, 0) == child && status == 0;
}

}  // namespace

int main(int, char** argv) try {
    if (train_for_v2 != nullptr) train_for_v2("v2", argv[1]);
    bool const has_v3 = __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma") &&
                        __builtin_cpu_supports("bmi") && __builtin_cpu_supports("bmi2");
    if (train_for_v3 == nullptr || !has_v3) return 0;
    if (train_for_v2 != nullptr && !trains_in_a_child(argv[1])) {
        std::printf("no training after a fork\n");
        return 1;
    }
    train_for_v3("v3", argv[1]);
    return 0;
} catch (std::exception const& problem) {
    std::printf("%s\n", problem.what());
    return 1;
}
