// SPDX-License-Identifier: Apache-2.0
#include "../kernels/matmul.hpp"

TEST_CASE("the library is asked for an algorithm once per shape", "[cuda][matmul]") {
    stored<float, 24> const b(32, 1);
    result_memory<float, 24, 24> const result(64, false);
    auto const multiply = [&](snug::index_t rows) {
        stored<float, 32> const a(rows, 2);
        cuda::matmul_on(on(), workspace().data(), snug::written<float, 24>{{result.memory.data(), rows}},
                        product{a.view(), b.view()});
        cuda::synchronize(on());
    };
    auto const searches = emulation::lt::counted().searches;
    for (int i = 0; i < 3; ++i)
        for (snug::index_t const rows : {5, 9, 64}) multiply(rows);
    REQUIRE(emulation::lt::counted().searches - searches == 3);
    for (snug::index_t rows = 10; rows < 30; ++rows) multiply(rows);  // more than are kept
    multiply(5);
    REQUIRE(emulation::lt::counted().searches - searches == 24);
}

TEST_CASE("a failure of the library says which product failed, how and where", "[cuda][matmul]") {
    stored<bf16, 32> const a(5, 2);
    stored<bf16, 32> const b(24, 1);
    result_memory<float, 24, 24> const result(5, false);
    auto const multiply = [&] {
        cuda::matmul_on(on(), workspace().data(), snug::written<float, 24>{result.view()},
                        product{a.view(), transposed{b.view()}});
    };
    multiply();
    emulation::lt::counted().fail_next = CUBLAS_STATUS_EXECUTION_FAILED;
    REQUIRE_THROWS_WITH(multiply(),
                        Catch::Contains("cublasLtMatmul: CUBLAS_STATUS_EXECUTION_FAILED") &&
                            Catch::Contains("5 x 24 x 32 (bf16, bf16 transposed, to fp32) on device 0"));
    multiply();
}

TEST_CASE("products wait for nothing, take no memory and stay in their workspace", "[cuda][matmul]") {
    // As the plan has it: a multiple of a cache line, with what belongs to others on both sides.
    constexpr snug::index_t line = 64;
    device_array<std::byte> const whole(
        std::vector<std::byte>(at(cuda::library_workspace + 2 * line), std::byte{0x11}));
    emulation::lt::counted().most_workspace = std::uint64_t{1} << 40;
    stored<bf16, 32> const a(40, 2);
    stored<bf16, 24> const b(32, 1);
    stored<bf16, 24> const bias(1, 3, 1);
    result_memory<bf16, 24, 24> const result(40, false);
    auto const multiply = [&] {
        auto* const room = whole.data() + line;
        cuda::matmul_on(on(), room,
                        snug::with_bias<snug::written<bf16, 24>, bf16>{{result.view()}, bias.memory.data()},
                        product{a.view(), b.view()});
        cuda::matmul_on(on(), room, snug::added<bf16, 24>{result.view(), result.view()},
                        product{a.view(), b.view()}, product{a.view(), b.view()});
    };
    multiply();
    emulation::lt::counted().most_workspace = 16384;
    auto const bytes = whole.values();
    for (snug::index_t i = 0; i < line; ++i) {
        REQUIRE(bytes[at(i)] == std::byte{0x11});
        REQUIRE(bytes[at(line + cuda::library_workspace + i)] == std::byte{0x11});
    }
    auto const once = result.memory.values();
    auto const allocations = emulation::counted().device_allocations;
    emulation::device().deferred = true;
    multiply();
    REQUIRE_FALSE(cuda::stream(on())->waiting.empty());
    emulation::device().deferred = false;
    REQUIRE(cudaStreamSynchronize(cuda::stream(on())) == cudaSuccess);
    REQUIRE(emulation::counted().device_allocations == allocations);
    auto const again = result.memory.values();
    REQUIRE(std::memcmp(again.data(), once.data(), once.size() * sizeof(bf16)) == 0);
}
