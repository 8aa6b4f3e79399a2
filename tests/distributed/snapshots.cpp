// SPDX-License-Identifier: Apache-2.0
// Snapshots of trainings by several ranks: one file, the same whatever the number of ranks and what they hold.
#include <sys/resource.h>

#include <catch2/catch.hpp>
#include <csignal>
#include <distributed/acts.hpp>
#include <limits>
#include <tuple>

using namespace snug_test;
namespace optimizers = snug::optimizers;
namespace sharding = snug::sharding;

namespace {

using notes = std::vector<std::pair<std::string, std::string>>;

/// Resumes the file, and saves it again: the copy's bytes.
template <class Trainer>
std::string passed_on(temporary_file const& file) {
    temporary_file copy;
    on_all_ranks<Trainer>([&](Trainer& trainer, int) {
        auto const found = trainer.resume(file.path);
        trainer.save(copy.path, found);
        return found.size() == 1 && found[0].second == "7" && trainer.steps() == 2;
    });
    return copy.bytes();
}

/// Two steps, a snapshot, a third step: what it says, and the snapshot after it.
template <class Trainer>
std::pair<double, std::string> goes_on(temporary_file const& file) {
    temporary_file after;
    auto const loss = on_all_ranks<Trainer>([&](Trainer& trainer, int rank) {
        next_loss(trainer, rank);
        next_loss(trainer, rank);
        trainer.save(file.path, {{"position", "7"}});
        auto const third = next_loss(trainer, rank);
        trainer.save(after.path);
        return third;
    });
    return {loss, after.bytes()};
}

template <class Trainer>
std::pair<double, std::string> resumed(temporary_file const& file) {
    temporary_file after;
    auto const loss = on_all_ranks<Trainer>([&](Trainer& trainer, int rank) {
        trainer.resume(file.path);
        auto const third = next_loss(trainer, rank);
        trainer.save(after.path);
        return third;
    });
    return {loss, after.bytes()};
}

/// A trainer that is not sharded takes the file, and writes the same.
template <class Trainer>
std::string passed_on_alone(temporary_file const& file) {
    temporary_file copy;
    Trainer trainer(5);
    trainer.save(copy.path, trainer.resume(file.path));
    return copy.bytes();
}

template <class Model, class... Policies>
void check_files() {
    temporary_file file;
    // In pieces of the smallest size, of which one travels while another is written.
    using few = shared<Model, zero<3, 4, sharding::bucket<snug::bytes{4096}>>, Policies...>;
    auto const expected = goes_on<few>(file);
    auto const bytes = file.bytes();
    using plain = snug::trainer<Model, snug::batch<1, tokens>, Policies...>;
    CHECK(passed_on_alone<plain>(file) == bytes);
    CHECK(passed_on<few>(file) == bytes);
    CHECK(passed_on<job<Model, sharding::data_parallel<snug::ranks<2>>, 1, Policies...>>(file) == bytes);
    CHECK(passed_on<job<Model, zero<1, 4>, 1, Policies...>>(file) == bytes);
    CHECK((resumed<few>(file) == expected));
    CHECK((resumed<shared<Model, zero<2, 2>, Policies...>>(file) == expected));
}

/// The words in which all ranks are refused, in trainers that go on afterwards.
template <class Trainer, class F>
std::string refused(F const& f) {
    return on_all_ranks<Trainer>([&](Trainer& trainer, int rank) {
        auto const words = failed([&] { f(trainer, rank); });
        return next_loss(trainer, rank) > 0 ? words : "no loss";
    });
}

using four = job<tiny_gpt2, zero<3, 4>, 1>;

}  // namespace

TEST_CASE("the file is the same, and goes on to the same bits, on any number of ranks") {
    check_files<tiny_gpt2>();
    // Numbers of every kind and place: a master copy, states in blocks of which no share cuts one, on pages.
    check_files<tiny_llama, snug::precision::mixed<snug::bf16>,
                optimizers::paged<optimizers::adamw<optimizers::states<snug::int8>>>>();
}

TEST_CASE("a snapshot between accumulate and update changes nothing") {
    auto const train = [](bool saves) {
        return on_all_ranks<four>([=](four& trainer, int rank) {
            temporary_file file;
            auto const done = trainer.accumulate(part_of_batch(0, rank, 4, 1, 97));
            if (saves) trainer.save(file.path);
            auto const norm = trainer.update(done).gradient_norm;
            auto const loss = trainer.store().found().loss / static_cast<double>(done.tokens);
            return std::tuple(norm, loss == done.loss, trainer.copy_of_weights("blocks.qkv.weight"));
        });
    };
    auto const saved = train(true);
    CHECK(std::get<1>(saved));  // the update has seen the loss that accumulate has found
    CHECK((saved == train(false)));
}

TEST_CASE("what one rank cannot do all refuse, in the same words, and go on") {
    temporary_file file, other;
    auto const saved = [&](four& trainer, int) {
        trainer.save(file.path);
        next_loss(trainer, 0);
        trainer.save(other.path);
        return true;
    };
    on_all_ranks<four>(saved);
    auto const before = file.bytes();

    SECTION("there is no such folder") {
        CHECK(refused<four>([&](four& t, int) { t.save(file.path + "/in/it"); }).starts_with("rank 0: "));
    }
    SECTION("the disk is full in the middle of the file") {
        rlimit old{};
        ::getrlimit(RLIMIT_FSIZE, &old);
        std::signal(SIGXFSZ, SIG_IGN);
        rlimit const little{before.size() / 2, old.rlim_max};
        ::setrlimit(RLIMIT_FSIZE, &little);
        auto const words = refused<four>([&](four& t, int) { t.save(file.path); });
        ::setrlimit(RLIMIT_FSIZE, &old);
        CHECK(words.starts_with("rank 0: " + file.path));
    }
    SECTION("a rank does not see the file") {
        CHECK(refused<four>([&](four& t, int rank) {
                  t.resume(rank == 2 ? file.path + ".not" : file.path);
              }).starts_with("rank 2: " + file.path + ".not"));
    }
    SECTION("a rank sees another file") {
        CHECK(refused<four>([&](four& t, int rank) { t.resume(rank == 3 ? other.path : file.path); }) ==
              "rank 3: found another snapshot than on rank 0, expected the same on every rank");
    }
    SECTION("a rank holds a number that is not finite") {
        using C = four::composition;
        constexpr int p = C::parameters - 2;
        auto const words = on_all_ranks<four>([&](four& t, int) {
            auto const last = C::entry(p).count * C::entry(p).copies - 1;
            if (auto* const w = weight_of(t, p, last)) *w = std::numeric_limits<float>::infinity();
            return failed([&] { t.save(file.path); });
        });
        INFO(words);
        CHECK(words.find("tensor " + C::entry(p).full_name(C::entry(p).copies - 1)) != std::string::npos);
        CHECK(words.find("infinity at element " + std::to_string(C::entry(p).count - 1)) !=
              std::string::npos);
    }
    CHECK(file.bytes() == before);
}

TEST_CASE("a batch or options of one rank are refused on all, which go on") {
    CHECK(refused<four>([](four& trainer, int rank) {
              part_of_batch batch(0, rank, 4, 1, 97);
              if (rank == 1) batch.inputs.resize(3);
              trainer.step(batch);
          }).starts_with("rank 1: found a batch of 3 inputs"));
    CHECK(refused<four>([](four& trainer, int rank) {
              if (rank == 2) trainer.options.weight_decay = 0.5;
              auto const words = failed([&] { trainer.step(part_of_batch(0, rank, 4, 1, 97)); });
              trainer.options.weight_decay = 0;
              throw std::runtime_error(words);
          }).starts_with("rank 2: found options"));
}

TEST_CASE("another number of ranks is refused before anything is allocated") {
    auto const words = failed([] {
        snug::distributed::threads::run(2, [](snug::distributed::threads& world) { four run(world); });
    });
    CHECK(words.find("2 processes") != std::string::npos);
    CHECK(words.find("mpirun -n 4") != std::string::npos);
}

TEST_CASE("a gradient that is not finite is named on all ranks") {
    using C = four::composition;
    for (int const p : {0, 3}) {
        auto const words = on_all_ranks<four>([&](four& t, int rank) {
            auto const done = t.accumulate(part_of_batch(0, rank, 4, 1, 97));
            if (auto* const g = t.store().view().find<float>(C::gradient(p), p, 2))
                *g = std::numeric_limits<float>::quiet_NaN();
            return failed([&] { t.update(done); });
        });
        INFO(words);
        CHECK(words.find("tensor " + C::entry(p).full_name(0)) != std::string::npos);
        CHECK(words.find("NaN at element 2") != std::string::npos);
    }
}

TEST_CASE("an update that makes numbers infinite is refused on all ranks") {
    auto const words = on_all_ranks<four>([&](four& t, int rank) {
        t.options.learning_rate = snug::schedule::constant(1e39);
        t.options.weight_decay = 0;
        return failed([&] { t.step(part_of_batch(0, rank, 4, 1, 97)); });
    });
    INFO(words);
    CHECK(words.find("after the update of step 1") != std::string::npos);
}
