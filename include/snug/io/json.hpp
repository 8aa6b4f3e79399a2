// SPDX-License-Identifier: Apache-2.0
#pragma once

/// \file
/// The one place that parses JSON (RFC 8259), strictly: no key twice, no trailing text, no comments, no NaN,
/// valid UTF-8, and a bounded size, depth, length and number of values. Who reads a file asks for what must be there
/// and gets it, or a `snug::error` with file, byte, key, found and expected.
///
/// Texts are untrusted: what a document takes is at most 48 MiB and four times its text, in a handful of blocks,
/// for a value is 24 bytes (a member 40), is where it stays, and the blocks are counted before the first is made.

#include <algorithm>
#include <array>
#include <charconv>
#include <cstddef>
#include <cstdint>
#include <iterator>
#include <limits>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <type_traits>
#include <utility>
#include <vector>

#include <nlohmann/json.hpp>

#include <snug/error.hpp>
#include <snug/io/file.hpp>
#include <snug/io/size.hpp>
#include <snug/meta.hpp>

namespace snug::SNUG_TARGET::io {

namespace detail {
class json_builder;
struct json_store;
}  // namespace detail

struct json_member;

/// A text of a document: valid as long as that, and a `std::string` where one is wanted.
class json_text : public std::string_view {
  public:
    using std::string_view::string_view;
    operator std::string() const { return std::string(data(), size()); }

    friend std::string operator+(std::string before, json_text const& text) { return before.append(text); }
    friend std::string operator+(json_text const& text, std::string_view after) {
        return std::string(text).append(after);
    }
};

/// A value of a JSON text. It belongs to its `json_document` and is valid as long as that.
class json {
  public:
    using array = std::span<json const>;
    using object = std::span<json_member const>;  ///< by key

    bool is_null() const noexcept { return kind() == kinds::null; }
    bool is_flag() const noexcept { return kind() == kinds::flag; }
    bool is_integer() const noexcept { return kind() == kinds::integer; }
    bool is_number() const noexcept { return is_integer() || kind() == kinds::real; }
    bool is_text() const noexcept { return kind() == kinds::text; }
    bool is_array() const noexcept { return kind() == kinds::array; }
    bool is_object() const noexcept { return kind() == kinds::object; }

    // The value itself. Each throws when it is of another kind.

    bool flag() const { return require(kinds::flag, "true or false").flag; }
    json_text text() const {
        auto const* const begin = require(kinds::text, "a string").text;
        return json_text(begin, size_of());
    }
    array elements() const {
        auto const* const begin = require(kinds::array, "an array").elements;
        return {begin, size_of()};
    }
    object members() const;
    /// Throws for a number with a fraction or an exponent, too.
    index_t integer() const { return require(kinds::integer, "an integer below 2^63").integer; }
    /// An integer counts as a real number.
    double real() const {
        if (is_integer()) return static_cast<double>(value_.integer);
        return require(kinds::real, "a number").real;
    }
    /// An integer that is not negative.
    checked size() const {
        if (integer() < 0) refuse(what(), "a size that is not negative");
        return integer();
    }

    // Members of an object. Each throws when this is no object.

    /// The member of that key, or none.
    json const* find(std::string_view key) const;
    /// The member of that key. Throws when there is none.
    json const& at(std::string_view key) const {
        if (auto const* const found = find(key)) return *found;
        refuse("an object without " + printable(key), "such a member");
    }
    /// The member of that key is there and not null.
    bool has(std::string_view key) const {
        auto const* const found = find(key);
        return found != nullptr && !found->is_null();
    }

    /// Byte of the file that the value begins at.
    index_t offset() const noexcept;
    place where() const;

    /// What it is, for messages: "null", "the number 12", "an array".
    std::string what() const {
        switch (kind()) {
        case kinds::null: return "null";
        case kinds::flag: return value_.flag ? "true" : "false";
        case kinds::integer: return "the number " + std::to_string(value_.integer);
        case kinds::real: return "the number " + nlohmann::json(value_.real).dump();
        case kinds::text: return "the string " + printable(text());
        case kinds::array: return "an array";
        case kinds::object: break;
        }
        return "an object";
    }

    /// Throws that this value is not what it should be.
    [[noreturn]] void refuse(std::string found, std::string expected) const;

  private:
    friend class detail::json_builder;
    friend struct detail::json_store;

    enum class kinds : std::uint32_t { null, flag, integer, real, text, array, object };
    union any {
        bool flag;
        std::int64_t integer;
        double real;
        char const* text;
        json const* elements;
        json_member const* members;
    };
    static constexpr std::uint32_t size_bits = 29;

    json(detail::json_store const* store, std::uint32_t offset, kinds kind, any value, std::size_t size = 0)
        : store_(store),
          value_(value),
          offset_(offset),
          kind_and_size_(static_cast<std::uint32_t>(kind) << size_bits | static_cast<std::uint32_t>(size)) {}

    kinds kind() const noexcept { return static_cast<kinds>(kind_and_size_ >> size_bits); }
    std::size_t size_of() const noexcept { return kind_and_size_ & ((std::uint32_t{1} << size_bits) - 1); }
    any require(kinds kind_wanted, char const* expected) const {
        if (kind() != kind_wanted) refuse(what(), expected);
        return value_;
    }

    detail::json_store const* store_;
    any value_;
    std::uint32_t offset_;  ///< in the text
    std::uint32_t kind_and_size_;
};

/// A member of an object.
struct json_member {
    json_text key;
    json value;
};

/// What becomes of a key that an object has twice.
enum class repeated_keys {
    refused,
    kept  ///< `members()` has all of them, equal ones in the order of the text; `find` and `at` give the last
};

namespace detail {

/// What the values of a document refer to: one piece each, made once.
struct json_store {
    std::string file;
    index_t start = 0;  ///< of the text in the file
    std::string texts{};
    std::vector<json> elements{};
    std::vector<json_member> members{};
    std::vector<json> root{};

    /// The key of the value at that byte of the text, or none; for a message, so it may take its time.
    json_text const* key_of(std::uint32_t offset) const noexcept {
        for (auto const& member : members)
            if (member.value.offset_ == offset && !member.key.empty()) return &member.key;
        return nullptr;
    }
};

}  // namespace detail

inline json::object json::members() const {
    auto const* const begin = require(kinds::object, "an object").members;
    return {begin, size_of()};
}

inline json const* json::find(std::string_view key) const {
    auto const all = members();
    auto const after = std::ranges::upper_bound(all, key, {}, &json_member::key);
    return after != all.begin() && after[-1].key == key ? &after[-1].value : nullptr;
}

inline index_t json::offset() const noexcept { return store_->start + offset_; }
inline place json::where() const { return {store_->file, offset()}; }

inline void json::refuse(std::string found, std::string expected) const {
    if (auto const* const key = store_->key_of(offset_)) found += " for " + printable(*key);
    throw error(where(), std::move(found), std::move(expected));
}

namespace detail {

/// Reads a text for the parser and notes how far it has come.
class json_input {
  public:
    using iterator_category = std::input_iterator_tag;
    using value_type = char;
    using difference_type = std::ptrdiff_t;
    using pointer = char const*;
    using reference = char const&;

    json_input(char const* at, char const** reached) noexcept : at_(at), reached_(reached) {}

    reference operator*() const noexcept { return *at_; }
    json_input& operator++() noexcept {
        *reached_ = ++at_;
        return *this;
    }
    json_input operator++(int) noexcept {
        auto const before = *this;
        ++*this;
        return before;
    }
    bool operator==(json_input const& other) const noexcept { return at_ == other.at_; }

  private:
    char const* at_;
    char const** reached_;
};

/// What a text holds, counted without parsing it: right for JSON, and for any other text up to where the parser
/// stops. Throws for what is beyond the bounds.
class json_outline {
  public:
    static constexpr std::size_t deepest = 64;
    static constexpr std::size_t longest_text = std::size_t{1} << 23;
    static constexpr std::size_t longest_other = std::size_t{1} << 20;
    /// About a second of parsing; twice the longest tokenizer.json of a published model.
    static constexpr std::size_t longest_document = std::size_t{1} << 26;
    /// As a hostile text takes two bytes for a value, and a value more in memory.
    static constexpr std::size_t most_values(std::size_t bytes) {
        return (std::size_t{1} << 20) + bytes / 20;
    }

    std::vector<std::uint32_t> sizes;  ///< of the arrays and objects, in the order in which they begin
    std::size_t elements = 0;
    std::size_t members = 0;
    std::size_t text_bytes = 0;  ///< of all strings as they are written

    json_outline(std::string_view text, std::string const& file, index_t start) {
        auto const refuse = [&](std::size_t at, std::string found, std::string const& expected) {
            throw error({file, start + static_cast<index_t>(at)}, std::move(found), expected);
        };
        if (text.size() > longest_document)
            refuse(0, "a text of " + std::to_string(text.size()) + " bytes",
                   "at most " + std::to_string(longest_document));
        struct container {
            std::size_t index;
            bool is_object;
            bool is_empty;
        };
        std::array<container, deepest> open{};
        std::size_t depth = 0;
        std::size_t values = 0;
        std::size_t before = 0;  // where the last string or sign ended
        auto const most = most_values(text.size());
        auto const count = [&](std::size_t at) {
            if (++values >= most)
                refuse(at, "more than " + std::to_string(most) + " values", "at most that many");
            ++sizes[open[depth - 1].index];
            ++(open[depth - 1].is_object ? members : elements);
        };
        for (std::size_t i = 0; i < text.size(); ++i) {
            auto const c = text[i];
            // The parser would take a zero byte for the end and not look at what follows.
            if (c == '\0') refuse(i, "a zero byte", "JSON");
            bool const is_sign =
                c == '"' || c == '{' || c == '}' || c == '[' || c == ']' || c == ',' || c == ':';
            if (!is_sign) {
                if (i - before >= longest_other)
                    refuse(before,
                           "a number or blanks of more than " + std::to_string(longest_other) + " bytes",
                           "at most that many");
                bool const is_blank = c == ' ' || c == '\n' || c == '\r' || c == '\t';
                if (depth > 0 && !is_blank) open[depth - 1].is_empty = false;
                continue;
            }
            if (depth > 0 && (c == '"' || c == '{' || c == '[')) open[depth - 1].is_empty = false;
            if (c == '"') {
                auto const begin = i;
                while (++i < text.size() && text[i] != '"') {
                    if (text[i] == '\0') refuse(i, "a zero byte", "JSON");
                    i += text[i] == '\\';
                }
                if (i - begin > longest_text)
                    refuse(begin, "a string of more than " + std::to_string(longest_text) + " bytes",
                           "at most that many");
                text_bytes += std::min(i, text.size()) - begin;
            } else if (c == '{' || c == '[') {
                if (depth == deepest)
                    refuse(i, "values in more than " + std::to_string(deepest) + " others",
                           "at most that many");
                open[depth++] = {sizes.size(), c == '{', true};
                sizes.push_back(0);
            } else if (depth > 0 && c == ',') {
                count(i);
            } else if (depth > 0 && (c == '}' || c == ']')) {
                if (!open[depth - 1].is_empty) count(i);
                --depth;
            }
            before = i + 1;
        }
        // What is left open goes on with one more.
        for (; depth > 0; --depth) count(text.size());
    }
};

/// Builds the values from what the parser finds, one after another. The names of the functions are those that
/// nlohmann::json's SAX parser calls.
class json_builder {
  public:
    /// Fills `store` with the values of `text`.
    static void parse(std::string_view text, json_store& store, repeated_keys repeated) {
        constexpr std::string_view blanks = " \t\n\r";             // which files end in to have a round size
        text = text.substr(0, text.find_last_not_of(blanks) + 1);  // npos + 1 is 0
        json_builder builder(text, store, repeated);
        json_input const first(text.data(), &builder.reached_);
        json_input const last(text.data() + text.size(), &builder.reached_);
        nlohmann::json::sax_parse(first, last, &builder);
    }

    bool null() { return add(json::kinds::null, {.integer = 0}); }
    bool boolean(bool value) { return add(json::kinds::flag, {.flag = value}); }
    bool number_integer(std::int64_t value) { return add(json::kinds::integer, {.integer = value}); }
    bool number_unsigned(std::uint64_t value) {
        constexpr std::uint64_t largest = std::numeric_limits<std::int64_t>::max();
        return value <= largest ? number_integer(static_cast<std::int64_t>(value))
                                : add(json::kinds::real, {.real = static_cast<double>(value)});
    }
    bool number_float(double value, std::string const&) { return add(json::kinds::real, {.real = value}); }
    bool string(std::string const& value) {
        auto const kept = keep(value);
        return add(json::kinds::text, {.text = kept.data()}, kept.size());
    }
    bool binary(nlohmann::json::binary_t&) { return false; }  // not of JSON

    bool start_object(std::size_t) {
        auto const at = token();
        auto const size = next_size();
        auto* const begin = store_.members.data() + members_;
        members_ += size;
        put(json(&store_, at, json::kinds::object, {.members = begin}, size));
        open_.push_back({.members = begin, .left = size});
        return true;
    }
    bool key(std::string const& key) {
        (void)token();
        key_ = keep(key);
        return true;
    }
    bool end_object() {
        (void)token();
        auto const& done = open_.back();
        std::span const members(done.members - done.count, done.count);
        open_.pop_back();
        // Not a stable sort, which would take memory.
        std::ranges::sort(members, [](json_member const& a, json_member const& b) {
            auto const order = a.key.compare(b.key);
            return order != 0 ? order < 0 : a.value.offset_ < b.value.offset_;
        });
        if (repeated_ == repeated_keys::kept) return true;
        auto const again = std::ranges::adjacent_find(members, {}, &json_member::key);
        if (again != members.end())
            throw error(again[1].value.where(), "the key " + printable(again->key) + " for the second time",
                        "every key of an object once");
        return true;
    }
    bool start_array(std::size_t) {
        auto const at = token();
        auto const size = next_size();
        auto* const begin = store_.elements.data() + elements_;
        elements_ += size;
        put(json(&store_, at, json::kinds::array, {.elements = begin}, size));
        open_.push_back({.elements = begin, .left = size});
        return true;
    }
    bool end_array() {
        (void)token();
        open_.pop_back();
        return true;
    }

    bool parse_error(std::size_t position, std::string const& last, nlohmann::json::exception const& reason) {
        constexpr int out_of_range = 406;
        throw error({store_.file, store_.start + std::max<index_t>(static_cast<index_t>(position) - 1, 0)},
                    reason.id == out_of_range ? "the number " + printable(last)
                                              : "text that is not JSON, " + printable(last),
                    reason.id == out_of_range ? "a number that fits fp64" : "JSON in UTF-8");
    }

  private:
    /// An array or object that is not at its end yet, and where its next value goes.
    struct container {
        json* elements = nullptr;
        json_member* members = nullptr;
        std::size_t left = 0;
        std::size_t count = 0;
    };

    json_builder(std::string_view text, json_store& store, repeated_keys repeated)
        : store_(store),
          repeated_(repeated),
          outline_(text, store.file, store.start),
          text_(text),
          reached_(text.data()),
          last_end_(text.data()) {
        json const nothing(&store_, 0, json::kinds::null, {.integer = 0});
        store_.texts.reserve(outline_.text_bytes);
        store_.elements.assign(outline_.elements, nothing);
        store_.members.assign(outline_.members, {{}, nothing});
    }

    /// Byte of the text at which the token begins that the parser has just read.
    std::uint32_t token() noexcept {
        constexpr std::string_view between = " \t\n\r,:";
        auto const* const end = text_.data() + text_.size();
        auto const* begin = last_end_;
        while (begin != end && between.find(*begin) != between.npos) ++begin;
        last_end_ = reached_;
        return static_cast<std::uint32_t>(begin - text_.data());
    }

    std::size_t next_size() { return outline_.sizes.at(next_++); }

    json_text keep(std::string const& text) {
        auto const begin = store_.texts.size();
        store_.texts += text;
        return json_text(store_.texts.data() + begin, text.size());
    }

    bool add(json::kinds kind, json::any value, std::size_t size = 0) {
        put(json(&store_, token(), kind, value, size));
        return true;
    }
    void put(json const& value) {
        if (open_.empty()) {
            store_.root.push_back(value);
            return;
        }
        auto& inside = open_.back();
        if (inside.left == 0) value.refuse("a value that was not counted", "JSON");
        --inside.left;
        ++inside.count;
        if (inside.members != nullptr) *inside.members++ = {key_, value};
        else *inside.elements++ = value;
    }

    json_store& store_;
    repeated_keys repeated_;
    json_outline outline_;
    std::string_view text_;
    char const* reached_;   ///< by the parser
    char const* last_end_;  ///< of the token before
    std::vector<container> open_;
    json_text key_{};           ///< of the member that comes next
    std::size_t next_ = 0;      ///< array or object
    std::size_t elements_ = 0;  ///< that have a place
    std::size_t members_ = 0;
};

}  // namespace detail

/// `text` as JSON writes it, in quotes. Throws when it is not UTF-8.
inline std::string json_quoted(std::string_view text) {
    try {
        return nlohmann::json(text).dump();
    } catch (nlohmann::json::type_error const&) {
        throw error({}, "the text " + printable(text), "UTF-8");
    }
}

/// The shortest text that reads as the same number.
inline std::string json_number(double value) {
    char text[32];
    auto const end = std::to_chars(text, text + sizeof(text), value).ptr;
    return {text, end};
}

/// A parsed JSON text.
class json_document {
  public:
    /// Throws when the file is missing, larger than `most` bytes, or not JSON as this header describes it.
    json_document(std::string path, checked most) : json_document(mapping(std::move(path)), most) {}

    /// A text that begins at byte `start` of `file`.
    json_document(std::string_view text, std::string file, index_t start,
                  repeated_keys repeated = repeated_keys::refused)
        : store_(new detail::json_store{std::move(file), start}) {
        detail::json_builder::parse(text, *store_, repeated);
    }

    json const& root() const noexcept { return store_->root.front(); }
    std::string const& file() const noexcept { return store_->file; }

  private:
    json_document(mapping const& file, checked most) : json_document(within(file, most), file.path(), 0) {}

    static std::string_view within(mapping const& file, checked most) {
        if (file.size() > most)
            throw error({file.path()}, "a file of " + std::to_string(file.size().value()) + " bytes",
                        "at most " + std::to_string(most.value()));
        return {reinterpret_cast<char const*>(file.bytes().data()), file.bytes().size()};
    }

    std::unique_ptr<detail::json_store> store_;  ///< where the values look for it, wherever this moves
};

}  // namespace snug::SNUG_TARGET::io
