// SPDX-License-Identifier: Apache-2.0
// What goes wrong on one rank, or is another there: all ranks say the same, nobody waits in vain, and where nothing was changed
// training goes on to the same bits.
#include <catch2/catch.hpp>
#include <distributed/exchange.hpp>
#include <distributed/trained.hpp>
#include <functional>
#include <limits>

using namespace snug_test;
namespace sharding = snug::sharding;
using snug::distributed::threads;

namespace {

constexpr int ranks = 2;
constexpr double not_a_number = std::numeric_limits<double>::quiet_NaN();

using data_parallel = job<tiny_gpt2, sharding::data_parallel<snug::ranks<ranks>>, 2>;
using each_time = job<tiny_gpt2, each<ranks>, 2>;
using zero_1 = job<tiny_gpt2, zero<1, ranks>, 2>;
using zero_2 = job<tiny_gpt2, zero<2, ranks>, 2>;
using zero_3 = job<tiny_gpt2, zero<3, ranks>, 2>;

part_of_batch batch_of(int step, int rank) { return {step, rank, ranks, 2, 97}; }

/// A first gradient that this rank holds and adds to the sum of all.
template <class Trainer>
auto* own_gradient(Trainer& trainer) {
    using C = typename Trainer::composition;
    using gradient = typename C::precision::gradient;
    for (int p = C::parameters - 1; p > 0; --p)
        for (snug::index_t i = 0; i < C::entry(p).count; ++i)
            if (auto* const found = trainer.store().view().template find<gradient>(C::gradient(p), p, i))
                return found;
    throw std::runtime_error("a rank without a gradient");
}

/// Every rank throws the same in `f(trainer, rank)`, with `words` in it; what a step finds afterwards, and what is left then.
template <class Trainer>
trained after(std::string const& words, std::function<void(Trainer&, int)> const& f) {
    std::string said[ranks];
    std::vector<trained> all(ranks);
    temporary_file file;
    threads::run(ranks, [&](threads& world) {
        auto const rank = static_cast<std::size_t>(world.rank());
        world.deadline = snug::distributed::seconds(60);
        Trainer trainer(world, 3);
        add_step(all[rank], trainer, 0, world.rank(), false);
        if (f) said[rank] = failed([&] { f(trainer, world.rank()); });
        add_step(all[rank], trainer, 1, world.rank(), false);
        trainer.save(file.path);
    });
    if (f) {
        CHECK_THAT(said[0], Catch::Contains(words));
        CHECK(said[1] == said[0]);
    }
    CHECK(all[1] == all[0]);
    all[0].snapshot = file.bytes();
    return all[0];
}

}  // namespace

TEMPLATE_TEST_CASE("what one rank cannot do no rank does, and training goes on as if nothing had been asked",
                   "", data_parallel, each_time, zero_1, zero_2, zero_3) {
    auto const undisturbed = after<TestType>("", {});
    auto const changes_nothing = [&](std::string const& words, std::function<void(TestType&, int)> const& f) {
        INFO(words);
        CHECK((after<TestType>(words, f) == undisturbed));
    };

    changes_nothing("rank 1: found a batch of 5 inputs", [](TestType& trainer, int rank) {
        auto batch = batch_of(1, rank);
        if (rank == 1) batch.inputs.resize(5);
        trainer.step(batch);
    });
    changes_nothing("token 97", [](TestType& trainer, int rank) {
        auto batch = batch_of(1, rank);
        if (rank == 1) batch.inputs[3] = 97;
        trainer.step(batch);
    });
    changes_nothing("token 97", [](TestType& trainer, int rank) {
        auto batch = batch_of(1, rank);
        if (rank == 0) batch.inputs[3] = 97;
        trainer.evaluate(batch);
    });
    changes_nothing("weight_decay", [](TestType& trainer, int rank) {
        auto const before = trainer.options;
        if (rank == 1) trainer.options.weight_decay = -1;
        auto const words = failed([&] { trainer.step(batch_of(1, rank)); });
        trainer.options = before;
        throw std::runtime_error(words);
    });
    changes_nothing("options", [](TestType& trainer, int rank) {
        auto const before = trainer.options;
        if (rank == 1) trainer.options.weight_decay /= 2;
        auto const words = failed([&] { trainer.step(batch_of(1, rank)); });
        trainer.options = before;
        throw std::runtime_error(words);
    });
    changes_nothing("without a counted target", [](TestType& trainer, int rank) {
        auto batch = batch_of(1, rank);
        for (auto& target : batch.targets) target = -1;
        trainer.step(batch);
    });
    changes_nothing("rank 1: found agreement on an evaluation, expected agreement on a step as on rank 0",
                    [](TestType& trainer, int rank) {
                        if (rank == 1) trainer.evaluate(batch_of(1, rank));
                        else trainer.step(batch_of(1, rank));
                    });
    changes_nothing("rank 1: found agreement on an accumulation, expected agreement on a step as on rank 0",
                    [](TestType& trainer, int rank) {
                        if (rank == 1) trainer.accumulate(batch_of(1, rank));
                        else trainer.step(batch_of(1, rank));
                    });
    changes_nothing("an update without gradients", [](TestType& trainer, int) { trainer.update({}); });
    // Between the halves of a step, which is then finished with what was meant.
    changes_nothing("a gradient of NaN", [](TestType& trainer, int rank) {
        auto const result = trainer.accumulate(batch_of(1, rank));
        if (rank == 1) *own_gradient(trainer) = static_cast<float>(not_a_number);
        trainer.update(result);
    });
}

TEMPLATE_TEST_CASE("an update asks whether all ranks mean the same, as a step does", "", data_parallel,
                   zero_2) {
    // The gradients are still there: the update that was meant follows.
    auto const expected = after<TestType>("an error", [](TestType& trainer, int rank) {
        trainer.update(trainer.accumulate(batch_of(2, rank)));
        throw std::runtime_error("an error");
    });
    for (bool const is_refused : {true, false}) {
        CAPTURE(is_refused);
        CHECK((after<TestType>(is_refused ? "learning_rate" : "options", [&](TestType& trainer, int rank) {
                   auto const before = trainer.options;
                   auto const result = trainer.accumulate(batch_of(2, rank));
                   if (rank == 1)
                       trainer.options.learning_rate = snug::schedule::constant(is_refused ? -1 : 1e-3);
                   auto const words = failed([&] { trainer.update(result); });
                   trainer.options = before;
                   trainer.update(result);
                   throw std::runtime_error(words);
               }) == expected));
    }
}

TEMPLATE_TEST_CASE("a rank whose batch has no counted target takes part in the step of the others", "",
                   data_parallel, zero_3) {
    auto const of = [](int rank) {
        auto batch = batch_of(0, rank);
        if (rank == 1)
            for (auto& target : batch.targets) target = -1;
        return batch;
    };
    // The same global batch on one rank: micro-batches 0 and 2 are rank 0's.
    part_of_batch whole(0, 0, 1, 4, 97);
    for (int i = 0; i < 4 * tokens; ++i)
        if (i / tokens % 2 == 1) whole.targets[static_cast<std::size_t>(i)] = -1;
    double expected_loss = 0, expected_evaluation = 0;
    snug::index_t expected_count = 0;
    threads::run(1, [&](threads& world) {
        job<tiny_gpt2, each<1>, 4> trainer(world, 3);
        expected_evaluation = trainer.evaluate(whole).loss;
        auto const result = trainer.step(whole);
        expected_loss = result.loss;
        expected_count = result.tokens;
    });
    threads::run(ranks, [&](threads& world) {
        TestType trainer(world, 3);
        auto const evaluated = trainer.evaluate(of(world.rank()));
        auto const result = trainer.step(of(world.rank()));
        if (!world.is_root()) return;
        CHECK(evaluated.loss == expected_evaluation);
        CHECK(evaluated.tokens == expected_count);
        CHECK(result.loss == expected_loss);
        CHECK(result.tokens == expected_count);
    });
}

TEST_CASE("ranks of another seed are refused") {
    std::string said[ranks];
    threads::run(ranks, [&](threads& world) {
        auto const rank = world.rank();
        said[rank] = failed([&] { zero_1 trainer(world, static_cast<std::uint64_t>(rank)); });
    });
    CHECK_THAT(said[0], Catch::Contains("seed"));
    CHECK(said[1] == said[0]);
}

TEST_CASE("ranks of another plan are refused") {
    std::string said[ranks];
    CHECK_THROWS(threads::run(ranks, [&](threads& world) {
        world.deadline = snug::distributed::seconds(20);
        auto const rank = world.rank();
        said[rank] = failed([&] {
            if (rank == 0) zero_1 trainer(world, 3);
            else zero_2 trainer(world, 3);
        });
        throw std::runtime_error(said[rank]);
    }));
    CHECK_THAT(said[0], Catch::Contains("plan"));
    CHECK(said[1] == said[0]);
}

TEST_CASE("two trainers that ranks ask in another order are refused on all ranks, which go on") {
    std::string said[ranks];
    threads::run(ranks, [&](threads& world) {
        auto const rank = world.rank();
        zero_1 first(world, 3);
        zero_2 second(world, 3);
        said[rank] = failed([&] {
            if (rank == 0) first.step(batch_of(0, rank));
            else second.step(batch_of(0, rank));
        });
        first.step(batch_of(0, rank));
        second.step(batch_of(0, rank));
    });
    CHECK_THAT(said[0], Catch::StartsWith("rank 1: found plan"));
    CHECK(said[1] == said[0]);
}

TEST_CASE("under a loss scale all ranks skip a step in which one has overflowed") {
    using trainer_type =
        job<tiny_gpt2, zero<2, ranks>, 2, snug::precision::mixed<snug::fp16>, snug::optimizers::adamw<>>;
    threads::run(ranks, [&](threads& world) {
        trainer_type trainer(world, 3);
        std::string const name(trainer_type::composition::entry(2).name.view());
        auto const weights = trainer.copy_of_weights(name);
        auto const scale = trainer.current_loss_scale();
        auto const so_far = trainer.accumulate(batch_of(0, world.rank()));
        if (world.rank() == 1) *own_gradient(trainer) = std::numeric_limits<float>::infinity();
        auto const result = trainer.update(so_far);
        bool const same_weights = trainer.copy_of_weights(name) == weights;
        auto const after_it = trainer.step(batch_of(0, world.rank()));
        static std::mutex one_at_a_time;
        std::scoped_lock lock(one_at_a_time);
        CHECK(result.skipped);
        CHECK(same_weights);
        CHECK(trainer.current_loss_scale() < scale);
        CHECK_FALSE(after_it.skipped);
        CHECK(std::isfinite(after_it.gradient_norm));
        CHECK(trainer.steps() == 1);
    });
}

TEMPLATE_TEST_CASE("an update that makes a weight infinite is an error on all ranks", "", data_parallel,
                   zero_1, zero_3) {
    std::string said[ranks];
    threads::run(ranks, [&](threads& world) {
        TestType trainer(world, 3);
        auto const rank = world.rank();
        auto const so_far = trainer.accumulate(batch_of(0, rank));
        // A state of one rank's, if it has a share.
        using C = typename TestType::composition;
        if (rank == 1 || C::sharding::stage == 0)
            for (int p = 0; p < C::parameters; ++p)
                for (snug::index_t i = 0; i < C::entry(p).count; ++i)
                    if (auto* const state = trainer.store().view().template find<float>(C::state(0, p), p, i))
                        *state = std::numeric_limits<float>::infinity();
        said[rank] = failed([&] { trainer.update(so_far); });
    });
    CHECK_THAT(said[0], Catch::Contains("after the update of step 1"));
    CHECK(said[1] == said[0]);
}

TEMPLATE_TEST_CASE("between the halves of a step other things may be asked", "", data_parallel, each_time,
                   zero_2, zero_3) {
    std::string name(TestType::composition::entry(2).name.view());
    auto const run = [&](bool asks) {
        std::vector<float> gradients;
        temporary_file file;
        double norm = 0;
        threads::run(ranks, [&](threads& world) {
            TestType trainer(world, 3);
            auto const so_far = trainer.accumulate(batch_of(0, world.rank()));
            auto const numbers_loss = trainer.store().found().loss;
            if (asks) {
                auto all = trainer.copy_of_gradients(name);
                if (world.is_root()) gradients.swap(all);
                temporary_file beside;
                trainer.save(file.path);
            }
            auto const result = trainer.update(so_far);
            auto const loss_at_the_end = trainer.store().found().loss;
            trainer.save(file.path);
            if (!world.is_root()) return;
            CHECK(loss_at_the_end == numbers_loss);
            norm = result.gradient_norm;
        });
        if (asks) {
            double squares = 0;
            for (auto const x : gradients) squares += double(x) * double(x);
            CHECK(squares > 0);
            CHECK(std::sqrt(squares) <= norm);
            // In every quarter of it: none is a share only.
            for (std::size_t quarter = 0; quarter < 4; ++quarter) {
                double some = 0;
                for (auto i = quarter * gradients.size() / 4; i < (quarter + 1) * gradients.size() / 4; ++i)
                    some += std::abs(double(gradients[i]));
                CHECK(some > 0);
            }
        }
        return file.bytes();
    };
    CHECK(run(true) == run(false));
}

TEMPLATE_TEST_CASE("accumulating twice counts the micro-batches of all ranks", "", each_time, zero_2,
                   zero_3) {
    // Dropout tells which micro-batch is which.
    using adapter = snug::adapters::lora<snug::rank<4>, snug::alpha<8>, snug::targets<snug::all_linear>,
                                         snug::dropout<std::ratio<1, 4>>>;
    (void)sizeof(adapter);
    temporary_file one, many;
    threads::run(1, [&](threads& world) {
        job<tiny_gpt2, each<1>, 4> trainer(world, 3);
        trainer.accumulate(part_of_batch(0, 0, 1, 4, 97));
        trainer.update(trainer.accumulate(part_of_batch(1, 0, 1, 4, 97)));
        trainer.step(part_of_batch(2, 0, 1, 4, 97));
        trainer.save(one.path);
    });
    threads::run(ranks, [&](threads& world) {
        TestType trainer(world, 3);
        trainer.accumulate(batch_of(0, world.rank()));
        trainer.update(trainer.accumulate(batch_of(1, world.rank())));
        trainer.step(batch_of(2, world.rank()));
        trainer.save(many.path);
    });
    CHECK(many.bytes() == one.bytes());
}
