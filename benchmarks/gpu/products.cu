// SPDX-License-Identifier: Apache-2.0
/// Matrix products and attention of a block of GPT-2 1558M and of Llama-2 7B.
///
///   benchmark.gpu.products [part of a row's name]
///
/// First products that go to cuBLASLt, by snug::ops::matmul, against cuBLASLt called bare: the same operation by the fastest of
/// eight algorithms that its heuristic names, and the plain product (no bias, nothing added). Then products with LoRA's second
/// product or an NF4 operand against the bare product of the same shape, each by the library, for which slices of the operand
/// are decoded, and by snug's own kernel, which decodes on the way: `rows_worth_decoding` and `rows_worth_adding` are to be where
/// the two are even. Then attention. Every round is one graph over several sets of operands, more than fit into L2 together.

#include <snug/adapters/lora.hpp>
#include <snug/adapters/low_rank_linear.hpp>
#include <snug/quantization/double_quantized.hpp>
#include <snug/quantization/nf4.hpp>
#include <string_view>

#include "timing.cuh"

namespace {

using measure::carver;
using snug::bf16;
using snug::index_t;
using snug::matrix;
using snug::transposed;
namespace ops = snug::ops;
namespace cuda = snug::backend::cuda;

char const* filter = "";
bool wanted(std::string const& name) { return name.find(filter) != std::string::npos; }

/// How many rows there are: 16 x 1024 tokens of GPT-2's step, 4 x 1024 of the fine-tuning.
constexpr index_t gpt2_rows = 16384, llama_rows = 4096;

/// A product as cuBLASLt takes it, column-major: d = op(right) op(left) of our row-major d = left right.
struct bare_shape {
    index_t rows, columns, depth;
    bool left_transposed, right_transposed;
    bool adds, has_bias, to_fp32;

    double flop() const {
        return 2.0 * static_cast<double>(rows) * static_cast<double>(columns) * static_cast<double>(depth);
    }
};

struct operands {
    bf16 *left, *right, *bias, *base;
    void* result;
};

void check(cublasStatus_t status, char const* call) {
    if (status != CUBLAS_STATUS_SUCCESS)
        throw snug::error({}, std::string(call) + ": " + cublasLtGetStatusString(status), "success");
}

class bare_product {
  public:
    explicit bare_product(bare_shape const& s) : shape_(s) {
        check(cublasLtMatmulDescInit(&operation_, CUBLAS_COMPUTE_32F, CUDA_R_32F), "cublasLtMatmulDescInit");
        set(CUBLASLT_MATMUL_DESC_TRANSA, std::int32_t{s.right_transposed ? CUBLAS_OP_T : CUBLAS_OP_N});
        set(CUBLASLT_MATMUL_DESC_TRANSB, std::int32_t{s.left_transposed ? CUBLAS_OP_T : CUBLAS_OP_N});
        if (s.has_bias) {
            set(CUBLASLT_MATMUL_DESC_EPILOGUE, std::uint32_t{CUBLASLT_EPILOGUE_BIAS});
            set(CUBLASLT_MATMUL_DESC_BIAS_DATA_TYPE, std::int32_t{CUDA_R_16BF});
        }
        lay_out(right_, CUDA_R_16BF, s.columns, s.depth, s.right_transposed);
        lay_out(left_, CUDA_R_16BF, s.depth, s.rows, s.left_transposed);
        lay_out(result_, s.to_fp32 ? CUDA_R_32F : CUDA_R_16BF, s.columns, s.rows, false);
        cublasLtMatmulPreferenceOpaque_t preference;
        check(cublasLtMatmulPreferenceInit(&preference), "cublasLtMatmulPreferenceInit");
        auto const workspace = static_cast<std::uint64_t>(cuda::library_workspace);
        check(cublasLtMatmulPreferenceSetAttribute(&preference, CUBLASLT_MATMUL_PREF_MAX_WORKSPACE_BYTES,
                                                   &workspace, sizeof workspace),
              "cublasLtMatmulPreferenceSetAttribute");
        check(
            cublasLtMatmulAlgoGetHeuristic(cuda::execution_of(measure::on()).library(), &operation_, &right_,
                                           &left_, &result_, &result_, &preference, most, found_, &count_),
            "cublasLtMatmulAlgoGetHeuristic");
        // The other fields of a result are valid only where its state says so.
        auto const* const end = std::remove_if(found_, found_ + count_, [](auto const& result) {
            return result.state != CUBLAS_STATUS_SUCCESS;
        });
        count_ = static_cast<int>(end - found_);
        if (count_ == 0) throw snug::error({}, "no algorithm for a bare product", "at least one");
    }

    int count() const { return count_; }
    void run(int algorithm, operands const& o, std::byte* workspace) {
        if (shape_.has_bias) set(CUBLASLT_MATMUL_DESC_BIAS_POINTER, static_cast<void const*>(o.bias));
        float const one = 1, factor = shape_.adds ? 1.0f : 0.0f;
        // What is added to a gradient is the gradient itself.
        void const* const base = shape_.adds && !shape_.to_fp32 ? o.base : o.result;
        check(cublasLtMatmul(cuda::execution_of(measure::on()).library(), &operation_, &one, o.right, &right_,
                             o.left, &left_, &factor, base, &result_, o.result, &result_,
                             &found_[algorithm].algo, workspace,
                             static_cast<std::size_t>(cuda::library_workspace), cuda::stream(measure::on())),
              "cublasLtMatmul");
    }

  private:
    static constexpr int most = 8;

    template <class T>
    void set(cublasLtMatmulDescAttributes_t which, T value) {
        check(cublasLtMatmulDescSetAttribute(&operation_, which, &value, sizeof value),
              "cublasLtMatmulDescSetAttribute");
    }
    static void lay_out(cublasLtMatrixLayoutOpaque_t& layout, cudaDataType_t type, index_t of_rows,
                        index_t of_columns, bool is_transposed) {
        if (is_transposed) std::swap(of_rows, of_columns);
        check(cublasLtMatrixLayoutInit(&layout, type, static_cast<std::uint64_t>(of_rows),
                                       static_cast<std::uint64_t>(of_columns), of_rows),
              "cublasLtMatrixLayoutInit");
    }

    bare_shape shape_;
    cublasLtMatmulDescOpaque_t operation_{};
    cublasLtMatrixLayoutOpaque_t right_{}, left_{}, result_{};
    cublasLtMatmulHeuristicResult_t found_[most]{};
    int count_ = 0;
};

struct bench {
    measure::device_room room{std::size_t{12} << 30};
    std::byte* workspace = room.data();
    std::size_t cache = 0;

    /// Sets of operands, as many as are needed to leave L2.
    std::vector<operands> sets(bare_shape const& s) const {
        std::vector<operands> result;
        carver from(room.data() + cuda::library_workspace + cuda::decoded_bytes);
        std::size_t of_one = 0;
        do {
            auto const* const before = from.end();
            operands o{};
            o.left = from.take<bf16>(s.rows * s.depth);
            o.right = from.take<bf16>(s.depth * s.columns);
            o.bias = from.take<bf16>(s.columns);
            o.base = from.take<bf16>(s.rows * s.columns);
            o.result = from.take<float>(s.rows * s.columns);
            result.push_back(o);
            of_one = static_cast<std::size_t>(from.end() - before);
        } while (result.size() < 4 && of_one * result.size() < 4 * cache &&
                 static_cast<std::size_t>(from.end() - room.data()) + of_one <= room.size());
        return result;
    }

    double bare_seconds(bare_shape const& s, std::vector<operands> const& all) const {
        bare_product product(s);
        double best = 1e9;
        for (int a = 0; a < product.count(); ++a)
            best = std::min(best, measure::seconds_per_call(8, 7, [&](int i) {
                                product.run(a, all[static_cast<std::size_t>(i) % all.size()], workspace);
                            }));
        return best;
    }

    /// `call(operands)` is snug's; `against_plain`: the ratio that the bar is about is the one to the plain product.
    template <class Call>
    void row(std::string const& name, bare_shape const& s, double bar, Call const& call) {
        if (!wanted(name)) return;
        room.fill();
        auto const all = sets(s);
        auto const seconds = measure::seconds_per_call(
            8, 7, [&](int i) { call(all[static_cast<std::size_t>(i) % all.size()]); });
        auto const same = bare_seconds(s, all);
        auto plain_shape = s;
        plain_shape.adds = plain_shape.has_bias = false;
        auto const plain = bare_seconds(plain_shape, all);
        auto const tflops = [&](double t) { return s.flop() / t * 1e-12; };
        std::printf(
            "| %-34s | %5lld x %5lld x %5lld | %8.1f | %7.1f | %5.3f | %7.1f | %7.1f | %5.3f | %-6s |\n",
            name.c_str(), static_cast<long long>(s.rows), static_cast<long long>(s.columns),
            static_cast<long long>(s.depth), seconds * 1e6, tflops(seconds),
            tflops(seconds) / measure::peak_tflops, tflops(same), tflops(plain), same / seconds,
            bar == 0                ? ""
            : same / seconds >= bar ? "holds"
                                    : "MISSED");
        std::fflush(stdout);
    }
};

void print_header(char const* title) {
    std::printf("\n## %s\n\n", title);
    std::printf("| %-34s | %-21s | %8s | TFLOP/s | /peak | bare    | plain   | ratio | bar    |\n", "product",
                "rows, columns, depth", "us");
}

/// The three products of a linear layer.
template <index_t In, index_t Out, bool Bias, bool Residual>
void linear(bench& b, std::string const& name, index_t rows) {
    constexpr double bar = 0.95;
    b.row(name + " forward", {rows, Out, In, false, true, Residual, Bias, false}, bar,
          [&](operands const& o) {
              auto const x = matrix<bf16, In>{o.left, rows};
              auto const w = matrix<bf16 const, In>{o.right, Out};
              auto const y = matrix<bf16, Out>{static_cast<bf16*>(o.result), rows};
              auto const run = [&](auto sink) {
                  if constexpr (Bias)
                      ops::matmul(measure::on(), x, transposed{w}, b.workspace,
                                  snug::with_bias{sink, static_cast<bf16 const*>(o.bias)});
                  else ops::matmul(measure::on(), x, transposed{w}, b.workspace, sink);
              };
              if constexpr (Residual) run(snug::added<bf16, Out>{y, matrix<bf16 const, Out>{o.base, rows}});
              else run(snug::written<bf16, Out>{y});
          });
    b.row(name + " input gradient", {rows, In, Out, false, false, false, false, false}, bar,
          [&](operands const& o) {
              ops::matmul(measure::on(), matrix<bf16, Out>{o.left, rows},
                          matrix<bf16 const, In>{o.right, Out}, b.workspace,
                          snug::written<bf16, In>{{static_cast<bf16*>(o.result), rows}});
          });
    b.row(name + " weight gradient", {Out, In, rows, true, false, true, false, true}, bar,
          [&](operands const& o) {
              ops::matmul(measure::on(), transposed{matrix<bf16, Out>{o.left, rows}},
                          matrix<bf16, In>{o.right, rows}, b.workspace,
                          snug::accumulated<float, In>{{static_cast<float*>(o.result), Out}});
          });
}

/// The input gradient of the product after a GELU, times GELU's derivative: as trainers have it, in cuBLASLt's epilogue where
/// that has an algorithm, and in a pass of its own.
template <index_t In, index_t Out>
void gelu_gradient(bench& b, std::string const& name, index_t rows) {
    using function = snug::kernels::gelu_function;
    bare_shape const shape{rows, In, Out, false, false, false, false, false};
    auto const x = [&](operands const& o) { return matrix<bf16, In>{o.base, rows}; };
    auto const dx = [&](operands const& o) { return matrix<bf16, In>{static_cast<bf16*>(o.result), rows}; };
    auto const run = [&](operands const& o, auto sink) {
        ops::matmul(measure::on(), matrix<bf16, Out>{o.left, rows}, matrix<bf16 const, In>{o.right, Out},
                    b.workspace, sink);
    };
    b.row(name + " in the epilogue", shape, 0, [&](operands const& o) {
        run(o, snug::kernels::times_derivative<function, float, bf16, In>{x(o), dx(o)});
    });
    b.row(name + " in a pass", shape, 0, [&](operands const& o) {
        auto const to = snug::written<bf16, In>{dx(o)};
        run(o, to);
        ops::for_each_row<In>(measure::on(), rows,
                              ops::bound<snug::kernels::derivative_row<function, float>>(x(o), dx(o), to));
    });
}

/// The head's three products of a chunk of rows.
template <index_t Vocabulary>
void head(bench& b, std::string const& name, index_t rows) {
    constexpr index_t width = 1600, vocabulary = Vocabulary, stride = snug::round_up(Vocabulary, index_t{64});
    constexpr double bar = 0.95;
    using logits = matrix<bf16, vocabulary, stride>;
    b.row(name + " forward", {rows, stride, width, false, true, false, false, false}, bar,
          [&](operands const& o) {
              ops::matmul(measure::on(), matrix<bf16, width>{o.left, rows},
                          transposed{matrix<bf16 const, width>{o.right, vocabulary}}, b.workspace,
                          snug::written<bf16, vocabulary, stride>{{static_cast<bf16*>(o.result), rows}});
          });
    b.row(name + " input gradient", {rows, width, stride, false, false, false, false, false}, bar,
          [&](operands const& o) {
              ops::matmul(measure::on(), logits{o.left, rows}, matrix<bf16 const, width>{o.right, vocabulary},
                          b.workspace, snug::written<bf16, width>{{static_cast<bf16*>(o.result), rows}});
          });
    b.row(name + " weight gradient", {stride, width, rows, true, false, true, false, true}, bar,
          [&](operands const& o) {
              ops::matmul(measure::on(), transposed{logits{o.left, rows}}, matrix<bf16, width>{o.right, rows},
                          b.workspace,
                          snug::accumulated<float, width>{{static_cast<float*>(o.result), vocabulary}});
          });
}

using lora = snug::adapters::lora<snug::rank<16>, snug::alpha<32>>;
using nf4 = snug::quantization::nf4<64>;
using double_nf4 = snug::quantization::double_quantized<nf4>;

/// The base of an adapter: bf16, or stored by Scheme.
template <class Scheme, index_t In, index_t Out>
auto base_of(operands const& o) {
    if constexpr (std::is_same_v<Scheme, snug::quantization::none>)
        return matrix<bf16 const, In>{o.right, Out};
    else
        return snug::quantized_matrix<Scheme, Out, In>{
            Scheme::view_of(reinterpret_cast<std::byte const*>(o.right), {Out, In})};
}

/// The two ways of products with a base, with or without the adapter's. Ratio to the bare bf16 product.
template <class Scheme, index_t In, index_t Out>
void adapted(bench& b, std::string const& name, index_t rows) {
    constexpr index_t rank = 16;
    using columns = snug::detail::adapted_columns<lora, Out, snug::parts<>>;
    // The adapter's operands: part of the base of a sum that nothing is added to here.
    auto const low_rank = [&](operands const& o) { return matrix<bf16 const, rank>{o.base, rows}; };
    auto const b_of = [&](operands const& o) {
        return snug::block_diagonal<bf16, columns, rank>{o.base + rows * rank};
    };
    auto const a_of = [&](operands const& o) { return matrix<bf16 const, In>{o.base + rows * rank, rank}; };
    auto const both_ways = [&](std::string const& what, bare_shape const& shape, auto store,
                               auto... product) {
        b.row(what + ", library", shape, 0, [&](operands const& o) {
            (void)cuda::detail::by_library(measure::on(), b.workspace, store(o), product(o)...);
        });
        b.row(what + ", own kernel", shape, 0,
              [&](operands const& o) { cuda::own_matmul(measure::on(), store(o), product(o)...); });
    };
    auto const title = name + ", " + std::to_string(rows);
    bare_shape const forward{rows, Out, In, false, true, false, false, false};
    bare_shape const backward{rows, In, Out, false, false, false, false, false};
    auto const y = [&](operands const& o) {
        return snug::written<bf16, Out>{{static_cast<bf16*>(o.result), rows}};
    };
    auto const dx = [&](operands const& o) {
        return snug::written<bf16, In>{{static_cast<bf16*>(o.result), rows}};
    };
    auto const x_w = [&](operands const& o) {
        return snug::product{matrix<bf16, In>{o.left, rows}, transposed{base_of<Scheme, In, Out>(o)}};
    };
    auto const dy_w = [&](operands const& o) {
        return snug::product{matrix<bf16, Out>{o.left, rows}, base_of<Scheme, In, Out>(o)};
    };
    if constexpr (!std::is_same_v<Scheme, snug::quantization::none>) {
        both_ways(title + " forward", forward, y, x_w);
        both_ways(title + " backward", backward, dx, dy_w);
    }
    both_ways(title + " + LoRA forward", forward, y, x_w, [&](operands const& o) {
        return snug::product{low_rank(o), b_of(o)};
    });
    both_ways(title + " + LoRA backward", backward, dx, dy_w, [&](operands const& o) {
        return snug::product{low_rank(o), a_of(o)};
    });
}

/// The thin products of an adapter: x Aᵀ, and dy B, of 16 columns.
template <index_t Width>
void thin(bench& b, std::string const& name, index_t rows) {
    auto const low = [&](operands const& o) {
        return snug::scaled{snug::written<bf16, 16>{{static_cast<bf16*>(o.result), rows}}, 2.0};
    };
    b.row(name + " x A^T", {rows, 16, Width, false, true, false, false, false}, 0, [&](operands const& o) {
        ops::matmul(measure::on(), b.workspace, low(o),
                    snug::product{matrix<bf16, Width>{o.left, rows},
                                  transposed{matrix<bf16 const, Width>{o.right, 16}}});
    });
    b.row(name + " dy B", {rows, 16, Width, false, false, false, false, false}, 0, [&](operands const& o) {
        ops::matmul(measure::on(), b.workspace, low(o),
                    snug::product{matrix<bf16, Width>{o.left, rows}, matrix<bf16 const, 16>{o.right, Width}});
    });
}

/// Scores and their use, 4 T² · head width of every head forward and 10 T² backward, half of it because it is causal.
template <index_t Heads, index_t HeadWidth>
void attention(bench& b, index_t tokens) {
    using shape = snug::attention_shape<Heads, Heads, HeadWidth>;
    auto const name =
        std::to_string(Heads) + " heads of " + std::to_string(HeadWidth) + ", T = " + std::to_string(tokens);
    if (!wanted("attention " + name)) return;
    auto const sequences = gpt2_rows / tokens, rows = gpt2_rows;
    b.room.fill();
    carver from(b.room.data());
    auto* const qkv = from.take<bf16>(rows * shape::qkv_width);
    auto* const out = from.take<bf16>(rows * shape::output_width);
    auto* const d_out = from.take<bf16>(rows * shape::output_width);
    auto* const d_qkv = from.take<bf16>(rows * shape::qkv_width);
    auto* const logsumexp = from.take<float>(rows * Heads);
    auto* const workspace = from.take<std::byte>(
        std::max(ops::attention_forward_workspace<snug::cuda, shape, bf16>(sequences, tokens),
                 ops::attention_backward_workspace<snug::cuda, shape, bf16>(sequences, tokens)));
    auto const forward = measure::seconds_per_call(4, 7, [&](int) {
        ops::attention_forward<shape>(measure::on(), sequences, tokens, 0, static_cast<bf16 const*>(qkv),
                                      nullptr, out, logsumexp, workspace);
    });
    auto const backward = measure::seconds_per_call(4, 7, [&](int) {
        ops::attention_backward<shape>(measure::on(), sequences, tokens, static_cast<bf16 const*>(qkv),
                                       nullptr, static_cast<bf16 const*>(out),
                                       static_cast<bf16 const*>(d_out), static_cast<float const*>(logsumexp),
                                       d_qkv, workspace);
    });
    auto const whole = static_cast<double>(sequences * Heads * HeadWidth) * static_cast<double>(tokens) *
                       static_cast<double>(tokens);
    auto const print = [&](char const* direction, double flop, double seconds) {
        auto const rate = flop / seconds * 1e-12;
        std::printf("| %-8s | %-30s | %8.1f | %7.1f | %5.3f |\n", direction, name.c_str(), seconds * 1e6,
                    rate, rate / measure::peak_tflops);
    };
    print("forward", 2 * whole, forward);
    print("backward", 5 * whole, backward);
    std::fflush(stdout);
}

}  // namespace

int main(int argc, char** argv) {
    return measure::reported([&] {
        if (argc > 1) filter = argv[1];
        auto const device = measure::print_device();
        bench b;
        b.cache = static_cast<std::size_t>(device.l2CacheSize);
        std::printf(
            "bare: cuBLASLt, the same operation, the fastest of 8 algorithms; plain: without bias and "
            "addition;\n"
            "ratio: bare time / ours, bar >= 0.95\n");

        print_header("GPT-2 1558M, 16384 tokens: by cuBLASLt");
        linear<1600, 4800, true, false>(b, "qkv", gpt2_rows);
        linear<1600, 1600, true, true>(b, "projection", gpt2_rows);
        linear<1600, 6400, true, false>(b, "up", gpt2_rows);
        linear<6400, 1600, true, true>(b, "down", gpt2_rows);
        gelu_gradient<6400, 1600>(b, "down, GELU's gradient", gpt2_rows);
        // Ours with the model's 50257 tokens in rows of 50304, bare with 50304.
        head<50257>(b, "head, 512 rows", 512);
        head<50257>(b, "head, 2048 rows", 2048);

        print_header("Llama-2 7B, 4096 tokens: by cuBLASLt");
        linear<4096, 12288, false, false>(b, "Llama qkv", llama_rows);
        linear<4096, 4096, false, true>(b, "Llama projection", llama_rows);
        linear<4096, 22016, false, false>(b, "Llama gate and up", llama_rows);
        linear<11008, 4096, false, true>(b, "Llama down", llama_rows);

        print_header("Llama-2 7B: bases of adapters, against bare bf16 products");
        for (snug::index_t const rows : {snug::index_t{256}, snug::index_t{1024}, llama_rows})
            adapted<snug::quantization::none, 4096, 4096>(b, "bf16 4096", rows);
        for (snug::index_t const rows :
             {snug::index_t{256}, snug::index_t{512}, snug::index_t{1024}, llama_rows})
            adapted<double_nf4, 4096, 4096>(b, "NF4 4096", rows);
        adapted<double_nf4, 4096, 22016>(b, "NF4 gate and up", llama_rows);
        adapted<double_nf4, 11008, 4096>(b, "NF4 down", llama_rows);
        thin<4096>(b, "rank 16 of 4096", llama_rows);

        std::printf("\n## Attention, 16384 tokens, causal counted at half\n\n");
        std::printf("| %-8s | %-30s | %8s | TFLOP/s | /peak |\n", "", "", "us");
        for (snug::index_t const tokens : {1024, 2048, 4096}) attention<25, 64>(b, tokens);
        for (snug::index_t const tokens : {1024, 2048, 4096}) attention<32, 128>(b, tokens);
    });
}
