// SPDX-License-Identifier: Apache-2.0
#include <sched.h>
#include <stdlib.h>

#include <catch2/catch.hpp>
#include <snug/distributed/deadline.hpp>
#include <snug/distributed/hash.hpp>
#include <snug/distributed/launch.hpp>
#include <snug/distributed/self.hpp>

namespace dist = snug::distributed;

// A plan needs no MPI: the class is a tag.
static_assert(snug::policy<snug::over<dist::mpi>> && snug::policy<snug::over<dist::nccl>>);

namespace {

/// A variable of the environment for the life of this object. Null: not there.
struct variable {
    variable(char const* name, char const* value) : name_(name) {
        if (auto const* const was = ::getenv(name)) was_ = was, had_ = true;
        value ? ::setenv(name, value, 1) : ::unsetenv(name);
    }
    ~variable() { had_ ? ::setenv(name_, was_.c_str(), 1) : ::unsetenv(name_); }

    char const* name_;
    std::string was_;
    bool had_ = false;
};

struct clean {
    variable a{"SLURM_NTASKS", nullptr}, b{"SLURM_STEP_ID", nullptr}, c{"OMPI_COMM_WORLD_SIZE", nullptr},
        d{"PMI_SIZE", nullptr}, e{"WORLD_SIZE", nullptr}, f{"OMP_NUM_THREADS", nullptr},
        g{"SNUG_DEADLINE_SECONDS", nullptr};
};

}  // namespace

TEST_CASE("a launch that cannot be meant is refused in words") {
    clean const environment;
    CHECK(dist::wrong_launch(1).empty());
    {
        variable const tasks("SLURM_NTASKS", "8");
        CHECK(dist::wrong_launch(1).empty());  // one process in an allocation for eight
        variable const step("SLURM_STEP_ID", "0");
        CHECK(dist::wrong_launch(8).empty());
        CHECK_THAT(dist::wrong_launch(1),
                   Catch::Contains("one process, but srun has started 8 (SLURM_NTASKS)") &&
                       Catch::Contains("salloc and mpirun"));
        variable const one("SLURM_NTASKS", "1");
        CHECK(dist::wrong_launch(1).empty());
    }
    {
        variable const other("PMI_SIZE", "4");
        CHECK_THAT(dist::wrong_launch(1), Catch::Contains("mpirun of another MPI has started 4 (PMI_SIZE)"));
    }
    variable const torchrun("WORLD_SIZE", "2");
    CHECK_THAT(dist::wrong_launch(1), Catch::Contains("WORLD_SIZE): start it with mpirun -n 2"));
    CHECK(dist::wrong_launch(2).empty());
}

TEST_CASE("processes share their machine's processors, and none runs more threads than it is bound to") {
    clean const environment;
    auto const processors = static_cast<int>(::sysconf(_SC_NPROCESSORS_ONLN));
    CHECK(dist::usable_threads(1) <= processors);
    CHECK(dist::usable_threads(1000000) == 1);
    cpu_set_t before, one;
    REQUIRE(::sched_getaffinity(0, sizeof before, &before) == 0);
    CPU_ZERO(&one);
    for (int cpu = 0; CPU_COUNT(&one) == 0; ++cpu)
        if (CPU_ISSET(cpu, &before)) CPU_SET(cpu, &one);
    REQUIRE(::sched_setaffinity(0, sizeof one, &one) == 0);
    CHECK(dist::usable_threads(1) == 1);
    REQUIRE(::sched_setaffinity(0, sizeof before, &before) == 0);
}

TEST_CASE("the deadline is 60 s, or what the environment says") {
    clean const environment;
    CHECK(dist::self().deadline.count() == 60);
    variable const two("SNUG_DEADLINE_SECONDS", "2.5");
    CHECK(dist::self().deadline.count() == 2.5);
    for (auto const* text : {"0", "-1", "x", "2s", "inf", "nan"}) {
        variable const bad("SNUG_DEADLINE_SECONDS", text);
        CHECK_THROWS_WITH(
            dist::deadline_from_environment(),
            "found SNUG_DEADLINE_SECONDS=" + std::string(text) + ", expected seconds, more than 0");
    }
}

TEST_CASE("hashes are constants, and differ where what they are of does") {
    using dist::fnv1a;
    static_assert(fnv1a().value() == 0xcbf29ce484222325u);
    static_assert(fnv1a().add(1).value() != fnv1a().add(2).value());
    static_assert(fnv1a().add("ab").add("c").value() != fnv1a().add("a").add("bc").value());
    static_assert(fnv1a().add(1.0).value() != fnv1a().add(1).value());
    static_assert(fnv1a().add(-1).value() == fnv1a().add(std::int64_t{-1}).value());
    SUCCEED();
}
