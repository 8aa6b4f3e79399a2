// SPDX-License-Identifier: Apache-2.0
// expected-error: Give it 'static void change_input
// expected-error: a_layer_that_changes_its_input_does_not_say_how_it_goes_on
#include <snug/plan.hpp>

/// Leaves its input another than it was, and does not say how it goes on from there.
struct restless {
    static constexpr snug::index_t input_width = 8;
    static constexpr snug::index_t output_width = 8;
    static constexpr bool keeps_input = true;

    template <class Call, class X, class Y>
    static void forward(Call const&, X, Y) {}
    template <class Call, class X, class Y, class DY, class DX>
    static void backward(Call const&, X, Y, DY, DX) {}
};

using block = snug::residual<snug::named<"a", snug::linear<8, 8>>, snug::named<"restless", restless>,
                             snug::named<"b", snug::linear<8, 8>>>;
using tiny = snug::stack<snug::named<"embedding", snug::embedding<61, 8>>,
                         snug::named<"blocks", snug::repeat<4, snug::sequence<block>>>,
                         snug::named<"head", snug::head_with_loss<8, 61, false>>>;

#ifdef REFUSED
using policy_of_mine = snug::checkpointing::keep<"a.output">;
#else
using policy_of_mine = snug::checkpointing::keep<"a.output", "restless.output">;
#endif

struct my_trainer : snug::trainer<tiny, snug::batch<1, 64>, policy_of_mine> {};
static_assert(snug::footprint<my_trainer>.total > snug::bytes{});
