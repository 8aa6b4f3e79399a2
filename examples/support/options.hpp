// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

namespace example {

inline constexpr double usual_minutes = 3;
inline constexpr double usual_learning_rate = 3e-3;

/// What the command line says. Without a value: not given.
struct train_options {
    std::string data;
    std::string out = "out";
    bool resume = false;
    bool overwrite = false;
    std::optional<std::int64_t> steps;
    std::optional<double> minutes;
    std::optional<std::uint64_t> seed;
    std::optional<double> learning_rate;
    std::vector<std::string> prompts{"\n"};  ///< by default, a new line
    double temperature = 0.8;
};

/// Reads the command line. Ends the program after --help; a mistake is one sentence and status 2.
train_options parse_command_line(int argc, char** argv);

}  // namespace example
