// SPDX-License-Identifier: Apache-2.0
// What does a narrower format cost? Trains the byte-level GPT of train.cpp four times, on the same bytes in the same
// order from the same first weights, in four precisions, and draws their losses.
//
//   precisions TEXT [STEPS] [FOLDER]
//
// Prints a table and writes precision-losses.gnuplot, with its data inside: `gnuplot precision-losses.gnuplot` in the
// folder makes the SVG file.
#include <snug/snug.hpp>

#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <exception>
#include <iostream>
#include <sstream>
#include <string>
#include <vector>

#include "support/output.hpp"

namespace {

using namespace snug;

template <class Precision>
using byte_gpt = trainer<
    models::llama<layers<4>, heads<4>, width<128>, mlp<352>, vocabulary<256>, context<256>, tied_head<1>>,
    batch<4, 256>, Precision>;

struct curve {
    std::string name;
    std::vector<double> losses;
    double validation = 0;
    std::int64_t skipped = 0;
    bytes memory{};
};

/// Trains for so many steps; the last twentieth of the data is for validation.
template <class Precision>
curve learn(std::string const& name, io::token_file const& data, std::int64_t steps, std::uint64_t seed = 0) {
    using trainer = byte_gpt<Precision>;
    auto const held_back = data.size() / 20;
    auto const first_held_back = data.size() - held_back;
    io::token_batches<trainer> batches(data.part(0, first_held_back), 0);
    auto validation = io::token_batches<trainer>::in_order(
        data.part(first_held_back, std::min(held_back, 32 * trainer::tokens_per_step)));
    trainer run(seed);
    run.options.learning_rate = schedule::warm_up_cosine(3e-3, steps / 10, steps, 0.02);
    curve result{name, {}, 0, 0, footprint<trainer>.total};
    for (std::int64_t step = 0; step < steps; ++step) {
        auto const done = run.step(batches.next());
        result.losses.push_back(done.loss);
        result.skipped += done.skipped;
    }
    result.validation = run.evaluate(validation).loss;
    return result;
}

double mean_of_last(std::vector<double> const& losses, std::size_t count) {
    double sum = 0;
    for (std::size_t i = losses.size() - count; i < losses.size(); ++i) sum += losses[i];
    return sum / static_cast<double>(count);
}

std::string script_for(std::vector<curve> const& curves) {
    std::ostringstream out;
    out << R"(# Losses of one model in four precisions: gnuplot precision-losses.gnuplot
set terminal svg noenhanced size 960,640 font "Helvetica,14" background rgb "white"
set output "precision-losses.svg"
set tics nomirror out textcolor rgb "#444444"
set border 3 lc rgb "#888888"
set grid ytics lc rgb "#e4e4e4" lw 1
set key top right spacing 1.3 samplen 2
)";
    out << "$losses << end\n";
    for (std::size_t step = 0; step < curves.front().losses.size(); ++step) {
        out << step + 1;
        for (auto const& one : curves) out << ' ' << one.losses[step];
        out << '\n';
    }
    out << "end\n";
    char const* const colours[] = {"#222222", "#2a6f9e", "#e09f3e", "#d1495b"};
    out << R"(set multiplot
set lmargin at screen 0.09
set rmargin at screen 0.97
set bmargin at screen 0.42
set tmargin at screen 0.92
set title "Training loss in four precisions" font ",18"
set ylabel "nats per byte"
set format x ""
plot )";
    for (std::size_t i = 0; i < curves.size(); ++i)
        out << "$losses using 1:" << i + 2 << " with lines lw 1.5 lc rgb \"" << colours[i] << "\" title \""
            << curves[i].name << "\", ";
    out << R"(
unset title
set bmargin at screen 0.09
set tmargin at screen 0.36
set format x
set xlabel "step"
set ylabel "less fp32's"
unset key
plot )";
    for (std::size_t i = 1; i < curves.size(); ++i)
        out << "$losses using 1:($" << i + 2 << "-$2) with lines lw 1.2 lc rgb \"" << colours[i] << "\", ";
    out << "\nunset multiplot\n";
    return out.str();
}

int compare(std::string const& text, std::int64_t steps, std::string const& folder) {
    auto const data = io::token_file::open(text, 256);
    std::vector<curve> curves;
    std::printf("| precision | loss, last 50 steps | validation loss | skipped steps | memory |\n");
    std::printf("| --- | ---: | ---: | ---: | ---: |\n");
    auto const add = [&](curve one) {
        std::printf("| `%s` | %.4f | %.4f | %ld | %s |\n", one.name.c_str(), mean_of_last(one.losses, 50),
                    one.validation, static_cast<long>(one.skipped), to_string(one.memory).c_str());
        std::fflush(stdout);
        curves.push_back(std::move(one));
    };
    add(learn<precision::full<fp32>>("full<fp32>", data, steps));
    add(learn<precision::mixed<bf16>>("mixed<bf16>", data, steps));
    add(learn<precision::mixed<fp16>>("mixed<fp16>", data, steps));
    add(learn<precision::pure<bf16>>("pure<bf16>", data, steps));
    // How far apart two runs are in any case.
    add(learn<precision::full<fp32>>("full<fp32>, other first weights", data, steps, 1));
    curves.pop_back();
    io::output_file file(folder + "/precision-losses.gnuplot");
    file.write(script_for(curves));
    file.commit();
    return 0;
}

}  // namespace

int main(int argc, char** argv) {
    auto const steps = argc > 2 ? std::atol(argv[2]) : 300;
    if (argc < 2 || steps < 50) {
        std::cerr << "usage: precisions TEXT [STEPS, 50 at least] [FOLDER]\n";
        return 2;
    }
    try {
        return example::finished("precisions", compare(argv[1], steps, argc > 3 ? argv[3] : "."));
    } catch (std::exception const& problem) {
        std::cerr << "precisions: " << snug::harmless(problem.what()) << '\n';
        return 1;
    }
}
