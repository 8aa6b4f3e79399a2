// SPDX-License-Identifier: Apache-2.0
// Optimizer states in 8 bits, and states in host memory.
#include <catch2/catch.hpp>
#include <cmath>
#include <cstdio>
#include <cstring>
#include <filesystem>
#include <snug/snug.hpp>
#include <vector>

namespace {

using namespace snug;
using optimizers::adamw;
using optimizers::paged;
using optimizers::sgd;
using optimizers::states;
using in_8_bits = adamw<states<snug::int8>>;

// The MLP's matrices have more than one page, which ends inside a block of states; the norms stay in fp32.
using model =
    models::llama<layers<2>, heads<4>, kv_heads<2>, width<96>, mlp<531>, vocabulary<97>, context<16>>;
template <class... Policies>
using trainer_with = trainer<model, batch<2, 16>, Policies...>;
static_assert(2 * 531 * 96 > page_elements && 531 * 96 % 256 != 0);

struct tokens {
    std::vector<std::int32_t> inputs, targets;
    tokens() {
        for (std::int32_t i = 0; i < 32; ++i) {
            inputs.push_back(i * 7 % 97);
            targets.push_back((i + 1) * 7 % 97);
        }
    }
    token_batch batch() const { return {inputs, targets}; }
};

template <class Trainer>
std::vector<double> losses(Trainer& run, int steps) {
    tokens const data;
    run.options.learning_rate = schedule::constant(1e-3);
    std::vector<double> result;
    for (int i = 0; i < steps; ++i) result.push_back(run.step(data.batch()).loss);
    return result;
}
template <class Trainer>
std::vector<double> losses_of(int steps) {
    Trainer run;
    return losses(run, steps);
}

/// An optimizer from outside with a state of each kind: momentum in 8 bits, and the sum of magnitudes in fp32.
struct scaled_momentum {
    using axis = snug::axis::optimizer;
    using states = meta::list<blockwise_optimizer_state<"momentum", quantization::codebooks::dynamic_signed>,
                              optimizer_state<"sum", float>>;
    struct options {};
    static auto rule(options, update_numbers const& n) {
        return [n](auto weight, auto gradient, float& momentum, float& sum) {
            auto const g = static_cast<float>(gradient);
            momentum = 0.9f * momentum + g;
            sum += std::abs(g);
            return weight - static_cast<decltype(weight)>(static_cast<float>(n.learning_rate) * momentum /
                                                          (sum + 1e-3f));
        };
    }
};

}  // namespace

TEST_CASE("a state in blocks and one that is not go together") {
    auto const losses = losses_of<trainer_with<scaled_momentum>>(20);
    CHECK(losses.back() < 0.9 * losses.front());
    CHECK(losses_of<trainer_with<paged<scaled_momentum>>>(20) == losses);
}

TEST_CASE("paged states give the same bits as states in the one allocation") {
    CHECK(losses_of<trainer_with<paged<adamw<>>>>(12) == losses_of<trainer_with<>>(12));
    CHECK(losses_of<trainer_with<paged<in_8_bits>>>(12) == losses_of<trainer_with<in_8_bits>>(12));
    CHECK(losses_of<trainer_with<paged<sgd<>>, precision::mixed<bf16>>>(12) ==
          losses_of<trainer_with<sgd<>, precision::mixed<bf16>>>(12));
    CHECK(losses_of<trainer_with<paged<adamw<states<bf16>>>, precision::pure<bf16>>>(12) ==
          losses_of<trainer_with<adamw<states<bf16>>, precision::pure<bf16>>>(12));
}

TEST_CASE("paged states are on a line of their own, and only two pages of each are in the total") {
    constexpr auto plain = footprint<trainer_with<>>;
    constexpr auto streamed = footprint<trainer_with<paged<adamw<>>>>;
    static_assert(streamed.optimizer_state.count == 0);
    static_assert(streamed.paged >= plain.optimizer_state);
    static_assert(streamed.paged < plain.optimizer_state + 4_KiB);
    static_assert(streamed.staging - plain.staging == bytes{2 * 2 * page_elements * 4});
    trainer_with<paged<adamw<>>> const run;
    CHECK(run.allocated() == streamed.total + streamed.paged);
}

TEST_CASE("states in 8 bits take 2.031 bytes per parameter, and train nearly as well") {
    using large = models::llama<layers<1>, heads<4>, width<256>, mlp<512>, vocabulary<256>, context<16>>;
    constexpr auto bill = footprint<trainer<large, batch<1, 16>, in_8_bits>>;
    constexpr auto count = static_cast<double>(parameter_count<large>);
    static_assert(static_cast<double>(bill.optimizer_state.count) / count < 2.04);
    static_assert(static_cast<double>(bill.optimizer_state.count) / count > 2.03);
    auto const exact = losses_of<trainer_with<>>(40);
    auto const rounded = losses_of<trainer_with<in_8_bits>>(40);
    CHECK(exact != rounded);
    CHECK(exact.back() < 0.5 * exact.front());
    CHECK(rounded.back() == Approx(exact.back()).epsilon(0.05));
}

TEST_CASE("a step with states in 8 bits is the step with what they decode to") {
    // One block and a bit more; the states of the step before are those of the int8 scheme.
    constexpr snug::index_t count = 300;
    using first = optimizers::state_block<quantization::codebooks::dynamic_signed>;
    using second = optimizers::state_block<quantization::codebooks::dynamic_unsigned>;
    std::vector<float> m(512), v(512);
    for (std::size_t i = 0; i < count; ++i) {
        m[i] = random::normal(1, 0, i) * 1e-3f;
        v[i] = m[i] * m[i] * 2;
    }
    std::vector<float> expected(count);
    std::vector<std::byte> stored(static_cast<std::size_t>(quantization::int8<256>::storage(count).count));
    quantization::int8<256>::encode(std::span(std::as_const(m)).first(count), {1, count}, stored.data());
    quantization::int8<256>::decode(quantization::int8<256>::view_of(stored.data(), {1, count}), 0, count,
                                    expected.data());
    for (snug::index_t b = 0; b < 2; ++b) {
        first block;
        auto piece = std::vector<float>(m.begin() + b * 256, m.begin() + (b + 1) * 256);
        auto const here = std::min<snug::index_t>(256, count - b * 256);
        block.encode(piece.data(), here);
        float values[256];
        block.decode(values);
        for (snug::index_t i = 0; i < here; ++i) {
            INFO(b << " " << i);
            // bitsandbytes divides in the last partial block of a tensor; a block of states is always whole.
            auto const bound = here < 256 ? 1e-7f : 0.0f;
            CHECK(std::abs(values[i] - expected[static_cast<std::size_t>(b * 256 + i)]) <= bound);
        }
        // An unsigned map never makes a second moment negative, and resolves it twice as finely.
        second of_v;
        piece.assign(v.begin() + b * 256, v.begin() + (b + 1) * 256);
        auto const largest = *std::max_element(piece.begin(), piece.end());
        of_v.encode(piece.data(), here);
        of_v.decode(values);
        for (snug::index_t i = 0; i < here; ++i) {
            CHECK(values[i] >= 0);
            CHECK(std::abs(values[i] - v[static_cast<std::size_t>(b * 256 + i)]) <= largest * 0.004f);
        }
    }
}

TEST_CASE("a rare row is updated in 8 bits by no more than its gradients give") {
    using untied = models::llama<layers<1>, heads<2>, width<32>, mlp<64>, vocabulary<512>, context<16>>;
    auto const largest_move = []<class Run>(Run* which) {
        (void)which;
        Run run(1);
        auto const before = run.copy_of_weights("embedding.table");
        run.options.learning_rate = schedule::constant(1e-3);
        run.options.weight_decay = 0;
        for (std::uint64_t step = 0; step < 40; ++step) {
            std::vector<std::int32_t> inputs, targets;
            for (std::uint64_t i = 0; i < 64; ++i) {
                // Most are the first few tokens; the others come once in a while.
                auto const chance = random::bits(5, step, i);
                auto const token =
                    static_cast<std::int32_t>((chance >> (chance % 9)) % 512 % (1 + chance % 511));
                inputs.push_back(token);
                targets.push_back((token + 1) % 512);
            }
            run.step({inputs, targets});
        }
        auto const after = run.copy_of_weights("embedding.table");
        float largest = 0;
        for (std::size_t i = 0; i < after.size(); ++i)
            largest = std::max(largest, std::abs(after[i] - before[i]));
        return largest;
    };
    // Forty steps of at most a few rates each.
    using exact = trainer<untied, batch<4, 16>>;
    using rounded = trainer<untied, batch<4, 16>, in_8_bits>;
    CHECK(largest_move(static_cast<exact*>(nullptr)) < 0.08f);
    CHECK(largest_move(static_cast<rounded*>(nullptr)) < 0.08f);
}

TEST_CASE("a second moment above 0 is not kept as 0, however large others of its block are") {
    using second = optimizers::state_block<quantization::codebooks::dynamic_unsigned>;
    float values[256] = {};
    values[0] = 1;
    values[1] = 1e-12f;
    second block;
    block.encode(values, 256);
    block.decode(values);
    CHECK(values[1] == second::least);
    CHECK(values[2] == 0);
    CHECK(optimizers::state_block<quantization::codebooks::dynamic_signed>::least == 0);
}

TEST_CASE("a run with states in 8 bits or paged resumes to the same bits, also one as the other") {
    auto const path = (std::filesystem::temp_directory_path() / "snug_states.snapshot").string();
    trainer_with<in_8_bits> run;
    losses(run, 5);
    run.save(path);
    auto const expected = losses(run, 5);
    trainer_with<in_8_bits> same(9);
    same.resume(path);
    CHECK(losses(same, 5) == expected);
    trainer_with<paged<in_8_bits>> streamed(9);
    streamed.resume(path);
    CHECK(losses(streamed, 5) == expected);
    trainer_with<> other;
    CHECK_THROWS_WITH(other.resume(path), Catch::Contains("int8<256>"));
    std::remove(path.c_str());
}
