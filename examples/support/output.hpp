// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdio>
#include <iostream>

namespace example {

/// The exit status of a program that has done its work with that status: 1, with a sentence on stderr, when not all of what
/// it wrote to stdout has arrived there, because a disk is full or a reader has gone.
inline int finished(char const* program, int status = 0) {
    bool const arrived = std::cout.flush().good() && std::fflush(stdout) == 0 && std::ferror(stdout) == 0;
    if (arrived) return status;
    std::fprintf(stderr, "%s: found a standard output that does not take all of the results\n", program);
    return status == 0 ? 1 : status;
}

/// Thrown where all is said: the program ends with that status.
struct end_of_program {
    int status;
};

}  // namespace example
