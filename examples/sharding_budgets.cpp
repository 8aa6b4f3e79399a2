// SPDX-License-Identifier: Apache-2.0
// What each of 8 or 64 ranks holds and sends: the bill and the traffic of every stage of sharding as constants, known without
// a second process. Prints the table of docs/distributed.md; with --pictures FOLDER also the table of docs/zero.md, whose
// pictures it writes as gnuplot scripts.
#include <snug/io/file.hpp>
#include <snug/plan.hpp>

#include <array>
#include <cstdio>
#include <iostream>
#include <sstream>
#include <string>
#include <vector>

#include "support/output.hpp"

namespace {

using namespace snug;

/// A sequence as long as the context for each rank, blocks computed again.
template <class Model, class Sharding, class... Policies>
struct sharded : trainer<Model, batch<1, Model::longest_sequence>, precision::mixed<bf16>,
                         checkpointing::every_block, Sharding, Policies...> {};

template <int N>
using replicated = sharding::data_parallel<ranks<N>>;
template <int Stage, int N>
using zero = sharding::zero<Stage, ranks<N>>;

// 70 billion parameters train on 64 devices of 80 GB, not on 8; frozen in 4 bits with adapters, on 8.
static_assert(!fits<sharded<models::llama2_70b, zero<3, 8>>, devices::h100_80gb>);
static_assert(fits<sharded<models::llama2_70b, zero<3, 64>>, devices::h100_80gb>);
using low_rank = adapters::lora<rank<16>, alpha<32>, targets<all_linear>>;
static_assert(
    fits<sharded<models::llama2_70b, zero<3, 8>, low_rank, quantization::nf4<64>>, devices::rtx_4090>);
// Blocks are gathered forward and backward, every micro-batch.
static_assert(traffic<sharded<models::llama2_70b, zero<3, 64>>>.gathered >
              traffic<sharded<models::llama2_70b, zero<2, 64>>>.gathered);

template <class T>
void print(std::string const& model, std::string const& sharding) {
    constexpr auto bill = footprint<T>;
    constexpr auto sent = traffic<T>;
    std::cout << "| " << model << " | " << T::composition::ranks << " | " << sharding;
    for (auto const amount :
         {bill.weights, bill.master_weights + bill.optimizer_state, bill.gradients, bill.communication,
          bill.total, sent.gathered, sent.exchanged, sent.sent_per_step})
        std::cout << " | " << (amount.count > 0 ? to_string(amount) : "-");
    std::cout << " | " << sent.messages_per_step << " | " << (fits<T, devices::h100_80gb> ? "yes" : "no")
              << " |\n";
}

template <class Model, int N>
void print_stages(std::string const& model) {
    print<sharded<Model, replicated<N>>>(model, "data parallel");
    print<sharded<Model, zero<1, N>>>(model, "ZeRO-1");
    print<sharded<Model, zero<2, N>>>(model, "ZeRO-2");
    print<sharded<Model, zero<3, N>>>(model, "ZeRO-3");
}

// Pictures -----------------------------------------------------------------------------------------------------

constexpr std::array stages = {"data parallel", "ZeRO-1", "ZeRO-2", "ZeRO-3"};
constexpr std::array colours = {"#2a6f9e", "#d1495b", "#edae49", "#7a5195", "#2a9d8f"};

template <class Model, int N>
constexpr std::array bills = {footprint<sharded<Model, replicated<N>>>, footprint<sharded<Model, zero<1, N>>>,
                              footprint<sharded<Model, zero<2, N>>>, footprint<sharded<Model, zero<3, N>>>};

double gibibytes(bytes amount) { return static_cast<double>(amount.count) / (1 << 30); }

void write_script(std::string const& folder, std::string const& name, std::string const& script) {
    io::output_file file(folder + "/" + name + ".gnuplot");
    file.write("# Draws " + name + ".svg: gnuplot " + name + ".gnuplot\nreset session\n" + script);
    file.commit();
}

/// Above each other what a rank holds, a bar for each stage.
void draw_bills(std::string const& folder) {
    constexpr std::array lines = {"weights", "gradients", "master copy, states", "communication",
                                  "activations, workspaces"};
    std::ostringstream file;
    file << "$bills << END\n";
    for (std::size_t i = 0; i < stages.size(); ++i) {
        auto const& bill = bills<models::llama2_7b, 8>[i];
        auto const states = bill.master_weights + bill.optimizer_state;
        auto const rest = bill.total - bill.weights - bill.gradients - states - bill.communication;
        file << '"' << stages[i] << '"';
        for (auto const amount : {bill.weights, bill.gradients, states, bill.communication, rest})
            file << ' ' << gibibytes(amount);
        file << '\n';
    }
    file
        << "END\nset terminal svg size 900,420 font \"Helvetica,14\" background rgb \"white\"\n"
           "set output \"zero_bills.svg\"\nset xtics font \",12\"\nset title \"Llama-2 7B on 8 ranks: what "
           "one of them holds\" font "
           "\",17\"\nset style data histograms\nset style histogram rowstacked\nset style fill solid 1 "
           "noborder\nset boxwidth 0.6\nset ylabel \"GiB\"\nset border 3 lc rgb \"#888888\"\nset tics "
           "nomirror out textcolor rgb \"#444444\"\nset key outside right top Left reverse invert samplen 1\n"
           "set arrow from -0.5, 74.5 to 3.5, 74.5 nohead dt 2 lc rgb \"#444444\"\n"
           "set label \"80 GB\" at 3.5, 79 right textcolor rgb \"#444444\"\nplot ";
    for (std::size_t line = 0; line < lines.size(); ++line)
        file << (line == 0 ? "" : ", \\\n     ") << "$bills using " << line + 2
             << (line == 0 ? ":xtic(1)" : "") << " lc rgb \"" << colours[line] << "\" title \"" << lines[line]
             << '"';
    file << '\n';
    write_script(folder, "zero_bills", file.str());
}

/// What a rank holds in all, over the number of ranks.
template <int... N>
void draw_ranks(std::string const& folder) {
    std::ostringstream file;
    file << "$totals << END\n";
    (
        [&] {
            file << N;
            for (auto const& bill : bills<models::llama2_7b, N>) file << ' ' << gibibytes(bill.total);
            file << '\n';
        }(),
        ...);
    file << "END\nset terminal svg size 900,420 font \"Helvetica,14\" background rgb \"white\"\n"
            "set output \"zero_ranks.svg\"\nset title \"Llama-2 7B: what a rank holds\" font \",17\"\n"
            "set logscale xy 2\nset xtics (";
    ([&] { file << (N == 2 ? "" : ", ") << N; }(), ...);
    file << ")\nset xrange [1.8:72]\nset yrange [4:160]\nset xlabel \"ranks\"\nset ylabel \"GiB\"\nset "
            "border 3 lc rgb "
            "\"#888888\"\nset tics nomirror out textcolor rgb \"#444444\"\nset grid y lc rgb \"#dddddd\"\n"
            "set key outside right top Left reverse\nplot ";
    for (std::size_t i = 0; i < stages.size(); ++i)
        file << (i == 0 ? "" : ", \\\n     ") << "$totals using 1:" << i + 2
             << " with linespoints pt 7 lw 2 lc rgb \"" << colours[i] << "\" title \"" << stages[i] << '"';
    file << '\n';
    write_script(folder, "zero_ranks", file.str());
}

// Large models -------------------------------------------------------------------------------------------------

template <int N, class States, class... Options>
using large = sharded<models::llama2_70b, sharding::zero<3, ranks<N>, Options...>,
                      optimizers::adamw<optimizers::states<States>>>;

template <class States, class... Options>
void print_large(std::string const& what) {
    std::cout << "| " << what;
    for (auto const amount :
         {footprint<large<8, States, Options...>>.total, footprint<large<16, States, Options...>>.total,
          footprint<large<64, States, Options...>>.total,
          traffic<large<64, States, Options...>>.sent_per_step})
        std::cout << " | " << to_string(amount);
    std::cout << " |\n";
}

void print_large_models() {
    std::cout << "\n| Llama-2 70B, ZeRO-3 | 8 ranks | 16 ranks | 64 ranks | sent by each of 64 |\n"
                 "| --- | ---: | ---: | ---: | ---: |\n";
    print_large<float>("states in fp32");
    print_large<bf16>("states in bf16");
    print_large<int8>("states in 8 bits");
    print_large<int8, sharding::wire<bf16>>("states in 8 bits, gradients travel in bf16");
}

}  // namespace

int main(int argc, char** argv) try {
    std::vector<std::string> const arguments(argv + 1, argv + argc);
    if (!arguments.empty() && (arguments.size() != 2 || arguments[0] != "--pictures")) {
        std::fputs("sharding_budgets [--pictures FOLDER]\n", stderr);
        return 2;
    }
    std::cout
        << "| model | ranks | sharding | weights | master, states | gradients | communication | total | "
           "gathered | exchanged | sent | messages | fits 80 GB |\n"
           "| --- | ---: | --- | ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: | --- |\n";
    print_stages<models::gpt2_1558m, 8>("GPT-2 1.5B");
    print_stages<models::llama2_7b, 8>("Llama-2 7B");
    print_stages<models::llama2_7b, 64>("Llama-2 7B");
    print_stages<models::llama2_70b, 64>("Llama-2 70B");
    using qlora = sharded<models::llama2_70b, zero<3, 8>, low_rank, quantization::nf4<64>>;
    print<qlora>("Llama-2 70B, QLoRA", "ZeRO-3");
    print<sharded<models::llama2_70b, zero<3, 64>, low_rank, quantization::nf4<64>>>("Llama-2 70B, QLoRA",
                                                                                     "ZeRO-3");
    print_large_models();
    if (!arguments.empty()) {
        draw_bills(arguments[1]);
        draw_ranks<2, 4, 8, 16, 32, 64>(arguments[1]);
    }
    return example::finished("sharding_budgets");
} catch (std::exception const& problem) {
    std::fprintf(stderr, "sharding_budgets: %s\n", snug::harmless(problem.what()).c_str());
    return 1;
}
