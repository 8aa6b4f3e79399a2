// SPDX-License-Identifier: Apache-2.0
// Ranks that update shares of the parameters, of which some have numbers of their own.
#include <catch2/catch.hpp>
#include <distributed/trained.hpp>

using namespace snug_test;
namespace sharding = snug::sharding;
using snug::optimizers::lion;
using snug::optimizers::states;
using snug::precision::mixed;

namespace {

std::vector<snug::parameter_group> const groups{
    {.where = "blocks.1.*", .learning_rate = 0.25},
    {.where = "embedding.*", .weight_decay = 0.0},
    {.where = "*norm*", .learning_rate = 2.0, .weight_decay = 0.5}};

}  // namespace

TEST_CASE("Lion in blocks of 4 bits, with groups, gives the same bits on any ranks") {
    auto const expected =
        train<alone<tiny_llama, lion<states<snug::int4>>, mixed<snug::bf16>>>(false, groups);
    CHECK((train<shared<tiny_llama, zero<2, 3>, lion<states<snug::int4>>, mixed<snug::bf16>>>(
               false, groups) == expected));
    CHECK((train<shared<tiny_llama, zero<3, 2>, lion<states<snug::int4>>, mixed<snug::bf16>>>(
               false, groups) == expected));
    CHECK(train<alone<tiny_llama, lion<states<snug::int4>>, mixed<snug::bf16>>>() != expected);
}

TEST_CASE("ranks with other groups, or another rate in this step, do not step") {
    using job_type = job<tiny_gpt2, sharding::data_parallel<snug::ranks<2>>, 2>;
    for (int const what : {0, 1, 2, 3}) {
        CAPTURE(what);
        std::string said[2];
        snug::distributed::threads::run(2, [&](snug::distributed::threads& world) {
            job_type trainer(world, 3);
            trainer.options.groups = groups;
            int const rank = world.rank();
            if (what == 0 && rank == 1) trainer.options.groups[1].weight_decay.reset();
            if (what == 1 && rank == 1) trainer.options.groups[0].where = "blocks.0.*";
            if (what == 2)
                trainer.options.learning_rate = [=](snug::index_t step) {
                    return 1e-3 * static_cast<double>(step + rank);
                };
            if (what == 3 && rank == 1)
                trainer.options.learning_rate = [](snug::index_t) -> double {
                    throw std::runtime_error("no rate");
                };
            try {
                trainer.step(part_of_batch(0, rank, 2, 2, 97));
            } catch (snug::error const& e) {
                said[rank] = e.what();
            }
            if (trainer.steps() != 0) said[rank] += " and stepped";
        });
        CHECK_THAT(said[0], Catch::Contains(what == 3 ? "no rate" : "rank 1: found options"));
        CHECK(said[1] == said[0]);
    }
}
