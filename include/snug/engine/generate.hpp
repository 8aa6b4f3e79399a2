// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <algorithm>
#include <cmath>
#include <limits>
#include <snug/diagnose/require.hpp>
#include <snug/engine/executor.hpp>
#include <snug/engine/options.hpp>
#include <snug/engine/store.hpp>
#include <snug/engine/verdicts.hpp>
#include <snug/ops/copy.hpp>
#include <snug/random.hpp>
#include <span>
#include <string>
#include <utility>
#include <vector>

/// Text token by token.
namespace snug::SNUG_TARGET::engine {

inline void require_sequence(std::span<std::int32_t const> sequence, index_t longest, index_t vocabulary) {
    auto const length = static_cast<index_t>(sequence.size());
    if (length == 0 || length > longest)
        throw error({}, "a sequence of " + std::to_string(length) + " tokens",
                    "1 to " + std::to_string(longest) + ", the tokens of the batch's sequences");
    for (std::size_t i = 0; i < sequence.size(); ++i)
        if (sequence[i] < 0 || sequence[i] >= vocabulary)
            throw error({},
                        "token " + std::to_string(sequence[i]) + " at position " + std::to_string(i) +
                            " of the sequence",
                        "a token of the vocabulary of " + std::to_string(vocabulary));
}

/// Logits of the token after `sequence`, of which `known` tokens at the start are those of the previous call.
template <class C>
std::span<typename C::precision::activation const> compute_logits(store<C>& s,
                                                                  std::span<std::int32_t const> sequence,
                                                                  index_t known = 0) {
    constexpr auto vocabulary = C::model::vocabulary;
    auto const length = static_cast<index_t>(sequence.size());
    // Where all blocks' activations are kept, keys and values of earlier tokens still lie where attention
    // left them.
    if (!C::keeps_all_activations || known < 0 || known >= length || known > s.done.kept) known = 0;
    s.done.kept = length;
    ops::copy_in(s.on(), s.template at<std::int32_t>(C::buffer(C::model::tokens)), sequence.data(),
                 sequence.size_bytes());
    executor<C> walker(s.view(), s.on(), {1, length - known, known});
    typename C::precision::activation const* logits = nullptr;
    with_rooms(s, walker, walk::evaluation, [&] {
        C::model::walk_forward(walker);
        logits = walker.last_logits();
    });
    if constexpr (!in_program_memory<typename C::backend>) {
        s.logits.resize(static_cast<std::size_t>(vocabulary));
        ops::copy_out(s.on(), s.logits.data(), logits,
                      s.logits.size() * sizeof(typename C::precision::activation));
        logits = s.logits.data();
    }
    return {logits, static_cast<std::size_t>(vocabulary)};
}

/// Draws from softmax(logits / temperature), restricted to the `top_k` likeliest when that is not 0.
template <class Logits>
std::int32_t sample(Logits logits, generation_options const& options, std::uint64_t draw,
                    std::vector<std::pair<float, std::int32_t>>& room) {
    room.clear();
    for (std::size_t i = 0; i < logits.size(); ++i) {
        auto const logit = static_cast<float>(logits[i]);
        // A head may rule a token out with minus infinity.
        if (!(logit <= std::numeric_limits<float>::max()))
            throw error({}, "a logit of " + detail::number_as_text(logit) + " for token " + std::to_string(i),
                        "finite ones: weights that are finite and not too large");
        room.emplace_back(logit, static_cast<std::int32_t>(i));
    }
    auto const likelier = [](auto const& a, auto const& b) {
        return a.first > b.first || (a.first == b.first && a.second < b.second);
    };
    auto const best = *std::min_element(room.begin(), room.end(), likelier);
    if (std::isinf(best.first)) throw error({}, "logits that rule out every token", "a finite one");
    if (options.temperature <= 0) return best.second;
    if (options.top_k > 0 && options.top_k < static_cast<index_t>(room.size())) {
        std::nth_element(room.begin(), room.begin() + (options.top_k - 1), room.end(), likelier);
        room.resize(static_cast<std::size_t>(options.top_k));
        std::sort(room.begin(), room.end(), likelier);  // the draw must not depend on how the selection went
    }
    double total = 0;
    for (auto& [value, token] : room) {
        value = static_cast<float>(std::exp(static_cast<double>(value - best.first) / options.temperature));
        total += static_cast<double>(value);
    }
    double rest = static_cast<double>(random::uniform(options.seed, 0, draw)) * total;
    auto drawn = best.second;
    for (auto const& [value, token] : room) {
        if (value <= 0) continue;
        drawn = token;
        rest -= static_cast<double>(value);
        if (rest < 0) break;
    }
    return drawn;
}

/// Equal on ranks that generate the same text.
inline std::uint64_t hash_of(std::span<std::int32_t const> tokens, generation_options const& how = {}) {
    distributed::fnv1a sum;
    sum.add(how.tokens).add(how.temperature).add(how.top_k).add(how.seed);
    for (auto const all : {tokens, std::span<std::int32_t const>(how.ends)}) {
        sum.add(all.size());
        for (auto const token : all) sum.add(token);
    }
    return sum.value();
}

/// `check()`, on all ranks for the same text where they hold shares of the weights; elsewhere each goes its own way.
template <class C, class F>
void agree_on_text(store<C> const& s, std::span<std::int32_t const> tokens, generation_options const& how,
                   F const& check) {
    if constexpr (C::gathers_weights) {
        together(s, "agreement on a text", check);
        require_same(s, "another text or other options", [&] { return hash_of(tokens, how); });
    } else {
        check();
    }
}

/// `compute_logits`, asked for by the program.
template <class C>
auto next_logits(store<C>& s, std::span<std::int32_t const> sequence, index_t known) {
    agree_on_text(s, sequence, {.tokens = known},
                  [&] { require_sequence(sequence, C::batch::tokens, C::model::vocabulary); });
    return compute_logits(s, sequence, known);
}

template <class C>
std::vector<std::int32_t> generate_tokens(store<C>& s, std::span<std::int32_t const> prompt,
                                          generation_options const& how) {
    agree_on_text(s, prompt, how, [&] {
        how.check(C::model::vocabulary);
        require_sequence(prompt, C::batch::tokens, C::model::vocabulary);
    });
    std::vector<std::int32_t> sequence(prompt.begin(), prompt.end());
    std::vector<std::pair<float, std::int32_t>> room;
    room.reserve(static_cast<std::size_t>(C::model::vocabulary));
    index_t known = 0;
    for (index_t i = 0; i < how.tokens && static_cast<index_t>(sequence.size()) <= C::batch::tokens; ++i) {
        auto const logits = compute_logits(s, sequence, known);
        known = static_cast<index_t>(sequence.size());
        auto const token = sample(logits, how, static_cast<std::uint64_t>(i), room);
        if (std::find(how.ends.begin(), how.ends.end(), token) != how.ends.end()) break;
        sequence.push_back(token);
    }
    return {sequence.begin() + static_cast<std::ptrdiff_t>(prompt.size()), sequence.end()};
}

}  // namespace snug::SNUG_TARGET::engine
