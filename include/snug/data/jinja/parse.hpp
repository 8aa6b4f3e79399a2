// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <algorithm>
#include <charconv>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <string>
#include <string_view>
#include <unordered_map>
#include <utility>
#include <vector>

#include <snug/data/jinja/value.hpp>
#include <snug/error.hpp>
#include <snug/io/file.hpp>

namespace snug::SNUG_TARGET::io::jinja {

/// What a node of a template is; behind it what its children (`kids`) are.
enum class kinds : std::uint8_t {
    constant,
    name,       ///< names[0]
    list,       ///< elements
    dict,       ///< key, value, key, value, ...
    attribute,  ///< object; words[0]
    item,       ///< object, key
    slice,      ///< object, begin, end, step; -1 where there is none
    call,       ///< function, arguments; words: the names of the last ones
    filter,     ///< value, arguments; words[0]: the filter; the others as those of a call
    test,       ///< as a filter
    negate,
    plus,
    inverse,      ///< `not`
    both,         ///< `and`
    either,       ///< `or`
    binary,       ///< left, right; words[0]: the sign
    compare,      ///< values; words: the signs between them
    conditional,  ///< value, condition, value otherwise; -1 where there is none
    data,
    output,      ///< value
    block,       ///< statements
    choice,      ///< condition, block, condition, block, ..., perhaps the last block
    each,        ///< values, condition or -1, block, block or -1; names: the targets
    set,         ///< value; names[0], words[0]: the attribute of a namespace, if any
    set_block,   ///< block; names[0]
    generation,  ///< block
    leave,       ///< `break`
    next         ///< `continue`
};

struct node {
    kinds kind{};
    std::int32_t line = 0;
    std::int32_t depth = 1;  ///< levels of nodes
    std::vector<std::int32_t> kids{};
    std::vector<std::string> words{};
    std::vector<std::int32_t> names{};  ///< numbers of variables
    value constant{};
};

/// A template, read.
struct program {
    std::string file{};
    std::vector<node> nodes{};
    std::vector<std::string> names{};  ///< of variables, by number
    std::int32_t root = 0;
    bool has_generation = false;

    [[noreturn]] void refuse(std::int32_t line, std::string const& found, std::string expected) const {
        throw error({file}, "line " + std::to_string(line) + " of the chat template with " + found,
                    std::move(expected));
    }
};

namespace detail {

inline constexpr std::string_view known_filters[] = {
    "trim",       "length", "count", "tojson", "join",  "items",   "list",    "string",     "default",
    "d",          "first",  "last",  "upper",  "lower", "replace", "select",  "reject",     "selectattr",
    "rejectattr", "map",    "int",   "float",  "abs",   "safe",    "reverse", "capitalize", "title"};
inline constexpr std::string_view known_tests[] = {
    "defined", "undefined", "none",  "string",  "mapping",     "iterable", "sequence",
    "number",  "integer",   "float", "boolean", "true",        "false",    "callable",
    "equalto", "eq",        "==",    "ne",      "!=",          "lt",       "lessthan",
    "<",       "le",        "<=",    "gt",      "greaterthan", ">",        "ge",
    ">=",      "in",        "odd",   "even",    "divisibleby", "sameas"};

template <class List>
bool is_among(List const& all, std::string_view one) {
    return std::find(std::begin(all), std::end(all), one) != std::end(all);
}

enum class signs : std::uint8_t {
    data,
    begin_output,
    end_output,
    begin_block,
    end_block,
    name,
    string,
    integer,
    real,
    sign,
    end
};

struct token {
    signs kind{};
    std::int32_t line = 0;
    std::string text{};
};

/// Cuts a template into tokens, as Jinja does with `trim_blocks` and `lstrip_blocks`.
class lexer {
  public:
    lexer(std::string_view source, program const& of) : program_(of) {
        // Jinja makes all line breaks "\n" and drops one at the end.
        for (std::size_t i = 0; i < source.size(); ++i) {
            if (source[i] == '\r') {
                source_ += '\n';
                if (i + 1 < source.size() && source[i + 1] == '\n') ++i;
            } else source_ += source[i];
        }
        if (source_.ends_with('\n')) source_.pop_back();
    }

    std::vector<token> run() {
        while (at_ < source_.size()) {
            auto const open = next_open();
            auto const line_begins = at_ == 0 || source_[at_ - 1] == '\n';
            auto data = std::string_view(source_).substr(at_, open - at_);
            auto const all = data.size();
            if (open == source_.size()) {
                add(signs::data, std::string(data));
                break;
            }
            auto const what = source_[open + 1];
            auto const mark = open + 2 < source_.size() ? source_[open + 2] : '\0';
            if (mark == '-') {
                while (!data.empty()) {
                    auto const last = before(data, data.size());
                    if (!is_space(data, last)) break;
                    data = data.substr(0, last);
                }
            } else if (mark != '+' && what != '{') {
                auto const begin = data.rfind('\n') + 1;  // 0 where there is none
                if (begin > 0 || line_begins) {
                    auto blank = begin;
                    while (blank < data.size() && is_space(data, blank)) blank += character(data, blank);
                    if (blank == data.size()) data = data.substr(0, begin);
                }
            }
            if (!data.empty()) add(signs::data, std::string(data));
            advance(all + 2 + (mark == '-' || mark == '+' ? 1 : 0));
            if (what == '#') comment();
            else expression(what == '{');
        }
        add(signs::end, {});
        return std::move(tokens_);
    }

  private:
    std::size_t next_open() const {
        for (auto open = source_.find('{', at_); open != source_.npos; open = source_.find('{', open + 1))
            if (open + 1 < source_.size() &&
                (source_[open + 1] == '{' || source_[open + 1] == '%' || source_[open + 1] == '#'))
                return open;
        return source_.size();
    }
    void advance(std::size_t count) {
        line_ += static_cast<std::int32_t>(
            std::count(source_.begin() + static_cast<std::ptrdiff_t>(at_),
                       source_.begin() + static_cast<std::ptrdiff_t>(at_ + count), '\n'));
        at_ += count;
    }
    void add(signs kind, std::string text) { tokens_.push_back({kind, line_, std::move(text)}); }
    bool here(std::string_view wanted) const {
        return std::string_view(source_).substr(at_).starts_with(wanted);
    }
    void skip_blanks() {
        while (at_ < source_.size() && is_space(source_, at_)) advance(character(source_, at_));
    }

    void comment() {
        auto const close = source_.find("#}", at_);
        if (close == source_.npos) program_.refuse(line_, "a comment that does not end", "#}");
        auto const trims = close > at_ && source_[close - 1] == '-';
        auto const keeps = close > at_ && source_[close - 1] == '+';
        advance(close + 2 - at_);
        after(trims, !keeps);
    }
    /// What a mark at the end of a block does to what follows.
    void after(bool trims, bool takes_line_break) {
        if (trims) skip_blanks();
        else if (takes_line_break && here("\n")) advance(1);
    }

    bool ends(bool is_output) {
        auto const close = is_output ? "}}" : "%}";
        auto const trims = here("-") && std::string_view(source_).substr(at_ + 1).starts_with(close);
        auto const keeps =
            !is_output && here("+") && std::string_view(source_).substr(at_ + 1).starts_with(close);
        if (!trims && !keeps && !here(close)) return false;
        add(is_output ? signs::end_output : signs::end_block, {});
        advance(trims || keeps ? 3 : 2);
        after(trims, !is_output && !keeps);
        return true;
    }

    void expression(bool is_output) {
        auto const begin = line_;
        add(is_output ? signs::begin_output : signs::begin_block, {});
        std::string open;
        for (bool first = true;; first = false) {
            skip_blanks();
            if (at_ == source_.size())
                program_.refuse(begin, "a block that does not end", is_output ? "}}" : "%}");
            if (open.empty() && ends(is_output)) return;
            auto const c = source_[at_];
            if (is_letter(c)) {
                auto end = at_;
                while (end < source_.size() && (is_letter(source_[end]) || is_digit(source_[end]))) ++end;
                auto name = source_.substr(at_, end - at_);
                if (first && !is_output && name == "raw")
                    program_.refuse(line_, "the statement raw", "one that is understood");
                add(signs::name, std::move(name));
                advance(end - at_);
            } else if (is_digit(c)) {
                number();
            } else if (c == '\'' || c == '"') {
                string();
            } else {
                sign(open);
            }
        }
    }
    static bool is_letter(char c) { return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_'; }
    static bool is_digit(char c) { return c >= '0' && c <= '9'; }

    void number() {
        auto end = at_;
        std::string digits;
        auto const take = [&] {
            while (end < source_.size() && (is_digit(source_[end]) || source_[end] == '_')) {
                if (source_[end] != '_') digits += source_[end];
                ++end;
            }
        };
        take();
        auto is_real = false;
        auto const is_index = at_ > 0 && source_[at_ - 1] == '.';
        if (!is_index && end + 1 < source_.size() && source_[end] == '.' && is_digit(source_[end + 1])) {
            is_real = true;
            digits += '.', ++end;
            take();
        }
        if (!is_index && end < source_.size() && (source_[end] == 'e' || source_[end] == 'E')) {
            auto power = end + 1;
            if (power < source_.size() && (source_[power] == '+' || source_[power] == '-')) ++power;
            if (power < source_.size() && is_digit(source_[power])) {
                is_real = true;
                digits.append(source_, end, power - end);
                end = power;
                take();
            }
        }
        if (end < source_.size() && is_letter(source_[end]))
            program_.refuse(line_, "the number " + printable(source_.substr(at_, end + 1 - at_)),
                            "a decimal one");
        add(is_real ? signs::real : signs::integer, std::move(digits));
        advance(end - at_);
    }

    void string() {
        auto const quote = source_[at_];
        auto end = at_ + 1;
        std::string result;
        for (;; ++end) {
            if (end >= source_.size())
                program_.refuse(line_, "a text that does not end", std::string(1, quote));
            if (source_[end] == quote) break;
            if (source_[end] != '\\') {
                result += source_[end];
                continue;
            }
            if (++end >= source_.size())
                program_.refuse(line_, "a text that does not end", std::string(1, quote));
            escape(end, result);
        }
        add(signs::string, std::move(result));
        advance(end + 1 - at_);
    }
    /// Python's escapes. `end`: the byte behind the backslash, then the last one of the escape.
    void escape(std::size_t& end, std::string& to) {
        constexpr std::string_view letters = "abfnrtv\\'\"", means = "\a\b\f\n\r\t\v\\'\"";
        auto const c = source_[end];
        if (auto const found = letters.find(c); found != letters.npos) {
            to += means[found];
        } else if (c == '\n') {
        } else if (c == 'x' || c == 'u' || c == 'U') {
            std::size_t const digits = c == 'x' ? 2 : c == 'u' ? 4 : 8;
            std::uint32_t point = 0;
            auto const* const first = source_.data() + end + 1;
            auto const* const last = first + std::min(digits, source_.size() - end - 1);
            auto const [stop, failed] = std::from_chars(first, last, point, 16);
            auto encoded = utf8_of(point);
            if (failed != std::errc{} || stop != first + digits || encoded.empty())
                program_.refuse(line_, "an escape that is no character", "\\x41, \\u0041 or \\U00000041");
            to += encoded;
            end += digits;
        } else if (c == 'N' || (c >= '0' && c <= '7')) {
            program_.refuse(line_, std::string("the escape \\") + c,
                            "\\n, \\t, \\x, \\u or another of Python's without a name");
        } else {
            to += '\\';
            to += c;
        }
    }
    static std::string utf8_of(std::uint32_t point) {
        auto const byte = [](std::uint32_t bits) {
            return static_cast<char>(static_cast<unsigned char>(bits));
        };
        std::string all;
        if (point < 0x80) all = {byte(point)};
        else if (point < 0x800) all = {byte(0xc0 | point >> 6), byte(0x80 | (point & 0x3f))};
        else if (point < 0x10000)
            all = {byte(0xe0 | point >> 12), byte(0x80 | (point >> 6 & 0x3f)), byte(0x80 | (point & 0x3f))};
        else if (point < 0x110000)
            all = {byte(0xf0 | point >> 18), byte(0x80 | (point >> 12 & 0x3f)),
                   byte(0x80 | (point >> 6 & 0x3f)), byte(0x80 | (point & 0x3f))};
        return utf8::character(all) == all.size() ? all : std::string();
    }

    void sign(std::string& open) {
        constexpr std::string_view pairs[] = {"//", "**", "==", "!=", ">=", "<="};
        auto const two = source_.substr(at_, 2);
        if (is_among(pairs, two)) {
            add(signs::sign, two);
            return advance(2);
        }
        auto const c = source_[at_];
        if (std::string_view("+-/*%~[](){}><=.:|,;").find(c) == std::string_view::npos)
            program_.refuse(line_, "the sign " + printable(source_.substr(at_, character(source_, at_))),
                            "one of an expression");
        if (c == '(' || c == '[' || c == '{') open += c;
        if (c == ')' || c == ']' || c == '}') {
            auto const wanted = c == ')' ? '(' : c == ']' ? '[' : '{';
            if (open.empty() || open.back() != wanted)
                program_.refuse(line_, std::string("a ") + c + " that closes nothing", "pairs");
            open.pop_back();
        }
        add(signs::sign, std::string(1, c));
        advance(1);
    }

    program const& program_;
    std::string source_;
    std::vector<token> tokens_;
    std::size_t at_ = 0;
    std::int32_t line_ = 1;
};

/// Makes nodes of tokens, by Jinja's grammar.
class parser {
  public:
    /// Of nodes in nodes; what a template is made of is far below.
    static constexpr std::int32_t deepest = 200;

    parser(std::vector<token> tokens, program& into) : tokens_(std::move(tokens)), into_(into) {}

    void run() {
        into_.root = statements();
        if (now().kind != signs::end) refuse("a statement " + now().text + " that ends nothing", "none");
    }

  private:
    token const& now() const { return tokens_[at_]; }
    token const& later(std::size_t count) const { return tokens_[std::min(at_ + count, tokens_.size() - 1)]; }
    [[noreturn]] void refuse(std::string const& found, std::string expected) const {
        into_.refuse(now().line, found, std::move(expected));
    }
    std::string shown() const {
        switch (now().kind) {
        case signs::data: return "a text of the template";
        case signs::begin_output:
        case signs::begin_block: return "the beginning of a block";
        case signs::end_output:
        case signs::end_block: return "the end of a block";
        case signs::end: return "its end";
        default: return printable(now().text);
        }
    }
    bool is(signs kind, std::string_view text) const { return now().kind == kind && now().text == text; }
    bool is_sign(std::string_view text) const { return is(signs::sign, text); }
    bool is_name(std::string_view text) const { return is(signs::name, text); }
    bool take_sign(std::string_view text) { return is_sign(text) && ++at_; }
    bool take_name(std::string_view text) { return is_name(text) && ++at_; }
    void expect_sign(std::string_view text) {
        if (!take_sign(text)) refuse(shown(), std::string(text));
    }
    void expect_end() {
        if (now().kind != signs::end_block) refuse(shown(), "the end of the statement");
        ++at_;
    }
    std::string expect_name() {
        if (now().kind != signs::name) refuse(shown(), "a name");
        return tokens_[at_++].text;
    }
    /// The name of a variable that is set.
    std::int32_t expect_target() {
        if (is_keyword(now().text)) refuse("the name " + now().text, "one that is no word of the language");
        return number_of(expect_name());
    }
    std::int32_t number_of(std::string const& name) {
        auto const [found, is_new] = numbers_.emplace(name, static_cast<std::int32_t>(into_.names.size()));
        if (is_new) into_.names.push_back(name);
        return found->second;
    }
    static bool is_keyword(std::string_view name) {
        constexpr std::string_view all[] = {"and",  "or",    "not",  "in",   "is",    "if",
                                            "else", "elif",  "for",  "true", "false", "none",
                                            "True", "False", "None", "loop", "self"};
        return is_among(all, name);
    }

    std::int32_t make(kinds kind, std::int32_t line, std::vector<std::int32_t> kids = {},
                      std::vector<std::string> words = {}) {
        node one{kind, line, 1, std::move(kids), std::move(words), {}, {}};
        for (auto const kid : one.kids)
            if (kid >= 0)
                one.depth = std::max(one.depth, into_.nodes[static_cast<std::size_t>(kid)].depth + 1);
        if (one.depth > deepest)
            into_.refuse(line, "more than " + std::to_string(deepest) + " levels", "fewer");
        into_.nodes.push_back(std::move(one));
        return static_cast<std::int32_t>(into_.nodes.size() - 1);
    }
    std::int32_t constant(std::int32_t line, value known, kinds kind = kinds::constant) {
        auto const made = make(kind, line);
        into_.nodes.back().constant = std::move(known);
        return made;
    }
    std::int32_t named(std::int32_t made, std::vector<std::int32_t> names) {
        into_.nodes[static_cast<std::size_t>(made)].names = std::move(names);
        return made;
    }

    struct level {
        explicit level(parser& of) : of_(of) {
            if (++of_.depth_ > deepest)
                of_.refuse("more than " + std::to_string(deepest) + " levels", "fewer");
        }
        ~level() { --of_.depth_; }
        level(level const&) = delete;
        level& operator=(level const&) = delete;
        parser& of_;
    };

    // Statements ------------------------------------------------------------------------------------------

    /// Up to a statement that ends or goes on with the one around it.
    std::int32_t statements() {
        level const one(*this);
        auto const line = now().line;
        std::vector<std::int32_t> all;
        for (;;) {
            if (now().kind == signs::data) {
                all.push_back(constant(now().line, now().text, kinds::data));
                ++at_;
            } else if (now().kind == signs::begin_output) {
                auto const begin = now().line;
                ++at_;
                all.push_back(make(kinds::output, begin, {tuple()}));
                if (now().kind != signs::end_output) refuse(shown(), "the end of the block");
                ++at_;
            } else if (now().kind == signs::begin_block) {
                constexpr std::string_view ends[] = {"endif",  "else",          "elif",
                                                     "endfor", "endgeneration", "endset"};
                if (later(1).kind == signs::name && is_among(ends, later(1).text)) {
                    ++at_;
                    break;
                }
                ++at_;
                all.push_back(statement());
            } else {
                break;
            }
        }
        return make(kinds::block, line, std::move(all));
    }
    void close(std::string_view statement, std::int32_t begin) {
        if (!take_name(statement))
            into_.refuse(begin, "a statement that does not end", std::string(statement));
        expect_end();
    }

    std::int32_t statement() {
        auto const line = now().line;
        if (now().kind != signs::name) refuse(shown(), "a statement");
        auto const word = tokens_[at_++].text;
        if (word == "if") return choice(line);
        if (word == "for") return each(line);
        if (word == "set") return set(line);
        if (word == "generation") {
            expect_end();
            into_.has_generation = true;
            auto const body = statements();
            close("endgeneration", line);
            return make(kinds::generation, line, {body});
        }
        if (word == "break" || word == "continue") {
            if (loops_ == 0) into_.refuse(line, "a " + word + " outside of a loop", "none");
            expect_end();
            return make(word == "break" ? kinds::leave : kinds::next, line);
        }
        into_.refuse(line, "the statement " + printable(word),
                     "if, for, set, generation, break or continue: others are not implemented");
    }

    std::int32_t choice(std::int32_t line) {
        std::vector<std::int32_t> all;
        for (;;) {
            all.push_back(either());
            expect_end();
            all.push_back(statements());
            if (take_name("elif")) continue;
            if (take_name("else")) {
                expect_end();
                all.push_back(statements());
            }
            close("endif", line);
            return make(kinds::choice, line, std::move(all));
        }
    }

    std::int32_t each(std::int32_t line) {
        std::vector<std::int32_t> targets;
        auto const in_brackets = take_sign("(");
        do targets.push_back(expect_target());
        while (take_sign(","));
        if (in_brackets) expect_sign(")");
        if (!take_name("in")) refuse(shown(), "in");
        auto const values = either();
        if (is_sign(",")) refuse("values without brackets", "a list");
        auto const test = take_name("if") ? expression() : -1;
        if (is_name("recursive")) refuse("a recursive loop", "another");
        expect_end();
        ++loops_;
        auto const body = statements();
        --loops_;
        std::int32_t otherwise = -1;
        if (take_name("else")) {
            expect_end();
            otherwise = statements();
        }
        close("endfor", line);
        return named(make(kinds::each, line, {values, test, body, otherwise}), std::move(targets));
    }

    std::int32_t set(std::int32_t line) {
        auto const target = expect_target();
        std::vector<std::string> attribute;
        if (take_sign(".")) attribute.push_back(expect_name());
        if (is_sign(",")) refuse("several targets", "one");
        if (take_sign("=")) {
            auto const made = tuple();
            expect_end();
            return named(make(kinds::set, line, {made}, std::move(attribute)), {target});
        }
        if (!attribute.empty() || is_sign("|")) refuse(shown(), "=");
        expect_end();
        auto const outer = std::exchange(loops_, 0);
        auto const body = statements();
        loops_ = outer;
        close("endset", line);
        return named(make(kinds::set_block, line, {body}), {target});
    }

    // Expressions -----------------------------------------------------------------------------------------

    /// Several values with commas between them are a list.
    std::int32_t tuple() {
        auto const line = now().line;
        auto const first = expression();
        if (!is_sign(",")) return first;
        std::vector<std::int32_t> all{first};
        while (take_sign(",")) {
            if (now().kind == signs::end_block || now().kind == signs::end_output || is_sign(")")) break;
            all.push_back(expression());
        }
        return make(kinds::list, line, std::move(all));
    }

    std::int32_t expression() {
        level const one(*this);
        auto made = either();
        while (is_name("if")) {
            auto const line = now().line;
            ++at_;
            auto const condition = either();
            auto const otherwise = take_name("else") ? expression() : -1;
            made = make(kinds::conditional, line, {made, condition, otherwise});
        }
        return made;
    }
    std::int32_t either() {
        auto left = both();
        while (is_name("or")) {
            auto const line = tokens_[at_++].line;
            auto const right = both();
            left = make(kinds::either, line, {left, right});
        }
        return left;
    }
    std::int32_t both() {
        auto left = inverse();
        while (is_name("and")) {
            auto const line = tokens_[at_++].line;
            auto const right = inverse();
            left = make(kinds::both, line, {left, right});
        }
        return left;
    }
    std::int32_t inverse() {
        if (!is_name("not")) return compare();
        level const one(*this);
        auto const line = tokens_[at_++].line;
        auto const made = inverse();
        return make(kinds::inverse, line, {made});
    }
    std::int32_t compare() {
        auto const line = now().line;
        std::vector<std::int32_t> all{sum()};
        std::vector<std::string> between;
        for (;;) {
            constexpr std::string_view known[] = {"==", "!=", "<", "<=", ">", ">="};
            if (now().kind == signs::sign && is_among(known, now().text)) {
                between.push_back(tokens_[at_++].text);
            } else if (take_name("in")) {
                between.push_back("in");
            } else if (is_name("not") && later(1).kind == signs::name && later(1).text == "in") {
                at_ += 2;
                between.push_back("not in");
            } else {
                break;
            }
            all.push_back(sum());
        }
        if (between.empty()) return all.front();
        return make(kinds::compare, line, std::move(all), std::move(between));
    }
    template <class Next>
    std::int32_t chain(Next const& next, std::initializer_list<std::string_view> wanted) {
        auto left = next();
        while (now().kind == signs::sign && is_among(wanted, now().text)) {
            auto const line = now().line;
            auto sign = tokens_[at_++].text;
            auto const right = next();
            left = make(kinds::binary, line, {left, right}, {std::move(sign)});
        }
        return left;
    }
    std::int32_t sum() {
        return chain([&] { return joined(); }, {"+", "-"});
    }
    std::int32_t joined() {
        return chain([&] { return product(); }, {"~"});
    }
    std::int32_t product() {
        return chain([&] { return unary(true); }, {"*", "/", "//", "%"});
    }
    std::int32_t unary(bool with_filter) {
        level const one(*this);
        auto const line = now().line;
        std::int32_t made;
        if (is_sign("-") || is_sign("+")) {
            auto const kind = is_sign("-") ? kinds::negate : kinds::plus;
            ++at_;
            auto const inner = unary(false);
            made = make(kind, line, {inner});
        } else made = postfix(primary());
        if (is_sign("**")) refuse("the sign **", "another");
        return with_filter ? filters(made) : made;
    }

    std::int32_t primary() {
        auto const line = now().line;
        auto const text = now().text;
        switch (now().kind) {
        case signs::name:
            ++at_;
            if (text == "true" || text == "True") return constant(line, true);
            if (text == "false" || text == "False") return constant(line, false);
            if (text == "none" || text == "None") return constant(line, none{});
            if (text != "loop" && is_keyword(text)) {
                --at_;
                refuse(shown(), "a value");
            }
            return named(make(kinds::name, line), {number_of(text)});
        case signs::string: {
            std::string all;
            while (now().kind == signs::string) all += tokens_[at_++].text;
            return constant(line, std::move(all));
        }
        case signs::integer: {
            std::int64_t number = 0;
            auto const* const end = text.data() + text.size();
            if (std::from_chars(text.data(), end, number).ec != std::errc{})
                refuse("the number " + text, "one below 2^63");
            ++at_;
            return constant(line, number);
        }
        case signs::real: {
            double number = 0;
            if (std::from_chars(text.data(), text.data() + text.size(), number).ec != std::errc{})
                refuse("the number " + text, "one of a double");
            ++at_;
            return constant(line, number);
        }
        default: break;
        }
        if (take_sign("(")) {
            if (take_sign(")")) return make(kinds::list, line);
            auto const made = tuple();
            expect_sign(")");
            return made;
        }
        if (take_sign("[")) {
            std::vector<std::int32_t> all;
            while (!is_sign("]")) {
                all.push_back(expression());
                if (!take_sign(",")) break;
            }
            expect_sign("]");
            return make(kinds::list, line, std::move(all));
        }
        if (take_sign("{")) {
            std::vector<std::int32_t> all;
            while (!is_sign("}")) {
                all.push_back(expression());
                expect_sign(":");
                all.push_back(expression());
                if (!take_sign(",")) break;
            }
            expect_sign("}");
            return make(kinds::dict, line, std::move(all));
        }
        refuse(shown(), "a value");
    }

    std::int32_t postfix(std::int32_t made) {
        for (;;) {
            auto const line = now().line;
            if (take_sign(".")) {
                if (now().kind == signs::integer) {
                    auto const key = primary();
                    made = make(kinds::item, line, {made, key});
                } else made = make(kinds::attribute, line, {made}, {expect_name()});
            } else if (take_sign("[")) {
                made = subscript(made, line);
            } else if (is_sign("(")) {
                made = call(kinds::call, line, {made}, {});
            } else return made;
        }
    }
    std::int32_t subscript(std::int32_t object, std::int32_t line) {
        std::vector<std::int32_t> parts{object, -1, -1, -1};
        std::size_t part = 1;
        for (; part < 4; ++part) {
            if (!is_sign(":") && !is_sign("]")) parts[part] = expression();
            if (!take_sign(":")) break;
        }
        expect_sign("]");
        if (part == 1 && parts[1] < 0) into_.refuse(line, "an index that is empty", "one");
        if (part == 1) return make(kinds::item, line, {object, parts[1]});
        return make(kinds::slice, line, std::move(parts));
    }
    /// Arguments in round brackets, added to what is called.
    std::int32_t call(kinds kind, std::int32_t line, std::vector<std::int32_t> kids,
                      std::vector<std::string> words) {
        expect_sign("(");
        auto const before_names = words.size();
        while (!is_sign(")")) {
            if (is_sign("*") || is_sign("**")) refuse("arguments of a list", "arguments");
            if (now().kind == signs::name && later(1).kind == signs::sign && later(1).text == "=") {
                words.push_back(now().text);
                at_ += 2;
            } else if (words.size() > before_names)
                refuse("an argument without a name behind one with a name", "none");
            kids.push_back(expression());
            if (!take_sign(",")) break;
        }
        expect_sign(")");
        return make(kind, line, std::move(kids), std::move(words));
    }
    std::int32_t filters(std::int32_t made) {
        for (;;) {
            auto const line = now().line;
            if (take_sign("|")) {
                auto name = expect_name();
                if (!is_among(known_filters, name))
                    into_.refuse(line, "the filter " + name, "one that is implemented");
                made = is_sign("(") ? call(kinds::filter, line, {made}, {name})
                                    : make(kinds::filter, line, {made}, {name});
            } else if (take_name("is")) {
                auto const denied = take_name("not");
                auto name = expect_name();
                if (!is_among(known_tests, name))
                    into_.refuse(line, "the test " + name, "one that is implemented");
                auto const takes_value =
                    now().kind == signs::string || now().kind == signs::integer ||
                    now().kind == signs::real || is_sign("[") || is_sign("{") ||
                    (now().kind == signs::name && !is_name("else") && !is_name("or") && !is_name("and"));
                if (is_sign("(")) made = call(kinds::test, line, {made}, {name});
                else if (takes_value && !is_name("if") && !is_name("is")) {
                    auto const argument = postfix(primary());
                    made = make(kinds::test, line, {made, argument}, {name});
                } else made = make(kinds::test, line, {made}, {name});
                if (denied) made = make(kinds::inverse, line, {made});
            } else if (is_sign("(")) {
                made = call(kinds::call, line, {made}, {});
            } else return made;
        }
    }

    std::vector<token> tokens_;
    program& into_;
    std::unordered_map<std::string, std::int32_t> numbers_;
    std::size_t at_ = 0;
    std::int32_t depth_ = 0;
    int loops_ = 0;
};

}  // namespace detail

/// Reads a template. Throws, with the line, on what is no Jinja or a construct that is not implemented.
inline program read(std::string_view source, std::string file) {
    constexpr std::size_t longest = 1 << 18;
    program result;
    result.file = std::move(file);
    if (source.size() > longest)
        throw error({result.file}, "a chat template of " + std::to_string(source.size()) + " bytes",
                    "at most " + std::to_string(longest));
    if (auto const valid = utf8::valid_prefix(source); valid < source.size())
        result.refuse(1 + static_cast<std::int32_t>(std::count(
                              source.begin(), source.begin() + static_cast<std::ptrdiff_t>(valid), '\n')),
                      "bytes that are no UTF-8", "UTF-8");
    auto tokens = detail::lexer(source, result).run();
    detail::parser(std::move(tokens), result).run();
    return result;
}

}  // namespace snug::SNUG_TARGET::io::jinja
