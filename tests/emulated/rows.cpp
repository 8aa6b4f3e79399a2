// SPDX-License-Identifier: Apache-2.0
#include "../kernels/rows.hpp"

TEST_CASE("copies keep their promises when the device is behind") {
    emulation::device().deferred = true;
    copies_are_in_order([](float const* page) { CHECK(std::isnan(*page)); });
    emulation::device().deferred = false;
}
