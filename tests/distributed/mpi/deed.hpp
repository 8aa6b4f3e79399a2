// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <signal.h>
#include <unistd.h>

#include <chrono>
#include <cstdlib>
#include <fstream>
#include <snug/error.hpp>
#include <string>

namespace snug_test {

/// The time in nanoseconds to FOLDER/time.
inline void write_time(std::string const& folder) {
    auto const now = std::chrono::system_clock::now().time_since_epoch();
    std::ofstream(folder + "/time") << std::chrono::duration_cast<std::chrono::nanoseconds>(now).count()
                                    << std::flush;
}

/// This process comes to grief, in one of many ways, at a time that is written. Whether it is to return from main.
inline bool does(std::string const& how, std::string const& folder) {
    write_time(folder);
    if (how == "killed") ::raise(SIGKILL);
    if (how == "crashing") ::raise(SIGSEGV);
    if (how == "aborting") std::abort();
    if (how == "exiting") std::exit(3);
    if (how == "leaving") ::_exit(0);
    if (how == "throwing" || how == "caught") throw snug::error({.file = "train.bin"}, "no such file", "one");
    if (how == "stopped") ::raise(SIGSTOP);
    if (how == "spinning")
        for (bool volatile forever = true; forever;) {
        }
    return how == "returning";
}

}  // namespace snug_test
