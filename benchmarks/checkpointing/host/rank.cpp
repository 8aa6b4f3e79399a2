// SPDX-License-Identifier: Apache-2.0
/// Whether plans rank by what they are predicted to compute again as their steps do by time: GPT-2 124M, batch 4 x 256,
/// in fp32. And what a budget of 2.2 GiB gives: the bits of the step that keeps everything, in less time than
/// every_block.
///
///   benchmark.checkpointing.host.rank [rounds] [--processor]
///
/// The prediction is snug::work<T>.recomputed by three rates of this machine, each of one call and none of a step. Each
/// policy takes turns with the step that keeps everything, of whose time its own is a ratio.

#include "../../measure.hpp"

#include <bit>
#include <cmath>
#include <type_traits>

namespace {

using namespace snug;
using checkpointing::group;
using checkpointing::keep;
using checkpointing::plan;
using checkpointing::within;

template <class Checkpointing>
struct training : trainer<models::gpt2_124m, batch<4, 256>, Checkpointing> {};
using everything = training<checkpointing::none>;

/// `budget<...>`, of whose argument g++ 12 makes no name of a function's parameter.
template <index_t Mebibytes>
struct of_mebibytes {
    static constexpr bytes memory{Mebibytes << 20};
    static constexpr bytes reserve{};
};
using given = of_mebibytes<22 * 1024 / 10>;
using budgeted = within<given>;
static_assert(footprint<training<budgeted>>.total <= given::memory);

/// Operations and bytes a second.
struct machine_rates {
    double products, attention, memory;

    double seconds(workload const& work) const {
        return static_cast<double>(work.products) / products +
               static_cast<double>(work.attention) / attention + static_cast<double>(work.bytes) / memory;
    }
};

/// Of long calls as blocks make them: the product behind the second norm, attention, GELU.
machine_rates rates_of_this_machine(int rounds) {
    constexpr index_t sequences = 4, tokens = 256, rows = sequences * tokens, width = 768, inner = 4 * width;
    using shape = attention_shape<12, 12, 64>;
    host const on{};
    std::vector<float> x(rows * inner, 0.5F), weight(inner * width, 0.25F), y(rows * inner),
        logsumexp(rows * 12);
    std::vector<std::byte> workspace(static_cast<std::size_t>(
        std::max(ops::matmul_workspace<host, float>(inner, width),
                 ops::attention_forward_workspace<host, shape, float>(sequences, tokens))));
    measure::times product, attention, pass;
    for (int round = 0; round < rounds; ++round) {
        auto* const to = y.data();
        auto const* const from = x.data();
        product.add([&] {
            ops::matmul(on, matrix<float const, width>{from, rows},
                        transposed{matrix<float const, width>{weight.data(), inner}}, workspace.data(),
                        [=](index_t row, index_t column, float value) { to[row * inner + column] = value; });
        });
        attention.add([&] {
            ops::attention_forward<shape>(on, sequences, tokens, 0, from, nullptr, to, logsumexp.data(),
                                          workspace.data());
        });
        pass.add([&] {
            ops::for_each_row(on, rows, [=](auto team, index_t row) {
                team.for_each(inner,
                              [=](index_t i) { to[row * inner + i] = kernels::gelu(from[row * inner + i]); });
            });
        });
    }
    return {2.0 * rows * width * inner / product.median(),
            2.0 * sequences * tokens * (tokens + 1) * width / attention.median(),
            2.0 * rows * inner * sizeof(float) / pass.median()};
}

struct subject {
    char const* name;
    double predicted;  ///< seconds computed again
    double measured;   ///< a step, in steps of `none`
    bytes total;
};

/// Steps of `none` and of a policy, one after the other: the median of their ratios.
template <class Policy>
subject measured(char const* name, machine_rates const& rates, int rounds) {
    using tested = training<Policy>;
    everything none;
    tested run;
    auto const data = measure::random_tokens<everything>(1);
    measure::times ratios;
    for (int round = 0; round <= rounds; ++round) {
        double loss = 0, its = 0;
        double const plain = measure::seconds_of([&] { loss = none.step(data.batch()).loss; });
        double const seconds = measure::seconds_of([&] { its = run.step(data.batch()).loss; });
        if (round > 0) ratios.seconds.push_back(seconds / plain);  // the first touches the memory
        if (std::bit_cast<std::uint64_t>(its) != std::bit_cast<std::uint64_t>(loss)) {
            std::fprintf(stderr, "%s: another loss than that of none\n", name);
            std::exit(1);
        }
    }
    subject const result{name, rates.seconds(work<tested>.recomputed), ratios.median(),
                         footprint<tested>.total};
    std::printf("| %s | %lld | %.3f | %.3f |\n", name, static_cast<long long>(result.total.count),
                result.predicted, result.measured);
    std::fflush(stdout);
    return result;
}

/// The place of each in the order of its values; of equal ones the mean.
template <class Value>
std::vector<double> ranks(std::vector<subject> const& all, Value const& value) {
    std::vector<double> result;
    for (auto const& one : all) {
        double before = 0, equal = 0;
        for (auto const& other : all) {
            before += value(other) < value(one);
            equal += value(other) == value(one);
        }
        result.push_back(before + (equal - 1) / 2);
    }
    return result;
}

/// Spearman's: the correlation of ranks.
double rank_correlation(std::vector<subject> const& all) {
    auto const a = ranks(all, [](subject const& s) { return s.predicted; });
    auto const b = ranks(all, [](subject const& s) { return s.measured; });
    double const mean = static_cast<double>(all.size() - 1) / 2;
    double both = 0, of_a = 0, of_b = 0;
    for (std::size_t i = 0; i < all.size(); ++i) {
        both += (a[i] - mean) * (b[i] - mean);
        of_a += (a[i] - mean) * (a[i] - mean);
        of_b += (b[i] - mean) * (b[i] - mean);
    }
    return both / std::sqrt(of_a * of_b);
}

}  // namespace

int main(int argc, char** argv) {
    auto const rounds = measure::count_argument(argc, argv, 5);
    measure::print_machine();
    auto const rates = rates_of_this_machine(3 * rounds);
    std::printf("products %.1f GFLOP/s, attention %.1f GFLOP/s, row passes %.1f GB/s\n",
                rates.products * 1e-9, rates.attention * 1e-9, rates.memory * 1e-9);
    std::puts("| checkpointing | total | s computed again, predicted | step, of that of none |");
    std::puts("| --- | ---: | ---: | ---: |");
    std::vector<subject> all;
    auto const add = [&]<class Policy>(char const* name, std::type_identity<Policy>) {
        all.push_back(measured<Policy>(name, rates, rounds));
    };
    add("within<budget<2.2 GiB>>", std::type_identity<budgeted>{});
    add("every_block", std::type_identity<checkpointing::every_block>{});
    add("selective", std::type_identity<checkpointing::selective>{});
    add("square_root", std::type_identity<checkpointing::square_root>{});
    add("keep<qkv, attention>", std::type_identity<keep<"qkv.output", "attention.output">>{});
    add("plan<group<6, every_block>, group<6, none>>",
        std::type_identity<plan<group<6, checkpointing::every_block>, group<6, checkpointing::none>>>{});
    add("plan<group<9, keep<up>>, group<3, none>>",
        std::type_identity<plan<group<9, keep<"up.output">>, group<3, checkpointing::none>>>{});
    add("within<budget<2080 MiB>>", std::type_identity<within<of_mebibytes<2080>>>{});
    add("within<budget<2400 MiB>>", std::type_identity<within<of_mebibytes<2400>>>{});
    all.push_back({"none", 0, 1, footprint<everything>.total});
    auto const correlation = rank_correlation(all);
    std::printf("Spearman's rank correlation of %zu policies: %.3f; bar 0.9: %s\n", all.size(), correlation,
                measure::verdict(correlation >= 0.9));
    double const against = all[0].measured / all[1].measured;
    std::printf(
        "within 2.2 GiB: %lld of %lld bytes, the loss of none to the bit, %.3f of the time of every_block; "
        "bar 1: "
        "%s\n",
        static_cast<long long>(all[0].total.count), static_cast<long long>(given::memory.count), against,
        measure::verdict(against < 1));
}
