// SPDX-License-Identifier: Apache-2.0
// expected-error: an adapter cannot be merged into the weights: its layer has no 'merged_row'
// expected-error: an_adapter_does_not_say_how_it_is_merged
#include <snug/engine/executor.hpp>
#include <snug/engine/merge.hpp>
#include <snug/plan.hpp>

namespace user {

/// One factor for every output, and a hook with too few arguments.
template <class Linear, class Scheme>
struct adapted : snug::frozen_linear<Linear, Scheme> {
    using base = snug::frozen_linear<Linear, Scheme>;
    using scale = snug::parameter<"scale", snug::shape<Linear::output_width>, snug::initial::ones>;
    using parameters = snug::meta::mp::mp_push_back<typename base::parameters, scale>;
    using adapter_parameters = snug::meta::list<scale>;
#ifdef REFUSED
    static void merged_row(auto const&, snug::index_t, std::span<float>) {}
#else
    static void merged_row(auto const&, auto, snug::index_t, std::span<float>) {}
#endif
};

struct mine {
    using axis = snug::axis::adapters;
    template <snug::text, class>
    static constexpr bool adapts = true;
    template <snug::text, class>
    static constexpr bool trains = false;
    template <class Linear, class Scheme>
    using layer = adapted<Linear, Scheme>;
};

}  // namespace user

struct model : snug::stack<snug::embedding<9, 8>, snug::named<"up", snug::linear<8, 8>>,
                           snug::named<"head", snug::head_with_loss<8, 9, true>>> {};
struct my_trainer : snug::trainer<model, snug::batch<1, 4>, user::mine> {};

void save(my_trainer const& run) { run.save_weights("file.safetensors"); }
