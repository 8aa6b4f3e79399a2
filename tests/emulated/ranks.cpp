// SPDX-License-Identifier: Apache-2.0
#define SNUG_TEST_ON_CUDA
#include "../trainer/ranks.hpp"

TEST_CASE("bits do not depend on when devices get to their work") {
    using stage_3 = several<tiny_gpt2, zero<3, 4>, snug::checkpointing::every_block>;
    auto const expected = train<stage_3>();
    emulation::device().deferred = true;
    auto const later = train<stage_3>();
    emulation::device().copies_early = true;
    auto const early = train<stage_3>();
    emulation::device().copies_early = emulation::device().deferred = false;
    CHECK((later == expected));
    CHECK((early == expected));
}
