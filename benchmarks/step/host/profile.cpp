// SPDX-License-Identifier: Apache-2.0
/// Where the time of a GPT-2 124M step goes, batch 4 x 256, in fp32 and mixed<bf16>: by kind of work, and by layer and
/// operation. Of every call the fastest of all steps counts, so that the table says something on a busy machine too.
///
///   benchmark.step.host.profile [steps] [--processor]
///
/// --processor with OMP_NUM_THREADS=1 is a profile of the arithmetic that other work on the machine hardly disturbs.
///
/// Nothing in the library knows of it: a backend that derives from the host's and times every operation, under a walker
/// that derives from the executor and says which layer is running.

#include <cstring>
#include <map>
#include <string>
#include <utility>

#include "../../measure.hpp"

namespace {

using snug::index_t;

/// One call of an operation, at its place in a step: all steps make the same calls in the same order.
struct call {
    std::string layer;
    char const* operation;
    double flops;
    double seconds;
};

/// Keeps the fastest time of every call over all steps: a step that nothing else on the machine disturbed.
struct profile {
    std::string layer{};
    std::vector<call> calls{};
    std::size_t position = 0;

    template <class Call>
    void time(char const* operation, double flops, Call&& work) {
        double const seconds = measure::seconds_of(work);
        if (position == calls.size()) calls.push_back({layer, operation, flops, seconds});
        calls[position].seconds = std::min(calls[position].seconds, seconds);
        ++position;
    }
};

profile& current() {
    static profile p;
    return p;
}

/// Deriving is private, so that a body which has no timed one below is refused and not simply called.
struct timed_host : private snug::host {
    using snug::host::attention_backward_workspace;
    using snug::host::attention_forward_workspace;
    using snug::host::column_sums_workspace;
    using snug::host::matmul_workspace;
    using snug::host::rows_with_column_sums_workspace;
};

template <class M>
constexpr bool is_transposed = false;
template <class M>
constexpr bool is_transposed<snug::transposed<M>> = true;

template <class Store, class A, class B>
void matmul_on(timed_host, std::byte* workspace, Store const& store, snug::product<A, B> product) {
    using namespace snug::backend::host;
    auto const flops = 2.0 * static_cast<double>(detail::rows_of(product.a)) *
                       static_cast<double>(detail::columns_of(product.b)) *
                       static_cast<double>(detail::columns_of(product.a));
    // The forms in which a linear layer writes its three products.
    char const* const name = is_transposed<A>   ? "product dW"
                             : is_transposed<B> ? "product forward"
                                                : "product dX";
    current().time(name, flops, [&] { matmul_on(snug::host{}, workspace, store, product); });
}
template <index_t Width, class Body>
void for_each_row_on(timed_host, std::integral_constant<index_t, Width> width, index_t rows,
                     Body const& body) {
    current().time("rows", 0, [&] { for_each_row_on(snug::host{}, width, rows, body); });
}
template <class Body>
void for_each_element_on(timed_host, index_t count, Body const& body) {
    current().time("elements", 0, [&] { for_each_element_on(snug::host{}, count, body); });
}
template <class T, class Value>
void add_column_sums_on(timed_host, index_t rows, index_t columns, std::byte* workspace, T* sums,
                        Value const& value) {
    current().time("column sums", 0,
                   [&] { add_column_sums_on(snug::host{}, rows, columns, workspace, sums, value); });
}
template <index_t Width, class Body, class... Sums>
void for_each_row_with_column_sums_on(timed_host on, std::integral_constant<index_t, Width> width,
                                      index_t rows, std::byte* workspace, Body const& body,
                                      Sums const&... sums) {
    (add_column_sums_on(on, rows, Width, workspace, sums.sums, sums.value), ...);
    for_each_row_on(on, width, rows, body);
}
template <class Sum, class T, class From, class Key>
void add_rows_on(timed_host, Sum sum, From from, T* to, Key const& key) {
    current().time("row sums", 0, [&] { add_rows_on(snug::host{}, sum, from, to, key); });
}
template <class Value>
void add_sum_on(timed_host, index_t count, double* partials, double* total, Value const& value) {
    current().time("sum", 0, [&] { add_sum_on(snug::host{}, count, partials, total, value); });
}
template <class Value>
void add_exact_sum_on(timed_host, index_t rows, index_t width, snug::kernels::exact_sum* total,
                      Value const& value) {
    current().time("sum", 0, [&] { add_exact_sum_on(snug::host{}, rows, width, total, value); });
}
template <class Shape, class T, class S>
void attention_forward_on(timed_host, Shape shape, index_t sequences, index_t tokens, index_t past,
                          T const* qkv, std::int32_t const* starts, T* out, S* logsumexp,
                          std::byte* workspace) {
    current().time("attention forward", 0, [&] {
        attention_forward_on(snug::host{}, shape, sequences, tokens, past, qkv, starts, out, logsumexp,
                             workspace);
    });
}
template <class Shape, class T, class S>
void attention_backward_on(timed_host, Shape shape, index_t sequences, index_t tokens, T const* qkv,
                           std::int32_t const* starts, T const* out, T const* d_out, S const* logsumexp,
                           T* d_qkv, std::byte* workspace) {
    current().time("attention backward", 0, [&] {
        attention_backward_on(snug::host{}, shape, sequences, tokens, qkv, starts, out, d_out, logsumexp,
                              d_qkv, workspace);
    });
}
void prepare_on(timed_host, snug::memory_bill const& bill) { prepare_on(snug::host{}, bill); }
snug::memory_calls const& memory_on(timed_host) { return snug::memory_seam(); }
snug::memory_calls const& paged_memory_on(timed_host) { return snug::memory_seam(); }
template <class Recording, class Operations>
void run_recorded_on(timed_host, Recording&, Operations const& operations) {
    operations();
}
void copy_in_on(timed_host, void* to, void const* from, std::size_t size) {
    copy_in_on(snug::host{}, to, from, size);
}
void copy_out_on(timed_host, void* to, void const* from, std::size_t size) {
    copy_out_on(snug::host{}, to, from, size);
}

template <class Composition>
class labelling_executor : public snug::executor<Composition> {
    using executor = snug::executor<Composition>;

  public:
    using executor::executor;

    template <class Call>
    void leaf(Call const& call) const {
        constexpr bool is_loss = requires { typename Call::tied; };
        label<typename Call::node>(is_loss                               ? ""
                                   : Call::which == snug::pass::backward ? " backward"
                                                                         : " forward");
        executor::leaf(call);
    }

  private:
    template <class Node>
    static void label(char const* direction) {
        current().layer = std::string(snug::layer::name<typename Node::type>()) + direction;
    }
};

/// The kind of work that an operation of a layer is.
std::string kind_of(std::string const& layer, std::string const& operation) {
    auto const in = [](std::string const& text, char const* part) {
        return text.find(part) != std::string::npos;
    };
    if (in(operation, "product")) return "products";
    if (in(operation, "attention")) return "attention";
    if (in(layer, "norm")) return "norms";
    if (in(layer, "gelu")) return "activation functions";
    if (in(layer, "head")) return "loss";
    if (in(layer, "embedding")) return "embedding";
    if (in(layer, "update")) return operation == "sum" ? "gradient norm" : "optimizer";
    return "bias gradients";
}

template <class Precision>
struct training
    : snug::trainer<snug::models::gpt2_124m, snug::batch<4, 256>, Precision, snug::on<timed_host>> {};

template <class Training>
void print_profile(char const* name, int steps) {
    using c = typename Training::composition;
    using model = typename c::model;
    Training run;
    measure::random_tokens<Training> const data(1);
    auto const batch = data.batch();
    auto& store = run.store();
    current() = {};
    measure::times wholes;
    for (int i = 0; i < steps; ++i) {
        // An update wants gradients of the trainer's own; what that takes is not of this profile.
        auto const so_far = current();
        run.accumulate(batch);
        current() = so_far;
        current().position = 0;
        wholes.add([&] {
            snug::step_numbers numbers;
            numbers.loss_scale = 1.0 / static_cast<double>(batch.targets.size());
            *store.numbers() = numbers;
            labelling_executor<c> walker(store.view(), store.on(), snug::engine::span_of_micro_batch<c>);
            snug::engine::stage(store, batch, 0, walker);
            model::walk_training(walker);
            current().layer = "update";
            run.update({store.numbers()->loss * numbers.loss_scale, 0, 0, Training::tokens_per_step});
        });
    }

    struct sum {
        double seconds = 0;
        double flops = 0;
        int calls = 0;
    };
    std::map<std::string, sum> kinds;
    std::map<std::pair<std::string, std::string>, sum> operations;
    double whole = 0;
    for (auto const& call : current().calls)
        for (auto* const s :
             {&kinds[kind_of(call.layer, call.operation)], &operations[{call.layer, call.operation}]}) {
            s->seconds += call.seconds;
            s->flops += call.flops;
            ++s->calls;
        }
    for (auto const& [kind, s] : kinds) whole += s.seconds;
    std::printf("\n%s: median step %.0f ms, fastest %.0f ms of %d; fastest calls together %.0f ms\n\n", name,
                wholes.median() * 1e3, wholes.fastest() * 1e3, steps, whole * 1e3);
    measure::print_work<Training>(name, wholes);
    std::printf("\n| kind of work         | calls |      ms |     %% |\n");
    for (auto const& [kind, s] : kinds)
        std::printf("| %-20s | %5d | %7.1f | %5.1f |\n", kind.c_str(), s.calls, s.seconds * 1e3,
                    100 * s.seconds / whole);
    std::printf("\n| layer               | operation          | calls |      ms |     %% | GFLOP/s |\n");
    for (auto const& [key, s] : operations)
        std::printf("| %-19s | %-18s | %5d | %7.1f | %5.1f | %7.0f |\n", key.first.c_str(),
                    key.second.c_str(), s.calls, s.seconds * 1e3, 100 * s.seconds / whole,
                    s.flops / s.seconds * 1e-9);
}

}  // namespace

int main(int argc, char** argv) {
    int const steps = measure::count_argument(argc, argv, 5);
    measure::print_machine();
    print_profile<training<snug::precision::full<snug::fp32>>>("full<fp32>", steps);
    print_profile<training<snug::precision::mixed<snug::bf16>>>("mixed<bf16>", steps);
}
