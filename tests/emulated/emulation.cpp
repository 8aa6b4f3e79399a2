// SPDX-License-Identifier: Apache-2.0
#include <catch2/catch.hpp>

#include <random>
#include <snug/backend/cuda/intrinsics.cuh>
#include <snug/backend/cuda/launch.cuh>
#include <string>
#include <vector>

#include "../kernels/device_array.hpp"

namespace cuda = snug::backend::cuda;
using snug::bf16, snug::fp16;
using snug_test::on;

namespace {

template <class T>
std::vector<T> random_numbers(std::size_t count, unsigned seed) {
    std::mt19937 engine(seed);
    std::normal_distribution<float> normal;
    std::vector<T> result(count);
    for (auto& x : result) x = T(normal(engine));
    return result;
}

// d (16 x 8) += a (16 x 16) b (16 x 8), fragments read element by element as the PTX ISA tables say.
template <class T>
__global__ void product_by_elements(T const* a, T const* b, float* d) {
    unsigned const group = threadIdx.x / 4, pair = threadIdx.x % 4 * 2;
    auto const two = [](T low, T high) { return low.bits | static_cast<std::uint32_t>(high.bits) << 16; };
    std::uint32_t left[4], right[2];
    for (unsigned i = 0; i < 4; ++i) {
        auto const* const from = a + (group + i % 2 * 8) * 16 + pair + i / 2 * 8;
        left[i] = two(from[0], from[1]);
    }
    for (unsigned i = 0; i < 2; ++i) {
        auto const* const from = b + (pair + i * 8) * 8 + group;
        right[i] = two(from[0], from[8]);
    }
    float sums[4];
    for (unsigned i = 0; i < 4; ++i) sums[i] = d[(group + i / 2 * 8) * 8 + pair + i % 2];
    cuda::multiply_16x8x16<T>(sums, left, right);
    for (unsigned i = 0; i < 4; ++i) d[(group + i / 2 * 8) * 8 + pair + i % 2] = sums[i];
}

// The same with cp.async and ldmatrix; b is (16 x 8) in rows, so that it has to be transposed.
template <class T, bool Wait>
__global__ void product_by_matrices(T const* a, T const* b, float* d) {
    auto* const left_tile = reinterpret_cast<T*>(cuda::dynamic_shared());
    auto* const right_tile = left_tile + 256;
    unsigned const lane = threadIdx.x;
    cuda::copy_async_16(left_tile + lane * 8, a + lane * 8);
    cuda::commit_copies();
    cuda::copy_async_16(right_tile + lane % 16 * 8, b + lane % 16 * 8);
    cuda::commit_copies();
    cuda::wait_copies<Wait ? 0 : 1>();
    __syncwarp();
    std::uint32_t left[4], right[2];
    cuda::load_matrices(left, left_tile + lane % 16 * 16 + lane / 16 * 8);
    cuda::load_matrices_transposed(right, right_tile + lane % 16 * 8);
    float sums[4] = {};
    cuda::multiply_16x8x16<T>(sums, left, right);
    for (unsigned i = 0; i < 4; ++i) d[(lane / 4 + i / 2 * 8) * 8 + lane % 4 * 2 + i % 2] = sums[i];
}

template <class T>
void check_product(std::vector<T> const& a, std::vector<T> const& b, std::vector<float> const& before,
                   std::vector<float> const& after) {
    for (int row = 0; row < 16; ++row)
        for (int column = 0; column < 8; ++column) {
            double sum = static_cast<double>(before[row * 8 + column]);
            for (int k = 0; k < 16; ++k)
                sum += static_cast<double>(static_cast<float>(a[row * 16 + k])) *
                       static_cast<double>(static_cast<float>(b[k * 8 + column]));
            CHECK(static_cast<double>(after[row * 8 + column]) == Approx(sum).epsilon(1e-6));
        }
}

__global__ void identity_of_matrices(std::uint16_t const* from, std::uint32_t* four, std::uint32_t* two,
                                     std::uint32_t* four_transposed, std::uint32_t* two_transposed) {
    auto* const tile = reinterpret_cast<std::uint16_t*>(cuda::dynamic_shared());
    for (unsigned i = threadIdx.x; i < 256; i += 32) tile[i] = from[i];
    __syncwarp();
    std::uint32_t r4[4], r2[2];
    cuda::load_matrices(r4, tile + threadIdx.x * 8);
    for (unsigned m = 0; m < 4; ++m) four[m * 32 + threadIdx.x] = r4[m];
    cuda::load_matrices(r2, tile + threadIdx.x * 8);
    for (unsigned m = 0; m < 2; ++m) two[m * 32 + threadIdx.x] = r2[m];
    cuda::load_matrices_transposed(r4, tile + threadIdx.x * 8);
    for (unsigned m = 0; m < 4; ++m) four_transposed[m * 32 + threadIdx.x] = r4[m];
    cuda::load_matrices_transposed(r2, tile + threadIdx.x * 8);
    for (unsigned m = 0; m < 2; ++m) two_transposed[m * 32 + threadIdx.x] = r2[m];
}

__global__ void shuffles(int* out) {
    int const lane = static_cast<int>(threadIdx.x % 32);
    int const value = lane * 10;
    out[threadIdx.x * 6 + 0] = __shfl_xor_sync(cuda::full_warp, value, 5);
    out[threadIdx.x * 6 + 1] = __shfl_sync(cuda::full_warp, value, 7);
    out[threadIdx.x * 6 + 2] = __shfl_down_sync(cuda::full_warp, value, 3);
    out[threadIdx.x * 6 + 3] = __shfl_up_sync(cuda::full_warp, value, 3);
    out[threadIdx.x * 6 + 4] = __shfl_down_sync(cuda::full_warp, value, 1, 8);
    out[threadIdx.x * 6 + 5] = static_cast<int>(__ballot_sync(cuda::full_warp, lane % 3 == 0) & 0xFFFF);
}

// Each thread passes a number on to its neighbour, `rounds` times.
template <bool Barrier>
__global__ void pass_round(int rounds, int* out) {
    auto* const place = reinterpret_cast<int*>(cuda::dynamic_shared());
    int mine = static_cast<int>(threadIdx.x);
    for (int i = 0; i < rounds; ++i) {
        place[threadIdx.x] = mine;
        if constexpr (Barrier) __syncthreads();
        mine = place[(threadIdx.x + 1) % blockDim.x];
        __syncthreads();
    }
    out[blockIdx.x * blockDim.x + threadIdx.x] = mine;
}

__global__ void half_returns(int* out) {
    if (threadIdx.x % 2 == 0) return;
    __syncthreads();
    out[threadIdx.x] = 1;
}
__global__ void half_shuffles(int* out) {
    if (threadIdx.x % 2 == 0) out[threadIdx.x] = __shfl_xor_sync(cuda::full_warp, 1, 2);
}
__global__ void lanes_disagree(int* out) {
    out[threadIdx.x] =
        threadIdx.x == 0 ? __shfl_sync(cuda::full_warp, 1, 2) : __shfl_xor_sync(cuda::full_warp, 1, 2);
}
__global__ void writes_too_far() { cuda::dynamic_shared()[threadIdx.x] = std::byte{1}; }
__global__ void reads_shared(std::uint32_t* out) {
    out[0] = *reinterpret_cast<std::uint32_t*>(cuda::dynamic_shared());
}
__global__ void zeros_when_not_valid(std::uint32_t const* from, std::uint32_t* out) {
    auto* const tile = reinterpret_cast<std::uint32_t*>(cuda::dynamic_shared());
    cuda::copy_async_16(tile + threadIdx.x * 4, from + threadIdx.x * 4, threadIdx.x % 2 == 0);
    cuda::commit_copies();
    cuda::wait_copies<0>();
    for (int i = 0; i < 4; ++i) out[threadIdx.x * 4 + i] = tile[threadIdx.x * 4 + i];
}
__global__ void add_one(int* x) { x[blockIdx.x * blockDim.x + threadIdx.x] += 1; }

std::string failure_of(auto const& f) {
    try {
        f();
    } catch (emulation::failure const& e) {
        return e.what();
    }
    return "no failure";
}

}  // namespace

TEMPLATE_TEST_CASE("the fragments of a product are where the PTX ISA says", "", bf16, fp16) {
    auto const a = random_numbers<TestType>(256, 1), b = random_numbers<TestType>(128, 2);
    auto const before = random_numbers<float>(128, 3);
    auto d = before;
    cuda::launch(on(), product_by_elements<TestType>, 1, 32, 0, a.data(), b.data(), d.data());
    check_product(a, b, before, d);
}

TEMPLATE_TEST_CASE("matrices copied and loaded give the same product", "", bf16, fp16) {
    auto const a = random_numbers<TestType>(256, 1), b = random_numbers<TestType>(128, 2);
    auto d = std::vector<float>(128, -1.0f);
    cuda::launch(on(), product_by_matrices<TestType, true>, 1, 32, 768, a.data(), b.data(), d.data());
    check_product(a, b, std::vector<float>(128), d);
    cuda::launch(on(), product_by_matrices<TestType, false>, 1, 32, 768, a.data(), b.data(), d.data());
    CHECK(std::isnan(d[0]));
}

TEST_CASE("ldmatrix hands out matrices and transposed ones") {
    std::vector<std::uint16_t> from(256);
    for (std::size_t i = 0; i < 256; ++i) from[i] = static_cast<std::uint16_t>(i);
    std::vector<std::uint32_t> four(128), two(64), four_transposed(128), two_transposed(64);
    cuda::launch(on(), identity_of_matrices, 1, 32, 512, from.data(), four.data(), two.data(),
                 four_transposed.data(), two_transposed.data());
    for (std::uint32_t m = 0; m < 4; ++m)
        for (std::uint32_t lane = 0; lane < 32; ++lane) {
            auto const plain = m * 64 + lane / 4 * 8 + lane % 4 * 2;
            auto const across = m * 64 + lane % 4 * 2 * 8 + lane / 4;
            CHECK(four[m * 32 + lane] == (plain | (plain + 1) << 16));
            CHECK(four_transposed[m * 32 + lane] == (across | (across + 8) << 16));
            if (m >= 2) continue;
            CHECK(two[m * 32 + lane] == four[m * 32 + lane]);
            CHECK(two_transposed[m * 32 + lane] == four_transposed[m * 32 + lane]);
        }
}

TEST_CASE("shuffles and votes") {
    std::vector<int> out(64 * 6);
    cuda::launch(on(), shuffles, 1, 64, 0, out.data());
    for (int thread = 0; thread < 64; ++thread) {
        int const lane = thread % 32;
        int const* const got = out.data() + thread * 6;
        CHECK(got[0] == (lane ^ 5) * 10);
        CHECK(got[1] == 70);
        CHECK(got[2] == (lane + 3 < 32 ? lane + 3 : lane) * 10);
        CHECK(got[3] == (lane >= 3 ? lane - 3 : lane) * 10);
        CHECK(got[4] == (lane % 8 < 7 ? lane + 1 : lane) * 10);
        CHECK(got[5] == 0x9249);
    }
}

TEST_CASE("a barrier is kept, and one that is missing shows") {
    std::vector<int> out(3 * 96);
    cuda::launch(on(), pass_round<true>, 3, 96, 96 * sizeof(int), 5, out.data());
    for (int i = 0; i < 3 * 96; ++i) CHECK(out[i] == (i % 96 + 5) % 96);
    cuda::launch(on(), pass_round<false>, 3, 96, 96 * sizeof(int), 5, out.data());
    int wrong = 0;
    for (int i = 0; i < 3 * 96; ++i) wrong += out[i] != (i % 96 + 5) % 96;
    CHECK(wrong > 0);
}

TEST_CASE("a thread that has returned keeps no barrier waiting, but does a warp") {
    std::vector<int> out(64);
    cuda::launch(on(), half_returns, 1, 64, 0, out.data());
    CHECK(out[0] + out[1] + out[63] == 2);
    CHECK_THAT(failure_of([&] { cuda::launch(on(), half_shuffles, dim3(2), 64, 0, out.data()); }),
               Catch::Contains("block (0, 0, 0), thread (") &&
                   Catch::Contains("waits for ever in __shfl_xor_sync, as lane 1 has returned"));
    CHECK_THAT(failure_of([&] { cuda::launch(on(), lanes_disagree, 1, 32, 0, out.data()); }),
               Catch::Contains("where a lane of its warp called"));
    cuda::launch(on(), half_returns, 1, 64, 0, out.data());  // a failure leaves nothing behind
}

TEST_CASE("shared memory is poisoned and bounded") {
    std::uint32_t out = 0;
    cuda::launch(on(), reads_shared, 1, 1, 16, &out);
    CHECK(out == 0xFFFFFFFFu);
    CHECK_THAT(failure_of([&] { cuda::launch(on(), writes_too_far, 1, 33, 32); }),
               Catch::Contains("wrote beyond its 32"));
    alignas(16) std::uint32_t from[16], copied[16];
    std::fill(from, from + 16, 7u);
    cuda::launch(on(), zeros_when_not_valid, 1, 4, 64, from, copied);
    for (int i = 0; i < 16; ++i) CHECK(copied[i] == (i / 4 % 2 == 0 ? 7u : 0u));
    // More than 48 KiB has to be asked for, which launch does, and ends at the device's limit.
    cuda::launch(on(), reads_shared, 1, 1, 64 * 1024, &out);
    CHECK_THROWS_WITH(
        cuda::launch(on(), reads_shared, 1, 1, 300 * 1024, &out),
        Catch::Contains("cudaFuncSetAttribute: cudaErrorInvalidValue (invalid argument) on device 0"));
    CHECK_THROWS_WITH(cuda::launch(on(), reads_shared, 1, 2048, 16, &out),
                      Catch::Contains("cudaErrorInvalidConfiguration"));
}

TEST_CASE("a captured graph runs when it is launched, every time") {
    int host[64] = {};
    int* memory = nullptr;
    cuda::check(cudaMalloc(&memory, sizeof host), "cudaMalloc");
    cuda::check(cudaStreamBeginCapture(cuda::stream(on()), cudaStreamCaptureModeThreadLocal), "begin");
    cuda::check(cudaMemcpyAsync(memory, host, sizeof host, cudaMemcpyHostToDevice, cuda::stream(on())),
                "copy");
    cuda::launch(on(), add_one, 2, 32, 0, memory);
    cuda::check(cudaMemcpyAsync(host, memory, sizeof host, cudaMemcpyDeviceToHost, cuda::stream(on())),
                "copy");
    CHECK(cudaStreamSynchronize(cuda::stream(on())) == cudaErrorStreamCaptureUnsupported);
    int* more = nullptr;
    CHECK(cudaMalloc(&more, 4) == cudaErrorStreamCaptureUnsupported);
    cudaGraph_t graph = nullptr;
    cudaGraphExec_t executable = nullptr;
    cuda::check(cudaStreamEndCapture(cuda::stream(on()), &graph), "end");
    cuda::check(cudaGraphInstantiate(&executable, graph, 0), "instantiate");
    cuda::check(cudaGraphDestroy(graph), "destroy");
    CHECK(host[63] == 0);
    for (int i = 1; i <= 3; ++i) {
        cuda::check(cudaGraphLaunch(executable, cuda::stream(on())), "launch");
        cuda::synchronize(on());
        CHECK(host[0] == i);
        CHECK(host[63] == i);
    }
    // Put off until the host synchronises, the work of a host that does not is missing.
    emulation::device().deferred = true;
    cuda::check(cudaGraphLaunch(executable, cuda::stream(on())), "launch");
    CHECK(host[0] == 3);
    cuda::synchronize(on());
    CHECK(host[0] == 4);
    emulation::device().deferred = false;
    cuda::check(cudaGraphExecDestroy(executable), "destroy");
    cuda::check(cudaFree(memory), "cudaFree");
}

TEST_CASE("streams that wait for each other are captured together, and run beside each other") {
    auto& device = emulation::device();
    cudaStream_t first = nullptr, second = nullptr;
    cudaEvent_t fork = nullptr, join = nullptr;
    cuda::check(cudaStreamCreateWithFlags(&first, cudaStreamNonBlocking), "stream");
    cuda::check(cudaStreamCreateWithFlags(&second, cudaStreamNonBlocking), "stream");
    cuda::check(cudaEventCreateWithFlags(&fork, cudaEventDisableTiming), "event");
    cuda::check(cudaEventCreateWithFlags(&join, cudaEventDisableTiming), "event");
    int from[2] = {1, 2}, to[2] = {};
    auto const copy = [&](int which, cudaStream_t s) {
        cuda::check(cudaMemcpyAsync(&to[which], &from[which], sizeof(int), cudaMemcpyHostToHost, s), "copy");
    };
    auto const wait = [](cudaStream_t s, cudaEvent_t e) { return cudaStreamWaitEvent(s, e, 0); };

    // Of an event that was recorded before, nothing can be captured.
    cuda::check(cudaEventRecord(fork, second), "record");
    cuda::check(cudaStreamBeginCapture(first, cudaStreamCaptureModeThreadLocal), "begin");
    CHECK(wait(first, fork) == cudaErrorStreamCaptureIsolation);
    cuda::check(cudaEventRecord(fork, first), "record");
    CHECK(wait(second, fork) == cudaSuccess);
    copy(1, second);
    cudaGraph_t graph = nullptr;
    CHECK(cudaStreamEndCapture(first, &graph) == cudaErrorStreamCaptureUnjoined);
    CHECK(to[1] == 0);

    cuda::check(cudaStreamBeginCapture(first, cudaStreamCaptureModeThreadLocal), "begin");
    cuda::check(cudaEventRecord(fork, first), "record");
    cuda::check(wait(second, fork), "wait");
    copy(1, second);
    cuda::check(cudaEventRecord(join, second), "record");
    copy(0, first);
    cuda::check(wait(first, join), "wait");
    cuda::check(cudaStreamEndCapture(first, &graph), "end");
    CHECK(wait(first, join) == cudaErrorStreamCaptureIsolation);
    cudaGraphExec_t executable = nullptr;
    cuda::check(cudaGraphInstantiate(&executable, graph, 0), "instantiate");
    cuda::check(cudaGraphDestroy(graph), "destroy");
    for (bool const deferred : {false, true}) {
        device.deferred = deferred;
        to[0] = to[1] = 0;
        cuda::check(cudaGraphLaunch(executable, first), "launch");
        CHECK(to[1] == (deferred ? 0 : 2));
        cuda::check(cudaStreamSynchronize(first), "synchronize");
        CHECK(to[0] == 1);
        CHECK(to[1] == 2);
    }
    device.deferred = false;
    cuda::check(cudaGraphExecDestroy(executable), "destroy");
    for (auto* s : {first, second}) cuda::check(cudaStreamDestroy(s), "destroy");
    for (auto* e : {fork, join}) cuda::check(cudaEventDestroy(e), "destroy");
}

TEST_CASE("a device that cannot do it is refused in words") {
    auto& device = emulation::device();
    device.properties.major = 7, device.properties.minor = 5;
    CHECK_THROWS_WITH(cuda::require_device(),
                      "found a device too old, of compute capability 7.5, expected 8.0 or later");
    device.properties.major = 9, device.properties.minor = 0;
    device.count = 0;
    CHECK_THROWS_WITH(cuda::require_device(), Catch::Contains("found no CUDA device"));
    device.count = 1;
    cuda::require_device();
    void* memory = nullptr;
    CHECK_THROWS_WITH(
        cuda::check(cudaMalloc(&memory, std::size_t{1} << 40), "cudaMalloc"),
        "found cudaMalloc: cudaErrorMemoryAllocation (out of memory) on device 0, expected success");
    CHECK(cudaGetLastError() == cudaSuccess);
}
