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

using snug::index;

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

struct timed_host : snug::host {};

template <class M>
constexpr bool is_transposed = false;
template <class M>
constexpr bool is_transposed<snug::transposed<M>> = true;

template <class A, class B, class Store>
void matmul_on(timed_host, A a, B b, std::byte* workspace, Store const& store) {
    using namespace snug::backend::host;
    auto const flops = 2.0 * static_cast<double>(detail::rows_of(a)) *
                       static_cast<double>(detail::columns_of(b)) *
                       static_cast<double>(detail::columns_of(a));
    // The forms in which a linear layer writes its three products.
    char const* const name = is_transposed<A>   ? "product dW"
                             : is_transposed<B> ? "product forward"
                                                : "product dX";
    current().time(name, flops, [&] { matmul_on(snug::host{}, a, b, workspace, store); });
}
template <class Body>
void for_each_row_on(timed_host, index rows, Body const& body) {
    current().time("rows", 0, [&] { for_each_row_on(snug::host{}, rows, body); });
}
template <class Body>
void for_each_element_on(timed_host, index count, Body const& body) {
    current().time("elements", 0, [&] { for_each_element_on(snug::host{}, count, body); });
}
template <class T, class Value>
void add_column_sums_on(timed_host, index rows, index columns, T* sums, Value const& value) {
    current().time("column sums", 0, [&] { add_column_sums_on(snug::host{}, rows, columns, sums, value); });
}
template <class Value>
double sum_on(timed_host, index count, double* partials, Value const& value) {
    double total = 0;
    current().time("sum", 0, [&] { total = sum_on(snug::host{}, count, partials, value); });
    return total;
}
template <class Shape, class T, class S>
void attention_forward_on(timed_host, Shape shape, index sequences, index tokens, index past, T const* qkv,
                          T* out, S* logsumexp, std::byte* workspace) {
    current().time("attention forward", 0, [&] {
        attention_forward_on(snug::host{}, shape, sequences, tokens, past, qkv, out, logsumexp, workspace);
    });
}
template <class Shape, class T, class S>
void attention_backward_on(timed_host, Shape shape, index sequences, index tokens, T const* qkv, T const* out,
                           T const* d_out, S const* logsumexp, T* d_qkv, std::byte* workspace) {
    current().time("attention backward", 0, [&] {
        attention_backward_on(snug::host{}, shape, sequences, tokens, qkv, out, d_out, logsumexp, d_qkv,
                              workspace);
    });
}

template <class Composition>
class labelling_executor : public snug::executor<Composition> {
    using executor = snug::executor<Composition>;

  public:
    using executor::executor;

    template <class Node, bool Added, class... References>
    void forward(References... references) const {
        label<Node>(" forward");
        executor::template forward<Node, Added>(references...);
    }
    template <class Node, bool Added, class... References>
    void backward(References... references) const {
        label<Node>(" backward");
        executor::template backward<Node, Added>(references...);
    }
    template <class Node, class TiedNode>
    void loss(snug::buffer_reference x, snug::buffer_reference targets) {
        label<Node>("");
        executor::template loss<Node, TiedNode>(x, targets);
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
    // The walker needs addresses: every one of them is an offset of the plan from the start of the one allocation.
    auto* const weights =
        reinterpret_cast<std::byte*>(run.weights(c::parameter_table.entries[0].name.view()).data());
    auto* const base = weights - c::plan.offsets[static_cast<std::size_t>(c::weight(0))];
    auto const stage = [&](int buffer, std::span<std::int32_t const> values) {
        std::memcpy(base + c::plan.offsets[static_cast<std::size_t>(c::first_buffer + buffer)], values.data(),
                    values.size_bytes());
    };
    current() = {};
    measure::times wholes;
    for (int i = 0; i < steps; ++i) {
        current().position = 0;
        wholes.add([&] {
            stage(model::tokens, batch.inputs);
            stage(model::targets, batch.targets);
            labelling_executor<c> walker(base, {c::batch::sequences, c::batch::tokens, 0},
                                         1.0 / static_cast<double>(batch.targets.size()));
            model::walk_training(walker);
            current().layer = "update";
            run.update({walker.total_loss(), 0, 0, Training::tokens_per_step});
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
    std::printf("| kind of work         | calls |      ms |     %% |\n");
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
