// SPDX-License-Identifier: Apache-2.0
// expected-error: would pass over what is inside a layer of your own
// expected-error: a_layer_with_children_does_not_say_how_they_are_rewritten
#include <snug/plan.hpp>
#include <snug/quantization/nf4.hpp>

namespace user {

template <class... Layers>
struct chain : snug::sequence<Layers...> {};

}  // namespace user

#ifndef REFUSED
template <class Rule, class... Layers, auto Path>
struct snug::rewrite<Rule, user::chain<Layers...>, Path> {
    using type = user::chain<typename snug::rewrite<Rule, Layers, Path>::type...>;
};
#endif

struct model : snug::stack<snug::embedding<9, 8>, snug::named<"chain", user::chain<snug::linear<8, 8>>>,
                           snug::named<"head", snug::head_with_loss<8, 9, true>>> {};
struct my_trainer : snug::trainer<model, snug::batch<1, 4>, snug::quantization::nf4<64>> {};
static_assert(snug::footprint<my_trainer>.total > snug::bytes{});
