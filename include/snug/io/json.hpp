// SPDX-License-Identifier: Apache-2.0
#pragma once

/// \file
/// The one place that parses JSON (RFC 8259), strictly: no key twice, no trailing text, no comments, no NaN,
/// valid UTF-8, and a bounded size, depth and number of values. Who reads a file asks for what must be there
/// and gets it, or a `snug::error` with file, byte, key, found and expected.

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <iterator>
#include <limits>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <variant>
#include <vector>

#include <nlohmann/json.hpp>

#include <snug/error.hpp>
#include <snug/io/file.hpp>
#include <snug/io/size.hpp>
#include <snug/meta.hpp>

namespace snug::io {

namespace detail {
class json_builder;
}

struct json_member;

/// A value of a JSON text. It belongs to its `json_document` and is valid as long as that.
class json {
  public:
    using array = std::vector<json>;
    using object = std::vector<json_member>;  ///< by key

    bool is_null() const noexcept { return holds<std::monostate>(); }
    bool is_flag() const noexcept { return holds<bool>(); }
    bool is_integer() const noexcept { return holds<std::int64_t>(); }
    bool is_number() const noexcept { return holds<std::int64_t>() || holds<double>(); }
    bool is_text() const noexcept { return holds<std::string>(); }
    bool is_array() const noexcept { return holds<array>(); }
    bool is_object() const noexcept { return holds<object>(); }

    // The value itself. Each throws when it is of another kind.

    bool flag() const { return as<bool>("true or false"); }
    std::string const& text() const { return as<std::string>("a string"); }
    array const& elements() const { return as<array>("an array"); }
    object const& members() const { return as<object>("an object"); }
    /// Throws for a number with a fraction or an exponent, too.
    index_t integer() const { return as<std::int64_t>("an integer below 2^63"); }
    /// An integer counts as a real number.
    double real() const {
        if (auto const* const whole = std::get_if<std::int64_t>(&value_)) return static_cast<double>(*whole);
        return as<double>("a number");
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
    index_t offset() const noexcept { return offset_; }
    place where() const { return {*file_, offset_}; }

    /// What it is, for messages: "null", "the number 12", "an array".
    std::string what() const {
        struct {
            std::string operator()(std::monostate) const { return "null"; }
            std::string operator()(bool flag) const { return flag ? "true" : "false"; }
            std::string operator()(std::int64_t number) const {
                return "the number " + std::to_string(number);
            }
            std::string operator()(double number) const {
                return "the number " + nlohmann::json(number).dump();
            }
            std::string operator()(std::string const& text) const { return "the string " + printable(text); }
            std::string operator()(array const&) const { return "an array"; }
            std::string operator()(object const&) const { return "an object"; }
        } const words;
        return std::visit(words, value_);
    }

    /// Throws that this value is not what it should be.
    [[noreturn]] void refuse(std::string found, std::string expected) const {
        if (key_ != nullptr) found += " for " + printable(*key_);
        throw error(where(), std::move(found), std::move(expected));
    }

  private:
    friend class detail::json_builder;
    using any = std::variant<std::monostate, bool, std::int64_t, double, std::string, array, object>;

    json(any value, std::string const& file, index_t offset);

    template <class T>
    bool holds() const noexcept {
        return std::holds_alternative<T>(value_);
    }
    template <class T>
    T const& as(char const* expected) const {
        if (auto const* const held = std::get_if<T>(&value_)) return *held;
        refuse(what(), expected);
    }

    any value_;
    std::string const* file_;
    std::string const* key_ = nullptr;  ///< in the object that it is a member of
    index_t offset_;
};

/// A member of an object.
struct json_member {
    std::string key;
    json value;
};

// Below its member type: clang 14 destroys the variant's alternatives where this is defined.
inline json::json(any value, std::string const& file, index_t offset)
    : value_(std::move(value)), file_(&file), offset_(offset) {}

inline json const* json::find(std::string_view key) const {
    auto const& all = members();
    auto const found = std::ranges::lower_bound(all, key, {}, &json_member::key);
    return found != all.end() && found->key == key ? &found->value : nullptr;
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

/// Builds the values from what the parser finds, one after another. The names of the functions are those that
/// nlohmann::json's SAX parser calls.
class json_builder {
  public:
    static constexpr std::size_t deepest = 64;
    /// As a hostile text takes two bytes for a value, and a value far more in memory.
    static constexpr std::size_t most_values = std::size_t{1} << 22;

    /// The value that `text` holds, which begins at byte `start` of `file`.
    static json parse(std::string_view text, std::string const& file, index_t start) {
        // The parser would take a zero byte for the end and not look at what follows.
        if (auto const zero = text.find('\0'); zero != text.npos)
            throw error({file, start + static_cast<index_t>(zero)}, "a zero byte", "JSON");
        json_builder builder(text, file, start);
        json_input const first(text.data(), &builder.reached_);
        json_input const last(text.data() + text.size(), &builder.reached_);
        nlohmann::json::sax_parse(first, last, &builder);
        return std::move(builder.result_.front());
    }

    bool null() { return add(std::monostate{}); }
    bool boolean(bool value) { return add(value); }
    bool number_integer(std::int64_t value) { return add(value); }
    bool number_unsigned(std::uint64_t value) {
        constexpr std::uint64_t largest = std::numeric_limits<std::int64_t>::max();
        return value <= largest ? add(static_cast<std::int64_t>(value)) : add(static_cast<double>(value));
    }
    bool number_float(double value, std::string const&) { return add(value); }
    bool string(std::string& value) { return add(std::move(value)); }
    bool binary(nlohmann::json::binary_t&) { return false; }  // not of JSON

    bool start_object(std::size_t) { return open(json::object{}); }
    bool key(std::string& key) {
        (void)token();
        open_.back().key = std::move(key);
        return true;
    }
    bool end_object() {
        auto& members = std::get<json::object>(open_.back().value.value_);
        std::ranges::stable_sort(members, {}, &json_member::key);
        auto const again = std::ranges::adjacent_find(members, {}, &json_member::key);
        if (again != members.end())
            throw error(again[1].value.where(), "the key " + printable(again->key) + " for the second time",
                        "every key of an object once");
        for (auto& member : members) member.value.key_ = &member.key;
        return close();
    }
    bool start_array(std::size_t) { return open(json::array{}); }
    bool end_array() { return close(); }

    bool parse_error(std::size_t position, std::string const& last, nlohmann::json::exception const& reason) {
        constexpr int out_of_range = 406;
        throw error({file_, start_ + std::max<index_t>(static_cast<index_t>(position) - 1, 0)},
                    reason.id == out_of_range ? "the number " + printable(last)
                                              : "text that is not JSON, " + printable(last),
                    reason.id == out_of_range ? "a number that fits fp64" : "JSON in UTF-8");
    }

  private:
    /// An array or object that is not at its end yet.
    struct container {
        json value;
        std::string key{};  ///< of the member that comes next
    };

    json_builder(std::string_view text, std::string const& file, index_t start)
        : file_(file), text_(text), start_(start), reached_(text.data()), last_end_(text.data()) {}

    /// Byte at which the token begins that the parser has just read.
    index_t token() noexcept {
        constexpr std::string_view between = " \t\n\r,:";
        auto const* const end = text_.data() + text_.size();
        auto const* begin = last_end_;
        while (begin != end && between.find(*begin) != between.npos) ++begin;
        last_end_ = reached_;
        return start_ + (begin - text_.data());
    }

    bool add(json::any value) {
        put(json(std::move(value), file_, token()));
        return true;
    }
    bool open(json::any value) {
        auto const at = token();
        if (open_.size() == deepest)
            throw error({file_, at}, "values in more than " + std::to_string(deepest) + " others",
                        "at most that many");
        open_.push_back({json(std::move(value), file_, at)});
        return true;
    }
    bool close() {
        (void)token();
        auto done = std::move(open_.back().value);
        open_.pop_back();
        put(std::move(done));
        return true;
    }
    void put(json value) {
        if (++values_ > most_values)
            throw error(value.where(), "more than " + std::to_string(most_values) + " values",
                        "at most that many");
        if (open_.empty()) {
            result_.push_back(std::move(value));
        } else if (auto* const elements = std::get_if<json::array>(&open_.back().value.value_)) {
            elements->push_back(std::move(value));
        } else {
            auto& inside = open_.back();
            std::get<json::object>(inside.value.value_).push_back({std::move(inside.key), std::move(value)});
        }
    }

    std::string const& file_;
    std::string_view text_;
    index_t start_;
    char const* reached_;   ///< by the parser
    char const* last_end_;  ///< of the token before
    std::vector<container> open_;
    std::vector<json> result_;
    std::size_t values_ = 0;
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

/// A parsed JSON text.
class json_document {
  public:
    /// Throws when the file is missing, larger than `most` bytes, or not JSON as this header describes it.
    json_document(std::string path, checked most) : json_document(mapping(std::move(path)), most) {}

    /// A text that begins at byte `start` of `file`.
    json_document(std::string_view text, std::string file, index_t start)
        : file_(std::make_unique<std::string>(std::move(file))),
          root_(detail::json_builder::parse(text, *file_, start)) {}

    json const& root() const noexcept { return root_; }
    std::string const& file() const noexcept { return *file_; }

  private:
    json_document(mapping const& file, checked most) : json_document(within(file, most), file.path(), 0) {}

    static std::string_view within(mapping const& file, checked most) {
        if (file.size() > most)
            throw error({file.path()}, "a file of " + std::to_string(file.size().value()) + " bytes",
                        "at most " + std::to_string(most.value()));
        return {reinterpret_cast<char const*>(file.bytes().data()), file.bytes().size()};
    }

    std::unique_ptr<std::string const> file_;  ///< where the values look for it, wherever this moves
    json root_;
};

}  // namespace snug::io
