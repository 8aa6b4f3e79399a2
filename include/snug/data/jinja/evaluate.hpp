// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <algorithm>
#include <array>
#include <charconv>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <limits>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <snug/data/jinja/parse.hpp>
#include <snug/data/jinja/value.hpp>
#include <snug/error.hpp>
#include <snug/io/file.hpp>

namespace snug::SNUG_TARGET::io::jinja {

/// What a template has written.
struct rendering {
    struct range {
        std::size_t begin, end;  ///< bytes of the text
    };
    text written{};
    std::vector<range> generation{};  ///< between {% generation %} and {% endgeneration %}
};

/// The day and time of `strftime_now`.
struct moment {
    int year = 1970, month = 1, day = 1, hour = 0, minute = 0, second = 0;
};

using variables = std::vector<std::pair<std::string, value>>;

namespace detail {

/// Python's `repr` of a float: the shortest digits that give it back.
inline std::string shown(double number) {
    if (std::isnan(number)) return "nan";
    if (std::isinf(number)) return number < 0 ? "-inf" : "inf";
    std::array<char, 40> buffer{};
    auto const size = std::fabs(number);
    auto const plain = size == 0 || (size >= 1e-4 && size < 1e16);
    auto const [end, failed] =
        std::to_chars(buffer.data(), buffer.data() + buffer.size(), number,
                      plain ? std::chars_format::fixed : std::chars_format::scientific);
    std::string all(buffer.data(), end);
    if (plain && all.find('.') == all.npos) all += ".0";
    return all;
}

/// Runs a template. A template is a stranger's: what it may do is counted, a node or eight bytes at a time.
class evaluator {
  public:
    evaluator(program const& of, variables const& given, moment now, std::int64_t budget)
        : program_(of), now_(now), budget_(budget), values_(of.names.size()) {
        constexpr std::string_view functions[] = {"raise_exception", "strftime_now", "namespace", "dict",
                                                  "range"};
        for (std::size_t i = 0; i < of.names.size(); ++i) {
            values_[i] = undefined{of.names[i]};
            for (auto const one : functions)
                if (of.names[i] == one) values_[i] = function{one};
            for (auto const& [name, known] : given)
                if (of.names[i] == name) values_[i] = known;
        }
    }

    rendering run() {
        rendering result;
        out_ = &result.written;
        spans_ = &result.generation;
        (void)run(program_.root);
        return result;
    }

  private:
    enum class flow : std::uint8_t { on, leave, next };
    using ints = std::int32_t;

    [[noreturn]] void refuse(node const& at, std::string const& found, std::string expected) const {
        program_.refuse(at.line, found, std::move(expected));
    }
    void spend(node const& at, std::size_t bytes = 0) {
        budget_ -= 1 + static_cast<std::int64_t>(bytes / 8);
        if (budget_ < 0) refuse(at, "more work than a chat is allowed", "less");
    }
    node const& get(ints number) const { return program_.nodes[static_cast<std::size_t>(number)]; }

    // Statements ------------------------------------------------------------------------------------------

    void write(node const& at, text const& more) {
        spend(at, more.size());
        out_->append(more);
    }

    void assign(ints name, value to) {
        auto& place = values_[static_cast<std::size_t>(name)];
        if (frames_ > 0) undo_.emplace_back(name, std::move(place));
        place = std::move(to);
    }
    /// Forgets what has been set since then.
    void restore(std::size_t mark) {
        for (; undo_.size() > mark; undo_.pop_back())
            values_[static_cast<std::size_t>(undo_.back().first)] = std::move(undo_.back().second);
    }

    flow run(ints number) {
        auto const& at = get(number);
        spend(at);
        switch (at.kind) {
        case kinds::block:
            for (auto const kid : at.kids)
                if (auto const went = run(kid); went != flow::on) return went;
            return flow::on;
        case kinds::data: write(at, *at.constant.words()); return flow::on;
        case kinds::output: {
            auto const shown_value = evaluate(at.kids[0]);
            if (auto const* const words = shown_value.words()) write(at, *words);
            else write(at, as_text(at, shown_value));
            return flow::on;
        }
        case kinds::choice:
            for (std::size_t i = 0; i + 1 < at.kids.size(); i += 2)
                if (holds(at, evaluate(at.kids[i]))) return run(at.kids[i + 1]);
            return at.kids.size() % 2 == 1 ? run(at.kids.back()) : flow::on;
        case kinds::each: return each(at);
        case kinds::set: {
            auto to = evaluate(at.kids[0]);
            require_kept(at, to);
            if (at.words.empty()) {
                assign(at.names[0], std::move(to));
                return flow::on;
            }
            auto const object = values_[static_cast<std::size_t>(at.names[0])];
            auto* const names = object.names();
            if (!names) refuse(at, "an attribute of " + object.what() + " that is set", "one of a namespace");
            if (to.names() || to.run()) refuse(at, to.what() + " in a namespace", "another value");
            put(at, *names, at.words[0], std::move(to));
            return flow::on;
        }
        case kinds::set_block: {
            text inside;
            auto* const outer = std::exchange(out_, &inside);
            auto* const spans = std::exchange(spans_, nullptr);
            auto const mark = undo_.size();
            ++frames_;
            (void)run(at.kids[0]);
            --frames_;
            restore(mark);
            out_ = outer, spans_ = spans;
            assign(at.names[0], std::move(inside));
            return flow::on;
        }
        case kinds::generation: {
            if (!spans_) refuse(at, "generation inside of another or of a set", "one by itself");
            auto* const spans = std::exchange(spans_, nullptr);
            auto const begin = out_->size(), mark = undo_.size();
            ++frames_;
            auto const went = run(at.kids[0]);
            --frames_;
            restore(mark);
            spans_ = spans;
            spans_->push_back({begin, out_->size()});
            return went;
        }
        case kinds::leave: return flow::leave;
        case kinds::next: return flow::next;
        default: break;
        }
        refuse(at, "an expression in place of a statement", "a statement");
    }

    flow each(node const& at) {
        auto const mark = undo_.size();
        ++frames_;
        auto items = items_of(at, evaluate(at.kids[0]));
        if (at.kids[1] >= 0) {
            std::vector<value> kept;
            for (auto const& one : items->elements) {
                bind(at, one);
                if (holds(at, evaluate(at.kids[1]))) kept.push_back(one);
                restore(mark);
            }
            items = std::make_shared<list const>(list{std::move(kept)});
        }
        auto const running = std::make_shared<loop>(loop{items, 0});
        auto went = flow::on;
        auto const self = loop_name();
        for (; running->index < items->elements.size(); ++running->index) {
            spend(at);
            bind(at, items->elements[running->index]);
            if (self >= 0) assign(self, running);
            went = run(at.kids[2]);
            restore(mark);
            if (went == flow::leave) break;
        }
        --frames_;
        if (items->elements.empty() && at.kids[3] >= 0) return run(at.kids[3]);
        return flow::on;
    }
    ints loop_name() {
        if (loop_name_ == -2) {
            auto const found = std::find(program_.names.begin(), program_.names.end(), "loop");
            loop_name_ =
                found == program_.names.end() ? -1 : static_cast<ints>(found - program_.names.begin());
        }
        return loop_name_;
    }
    void bind(node const& at, value const& one) {
        if (at.names.size() == 1) return assign(at.names[0], one);
        auto const* const parts = one.elements();
        if (!parts || parts->elements.size() != at.names.size())
            refuse(at, one.what() + " for " + std::to_string(at.names.size()) + " names",
                   "a list of as many");
        for (std::size_t i = 0; i < at.names.size(); ++i) assign(at.names[i], parts->elements[i]);
    }

    /// A generator gives what it holds once, so it is not kept.
    void require_kept(node const& at, value const& one) const {
        if (auto const* const found = one.elements(); found && found->is_lazy)
            refuse(at, "a value of a filter that is kept without | list", "| list behind it");
    }

    // Values ----------------------------------------------------------------------------------------------

    bool holds(node const& at, value const& one) const {
        (void)at;
        if (one.is_undefined() || one.is_none()) return false;
        if (one.is_number()) return one.number() != 0;
        if (auto const* const words = one.words()) return words->size() > 0;
        if (auto const* const found = one.elements()) return found->is_lazy || !found->elements.empty();
        if (auto const* const found = one.members()) return !found->members.empty();
        return true;
    }

    text as_text(node const& at, value const& one) const {
        if (auto const* const words = one.words()) return *words;
        if (one.is_undefined()) return {};
        if (one.is_none()) return text("None");
        if (one.flag()) return text(*one.flag() ? "True" : "False");
        if (one.integer()) return text(std::to_string(*one.integer()));
        if (one.real()) return text(shown(*one.real()));
        refuse(at, one.what() + " that is written as a text", "| tojson or | join");
    }
    text const& need_text(node const& at, value const& one) const {
        auto const* const words = one.words();
        if (!words) refuse(at, one.what(), "a text");
        return *words;
    }
    std::int64_t need_whole(node const& at, value const& one) const {
        if (!one.is_whole()) refuse(at, one.what(), "an integer");
        return one.whole();
    }
    list const& need_list(node const& at, value const& one) const {
        auto const* const found = one.elements();
        if (!found || found->is_lazy)
            refuse(at, found ? "a value of a filter without | list" : one.what(), "a list");
        return *found;
    }

    value list_of(node const& at, std::vector<value> elements, bool is_lazy = false) {
        spend(at, 8 * elements.size());
        auto made = make_list(std::move(elements), is_lazy);
        require_shallow(at, made);
        return made;
    }
    value dict_of(node const& at, std::vector<std::pair<text, value>> members) {
        spend(at, 8 * members.size());
        auto made = make_dict(std::move(members));
        require_shallow(at, made);
        return made;
    }
    void require_shallow(node const& at, value const& one) const {
        constexpr int deepest = 64;
        if (one.depth() > deepest)
            refuse(at, "values in more than " + std::to_string(deepest) + " others", "fewer");
    }
    /// What a list or dict may hold; a namespace could come to hold itself.
    value const& element(node const& at, value const& one) const {
        if (one.names() || one.run()) refuse(at, one.what() + " in a list or dict", "another value");
        return one;
    }

    /// What a loop goes over.
    value::list_of items_of(node const& at, value const& one) {
        if (auto found = one.shared_elements()) {
            spend(at, 8 * found->elements.size());
            return found;
        }
        std::vector<value> all;
        if (auto const* const words = one.words()) {
            spend(at, 16 * words->size());
            for (std::size_t i = 0; i < words->size();) {
                auto const size = character(words->bytes, i);
                all.emplace_back(words->part(i, size));
                i += size;
            }
        } else if (auto const* const found = one.members()) {
            spend(at, 8 * found->members.size());
            for (auto const& [key, member] : found->members) all.emplace_back(key);
        } else if (!one.is_undefined()) {
            refuse(at, "a loop over " + one.what(), "a list, a dict or a text");
        }
        return std::make_shared<list const>(list{std::move(all)});
    }

    bool equal(node const& at, value const& a, value const& b) {
        spend(at);
        if (a.is_number() && b.is_number())
            return a.is_whole() && b.is_whole() ? a.whole() == b.whole() : a.number() == b.number();
        if (a.words() && b.words()) {
            spend(at, std::min(a.words()->size(), b.words()->size()));
            return a.words()->bytes == b.words()->bytes;
        }
        if (auto const* const left = a.elements(), * const right = b.elements(); left && right) {
            if (left == right) return true;
            if (left->elements.size() != right->elements.size()) return false;
            for (std::size_t i = 0; i < left->elements.size(); ++i)
                if (!equal(at, left->elements[i], right->elements[i])) return false;
            return true;
        }
        if (auto const* const left = a.members(), * const right = b.members(); left && right) {
            if (left == right) return true;
            if (left->members.size() != right->members.size()) return false;
            for (auto const& [key, member] : left->members) {
                auto const* const other = find(at, *right, key.bytes);
                if (!other || !equal(at, member, *other)) return false;
            }
            return true;
        }
        return (a.is_none() && b.is_none()) || (a.is_undefined() && b.is_undefined()) ||
               (a.names() && a.names() == b.names());
    }

    bool less(node const& at, value const& a, value const& b) {
        if (a.is_number() && b.is_number())
            return a.is_whole() && b.is_whole() ? a.whole() < b.whole() : a.number() < b.number();
        if (!a.words() || !b.words())
            refuse(at, a.what() + " compared with " + b.what(), "two numbers or two texts");
        spend(at, std::min(a.words()->size(), b.words()->size()));
        return a.words()->bytes < b.words()->bytes;
    }

    bool compare(node const& at, std::string_view sign, value const& a, value const& b) {
        if (sign == "==") return equal(at, a, b);
        if (sign == "!=") return !equal(at, a, b);
        if (sign == "<") return less(at, a, b);
        if (sign == ">") return less(at, b, a);
        if (sign == "<=" || sign == ">=") {
            auto const& low = sign == "<=" ? a : b;
            auto const& high = sign == "<=" ? b : a;
            return less(at, low, high) || equal(at, low, high);
        }
        if (sign == "in") return contains(at, b, a);
        return !contains(at, b, a);
    }

    bool contains(node const& at, value const& whole, value const& part) {
        if (whole.is_undefined()) return false;
        if (auto const* const words = whole.words())
            return find(at, words->bytes, need_text(at, part).bytes, 0) != std::string::npos;
        if (auto const* const found = whole.elements())
            return std::any_of(found->elements.begin(), found->elements.end(),
                               [&](value const& one) { return equal(at, one, part); });
        if (auto const* const found = whole.members())
            return part.words() && find(at, *found, part.words()->bytes) != nullptr;
        refuse(at, "in of " + whole.what(), "a list, a dict or a text");
    }
    std::size_t find(node const& at, std::string_view whole, std::string_view part, std::size_t from) {
        auto const found = whole.find(part, from);
        // What std::string may take: a comparison of the part at each place.
        auto const searched = (found == whole.npos ? whole.size() : found) - std::min(from, whole.size());
        spend(at, searched + searched / 8 * (part.size() / 8));
        return found;
    }
    value const* find(node const& at, dict const& all, std::string_view key) {
        spend(at, 2 * all.members.size());
        return all.find(key);
    }

    void put(node const& at, name_space& all, std::string const& name, value to) {
        spend(at, 2 * all.members.size());
        for (auto& [known, member] : all.members)
            if (known == name) {
                member = std::move(to);
                return;
            }
        all.members.emplace_back(name, std::move(to));
    }

    // Expressions -----------------------------------------------------------------------------------------

    value evaluate(ints number) {
        auto const& at = get(number);
        spend(at);
        switch (at.kind) {
        case kinds::constant: return at.constant;
        case kinds::name: return values_[static_cast<std::size_t>(at.names[0])];
        case kinds::list: {
            std::vector<value> all;
            all.reserve(at.kids.size());
            for (auto const kid : at.kids) {
                auto one = evaluate(kid);
                require_kept(at, one);
                all.push_back(element(at, one));
            }
            return list_of(at, std::move(all));
        }
        case kinds::dict: {
            std::vector<std::pair<text, value>> all;
            for (std::size_t i = 0; i < at.kids.size(); i += 2) {
                auto const key = evaluate(at.kids[i]);
                auto one = evaluate(at.kids[i + 1]);
                require_kept(at, one);
                add(at, all, need_text(at, key), element(at, one));
            }
            return dict_of(at, std::move(all));
        }
        case kinds::attribute: return attribute(at, evaluate(at.kids[0]), at.words[0]);
        case kinds::item: {
            auto const object = evaluate(at.kids[0]);
            return item(at, object, evaluate(at.kids[1]));
        }
        case kinds::slice: return slice(at);
        case kinds::call: return call(at);
        case kinds::filter: return filter(at);
        case kinds::test: return test(at);
        case kinds::negate:
        case kinds::plus: {
            auto const one = evaluate(at.kids[0]);
            if (!one.is_number()) refuse(at, "a sign before " + one.what(), "a number");
            if (one.real()) return at.kind == kinds::negate ? -*one.real() : *one.real();
            return at.kind == kinds::negate ? combine(at, '-', 0, one.whole()) : one.whole();
        }
        case kinds::inverse: return !holds(at, evaluate(at.kids[0]));
        case kinds::both: {
            auto left = evaluate(at.kids[0]);
            return holds(at, left) ? evaluate(at.kids[1]) : left;
        }
        case kinds::either: {
            auto left = evaluate(at.kids[0]);
            return holds(at, left) ? left : evaluate(at.kids[1]);
        }
        case kinds::binary: {
            auto const left = evaluate(at.kids[0]);
            return binary(at, left, evaluate(at.kids[1]));
        }
        case kinds::compare: {
            auto left = evaluate(at.kids[0]);
            for (std::size_t i = 0; i < at.words.size(); ++i) {
                auto right = evaluate(at.kids[i + 1]);
                if (!compare(at, at.words[i], left, right)) return false;
                left = std::move(right);
            }
            return true;
        }
        case kinds::conditional:
            if (holds(at, evaluate(at.kids[1]))) return evaluate(at.kids[0]);
            return at.kids[2] >= 0 ? evaluate(at.kids[2]) : value(undefined{"an if without else"});
        default: break;
        }
        refuse(at, "a statement in place of a value", "a value");
    }

    void add(node const& at, std::vector<std::pair<text, value>>& to, text const& key, value const& one) {
        spend(at, 2 * to.size());
        for (auto& [known, member] : to)
            if (known.bytes == key.bytes) {
                member = one;
                return;
            }
        to.emplace_back(key, one);
    }

    std::int64_t combine(node const& at, char sign, std::int64_t a, std::int64_t b) const {
        std::int64_t result = 0;
        auto const failed = sign == '+'   ? __builtin_add_overflow(a, b, &result)
                            : sign == '-' ? __builtin_sub_overflow(a, b, &result)
                                          : __builtin_mul_overflow(a, b, &result);
        if (failed) refuse(at, "a number beyond 64 bits", "a smaller one");
        return result;
    }

    value binary(node const& at, value const& a, value const& b) {
        auto const& sign = at.words[0];
        if (sign == "~") {
            auto all = as_text(at, a);
            all.append(as_text(at, b));
            spend(at, all.size());
            return all;
        }
        if (sign == "+" && a.words() && b.words()) {
            spend(at, a.words()->size() + b.words()->size());
            text all = *a.words();
            all.append(*b.words());
            return all;
        }
        if (sign == "+" && a.elements() && b.elements()) {
            auto all = need_list(at, a).elements;
            auto const& more = need_list(at, b).elements;
            all.insert(all.end(), more.begin(), more.end());
            return list_of(at, std::move(all));
        }
        if (sign == "*" && (a.words() || b.words()) && (a.is_whole() || b.is_whole())) {
            auto const& words = a.words() ? *a.words() : *b.words();
            auto const times = a.is_whole() ? a.whole() : b.whole();
            text all;
            for (std::int64_t i = 0; i < times && words.size() > 0; ++i) {
                spend(at, words.size());
                all.append(words);
            }
            return all;
        }
        if (!a.is_number() || !b.is_number())
            refuse(at, a.what() + " " + sign + " " + b.what(), "two of a kind that the sign knows");
        if (a.is_whole() && b.is_whole() && sign != "/") {
            auto const left = a.whole(), right = b.whole();
            if (sign == "+" || sign == "-" || sign == "*") return combine(at, sign[0], left, right);
            if (right == 0) refuse(at, "a division by 0", "another number");
            if (right == -1) return sign == "%" ? std::int64_t{0} : combine(at, '-', 0, left);
            auto rest = left % right, quotient = left / right;
            if (rest != 0 && (rest < 0) != (right < 0)) rest += right, --quotient;
            return sign == "%" ? rest : quotient;
        }
        auto const left = a.number(), right = b.number();
        if (sign == "+") return left + right;
        if (sign == "-") return left - right;
        if (sign == "*") return left * right;
        if (right == 0) refuse(at, "a division by 0", "another number");
        if (sign == "/") return left / right;
        refuse(at, sign + " of numbers with a fraction", "integers");
    }

    value attribute(node const& at, value const& object, std::string const& name) {
        if (auto const* const found = object.members()) {
            constexpr std::string_view methods[] = {"get",        "items",   "keys",    "values",
                                                    "pop",        "update",  "copy",    "clear",
                                                    "setdefault", "popitem", "fromkeys"};
            if (is_among(methods, name)) refuse(at, "the method " + name + " that is not called", "a call");
            if (auto const* const member = find(at, *found, name)) return *member;
            return undefined{name};
        }
        if (auto const* const names = object.names()) {
            spend(at, 2 * names->members.size());
            for (auto const& [known, member] : names->members)
                if (known == name) return member;
            return undefined{name};
        }
        if (auto const* const run = object.run()) return of_loop(at, *run, name);
        if (object.is_undefined()) refuse(at, "the attribute " + name + " of " + object.what(), "a value");
        if (object.words() || object.elements())
            refuse(at, "the attribute " + name + " of " + object.what() + " that is not called", "a call");
        return undefined{name};
    }

    value of_loop(node const& at, loop const& run, std::string const& name) const {
        auto const index = static_cast<std::int64_t>(run.index);
        auto const size = static_cast<std::int64_t>(run.items->elements.size());
        auto const neighbour = [&](std::int64_t i) {
            return i >= 0 && i < size ? run.items->elements[static_cast<std::size_t>(i)]
                                      : value(undefined{name});
        };
        if (name == "index") return index + 1;
        if (name == "index0") return index;
        if (name == "revindex") return size - index;
        if (name == "revindex0") return size - index - 1;
        if (name == "first") return index == 0;
        if (name == "last") return index + 1 == size;
        if (name == "length") return size;
        // Of loops that call themselves, which this is not.
        if (name == "depth" || name == "depth0") return std::int64_t{name == "depth"};
        if (name == "previtem") return neighbour(index - 1);
        if (name == "nextitem") return neighbour(index + 1);
        refuse(at, "loop." + name,
               "index, index0, revindex, revindex0, first, last, length, depth, previtem or nextitem");
    }

    value item(node const& at, value const& object, value const& key) {
        if (object.is_undefined()) refuse(at, "an element of " + object.what(), "a value");
        if (auto const* const found = object.members()) {
            auto const* const member = key.words() ? find(at, *found, key.words()->bytes) : nullptr;
            if (member) return *member;
            return undefined{key.words() ? key.words()->bytes : std::string("an element")};
        }
        if (object.names() || object.run()) return attribute(at, object, need_text(at, key).bytes);
        if (key.is_whole() && object.elements()) {
            auto const& all = need_list(at, object).elements;
            auto const size = static_cast<std::int64_t>(all.size());
            auto const i = key.whole() < 0 ? key.whole() + size : key.whole();
            if (i >= 0 && i < size) return all[static_cast<std::size_t>(i)];
        } else if (key.is_whole() && object.words()) {
            auto const places = characters(at, *object.words());
            auto const size = static_cast<std::int64_t>(places.size()) - 1;
            auto const i = key.whole() < 0 ? key.whole() + size : key.whole();
            if (i >= 0 && i < size) {
                auto const first = places[static_cast<std::size_t>(i)],
                           last = places[static_cast<std::size_t>(i) + 1];
                return object.words()->part(first, last - first);
            }
        }
        return undefined{"an element"};
    }

    /// Where the characters of a text begin, and its end.
    std::vector<std::size_t> characters(node const& at, text const& words) {
        spend(at, 2 * words.size());
        std::vector<std::size_t> all;
        all.reserve(words.size() + 1);
        for (std::size_t i = 0; i < words.size(); i += character(words.bytes, i)) all.push_back(i);
        all.push_back(words.size());
        return all;
    }

    value slice(node const& at) {
        auto const object = evaluate(at.kids[0]);
        std::array<std::optional<std::int64_t>, 3> given{};
        for (std::size_t i = 0; i < 3; ++i)
            if (at.kids[i + 1] >= 0) {
                auto const one = evaluate(at.kids[i + 1]);
                if (!one.is_none()) given[i] = need_whole(at, one);
            }
        auto const step = given[2].value_or(1);
        if (step == 0) refuse(at, "a step of 0", "another");
        auto const* const words = object.words();
        if (!words && !object.elements()) refuse(at, "a part of " + object.what(), "a list or a text");
        auto const places = words ? characters(at, *words) : std::vector<std::size_t>{};
        auto const size =
            static_cast<std::int64_t>(words ? places.size() - 1 : need_list(at, object).elements.size());
        auto const low = step > 0 ? std::int64_t{0} : std::int64_t{-1};
        auto const high = step > 0 ? size : size - 1;
        auto const bound = [&](std::optional<std::int64_t> one, std::int64_t otherwise) {
            if (!one) return otherwise;
            return std::clamp(*one < 0 ? std::max(*one + size, low) : *one, low, high);
        };
        auto const begin = bound(given[0], step > 0 ? low : high),
                   end = bound(given[1], step > 0 ? high : low);
        if (words && step == 1) {
            if (begin >= end) return text();
            auto const first = places[static_cast<std::size_t>(begin)],
                       last = places[static_cast<std::size_t>(end)];
            spend(at, last - first);
            return words->part(first, last - first);
        }
        text part;
        std::vector<value> some;
        for (auto i = begin; step > 0 ? i < end : i > end;) {
            spend(at);
            auto const place = static_cast<std::size_t>(i);
            if (words) part.append(*words, places[place], places[place + 1] - places[place]);
            else some.push_back(object.elements()->elements[place]);
            if (step > 0 ? end - i <= step : end - i >= step) break;
            i += step;
        }
        return words ? value(std::move(part)) : list_of(at, std::move(some));
    }

    // Calls -----------------------------------------------------------------------------------------------

    /// Arguments of a call, filter or test: in order, then by name.
    struct arguments {
        std::vector<value> all{};
        std::vector<std::string> names{};  ///< of the last ones

        std::size_t in_order() const { return all.size() - names.size(); }
        /// The one at that place or of that name.
        value const* find(std::size_t place, std::string_view name) const {
            if (place < in_order()) return &all[place];
            for (std::size_t i = 0; i < names.size(); ++i)
                if (names[i] == name) return &all[in_order() + i];
            return nullptr;
        }
    };
    arguments arguments_of(node const& at, std::size_t words_before) {
        arguments given;
        for (std::size_t i = 1; i < at.kids.size(); ++i) given.all.push_back(evaluate(at.kids[i]));
        given.names.assign(at.words.begin() + static_cast<std::ptrdiff_t>(words_before), at.words.end());
        return given;
    }
    void require_arguments(node const& at, std::string_view what, arguments const& given, std::size_t least,
                           std::size_t most, std::initializer_list<std::string_view> names = {}) const {
        for (auto const& name : given.names)
            if (!is_among(names, name))
                refuse(at, "the argument " + name + " of " + std::string(what), "another");
        if (given.all.size() < least || given.all.size() > most)
            refuse(at, std::to_string(given.all.size()) + " arguments of " + std::string(what),
                   std::to_string(least) + (most > least ? " to " + std::to_string(most) : std::string()));
    }

    value call(node const& at) {
        auto const& callee = get(at.kids[0]);
        if (callee.kind == kinds::attribute) {
            spend(callee);
            auto const object = evaluate(callee.kids[0]);
            auto const& name = callee.words[0];
            auto const given = arguments_of(at, 0);
            if (object.words()) return method(at, *object.words(), name, given);
            if (object.members()) return method(at, *object.members(), name, given);
            refuse(at, "the method " + name + " of " + object.what(), "one of a text or a dict");
        }
        auto const called = evaluate(at.kids[0]);
        auto const* const known = called.known();
        if (!known) refuse(at, "a call of " + called.what(), "a function that is known");
        auto const given = arguments_of(at, 0);
        if (known->name == "raise_exception") {
            require_arguments(at, known->name, given, 1, 1);
            throw error({program_.file},
                        "a conversation that the chat template refuses in line " + std::to_string(at.line) +
                            ": " + printable(as_text(at, given.all[0]).bytes),
                        {});
        }
        if (known->name == "strftime_now") {
            require_arguments(at, known->name, given, 1, 1);
            return date(at, need_text(at, given.all[0]).bytes);
        }
        if (known->name == "range") {
            require_arguments(at, known->name, given, 1, 3);
            std::int64_t numbers[3] = {0, 0, 1};
            for (std::size_t i = 0; i < given.all.size(); ++i)
                numbers[given.all.size() == 1 ? 1 : i] = need_whole(at, given.all[i]);
            if (numbers[2] == 0) refuse(at, "a step of 0", "another");
            std::vector<value> all;
            for (auto i = numbers[0]; numbers[2] > 0 ? i < numbers[1] : i > numbers[1];
                 i = combine(at, '+', i, numbers[2])) {
                spend(at, 16);
                all.emplace_back(i);
            }
            return list_of(at, std::move(all));
        }
        // namespace or dict
        std::vector<std::pair<text, value>> members;
        if (given.in_order() > 1)
            refuse(at, "several values for " + std::string(known->name), "a dict and names");
        if (given.in_order() == 1) {
            if (!given.all[0].members()) refuse(at, given.all[0].what(), "a dict");
            members = given.all[0].members()->members;
            spend(at, 16 * members.size());
        }
        for (std::size_t i = 0; i < given.names.size(); ++i) {
            auto const& one = given.all[given.in_order() + i];
            require_kept(at, one);
            add(at, members, text(given.names[i]), element(at, one));
        }
        if (known->name == "dict") return dict_of(at, std::move(members));
        auto names = std::make_shared<name_space>();
        for (auto& [name, member] : members) names->members.emplace_back(name.bytes, std::move(member));
        return names;
    }

    value method(node const& at, dict const& of, std::string const& name, arguments const& given) {
        if (name == "get") {
            require_arguments(at, name, given, 1, 2);
            auto const* const member =
                given.all[0].words() ? find(at, of, given.all[0].words()->bytes) : nullptr;
            if (member) return *member;
            return given.all.size() > 1 ? given.all[1] : value(none{});
        }
        if (name != "items" && name != "keys" && name != "values")
            refuse(at, "the method " + name + " of a dict", "get, items, keys or values");
        require_arguments(at, name, given, 0, 0);
        return listed(at, of, name == "items", name == "values");
    }
    value listed(node const& at, dict const& of, bool pairs, bool members) {
        std::vector<value> all;
        spend(at, 32 * of.members.size());
        for (auto const& [key, member] : of.members)
            all.push_back(pairs ? make_list({key, member}) : members ? member : value(key));
        return list_of(at, std::move(all));
    }

    text stripped(node const& at, text const& of, bool left, bool right, value const* given) {
        text const* const signs = given && !given->is_none() ? &need_text(at, *given) : nullptr;
        auto const goes = [&](std::size_t place, std::size_t size) {
            if (!signs) return is_space(of.bytes, place);
            spend(at, signs->size());
            return signs->bytes.find(std::string_view(of.bytes).substr(place, size)) != std::string::npos;
        };
        std::size_t begin = 0, end = of.size();
        while (left && begin < end) {
            auto const size = character(of.bytes, begin);
            if (!goes(begin, size)) break;
            begin += size;
        }
        while (right && end > begin) {
            auto const last = std::max(begin, before(of.bytes, end));
            if (!goes(last, end - last)) break;
            end = last;
        }
        spend(at, of.size());
        return of.part(begin, end - begin);
    }

    text replaced(node const& at, text const& of, text const& old, text const& by, std::int64_t most) {
        text all;
        std::size_t from = 0;
        if (old.size() == 0 && most != 0) refuse(at, "an empty text that is replaced", "another");
        while (most != 0) {
            auto const found = find(at, of.bytes, old.bytes, from);
            if (found == std::string::npos) break;
            spend(at, by.size());
            all.append(of, from, found - from);
            all.append(by);
            from = found + old.size();
            --most;
        }
        spend(at, of.size());
        all.append(of, from);
        return all;
    }

    value split(node const& at, text const& of, arguments const& given) {
        require_arguments(at, "split", given, 0, 2, {"sep", "maxsplit"});
        auto const* const by = given.find(0, "sep");
        auto const* const limit = given.find(1, "maxsplit");
        auto most = limit ? need_whole(at, *limit) : -1;
        std::vector<value> all;
        auto const add_part = [&](std::size_t begin, std::size_t end) {
            spend(at, 32 + end - begin);
            all.emplace_back(of.part(begin, end - begin));
        };
        std::size_t from = 0;
        if (!by || by->is_none()) {
            spend(at, of.size());
            for (;;) {
                while (from < of.size() && is_space(of.bytes, from)) from += character(of.bytes, from);
                if (from == of.size()) break;
                auto end = from;
                if (most == 0) {
                    add_part(from, from + stripped(at, of.part(from), false, true, nullptr).size());
                    break;
                }
                while (end < of.size() && !is_space(of.bytes, end)) end += character(of.bytes, end);
                add_part(from, end);
                from = end;
                --most;
            }
            return list_of(at, std::move(all));
        }
        auto const& sign = need_text(at, *by);
        if (sign.size() == 0) refuse(at, "split by an empty text", "another");
        while (most != 0) {
            auto const found = find(at, of.bytes, sign.bytes, from);
            if (found == std::string::npos) break;
            add_part(from, found);
            from = found + sign.size();
            --most;
        }
        add_part(from, of.size());
        return list_of(at, std::move(all));
    }

    /// Letters beyond ASCII would need Unicode's tables.
    text in_case(node const& at, text of, std::string_view how) {
        spend(at, of.size());
        auto begins = true;
        for (auto& c : of.bytes) {
            if (static_cast<unsigned char>(c) >= 0x80)
                refuse(at, how.data() + std::string(" of a text beyond ASCII"), "ASCII");
            auto const is_upper = c >= 'A' && c <= 'Z', is_lower = c >= 'a' && c <= 'z';
            auto const up = how == "upper" || (how != "lower" && begins);
            if (up && is_lower) c = static_cast<char>(c - 'a' + 'A');
            if (!up && is_upper) c = static_cast<char>(c - 'A' + 'a');
            begins = how == "title" && !is_upper && !is_lower;
        }
        return of;
    }

    value method(node const& at, text const& of, std::string const& name, arguments const& given) {
        if (name == "startswith" || name == "endswith") {
            require_arguments(at, name, given, 1, 1);
            auto const fits = [&](value const& one) {
                auto const& part = need_text(at, one).bytes;
                spend(at, part.size());
                return name == "startswith" ? of.bytes.starts_with(part) : of.bytes.ends_with(part);
            };
            if (auto const* const several = given.all[0].elements())
                return std::any_of(several->elements.begin(), several->elements.end(), fits);
            return fits(given.all[0]);
        }
        if (name == "strip" || name == "lstrip" || name == "rstrip") {
            require_arguments(at, name, given, 0, 1);
            return stripped(at, of, name != "rstrip", name != "lstrip", given.find(0, {}));
        }
        if (name == "split") return split(at, of, given);
        if (name == "replace") {
            require_arguments(at, name, given, 2, 3);
            return replaced(at, of, need_text(at, given.all[0]), need_text(at, given.all[1]),
                            given.all.size() > 2 ? need_whole(at, given.all[2]) : -1);
        }
        if (name == "upper" || name == "lower" || name == "title" || name == "capitalize") {
            require_arguments(at, name, given, 0, 0);
            return in_case(at, of, name);
        }
        if (name == "removeprefix" || name == "removesuffix") {
            require_arguments(at, name, given, 1, 1);
            auto const& part = need_text(at, given.all[0]);
            spend(at, of.size());
            if (name == "removeprefix") return of.bytes.starts_with(part.bytes) ? of.part(part.size()) : of;
            return of.bytes.ends_with(part.bytes) ? of.part(0, of.size() - part.size()) : of;
        }
        if (name == "join") {
            require_arguments(at, name, given, 1, 1);
            return joined(at, given.all[0], of, true);
        }
        if (name == "find" || name == "count") {
            require_arguments(at, name, given, 1, 1);
            auto const& part = need_text(at, given.all[0]);
            if (part.size() == 0) refuse(at, "an empty text that is looked for", "another");
            auto place = find(at, of.bytes, part.bytes, 0);
            if (name == "find") {
                if (place == std::string::npos) return std::int64_t{-1};
                auto const places = characters(at, of.part(0, place));
                return static_cast<std::int64_t>(places.size()) - 1;
            }
            std::int64_t count = 0;
            for (; place != std::string::npos; ++count)
                place = find(at, of.bytes, part.bytes, place + part.size());
            return count;
        }
        refuse(at, "the method " + name + " of a text", "one that is implemented");
    }

    value joined(node const& at, value const& of, text const& between, bool texts_alone) {
        text all;
        auto first = true;
        auto const items = items_of(at, of);
        for (auto const& one : items->elements) {
            if (!first) all.append(between);
            first = false;
            auto const part = texts_alone ? need_text(at, one) : as_text(at, one);
            spend(at, part.size() + between.size());
            all.append(part);
        }
        return all;
    }

    /// Of the calendar's 400 years, counted from Sunday (Sakamoto 1992).
    std::size_t weekday() const {
        constexpr std::array<int, 12> before{0, 3, 2, 5, 0, 3, 5, 1, 4, 6, 2, 4};
        auto const year = now_.year - (now_.month < 3 ? 1 : 0);
        auto const days = year + year / 4 - year / 100 + year / 400 +
                          before[static_cast<std::size_t>(now_.month - 1) % 12] + now_.day;
        return static_cast<std::size_t>((days % 7 + 7) % 7);
    }

    value date(node const& at, std::string_view format) const {
        constexpr std::string_view months[] = {"January",   "February", "March",    "April",
                                               "May",       "June",     "July",     "August",
                                               "September", "October",  "November", "December"};
        constexpr std::string_view days[] = {"Sunday",   "Monday", "Tuesday", "Wednesday",
                                             "Thursday", "Friday", "Saturday"};
        std::string all;
        auto const number = [&](int one, int width) {
            std::array<char, 16> digits{};
            std::snprintf(digits.data(), digits.size(), "%0*d", width, one);
            all += digits.data();
        };
        for (std::size_t i = 0; i < format.size(); ++i) {
            if (format[i] != '%') {
                all += format[i];
                continue;
            }
            auto const letter = ++i < format.size() ? format[i] : '\0';
            auto const month = months[static_cast<std::size_t>(now_.month - 1) % 12];
            auto const day = days[weekday()];
            switch (letter) {
            case 'd': number(now_.day, 2); break;
            case 'm': number(now_.month, 2); break;
            case 'Y': number(now_.year, 4); break;
            case 'y': number(now_.year % 100, 2); break;
            case 'H': number(now_.hour, 2); break;
            case 'M': number(now_.minute, 2); break;
            case 'S': number(now_.second, 2); break;
            case 'B': all += month; break;
            case 'b': all += month.substr(0, 3); break;
            case 'A': all += day; break;
            case 'a': all += day.substr(0, 3); break;
            case '%': all += '%'; break;
            default:
                refuse(at, "strftime_now(" + printable(format) + ")", "%d %m %Y %y %H %M %S %B %b %A %a");
            }
        }
        return all;
    }

    // Filters and tests -----------------------------------------------------------------------------------

    value filter(node const& at) {
        auto const of = evaluate(at.kids[0]);
        auto const given = arguments_of(at, 1);
        return filter(at, at.words[0], of, given);
    }

    value filter(node const& at, std::string_view name, value const& of, arguments const& given) {
        auto const takes = [&](std::size_t least, std::size_t most,
                               std::initializer_list<std::string_view> names = {}) {
            require_arguments(at, name, given, least, most, names);
        };
        if (name == "trim") {
            takes(0, 1, {"chars"});
            return stripped(at, as_text(at, of), true, true, given.find(0, "chars"));
        }
        if (name == "length" || name == "count") {
            takes(0, 0);
            if (of.is_undefined()) return std::int64_t{0};
            if (of.words()) return static_cast<std::int64_t>(characters(at, *of.words()).size()) - 1;
            if (of.members()) return static_cast<std::int64_t>(of.members()->members.size());
            return static_cast<std::int64_t>(need_list(at, of).elements.size());
        }
        if (name == "default" || name == "d") {
            takes(0, 2, {"default_value", "boolean"});
            auto const* const otherwise = given.find(0, "default_value");
            auto const* const falsy = given.find(1, "boolean");
            if (of.is_undefined() || (falsy && holds(at, *falsy) && !holds(at, of)))
                return otherwise ? *otherwise : value(text());
            return of;
        }
        if (name == "tojson") {
            takes(0, 1, {"indent", "ensure_ascii"});
            if (given.in_order() > 0) refuse(at, "an argument of tojson without a name", "indent=");
            if (auto const* const ascii = given.find(1, "ensure_ascii"); ascii && holds(at, *ascii))
                refuse(at, "tojson with ensure_ascii", "none");
            auto const* const indent = given.find(1, "indent");
            auto const width = indent && !indent->is_none() ? need_whole(at, *indent) : -1;
            if (width > 64) refuse(at, "an indent of " + std::to_string(width), "at most 64");
            text all;
            write_json(at, of, static_cast<int>(std::max<std::int64_t>(width, -1)), 0, all);
            return all;
        }
        if (name == "string") {
            takes(0, 0);
            return as_text(at, of);
        }
        if (name == "safe") {
            takes(0, 0);
            return of;
        }
        if (name == "join") {
            takes(0, 2, {"d", "attribute"});
            auto const* const between = given.find(0, "d");
            auto const* const by = given.find(1, "attribute");
            auto all = of;
            if (by) {
                std::vector<value> picked;
                auto const items = items_of(at, of);
                for (auto const& one : items->elements) picked.push_back(deep(at, one, *by));
                all = list_of(at, std::move(picked));
            }
            return joined(at, all, between ? as_text(at, *between) : text(), false);
        }
        if (name == "list") {
            takes(0, 0);
            return list_of(at, items_of(at, of)->elements);
        }
        if (name == "items") {
            takes(0, 0);
            if (of.is_undefined()) return list_of(at, {}, true);
            if (!of.members()) refuse(at, "items of " + of.what(), "a dict");
            auto const all = listed(at, *of.members(), true, false);
            return list_of(at, all.elements()->elements, true);
        }
        if (name == "first" || name == "last") {
            takes(0, 0);
            if (name == "last" && of.elements()) (void)need_list(at, of);
            auto const all = items_of(at, of);
            if (all->elements.empty()) return undefined{"an element"};
            return name == "first" ? all->elements.front() : all->elements.back();
        }
        if (name == "upper" || name == "lower" || name == "title" || name == "capitalize") {
            takes(0, 0);
            return in_case(at, as_text(at, of), name);
        }
        if (name == "replace") {
            takes(2, 3, {"old", "new", "count"});
            auto const *const old = given.find(0, "old"), *const by = given.find(1, "new"),
                              *const count = given.find(2, "count");
            if (!old || !by) refuse(at, "replace without both texts", "both");
            return replaced(at, as_text(at, of), need_text(at, *old), need_text(at, *by),
                            count ? need_whole(at, *count) : -1);
        }
        if (name == "reverse") {
            takes(0, 0);
            auto elements = items_of(at, of)->elements;
            std::reverse(elements.begin(), elements.end());
            auto all = list_of(at, std::move(elements), !of.words());
            return of.words() ? joined(at, all, {}, true) : all;
        }
        if (name == "int" || name == "float") {
            takes(0, 1, {"default"});
            return number_of(at, name == "int", of, given.find(0, "default"));
        }
        if (name == "abs") {
            takes(0, 0);
            if (!of.is_number()) refuse(at, "abs of " + of.what(), "a number");
            if (of.real()) return std::fabs(*of.real());
            return of.whole() < 0 ? combine(at, '-', 0, of.whole()) : of.whole();
        }
        if (name == "map") return mapped(at, of, given);
        // select, reject, selectattr, rejectattr
        auto const by_attribute = name.ends_with("attr");
        auto const wanted = name.starts_with("select");
        std::size_t const first = by_attribute ? 1 : 0;
        if (!given.names.empty() || given.all.size() < first)
            refuse(at, "the arguments of " + std::string(name),
                   by_attribute ? "an attribute and a test" : "a test");
        std::string test_name;
        if (given.all.size() > first) {
            test_name = need_text(at, given.all[first]).bytes;
            if (!is_among(known_tests, test_name))
                refuse(at, "the test " + printable(test_name), "one that is implemented");
        }
        arguments rest;
        if (given.all.size() > first + 1)
            rest.all.assign(given.all.begin() + static_cast<std::ptrdiff_t>(first + 1), given.all.end());
        std::vector<value> kept;
        auto const items = items_of(at, of);
        for (auto const& one : items->elements) {
            spend(at);
            auto const tested = by_attribute ? deep(at, one, given.all[0]) : one;
            if ((test_name.empty() ? holds(at, tested) : test(at, test_name, tested, rest)) == wanted)
                kept.push_back(one);
        }
        return list_of(at, std::move(kept), true);
    }

    /// "a.b" of a value.
    value deep(node const& at, value const& of, value const& path, value const* otherwise = nullptr) {
        auto const or_otherwise = [&](value found) {
            return found.is_undefined() && otherwise ? *otherwise : std::move(found);
        };
        if (path.is_whole()) return or_otherwise(item(at, of, path));
        std::string_view left = need_text(at, path).bytes;
        auto result = of;
        for (;;) {
            spend(at, left.size());
            auto const dot = left.find('.');
            auto const part = left.substr(0, dot);
            std::int64_t index = 0;
            auto const [end, failed] = std::from_chars(part.data(), part.data() + part.size(), index);
            auto const is_index =
                failed == std::errc{} && end == part.data() + part.size() && part.front() != '-';
            result = or_otherwise(item(at, result, is_index ? value(index) : value(std::string(part))));
            if (dot == left.npos) return result;
            left.remove_prefix(dot + 1);
        }
    }

    value mapped(node const& at, value const& of, arguments const& given) {
        std::vector<value> all;
        if (given.in_order() == 0) {
            require_arguments(at, "map", given, 1, 2, {"attribute", "default"});
            auto const* const by = given.find(0, "attribute");
            auto const* const otherwise = given.find(1, "default");
            if (!by) refuse(at, "map without an attribute", "one");
            auto const items = items_of(at, of);
            for (auto const& one : items->elements) all.push_back(deep(at, one, *by, otherwise));
            return list_of(at, std::move(all), true);
        }
        auto const& name = need_text(at, given.all[0]).bytes;
        if (!is_among(known_filters, name))
            refuse(at, "the filter " + printable(name), "one that is implemented");
        // A filter of filters could nest as deep as it likes.
        if (name == "map") refuse(at, "map by map", "another filter");
        arguments rest{{given.all.begin() + 1, given.all.end()}, given.names};
        auto const items = items_of(at, of);
        for (auto const& one : items->elements) {
            auto made = filter(at, name, one, rest);
            require_kept(at, made);
            all.push_back(element(at, made));
        }
        return list_of(at, std::move(all), true);
    }

    value number_of(node const& at, bool is_integer, value const& of, value const* otherwise) {
        if (of.is_undefined()) refuse(at, "a number of " + of.what(), "a value");
        auto const fallback = otherwise ? *otherwise : is_integer ? value(std::int64_t{0}) : value(0.0);
        if (of.is_whole()) return is_integer ? value(of.whole()) : value(of.number());
        auto number = of.real() ? *of.real() : 0.0;
        if (of.words()) {
            auto const words = stripped(at, *of.words(), true, true, nullptr).bytes;
            auto const* const end = words.data() + words.size();
            auto const* const begin = words.data() + (words.starts_with('+') ? 1 : 0);
            std::int64_t whole = 0;
            if (auto const [stop, failed] = std::from_chars(begin, end, whole);
                stop == end && failed == std::errc{})
                return is_integer ? value(whole) : value(static_cast<double>(whole));
            auto const [stop, failed] = std::from_chars(begin, end, number);
            if (stop != end || failed != std::errc{}) return fallback;
        } else if (!of.real()) {
            return fallback;
        }
        if (!is_integer) return number;
        if (!(std::fabs(number) < 9e18)) return fallback;
        return static_cast<std::int64_t>(number);
    }

    void write_json(node const& at, value const& of, int indent, int level, text& to) {
        auto const line = [&](int deep) {
            if (indent < 0) return;
            to.append("\n" + std::string(static_cast<std::size_t>(indent * deep), ' '));
            spend(at, static_cast<std::size_t>(indent * deep));
        };
        std::string_view const comma = indent < 0 ? ", " : ",";
        spend(at, 8);
        if (of.is_none()) to.append("null");
        else if (of.flag()) to.append(*of.flag() ? "true" : "false");
        else if (of.words()) write_json(at, *of.words(), to);
        else if (of.integer()) to.append(std::to_string(*of.integer()));
        else if (of.real() && std::isfinite(*of.real())) to.append(shown(*of.real()));
        else if (auto const* const all = of.elements(); all && !all->is_lazy) {
            to.append("[");
            auto first = true;
            for (auto const& one : all->elements) {
                if (!first) to.append(comma);
                first = false;
                line(level + 1);
                write_json(at, one, indent, level + 1, to);
            }
            if (!first) line(level);
            to.append("]");
        } else if (of.members()) {
            to.append("{");
            auto first = true;
            for (auto const& [key, one] : of.members()->members) {
                if (!first) to.append(comma);
                first = false;
                line(level + 1);
                write_json(at, key, to);
                to.append(": ");
                write_json(at, one, indent, level + 1, to);
            }
            if (!first) line(level);
            to.append("}");
        } else refuse(at, of.what() + " as JSON", "a value that JSON has");
    }
    void write_json(node const& at, text const& of, text& to) {
        spend(at, 2 * of.size());
        to.append("\"");
        std::size_t done = 0;
        for (std::size_t i = 0; i < of.size(); ++i) {
            auto const c = of.bytes[i];
            if (static_cast<unsigned char>(c) >= 0x20 && c != '"' && c != '\\') continue;
            to.append(of, done, i - done);
            done = i + 1;
            constexpr std::string_view signs = "\"\\\n\r\t\f\b", letters = "\"\\nrtfb";
            auto const found = signs.find(c);
            std::array<char, 8> escape{'\\', found == signs.npos ? 'u' : letters[found]};
            if (found == signs.npos)
                std::snprintf(escape.data(), escape.size(), "\\u%04x", static_cast<unsigned>(c));
            to.append(escape.data(), of.from.empty() ? 0 : of.from[i]);
        }
        to.append(of, done);
        to.append("\"");
    }

    value test(node const& at) {
        auto const of = evaluate(at.kids[0]);
        return test(at, at.words[0], of, arguments_of(at, 1));
    }

    bool test(node const& at, std::string_view name, value const& of, arguments const& given) {
        auto const argument = [&]() -> value const& {
            require_arguments(at, name, given, 1, 1);
            return given.all[0];
        };
        auto const alone = [&] { require_arguments(at, name, given, 0, 0); };
        if (name == "equalto" || name == "eq" || name == "==") return equal(at, of, argument());
        if (name == "ne" || name == "!=") return !equal(at, of, argument());
        if (name == "lt" || name == "lessthan" || name == "<") return compare(at, "<", of, argument());
        if (name == "le" || name == "<=") return compare(at, "<=", of, argument());
        if (name == "gt" || name == "greaterthan" || name == ">") return compare(at, ">", of, argument());
        if (name == "ge" || name == ">=") return compare(at, ">=", of, argument());
        if (name == "in") return contains(at, argument(), of);
        if (name == "sameas") {
            auto const& other = argument();
            if ((of.is_none() || of.flag()) && (other.is_none() || other.flag()))
                return of.is_none() ? other.is_none() : other.flag() && *of.flag() == *other.flag();
            if ((of.is_none() || of.flag()) != (other.is_none() || other.flag())) return false;
            refuse(at, "sameas of " + of.what(), "true, false or none");
        }
        if (name == "divisibleby") {
            auto const by = need_whole(at, argument());
            if (by == 0) refuse(at, "a division by 0", "another number");
            return by == -1 || need_whole(at, of) % by == 0;
        }
        alone();
        if (name == "defined") return !of.is_undefined();
        if (name == "undefined") return of.is_undefined();
        if (name == "none") return of.is_none();
        if (name == "string") return of.words() != nullptr;
        if (name == "mapping") return of.members() != nullptr;
        if (name == "iterable")
            return of.words() || of.elements() || of.members() || of.is_undefined() || of.run();
        if (name == "sequence")
            return of.words() || (of.elements() && !of.elements()->is_lazy) || of.members() ||
                   of.is_undefined();
        if (name == "number") return of.is_number();
        if (name == "integer") return of.integer() != nullptr;
        if (name == "float") return of.real() != nullptr;
        if (name == "boolean") return of.flag() != nullptr;
        if (name == "true") return of.flag() && *of.flag();
        if (name == "false") return of.flag() && !*of.flag();
        if (name == "callable") return of.known() != nullptr;
        auto const rest = need_whole(at, of) % 2;
        return (rest != 0) == (name == "odd");
    }

    program const& program_;
    moment now_;
    std::int64_t budget_;
    std::vector<value> values_;                   ///< of variables
    std::vector<std::pair<ints, value>> undo_{};  ///< what variables were outside of loops
    text* out_ = nullptr;
    std::vector<rendering::range>* spans_ = nullptr;
    ints loop_name_ = -2;
    int frames_ = 0;
};

}  // namespace detail

/// Runs a template with these variables. Throws, with the line, when the template does so itself, does what is not
/// implemented, or goes on for longer than is enough for any chat of that size (`size`: bytes and messages).
inline rendering render(program const& of, variables const& given, moment now, std::size_t bytes,
                        std::size_t messages) {
    auto const budget = (std::int64_t{1} << 20) + 8 * static_cast<std::int64_t>(bytes) +
                        4096 * static_cast<std::int64_t>(messages);
    return detail::evaluator(of, given, now, budget).run();
}

}  // namespace snug::SNUG_TARGET::io::jinja
