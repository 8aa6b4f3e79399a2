// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <charconv>
#include <snug/adapters/adapter.hpp>
#include <snug/models/numbers.hpp>
#include <snug/optimizers/optimizer.hpp>
#include <snug/quantization/scheme.hpp>
#include <string>
#include <string_view>
#include <type_traits>

/// What gives the numbers of a trainer their meaning, and is in no tensor's shape: heads, rotary base,
/// epsilon, an adapter's alpha. As lines of text, `name: value`, which a snapshot holds and `resume`
/// compares. What only moves memory (checkpointing, accumulation, batch, pages, place) is not in it.
namespace snug::SNUG_TARGET::engine {

template <class T>
std::string_view as_written() {
    return __PRETTY_FUNCTION__;
}

/// What a compiler writes without the namespace of the processor (snug/target.hpp): what numbers mean does not depend
/// on that.
inline std::string without_target(std::string_view text) {
    // "x86_v3::", or nothing where a compiler leaves it out by itself.
    auto const target = [] {
        auto whole = as_written<error>();
        whole.remove_prefix(whole.find("T = snug::") + 10);
        return whole.substr(0, whole.find("error"));
    }();
    std::string result(text);
    if (!target.empty())
        for (auto at = result.find(target); at != result.npos; at = result.find(target, at))
            result.erase(at, target.size());
    return result;
}

/// The name of the type T in what a compiler writes of a function of T: with its namespaces and without
/// template arguments, the same from every compiler.
inline std::string name_in(std::string_view written) {
    auto const whole = without_target(written);
    std::string_view text = whole;
    text.remove_prefix(text.find("T = ") + 4);
    if (text.find("<lambda(") != text.npos || text.find("(lambda at") != text.npos) return "a lambda";
    text = text.substr(0, text.find_first_of(";]<"));
    std::string name(text);
    for (std::string_view const hidden : {"{anonymous}::", "(anonymous namespace)::"})
        for (auto at = name.find(hidden); at != name.npos; at = name.find(hidden))
            name.erase(at, hidden.size());
    // A type inside a function.
    if (auto const end = name.rfind(")::"); end != name.npos) name.erase(0, end + 3);
    return name;
}

template <class T>
std::string name_of_type() {
#if defined(_MSC_VER) && !defined(__clang__)
#error "snug: the names of types are read as g++ and clang++ write them"
#endif
    return name_in(as_written<T>());
}

template <class T>
std::string text_of_type();

template <int N>
struct preferred : preferred<N - 1> {};
template <>
struct preferred<0> {};

inline std::string in_brackets(std::initializer_list<std::string> arguments) {
    std::string text;
    for (auto const& one : arguments) (text += text.empty() ? "<" : ", ") += one;
    return text.empty() ? text : text + ">";
}

/// The template arguments of the type T in what a compiler writes of a function of T, but for the ends of
/// numbers ("2l", "2L", "2"): of two compilers one may refuse what the other wrote, but none takes the one for
/// the other.
inline std::string arguments_in(std::string_view written) {
    auto const whole = without_target(written);
    std::string_view text = whole;
    text.remove_prefix(text.find("T = ") + 4);
    int depth = 0;
    std::string arguments;
    for (char const c : text) {
        if (depth == 0 && (c == ';' || c == ']')) break;
        depth += c == '<' ? 1 : 0;
        bool const ends_a_number = (c == 'l' || c == 'L' || c == 'u' || c == 'U') && !arguments.empty() &&
                                   arguments.back() >= '0' && arguments.back() <= '9';
        if (depth > 0 && c != ' ' && !ends_a_number) arguments += c;
        depth -= c == '>' ? 1 : 0;
    }
    return arguments;
}

// Compilers leave out defaulted arguments or write them, and write numbers in several ways: so a type is
// taken apart.
template <template <index_t...> class T, index_t... N>
std::string text_of_arguments(std::type_identity<T<N...>>, preferred<4>) {
    return in_brackets({std::to_string(N)...});
}
template <template <class...> class T, class... A>
std::string text_of_arguments(std::type_identity<T<A...>>, preferred<4>) {
    return in_brackets({text_of_type<A>()...});
}
template <template <index_t, class...> class T, index_t N, class... A>
std::string text_of_arguments(std::type_identity<T<N, A...>>, preferred<3>) {
    return in_brackets({std::to_string(N), text_of_type<A>()...});
}
template <template <index_t, index_t, class...> class T, index_t N, index_t M, class... A>
std::string text_of_arguments(std::type_identity<T<N, M, A...>>, preferred<3>) {
    return in_brackets({std::to_string(N), std::to_string(M), text_of_type<A>()...});
}
template <template <index_t, index_t, index_t, class...> class T, index_t N, index_t M, index_t K, class... A>
std::string text_of_arguments(std::type_identity<T<N, M, K, A...>>, preferred<3>) {
    return in_brackets({std::to_string(N), std::to_string(M), std::to_string(K), text_of_type<A>()...});
}
template <template <index_t, index_t, index_t, index_t, class...> class T, index_t N, index_t M, index_t K,
          index_t J, class... A>
std::string text_of_arguments(std::type_identity<T<N, M, K, J, A...>>, preferred<3>) {
    return in_brackets(
        {std::to_string(N), std::to_string(M), std::to_string(K), std::to_string(J), text_of_type<A>()...});
}
template <template <index_t, index_t, bool, class...> class T, index_t N, index_t M, bool B, class... A>
std::string text_of_arguments(std::type_identity<T<N, M, B, A...>>, preferred<3>) {
    return in_brackets({std::to_string(N), std::to_string(M), B ? "true" : "false", text_of_type<A>()...});
}
// Other kinds of arguments as the compiler writes them.
template <class T>
std::string text_of_arguments(std::type_identity<T>, preferred<0>) {
    return arguments_in(__PRETTY_FUNCTION__);
}

/// "snug::rms_norm<32, std::ratio<1, 100000>>".
template <class T>
std::string text_of_type() {
    return name_of_type<T>() + text_of_arguments(std::type_identity<T>{}, preferred<4>{});
}

class meaning {
  public:
    template <class T>
    meaning& add(std::string_view name, T const& value) {
        (lines_ += name) += ": ";
        if constexpr (std::is_same_v<T, bool>) lines_ += value ? "yes" : "no";
        else if constexpr (std::is_convertible_v<T, std::string_view>) lines_ += std::string_view(value);
        else {
            char digits[32];
            lines_.append(digits, std::to_chars(digits, digits + sizeof digits, value).ptr);
        }
        lines_ += '\n';
        return *this;
    }
    /// "layer blocks.norm1: ..."; of a layer without a name "layer: ...".
    void add_layer(path const& where, std::string const& what) {
        auto const name = where.length == 0 ? std::string("layer") : "layer " + std::string(where.view());
        add(name, what);
    }
    std::string const& lines() const { return lines_; }

  private:
    std::string lines_;
};

inline void add_numbers(meaning& to, model_numbers const& numbers) {
    // All of them, the context too where it is a number of positions; a new one has to be named here to
    // compile. A sliding window stands in the layers that have it, and the divisors are a file's, not a
    // trainer's.
    auto const& [family, layers, heads, kv_heads, head_width, width, mlp, vocabulary, context, sliding_window,
                 no_rope_interval, rope_theta, norm_epsilon, tied_head, qkv_bias, rope_scaling,
                 rope_divisors] = numbers;
    to.add("family", family).add("layers", layers).add("heads", heads).add("kv_heads", kv_heads);
    to.add("head_width", head_width).add("width", width).add("mlp", mlp).add("vocabulary", vocabulary);
    if (rope_theta == 0) to.add("context", context);
    to.add("rope_theta", rope_theta).add("norm_epsilon", norm_epsilon);
    auto const& [factor, low_frequency_factor, high_frequency_factor, original_context] = rope_scaling;
    to.add("rope_scaling.factor", factor).add("rope_scaling.low_frequency_factor", low_frequency_factor);
    to.add("rope_scaling.high_frequency_factor", high_frequency_factor);
    to.add("rope_scaling.original_context", original_context);
    to.add("tied_head", tied_head).add("qkv_bias", qkv_bias);
    if (no_rope_interval != 0) to.add("no_rope_interval", no_rope_interval);
}

template <class L>
struct without_name {
    using type = L;
};
template <given_name L>
struct without_name<L> {
    using type = typename L::unnamed;
};

/// What a layer is, then what is in it.
template <class L>
void add_layers(meaning& to, path where) {
    using layer_type = typename without_name<L>::type;
    where = where / layer::name<L>();
    if constexpr (layer::composite<L>) {
        std::string text = name_of_type<layer_type>();
        if constexpr (requires { layer_type::blocks; })
            text += " of " + std::to_string(layer_type::blocks) + " blocks";
        to.add_layer(where, text + ", " + std::to_string(meta::size<typename L::children>) + " inside");
        []<class... Children>(meaning& more, path inside, meta::list<Children...>*) {
            (add_layers<Children>(more, inside), ...);
        }(to, where, static_cast<typename L::children*>(nullptr));
    } else if constexpr (snug::detail::linear_layer<L>) {
        // The tensors say the rest; what it was initialised with no longer matters.
        to.add_layer(where, name_of_type<layer_type>());
    } else {
        to.add_layer(where, text_of_type<layer_type>());
    }
}

/// The columns of a layer that an adapter changes: "q_proj 0 + 32, v_proj 48 + 16".
template <class L>
void add_adapted(meaning& to, path where) {
    where = where / layer::name<L>();
    if constexpr (layer::composite<L>) {
        []<class... Children>(meaning& more, path inside, meta::list<Children...>*) {
            (add_adapted<Children>(more, inside), ...);
        }(to, where, static_cast<typename L::children*>(nullptr));
    } else if constexpr (requires { typename L::adapter_parameters; }) {
        std::string text;
        if constexpr (requires { L::columns::first; })
            for (std::size_t i = 0; i < L::columns::first.size(); ++i)
                text += (i == 0 ? "" : ", ") + std::string(L::columns::name[i]) + " " +
                        std::to_string(L::columns::first[i]) + " + " + std::to_string(L::columns::count[i]);
        to.add("adapted " + std::string(where.view()), text);
    }
}

template <class C>
std::string meaning_of() {
    using given = typename C::chosen::model;
    using adapter = typename C::adapters;
    using optimizer = typename C::optimizer;
    meaning result;
    if constexpr (std::is_same_v<typename C::quantization, quantization::none>) {
        result.add("quantization", "none");
    } else {
        auto const name = quantization::name_of<typename C::quantization>();
        result.add("quantization", name == "unnamed" ? text_of_type<typename C::quantization>() : name);
    }
    if constexpr (std::is_same_v<adapter, adapters::none>) {
        result.add("adapter", "none");
    } else if constexpr (requires {
                             adapter::rank;
                             adapter::alpha;
                             adapter::is_rank_stabilized;
                             adapter::dropout;
                             adapter::has_magnitude;
                         }) {
        result.add("adapter", adapter::has_magnitude ? "dora" : "lora").add("rank", adapter::rank);
        result.add("alpha", adapter::alpha).add("rank_stabilized", adapter::is_rank_stabilized);
        result.add("dropout", adapter::dropout);
    } else {
        result.add("adapter", text_of_type<adapter>());
    }
    add_adapted<typename C::model::body>(result, {});
    // The arithmetic of an update, whatever the policy that chooses it is called, and wherever the states
    // lie.
    using rule = decltype(optimizer::rule(typename optimizer::options{}, update_numbers{}));
    // All lambdas have one name; the policy's own says which it is.
    auto const name_of_rule = text_of_type<rule>();
    result.add("optimizer", name_of_rule.starts_with("a lambda") ? text_of_type<optimizer>() : name_of_rule);
    if constexpr (requires { add_numbers(result, given::numbers); }) add_numbers(result, given::numbers);
    add_layers<typename given::body>(result, {});
    add_layers<typename given::head>(result, {});
    return result.lines();
}

/// Where two such texts differ first, in words: what the one has there, and what the other.
inline std::pair<std::string_view, std::string_view> first_difference(std::string_view one,
                                                                      std::string_view other) {
    auto const take = [](std::string_view& rest) {
        auto const end = std::min(rest.find('\n'), rest.size());
        auto const line = rest.substr(0, end);
        rest.remove_prefix(std::min(end + 1, rest.size()));
        return line;
    };
    while (!one.empty() || !other.empty()) {
        auto const a = take(one), b = take(other);
        if (a != b) return {a, b};
    }
    return {};
}

}  // namespace snug::SNUG_TARGET::engine
