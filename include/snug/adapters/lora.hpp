// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <ratio>
#include <snug/adapters/adapter.hpp>
#include <snug/adapters/blocks.hpp>
#include <snug/adapters/low_rank_linear.hpp>
#include <snug/layers/embedding.hpp>
#include <snug/layers/head_with_loss.hpp>
#include <snug/layers/norm.hpp>

namespace snug::SNUG_TARGET {

namespace detail {

struct adapter_option {};
struct rank_option : adapter_option {};
struct alpha_option : adapter_option {};
struct dropout_option : adapter_option {};
struct targets_option : adapter_option {};
struct stabilized_option : adapter_option {};
struct also_train_option : adapter_option {};
struct only_in_option : adapter_option {};

constexpr double square_root(double x) {
    double root = x > 1 ? x : 1;
    for (int i = 0; i < 64; ++i) root = (root + x / root) / 2;
    return root;
}

/// PEFT's rule: a target is a module's name, or the end of it after a dot.
constexpr bool is_named_by(std::string_view target, std::string_view name) {
    if (target == name) return true;
    return name.size() > target.size() && name.ends_with(target) &&
           name[name.size() - target.size() - 1] == '.';
}

}  // namespace detail

// Options of lora and dora, in any order ---------------------------------------------------------------------

/// Rank of the update.
template <index_t N>
struct rank {
    using option = detail::rank_option;
    static constexpr index_t value = N;
};
/// The update is scaled by alpha / rank. Default: the rank, so a scale of 1.
template <index_t N>
struct alpha {
    using option = detail::alpha_option;
    static constexpr index_t value = N;
};
/// Part of the inputs that the update does not see in training: `dropout<std::ratio<5, 100>>`. Default: none.
template <class Ratio>
struct dropout {
    using option = detail::dropout_option;
    /// -1, which is refused, where Ratio is no std::ratio.
    static constexpr double value = [] {
        if constexpr (requires { Ratio::num / Ratio::den; })
            return static_cast<double>(Ratio::num) / static_cast<double>(Ratio::den);
        else return -1.0;
    }();
};
/// Every linear layer but the head.
inline constexpr text all_linear{"all-linear"};

namespace detail {

template <text Name>
struct target {
    static constexpr bool matches(std::string_view name) {
        return Name.view() == all_linear.view() || is_named_by(Name.view(), name);
    }
};

}  // namespace detail

/// The linear layers to adapt, by the names of their modules in Hugging Face's model ("q_proj", "self_attn.q_proj"), or
/// where a layer has no such parts by its path or the end of it ("up", "blocks.up"). Default: all of them.
template <text... Names>
struct targets {
    static_assert(sizeof...(Names) > 0,
                  "snug: targets<> of an adapter names nothing to adapt. Name modules, targets<\"q_proj\", "
                  "\"v_proj\">, or leave it out: every linear layer");
    using option = detail::targets_option;
    using list = meta::list<detail::target<Names>...>;
    static constexpr bool select(std::string_view name) {
        return (detail::target<Names>::matches(name) || ...);
    }
};
/// Scales by alpha / √rank (Kalajdzievski, "rsLoRA", arXiv 2312.03732).
struct rank_stabilized {
    using option = detail::stabilized_option;
};
/// What trains besides the update: `norms`, `embeddings` (and a tied head), `head`.
template <class... Kinds>
struct also_train {
    using option = detail::also_train_option;
};

/// The blocks that are adapted, `block_range<First, Last>` or `last_blocks<N>`: PEFT's `layers_to_transform`. Linear layers
/// outside of blocks are not. Blocks before these have no backward, unless something in them trains. Default: all, and all outside.
template <class Blocks>
struct only_in {
    using option = detail::only_in_option;
    using blocks = meta::list<Blocks>;
};

namespace detail {

/// Without `only_in`.
struct everywhere {
    using blocks = meta::list<>;
};

}  // namespace detail

struct norms {
    static std::true_type is(layer::norm const*);
    static std::false_type is(void const*);
};
struct embeddings {
    template <index_t Vocabulary, index_t Width, index_t Positions>
    static std::true_type is(embedding<Vocabulary, Width, Positions> const*);
    template <index_t Width, index_t Vocabulary>
    static std::true_type is(head_with_loss<Width, Vocabulary, true> const*);
    static std::false_type is(void const*);
};
struct head {
    template <index_t Width, index_t Vocabulary>
    static std::true_type is(head_with_loss<Width, Vocabulary, false> const*);
    static std::false_type is(void const*);
};

namespace refusal {

template <class Given>
struct this_is_not_an_option_of_an_adapter {
    static constexpr bool holds = requires {
        typename Given::option;
        requires std::is_base_of_v<snug::detail::adapter_option, typename Given::option>;
    };
    static_assert(holds,
                  "snug: an option of an adapter is rank<N>, alpha<N>, dropout<std::ratio<...>>, "
                  "targets<...>, rank_stabilized, only_in<...> or also_train<...> (see Given)");
};

template <class Option, int Times>
struct an_option_of_an_adapter_is_given_twice {
    static constexpr bool holds = Times < 2;
    static_assert(holds, "snug: an option of an adapter is given twice (see Option)");
};

template <int Times>
struct an_adapter_needs_its_rank {
    static constexpr bool holds = Times > 0;
    static_assert(holds, "snug: an adapter needs its rank: lora<rank<16>>");
};

template <index_t Rank, index_t Alpha>
struct rank_and_alpha_are_positive {
    static constexpr bool holds = Rank > 0 && Alpha > 0;
    static_assert(holds, "snug: rank and alpha of an adapter are positive (see Rank and Alpha)");
};

template <class Given>
struct what_an_adapter_also_trains_is_a_kind_of_layer {
    static constexpr bool holds = requires(void const* layer) { Given::is(layer); };
    static_assert(
        holds,
        "snug: also_train takes snug::norms, snug::embeddings, snug::head, or a struct of your own with "
        "their functions 'is' (see Given)");
};

template <class Given>
struct what_an_adapter_is_only_in_are_blocks {
    static constexpr bool holds = snug::detail::part_in_blocks<Given>;
    static_assert(holds,
                  "snug: only_in of an adapter takes snug::block_range<First, Last> or snug::last_blocks<N> "
                  "(see Given)");
};

template <class Dropout>
struct dropout_is_a_part_below_1 {
    static constexpr bool holds = Dropout::value >= 0 && Dropout::value < 1;
    static_assert(
        holds,
        "snug: dropout is a part from 0 to below 1, written dropout<std::ratio<5, 100>> (see Dropout)");
};

}  // namespace refusal

namespace detail {

template <class... Options>
struct adapter_options {
    template <class Kind>
    static constexpr int times = (static_cast<int>(std::is_same_v<typename Options::option, Kind>) + ... + 0);
    template <class Kind>
    struct of_kind {
        template <class Option>
        using fn = std::is_same<typename Option::option, Kind>;
    };
    template <class Kind, class Default>
    using get = meta::mp::mp_front<
        meta::mp::mp_push_back<meta::mp::mp_copy_if_q<meta::list<Options...>, of_kind<Kind>>, Default>>;
    using accepted = std::conjunction<
        snug::detail::accepted<refusal::an_option_of_an_adapter_is_given_twice<
            typename Options::option, times<typename Options::option>>...>,
        snug::detail::accepted<refusal::an_adapter_needs_its_rank<times<rank_option>>>,
        snug::detail::accepted<refusal::rank_and_alpha_are_positive<get<rank_option, rank<1>>::value,
                                                                    get<alpha_option, alpha<1>>::value>>,
        snug::detail::accepted<
            refusal::dropout_is_a_part_below_1<get<dropout_option, dropout<std::ratio<0>>>>>>;
};

template <class Blocks>
struct adapted_blocks {
    using type = meta::list<>;
};
template <class Range>
struct adapted_blocks<meta::list<Range>> {
    using type = std::conditional_t<
        snug::detail::accepted<refusal::what_an_adapter_is_only_in_are_blocks<Range>>::value,
        meta::list<Range>, meta::list<>>;
};

template <class Kinds>
struct trained_kinds;
template <class... Kinds>
struct trained_kinds<also_train<Kinds...>> {
    using list = meta::list<Kinds...>;

    static constexpr bool are_known =
        snug::detail::accepted<refusal::what_an_adapter_also_trains_is_a_kind_of_layer<Kinds>...>::value;
    template <class L>
    static constexpr bool match = [] {
        if constexpr (are_known)
            return (decltype(Kinds::is(static_cast<L const*>(nullptr)))::value || ... || false);
        else return false;
    }();
};

/// What `lora` and `dora` share.
template <bool HasMagnitude, class... Options>
struct low_rank_adapter {
    using axis = snug::axis::adapters;
    using options = std::conditional_t<
        std::conjunction_v<snug::detail::accepted<refusal::this_is_not_an_option_of_an_adapter<Options>...>>,
        adapter_options<Options...>, adapter_options<snug::rank<1>>>;

    static constexpr bool is_accepted = options::accepted::value;
    static constexpr index_t rank =
        is_accepted ? options::template get<rank_option, snug::rank<1>>::value : 1;
    static constexpr index_t alpha = options::template get<alpha_option, snug::alpha<rank>>::value;
    static constexpr bool is_rank_stabilized = options::template times<stabilized_option> > 0;
    static constexpr double scale =
        static_cast<double>(alpha) /
        (is_rank_stabilized ? square_root(static_cast<double>(rank)) : static_cast<double>(rank));
    static constexpr double dropout =
        options::template get<dropout_option, snug::dropout<std::ratio<0>>>::value;
    static constexpr bool has_magnitude = HasMagnitude;

    using targeted = typename options::template get<targets_option, targets<all_linear>>;
    using trained = trained_kinds<typename options::template get<also_train_option, also_train<>>>;

    using target_list = typename targeted::list;
    using kind_list = typename trained::list;
    static constexpr bool selects(std::string_view name) { return targeted::select(name); }

    /// A layer whose parts have names is known by those.
    template <text Name, index_t In, index_t Out, bool Bias, class Initial, class... Parts>
    static constexpr bool adapts_linear(linear<In, Out, Bias, Initial, parts<Parts...>> const*) {
        return sizeof...(Parts) == 0 ? selects(Name.view()) : (selects(Parts::name.view()) || ... || false);
    }
    /// The one range of blocks that is adapted; empty: all of the model is.
    using blocks =
        typename adapted_blocks<typename options::template get<only_in_option, everywhere>::blocks>::type;
    template <text Name, class Linear>
    static constexpr bool adapts = meta::size<blocks> == 0 &&
                                   adapts_linear<Name>(static_cast<Linear const*>(nullptr));
    template <text, class L>
    static constexpr bool trains = trained::template match<L>;
    template <class Linear, class Scheme>
    using layer = low_rank_linear<Linear, Scheme, low_rank_adapter>;

    /// What Policy, this one or one derived from it, decides of those blocks.
    template <class Policy>
    struct in_blocks {
        template <text Name, class Linear>
        static constexpr bool adapts = adapts_linear<Name>(static_cast<Linear const*>(nullptr));
        template <text Path, class L>
        static constexpr bool trains = Policy::template trains<Path, L>;
        template <class Linear, class Scheme>
        using layer = typename Policy::template layer<Linear, Scheme>;
    };
};

}  // namespace detail

namespace adapters {

/// LoRA (Hu et al., arXiv 2106.09685): options `rank<N>` (required), `alpha<N>`, `targets<...>`, `dropout<...>`,
/// `rank_stabilized`, `only_in<...>`, `also_train<...>`.
template <class... Options>
struct lora : snug::detail::low_rank_adapter<false, Options...> {};

/// DoRA (Liu et al., arXiv 2402.09353): LoRA for the direction of every row of the weight, and its length by itself.
template <class... Options>
struct dora : snug::detail::low_rank_adapter<true, Options...> {};

}  // namespace adapters
}  // namespace snug::SNUG_TARGET
