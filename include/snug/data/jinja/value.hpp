// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <variant>
#include <vector>

#include <snug/utf8.hpp>

namespace snug::SNUG_TARGET::io::jinja {

/// A text, and of each byte the message that it is of: the template's own words are of none.
struct text {
    std::string bytes;
    std::u32string
        from;  ///< the number of the message and one more, 0 for the template's; empty: all are the template's

    text() = default;
    explicit text(std::string words) : bytes(std::move(words)) {}
    text(std::string words, std::size_t message)
        : bytes(std::move(words)), from(bytes.size(), static_cast<char32_t>(message + 1)) {}

    std::size_t size() const noexcept { return bytes.size(); }

    void append(std::string_view words, char32_t of = 0) {
        if (of != 0 || !from.empty()) {
            from.resize(bytes.size());
            from.append(words.size(), of);
        }
        bytes += words;
    }
    void append(text const& other, std::size_t at = 0, std::size_t count = std::string::npos) {
        count = std::min(count, other.size() - at);
        if (other.from.empty()) return append(std::string_view(other.bytes).substr(at, count));
        from.resize(bytes.size());
        from.append(other.from, at, count);
        bytes.append(other.bytes, at, count);
    }
    text part(std::size_t at, std::size_t count = std::string::npos) const {
        text result;
        result.append(*this, at, count);
        return result;
    }
};

/// Bytes of the character that begins there: one where that is no UTF-8.
inline std::size_t character(std::string_view bytes, std::size_t at) {
    return std::max<std::size_t>(1, utf8::character(bytes.substr(at, 4)));
}

/// What Python's `str.isspace` says of the character that begins there.
inline bool is_space(std::string_view bytes, std::size_t at) {
    if (static_cast<unsigned char>(bytes[at]) < 0x80)
        return (bytes[at] >= 0x9 && bytes[at] <= 0xd) || (bytes[at] >= 0x1c && bytes[at] <= 0x20);
    auto const here = bytes.substr(at, 4);
    return utf8::character(here) > 0 && utf8::white_space(utf8::code_point(here));
}

/// Where the character before `at` begins.
inline std::size_t before(std::string_view bytes, std::size_t at) {
    for (std::size_t back = std::min<std::size_t>(4, at); back > 1; --back)
        if (utf8::character(bytes.substr(at - back, back)) == back) return at - back;
    return at - 1;
}

class value;
struct undefined {
    std::string what = {};
};
struct none {};
struct function {
    std::string_view name;
};
struct list;
struct dict;
struct name_space;
struct loop;

/// A value of a template: Python's, as far as templates of chats need them.
class value {
  public:
    using list_of = std::shared_ptr<list const>;
    using dict_of = std::shared_ptr<dict const>;

    value() = default;  ///< undefined
    value(undefined what) : any_(std::move(what)) {}
    value(none) : any_(none{}) {}
    value(bool flag) : any_(flag) {}
    value(std::int64_t number) : any_(number) {}
    value(double number) : any_(number) {}
    value(text words) : any_(std::make_shared<text const>(std::move(words))) {}
    value(std::string words) : value(text(std::move(words))) {}
    value(char const* words) : value(std::string(words)) {}
    value(function known) : any_(known) {}
    value(list_of elements) : any_(std::move(elements)) {}
    value(dict_of members) : any_(std::move(members)) {}
    value(std::shared_ptr<name_space> names) : any_(std::move(names)) {}
    value(std::shared_ptr<loop> run) : any_(std::move(run)) {}

    bool is_undefined() const noexcept { return std::holds_alternative<undefined>(any_); }
    bool is_none() const noexcept { return std::holds_alternative<none>(any_); }
    bool const* flag() const noexcept { return std::get_if<bool>(&any_); }
    std::int64_t const* integer() const noexcept { return std::get_if<std::int64_t>(&any_); }
    double const* real() const noexcept { return std::get_if<double>(&any_); }
    undefined const* missing() const noexcept { return std::get_if<undefined>(&any_); }
    function const* known() const noexcept { return std::get_if<function>(&any_); }
    text const* words() const noexcept { return pointed<text const>(); }
    list const* elements() const noexcept { return pointed<list const>(); }
    dict const* members() const noexcept { return pointed<dict const>(); }
    name_space* names() const noexcept { return pointed<name_space>(); }
    loop* run() const noexcept { return pointed<loop>(); }
    list_of shared_elements() const {
        auto const* const found = std::get_if<list_of>(&any_);
        return found ? *found : nullptr;
    }

    /// Numbers as Python counts them: True is 1.
    bool is_whole() const noexcept { return flag() || integer(); }
    bool is_number() const noexcept { return is_whole() || real(); }
    std::int64_t whole() const noexcept { return flag() ? *flag() : *integer(); }
    double number() const noexcept { return real() ? *real() : static_cast<double>(whole()); }

    /// Levels of lists and dicts: 0 for what is none.
    int depth() const noexcept;
    /// What it is, for messages.
    std::string what() const {
        if (auto const* const found = missing())
            return found->what.empty() ? "an undefined value" : found->what + ", which is undefined";
        if (is_none()) return "none";
        if (flag()) return *flag() ? "true" : "false";
        if (is_number()) return "a number";
        if (words()) return "a text";
        if (elements()) return "a list";
        if (members()) return "a dict";
        if (names()) return "a namespace";
        if (run()) return "a loop";
        return "a function";
    }

  private:
    template <class T>
    T* pointed() const noexcept {
        auto const* const found = std::get_if<std::shared_ptr<T>>(&any_);
        return found ? found->get() : nullptr;
    }

    std::variant<undefined, none, bool, std::int64_t, double, std::shared_ptr<text const>, list_of, dict_of,
                 std::shared_ptr<name_space>, std::shared_ptr<loop>, function>
        any_{};
};

struct list {
    std::vector<value> elements;
    bool is_lazy = false;  ///< Python's generator, which has no length and no elements by number
    int depth = 1;
};

/// In the order in which its members were written.
struct dict {
    std::vector<std::pair<text, value>> members;
    int depth = 1;

    value const* find(std::string_view key) const {
        for (auto const& [name, member] : members)
            if (name.bytes == key) return &member;
        return nullptr;
    }
};

struct name_space {
    std::vector<std::pair<std::string, value>> members{};
};

/// A loop that runs.
struct loop {
    value::list_of items;
    std::size_t index = 0;
};

inline int value::depth() const noexcept {
    if (auto const* const found = elements()) return found->depth;
    if (auto const* const found = members()) return found->depth;
    return 0;
}

inline value make_list(std::vector<value> elements, bool is_lazy = false) {
    int depth = 0;
    for (auto const& one : elements) depth = std::max(depth, one.depth());
    return std::make_shared<list const>(list{std::move(elements), is_lazy, depth + 1});
}
inline value make_dict(std::vector<std::pair<text, value>> members) {
    int depth = 0;
    for (auto const& one : members) depth = std::max(depth, one.second.depth());
    return std::make_shared<dict const>(dict{std::move(members), depth + 1});
}

}  // namespace snug::SNUG_TARGET::io::jinja
