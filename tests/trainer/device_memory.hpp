// SPDX-License-Identifier: Apache-2.0
// On a device, too: one allocation of exactly the plan, none in a step, the same bits in every run, and refusals in words.
#pragma once

#define SNUG_TEST_ON_CUDA
#include "place.hpp"

#include <catch2/catch.hpp>
#include <cstring>
#include <snug/quantization/schemes.hpp>
#include <string>
#include <vector>

namespace {

using namespace snug;
using snug_test::placed;

using gpt2 = models::gpt2<layers<2>, heads<2>, width<64>, vocabulary<131>, context<32>>;
using llama =
    models::llama<layers<2>, heads<4>, kv_heads<2>, width<64>, mlp<96>, vocabulary<131>, context<32>>;

/// Deep enough for inputs of blocks that are not all where the step runs.
using deep =
    models::llama<layers<7>, heads<4>, kv_heads<2>, width<32>, mlp<48>, vocabulary<131>, context<32>>;

/// Counts what goes through the seams of device memory and pinned memory, for as long as it lives.
class counted_memory {
  public:
    counted_memory() {
        device_bytes = pinned_bytes = 0;
        device_allocations = pinned_allocations = 0;
        backend::cuda::device_memory_calls().allocate = [](std::size_t alignment, std::size_t size) {
            ++device_allocations;
            device_bytes += size;
            return real_device.allocate(alignment, size);
        };
        backend::cuda::pinned_memory_calls().allocate = [](std::size_t alignment, std::size_t size) {
            ++pinned_allocations;
            pinned_bytes += size;
            return real_pinned.allocate(alignment, size);
        };
    }
    ~counted_memory() {
        backend::cuda::device_memory_calls() = real_device;
        backend::cuda::pinned_memory_calls() = real_pinned;
    }

    static inline std::size_t device_bytes = 0, pinned_bytes = 0;
    static inline int device_allocations = 0, pinned_allocations = 0;

  private:
    static inline memory_calls const real_device = backend::cuda::device_memory_calls();
    static inline memory_calls const real_pinned = backend::cuda::pinned_memory_calls();
};

std::size_t free_device_memory() {
    std::size_t free = 0, total = 0;
    backend::cuda::check(cudaMemGetInfo(&free, &total), "cudaMemGetInfo");
    return free;
}

template <class Run>
struct training_text {
    std::vector<std::int32_t> inputs, targets;
    explicit training_text(std::uint64_t seed) {
        for (std::uint64_t i = 0; i < static_cast<std::uint64_t>(Run::tokens_per_step); ++i) {
            inputs.push_back(static_cast<std::int32_t>(random::bits(seed, 0, i) % 131));
            targets.push_back(static_cast<std::int32_t>(random::bits(seed, 1, i) % 131));
        }
    }
    token_batch batch() const { return {inputs, targets}; }
};

/// Losses, norms and weights of a few steps, as bits.
template <class Run>
std::vector<unsigned char> history(Run& run) {
    std::vector<unsigned char> all;
    auto const add = [&](void const* from, std::size_t size) {
        auto const* const bytes = static_cast<unsigned char const*>(from);
        all.insert(all.end(), bytes, bytes + size);
    };
    for (std::uint64_t step = 0; step < 4; ++step) {
        auto const result = run.step(training_text<Run>(step).batch());
        add(&result.loss, sizeof result.loss);
        add(&result.gradient_norm, sizeof result.gradient_norm);
    }
    for (auto const& entry : Run::composition::parameter_table.entries) {
        if (entry.is_quantized() || entry.is_derived()) continue;
        auto const values = run.copy_of_weights(entry.name.view());
        add(values.data(), values.size() * sizeof(values[0]));
    }
    return all;
}

template <class Run>
void keeps_its_promises() {
    std::vector<unsigned char> first;
    {
        counted_memory const memory;
        Run run;
        CHECK(memory.device_allocations == 1);
        CHECK(memory.device_bytes == static_cast<std::size_t>(footprint<Run>.total.count));
        CHECK(memory.pinned_allocations == (footprint<Run>.paged.count > 0));
        CHECK(memory.pinned_bytes == static_cast<std::size_t>(footprint<Run>.paged.count));
        CHECK(run.allocated() == footprint<Run>.total + footprint<Run>.paged);
        // The first step loads kernels, the second records; after that the driver gives nothing away either.
        for (std::uint64_t step = 0; step < 2; ++step) run.step(training_text<Run>(step).batch());
        auto const free = free_device_memory();
        for (std::uint64_t step = 2; step < 5; ++step) run.step(training_text<Run>(step).batch());
        CHECK(free_device_memory() == free);
        CHECK(memory.device_allocations == 1);
    }
    Run again;
    first = history(again);
    Run and_again;
    CHECK(history(and_again) == first);
}

}  // namespace

TEST_CASE("a trainer on a device is one allocation of exactly the plan, and gives the same bits every time") {
    keeps_its_promises<placed<gpt2, batch<2, 32>>>();
    keeps_its_promises<placed<deep, batch<2, 32>, precision::mixed<bf16>, checkpointing::offloaded<>,
                              accumulation::micro_batches<2>>>();
    keeps_its_promises<placed<
        llama, batch<2, 32>, precision::mixed<bf16>, quantization::double_quantized<quantization::nf4<64>>,
        adapters::lora<rank<4>, dropout<std::ratio<1, 8>>>, optimizers::paged<optimizers::adamw<>>>>();
}

TEST_CASE("more memory than the device has free is refused with the bill beside what is free") {
    using large = placed<models::llama2_70b, batch<64, 4096>>;
    CHECK_THROWS_WITH(large(), Catch::Contains("free of") && Catch::Contains("one allocation of") &&
                                   Catch::Contains("weights") && Catch::Contains("activations"));
}

TEST_CASE("a gradient that is not finite changes nothing on a device") {
    using tiny = placed<gpt2, batch<2, 32>>;
    tiny run;
    auto const name = tiny::composition::parameter_table.entries[0].name;
    auto const good = run.copy_of_weights(name.view());
    auto bad = good;
    for (auto& value : bad) value = std::numeric_limits<float>::infinity();
    run.set_weights(name.view(), bad, {.allow_not_finite = true});
    std::string const other(tiny::composition::parameter_table.entries[2].name.view());
    auto const before = run.copy_of_weights(other);
    CHECK_THROWS_WITH(run.step(training_text<tiny>(0).batch()), Catch::Contains("the weights are unchanged"));
    CHECK(run.steps() == 0);
    CHECK(run.copy_of_weights(other) == before);
    run.set_weights(name.view(), good);
    CHECK(std::isfinite(run.step(training_text<tiny>(0).batch()).loss));
    CHECK(run.steps() == 1);

    using scaled = placed<gpt2, batch<2, 32>, precision::mixed<fp16>>;
    scaled skips;
    auto const scale = skips.current_loss_scale();
    auto weights = skips.copy_of_weights(name.view());
    for (auto& value : weights) value = fp16(std::numeric_limits<float>::infinity());
    skips.set_weights(name.view(), weights, {.allow_not_finite = true});
    CHECK(skips.step(training_text<scaled>(0).batch()).skipped);
    CHECK(skips.current_loss_scale() < scale);
    CHECK(skips.steps() == 0);
}
