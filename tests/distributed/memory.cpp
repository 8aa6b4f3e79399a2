// SPDX-License-Identifier: Apache-2.0
// What ranks hold is their plan: allocated at once, nothing beside it, and nothing read of it that is not alive.
#include <atomic>
#include <barrier>
#include <catch2/catch.hpp>
#include <cmath>
#include <cstring>
#include <distributed/trained.hpp>
#include <host/exact/calls.hpp>

using namespace snug_test;
using snug::distributed::threads;
namespace sharding = snug::sharding;
namespace checkpointing = snug::checkpointing;
namespace precision = snug::precision;
namespace optimizers = snug::optimizers;

namespace {

constexpr int ranks = 2;

using data_parallel = job<tiny_gpt2, sharding::data_parallel<snug::ranks<ranks>>, 2>;
using zero_1 = job<tiny_gpt2, zero<1, ranks>, 2, precision::pure<snug::bf16>>;
using zero_2 = job<tiny_gpt2, zero<2, ranks>, 2, precision::mixed<snug::fp16>,
                   optimizers::paged<optimizers::adamw<>>, checkpointing::selective>;
using replicas = job<tiny_gpt2, sharding::mesh<sharding::data_parallel<snug::ranks<ranks>>, zero<2, 1>>, 2>;
using zero_3 = job<tiny_llama, zero<3, ranks, sharding::prefetch<2>>, 2, precision::mixed<snug::bf16>,
                   optimizers::adamw<optimizers::states<snug::int8>>, checkpointing::every<2>>;
using quantized = job<tiny_llama, zero<3, ranks, sharding::prefetch<0>>, 2, snug::quantization::nf4<64>,
                      snug::adapters::dora<snug::rank<4>, snug::alpha<8>, snug::targets<snug::all_linear>,
                                           snug::dropout<std::ratio<1, 10>>>,
                      checkpointing::every_block>;

template <class Trainer>
part_of_batch batch_for(int step, int rank) {
    using C = typename Trainer::composition;
    return {step, rank, ranks, static_cast<int>(C::micro_batches), static_cast<int>(C::model::vocabulary)};
}

/// What has gone through the seam, of all ranks.
struct asked {
    static inline std::atomic<std::size_t> bytes{0};
    static inline std::atomic<int> calls{0};

    asked() : saved(snug::memory_seam()) {
        bytes = 0;
        calls = 0;
        snug::memory_seam().allocate = [](std::size_t alignment, std::size_t size) -> void* {
            bytes += size;
            ++calls;
            void* all = nullptr;
            // NaN in every format.
            if (posix_memalign(&all, alignment, size) == 0) std::memset(all, 0xFF, size);
            return all;
        };
    }
    ~asked() { snug::memory_seam() = saved; }
    snug::memory_calls saved;
};

/// What a step may find when it begins.
constexpr bool outlives_a_step(snug::declaration const& d) {
    return d.line == snug::role::weight || d.line == snug::role::master_weight ||
           d.line == snug::role::gradient || d.line == snug::role::optimizer_state;
}

/// The numbers of a step stay between its halves.
template <class Trainer>
void fill_what_is_not_alive(Trainer& trainer, std::byte with, bool between_halves) {
    using C = typename Trainer::composition;
    auto const of = snug::space::device_memory;
    auto* const memory = trainer.store().view().base(of);
    std::vector<bool> kept(static_cast<std::size_t>(C::plan.size(of).count));
    for (std::size_t i = 0; i < C::plan.declarations.size(); ++i) {
        auto const& declared = C::plan.declarations[i];
        bool const is_numbers = static_cast<int>(i) == C::places.numbers.declaration;
        if (declared.where == of && (outlives_a_step(declared) || (between_halves && is_numbers)))
            std::fill_n(kept.begin() + C::plan.offsets[i], declared.size().count, true);
    }
    for (std::size_t i = 0; i < kept.size(); ++i)
        if (!kept[i]) memory[i] = with;
}

template <class Trainer>
trained steps_with(bool is_disturbed) {
    std::vector<trained> all(ranks);
    temporary_file file;
    threads::run(ranks, [&](threads& world) {
        Trainer trainer(world, 3);
        auto& mine = all[static_cast<std::size_t>(world.rank())];
        // NaNs are swallowed by a comparison, a large number by none.
        for (auto const with : {std::byte{0xFF}, std::byte{0x7E}}) {
            auto const disturb = [&](bool between_halves) {
                if (is_disturbed) fill_what_is_not_alive(trainer, with, between_halves);
            };
            disturb(false);
            trainer.accumulate(batch_for<Trainer>(0, world.rank()));
            disturb(true);
            auto const so_far = trainer.accumulate(batch_for<Trainer>(1, world.rank()));
            disturb(true);
            mine.norms.push_back(trainer.update(so_far).gradient_norm);
            disturb(false);
            mine.losses.push_back(trainer.evaluate(batch_for<Trainer>(2, world.rank())).loss);
            disturb(false);
            mine.losses.push_back(trainer.step(batch_for<Trainer>(3, world.rank())).loss);
        }
        if (is_disturbed) fill_what_is_not_alive(trainer, std::byte{0xFF}, false);
        trainer.save(file.path);
    });
    CHECK(all[1] == all[0]);
    all[0].snapshot = file.bytes();
    return all[0];
}

}  // namespace

TEMPLATE_TEST_CASE("a rank allocates its plan, once, and a step allocates nothing", "", data_parallel, zero_1,
                   zero_2, replicas, zero_3, quantized) {
    using C = typename TestType::composition;
    constexpr auto planned =
        C::plan.size(snug::space::device_memory).count + C::plan.size(snug::space::host_memory).count;
    asked seam;
    test::tally during;
    std::barrier together(ranks);
    threads::run(ranks, [&](threads& world) {
        TestType trainer(world, 3);
        auto const first = batch_for<TestType>(0, world.rank()),
                   second = batch_for<TestType>(1, world.rank());
        trainer.step(first);
        together.arrive_and_wait();
        auto const before = test::calls();
        together.arrive_and_wait();
        trainer.step(second);
        trainer.evaluate(first);
        trainer.update(trainer.accumulate(first));
        together.arrive_and_wait();
        if (world.is_root()) during = test::calls() - before;
        together.arrive_and_wait();
    });
    CHECK(asked::bytes == ranks * static_cast<std::size_t>(planned));
    CHECK(asked::calls == ranks * (C::has_pages ? 2 : 1));
    CHECK(planned == (snug::footprint<TestType>.total + snug::footprint<TestType>.paged).count);
    CHECK(during == test::tally{});
}

TEMPLATE_TEST_CASE("nothing is read that is not alive", "", data_parallel, zero_1, zero_2, replicas, zero_3,
                   quantized) {
    asked seam;
    auto const undisturbed = steps_with<TestType>(false);
    for (auto const loss : undisturbed.losses) CHECK(std::isfinite(loss));
    CHECK((steps_with<TestType>(true) == undisturbed));
}
