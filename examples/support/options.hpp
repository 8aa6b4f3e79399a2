// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

namespace example {

/// What a program sets itself where the command line says nothing.
struct usual {
    double minutes;
    double learning_rate;
};

inline constexpr double usual_training_minutes = 3;
inline constexpr usual usual_fine_tuning{10, 1e-3};

/// What the command line of a training program says. Without a value: not given.
struct run_options {
    std::string out = "out";
    bool resume = false;
    bool overwrite = false;
    std::optional<std::int64_t> steps;
    std::optional<double> minutes;
    std::optional<std::uint64_t> seed;
    std::optional<double> learning_rate;
};

struct train_options : run_options {
    std::string data;
    std::vector<std::string> prompts{"\n"};  ///< by default, a new line
    double temperature = 0.8;
};

struct fine_tune_options : run_options {
    std::string model;
    std::string data;  ///< this or a dictionary
    std::string dictionary;
    bool precise = false;
    std::vector<std::string> questions;  ///< none: what was held out
};

/// Read the command line. Throw `end_of_program` after --help, and after a mistake, which is one sentence and status 2.
train_options parse_train_options(int argc, char** argv, double usual_learning_rate);
fine_tune_options parse_fine_tune_options(int argc, char** argv);

}  // namespace example
