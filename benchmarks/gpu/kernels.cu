// SPDX-License-Identifier: Apache-2.0
/// The operations of a step that move memory, one by one: the bytes that each must move, by the time it takes, against a plain copy
/// on the device measured in the same run.
///
///   benchmark.gpu.kernels [part of a row's name]
///
/// 8192 rows of 768, 1600 and 4096 bf16 numbers. Every call of a round works on buffers of its own, more than fit into L2 together;
/// a round is one graph, so the host's launching does not count.

#include <cstring>
#include <snug/quantization/double_quantized.hpp>
#include <snug/quantization/int8.hpp>
#include <snug/quantization/nf4.hpp>

#include "timing.cuh"

namespace {

using snug::bf16;
using snug::index_t;
using snug::matrix;
namespace ops = snug::ops;
namespace cuda = snug::backend::cuda;
using measure::carver;

constexpr index_t rows = 8192;
constexpr index_t vocabulary = 50257;
using setting = snug::setting<8, rows / 8, snug::precision::mixed<bf16>, snug::cuda>;

struct table {
    measure::device_room room{std::size_t{6} << 30};
    std::size_t cache;
    double large_copy = 0;
    char const* filter;

    /// `make(carver)` takes buffers and returns the call that works on them; `bytes` is what it must move.
    template <class Make>
    void row(std::string const& name, double bytes, Make const& make) {
        if (name.find(filter) == std::string::npos) return;
        auto* next = room.data();
        std::vector<decltype(make(std::declval<carver&>()))> calls;
        std::size_t of_one = 0;
        do {
            carver from(next);
            calls.push_back(make(from));
            of_one = static_cast<std::size_t>(from.end() - next);
            next += of_one;
        } while (static_cast<double>(calls.size()) * bytes < 8 * static_cast<double>(cache) &&
                 static_cast<std::size_t>(next - room.data()) + of_one <= room.size());
        auto const sets = static_cast<int>(calls.size());
        auto const seconds = measure::seconds_per_call(
            std::max(sets, 8), 9, [&](int i) { calls[static_cast<std::size_t>(i % sets)](); });
        auto const copy = measure::copy_bandwidth(room, static_cast<std::size_t>(bytes / 2) / 256 * 256);
        room.fill();
        auto const rate = bytes / seconds;
        std::printf("| %-38s | %9.2f | %9.1f | %7.0f | %6.3f | %12.3f | %-6s |\n", name.c_str(), bytes * 1e-6,
                    seconds * 1e6, rate * 1e-9, rate / large_copy, rate / copy,
                    rate >= 0.85 * copy ? "holds" : "MISSED");
        std::fflush(stdout);
    }
};

/// A layer's call with parameters, saved buffers and a workspace of its own.
template <class Layer, snug::pass Pass = snug::pass::forward>
auto call_of(carver& from) {
    snug::layer_call<Layer, setting, Pass> call;
    std::size_t i = 0;
    snug::meta::for_each<snug::layer::parameters<Layer>>([&]<class P>(P) {
        call.values[i] = reinterpret_cast<std::byte*>(from.take<bf16>(P::shape::count));
        call.gradients[i++] = reinterpret_cast<std::byte*>(from.take<float>(P::shape::count));
    });
    i = 0;
    snug::meta::for_each<snug::layer::saved<Layer>>([&]<class B>(B) {
        using element = snug::resolved<typename B::element, setting>;
        call.saved_buffers[i++] = reinterpret_cast<std::byte*>(from.take<element>(B::per_token * rows));
    });
    call.on = measure::on();
    call.scratch = from.take<std::byte>(snug::layer::backward_workspace<Layer, setting>());
    call.span = {setting::sequences, setting::tokens, 0};
    return call;
}

template <index_t Width, index_t Stride = Width>
matrix<bf16, Width, Stride> activations(carver& from, index_t count = rows) {
    return {from.take<bf16>(count * Stride), count};
}
template <index_t Width>
snug::written<bf16, Width> to(matrix<bf16, Width> m) {
    return {m};
}

struct draw_tokens {
    constexpr void operator()(index_t i, std::int32_t* tokens) const {
        tokens[i] = static_cast<std::int32_t>(snug::random::bits(3, 4, static_cast<std::uint64_t>(i)) %
                                              static_cast<std::uint64_t>(vocabulary));
    }
};
std::int32_t* tokens(carver& from, index_t count) {
    auto* const result = from.take<std::int32_t>(count);
    ops::for_each_element(measure::on(), count, ops::bound<draw_tokens>(result));
    return result;
}
struct make_positive {
    constexpr void operator()(index_t i, float* values) const {
        values[i] = values[i] < 0 ? -values[i] : values[i];
    }
};

constexpr double bytes_of(double numbers_in_a_row) { return 2.0 * rows * numbers_in_a_row; }

template <class Norm, index_t Width>
void norm_rows(table& t, std::string const& name, std::string const& width) {
    t.row(name + " forward" + width, bytes_of(2.0 * Width), [](carver& from) {
        return [call = call_of<Norm>(from), x = activations<Width>(from), y = activations<Width>(from)] {
            Norm::forward(call, x, to(y));
        };
    });
    // As in a residual block: added to the gradient that passes by. The gradients of the parameters in it.
    t.row(name + " backward" + width, bytes_of(4.0 * Width), [](carver& from) {
        return
            [call = call_of<Norm, snug::pass::backward>(from), x = activations<Width>(from),
             dy = activations<Width>(from), base = activations<Width>(from), dx = activations<Width>(from)] {
                Norm::backward(call, x, matrix<bf16, Width>{}, dy, snug::added<bf16, Width>{dx, base});
            };
    });
}

template <index_t Width>
void rows_of(table& t) {
    using layer_norm = snug::layer_norm<Width>;
    using rms_norm = snug::rms_norm<Width>;
    using gelu = snug::gelu<Width>;
    using swiglu = snug::swiglu<Width>;
    constexpr index_t head_width = Width % 128 == 0 && Width > 1024 ? 128 : 64;
    constexpr index_t heads = Width / head_width;
    using attention = snug::causal_attention<heads, heads, head_width, snug::rotary<10000>>;
    using embedding = snug::embedding<vocabulary, Width>;
    auto const width = ", " + std::to_string(Width);

    norm_rows<layer_norm, Width>(t, "layer_norm", width);
    t.row("layer_norm backward, rows only" + width, bytes_of(4.0 * Width), [](carver& from) {
        return [call = call_of<layer_norm>(from), x = activations<Width>(from), dy = activations<Width>(from),
                base = activations<Width>(from), dx = activations<Width>(from)] {
            ops::for_each_row<Width>(measure::on(), rows,
                                     ops::bound<typename layer_norm::backward_row>(
                                         x, dy, call.value(typename layer_norm::weight{}),
                                         static_cast<float const*>(call.saved(typename layer_norm::mean{})),
                                         static_cast<float const*>(call.saved(typename layer_norm::rstd{})),
                                         snug::added<bf16, Width>{dx, base}));
        };
    });
    norm_rows<rms_norm, Width>(t, "rms_norm", width);
    t.row("gelu forward" + width, bytes_of(2.0 * Width), [](carver& from) {
        return [call = call_of<gelu>(from), x = activations<Width>(from), y = activations<Width>(from)] {
            gelu::forward(call, x, to(y));
        };
    });
    t.row("gelu backward" + width, bytes_of(3.0 * Width), [](carver& from) {
        return
            [call = call_of<gelu>(from), x = activations<Width>(from), dy = activations<Width>(from),
             dx = activations<Width>(from)] { gelu::backward(call, x, matrix<bf16, Width>{}, dy, to(dx)); };
    });
    t.row("swiglu forward" + width, bytes_of(3.0 * Width), [](carver& from) {
        return [call = call_of<swiglu>(from), x = activations<2 * Width>(from),
                y = activations<Width>(from)] { swiglu::forward(call, x, to(y)); };
    });
    t.row("swiglu backward" + width, bytes_of(5.0 * Width), [](carver& from) {
        return [call = call_of<swiglu>(from), x = activations<2 * Width>(from), dy = activations<Width>(from),
                dx = activations<2 * Width>(from)] {
            swiglu::backward(call, x, matrix<bf16, Width>{}, dy, to(dx));
        };
    });
    // Queries and keys, of rows that hold values too.
    t.row("rotary, heads of " + std::to_string(head_width) + width, bytes_of(4.0 * Width), [](carver& from) {
        return [call = call_of<attention>(from), x = activations<3 * Width>(from)] {
            ops::for_each_row<head_width>(
                measure::on(), rows,
                ops::bound<typename attention::template rotate_row<float>>(call.positions(), x, 1));
        };
    });
    t.row("embedding forward" + width, bytes_of(2.0 * Width), [](carver& from) {
        return [call = call_of<embedding>(from), x = matrix<std::int32_t, 1>{tokens(from, rows), rows},
                y = activations<Width>(from)] { embedding::forward(call, x, to(y)); };
    });
    // Of 8192 random tokens of 50257 some 7560 differ: as many rows of the fp32 gradient are read and written.
    constexpr double different = 7560;
    t.row("embedding backward" + width, bytes_of(Width) + 8 * different * Width, [](carver& from) {
        return [call = call_of<embedding>(from), x = matrix<std::int32_t, 1>{tokens(from, rows), rows},
                dy = activations<Width>(from)] {
            embedding::backward(call, x, matrix<bf16, Width>{}, dy, snug::discarded<1>{});
        };
    });
    t.row("column sums (bias gradient)" + width, bytes_of(Width), [](carver& from) {
        return
            [sums = from.take<float>(Width), x = activations<Width>(from),
             workspace = from.take<std::byte>(ops::column_sums_workspace<snug::cuda, float>(rows, Width))] {
                ops::add_column_sums(measure::on(), rows, Width, workspace, sums, snug::elements_of{x});
            };
    });
    t.row("column sums, layer_norm's weight" + width, bytes_of(2.0 * Width), [](carver& from) {
        return
            [call = call_of<layer_norm>(from), x = activations<Width>(from), dy = activations<Width>(from),
             workspace = from.take<std::byte>(ops::column_sums_workspace<snug::cuda, float>(rows, Width))] {
                ops::add_column_sums(
                    measure::on(), rows, Width, workspace, call.gradient(typename layer_norm::weight{}),
                    ops::bound<typename layer_norm::weight_gradient>(
                        x, dy, static_cast<float const*>(call.saved(typename layer_norm::mean{})),
                        static_cast<float const*>(call.saved(typename layer_norm::rstd{}))));
            };
    });
}

template <index_t Vocabulary>
void cross_entropy(table& t) {
    using head = snug::head_with_loss<768, Vocabulary, false>;
    constexpr index_t count = 2048;
    t.row("cross-entropy, " + std::to_string(Vocabulary), 4.0 * count * Vocabulary, [](carver& from) {
        return [logits = activations<Vocabulary, head::logits_stride>(from, count),
                targets = static_cast<std::int32_t const*>(tokens(from, count)),
                scale = static_cast<double const*>(from.take<double>(1)), losses = from.take<double>(count)] {
            ops::for_each_row<Vocabulary>(
                measure::on(), count,
                ops::bound<typename head::template loss_row<float, true>>(logits, targets, scale, losses));
        };
    });
}

constexpr index_t parameters = index_t{32} << 20;
using update = snug::optimizers::update_element<float, false, true, true>;
snug::kernels::adamw_step const rule{3e-4, 0.9, 0.95, 1e-8, 1 - 3e-5, 10, 4.5};

auto tensor(carver& from) {
    return snug::optimizers::updated_tensor<float, bf16, float>{from.take<float>(parameters),
                                                                from.take<bf16>(parameters),
                                                                from.take<float>(parameters),
                                                                from.take<double>(1),
                                                                from.take<double>(1),
                                                                1,
                                                                1,
                                                                0};
}

void optimizer(table& t) {
    // Master weight, gradient and two moments are read; they and the bf16 weight are written.
    t.row("AdamW, fp32 states", 34.0 * parameters, [](carver& from) {
        auto* const second = from.take<float>(parameters);
        ops::for_each_element(measure::on(), parameters, ops::bound<make_positive>(second));
        return [where = tensor(from), first = from.take<float>(parameters), second] {
            ops::for_each_element(
                measure::on(), parameters,
                ops::bound<snug::optimizers::update_elements<update>>(rule, where, first, second));
        };
    });
    t.row("AdamW, int8 states", (18.0 + 4 * 260.0 / 256) * parameters, [](carver& from) {
        using first_unit = snug::optimizers::state_block<snug::quantization::codebooks::dynamic_signed>;
        using second_unit = snug::optimizers::state_block<snug::quantization::codebooks::dynamic_unsigned>;
        using blocks = snug::optimizers::update_blocks<update, 256, first_unit, second_unit>;
        return [where = tensor(from), first = from.take<first_unit>(parameters / 256),
                second = from.take<second_unit>(parameters / 256)] {
            ops::for_each_row<256>(measure::on(), parameters / 256,
                                   ops::bound<blocks>(rule, where, parameters, first, second));
        };
    });
    t.row("sum of squares (gradient norm)", 4.0 * parameters, [](carver& from) {
        return [values = static_cast<float const*>(from.take<float>(parameters)),
                total = from.take<snug::kernels::exact_sum>(1)] {
            ops::add_exact_sum(measure::on(), 1, parameters, total,
                               ops::bound<snug::kernels::square_of>(values));
        };
    });
}

/// Decodes as products do: 16 numbers at a time.
template <class Scheme>
__global__ void __launch_bounds__(256) decode(typename Scheme::view stored, index_t count, bf16* out) {
    using from = cuda::decoder<Scheme>;
    __shared__ float table[from::table_size];
    auto const* const numbers = from::numbers(stored);
    for (int i = static_cast<int>(threadIdx.x); i < from::table_size; i += 256) table[i] = numbers[i];
    __syncthreads();
    auto const first = (static_cast<index_t>(blockIdx.x) * 256 + threadIdx.x) * 16;
    if (first >= count) return;
    typename from::template some<16> some;
    from::read(some, stored, first);
    std::uint32_t words[8];
#pragma unroll
    for (int i = 0; i < 8; ++i)
        words[i] = cuda::packed<bf16>(from::number(some, 2 * i, table), from::number(some, 2 * i + 1, table));
    auto* const to = reinterpret_cast<uint4*>(out + first);
    to[0] = {words[0], words[1], words[2], words[3]};
    to[1] = {words[4], words[5], words[6], words[7]};
}

template <class Scheme>
void decoding(table& t, char const* name) {
    constexpr snug::quantization::shape extent{11008, 4096};
    constexpr index_t count = extent.count();
    constexpr auto stored_bytes = Scheme::storage(extent).count;
    t.row(std::string("decode to bf16, ") + name, static_cast<double>(stored_bytes + 2 * count),
          [](carver& from) {
              auto const stored = Scheme::view_of(from.take<std::byte>(stored_bytes), extent);
              return [stored, out = from.take<bf16>(count)] {
                  cuda::launch(measure::on(), decode<Scheme>, static_cast<unsigned>(count / (256 * 16)), 256,
                               0, stored, count, out);
              };
          });
}

}  // namespace

int main(int argc, char** argv) {
    return measure::reported([&] {
        auto const device = measure::print_device();
        table t;
        t.cache = static_cast<std::size_t>(device.l2CacheSize);
        t.filter = argc > 1 ? argv[1] : "";
        t.large_copy = measure::copy_bandwidth(t.room, std::size_t{1} << 30);
        std::printf("a copy of 1 GiB on the device: %.0f GB/s, read and written\n\n", t.large_copy * 1e-9);
        std::printf("Bar: >= 0.85 of a copy of as many bytes.\n\n");
        std::printf("| %-38s | bytes, MB |        us |    GB/s | / copy | / equal copy | bar    |\n",
                    "8192 rows, bf16");
        rows_of<768>(t);
        rows_of<1600>(t);
        rows_of<4096>(t);
        cross_entropy<50257>(t);
        cross_entropy<32000>(t);
        cross_entropy<128256>(t);
        optimizer(t);
        namespace q = snug::quantization;
        decoding<q::nf4<64>>(t, "nf4<64>");
        decoding<q::double_quantized<q::nf4<64>>>(t, "nf4<64>, scales quantized");
        decoding<q::int8<256>>(t, "int8<256>");
    });
}
