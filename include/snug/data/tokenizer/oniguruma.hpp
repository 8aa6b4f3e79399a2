// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <snug/error.hpp>
#include <snug/io/file.hpp>
#include <snug/utf8.hpp>

namespace snug::SNUG_TARGET::io::detail {

/// Rewrites an expression of Oniguruma's syntax, which tokenizer.json is written in (the document RE of Oniguruma 6.9), for
/// PCRE2. What is not on its list is refused by name; what is on it comes out spelled so that PCRE2 has one way to read it:
/// characters by number, classes by Unicode properties, no mode but the default one.
///
/// It also marks, as callouts, every place at which a search begins a choice, resumes after one or has run over characters,
/// so that what is done between two marks is bounded by the length of the expression and what the marks lie apart.
class oniguruma {
  public:
    /// `where` has to outlive it.
    oniguruma(std::string_view pattern, place const& where) : pattern_(pattern), where_(where) {}

    /// Throws what is not understood.
    std::string for_pcre2() {
        bool several = false;
        auto const body = alternatives({}, 0, several);
        if (at_ < pattern_.size()) refuse("a ) without its (");
        return body;
    }

  private:
    static constexpr char const* mark = "(?C)";
    struct modes {
        bool caseless = false, dot_all = false;
    };
    /// Items of a class, and expressions of one character that can't be items.
    struct members {
        std::string items;
        std::vector<std::string> others;
    };
    enum class kind { character, group, assertion };
    /// A repeated character, with its marks and without.
    struct pieces {
        std::string marked, bare;
        bool optional = false;       ///< none or one
        bool ends_anything = false;  ///< fails only where its first character does
    };

    [[noreturn]] void refuse(std::string const& what) const {
        throw error(where_, "the regular expression " + printable(pattern_), "one without " + what);
    }

    bool ended() const noexcept { return at_ == pattern_.size(); }
    bool follows(std::string_view text) const noexcept { return pattern_.substr(at_).starts_with(text); }
    bool take(std::string_view text) noexcept {
        if (!follows(text)) return false;
        at_ += text.size();
        return true;
    }
    std::uint32_t character() {
        auto const rest = pattern_.substr(at_);
        auto const length = utf8::character(rest);
        if (length == 0) refuse(rest.empty() ? "an end in the middle" : "bytes that are not UTF-8");
        at_ += length;
        return utf8::code_point(rest);
    }

    static std::string group(std::string const& body) { return "(?:" + body + ')'; }
    static std::string coded(std::uint32_t point) {
        constexpr std::string_view digits = "0123456789abcdef";
        std::string text;
        do text.insert(text.begin(), digits[point % 16]);
        while ((point /= 16) > 0);
        return "\\x{" + text + '}';
    }
    static bool letter(std::uint32_t point) noexcept {
        return (point >= 'a' && point <= 'z') || (point >= 'A' && point <= 'Z');
    }

    // Groups --------------------------------------------------------------------------------------------------

    std::string alternatives(modes mode, int depth, bool& several) {
        if (depth > 100) refuse("groups that are nested 100 deep");
        std::string result;
        std::size_t branch = 0;  // where the alternative begins in the result
        pieces last;
        // At the end of an alternative of the whole a search is over: what it has run over is in the match.
        auto const end_branch = [&] {
            if (depth == 0 && last.ends_anything)
                result.replace(result.size() - last.marked.size(), last.marked.size(), last.bare);
            last = {};
        };
        while (!ended() && !follows(")")) {
            if (take("|")) {
                end_branch();
                several = true;
                result += '|';
                branch = result.size();
                fold_before_ = 0;
                continue;
            }
            last_ = {};
            auto const next = take("(") ? parenthesis(mode, depth, several) : atom(mode);
            last = std::exchange(last_, {});
            if (last.marked != next) last = {};
            // The first choice of an alternative only doubles what comes after it.
            auto const first = depth == 0 && last.optional && result.find(mark, branch) == result.npos;
            result += first ? last.bare : next;
            if (first) last = {};
        }
        end_branch();
        for (auto at = result.find("(?C)(?C)"); at != result.npos; at = result.find("(?C)(?C)", at))
            result.erase(at, 4);
        return result;
    }

    std::string closed(modes mode, int depth, std::string const& open) {
        bool several = false;
        auto const body = alternatives(mode, depth + 1, several);
        if (!take(")")) refuse("a ( without its )");
        return open + body + ')' + (several ? mark : "");
    }

    /// What comes after a "(".
    std::string parenthesis(modes mode, int depth, bool& several) {
        if (!take("?")) {
            if (follows("*")) refuse("(*");
            return quantified(closed(mode, depth, "(?:"), kind::group);
        }
        for (std::string_view const look : {"=", "!", "<=", "<!"})
            if (take(look)) return quantified(closed(mode, depth, "(?" + std::string(look)), kind::assertion);
        if (take(">")) return quantified(closed(mode, depth, "(?>"), kind::group);
        if (take("<")) {
            // A name that only a reference would need; references are refused.
            while (!ended() && (letter(byte()) || byte() == '_' || (byte() >= '0' && byte() <= '9'))) ++at_;
            if (!take(">")) refuse("(?<" + rest_of_name());
            return quantified(closed(mode, depth, "(?:"), kind::group);
        }
        for (bool on = true; !ended(); ++at_) {
            if (byte() == '-' && on) on = false;
            else if (byte() == 'i') mode.caseless = on;
            else if (byte() == 'm') mode.dot_all = on;  // Ruby's m is Perl's s
            else break;
        }
        if (take(":")) return quantified(closed(mode, depth, "(?:"), kind::group);
        if (!take(")")) refuse("(?" + rest_of_name());
        // Up to the end of the group, and over its alternatives.
        bool inner = false;
        auto const body = alternatives(mode, depth + 1, inner);
        several |= inner;
        return group(body) + (inner ? mark : "");
    }
    unsigned char byte() const noexcept { return static_cast<unsigned char>(pattern_[at_]); }
    std::string rest_of_name() const { return std::string(pattern_.substr(at_, ended() ? 0 : 1)); }

    // Atoms ---------------------------------------------------------------------------------------------------

    std::string atom(modes mode) {
        for (std::string_view const repeat : {"*", "+", "?"})
            if (follows(repeat)) refuse("a " + std::string(repeat) + " that repeats nothing");
        if (take("^")) return quantified("(?:\\A|(?<=\\x{a})(?!\\z))", kind::assertion);
        if (take("$")) return quantified("(?![^\\x{a}])", kind::assertion);
        if (take(".")) return quantified(mode.dot_all ? any : "[^\\x{a}]", kind::character);
        if (take("[")) {
            auto const found = char_class(mode, 0);
            return quantified(found, kind::character);
        }
        if (!take("\\")) return literal(character(), mode);
        if (take("A")) return quantified("\\A", kind::assertion);
        if (take("z")) return quantified("\\z", kind::assertion);
        if (take("Z")) return quantified("(?=\\x{a}?\\z)", kind::assertion);
        if (take("b")) return quantified(boundary("(?<=", "(?!", "(?<!", "(?="), kind::assertion);
        if (take("B")) return quantified(boundary("(?<=", "(?=", "(?<!", "(?!"), kind::assertion);
        if (take("R"))
            return quantified("(?>\\x{d}\\x{a}|[\\x{a}-\\x{d}\\x{85}\\x{2028}\\x{2029}])", kind::group);
        if (take("N")) return quantified("[^\\x{a}]", kind::character);
        if (take("O")) return quantified(any, kind::character);
        members set;
        if (class_escape(set, mode, false)) return quantified(one_of(set, false), kind::character);
        return literal(escaped_character(false), mode);
    }

    static constexpr char const* any = "[\\x{0}-\\x{10ffff}]";
    static std::string boundary(char const* after, char const* not_before, char const* not_after,
                                char const* before) {
        auto const word = '[' + std::string(bare_word_items) + "])";
        return group(after + word + not_before + word + '|' + not_after + word + before + word);
    }

    std::string literal(std::uint32_t point, modes mode) {
        if (!mode.caseless) {
            fold_before_ = 0;
            return quantified(coded(point), kind::character);
        }
        members set;
        add_range(set, point, point, mode);
        // Oniguruma folds these pairs into one character, such as ss into U+DF.
        auto const lower = letter(point) ? (point | 0x20u) : point;
        constexpr std::string_view pairs = "ssstfffifl";
        for (std::size_t i = 0; i < pairs.size(); i += 2)
            if (fold_before_ == static_cast<unsigned char>(pairs[i]) &&
                lower == static_cast<unsigned char>(pairs[i + 1]))
                refuse(std::string(pairs.substr(i, 2)) + " where case does not matter");
        fold_before_ = lower;
        if ((lower == 's' || lower == 'f') && (follows("{") || follows("*") || follows("+")))
            refuse("repeating " + std::string(1, static_cast<char>(lower)) + " where case does not matter");
        return quantified(one_of(set, false), kind::character);
    }

    /// The character that an escape stands for; at_ is after the backslash.
    std::uint32_t escaped_character(bool in_class) {
        constexpr std::string_view names = "abefnrtv";
        constexpr std::array<std::uint32_t, 8> values{0x7, 0x8, 0x1b, 0xc, 0xa, 0xd, 0x9, 0xb};
        auto const point = character();
        if (point == 'x') {
            if (take("{")) return number_in_braces();
            return hexadecimal(1, 2, 0x7f, "\\x for a byte that is no character");
        }
        if (point == 'u') return hexadecimal(4, 4, 0x10ffff, "\\u");
        if (point < 0x80 && names.find(static_cast<char>(point)) != names.npos && (point != 'b' || in_class))
            return values[names.find(static_cast<char>(point))];
        if (letter(point) || (point >= '0' && point <= '9'))
            refuse("\\" + std::string(1, static_cast<char>(point)) + (in_class ? " in a class" : ""));
        return point;
    }
    std::uint32_t number_in_braces() {
        auto const value = hexadecimal(1, 8, 0x10ffff, "\\x{");
        if (!take("}")) refuse("\\x{");
        return value;
    }
    std::uint32_t hexadecimal(std::size_t least, std::size_t most, std::uint32_t largest, char const* what) {
        std::uint32_t value = 0;
        std::size_t count = 0;
        for (; count < most && !ended(); ++count, ++at_) {
            constexpr std::string_view digits = "0123456789abcdef";
            auto const lower = byte() >= 'A' && byte() <= 'F' ? byte() + 32 : static_cast<int>(byte());
            auto const digit = digits.find(static_cast<char>(lower));
            if (digit == digits.npos) break;
            value = value * 16 + static_cast<std::uint32_t>(digit);
        }
        if (count < least || value > largest || (value >= 0xd800 && value < 0xe000)) refuse(what);
        return value;
    }

    // Classes -------------------------------------------------------------------------------------------------

    static constexpr char const* space_items = "\\x{9}-\\x{d}\\x{85}\\p{Z}";
    // With the marks, which PCRE2's own \w leaves out.
    static constexpr char const* word_items = "\\p{Alphabetic}\\p{M}\\p{Nd}\\p{Pc}";
    // Outside of classes it holds the numbers of Latin-1 too.
    static constexpr char const* bare_word_items =
        "\\p{Alphabetic}\\p{M}\\p{Nd}\\p{Pc}\\x{b2}\\x{b3}\\x{b9}\\x{bc}-\\x{be}";
    static constexpr char const* hex_items = "0-9a-fA-F";

    /// Takes \s, \W, \p{L} and the like; at_ is after the backslash.
    bool class_escape(members& set, modes mode, bool in_class) {
        static constexpr struct {
            char lower, upper;
            char const* items;
        } shorthands[] = {
            {'s', 'S', space_items}, {'d', 'D', "\\p{Nd}"}, {'w', 'W', word_items}, {'h', 'H', hex_items}};
        for (auto const& [lower, upper, items] : shorthands) {
            if (ended() || (byte() != lower && byte() != upper)) continue;
            auto const negated = byte() == upper;
            // The letters that a class without regard to case gains are not those that PCRE2 would add.
            if (in_class && mode.caseless && (negated || lower == 'w'))
                refuse("\\" + std::string(1, static_cast<char>(byte())) +
                       " in a class where case does not matter");
            ++at_;
            add(set, lower == 'w' && !in_class ? bare_word_items : items, negated);
            return true;
        }
        if (ended() || (byte() != 'p' && byte() != 'P')) return false;
        auto negated = byte() == 'P';
        ++at_;
        if (!take("{")) refuse("\\p without {");
        if (take("^")) negated = !negated;
        auto const end = pattern_.find('}', at_);
        if (end == pattern_.npos) refuse("\\p{ without }");
        auto const name = pattern_.substr(at_, end - at_);
        at_ = end + 1;
        auto const items = property(name);
        if (items.empty()) refuse("the property " + printable(name));
        if (in_class && mode.caseless &&
            (negated || (items != "\\p{N}" && items != "\\p{Nd}" && items != "\\p{Z}")))
            refuse("the property " + printable(name) + " in a class where case does not matter");
        add(set, items == word_items && !in_class ? bare_word_items : items, negated);
        return true;
    }

    static void add(members& set, std::string const& items, bool negated) {
        if (!negated) set.items += items;
        else set.others.push_back("[^" + items + ']');
    }

    /// Items for a property by the name that Oniguruma knows it by, without regard to case, spaces, - and _; empty for one
    /// that is not on the list.
    static std::string property(std::string_view name) {
        std::string plain;
        for (auto const c : name) {
            if (c == ' ' || c == '-' || c == '_') continue;
            plain += c >= 'A' && c <= 'Z' ? static_cast<char>(c + 32) : c;
        }
        static constexpr std::pair<std::string_view, std::string_view> categories[] = {
            {"l", "letter"},
            {"lu", "uppercaseletter"},
            {"ll", "lowercaseletter"},
            {"lt", "titlecaseletter"},
            {"lm", "modifierletter"},
            {"lo", "otherletter"},
            {"m", "mark"},
            {"m", "combiningmark"},
            {"mn", "nonspacingmark"},
            {"mc", "spacingmark"},
            {"me", "enclosingmark"},
            {"n", "number"},
            {"nd", "decimalnumber"},
            {"nl", "letternumber"},
            {"no", "othernumber"},
            {"p", "punctuation"},
            {"pc", "connectorpunctuation"},
            {"pd", "dashpunctuation"},
            {"ps", "openpunctuation"},
            {"pe", "closepunctuation"},
            {"pi", "initialpunctuation"},
            {"pf", "finalpunctuation"},
            {"po", "otherpunctuation"},
            {"s", "symbol"},
            {"sm", "mathsymbol"},
            {"sc", "currencysymbol"},
            {"sk", "modifiersymbol"},
            {"so", "othersymbol"},
            {"z", "separator"},
            {"zs", "spaceseparator"},
            {"zl", "lineseparator"},
            {"zp", "paragraphseparator"},
            {"c", "other"},
            {"cc", "control"},
            {"cf", "format"},
            {"cn", "unassigned"},
            {"co", "privateuse"}};
        for (auto const& [category, long_name] : categories)
            if (plain == category || plain == long_name) {
                std::string items = "\\p{" + std::string(category) + '}';
                items[3] = static_cast<char>(items[3] - 32);
                return items;
            }
        // With what Unicode has made alphabetic or lower case after version 14.
        static constexpr char const* alphabetic =
            "\\p{Alphabetic}\\x{363}-\\x{36f}\\x{c04}\\x{f82}\\x{f83}\\x{1dd3}-\\x{1de6}\\x{11080}\\x{11081}";
        static constexpr char const* lower_case = "\\p{Lowercase}\\x{10fc}\\x{a7f2}-\\x{a7f4}\\x{ab69}";
        if (plain == "alnum") return std::string(alphabetic) + "\\p{Nd}";
        static constexpr std::pair<std::string_view, std::string_view> others[] = {
            {"alpha", alphabetic},
            {"alphabetic", alphabetic},
            {"digit", "\\p{Nd}"},
            {"upper", "\\p{Uppercase}"},
            {"uppercase", "\\p{Uppercase}"},
            {"lower", lower_case},
            {"lowercase", lower_case},
            {"space", space_items},
            {"whitespace", space_items},
            {"blank", "\\p{Zs}\\x{9}"},
            {"cntrl", "\\p{Cc}"},
            {"xdigit", hex_items},
            {"word", word_items},
            {"ascii", "\\x{0}-\\x{7f}"},
            {"any", "\\x{0}-\\x{10ffff}"}};
        for (auto const& [known, items] : others)
            if (plain == known) return std::string(items);
        // Scripts. PCRE2 would take a bare name for Script_Extensions, which has more characters.
        static constexpr std::string_view scripts[] = {
            "Arabic",   "Armenian",   "Bengali",  "Bopomofo",  "Cherokee",  "Common",   "Coptic",
            "Cyrillic", "Devanagari", "Ethiopic", "Georgian",  "Greek",     "Gujarati", "Gurmukhi",
            "Han",      "Hangul",     "Hebrew",   "Hiragana",  "Inherited", "Kannada",  "Katakana",
            "Khmer",    "Lao",        "Latin",    "Malayalam", "Mongolian", "Myanmar",  "Oriya",
            "Sinhala",  "Syriac",     "Tamil",    "Telugu",    "Thaana",    "Thai",     "Tibetan"};
        for (auto const script : scripts) {
            auto lower = std::string(script);
            lower[0] = static_cast<char>(lower[0] + 32);
            if (plain == lower) return "\\p{sc:" + std::string(script) + '}';
        }
        return {};
    }

    static std::string one_of(members const& set, bool negated) {
        if (set.others.empty()) return (negated ? "[^" : "[") + set.items + ']';
        std::string either = set.items.empty() ? "" : '[' + set.items + ']';
        for (auto const& other : set.others) either += (either.empty() ? "" : "|") + other;
        if (!negated && set.others.size() == 1 && set.items.empty()) return set.others.front();
        return negated ? "(?:(?!" + either + ')' + any + ')' : group(either);
    }

    void add_range(members& set, std::uint32_t first, std::uint32_t last, modes mode) {
        if (last < first) refuse("a range that ends before it begins");
        set.items += coded(first) + (last > first ? '-' + coded(last) : "");
        if (!mode.caseless) return;
        if (last >= 0x80) refuse("characters beyond ASCII where case does not matter");
        for (auto point = first; point <= last; ++point) {
            if (!letter(point)) continue;
            set.items += coded(point ^ 0x20u);
            if ((point | 0x20u) == 's') set.items += coded(0x17f);
            if ((point | 0x20u) == 'k') set.items += coded(0x212a);
        }
    }

    /// What comes after a "[": an expression of one character.
    std::string char_class(modes mode, int depth) {
        if (depth > 20) refuse("classes that are nested 20 deep");
        fold_before_ = 0;
        auto const negated = take("^");
        std::vector<std::string> both;  // of what stands between &&
        members set;
        auto const finish = [&] {
            if (set.items.empty() && set.others.empty()) refuse("an empty class or side of &&");
            both.push_back(one_of(set, false));
        };
        for (bool first = true;; first = false) {
            if (ended()) refuse("a [ without its ]");
            if (!first && follows("]")) break;
            if (take("&&")) {
                finish();
                set = {};
                continue;
            }
            if (take("[")) {
                if (take(":")) posix(set, mode);
                else set.others.push_back(char_class(mode, depth + 1));
                no_range();
                continue;
            }
            if (take("\\")) {
                if (class_escape(set, mode, true)) {
                    no_range();
                    continue;
                }
                range(set, escaped_character(true), mode);
                continue;
            }
            if (follows("-") && !first && !follows("-]")) refuse("a - in the middle of a class");
            range(set, character(), mode);
        }
        ++at_;
        if (both.empty() && !(set.items.empty() && set.others.empty())) return one_of(set, negated);
        finish();
        std::string all;
        for (std::size_t i = 0; i + 1 < both.size(); ++i) all += "(?=" + both[i] + ')';
        all += both.back();
        return negated ? "(?:(?!" + all + ')' + any + ')' : group(all);
    }

    /// Ranges that begin or end with a class are errors to Oniguruma.
    void no_range() const {
        if (follows("-") && !follows("-]")) refuse("a - after a class in a class");
    }

    void range(members& set, std::uint32_t first, modes mode) {
        if (!follows("-") || follows("-]")) return add_range(set, first, first, mode);
        ++at_;
        if (follows("[") || follows("&&")) refuse("a range that ends with a class");
        auto const escaped = take("\\");
        if (escaped && !ended() &&
            std::string_view("sSdDwWhHpP").find(static_cast<char>(byte())) != std::string_view::npos)
            refuse("a range that ends with a class");
        auto const last = escaped ? escaped_character(true) : character();
        add_range(set, first, last, mode);
        if (follows("-") && !follows("-]")) refuse("a - after a range");
    }

    void posix(members& set, modes mode) {
        auto const negated = take("^");
        auto const end = pattern_.find(":]", at_);
        auto const name = pattern_.substr(at_, end == pattern_.npos ? 0 : end - at_);
        static constexpr std::string_view known[] = {"alpha", "digit", "alnum",  "upper", "lower", "space",
                                                     "blank", "cntrl", "xdigit", "word",  "ascii"};
        if (std::find(std::begin(known), std::end(known), name) == std::end(known))
            refuse("[: in a class, but for the names it knows");
        if (mode.caseless) refuse("[:" + std::string(name) + ":] where case does not matter");
        add(set, property(name), negated);
        at_ = end + 2;
    }

    // Repeating -----------------------------------------------------------------------------------------------

    /// `body` with the quantifier that follows.
    std::string quantified(std::string body, kind what) {
        constexpr std::int64_t no_end = std::numeric_limits<std::int64_t>::max();
        std::int64_t least = 1, most = 1;
        auto const begin = at_;
        bool interval = false;
        if (take("*")) least = 0, most = no_end;
        else if (take("+")) most = no_end;
        else if (take("?")) least = 0;
        else if (!(interval = interval_follows(least, most, no_end))) return body;
        auto const sign = std::string(pattern_.substr(begin, at_ - begin));
        if (what == kind::assertion) refuse("a " + sign + " that repeats no character");

        auto count = '{' + std::to_string(least) + ',' + (most == no_end ? "" : std::to_string(most)) + '}';
        std::string ending;
        bool again = false;
        if (take("?")) {
            // Of exactly n it is no lazy form to Oniguruma: n, or none.
            if (interval && least == most) refuse(sign + '?');
            ending = "?";
        } else if (take("+")) {
            // After {n,m} it is no possessive form to Oniguruma: it repeats once more.
            if (interval) again = true;
            else ending = "+";
        }
        for (std::string_view const more : {"*", "+", "?"})
            if (follows(more)) refuse("a quantifier of " + sign);
        std::int64_t ignored = 0;
        if (auto const here = at_; interval_follows(ignored, ignored, no_end)) {
            at_ = here;
            refuse("a quantifier of " + sign);
        }
        std::string result;
        if (what == kind::group) result = "(?:" + std::string(mark) + body + ')' + count + ending;
        else result = (most > 1 ? mark : "") + body + count + ending;
        result += mark;
        if (what == kind::character && !again) last_ = {result, body + count + ending, most == 1, least <= 1};
        if (again) result = "(?:" + std::string(mark) + result + ")+" + mark;
        return result;
    }

    /// {n}, {n,}, {n,m} or {,m}. Another { is a character.
    bool interval_follows(std::int64_t& least, std::int64_t& most, std::int64_t no_end) {
        if (!follows("{")) return false;
        auto const begin = at_++;
        auto const number = [&](std::int64_t& value) {
            auto const first = at_;
            std::int64_t read = 0;
            for (; !ended() && byte() >= '0' && byte() <= '9'; ++at_)
                read = std::min<std::int64_t>(read * 10 + (byte() - '0'), 1'000'000);
            if (at_ > first) value = read;
            return at_ > first;
        };
        std::int64_t from = 0, to = no_end;
        auto const some = number(from);
        auto const comma = take(",");
        auto const more = comma ? number(to) : false;
        if (!take("}") || !(some || more)) {
            at_ = begin;
            return false;
        }
        if (!comma) to = from;
        auto const text = std::string(pattern_.substr(begin, at_ - begin));
        if (to < from) refuse("the interval " + text);
        // As much can be tried at every character without a mark.
        if (from > 1000 || (to != no_end && to > 1000)) refuse("the interval " + text + ", at most 1000");
        least = from;
        most = to;
        return true;
    }

    std::string_view pattern_;
    place const& where_;
    std::size_t at_ = 0;
    std::uint32_t fold_before_ = 0;  ///< the last letter, where case does not matter
    pieces last_;
};

}  // namespace snug::SNUG_TARGET::io::detail
