// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstring>
#include <dnnl.hpp>
#include <snug/memory/arena.hpp>
#include <snug/precision/bf16.hpp>
#include <string>
#include <type_traits>
#include <unordered_map>
#include <vector>

/// The matrix products of one training step of a GPT-2 by oneDNN and nothing else: the floor that a step is held
/// against. Forward, the gradient of the input and the gradient of the weight of every linear layer, and of the head
/// over all tokens at once. Weights are the trainer's own and gradients of weights have a place each, as in a step;
/// activations share one place, which is to oneDNN's advantage. T is the type of weights and activations; gradients of
/// weights are fp32. Everything is made by the constructor.
namespace measure {

template <class T>
class products {
  public:
    template <class Trainer>
    explicit products(Trainer& trainer)
        : engine_(dnnl::engine::kind::cpu, 0), stream_(engine_), memory_(bytes_for(trainer)) {
        constexpr auto tokens = Trainer::tokens_per_step;
        std::int64_t longest_input = 0;
        std::int64_t longest_output = 0;
        std::vector<linear> blocks;
        linear head{};
        std::int64_t copies = 1;
        for (auto const& entry : Trainer::composition::parameter_table.entries) {
            bool const is_head = entry.name.view() == "embedding.table";
            if (!entry.is_matrix() || entry.name.view() == "embedding.positions") continue;
            linear const l{entry.dimensions[0], entry.dimensions[1],
                           trainer.weights(entry.name.view()).data(), take<float>(entry.total())};
            longest_output = std::max(longest_output, l.outputs);
            longest_input = std::max(longest_input, l.inputs);
            if (is_head) {
                head = l;
            } else {
                blocks.push_back(l);
                copies = entry.copies;
            }
        }
        auto* const x = take<T>(tokens * longest_input);
        auto* const y = take<T>(tokens * longest_output);
        auto* const d_x = take<T>(tokens * longest_input);
        for (std::int64_t i = 0; i < tokens * longest_input; ++i) x[i] = T(static_cast<float>(i % 7 - 3));
        for (std::int64_t i = 0; i < tokens * longest_output; ++i) y[i] = T(static_cast<float>(i % 5 - 2));

        auto const forward = [&](linear const& l) {
            add({tokens, l.outputs, l.inputs}, matrix<T>{x}, matrix<T>{l.weight, true}, y);
        };
        auto const backward = [&](linear const& l) {
            add({l.outputs, l.inputs, tokens}, matrix<T>{y, true}, matrix<T>{x}, l.gradient);
            add({tokens, l.inputs, l.outputs}, matrix<T>{y}, matrix<T>{l.weight}, d_x);
        };
        for (std::int64_t block = 0; block < copies; ++block)
            for (auto const& l : blocks) forward(l.copy(block));
        forward(head);
        backward(head);
        for (std::int64_t block = copies - 1; block >= 0; --block)
            for (auto l = blocks.rbegin(); l != blocks.rend(); ++l) backward(l->copy(block));

        scratch_ = snug::arena(snug::bytes{static_cast<std::int64_t>(scratch_size_) + 64});
        for (auto& p : products_)
            p.arguments.insert({DNNL_ARG_SCRATCHPAD, dnnl::memory(p.scratch, engine_, scratch_.data())});
    }

    void run() {
        for (auto& p : products_) p.primitive.execute(stream_, p.arguments);
        stream_.wait();
    }

    /// Multiplications and additions of one run.
    double operations() const { return operations_; }

  private:
    struct linear {
        std::int64_t outputs;
        std::int64_t inputs;
        T* weight;
        float* gradient;

        linear copy(std::int64_t block) const {
            return {outputs, inputs, weight + block * outputs * inputs, gradient + block * outputs * inputs};
        }
    };
    template <class Element>
    struct matrix {
        Element* data;
        bool transposed = false;
    };
    struct sizes {
        std::int64_t m, n, k;
    };
    struct product {
        dnnl::matmul primitive;
        std::unordered_map<int, dnnl::memory> arguments;
        dnnl::memory::desc scratch;
    };

    template <class Element>
    static constexpr auto type_of =
        std::is_same_v<Element, float> ? dnnl::memory::data_type::f32 : dnnl::memory::data_type::bf16;

    template <class Result>
    void add(sizes s, matrix<T> a, matrix<T> b, Result* c) {
        using tag = dnnl::memory::format_tag;
        dnnl::memory::desc const left({s.m, s.k}, type_of<T>, a.transposed ? tag::ba : tag::ab);
        dnnl::memory::desc const right({s.k, s.n}, type_of<T>, b.transposed ? tag::ba : tag::ab);
        dnnl::memory::desc const result({s.m, s.n}, type_of<Result>, tag::ab);
        dnnl::primitive_attr attributes;
        attributes.set_scratchpad_mode(dnnl::scratchpad_mode::user);
        dnnl::matmul::primitive_desc const description(dnnl::matmul::desc(left, right, result), attributes,
                                                       engine_);
        scratch_size_ = std::max(scratch_size_, description.scratchpad_desc().get_size());
        products_.push_back({dnnl::matmul(description),
                             {{DNNL_ARG_SRC, dnnl::memory(left, engine_, a.data)},
                              {DNNL_ARG_WEIGHTS, dnnl::memory(right, engine_, b.data)},
                              {DNNL_ARG_DST, dnnl::memory(result, engine_, c)}},
                             description.scratchpad_desc()});
        operations_ += 2.0 * static_cast<double>(s.m) * static_cast<double>(s.n) * static_cast<double>(s.k);
    }

    template <class Trainer>
    static snug::bytes bytes_for(Trainer const&) {
        std::int64_t total = 0;
        std::int64_t longest = 0;
        for (auto const& entry : Trainer::composition::parameter_table.entries) {
            total += entry.is_matrix() ? entry.total() * 4 + 64 : 0;
            longest = std::max({longest, entry.dimensions[0], entry.dimensions[1]});
        }
        return snug::bytes{
            total + 3 * (Trainer::tokens_per_step * longest * static_cast<std::int64_t>(sizeof(T)) + 64)};
    }
    template <class Element>
    Element* take(std::int64_t count) {
        auto* const result = memory_.data() + taken_;
        taken_ += (count * static_cast<std::int64_t>(sizeof(Element)) + 63) / 64 * 64;
        return reinterpret_cast<Element*>(result);
    }

    dnnl::engine engine_;
    dnnl::stream stream_;
    snug::arena memory_;
    snug::arena scratch_;
    std::int64_t taken_ = 0;
    std::size_t scratch_size_ = 0;
    std::vector<product> products_;
    double operations_ = 0;
};

}  // namespace measure
