// SPDX-License-Identifier: Apache-2.0
// Models of one's own over several ranks: layers beside the blocks are units that come and go in turn.
#include <catch2/catch.hpp>
#include <distributed/trained.hpp>

using namespace snug_test;

namespace {

constexpr snug::index_t width = 96;
template <snug::index_t Hidden>
using part_of_width =
    snug::residual<snug::named<"norm", snug::rms_norm<width>>, snug::named<"up", snug::linear<width, Hidden>>,
                   snug::gelu<Hidden>, snug::named<"down", snug::linear<Hidden, width>>>;

struct with_single_layers
    : snug::stack<
          snug::named<"embedding", snug::embedding<97, width, 32>>, snug::named<"first", part_of_width<384>>,
          snug::named<"second", part_of_width<1024>>, snug::named<"third", part_of_width<1024>>,
          snug::named<"blocks", snug::repeat<3, part_of_width<384>>>, snug::named<"last", part_of_width<384>>,
          snug::named<"head", snug::head_with_loss<width, 97, false>>> {};

struct of_one_block : snug::stack<snug::named<"embedding", snug::embedding<97, width, 32>>,
                                  snug::named<"blocks", snug::repeat<1, part_of_width<384>>>,
                                  snug::named<"head", snug::head_with_loss<width, 97, true>>> {};

// So that every exchange is in several parts, of which some are on their way when the next unit begins.
using small = snug::sharding::bucket<snug::bytes{8192}>;

/// Whether weights of one unit are gathered where gradients of another were, from the leaf on at which these leave.
template <class C>
constexpr bool gathers_where_gradients_were() {
    using snug::index_t;
    auto const& plan = C::plan;
    auto const ends = [&](std::size_t i) { return plan.offsets[i] + plan.declarations[i].size().count; };
    for (auto const& from : C::places.groups)
        for (auto const& to : C::places.groups) {
            if (from.unit_gradient.declaration < 0 || to.gathered.declaration < 0) continue;
            auto const i = static_cast<std::size_t>(from.unit_gradient.declaration);
            auto const j = static_cast<std::size_t>(to.gathered.declaration);
            auto const& left = plan.declarations[i].alive;
            auto const& begun = plan.declarations[j].alive;
            for (int a = 0; a < left.count; ++a)
                for (int b = 0; b < begun.count; ++b)
                    if (left.intervals[static_cast<std::size_t>(a)].last + 1 ==
                            begun.intervals[static_cast<std::size_t>(b)].first &&
                        plan.offsets[i] < ends(j) && plan.offsets[j] < ends(i))
                        return true;
        }
    return false;
}

}  // namespace

TEST_CASE("single layers, of which one is gathered where another's gradients leave") {
    using ahead = shared<with_single_layers, zero<3, 2, small>>;
    static_assert(gathers_where_gradients_were<ahead::composition>());
    auto const expected = train<alone<with_single_layers>>();
    CHECK((train<ahead>() == expected));
    CHECK((train<shared<with_single_layers, zero<2, 3, small>>>() == expected));
    CHECK((train<shared<with_single_layers, zero<3, 8, snug::sharding::prefetch<2>>,
                        snug::checkpointing::every_block>>() == expected));
}

TEST_CASE("inputs of blocks and values that wait elsewhere while weights come and go") {
    using snug::checkpointing::keep;
    using deep = snug::models::gpt2<snug::layers<6>, snug::heads<2>, snug::width<32>, snug::vocabulary<101>,
                                    snug::context<32>>;
    using policy = snug::checkpointing::offloaded<keep<"up.output">, "up.output">;
    auto const expected = train<alone<deep>>();
    CHECK((train<shared<deep, zero<3, 2>, policy>>() == expected));
}

TEST_CASE("blocks that have no backward, before those that train") {
    using deep = snug::models::llama<snug::layers<5>, snug::heads<2>, snug::width<32>, snug::mlp<48>,
                                     snug::vocabulary<101>, snug::context<32>>;
    using part = snug::trains<snug::last_blocks<2>, snug::head>;
    auto const expected = train<alone<deep, part>>();
    CHECK((train<shared<deep, zero<3, 2>, part>>() == expected));
    CHECK((train<shared<deep, zero<2, 3>, part>>() == expected));
}

TEST_CASE("a single block") {
    auto const expected = train<alone<of_one_block>>();
    CHECK((train<shared<of_one_block, zero<3, 3, snug::sharding::prefetch<0>>>>() == expected));
}

TEST_CASE("blocks of several kinds in turn and in ranges") {
    using smollm3 = snug::models::smollm3<snug::layers<5>, snug::heads<4>, snug::kv_heads<2>, snug::width<48>,
                                          snug::mlp<96>, snug::vocabulary<101>, snug::context<32>,
                                          snug::no_rope_layer_interval<2>>;
    auto const expected = train<alone<smollm3>>();
    CHECK(expected.losses[2] != expected.losses[0]);
    CHECK((train<shared<smollm3, zero<3, 2>>>() == expected));
}

TEST_CASE("weights that all heads of a block share, and a head tied to the embedding") {
    using qwen3 = snug::models::qwen3<snug::layers<2>, snug::heads<4>, snug::kv_heads<2>,
                                      snug::head_width<16>, snug::width<48>, snug::mlp<96>,
                                      snug::vocabulary<101>, snug::context<32>, snug::tied_head<1>>;
    auto const expected = train<alone<qwen3>>();
    CHECK(expected.losses[2] != expected.losses[0]);
    CHECK((train<shared<qwen3, zero<3, 2>>>() == expected));
}
