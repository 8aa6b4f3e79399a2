// SPDX-License-Identifier: Apache-2.0
// What becomes of a training when something goes wrong inside of it on one rank: at any message of its constructor, steps,
// snapshots and resumption, and at any call of the file that rank 0 writes. (What is wrong with what a rank was given:
// disagreement.cpp.) Every call of every rank: the cases [all], for .ci/nightly.
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <catch2/catch.hpp>
#include <chrono>
#include <distributed/acts.hpp>
#include <distributed/watched.hpp>
#include <host/io/faults.hpp>
#include <random>
#include <thread>
#include <tuple>

using namespace snug_test;
using snug::distributed::threads;
using world_type = watched<threads>;

namespace {

constexpr int steps = 3;

template <class Sharding>
using training = snug::trainer<snug::models::gpt2<snug::layers<2>, snug::heads<2>, snug::width<16>,
                                                  snug::vocabulary<31>, snug::context<16>>,
                               snug::batch<1, tokens>, snug::accumulation::micro_batches<2>, Sharding,
                               snug::over<world_type>>;
using replicated = training<snug::sharding::data_parallel<snug::ranks<2>>>;
using sharded = training<zero<3, 3>>;

enum class kind { none, fails_before, fails_after, delays, answers_no_more };

struct fault {
    kind what = kind::none;
    int rank = 0;
    std::size_t call = 0;  ///< of that rank, from 0
    std::chrono::milliseconds delay{20};
};

/// Where a training makes a call.
struct place {
    std::string_view act, operation, verb;
    friend bool operator==(place const&, place const&) = default;
};

/// How a training ended.
template <class Trainer>
struct outcome {
    static constexpr std::size_t ranks = Trainer::composition::ranks;
    std::array<std::string, ranks> words;         ///< of each rank's exception
    std::array<std::vector<place>, ranks> calls;  ///< of each rank
    std::vector<std::string> snapshots;           ///< each that was written
    std::string line;                             ///< on stderr
    double seconds = 0;
};

/// Steps and snapshots, and a step of a second trainer that resumes the last one; with a fault.
template <class Trainer>
outcome<Trainer> train_through(std::string const& path, fault const& wrong, double deadline) {
    constexpr int ranks = Trainer::composition::ranks;
    outcome<Trainer> result;
    std::atomic<bool> is_over = false;
    std::atomic<int> ended = 0;
    auto const begun = std::chrono::steady_clock::now();
    auto const job = [&](threads& of) {
        auto const rank = static_cast<std::size_t>(of.rank());
        of.deadline = snug::distributed::seconds(deadline);
        std::string_view act;
        world_type world(of, [&](std::string_view verb, bool is_made) {
            auto& calls = result.calls[rank];
            if (!is_made) calls.push_back({act, of.doing.operation, verb});
            if (wrong.what == kind::none || wrong.rank != of.rank() || wrong.call + 1 != calls.size()) return;
            if (wrong.what == (is_made ? kind::fails_after : kind::fails_before))
                throw snug::error({.rank = of.rank()}, "a fault that a test asked for", "");
            if (is_made) return;
            if (wrong.what == kind::delays) std::this_thread::sleep_for(wrong.delay);
            while (wrong.what == kind::answers_no_more && !is_over && ended < ranks - 1)
                std::this_thread::sleep_for(std::chrono::milliseconds(1));
        });
        auto const save = [&](Trainer& trainer) {
            trainer.save(path);
            if (!world.is_root()) return;
            std::ifstream file(path, std::ios::binary);
            result.snapshots.emplace_back(std::istreambuf_iterator<char>(file),
                                          std::istreambuf_iterator<char>());
        };
        try {
            act = "constructor";
            Trainer trainer(world, 3);
            for (int step = 0; step + 1 < steps; ++step) {
                act = "step", next_loss(trainer, of.rank());
                act = "save", save(trainer);
            }
            act = "second constructor";
            Trainer second(world, 5);
            act = "resume", second.resume(path);
            act = "step", next_loss(second, of.rank());
            act = "last save", save(second);
            ++ended;
        } catch (std::exception const& e) {
            result.words[rank] = e.what();
            is_over = true;
            throw;
        }
    };
    result.line = said([&] { failed([&] { threads::run(ranks, job); }); });
    result.seconds = snug::distributed::seconds(std::chrono::steady_clock::now() - begun).count();
    return result;
}

/// What is left of a training goes on to its end: the snapshot there.
template <class Trainer>
std::string gone_on(std::string const& path) {
    threads::run(Trainer::composition::ranks, [&](threads& of) {
        world_type world(of, [](std::string_view, bool) {});
        Trainer trainer(world, 3);
        if (std::filesystem::exists(path)) trainer.resume(path);
        while (trainer.steps() < steps) next_loss(trainer, of.rank());
        trainer.save(path);
    });
    return test::read_file(path);
}

template <class Trainer>
class faults_of {
  public:
    static constexpr int ranks = Trainer::composition::ranks;

    faults_of(faults_of const&) = delete;
    faults_of& operator=(faults_of const&) = delete;
    ~faults_of() { snug::io::calls() = before_; }

    faults_of() {
        // Whether what is written outlives a power cut is not what is asked here, hundreds of times.
        snug::io::calls().sync = [](int) { return 0; };
        temporary_file file;
        undisturbed_ = train_through<Trainer>(file.path, {}, 60);
        for (auto const& mine : undisturbed_.words) REQUIRE(mine.empty());
        REQUIRE(undisturbed_.line.empty());
        REQUIRE(undisturbed_.snapshots.size() == steps);
    }

    std::size_t calls(int rank) const { return of(rank).size(); }

    /// The first call of each kind at each operation of each act; or at each operation only.
    std::vector<std::size_t> places(int rank, bool of_each_verb) const {
        std::vector<std::size_t> result;
        std::vector<place> seen;
        for (std::size_t i = 0; i < calls(rank); ++i) {
            auto here = of(rank)[i];
            if (!of_each_verb) here.verb = {};
            if (std::find(seen.begin(), seen.end(), here) != seen.end()) continue;
            seen.push_back(here);
            result.push_back(i);
        }
        return result;
    }

    /// A training with a fault: whether all ranks end as they should, and what they leave.
    void check(fault const& wrong) const {
        auto const& at = of(wrong.rank)[wrong.call];
        CAPTURE(ranks, static_cast<int>(wrong.what), wrong.rank, wrong.call, std::string(at.act),
                std::string(at.operation), std::string(at.verb));
        temporary_file file;
        bool const hangs = wrong.what == kind::answers_no_more;
        double const deadline = hangs ? 0.1 : 30;
        auto const found = train_through<Trainer>(file.path, wrong, deadline);
        CAPTURE(found.words, found.line);
        if (wrong.what == kind::delays) {
            for (auto const& mine : found.words) REQUIRE(mine.empty());
            REQUIRE(found.snapshots == undisturbed_.snapshots);
            return;
        }
        auto expected = "rank " + std::to_string(wrong.rank) + ": found a fault that a test asked for";
        if (hangs) expected = *std::max_element(found.words.begin(), found.words.end());
        if (hangs && expected.empty()) {
            CHECK(may_have_ended(wrong, (wrong.rank + 1) % ranks));  // nobody has waited for it
        } else if (hangs) {
            CHECK_THAT(expected, Catch::Matches("rank [0-9]: found nothing from rank [0-9] in 0[.0-9]* s, "
                                                "expected an answer"));
            // One line: who, when and what.
            CHECK_THAT(found.line,
                       Catch::Matches("snug: rank [0-9](, step [0-9]+)?, [a-z ]+( of [a-z0-9_.]+)?: nothing "
                                      "(from|taken by) rank [0-9] for 0.[0-9] s\n"));
            CHECK(found.seconds < deadline + 1);
        } else {
            CHECK(found.line.empty());
        }
        for (int rank = 0; rank < ranks; ++rank) {
            auto const& mine = found.words[static_cast<std::size_t>(rank)];
            if (mine.empty() && may_have_ended(wrong, rank)) continue;
            CHECK(mine == expected);
        }
        // A file of before or after what went wrong, and no part of one.
        CHECK(!std::filesystem::exists(file.path + ".partial"));
        if (std::filesystem::exists(file.path)) {
            auto const& known = undisturbed_.snapshots;
            CHECK(std::find(known.begin(), known.end(), file.bytes()) != known.end());
        }
        CHECK((gone_on<Trainer>(file.path) == undisturbed_.snapshots.back()));
    }

  private:
    std::vector<place> const& of(int rank) const {
        return undisturbed_.calls[static_cast<std::size_t>(rank)];
    }
    /// A rank that has got all that it waits for in the last agreement of all may have ended when another fails.
    bool may_have_ended(fault const& wrong, int rank) const {
        auto const& calls = of(wrong.rank);
        auto const last = std::find_if(calls.rbegin(), calls.rend(), [&](place const& one) {
            return one.act != calls.back().act || one.operation != calls.back().operation;
        });
        return rank != wrong.rank && wrong.call >= static_cast<std::size_t>(calls.rend() - last);
    }

    snug::io::file_calls before_ = snug::io::calls();
    outcome<Trainer> undisturbed_;
};

/// A snapshot of one step, and what one of two is.
template <class Trainer>
struct two_snapshots {
    std::string before, after;

    two_snapshots() {
        temporary_file file;
        run([&](Trainer& trainer, threads& of) {
            next_loss(trainer, of.rank());
            trainer.save(file.path);
            if (of.is_root()) before = file.bytes();
            next_loss(trainer, of.rank());
            trainer.save(file.path);
        });
        after = file.bytes();
    }

    /// f(trainer, world) on all ranks.
    template <class F>
    static void run(F const& f) {
        threads::run(Trainer::composition::ranks, [&](threads& of) {
            world_type world(of, [](std::string_view, bool) {});
            Trainer trainer(world, 3);
            f(trainer, of);
        });
    }
};

/// Kills everything at every `stride`-th file call of rank 0 in a save.
template <class Trainer>
int killed_in_saves(int stride) {
    two_snapshots<Trainer> const expected;
    temporary_file file;
    int nth = 1;
    for (bool reached = true; reached; nth += stride) {
        CAPTURE(nth);
        test::write_file(file.path, expected.before);
        auto const child = ::fork();
        REQUIRE(child >= 0);
        if (child == 0) {
            auto const words = failed([&] {
                two_snapshots<Trainer>::run([&](Trainer& trainer, threads& of) {
                    trainer.resume(file.path);
                    next_loss(trainer, of.rank());
                    if (!of.is_root()) return trainer.save(file.path);
                    test::faults faults;
                    faults.die_before(nth);
                    trainer.save(file.path);
                });
            });
            ::_exit(words.empty() ? 0 : 1);
        }
        int status = 0;
        REQUIRE(::waitpid(child, &status, 0) == child);
        reached = WIFSIGNALED(status);
        if (reached) REQUIRE(WTERMSIG(status) == SIGKILL);
        else REQUIRE(status == 0);
        auto const left = file.bytes();
        REQUIRE((left == expected.after || (reached && left == expected.before)));
        // Goes on, and writes over whatever else is there.
        two_snapshots<Trainer>::run([&](Trainer& trainer, threads& of) {
            trainer.resume(file.path);
            while (trainer.steps() < 2) next_loss(trainer, of.rank());
            trainer.save(file.path);
        });
        REQUIRE(file.bytes() == expected.after);
        REQUIRE(!std::filesystem::exists(file.path + ".partial"));
    }
    return nth;
}

// Of the seam of the arena: one rank is refused its memory.
thread_local bool has_no_memory = false;

}  // namespace

TEMPLATE_TEST_CASE(
    "whatever a rank was at when a message failed, all ranks throw the same, and the last snapshot goes on",
    "", replicated, sharded) {
    faults_of<TestType> const all;
    for (auto const call : all.places(1, true))
        for (auto const what : {kind::fails_before, kind::fails_after}) all.check({what, 1, call});
    for (auto const call : all.places(0, false)) all.check({kind::fails_after, 0, call});
}

TEMPLATE_TEST_CASE(
    "whatever a rank was at when it fell silent, all ranks end after the deadline, and the last snapshot "
    "goes on",
    "", replicated, sharded) {
    faults_of<TestType> const all;
    for (auto const call : all.places(1, false)) all.check({kind::answers_no_more, 1, call});
}

TEST_CASE("a message that comes late changes nothing") {
    faults_of<sharded> const all;
    for (std::size_t call = 3; call < all.calls(2); call += all.calls(2) / 8)
        all.check({kind::delays, 2, call});
}

TEMPLATE_TEST_CASE("every call of every rank fails", "[.][all]", replicated, sharded) {
    faults_of<TestType> const all;
    std::size_t count = 0;
    for (int rank = 0; rank < all.ranks; ++rank)
        for (std::size_t call = 0; call < all.calls(rank); ++call, count += 2)
            for (auto const what : {kind::fails_before, kind::fails_after}) all.check({what, rank, call});
    WARN(count << " faults of " << all.ranks << " ranks");
}

TEMPLATE_TEST_CASE("every call of a rank is its last", "[.][all]", replicated, sharded) {
    faults_of<TestType> const all;
    for (std::size_t call = 0; call < all.calls(all.ranks - 1); ++call)
        all.check({kind::answers_no_more, all.ranks - 1, call});
    WARN(all.calls(all.ranks - 1) << " faults of " << all.ranks << " ranks");
}

TEMPLATE_TEST_CASE("faults at random", "[.][all]", replicated, sharded) {
    faults_of<TestType> const all;
    std::mt19937 random(7);
    for (int seed = 0; seed < 500; ++seed) {
        CAPTURE(seed);
        auto const rank = static_cast<int>(random() % static_cast<unsigned>(all.ranks));
        auto const call = random() % all.calls(rank);
        auto const what = std::array{kind::fails_before, kind::fails_after, kind::delays}[random() % 3];
        all.check({what, rank, call, std::chrono::milliseconds(random() % 20)});
    }
}

TEST_CASE(
    "whatever call of its file fails on rank 0, a save fails alike on all ranks, and training goes on") {
    int const code = GENERATE(ENOSPC, EIO);
    two_snapshots<sharded> const expected;
    temporary_file file;
    constexpr std::size_t ranks = sharded::composition::ranks;
    std::array<std::string, ranks> words;
    std::array<int, test::kinds_of_call> refused{};
    two_snapshots<sharded>::run([&](sharded& trainer, threads& of) {
        auto const rank = static_cast<std::size_t>(of.rank());
        std::array<std::byte, ranks * sizeof(snug::distributed::statement)> room{};
        std::byte reached{};
        threads::transfer talk(of, snug::distributed::messages_to_agree(of));
        next_loss(trainer, of.rank());
        trainer.save(file.path);
        next_loss(trainer, of.rank());
        for (int k = 0; k < test::kinds_of_call; ++k)
            for (int nth = 1;; ++nth) {
                auto const call = static_cast<test::call>(k);
                if (of.is_root()) {
                    test::write_file(file.path, expected.before);
                    test::faults faults;
                    faults.fail(call, nth, code);
                    words[rank] = failed([&] { trainer.save(file.path); });
                    reached = static_cast<std::byte>(faults.made(call) >= nth);
                } else {
                    words[rank] = failed([&] { trainer.save(file.path); });
                }
                snug::distributed::agree(of, talk, room, {});  // all have ended it
                if (of.is_root()) {
                    bool const fails = !words[0].empty();
                    refused[static_cast<std::size_t>(k)] += fails;
                    require(std::count(words.begin(), words.end(), words[0]) == std::ptrdiff_t{ranks},
                            "all ranks say \"" + words[0] + "\"");
                    if (fails) require(words[0].starts_with("rank 0: "), words[0]);
                    auto const left = file.bytes();
                    // Only the sync of the folder comes after the file is there.
                    bool const is_last = call == test::call::sync && nth == 2;
                    require(left == (fails && !is_last ? expected.before : expected.after),
                            "the file is the old one, or the new one");
                    require(!std::filesystem::exists(file.path + ".partial"), "no part is left");
                }
                snug::distributed::broadcast(of, talk, 0, std::span(&reached, 1));
                of.wait(talk);
                if (reached == std::byte{}) break;
            }
        next_loss(trainer, of.rank());
        trainer.save(file.path);
    });
    for (auto const call : {test::call::open, test::call::write, test::call::pwrite, test::call::truncate,
                            test::call::sync, test::call::rename})
        CHECK(refused[static_cast<std::size_t>(call)] > 0);
    CHECK(refused[static_cast<std::size_t>(test::call::write)] > 50);
    // The training that nothing disturbed.
    temporary_file undisturbed;
    two_snapshots<sharded>::run([&](sharded& trainer, threads& of) {
        for (int step = 0; step < 3; ++step) next_loss(trainer, of.rank());
        trainer.save(undisturbed.path);
    });
    CHECK(file.bytes() == undisturbed.bytes());
}

TEST_CASE("a save that is killed leaves a good snapshot") { CHECK(killed_in_saves<sharded>(23) > 100); }

TEST_CASE("a save that is killed at any file call leaves a good snapshot", "[.][all]") {
    WARN(killed_in_saves<sharded>(1) - 2 << " file calls");
}

TEST_CASE("memory that one rank does not get no rank has") {
    auto const before = snug::memory_seam();
    snug::memory_seam().allocate = [](std::size_t alignment, std::size_t size) -> void* {
        void* result = nullptr;
        return !has_no_memory && ::posix_memalign(&result, alignment, size) == 0 ? result : nullptr;
    };
    std::array<std::string, 3> words;
    threads::run(3, [&](threads& of) {
        world_type world(of, [](std::string_view, bool) {});
        has_no_memory = of.rank() == 2;
        words[static_cast<std::size_t>(of.rank())] = failed([&] { sharded trainer(world, 3); });
        has_no_memory = false;
        sharded trainer(world, 3);  // there is some now
        next_loss(trainer, of.rank());
    });
    snug::memory_seam() = before;
    CHECK_THAT(words[0],
               Catch::StartsWith("rank 2: found not enough free memory, expected one allocation of "));
    for (auto const& mine : words) CHECK(mine == words[0]);
}
