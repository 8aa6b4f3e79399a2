// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <snug/engine/composition.hpp>
#include <snug/engine/store.hpp>
#include <snug/engine/units.hpp>
#include <snug/kernels/elementwise.hpp>
#include <snug/ops/pages.hpp>

namespace snug::SNUG_TARGET {

/// Walks over a model and runs it: turns references into addresses by the plan and calls the layers. The same
/// traversal as the recorder's; no arithmetic here.
template <class Composition>
class executor : public in_order {
  public:
    using model = typename Composition::model;
    using setting = typename Composition::setting;

    using backend = typename setting::backend;

    executor(engine::memory_view<Composition> memory, backend on, span_of_tokens span)
        : memory_(memory), on_(on), span_(span) {}

    /// Rows hold several examples, which begin where the staged `starts` say.
    void separate_examples() { starts_ = reinterpret_cast<std::int32_t const*>(address({model::starts})); }

    /// The walk that follows is training: layers with dropout draw from the key in the numbers of the step, and what is
    /// offloaded travels.
    void train() { trains_ = true; }

    /// Units of sharded parameters come and go by these.
    void in(engine::unit_rooms<Composition>& rooms) { rooms_ = &rooms; }

    /// Runs a layer, its unit's weights and gradients being where they belong.
    template <class Call>
    void leaf(Call const& of) const {
        visit_units<Call>();
        run(of);
    }

    /// On its way beside the calls that follow. Where no backward comes, nothing waits for it.
    void offload(offload_step step, bool happens, int slot, buffer_reference here,
                 buffer_reference away) const {
        if constexpr (Composition::offloads)
            if (happens && trains_) {
                slot += ops::page_slots;
                auto const size = static_cast<std::size_t>(Composition::buffer(here.id).stride);
                switch (step) {
                case offload_step::leaves:
                    ops::page_out(on_, slot, address(away), address(here), size);
                    break;
                case offload_step::has_left: ops::page_is_away(on_, slot); break;
                case offload_step::returns:
                    ops::page_in(on_, slot, address(here), address(away), size);
                    break;
                case offload_step::has_returned: ops::page_is_here(on_, slot); break;
                }
            }
    }

    /// The loss without gradients.
    void evaluate() const {
        visit_units<head_of<model>, false>();
        run_head<false, typename model::nodes::head, typename model::nodes::embedding>({model::output},
                                                                                       {model::targets});
    }

    /// Logits of the last row of the span, vocabulary wide.
    auto last_logits() const {
        using L = typename model::head;
        visit_units<head_of<model>, false>();
        auto const rows = activations<L::input_width>({model::output});
        return L::logits(head_call<typename model::nodes::head, typename model::nodes::embedding>(),
                         rows.rows_from(rows.rows - 1, 1))
            .row(0);
    }

  protected:
    /// Of the model, asked for when somebody calls its head: a walker over one layer has none.
    template <class Model>
    using head_of = calls::loss<typename Model::nodes::head, typename Model::nodes::embedding>;

    /// What a call needs of sharded units comes to where it is needed.
    template <class Call, bool AddsGradients = true>
    void visit_units() const {
        if constexpr (Composition::reduces_each_micro_batch || Composition::gathers_weights)
            if (rooms_ != nullptr)
                sharding::for_each_visit_of<Call>(Composition::groups, [&](sharding::visit next) {
                    next.adds_gradients = next.adds_gradients && AddsGradients;
                    rooms_->visit(next, block());
                });
    }

    /// Of what is not repeated, the one copy there is, whichever block runs.
    std::byte* declared(region where, index_t copy) const {
        if (where.declaration < 0) return nullptr;
        auto const copies =
            Composition::plan.declarations[static_cast<std::size_t>(where.declaration)].copies;
        return memory_.template at<std::byte>(where, copy % copies);
    }
    std::byte* value(int parameter, index_t copy) const {
        if constexpr (Composition::gathers_weights)
            if (rooms_ != nullptr && Composition::is_gathered(parameter))
                copy = rooms_->weight_slot(Composition::groups.units[static_cast<std::size_t>(parameter)]);
        return declared(Composition::weight_in_use(parameter), copy);
    }
    /// Where backward adds to the gradient of a parameter.
    std::byte* gradient(int parameter, index_t copy) const {
        if constexpr (Composition::reduces_each_micro_batch) {
            if (rooms_ == nullptr) return nullptr;
            copy = rooms_->gradient_slot(Composition::groups.units[static_cast<std::size_t>(parameter)]);
        }
        return declared(Composition::gradient_in_use(parameter), copy);
    }
    std::byte* address(buffer_reference buffer) const {
        return declared(Composition::buffer(buffer.id), buffer.copy < 0 ? block() : buffer.copy);
    }

    /// The rows of this span in a buffer that holds `width` elements of type T for every token.
    template <class T>
    T* rows(buffer_reference buffer, index_t width) const {
        if (buffer.id < 0) return nullptr;
        return reinterpret_cast<T*>(address(buffer)) + span_.past * width;
    }
    template <index_t Width>
    matrix<typename setting::activation, Width> activations(buffer_reference buffer) const {
        return {rows<typename setting::activation>(buffer, Width), span_.rows()};
    }
    template <class L>
    auto input(buffer_reference buffer) const {
        using element = layer::input_element<L, setting>;
        return matrix<element, L::input_width>{rows<element>(buffer, L::input_width), span_.rows()};
    }
    template <bool Added, index_t Width>
    auto sink(buffer_reference to, buffer_reference base) const {
        using element = typename setting::activation;
        if constexpr (Added) return added<element, Width>{activations<Width>(to), activations<Width>(base)};
        else return written<element, Width>{activations<Width>(to)};
    }

    template <template <class, class, class, index_t> class Sink, class Elementwise>
    auto joined(buffer_reference x, buffer_reference to) const {
        using L = typename Elementwise::type;
        return Sink<typename L::elementwise_function, typename setting::statistic,
                    typename setting::activation, L::input_width>{activations<L::input_width>(x),
                                                                  activations<L::input_width>(to)};
    }

    template <class Node, pass Pass = pass::forward>
    auto call() const {
        using L = typename Node::type;
        layer_call<L, setting, Pass> result;
        result.on = on_;
        for (std::size_t i = 0; i < result.values.size(); ++i) {
            auto const parameter = Node::first_parameter + static_cast<int>(i);
            result.values[i] = value(parameter, block());
            result.gradients[i] = gradient(parameter, block());
        }
        std::size_t s = 0;
        meta::for_each<layer::saved<L>>([&]<class B>(B) {
            using element = resolved<typename B::element, setting>;
            result.saved_buffers[s] =
                reinterpret_cast<std::byte*>(rows<element>({Node::saved(static_cast<int>(s))}, B::per_token));
            ++s;
        });
        result.scratch = address({Node::workspace(Pass), 0});
        result.span = span_;
        result.starts = starts_;
        if (trains_)
            result.draws = {&numbers()->dropout_key, static_cast<std::uint64_t>(Node::first_parameter),
                            static_cast<std::uint64_t>(block())};
        return result;
    }

    step_numbers* numbers() const { return memory_.template at<step_numbers>(Composition::places.numbers); }

  private:
    template <class Node, bool Added>
    void run(calls::forward<Node, Added> const& of) const {
        using L = typename Node::type;
        L::forward(call<Node>(), input<L>(of.x), sink<Added, L::output_width>(of.y, of.base));
    }
    template <class Node, class Elementwise>
    void run(calls::forward_through<Node, Elementwise> const& of) const {
        using L = typename Node::type;
        L::forward(call<Node>(), input<L>(of.x),
                   joined<kernels::stored_through, Elementwise>(of.between, of.y));
    }
    template <class Node>
    void run(calls::save<Node> const& of) const {
        using L = typename Node::type;
        auto const its_call = call<Node>();
        if constexpr (layer::saves_without_output<L>) L::save(its_call, input<L>(of.x));
        else L::forward(its_call, input<L>(of.x), discarded<L::output_width>{});
    }
    template <class Node>
    void run(calls::change_input<Node> const& of) const {
        using L = typename Node::type;
        L::change_input(call<Node>(), input<L>(of.x));
    }
    template <class Node, bool Added>
    void run(calls::forward_on_changed<Node, Added> const& of) const {
        using L = typename Node::type;
        L::forward_on_changed(call<Node>(), input<L>(of.x), sink<Added, L::output_width>(of.y, of.base));
    }
    template <class Node, bool Added>
    void run(calls::backward<Node, Added> const& of) const {
        using L = typename Node::type;
        L::backward(call<Node, pass::backward>(), input<L>(of.x), activations<L::output_width>(of.y),
                    activations<L::output_width>(of.dy), sink<Added, L::input_width>(of.dx, of.base));
    }
    template <class Node, class Elementwise>
    void run(calls::backward_through<Node, Elementwise> const& of) const {
        using L = typename Node::type;
        L::backward(call<Node, pass::backward>(), input<L>(of.x), activations<L::output_width>(of.y),
                    activations<L::output_width>(of.dy),
                    joined<kernels::times_derivative, Elementwise>(of.between, of.dx));
    }
    template <class Node, class TiedNode>
    void run(calls::loss<Node, TiedNode> const& of) const {
        run_head<true, Node, TiedNode>(of.x, of.targets);
    }

    template <bool Training, class Node, class TiedNode>
    void run_head(buffer_reference x, buffer_reference targets) const {
        using L = typename Node::type;
        L::template loss<Training>(head_call<Node, TiedNode>(), activations<L::input_width>(x),
                                   reinterpret_cast<std::int32_t const*>(address(targets)),
                                   &numbers()->loss_scale, &numbers()->loss);
    }

    template <class Node, class TiedNode>
    auto head_call() const {
        auto result = call<Node>();
        result.partials = memory_.template at<double>(Composition::places.partial_sums);
        if constexpr (Node::type::tied) {
            result.tied_value = value(TiedNode::first_parameter, 0);
            result.tied_gradient = gradient(TiedNode::first_parameter, 0);
        }
        return result;
    }

    engine::memory_view<Composition> memory_;
    backend on_;
    span_of_tokens span_;
    bool trains_ = false;
    std::int32_t const* starts_ = nullptr;
    engine::unit_rooms<Composition>* rooms_ = nullptr;
};

/// Calls f, which walks, with the rooms that the walker's units need, if any.
template <class Composition, class F>
void with_rooms(engine::store<Composition>& s, executor<Composition>& walker, engine::walk how, F const& f) {
    if constexpr (Composition::gathers_weights || (Composition::reduces_each_micro_batch)) {
        if (!Composition::gathers_weights && how != engine::walk::training) return f();
        engine::unit_rooms<Composition> rooms(s, how);
        walker.in(rooms);
        f();
        rooms.finish();
    } else {
        f();
    }
}

/// Visits the leaves of the body block by block instead of running them: f<Node>(call, block).
template <class Composition, class F>
class leaf_visitor : public executor<Composition> {
  public:
    leaf_visitor(engine::memory_view<Composition> memory, typename Composition::backend on, F const& f)
        : executor<Composition>(memory, on, {1, 1, 0}), f_(f) {}

    template <class Call>
    void leaf(Call const&) const {
        this->template visit_units<Call>();
        visit<typename Call::node>();
        if constexpr (requires { typename Call::elementwise; }) visit<typename Call::elementwise>();
    }

  private:
    template <class Node>
    void visit() const {
        f_.template operator()<Node>(this->template call<Node>(), this->block());
    }

    F const& f_;
};

/// `on`: where operations would run that a leaf is asked for; made by default when it is asked for none.
template <class Composition, class F>
void for_each_leaf(engine::memory_view<Composition> memory, typename Composition::backend on, F const& f) {
    leaf_visitor<Composition, F> visitor(memory, on, f);
    Composition::model::walk_forward(visitor);
}

/// The same where the trainer is; all ranks do it when weights are sharded.
template <class Composition, class F>
void for_each_leaf(engine::store<Composition>& s, F const& f) {
    leaf_visitor<Composition, F> visitor(s.view(), s.on(), f);
    if constexpr (Composition::gathers_weights) {
        engine::unit_rooms<Composition> rooms(s, engine::walk::forward);
        visitor.in(rooms);
        Composition::model::walk_forward(visitor);
        rooms.finish();
    } else {
        Composition::model::walk_forward(visitor);
    }
}

}  // namespace snug::SNUG_TARGET
