// SPDX-License-Identifier: Apache-2.0
// A program that says `using namespace snug` and has types of snug's names: in a namespace of its own, as docs/policies.md
// says, they go before snug's.
#include <snug/snug.hpp>

#include <type_traits>

using namespace snug;
using namespace snug::literals;

namespace program {

// clang-format off
struct alpha {}; struct arena {}; struct batch {}; struct budget {}; struct bytes {}; struct context {}; struct cuda {};
struct dropout {}; struct embedding {}; struct error {}; struct frozen {}; struct half {}; struct head {}; struct heads {};
struct host {}; struct int8 {}; struct layers {}; struct linear {}; struct matrix {}; struct mlp {}; struct model {};
struct named {}; struct norms {}; struct on {}; struct parameter {}; struct part {}; struct parts {}; struct path {};
struct product {}; struct rank {}; struct repeat {}; struct report {}; struct residual {}; struct role {}; struct run {};
struct schedule {}; struct sequence {}; struct setting {}; struct shape {}; struct stack {}; struct targets {}; struct text {};
struct trainer {}; struct values {}; struct walker {}; struct width {}; struct written {};
// clang-format on

template <class... Own>
constexpr bool are_of_the_program = (std::is_empty_v<Own> && ...);
static_assert(are_of_the_program<alpha, arena, batch, budget, bytes, context, cuda, dropout, embedding, error,
                                 frozen, half, head, heads, host, int8, layers, linear, matrix, mlp, model,
                                 named, norms, on, parameter, part, parts, path, product, rank, repeat,
                                 report, residual, role, run, schedule, sequence, setting, shape, stack,
                                 targets, text, trainer, values, walker, width, written>);

struct training : snug::trainer<models::gpt2_124m, snug::batch<1, 64>, checkpointing::every_block> {};
static_assert(fits<training, snug::budget<24_GiB>>);

}  // namespace program
