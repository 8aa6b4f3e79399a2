// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <algorithm>
#include <array>
#include <charconv>
#include <cmath>
#include <cstddef>
#include <limits>
#include <optional>
#include <snug/diagnose/require.hpp>
#include <snug/error.hpp>
#include <snug/layers/tables.hpp>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace snug::SNUG_TARGET {

/// Numbers of the update for some of the parameters, by name: `run.options.groups` is a list of these.
///
///     run.options.groups = {{.where = "blocks.0-3.*", .learning_rate = 0.5},  // the first four blocks
///                           {.where = "embedding.*", .weight_decay = 0.0},    // no decay
///                           {.where = "*.lora_B", .learning_rate = 16.0}};    // LoRA+ (arXiv 2402.12354)
///
/// Where several groups match a parameter, the last that says a number decides on it; a number that none says is what
/// it is without groups.
struct parameter_group {
    /// A pattern of whole names, such as "blocks.3.qkv.weight". `*` stands for any characters, "0-3" between dots for
    /// the numbers of these blocks; a name as in `snug::parameters<T>`, "blocks.qkv.weight", for all blocks. One that
    /// matches nothing that trains is refused before the step.
    std::string where{};
    std::optional<double> learning_rate{};  ///< a factor of the learning rate of the step
    std::optional<double> weight_decay{};   ///< in place of options.weight_decay, for vectors too
};

namespace optimizers {

namespace patterns {

/// The numbers that a part of a pattern, "0-3", stands for.
struct number_range {
    index_t first = 0;
    index_t last = -1;
    std::size_t length = 0;  ///< of the part; 0: it is none
};

/// The digits at the beginning of a text as a number.
struct leading_number {
    index_t value = 0;
    std::size_t length = 0;  ///< 0: there are none, or more than a number holds
};
inline leading_number number_at(std::string_view text) {
    leading_number found;
    if (text.empty() || text[0] < '0' || text[0] > '9') return found;
    auto const [end, problem] = std::from_chars(text.data(), text.data() + text.size(), found.value);
    if (problem == std::errc{}) found.length = static_cast<std::size_t>(end - text.data());
    return found;
}
inline bool ends_part(std::string_view text, std::size_t at) { return at == text.size() || text[at] == '.'; }
inline bool begins_part(std::string_view text, std::size_t at) { return at == 0 || text[at - 1] == '.'; }

inline number_range range_at(std::string_view text) {
    auto const first = number_at(text);
    if (first.length == 0 || first.length == text.size() || text[first.length] != '-') return {};
    auto const last = number_at(text.substr(first.length + 1));
    auto const length = first.length + 1 + last.length;
    if (last.length == 0 || !ends_part(text, length)) return {};
    return {first.value, last.value, length};
}

/// The whole name is as the pattern says.
inline bool matches(std::string_view pattern, std::string_view name) {
    constexpr auto none = std::string_view::npos;
    std::size_t p = 0, n = 0, star = none, after_star = 0;
    while (true) {
        if (p < pattern.size() && pattern[p] == '*') {
            star = p++;
            after_star = n;
            continue;
        }
        if (p == pattern.size() && n == name.size()) return true;
        if (p < pattern.size() && n < name.size()) {
            if (begins_part(pattern, p) && begins_part(name, n)) {
                auto const range = range_at(pattern.substr(p));
                auto const number = number_at(name.substr(n));
                if (range.length > 0 && number.length > 0 && ends_part(name, n + number.length) &&
                    range.first <= number.value && number.value <= range.last) {
                    p += range.length;
                    n += number.length;
                    continue;
                }
            }
            if (pattern[p] == name[n]) {
                ++p;
                ++n;
                continue;
            }
        }
        if (star == none || after_star == name.size()) return false;
        p = star + 1;
        n = ++after_star;
    }
}

/// Letters to change, leave out or put in until the pattern matches the name.
inline std::size_t letters_apart(std::string_view pattern, std::string_view name) {
    std::vector<std::size_t> row(name.size() + 1);
    for (std::size_t j = 0; j <= name.size(); ++j) row[j] = j;
    for (char const c : pattern) {
        auto before = row[0];  // of the row above, one to the left
        row[0] += c != '*';
        for (std::size_t j = 1; j <= name.size(); ++j) {
            auto const above = row[j];
            row[j] = c == '*' ? std::min(above, row[j - 1])
                              : std::min({above + 1, row[j - 1] + 1, before + (c != name[j - 1])});
            before = above;
        }
    }
    return row.back();
}

/// The whole name of a copy of a parameter, without memory of its own: "blocks.3.qkv.weight".
class name_of_copy {
  public:
    name_of_copy(parameter_entry const& entry, index_t copy) {
        auto const name = entry.name.view();
        if (!entry.is_repeated()) {
            add(name);
            return;
        }
        auto const at = static_cast<std::size_t>(entry.block.at);
        add(name.substr(0, at));
        add(".");
        length_ = static_cast<std::size_t>(
            std::to_chars(room_.data() + length_, room_.data() + room_.size(), entry.block(copy)).ptr -
            room_.data());
        add(name.substr(at + static_cast<std::size_t>(entry.block.placeholder)));
    }
    std::string_view view() const { return {room_.data(), length_}; }

  private:
    void add(std::string_view part) {
        std::copy(part.begin(), part.end(), room_.begin() + static_cast<std::ptrdiff_t>(length_));
        length_ += part.size();
    }
    std::array<char, path::capacity + 24> room_;
    std::size_t length_ = 0;
};

}  // namespace patterns

/// What the update of a copy of a parameter multiplies the learning rate with, and its weight decay.
struct group_numbers {
    double learning_rate = 1;
    double weight_decay = 0;

    friend bool operator==(group_numbers const&, group_numbers const&) = default;
};

/// Matrices decay and vectors do not, unless a group says otherwise.
inline group_numbers numbers_of(parameter_entry const& entry, index_t copy,
                                std::span<parameter_group const> groups, double weight_decay) {
    group_numbers result{1, entry.is_matrix() ? weight_decay : 0};
    if (groups.empty()) return result;
    patterns::name_of_copy const name(entry, copy);
    for (auto const& group : groups) {
        if (!patterns::matches(group.where, name.view()) &&
            !patterns::matches(group.where, entry.name.view()))
            continue;
        result.learning_rate = group.learning_rate.value_or(result.learning_rate);
        result.weight_decay = group.weight_decay.value_or(result.weight_decay);
    }
    return result;
}

/// f(first, copies, numbers) for copies of a parameter that follow each other and have the same numbers.
template <class F>
void for_each_run_of_copies(parameter_entry const& entry, std::span<parameter_group const> groups,
                            double weight_decay, F const& f) {
    auto const copies = groups.empty() ? 1 : entry.copies;
    auto numbers = numbers_of(entry, 0, groups, weight_decay);
    index_t first = 0;
    for (index_t copy = 1; copy < copies; ++copy) {
        auto const next = numbers_of(entry, copy, groups, weight_decay);
        if (next == numbers) continue;
        f(first, copy - first, numbers);
        first = copy;
        numbers = next;
    }
    f(first, entry.copies - first, numbers);
}

/// Throws `snug::error` for a group that matches no parameter that trains.
inline void require_match(std::span<parameter_entry const> entries, std::size_t which,
                          std::string_view where) {
    std::string nearest;
    auto least = std::numeric_limits<std::size_t>::max();
    bool is_frozen = false;
    auto const is_match = [&](std::string_view name) { return patterns::matches(where, name); };
    for (auto const& entry : entries)
        for (index_t copy = 0; copy < entry.copies; ++copy) {
            patterns::name_of_copy const name(entry, copy);
            if (!is_match(entry.name.view()) && !is_match(name.view())) continue;
            if (entry.is_trained()) return;
            is_frozen = true;
        }
    for (auto const& entry : entries)
        for (index_t copy = 0; copy < (entry.is_trained() ? entry.copies : 0); ++copy) {
            patterns::name_of_copy const name(entry, copy);
            for (auto const of : {name.view(), entry.name.view()})
                if (auto const apart = patterns::letters_apart(where, of); apart < least) {
                    least = apart;
                    nearest = of;
                }
        }
    throw error({},
                "options.groups[" + std::to_string(which) + "].where = \"" + std::string(where) + "\", " +
                    (is_frozen ? "of which nothing trains" : "which no parameter of the model is called"),
                "a pattern of parameters that train, such as \"" + nearest + "\"");
}

/// Throws `snug::error`, by the name of the number, for groups that no step can mean. `learning_rate`: the largest of
/// all steps.
inline void require_groups(std::span<parameter_entry const> entries, std::span<parameter_group const> groups,
                           double weight_decay, double learning_rate) {
    for (std::size_t i = 0; i < groups.size(); ++i) {
        auto const require = [&](char const* name, std::optional<double> const& number) {
            if (number && !(std::isfinite(*number) && *number >= 0))
                detail::require_not_negative("options.groups[" + std::to_string(i) + "]." + name, *number);
        };
        require("learning_rate", groups[i].learning_rate);
        require("weight_decay", groups[i].weight_decay);
        require_match(entries, i, groups[i].where);
    }
    if (groups.empty()) return;
    for (auto const& entry : entries)
        if (entry.is_trained())
            for_each_run_of_copies(
                entry, groups, weight_decay, [&](index_t copy, index_t, group_numbers const& its) {
                    auto const decay = learning_rate * its.learning_rate * its.weight_decay;
                    if (decay > 1)
                        throw error({{}, -1, entry.full_name(copy)},
                                    "options.groups, by which learning rate * weight decay = " +
                                        detail::number_as_text(decay),
                                    "at most 1: a weight decays to 0 and no further");
                });
}

}  // namespace optimizers

}  // namespace snug::SNUG_TARGET
