// SPDX-License-Identifier: Apache-2.0
#include "../trainer/laws.hpp"

#include <omp.h>

TEST_CASE("one thread and two give the same bits") {
    auto const threads = omp_get_max_threads();
    omp_set_num_threads(1);
    auto const one = history<placed<gpt2, batch<2, 16>>>();
    auto const one_mixed = history<placed<llama, batch<2, 16>, precision::mixed<bf16>>>();
    omp_set_num_threads(2);
    CHECK(history<placed<gpt2, batch<2, 16>>>() == one);
    CHECK(history<placed<llama, batch<2, 16>, precision::mixed<bf16>>>() == one_mixed);
    omp_set_num_threads(3);
    CHECK(history<placed<gpt2, batch<2, 16>>>() == one);
    omp_set_num_threads(threads);
}
