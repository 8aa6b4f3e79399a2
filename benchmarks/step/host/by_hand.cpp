// SPDX-License-Identifier: Apache-2.0
/// What composing costs: a full<fp32> step of a trainer against the same step written out by hand, the same operations
/// in the same order on plain pointers, with no layers, no plan and no walker. Both must give the same loss to the bit.
///
///   benchmark.step.host.by_hand [rounds] [--processor]
///
/// Once on a small model, where an overhead would show, and once on GPT-2 124M.

#include <cmath>
#include <cstring>
#include <string>

#include "../../measure.hpp"

namespace {

using snug::index_t;
using snug::matrix;
using snug::transposed;
using backend = snug::host;
namespace ops = snug::ops;
namespace kernels = snug::kernels;

struct tensor {
    char const* name;
    index_t count;  ///< of one block
    index_t copies;
    bool is_matrix;
    float* value = nullptr;
    float* gradient = nullptr;
    float* first_moment = nullptr;
    float* second_moment = nullptr;
};

template <index_t Layers, index_t Heads, index_t Width, index_t Vocabulary, index_t Context,
          index_t Sequences, index_t Tokens>
class by_hand {
  public:
    struct trainer
        : snug::trainer<snug::models::gpt2<snug::layers<Layers>, snug::heads<Heads>, snug::width<Width>,
                                           snug::vocabulary<Vocabulary>, snug::context<Context>>,
                        snug::batch<Sequences, Tokens>> {};

    /// Starts from the weights of `other`.
    explicit by_hand(trainer& other) {
        carve();
        memory_ = snug::arena(snug::bytes{taken_});
        carve();
        for (auto const& t : tensors_) {
            auto const values = other.weights(t.name);
            std::memcpy(t.value, values.data(), values.size_bytes());
            for (auto* const zeros : {t.gradient, t.first_moment, t.second_moment})
                std::memset(zeros, 0, values.size_bytes());
        }
        options_ = other.options;
    }

    double step(snug::token_batch const& batch) {
        std::memcpy(inputs_, batch.inputs.data(), batch.inputs.size_bytes());
        std::memcpy(targets_, batch.targets.data(), batch.targets.size_bytes());

        ops::for_each_row(backend{}, rows, [this](auto team, index_t row) {
            auto const* const word = table.value + inputs_[row] * Width;
            auto const* const position = positions.value + row % Tokens * Width;
            auto* const to = stream(0) + row * Width;
            team.for_each(Width, [=](index_t i) { to[i] = word[i] + position[i]; });
        });
        for (index_t l = 0; l < Layers; ++l) {
            auto& b = blocks_[l];
            auto const* const x = stream(l);
            norm_forward(x, norm1_weight.value + l * Width, norm1_bias.value + l * Width, b.mean1, b.rstd1,
                         b.norm1);
            forward<Width, 3 * Width>(b.norm1, qkv_weight.value + l * 3 * Width * Width,
                                      written{b.qkv, qkv_bias.value + l * 3 * Width, 3 * Width});
            ops::attention_forward<attention>(backend{}, Sequences, Tokens, 0,
                                              static_cast<float const*>(b.qkv), nullptr, b.attended,
                                              b.logsumexp, workspace_);
            forward<Width, Width>(b.attended, projection_weight.value + l * Width * Width,
                                  added{b.middle, x, projection_bias.value + l * Width});
            norm_forward(b.middle, norm2_weight.value + l * Width, norm2_bias.value + l * Width, b.mean2,
                         b.rstd2, b.norm2);
            forward<Width, inner>(b.norm2, up_weight.value + l * inner * Width,
                                  through_gelu{b.up, b.gelu, up_bias.value + l * inner});
            forward<inner, Width>(b.gelu, down_weight.value + l * Width * inner,
                                  added{stream(l + 1), b.middle, down_bias.value + l * Width});
        }
        auto* const d = output_;
        norm_forward(stream(Layers), norm_weight.value, norm_bias.value, mean_, rstd_, output_);
        double const loss = head(d);

        norm_backward(stream(Layers), d, norm_weight.value, norm_weight.gradient, norm_bias.gradient, mean_,
                      rstd_, [d](index_t row, index_t i, float value) { d[row * Width + i] = value; });
        auto const add_to_d = [d](index_t row, index_t i, float value) {
            d[row * Width + i] = d[row * Width + i] + value;
        };
        for (index_t l = Layers - 1; l >= 0; --l) {
            // Gradients lie where their values are dead.
            auto& b = blocks_[l];
            backward<inner, Width>(b.gelu, d, down_weight.value + l * Width * inner,
                                   down_weight.gradient + l * Width * inner, down_bias.gradient + l * Width,
                                   times_gelu_derivative{b.gelu, b.up});
            backward<Width, inner>(b.norm2, b.gelu, up_weight.value + l * inner * Width,
                                   up_weight.gradient + l * inner * Width, up_bias.gradient + l * inner,
                                   stored<Width>{b.norm2});
            norm_backward(b.middle, b.norm2, norm2_weight.value + l * Width,
                          norm2_weight.gradient + l * Width, norm2_bias.gradient + l * Width, b.mean2,
                          b.rstd2, add_to_d);
            backward<Width, Width>(b.attended, d, projection_weight.value + l * Width * Width,
                                   projection_weight.gradient + l * Width * Width,
                                   projection_bias.gradient + l * Width, stored<Width>{d_attended_});
            ops::attention_backward<attention>(backend{}, Sequences, Tokens, static_cast<float const*>(b.qkv),
                                               nullptr, static_cast<float const*>(b.attended),
                                               static_cast<float const*>(d_attended_),
                                               static_cast<float const*>(b.logsumexp), b.qkv, workspace_);
            backward<Width, 3 * Width>(b.norm1, b.qkv, qkv_weight.value + l * 3 * Width * Width,
                                       qkv_weight.gradient + l * 3 * Width * Width,
                                       qkv_bias.gradient + l * 3 * Width, stored<Width>{b.norm1});
            norm_backward(stream(l), b.norm1, norm1_weight.value + l * Width,
                          norm1_weight.gradient + l * Width, norm1_bias.gradient + l * Width, b.mean1,
                          b.rstd1, add_to_d);
        }
        // Tokens repeat, so threads share the columns, not the rows.
        ops::for_each_row(backend{}, (Width + slice - 1) / slice, [this, d](auto team, index_t s) {
            auto const first = s * slice;
            for (index_t row = 0; row < rows; ++row) {
                auto* const to = table.gradient + inputs_[row] * Width + first;
                auto const* const from = d + row * Width + first;
                team.for_each(std::min(slice, Width - first), [=](index_t i) { to[i] += from[i]; });
            }
        });
        ops::for_each_row(backend{}, Tokens, [this, d](auto team, index_t t) {
            for (index_t sequence = 0; sequence < Sequences; ++sequence) {
                auto const* const from = d + (sequence * Tokens + t) * Width;
                auto* const to = positions.gradient + t * Width;
                team.for_each(Width, [=](index_t i) { to[i] += from[i]; });
            }
        });
        update();
        return loss;
    }

  private:
    static constexpr index_t rows = Sequences * Tokens;
    static constexpr index_t inner = 4 * Width;
    static constexpr index_t slice = 64;
    static constexpr double epsilon = snug::layer_norm<Width>::epsilon;
    using attention = snug::attention_shape<Heads, Heads, Width / Heads>;
    /// The head's chunk is the library's: another one would sum in another order. So is the place of its rows.
    using library_head = typename trainer::composition::model::head;
    static constexpr index_t chunk =
        library_head::template chunk_rows<typename trainer::composition::setting>();
    static constexpr index_t logits_stride = library_head::logits_stride;

    struct written {
        float* to;
        float const* bias;
        index_t width;
        void operator()(index_t row, index_t column, float value) const {
            to[row * width + column] = value + bias[column];
        }
    };
    struct through_gelu {
        float* x;
        float* to;
        float const* bias;
        void operator()(index_t row, index_t column, float value) const {
            auto const i = row * inner + column;
            x[i] = value + bias[column];
            to[i] = kernels::gelu(x[i]);
        }
    };
    struct times_gelu_derivative {
        float* to;
        float const* x;
        void operator()(index_t row, index_t column, float value) const {
            auto const i = row * inner + column;
            to[i] = value * kernels::gelu_derivative(x[i]);
        }
    };
    template <index_t W>
    struct stored {
        float* to;
        void operator()(index_t row, index_t column, float value) const { to[row * W + column] = value; }
    };
    struct added {
        float* to;
        float const* base;
        float const* bias;
        void operator()(index_t row, index_t column, float value) const {
            to[row * Width + column] = base[row * Width + column] + (value + bias[column]);
        }
    };

    template <index_t In, index_t Out, class Store>
    void forward(float const* x, float const* w, Store const& store) const {
        ops::matmul(backend{}, matrix<float const, In>{x, rows}, transposed{matrix<float const, In>{w, Out}},
                    workspace_, store);
    }
    template <index_t In, index_t Out, class Store>
    void backward(float const* x, float const* dy, float const* w, float* d_weight, float* d_bias,
                  Store const& dx) const {
        ops::matmul(backend{}, transposed{matrix<float const, Out>{dy, rows}},
                    matrix<float const, In>{x, rows}, workspace_,
                    [=](index_t row, index_t column, float value) { d_weight[row * In + column] += value; });
        ops::add_column_sums(backend{}, rows, Out, nullptr, d_bias,
                             [=](index_t row, index_t column) { return dy[row * Out + column]; });
        ops::matmul(backend{}, matrix<float const, Out>{dy, rows}, matrix<float const, In>{w, Out},
                    workspace_, dx);
    }
    static void norm_forward(float const* x, float const* w, float const* b, float* mean, float* rstd,
                             float* y) {
        ops::for_each_row(backend{}, rows, [=](auto team, index_t row) {
            auto* const to = y + row * Width;
            kernels::layer_norm_forward(
                team, Width, x + row * Width, w, b, epsilon, mean[row], rstd[row],
                [=](index_t, index_t i, float value) { to[i] = value; }, row);
        });
    }
    template <class Store>
    static void norm_backward(float const* x, float const* dy, float const* w, float* d_weight, float* d_bias,
                              float const* mean, float const* rstd, Store const& store) {
        ops::add_column_sums(backend{}, rows, Width, nullptr, d_weight, [=](index_t row, index_t column) {
            return dy[row * Width + column] * (x[row * Width + column] - mean[row]) * rstd[row];
        });
        ops::add_column_sums(backend{}, rows, Width, nullptr, d_bias,
                             [=](index_t row, index_t column) { return dy[row * Width + column]; });
        ops::for_each_row(backend{}, rows, [=](auto team, index_t row) {
            kernels::layer_norm_backward(team, Width, x + row * Width, dy + row * Width, w, mean[row],
                                         rstd[row], store, row);
        });
    }
    /// The mean loss; `x` becomes its gradient.
    double head(float* x) {
        auto const w = matrix<float const, Width>{table.value, Vocabulary};
        auto* const d_table = table.gradient;
        auto const scale = static_cast<float>(1.0 / static_cast<double>(rows));
        for (index_t first = 0; first < rows; first += chunk) {
            auto const x_chunk = matrix<float, Width>{x + first * Width, chunk};
            auto const logits = matrix<float, Vocabulary, logits_stride>{logits_, chunk};
            ops::matmul(backend{}, x_chunk, transposed{w}, workspace_,
                        [=](index_t row, index_t column, float value) { logits.row(row)[column] = value; });
            ops::for_each_row(backend{}, chunk, [=, this](auto team, index_t row) {
                losses_[first + row] = kernels::cross_entropy<float>(team, Vocabulary, logits.row(row),
                                                                     targets_[first + row], &scale);
            });
            ops::matmul(
                backend{}, transposed{logits}, x_chunk, workspace_,
                [=](index_t row, index_t column, float value) { d_table[row * Width + column] += value; });
            ops::matmul(backend{}, logits, w, workspace_,
                        [=](index_t row, index_t column, float value) { x_chunk.row(row)[column] = value; });
        }
        double total = 0;
        ops::add_sum(backend{}, rows, partial_sums_, &total,
                     [losses = losses_](index_t row) { return losses[row]; });
        return total / static_cast<double>(rows);
    }
    void update() {
        kernels::exact_sum sum{};
        for (auto const& t : tensors_)
            ops::add_exact_sum(backend{}, t.copies, t.count, &sum, [gradient = t.gradient](index_t i) {
                auto const g = static_cast<double>(gradient[i]);
                return g * g;
            });
        auto const squares = sum.value();
        ++steps_;
        snug::update_numbers numbers;
        numbers.learning_rate = options_.learning_rate(steps_);
        numbers.step = steps_;
        auto const scale =
            static_cast<float>(std::min(1.0, options_.largest_gradient_norm / (std::sqrt(squares) + 1e-6)));
        for (auto const& t : tensors_) {
            numbers.weight_decay = t.is_matrix ? options_.weight_decay : 0;
            ops::for_each_element(
                backend{}, t.count * t.copies,
                [t, scale, rule = snug::optimizers::adamw<>::rule(options_.optimizer, numbers)](index_t i) {
                    t.value[i] =
                        rule(t.value[i], t.gradient[i] * scale, t.first_moment[i], t.second_moment[i]);
                    t.gradient[i] = 0;
                });
        }
    }

    float* stream(index_t b) const { return stream_ + b * rows * Width; }

    /// Called twice: to learn the size, and to place everything.
    void carve() {
        taken_ = 0;
        for (auto& t : tensors_)
            for (auto* const part : {&t.value, &t.gradient, &t.first_moment, &t.second_moment})
                *part = take<float>(t.count * t.copies);
        for (auto& b : blocks_) {
            for (auto* const statistic : {&b.mean1, &b.rstd1, &b.mean2, &b.rstd2})
                *statistic = take<float>(rows);
            b.logsumexp = take<float>(rows * Heads);
            for (auto* const narrow : {&b.norm1, &b.attended, &b.middle, &b.norm2})
                *narrow = take<float>(rows * Width);
            b.qkv = take<float>(rows * 3 * Width);
            b.up = take<float>(rows * inner);
            b.gelu = take<float>(rows * inner);
        }
        stream_ = take<float>((Layers + 1) * rows * Width);
        output_ = take<float>(rows * Width);
        d_attended_ = take<float>(rows * Width);
        mean_ = take<float>(rows);
        rstd_ = take<float>(rows);
        logits_ = take<float>(chunk * logits_stride);
        losses_ = take<double>(rows);
        partial_sums_ = take<double>(ops::sum_partials);
        inputs_ = take<std::int32_t>(rows);
        targets_ = take<std::int32_t>(rows);
        workspace_ = take<std::byte>(
            std::max({ops::matmul_workspace<backend, float>(Vocabulary, inner),
                      ops::matmul_workspace<backend, float>(inner, Vocabulary),
                      ops::attention_forward_workspace<backend, attention, float>(Sequences, Tokens),
                      ops::attention_backward_workspace<backend, attention, float>(Sequences, Tokens)}));
    }
    template <class T>
    T* take(index_t count) {
        auto const at = taken_;
        taken_ += (count * static_cast<index_t>(sizeof(T)) + 63) / 64 * 64;
        return memory_.data() ? reinterpret_cast<T*>(memory_.data() + at) : nullptr;
    }

    struct block {
        float *mean1, *rstd1, *mean2, *rstd2, *logsumexp, *norm1, *qkv, *attended, *middle, *norm2, *up,
            *gelu;
    };

    snug::arena memory_;
    index_t taken_ = 0;
    std::int64_t steps_ = 0;
    decltype(trainer::options) options_{};
    // In the trainer's order: the norm of all gradients is a sum over them.
    tensor tensors_[16] = {
        {"embedding.table", Vocabulary* Width, 1, true},
        {"embedding.positions", Context* Width, 1, true},
        {"blocks.norm1.weight", Width, Layers, false},
        {"blocks.norm1.bias", Width, Layers, false},
        {"blocks.qkv.weight", 3 * Width* Width, Layers, true},
        {"blocks.qkv.bias", 3 * Width, Layers, false},
        {"blocks.projection.weight", Width* Width, Layers, true},
        {"blocks.projection.bias", Width, Layers, false},
        {"blocks.norm2.weight", Width, Layers, false},
        {"blocks.norm2.bias", Width, Layers, false},
        {"blocks.up.weight", inner* Width, Layers, true},
        {"blocks.up.bias", inner, Layers, false},
        {"blocks.down.weight", Width* inner, Layers, true},
        {"blocks.down.bias", Width, Layers, false},
        {"norm.weight", Width, 1, false},
        {"norm.bias", Width, 1, false},
    };
    tensor &table = tensors_[0], &positions = tensors_[1], &norm1_weight = tensors_[2],
           &norm1_bias = tensors_[3], &qkv_weight = tensors_[4], &qkv_bias = tensors_[5],
           &projection_weight = tensors_[6], &projection_bias = tensors_[7], &norm2_weight = tensors_[8],
           &norm2_bias = tensors_[9], &up_weight = tensors_[10], &up_bias = tensors_[11],
           &down_weight = tensors_[12], &down_bias = tensors_[13], &norm_weight = tensors_[14],
           &norm_bias = tensors_[15];
    block blocks_[Layers];
    float *stream_, *output_, *d_attended_, *mean_, *rstd_, *logits_;
    double *losses_, *partial_sums_;
    std::int32_t *inputs_, *targets_;
    std::byte* workspace_;
};

/// Returns whether all losses were the same.
template <class Hand>
bool compare(char const* name, int rounds) {
    using trainer = typename Hand::trainer;
    trainer composed;
    Hand hand(composed);
    measure::random_tokens<trainer> const data(1);
    measure::times composed_times;
    measure::times hand_times;
    bool same = true;
    for (int i = -1; i < rounds; ++i) {
        double losses[2] = {};
        auto const composed_step = [&] { losses[0] = composed.step(data.batch()).loss; };
        auto const hand_step = [&] { losses[1] = hand.step(data.batch()); };
        if (i < 0) {
            composed_step();
            hand_step();
        } else if (i % 2 == 0) {
            composed_times.add(composed_step);
            hand_times.add(hand_step);
        } else {
            hand_times.add(hand_step);
            composed_times.add(composed_step);
        }
        same = same && losses[0] == losses[1];
        if (losses[0] != losses[1])
            std::printf("step %d: loss %.17g composed, %.17g by hand\n", i + 2, losses[0], losses[1]);
    }
    double const ratio = composed_times.median() / hand_times.median();
    std::printf("| %-36s | %8.2f | %7.2f | %5.3f | %10.3f | %-4s | <= 1.01: %-6s |\n", name,
                composed_times.median() * 1e3, hand_times.median() * 1e3, ratio,
                composed_times.fastest() / hand_times.fastest(), same ? "yes" : "NO",
                ratio <= 1.01 ? "holds" : "MISSED");
    return same;
}

}  // namespace

int main(int argc, char** argv) {
    int const rounds = measure::count_argument(argc, argv, 5);
    measure::print_machine();
    std::printf(
        "\n| model                                | composed | by hand | ratio | of fastest | same | bar     "
        "         |\n");
    bool const small =
        compare<by_hand<4, 4, 256, 512, 128, 2, 128>>("4 layers, width 256, batch 2 x 128", 40 * rounds);
    bool const gpt2 = compare<by_hand<12, 12, 768, 50257, 1024, 4, 256>>("GPT-2 124M, batch 4 x 256", rounds);
    return small && gpt2 ? 0 : 1;
}
