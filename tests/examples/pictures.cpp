// SPDX-License-Identifier: Apache-2.0
// The picture of a step's memory says what is computed again, and what is offloaded.
#include <unistd.h>
#include <catch2/catch.hpp>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <snug/plan.hpp>
#include <string>

#include "support/pictures.hpp"

namespace {

using namespace snug;

template <class Policy>
struct drawn : trainer<models::gpt2<layers<6>, heads<2>, width<64>, vocabulary<64>, context<64>>,
                       batch<2, 64>, Policy> {};

struct picture {
    std::string script, boxes;

    bool names(std::string const& words) const {
        return script.find("title \"" + words) != std::string::npos;
    }
    bool has(example::detail::paint const& paint) const {
        return boxes.find(" 0x" + std::string(paint.colour) + "\n") != std::string::npos;
    }
};

template <class Policy>
picture draw() {
    auto const folder = std::filesystem::temp_directory_path() / ("snug-picture-" + std::to_string(getpid()));
    std::filesystem::create_directory(folder);
    struct removed {
        std::filesystem::path path;
        ~removed() { std::filesystem::remove_all(path); }
    } const at_end{folder};
    example::draw_memory<drawn<Policy>>(folder.string());
    auto const read = [&](char const* name) {
        std::ifstream file(folder / name);
        return std::string(std::istreambuf_iterator<char>(file), {});
    };
    return {read("memory.gnuplot"), read("memory.dat")};
}

using example::detail::computed_again;
using example::detail::offloaded;

}  // namespace

TEST_CASE("a step that keeps everything has nothing to mark") {
    auto const all = draw<checkpointing::none>();
    CHECK(all.names("activations"));
    CHECK_FALSE(all.has(computed_again));
    CHECK_FALSE(all.names("computed again"));
    CHECK_FALSE(all.has(offloaded));
    CHECK_FALSE(all.names("offloaded"));
}

TEST_CASE("what backward computes again is marked, whatever the policy") {
    for (auto const& some : {draw<checkpointing::every_block>(), draw<checkpointing::keep<"qkv.output">>(),
                             draw<checkpointing::selective>(), draw<checkpointing::every<3>>()}) {
        CHECK(some.has(computed_again));
        CHECK(some.names("computed again"));
        CHECK_FALSE(some.has(offloaded));
    }
}

TEST_CASE("inputs of blocks that wait elsewhere are marked where they are, and counted where they wait") {
    // Two of the five beside that of the first block, 2 x 64 rows of 64 numbers.
    auto const some = draw<checkpointing::offloaded<>>();
    CHECK(some.has(offloaded));
    CHECK(some.has(computed_again));
    CHECK(some.names("offloaded, here  96.0 KiB, of the host 64.0 KiB"));
    auto const values = draw<checkpointing::offloaded<checkpointing::none, "up.output">>();
    CHECK(values.names("offloaded, here"));
    CHECK_FALSE(values.names("computed again"));
}
