// SPDX-License-Identifier: Apache-2.0
// Trainers of several ranks whose devices talk over NCCL. The bits are those of messages that are staged in the program's
// memory, for which one device is enough.
#pragma once

#include "moved.hpp"

namespace {

/// Whether so many ranks can have a device each; says so where they cannot.
bool has_devices(int ranks) {
    int count = 0;
    if (cudaGetDeviceCount(&count) == cudaSuccess && count >= ranks) return true;
    WARN(ranks << " ranks need as many devices: " << count << " here");
    return false;
}
template <class Trainer>
void check_bits(trained const& expected) {
    if (has_devices(Trainer::composition::ranks)) CHECK((train<Trainer>() == expected));
}

}  // namespace

TEST_CASE("devices that talk over NCCL give the bits of one") {
    auto const expected = train<staged<tiny_gpt2, each<1>>>();
    CHECK(expected.losses[2] != expected.losses[0]);
    check_bits<moved<tiny_gpt2, zero<3, 1>>>(expected);
    check_bits<moved<tiny_gpt2, each<2>>>(expected);
    check_bits<moved<tiny_gpt2, zero<2, 4>>>(expected);
    check_bits<moved<tiny_gpt2, zero<3, 4>, snug::checkpointing::every_block>>(expected);
}

TEST_CASE("gradients that are added at the end, and replicas of shares, over NCCL") {
    auto const expected = train<staged<tiny_gpt2, zero<1, 2>>>();
    check_bits<moved<tiny_gpt2, zero<1, 2>>>(expected);
    check_bits<moved<tiny_gpt2, sharding::data_parallel<snug::ranks<2>>>>(expected);
    using replicas = sharding::mesh<sharding::data_parallel<snug::ranks<2>>, zero<3, 2>>;
    check_bits<moved<tiny_gpt2, replicas>>(train<staged<tiny_gpt2, replicas>>());
}

TEST_CASE("passes and their messages are a graph of each device, with the bits of those that are not") {
    constexpr int steps = 5;
    auto const expected = train<staged<tiny_gpt2, each<1>>>(false, {}, steps).losses;
    auto const check = [&]<class Trainer>(std::type_identity<Trainer>) {
        constexpr int ranks = Trainer::composition::ranks;
        if (!has_devices(ranks)) return;
        CHECK(on_all_ranks<Trainer>([&](Trainer& trainer, int rank) {
                  trained result;
                  trainer.options.learning_rate = snug::schedule::constant(1e-2);
                  for (int step = 0; step < steps; ++step) add_step(result, trainer, step, rank, false);
                  auto const passes = static_cast<std::size_t>(snug::engine::repeated::passes);
                  if (trainer.store().recordings[passes].graph() == nullptr)
                      throw std::runtime_error("passes are no graph");
                  return result.losses;
              }) == expected);
    };
    check(std::type_identity<moved<tiny_gpt2, zero<3, 1>>>{});
    check(std::type_identity<moved<tiny_gpt2, each<2>>>{});
}

TEST_CASE("an adapter that reads its quantized base, of which shares come over NCCL") {
    using stored = snug::quantization::nf4<64>;
    using adapter = snug::adapters::dora<snug::rank<4>>;
    auto const expected = train<staged<tiny_llama, each<1>, stored, adapter>>();
    check_bits<moved<tiny_llama, zero<3, 2, sharding::prefetch<0>>, stored, adapter>>(expected);
}

TEST_CASE("what one has saved goes on over NCCL, whose ranks evaluate and generate as one does") {
    using one = staged<tiny_gpt2, each<1>>;
    using two = moved<tiny_gpt2, zero<3, 2>>;
    temporary_file file;
    auto const goes_on = [](auto& trainer, int rank) {
        using C = typename std::decay_t<decltype(trainer)>::composition;
        part_of_batch const batch(7, rank, C::ranks, static_cast<int>(C::micro_batches), 97);
        auto const evaluated = trainer.evaluate(batch).loss;
        std::vector<std::int32_t> const prompt{3, 1, 4};
        auto const text = trainer.generate(prompt, {.tokens = 6, .temperature = 1, .seed = 5});
        return std::tuple(evaluated, text, next_loss(trainer, rank));
    };
    auto const expected = on_all_ranks<one>([&](one& trainer, int rank) {
        next_loss(trainer, rank);
        trainer.save(file.path);
        return goes_on(trainer, rank);
    });
    if (!has_devices(2)) return;
    CHECK((on_all_ranks<two>([&](two& trainer, int rank) {
               trainer.resume(file.path);
               return goes_on(trainer, rank);
           }) == expected));
}

TEST_CASE("what is allocated is the plan, in which no message is staged") {
    using its = moved<tiny_gpt2, each<2>>;
    using C = its::composition;
    constexpr auto declares = [](std::string_view name) {
        for (auto const& declared : C::plan.declarations)
            if (declared.name.view() == name) return true;
        return false;
    };
    static_assert(!declares("staged") && declares("talk"));
    // What ranks agree on, and two pieces on their way to files.
    static_assert(C::plan.size(snug::space::host_memory).count <= 2 * 256 + 2 * (1 << 20));
    if (!has_devices(2)) return;
    threads::run(2, [&](threads& of) {
        nccl_world world(of);
        its trainer(world, 3);
        auto const footprint = snug::footprint<its>;
        if (trainer.allocated() != footprint.total + footprint.paged)
            throw std::runtime_error("what is allocated is not the plan");
        // Of the device's memory, to all ranks.
        trainer.set_weights("norm.weight", std::vector<float>(64, 2.0f));
        if (trainer.copy_of_weights("norm.weight") != std::vector<float>(64, 2.0f))
            throw std::runtime_error("weights were not set");
    });
}
