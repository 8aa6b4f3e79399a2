// SPDX-License-Identifier: Apache-2.0
#include "../kernels/attention.hpp"

TEST_CASE("ldmatrix reads different banks", "[cuda][attention]") {
    auto const before = emulation::counted().shared_conflicts;
    check<attention_shape<1, 1, 64>, bf16>({1, 65});
    check<attention_shape<1, 1, 128>, bf16>({1, 65});
    check<attention_shape<1, 1, 80>, bf16>({1, 65});
    CHECK(emulation::counted().shared_conflicts == before);
}
