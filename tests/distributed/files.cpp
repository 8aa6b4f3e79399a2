// SPDX-License-Identifier: Apache-2.0
// One file, whatever ranks wrote it and whatever ranks go on from it.
#include <catch2/catch.hpp>
#include <distributed/trained.hpp>

using namespace snug_test;
namespace sharding = snug::sharding;
using blocks = snug::optimizers::adamw<snug::optimizers::states<snug::int8>>;
using mixed = snug::precision::mixed<snug::bf16>;
using low_rank = snug::adapters::lora<snug::rank<4>, snug::alpha<8>, snug::targets<snug::all_linear>>;
using stored = snug::quantization::nf4<64>;

namespace {

/// Runs f(trainer, rank) on as many ranks as Trainer is for; an unsharded one is alone.
template <class Trainer, class F>
void on_ranks(F const& f) {
    if constexpr (Trainer::composition::is_sharded)
        snug::distributed::threads::run(Trainer::composition::ranks, [&](snug::distributed::threads& world) {
            Trainer trainer(world, 3);
            f(trainer, world.rank());
        });
    else {
        Trainer trainer(3);
        f(trainer, 0);
    }
}

/// What it writes after it has gone on from a file and made no step, and the losses of two steps after that.
template <class Trainer>
std::pair<std::string, std::vector<double>> gone_on(std::string const& from) {
    temporary_file file;
    std::vector<double> losses;
    on_ranks<Trainer>([&](Trainer& trainer, int rank) {
        trainer.resume(from);
        trainer.save(file.path);
        trained steps;
        for (int step = 7; step < 9; ++step) add_step(steps, trainer, step, rank, false);
        if (rank == 0) losses = steps.losses;
    });
    return {file.bytes(), losses};
}

template <class Model, class... Policies>
using plain = snug::trainer<Model, snug::batch<1, tokens>, Policies...>;

}  // namespace

TEST_CASE("a snapshot is the same file from any ranks, and any ranks go on from it") {
    temporary_file file;
    on_ranks<plain<tiny_llama, mixed, blocks>>([&](auto& trainer, int) {
        trained steps;
        for (int step = 0; step < 2; ++step) add_step(steps, trainer, step, 0, false);
        trainer.save(file.path);
    });
    auto const written = file.bytes();
    auto const [two, losses] = gone_on<job<tiny_llama, zero<2, 2>, 4, mixed, blocks>>(file.path);
    CHECK((two == written));
    auto const [three, losses_of_three] = gone_on<job<tiny_llama, zero<3, 4>, 2, mixed, blocks>>(file.path);
    CHECK((three == written));
    CHECK(losses_of_three == losses);
    auto const [one, losses_of_one] = gone_on<job<tiny_llama, zero<1, 8>, 1, mixed, blocks>>(file.path);
    CHECK((one == written));
    CHECK(losses_of_one == losses);  // one micro-batch: added at the end is the same
    auto const [none, losses_of_none] = gone_on<plain<tiny_llama, mixed, blocks>>(file.path);
    CHECK((none == written));
}

TEST_CASE("an adapter is the same files from any ranks, and read by any") {
    using alone = plain<tiny_gpt2, stored, low_rank>;
    using ranks = job<tiny_gpt2, zero<3, 2>, 1, stored, low_rank>;
    temporary_file snapshot, adapter, again, from_ranks;
    on_ranks<alone>([&](alone& trainer, int) {
        trained steps;
        add_step(steps, trainer, 0, 0, false);
        trainer.save(snapshot.path);
        trainer.save_adapter(adapter.path);
    });
    on_ranks<ranks>([&](ranks& trainer, int) {
        trainer.resume(snapshot.path);
        trainer.save_adapter(from_ranks.path);
        trainer.load_adapter(from_ranks.path);
        trainer.save_adapter(again.path);
    });
    for (char const* name : {"/adapter_model.safetensors", "/adapter_config.json"}) {
        std::ifstream expected(adapter.path + name, std::ios::binary);
        std::string const bytes{std::istreambuf_iterator<char>(expected), {}};
        CHECK_FALSE(bytes.empty());
        for (auto const& other : {from_ranks.path, again.path}) {
            std::ifstream found(other + name, std::ios::binary);
            CHECK((std::string{std::istreambuf_iterator<char>(found), {}} == bytes));
        }
    }
}

TEST_CASE("what one rank cannot do no rank does, and all of them say why") {
    using ranks = job<tiny_gpt2, zero<3, 3>, 1>;
    std::vector<std::string> said(3);
    auto const refused = [&](int rank, auto const& f) {
        try {
            f();
        } catch (snug::error const& e) {
            said[static_cast<std::size_t>(rank)] = e.what();
            return;
        }
        said[static_cast<std::size_t>(rank)] = "nothing";
    };
    auto const check = [&](std::string const& words) {
        CHECK_THAT(said[0], Catch::Contains(words));
        CHECK(said[1] == said[0]);
        CHECK(said[2] == said[0]);
    };
    temporary_file file;
    std::vector<std::vector<double>> losses(3);
    auto const each_says = [&](std::string const& words, auto const& act) {
        on_ranks<ranks>([&](ranks& trainer, int rank) {
            refused(rank, [&] { act(trainer, rank); });
            // Nothing has happened, and training goes on.
            auto const next = trainer.step(part_of_batch(0, rank, 3, 1, 97));
            losses[static_cast<std::size_t>(rank)].push_back(next.loss);
        });
        check(words);
    };
    each_says("rank 1: found a batch of 3 inputs", [](ranks& trainer, int rank) {
        part_of_batch batch(0, rank, 3, 1, 97);
        if (rank == 1) batch.inputs.resize(3);
        trainer.step(batch);
    });
    each_says("rank 2: found options", [](ranks& trainer, int rank) {
        auto const before = trainer.options;
        if (rank == 2) trainer.options.weight_decay = 0.5;
        try {
            trainer.step(part_of_batch(0, rank, 3, 1, 97));
        } catch (...) {
            trainer.options = before;
            throw;
        }
    });
    each_says("rank 0: /nowhere", [](ranks& trainer, int) { trainer.save("/nowhere/at/all"); });
    each_says("rank 1: /nowhere", [&](ranks& trainer, int rank) {
        trainer.save(file.path);
        trainer.resume(rank == 1 ? "/nowhere" : file.path);
    });
    for (auto const& of_rank : losses)
        for (auto const loss : of_rank) CHECK(loss == losses[0][0]);
}

TEST_CASE("another number of ranks is refused before anything is allocated") {
    using ranks = job<tiny_gpt2, zero<3, 3>, 1>;
    CHECK_THROWS_WITH(
        snug::distributed::threads::run(2, [](snug::distributed::threads& world) { ranks trainer(world); }),
        Catch::Contains("2 processes") && Catch::Contains("mpirun -n 3"));
}

TEST_CASE("weights and gradients by name, whole on every rank") {
    using ranks = job<tiny_gpt2, zero<3, 2>, 1, mixed>;
    using alone = plain<tiny_gpt2, mixed>;
    alone expected(3);
    on_ranks<ranks>([&](ranks& trainer, int rank) {
        for (auto const& entry : snug::parameters<ranks>) {
            auto const name = entry.name.view();
            auto weights = trainer.copy_of_weights(name);
            auto const same = weights == expected.copy_of_weights(name);
            weights[0] = snug::bf16(0.25f);
            trainer.set_weights(name, weights);
            auto const changed = trainer.copy_of_weights(name) == weights;
            if (rank == 1) {
                CHECK(same);
                CHECK(changed);
            }
        }
        trainer.accumulate(part_of_batch(0, rank, 2, 1, 97));
        auto const gradient = trainer.copy_of_gradients(snug::parameters<ranks>[0].name.view());
        if (rank == 1) CHECK(gradient.size() == static_cast<std::size_t>(snug::parameters<ranks>[0].total()));
    });
}
