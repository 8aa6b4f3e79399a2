// SPDX-License-Identifier: Apache-2.0
/// Products with a frozen quantized weight against the same products with a bf16 weight, at shapes of training: 1024 rows
/// of bf16 times the transposed weight (forward), and times the weight (gradient of the input).
///
///   benchmark.quantization.host.product [rounds, 15 by default]
///
/// Frozen and bf16 take turns; `ratio` is the median over the rounds of the ratio within a round, `of fastest` is of the
/// fastest calls.
/// A weight is decoded tile by tile where it is packed, so the rows of a product pay for it: the fewer, the more.

#include <omp.h>

#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <random>
#include <snug/quantization/schemes.hpp>
#include <snug/snug.hpp>
#include <vector>

#include "../../measure.hpp"

namespace {

using namespace snug;
namespace q = snug::quantization;

constexpr snug::index_t rows = 1024;
using setting = snug::setting<1, rows, precision::mixed<bf16>, host>;

template <snug::index_t Out, snug::index_t In>
class products {
  public:
    explicit products(int rounds) : rounds_(rounds), weight_(Out * In), x_(rows * In), dy_(rows * Out) {
        std::minstd_rand random(1);
        std::normal_distribution<float> normal;
        for (auto* const all : {&weight_, &x_, &dy_})
            for (auto& value : *all) value = bf16(0.02f * normal(random));
        y_.resize(rows * Out);
        dx_.resize(rows * In);
    }

    template <class Scheme>
    void against_bf16(char const* name) {
        q::quantized_array<Scheme> const stored(weight_, {Out, In});
        quantized_matrix<Scheme, Out, In> const frozen{stored.view()};
        matrix<bf16 const, In> const plain{weight_.data(), Out};
        std::vector<std::byte> memory(
            static_cast<std::size_t>(64 + std::max(ops::matmul_workspace_with<Scheme, setting>(Out, In),
                                                   ops::matmul_workspace_with<Scheme, setting>(In, Out))));
        auto* const workspace = memory.data() + (64 - reinterpret_cast<std::uintptr_t>(memory.data()) % 64);
        auto const forward = [&](auto const& w) {
            ops::matmul(host{}, matrix<bf16 const, In>{x_.data(), rows}, transposed{w}, workspace,
                        written<bf16, Out>{{y_.data(), rows}});
        };
        auto const backward = [&](auto const& w) {
            ops::matmul(host{}, matrix<bf16 const, Out>{dy_.data(), rows}, w, workspace,
                        written<bf16, In>{{dx_.data(), rows}});
        };
        print(
            name, "forward", [&] { forward(frozen); }, [&] { forward(plain); });
        print(
            name, "backward", [&] { backward(frozen); }, [&] { backward(plain); });
    }

  private:
    template <class Frozen, class Plain>
    void print(char const* name, char const* direction, Frozen const& frozen, Plain const& plain) const {
        measure::times ours, theirs, ratios;
        frozen();
        plain();
        for (int round = 0; round < rounds_; ++round) {
            ours.add(frozen);
            theirs.add(plain);
            ratios.seconds.push_back(ours.seconds.back() / theirs.seconds.back());
        }
        constexpr double operations = 2.0 * rows * Out * In;
        std::printf("| %5ld x %-5ld | %-26s | %-8s | %6.0f | %6.0f | %5.2f | %5.2f |\n",
                    static_cast<long>(Out), static_cast<long>(In), name, direction,
                    operations / ours.median() * 1e-9, operations / theirs.median() * 1e-9, ratios.median(),
                    ours.fastest() / theirs.fastest());
        std::fflush(stdout);
    }

    int rounds_;
    std::vector<bf16> weight_, x_, dy_, y_, dx_;
};

template <snug::index_t Out, snug::index_t In>
void measure_shape(int rounds) {
    products<Out, In> all(rounds);
    all.template against_bf16<q::nf4<64>>("nf4<64>");
    all.template against_bf16<q::double_quantized<q::nf4<64>>>("double_quantized<nf4<64>>");
    all.template against_bf16<q::int8<256>>("int8<256>");
    all.template against_bf16<q::blockwise<q::absmax, 64>>("blockwise<absmax, 64>");
}

}  // namespace

int main(int argc, char** argv) {
    int const rounds = measure::count_argument(argc, argv, 15);
    measure::print_machine();
    std::printf(
        "\n| weight        | scheme                     | product  | GFLOP/s |  bf16 | ratio | of fastest "
        "|\n");
    std::printf("| --- | --- | --- | ---: | ---: | ---: | ---: |\n");
    // SmolLM2 135M: down, queries with keys and values, up. GPT-2 124M: down, up. A 7B's attention.
    measure_shape<576, 1536>(rounds);
    measure_shape<960, 576>(rounds);
    measure_shape<1536, 576>(rounds);
    measure_shape<768, 3072>(rounds);
    measure_shape<3072, 768>(rounds);
    measure_shape<4096, 4096>(rounds);
}
