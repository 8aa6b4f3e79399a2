// SPDX-License-Identifier: Apache-2.0
/// What one execution of a oneDNN (2.x) matrix product allocates, although scratchpad and operands are the caller's,
/// and how large the scratchpad is on this machine. docs/host.md shows the result.
///
///   OMP_NUM_THREADS=4 DNNL_MAX_CPU_ISA=AVX2 benchmark.matmul.host.onednn_allocations

#include <omp.h>
#include <dnnl.hpp>

#include <cstddef>
#include <cstdio>
#include <unordered_map>
#include <vector>

extern "C" void* __libc_malloc(std::size_t);

namespace {

bool counting = false;
long calls = 0;
std::size_t bytes = 0;

template <class Execute>
void count(char const* interface, Execute const& execute) {
    execute();  // whatever happens once has happened
    calls = 0, bytes = 0, counting = true;
    execute();
    counting = false;
    std::printf("%s interface: %ld allocations, %zu bytes\n", interface, calls, bytes);
}

}  // namespace

// The program's own malloc stands before the C library's, for oneDNN too.
extern "C" void* malloc(std::size_t size) {
    if (counting) ++calls, bytes += size;
    return __libc_malloc(size);
}

int main() {
    constexpr dnnl::memory::dim m = 1024, n = 2304, k = 768;
    dnnl::engine engine(dnnl::engine::kind::cpu, 0);
    dnnl::stream stream(engine);
    auto const matrix = [](dnnl::memory::dim rows, dnnl::memory::dim columns) {
        return dnnl::memory::desc({rows, columns}, dnnl::memory::data_type::f32,
                                  dnnl::memory::format_tag::ab);
    };
    dnnl::primitive_attr attributes;
    attributes.set_scratchpad_mode(dnnl::scratchpad_mode::user);
    dnnl::matmul::primitive_desc const description(
        dnnl::matmul::desc(matrix(m, k), matrix(k, n), matrix(m, n)), attributes, engine);
    dnnl::matmul const product(description);

    auto const scratchpad_size = description.scratchpad_desc().get_size();
    std::vector<float> a(m * k), b(k * n), c(m * n);
    std::vector<std::byte> scratchpad(scratchpad_size + 64);
    dnnl::memory memory_a(matrix(m, k), engine, a.data()), memory_b(matrix(k, n), engine, b.data()),
        memory_c(matrix(m, n), engine, c.data()),
        memory_s(description.scratchpad_desc(), engine, scratchpad.data());
    std::unordered_map<int, dnnl::memory> const arguments{{DNNL_ARG_SRC, memory_a},
                                                          {DNNL_ARG_WEIGHTS, memory_b},
                                                          {DNNL_ARG_DST, memory_c},
                                                          {DNNL_ARG_SCRATCHPAD, memory_s}};
    dnnl_exec_arg_t const plain[] = {{DNNL_ARG_SRC, memory_a.get()},
                                     {DNNL_ARG_WEIGHTS, memory_b.get()},
                                     {DNNL_ARG_DST, memory_c.get()},
                                     {DNNL_ARG_SCRATCHPAD, memory_s.get()}};

    std::printf("%ld x %ld x %ld in fp32, %d threads: a scratchpad of %zu bytes\n", static_cast<long>(m),
                static_cast<long>(k), static_cast<long>(n), omp_get_max_threads(), scratchpad_size);
    count("C++", [&] {
        product.execute(stream, arguments);
        stream.wait();
    });
    count("C", [&] {
        dnnl_primitive_execute(product.get(), stream.get(), 4, plain);
        dnnl_stream_wait(stream.get());
    });
}
