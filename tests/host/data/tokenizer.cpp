// SPDX-License-Identifier: Apache-2.0
#include <catch2/catch.hpp>

#include <atomic>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <initializer_list>
#include <optional>
#include <string>
#include <string_view>
#include <thread>
#include <utility>
#include <vector>

#include <snug/data/tokenizer.hpp>
#include <snug/data/tokenizer/normalizer.hpp>
#include <snug/data/tokenizer/pre_tokenizer.hpp>
#include <snug/data/tokenizer/regex.hpp>
#include <snug/io/gguf.hpp>
#include <snug/io/json.hpp>
#include <snug/random.hpp>
#include <snug/utf8.hpp>

#include "../../reference/fixture.hpp"
#include "../io/faults.hpp"

using namespace snug::io;
namespace utf8 = snug::utf8;
using Catch::Matchers::Contains;

namespace {
std::string const reference = SNUG_TEST_DATA;

snug_test::fixture const& fixture() {
    static snug_test::fixture const loaded(reference + "/tokenizers.fixture");
    return loaded;
}

std::vector<std::string> strings() {
    std::vector<std::string> result;
    auto next = fixture()["strings"].values.begin();
    for (auto const length : fixture()["lengths"].values) {
        std::string text;
        for (auto i = 0.0; i < length; ++i) text += static_cast<char>(static_cast<unsigned char>(*next++));
        result.push_back(text);
    }
    return result;
}

std::int32_t hash(std::vector<std::int32_t> const& tokens) {
    std::uint64_t value = 0xcbf29ce484222325u;
    for (auto const token : tokens) value = (value ^ static_cast<std::uint32_t>(token)) * 0x100000001b3u;
    return static_cast<std::int32_t>(static_cast<std::uint32_t>(value >> 32) ^
                                     static_cast<std::uint32_t>(value));
}

/// Compares with the tokens of Hugging Face's tokenizers, string by string.
void check(tokenizer const& tested, std::string const& name,
           special_tokens special = special_tokens::recognised) {
    auto const texts = strings();
    auto const& hashes = fixture()[name].values;
    REQUIRE(hashes.size() == texts.size());
    REQUIRE(texts.size() >= 10'000);
    std::size_t different = 0;
    for (std::size_t i = 0; i < texts.size(); ++i) {
        auto const tokens = tested.encode(texts[i], special);
        if (hash(tokens) == static_cast<std::int32_t>(hashes[i])) continue;
        if (++different > 5) continue;
        std::string listed;
        for (auto const token : tokens) listed += " " + std::to_string(token);
        UNSCOPED_INFO(name << " string " << i << " " << printable(texts[i]) << " became" << listed);
    }
    CHECK(different == 0);
}

tokenizer load(std::string const& name) {
    return tokenizer::from_json(reference + "/tokenizers/" + name + ".json");
}

std::string replaced(std::string text, std::string_view old, std::string_view with) {
    auto const at = text.find(old);
    REQUIRE(at != text.npos);
    return text.replace(at, old.size(), with);
}

std::string json_of(std::string const& name) {
    return test::read_file(reference + "/tokenizers/" + name + ".json");
}

/// A tokenizer of this text of a tokenizer.json.
tokenizer of(std::string const& json) {
    test::scratch directory;
    test::write_file(directory / "tokenizer.json", json);
    return tokenizer::from_json(directory / "tokenizer.json");
}
}  // namespace

TEST_CASE("tokens are those of Hugging Face's tokenizers: the rules of GPT-2") {
    check(load("gpt2"), "gpt2");
    check(of(replaced(json_of("gpt2"), "\"add_prefix_space\": false", "\"add_prefix_space\": true")),
          "gpt2.spaced");
}

TEST_CASE("tokens are those of Hugging Face's tokenizers: the rules of SmolLM, bytes without a token") {
    check(load("smollm"), "smollm");
    check(of(replaced(json_of("smollm"), "\"fuse_unk\": false", "\"fuse_unk\": true")), "smollm.fused");
}

TEST_CASE("tokens are those of Hugging Face's tokenizers: the rules of Llama-3, words that no merge makes") {
    check(load("llama3"), "llama3");
    check(load("llama3"), "llama3.plain", special_tokens::plain_text);
}

TEST_CASE("tokens are those of Hugging Face's tokenizers: SmolLM2") {
    auto const* const path = std::getenv("SNUG_SMOLLM2");
    if (!path) {
        WARN("skipped: SNUG_SMOLLM2 does not name the GGUF file of SmolLM2-135M-Instruct");
        return;
    }
    auto const smollm2 = tokenizer::from_gguf(gguf(path));
    CHECK(smollm2.vocabulary() == 49152);
    CHECK(smollm2.begin_of_text() == smollm2.id_of("<|im_start|>"));
    CHECK(smollm2.end_of_text() == smollm2.id_of("<|im_end|>"));
    CHECK_THAT(smollm2.chat_template(), Contains("add_generation_prompt"));
    check(smollm2, "smollm2");
    check(smollm2, "smollm2.plain", special_tokens::plain_text);
}

TEST_CASE("any bytes come back, valid UTF-8 or not") {
    auto const gpt2 = load("gpt2");
    for (auto const& text : strings()) {
        // No <left> and <right>, which take the spaces around them.
        auto const tokens = gpt2.encode(text, special_tokens::plain_text);
        if (text.find("<left>") == text.npos && text.find("<right>") == text.npos)
            REQUIRE(gpt2.decode(tokens) == text);
    }
    for (std::uint64_t i = 0; i < 2000; ++i) {
        std::string bytes;
        for (std::uint64_t j = 0; j < 1 + i % 40; ++j)
            bytes += static_cast<char>(static_cast<unsigned char>(snug::random::bits(1, i, j)));
        REQUIRE(gpt2.decode(gpt2.encode(bytes)) == bytes);
    }
    std::string every;
    for (int byte = 0; byte < 256; ++byte) every += static_cast<char>(static_cast<unsigned char>(byte));
    CHECK(gpt2.decode(gpt2.encode(every)) == every);
    CHECK(gpt2.encode("").empty());
    CHECK(gpt2.decode({}).empty());
}

TEST_CASE("bytes that are not UTF-8 part the words around them and change nothing else") {
    auto const gpt2 = load("gpt2");
    auto const joined = [&](std::initializer_list<std::string_view> parts) {
        std::vector<std::int32_t> tokens;
        for (auto const part : parts)
            for (auto const token : gpt2.encode(part)) tokens.push_back(token);
        return tokens;
    };
    // A byte that never occurs, a character cut short, one too long, half of a pair, beyond Unicode.
    for (std::string const bad :
         {"\xff", "\xe2\x82", "\xc0\xaf", "\xed\xa0\x80", "\xf4\x90\x80\x80", "\x80\x80\x80"})
        CHECK(gpt2.encode("the boat's" + bad + " 7 boats") == joined({"the boat's", bad, " 7 boats"}));
}

TEST_CASE("UTF-8 is what RFC 3629 allows") {
    auto const spelled = [](std::uint32_t point) {
        auto const tail = [&](int shift) { return static_cast<char>(0x80 | ((point >> shift) & 0x3f)); };
        if (point < 0x80) return std::string{static_cast<char>(point)};
        if (point < 0x800) return std::string{static_cast<char>(0xc0 | point >> 6), tail(0)};
        if (point < 0x10000) return std::string{static_cast<char>(0xe0 | point >> 12), tail(6), tail(0)};
        return std::string{static_cast<char>(0xf0 | point >> 18), tail(12), tail(6), tail(0)};
    };
    bool same = true;
    for (std::uint32_t point = 0; point < 0x120000; ++point) {
        auto const text = spelled(point);
        auto const valid = point < 0x110000 && (point < 0xd800 || point > 0xdfff);
        same &= utf8::character(text + "a") == (valid ? text.size() : 0);
        if (valid) same &= utf8::code_point(text) == point;
        if (text.size() > 1) same &= utf8::character(text.substr(0, text.size() - 1)) == 0;
    }
    CHECK(same);
    for (std::string const overlong : {"\xc0\x80", "\xc1\xbf", "\xe0\x80\x80", "\xe0\x9f\xbf",
                                       "\xf0\x80\x80\x80", "\xf0\x8f\xbf\xbf", "\xf5\x80\x80\x80"})
        CHECK(utf8::character(overlong) == 0);
    CHECK(utf8::character("") == 0);
    CHECK(utf8::valid_prefix("a\xc3\xa9\xff") == 3);
}

TEST_CASE("special tokens are recognised, or are text") {
    auto const gpt2 = load("gpt2");
    CHECK(gpt2.encode("<|im_end|>") == std::vector{gpt2.id_of("<|im_end|>")});
    auto const text = gpt2.encode("<|im_end|>", special_tokens::plain_text);
    CHECK(text.size() > 3);
    CHECK(gpt2.decode(text) == "<|im_end|>");
    // A token that was added but steers nothing is one either way.
    CHECK(gpt2.encode("<tab>", special_tokens::plain_text) == std::vector{gpt2.id_of("<tab>")});
}

TEST_CASE("a token is its bytes, wherever they cut a character") {
    auto const gpt2 = load("gpt2");
    CHECK(gpt2.vocabulary() == 1005);
    CHECK(gpt2.token(gpt2.id_of(" ")) == " ");
    CHECK(gpt2.token(gpt2.id_of("\xe0")) == "\xe0");
    CHECK(gpt2.token(gpt2.id_of("<right>")) == "<right>");
    std::vector<std::int32_t> const half{gpt2.id_of("\xe0"), gpt2.id_of("a")};
    CHECK(gpt2.decode(half) ==
          "\xe0"
          "a");
    CHECK_THAT(test::refusal([&] { (void)gpt2.id_of("no such token"); }),
               Contains("no token \"no such token\""));
    CHECK_THAT(test::refusal([&] { (void)gpt2.token(1005); }),
               Contains("token 1005, expected one below the vocabulary of 1005"));
    std::vector<std::int32_t> const negative{-1};
    CHECK_THAT(test::refusal([&] { (void)gpt2.decode(negative); }), Contains("token -1"));
    CHECK_FALSE(gpt2.begin_of_text());
    CHECK(gpt2.chat_template().empty());
}

TEST_CASE("a word of a million letters takes no time that grows with its square") {
    auto const gpt2 = load("gpt2");
    std::string const word(1 << 20, 'a');
    auto const begin = std::chrono::steady_clock::now();
    CHECK(gpt2.decode(gpt2.encode(word)) == word);
    // A tenth of a second; a second with sanitizers; with the square, hours.
    CHECK(std::chrono::steady_clock::now() - begin < std::chrono::seconds(10));
}

TEST_CASE("threads share a tokenizer, and a copy outlives the original") {
    auto const expected = load("smollm").encode("four boats, 44 boats");
    std::optional<tokenizer> original = load("smollm");
    auto const copy = *original;
    original.reset();
    std::vector<std::thread> threads;
    std::atomic<int> same = 0;
    for (int i = 0; i < 4; ++i)
        threads.emplace_back([&] {
            for (int j = 0; j < 50; ++j) same += copy.encode("four boats, 44 boats") == expected;
        });
    for (auto& thread : threads) thread.join();
    CHECK(same == 200);
}

namespace {
std::string const byte_level = R"({"type": "ByteLevel", "add_prefix_space": false})";

/// A small tokenizer.json. `\u0120` is a space.
struct tiny {
    std::string vocabulary = R"("a": 0, "b": 1, "\u0120": 2, "ab": 3, "\u0120ab": 4)";
    std::string merges = R"(["a b", ["\u0120", "ab"]])";
    std::string added = "[]";
    std::string rules = byte_level;
    std::string model = "";
    std::string root = "";

    std::string json() const {
        return "{\"normalizer\": null, \"added_tokens\": " + added + ", \"pre_tokenizer\": " + rules + root +
               ", \"model\": {\"type\": \"BPE\", \"vocab\": {" + vocabulary + "}, \"merges\": " + merges +
               model + "}}";
    }
};

std::string added(std::int64_t id, std::string const& text, std::string const& more = "") {
    return R"({"id": )" + std::to_string(id) + R"(, "content": ")" + text + R"(", "special": true)" + more +
           "}";
}

std::string split(std::string const& pattern, std::string const& more = R"("behavior": "Isolated")") {
    return R"({"type": "Sequence", "pretokenizers": [{"type": "Split", "pattern": )" + pattern + ", " + more +
           "}, " + byte_level + "]}";
}

std::string refused(tiny const& parts) {
    return test::refusal([&] { (void)of(parts.json()); });
}

std::vector<std::int32_t> encoded(tiny const& parts, std::string const& text) {
    return of(parts.json()).encode(text);
}
}  // namespace

TEST_CASE("merges go by rank, the leftmost first") {
    CHECK(encoded({}, "ab abab b") == std::vector{3, 4, 3, 2, 1});
    CHECK(encoded({.vocabulary = R"("a": 0, "b": 1, "\u0120": 2, "ab": 3, "\u0120a": 4)",
                   .merges = R"(["a b", "\u0120 a"])"},
                  " ab") == std::vector{2, 3});
    CHECK(encoded({.vocabulary = R"("a": 0, "aa": 1, "aaa": 2)", .merges = R"(["a a", "aa a"])"}, "aaaaa") ==
          std::vector{1, 2});
    // A word that is in the vocabulary is not that token when the merges do not lead there, unless they are ignored.
    tiny const unreachable{.vocabulary = R"("a": 0, "b": 1, "c": 2, "ab": 3, "abc": 4, "bc": 5)",
                           .merges = R"(["a b", "b c"])"};
    CHECK(encoded(unreachable, "abc") == std::vector{3, 2});
    auto ignored = unreachable;
    ignored.model = R"(, "ignore_merges": true)";
    CHECK(encoded(ignored, "abc") == std::vector{4});
    // A pair that is listed twice has its last rank.
    CHECK(encoded({.vocabulary = R"("a": 0, "b": 1, "c": 2, "ab": 3, "bc": 4)",
                   .merges = R"(["a b", "b c", "a b"])"},
                  "abc") == std::vector{0, 4});
    // Without a token, without an unknown one: nothing.
    CHECK(encoded({}, "axb") == std::vector{3});
    CHECK(encoded({.model = R"(, "unk_token": "\u0120")"}, "axyb") == std::vector{0, 2, 2, 1});
    CHECK(encoded({.model = R"(, "unk_token": "\u0120", "fuse_unk": true)"}, "xaxyb") ==
          std::vector{2, 0, 2, 1});
}

TEST_CASE("tokens that are looked for before normalization come first") {
    tiny const both{.added = "[" + added(3, "ab", R"(, "normalized": true)") + ", " +
                             added(5, "b<", R"(, "normalized": false)") + "]"};
    CHECK(encoded(both, "ab<") == std::vector{0, 5});
    CHECK(encoded(both, "ab b<") == std::vector{3, 2, 5});
}

TEST_CASE("the steps of a pre-tokenizer cut, remove and invert") {
    CHECK(encoded({.rules = split(R"({"Regex": "b"})")}, "abab") == std::vector{0, 1, 0, 1});
    CHECK(encoded({.rules = split(R"({"String": "."})")}, "ab") == std::vector{3});
    CHECK(encoded({.rules = split(R"({"String": "."})", R"("behavior": "Removed")")}, "ab.a.b") ==
          std::vector{3, 0, 1});
    CHECK(encoded({.rules = split(R"({"Regex": "a+"})", R"("behavior": "Removed", "invert": true)")},
                  "abab") == std::vector{0, 0});
    // An expression that matches nothing at all parts what is around it, and the search goes on.
    CHECK(encoded({.rules = split(R"x({"Regex": "(?=b)"})x")}, "abab") == std::vector{0, 1, 0, 1});
    CHECK(encoded({.rules = split(R"({"Regex": "x*"})")}, "abab") == std::vector{0, 1, 0, 1});
}

TEST_CASE("a tokenizer.json that is not byte-level BPE is refused in words") {
    CHECK(refused({}).empty());
    auto const model = [](std::string const& more) { return refused({.model = ", " + more}); };
    CHECK_THAT(test::refusal([&] { (void)of(replaced(tiny{}.json(), "BPE", "Unigram")); }),
               Contains("a model of the type \"Unigram\"") && Contains("expected BPE"));
    CHECK_THAT(model(R"("dropout": 0.1)"), Contains("expected none"));
    CHECK_THAT(model(R"("byte_fallback": true)"), Contains("byte-level BPE"));
    CHECK_THAT(model(R"("end_of_word_suffix": "</w>")"), Contains("\"</w>\""));
    CHECK_THAT(model(R"("continuing_subword_prefix": "##")"), Contains("\"##\""));
    CHECK_THAT(model(R"("unk_token": "nowhere")"), Contains("unknown token \"nowhere\""));
    auto const normalizer = [](std::string const& rule) {
        return test::refusal([&] { (void)of(replaced(tiny{}.json(), "null", rule)); });
    };
    CHECK_THAT(normalizer(R"({"type": "Lowercase"})"), Contains("a normalizer of the type \"Lowercase\"") &&
                                                           Contains("Sequence, NFC, NFD, NFKC or NFKD"));
    CHECK_THAT(normalizer(R"({"type": "Sequence", "normalizers": [{"type": "NFC"}, {"type": "Strip"}]})"),
               Contains("\"Strip\""));
    CHECK_THAT(model(R"("dropout": "0")"), Contains("a number"));
    CHECK_THAT(refused({.root = R"(, "decoder": {"type": "WordPiece"})"}),
               Contains("a decoder of the type \"WordPiece\""));
    CHECK_THAT(refused({.rules = R"({"type": "Metaspace"})"}),
               Contains("\"Metaspace\"") && Contains("Split, Digits or ByteLevel"));
    CHECK_THAT(refused({.rules = R"({"type": "Digits"})"}), Contains("without ByteLevel"));
    CHECK_THAT(refused({.rules = "null"}), Contains("without ByteLevel"));
    CHECK_THAT(refused({.rules = R"({"type": "Sequence", "pretokenizers": [)" + byte_level + ", " +
                                 byte_level + "]}"}),
               Contains("ByteLevel as the last one"));
    CHECK_THAT(refused({.rules = split(R"({"Regex": "a"})", R"("behavior": "MergedWithNext")")}),
               Contains("Isolated or Removed"));
    CHECK_THAT(refused({.added = "[" + added(5, "<s>", R"(, "single_word": true)") + "]"}),
               Contains("\"single_word\""));
}

TEST_CASE("a damaged vocabulary is refused") {
    CHECK_THAT(refused({.vocabulary = R"("a": 0, "b": 1, "\u0120": 1, "ab": 3, "\u0120ab": 4)"}),
               Contains("id 1") && Contains("one token for an id"));
    CHECK_THAT(refused({.vocabulary = R"("a": 0, "a": 1, "\u0120": 2, "ab": 3, "\u0120ab": 4)"}),
               Contains("the key \"a\""));
    CHECK_THAT(refused({.vocabulary = R"("a": -1, "b": 1, "\u0120": 2, "ab": 3, "\u0120ab": 4)"}),
               Contains("id -1"));
    CHECK_THAT(refused({.vocabulary = R"("a": 9223372036854775807, "b": 1)"}),
               Contains("id 9223372036854775807"));
    CHECK_THAT(refused({.vocabulary = R"("a": 0.5, "b": 1)"}), Contains("an integer"));
    CHECK_THAT(refused({.vocabulary = R"("a": "0", "b": 1)"}), Contains("an integer"));
    CHECK_THAT(refused({.vocabulary = ""}), Contains("which is no token"));
    CHECK_THAT(refused({.merges = R"(["a x"])"}),
               Contains("merge 0") && Contains("\"x\", which is no token"));
    CHECK_THAT(refused({.merges = R"(["a b", "b a"])"}),
               Contains("merge 1") && Contains("\"ba\", which is no token"));
    for (std::string const bad : {"a", " a", "a ", "a b c", "", " "})
        CHECK_THAT(refused({.merges = "[\"" + bad + "\"]"}),
                   Contains("two tokens with a space between them"));
    CHECK_THAT(refused({.merges = R"([["a"]])"}), Contains("a merge of 1 tokens"));
    CHECK_THAT(refused({.merges = R"([["a", 1]])"}), Contains("a string"));
    CHECK_THAT(refused({.merges = R"({"a": "b"})"}), Contains("an array"));
    CHECK_THAT(refused({.added = "[" + added(5, "a") + "]"}), Contains("as 0 and as 5"));
    CHECK_THAT(refused({.added = "[" + added(5, "<s>") + ", " + added(5, "<s>") + "]"}),
               Contains("\"<s>\" as 5 and as 6"));
    CHECK_THAT(refused({.added = "[" + added(5, "") + "]"}), Contains("without text"));
    CHECK_THAT(refused({.added = R"([{"id": 5, "content": "<s>", "special": 1}])"}),
               Contains("true or false"));
    CHECK_THAT(refused({.added = R"([5])"}), Contains("an object"));
    // Its bytes are those of another, its text is not.
    CHECK(of(tiny{.added = "[" + added(2, " ") + "]"}.json()).encode(" ") == std::vector{5});
    // The place is that of the value.
    auto const json = tiny{.merges = R"(["a b", "b"])"}.json();
    CHECK_THAT(test::refusal([&] { (void)of(json); }),
               Contains("byte " + std::to_string(json.find(R"("b"])"))));
}

TEST_CASE("any cut of a tokenizer.json is refused") {
    auto const json = tiny{.added = "[" + added(5, "<s>") + "]", .rules = split(R"({"Regex": "a+"})")}.json();
    CHECK(test::refusal([&] { (void)of(json); }).empty());
    for (std::size_t length = 0; length < json.size(); ++length)
        CHECK_FALSE(test::refusal([&] { (void)of(json.substr(0, length)); }).empty());
}

TEST_CASE("an expression is refused when it is none, too large, or means something else to PCRE2") {
    auto const pattern = [](std::string const& text) {
        return refused({.rules = split("{\"Regex\": \"" + text + "\"}")});
    };
    CHECK(pattern(R"([\\p{L}\\s]+|\\S|^a$|[]x]|[^]x]|\\[)").empty());
    CHECK_THAT(pattern("(a"), Contains("byte "));
    CHECK_THAT(pattern("((a{1,900}){1,900}){1,900}"), Contains("too large"));
    CHECK_THAT(pattern(std::string(10'001, 'a')), Contains("10001 bytes"));
    CHECK_THAT(pattern(std::string(200, '(') + std::string(200, ')')), Contains("nested"));
    // What has another meaning in PCRE2, or none, or one that is not known, by name.
    for (auto const& [text, name] : std::initializer_list<std::pair<std::string, std::string>>{
             {R"(\\C)", "\\C"},
             {R"(\\X)", "\\X"},
             {R"(\\K)", "\\K"},
             {R"(\\G)", "\\G"},
             {R"((a)\\1)", "\\1"},
             {R"((?<n>a)\\k<n>)", "\\k"},
             {R"(\\Qa\\E)", "\\Q"},
             {R"(\\q)", "\\q"},
             {R"(\\xe9)", "\\x for a byte"},
             {R"(\\pL)", "\\p without {"},
             {R"(\\p{Klingon})", "the property \"Klingon\""},
             {R"([\\R])", "\\R in a class"},
             {R"([[:punct:]])", "[: in a class"},
             {R"([a-\\d])", "a range that ends with a class"},
             {R"([\\w-x])", "a - after a class in a class"},
             {R"([a-c-e])", "a - after a range"},
             {R"([])", "a [ without its ]"},
             {R"([&&a])", "an empty class or side of &&"},
             {R"((?i:ss))", "ss where case does not matter"},
             {R"((?i:s(?:s)))", "ss where case does not matter"},
             {R"((?i:(?:f)i))", "fi where case does not matter"},
             {R"((?i:st))", "st where case does not matter"},
             {R"((?i)of f)", ""},
             {R"((?i)off)", "ff where case does not matter"},
             {R"((?i:s+))", "repeating s where case does not matter"},
             {R"((?i:\u00e9))", "characters beyond ASCII where case does not matter"},
             {R"((?i:[\\p{L}]))", "the property \"L\" in a class where case does not matter"},
             {R"((?x)a)", "(?x"},
             {R"((?s:.))", "(?s"},
             {R"((?P<n>a))", "(?P"},
             {R"((?|a))", "(?|"},
             {R"((?#a))", "(?#"},
             {R"((?~a))", "(?~"},
             {R"((?(a)b))", "(?("},
             {R"((?R))", "(?R"},
             {R"((*UCP)a)", "(*"},
             {"a**", "a quantifier of *"},
             {"a{2}*", "a quantifier of {2}"},
             {"a{2}?", "{2}?"},
             {"a{3,2}", "the interval {3,2}"},
             {"a{1001}", "at most 1000"},
             {"*a", "a * that repeats nothing"},
             {"^*", "a * that repeats no character"},
             {"a)", "a ) without its ("},
             {"(a", "a ( without its )"}})
        if (name.empty()) CHECK(pattern(text).empty());
        else CHECK_THAT(pattern(text), Contains("expected one without ") && Contains(name));
}

TEST_CASE("an expression that would take for ever is refused with its place") {
    // Without the x at the end PCRE2 sees at once that nothing can match.
    auto const text = std::string(10'000, 'a') + "!x";
    for (std::string const bomb : {"(a+a+)+x", "(a|aa)+x", "(a*)*x", "^(([a-z])+.)+[A-Z]([a-z])+$"}) {
        auto const json = tiny{.rules = split("{\"Regex\": \"" + bomb + "\"}")}.json();
        auto const bombed = of(json);
        auto const begin = std::chrono::steady_clock::now();
        CHECK_THAT(test::refusal([&] { (void)bombed.encode(text); }),
                   Contains("tokenizer.json, byte " + std::to_string(json.find('"' + bomb + '"'))) &&
                       Contains("a text of 10002 bytes") && Contains("less work"));
        // A few hundredths of a second; sanitizers and other programs take their share.
        CHECK(std::chrono::steady_clock::now() - begin < std::chrono::seconds(5));
    }
    // Recursion without an end.
    CHECK_FALSE(test::refusal([&] {
                    (void)of(tiny{.rules = split(R"x({"Regex": "(a(?1)*)*x"})x")}.json()).encode(text);
                }).empty());
}

TEST_CASE("the work of a text is limited, not that of a search") {
    // Each search is cheap enough alone; there are as many as characters, or as many steps as the file likes.
    auto const text = std::string(100'000, 'a');
    for (std::string const costly : {"(?:(?:a|aa){20}b)|a", "(?:.*.*b)|a", "(?:.*b)|a", "(?:(?:a+){6}b)|a",
                                     "(?:a?a?a?a?a?a?a?a?a?a?a?a?a?a?a?a?a?a?a?a?a?a?b)|a", "(?=.*)a",
                                     "(?:(?:a|a)(?:a|a)(?:a|a)(?:a|a)(?:a|a)(?:a|a)(?:a|a)(?:a|a)b)|a"}) {
        auto const begin = std::chrono::steady_clock::now();
        CHECK_THAT(test::refusal([&] {
                       (void)of(tiny{.rules = split("{\"Regex\": \"" + costly + "\"}")}.json()).encode(text);
                   }),
                   Contains("less work"));
        CHECK(std::chrono::steady_clock::now() - begin < std::chrono::seconds(5));
    }
    // What is there to be cut is no such text.
    std::string const spaces(30'000, ' '), lines(30'000, '\n'), capitals(30'000, 'A');
    for (auto const name : {"gpt2", "smollm", "llama3"}) {
        auto const harmless = load(name);
        for (auto const& one : {spaces + "a", capitals + "1" + lines + spaces + "!"})
            CHECK(harmless.decode(harmless.encode(one)) == one);
    }
}

TEST_CASE("added tokens take no time that grows with their length times the text's") {
    // At every place of the text all but the end of a token is there.
    auto const text = std::string(200'000, 'a');
    auto const almost =
        of(tiny{.added = "[" + added(5, std::string(100'000, 'a') + "b") + ", " + added(6, "aaab") + "]"}
               .json());
    auto const begin = std::chrono::steady_clock::now();
    CHECK(almost.encode(text).size() == text.size());
    CHECK(almost.encode(text + "b").back() == 5);
    CHECK(std::chrono::steady_clock::now() - begin < std::chrono::seconds(5));
    CHECK_THAT(refused({.added = "[" + added(5, std::string((1 << 20) + 1, 'a')) + "]"}),
               Contains("added tokens of 1048577 bytes"));
}

TEST_CASE("of added tokens the first is found, of those the longest, also where blocks of the text meet") {
    tiny const many{.vocabulary = R"("a": 0, "b": 1, "\u0120": 2, "c": 3, "d": 4)",
                    .merges = "[]",
                    .added = "[" + added(5, "ab") + ", " + added(6, "abab") + ", " + added(7, "bb") + ", " +
                             added(8, "bab") + "]"};
    auto const all = of(many.json());
    CHECK(all.encode("abababb") == std::vector{6, 5, 1});
    CHECK(all.encode("aabbaab") == std::vector{0, 5, 1, 0, 5});
    CHECK(all.encode("babab") == std::vector{8, 5});
    CHECK(all.encode("bbbab") == std::vector{7, 8});
    for (std::size_t before = (1 << 16) - 5; before <= (1 << 16) + 1; ++before) {
        auto const tokens = all.encode(std::string(before, ' ') + "ababaab");
        REQUIRE(tokens.size() == before + 3);
        CHECK(std::vector(tokens.end() - 3, tokens.end()) == std::vector{6, 0, 5});
    }
}

TEST_CASE("a text is cut as Hugging Face's tokenizers cuts it, in thirty scripts, by every construct") {
    auto const path = reference + "/tokenizers/words.json";
    json_document const document(path, 1 << 20);
    std::vector<std::string> texts;
    for (auto const& text : document.root().at("texts").elements()) texts.push_back(text.text());
    REQUIRE(texts.size() >= 200);
    std::uint64_t value = 0;
    auto const begin = [&] { value = 0xcbf29ce484222325u; };
    auto const add = [&](std::string_view bytes) {
        for (auto const byte : bytes) value = (value ^ static_cast<unsigned char>(byte)) * 0x100000001b3u;
    };
    auto const end = [&] { return static_cast<std::int64_t>((value >> 32) ^ (value & 0xffffffffu)); };
    for (auto const& pair : document.root().at("patterns").elements()) {
        auto const& pattern = pair.elements()[0].text();
        std::vector<pre_tokenizer::step> steps;
        steps.push_back({regex(pattern, {path})});
        pre_tokenizer const rules(std::move(steps));
        pre_tokenizer::cutter cutter(rules);
        begin();
        for (auto const& text : texts) {
            search_work work(text.size());
            cutter.words(text, work, [&](std::string_view word) { add(word), add("\1"); });
            add("\2");
        }
        INFO(pattern);
        CHECK(end() == pair.elements()[1].integer());
    }
    for (auto const& [name, form] :
         std::initializer_list<std::pair<std::string, unicode_form>>{{"NFC", unicode_form::nfc},
                                                                     {"NFD", unicode_form::nfd},
                                                                     {"NFKC", unicode_form::nfkc},
                                                                     {"NFKD", unicode_form::nfkd}}) {
        begin();
        for (auto const& text : texts) {
            std::string normal;
            normalize(text, form, normal);
            add(normal), add("\2");
        }
        INFO(name);
        CHECK(end() == document.root().at("forms").at(name).integer());
    }
}

TEST_CASE("a text is normalized as the file says, and what is looked for in it too") {
    auto const of_rule = [](std::string const& rule, std::string const& added_tokens = "[]") {
        return of(replaced(
            tiny{
                .vocabulary =
                    R"("a": 0, "b": 1, "\u0120": 2, "ab": 3, "\u00c3": 4, "\u00a9": 5, "\u00cc": 6, "\u0123": 7)",
                .merges = R"(["a b"])",
                .added = added_tokens}
                .json(),
            "null", rule));
    };
    std::string const composed = "\u00e9", apart = "a\u0301";
    std::string const none = R"({"type": "Sequence", "normalizers": []})";
    CHECK(of_rule(none).encode(composed) == std::vector{4, 5});
    auto const nfc = of_rule(R"({"type": "Sequence", "normalizers": [{"type": "NFC"}]})");
    CHECK(nfc.encode("ab" + composed) == std::vector{3, 4, 5});
    CHECK(nfc.encode("e\u0301") == std::vector{4, 5});
    CHECK(nfc.encode("\xff"
                     "e\u0301\xff") == std::vector{4, 5});  // \xff has no token here
    CHECK(of_rule(R"({"type": "NFKC"})").encode("\uff41\uff42") == std::vector{3});
    // A token that is looked for after normalization is normalized, one before is not.
    auto const token = [](std::string const& normalized) {
        return R"([{"id": 8, "content": "e\u0301b", "special": false, "normalized": )" + normalized + "}]";
    };
    CHECK(of_rule(R"({"type": "NFC"})", token("true")).encode(composed + "b") == std::vector{8});
    CHECK(of_rule(R"({"type": "NFC"})", token("false")).encode(composed + "b") == std::vector{4, 5, 1});
    CHECK(of_rule(R"({"type": "NFC"})", token("false")).encode("e\u0301b") == std::vector{8});
    // Marks in a row, in the wrong order: no time that grows with their square.
    std::string marks = "a", sorted;
    for (int i = 0; i < 100'000; ++i) marks += i % 2 == 0 ? "\u0301" : "\u0323";
    auto const begin = std::chrono::steady_clock::now();
    normalize(marks, unicode_form::nfd, sorted);
    CHECK(std::chrono::steady_clock::now() - begin < std::chrono::seconds(5));
    CHECK(sorted.substr(0, 5) == "a\u0323\u0323");
    CHECK(sorted.size() == marks.size());
    // Bytes that are not UTF-8 stay.
    std::string kept;
    normalize("e\xcc\xff\u0301z", unicode_form::nfc, kept);
    CHECK(kept == "e\xcc\xff\u0301z");
}

TEST_CASE("what a tokenizer.json need not say is no reason to refuse it") {
    CHECK(encoded({.model = R"(, "dropout": 0.0)"}, "ab") == std::vector{3});
    CHECK(
        encoded(
            {.root =
                 R"(, "version": "1.0", "truncation": {"max_length": 4}, "padding": null, "post_processor": {"type": "Sequence", "processors": [{"type": "ByteLevel", "trim_offsets": true}]}, "unknown": null)"},
            "ab") == std::vector{3});
    // Ids with holes.
    auto const holes = of(
        tiny{.vocabulary = R"("a": 0, "b": 1, "\u0120": 2, "ab": 3, "c": 9)", .merges = R"(["a b"])"}.json());
    CHECK(holes.vocabulary() == 10);
    CHECK(holes.encode("abc") == std::vector{3, 9});
    CHECK(holes.decode(std::vector{3, 9}) == "abc");
    CHECK_THAT(test::refusal([&] { (void)holes.token(7); }),
               Contains("token 7, expected one that the vocabulary has"));
    // But not so many that a small file takes much memory.
    CHECK_THAT(refused({.vocabulary = R"("a": 0, "b": 1, "\u0120": 2, "ab": 3, "c": 16000000)",
                        .merges = R"(["a b"])"}),
               Contains("id 16000000"));
}

TEST_CASE("an added token has the id that tokenizers gives it, whatever the file says") {
    // The vocabulary ends at 4: the next ids, in the order of the list.
    auto const far = of(tiny{.added = "[" + added(271, "<s>") + ", " + added(7, "<t>") + "]"}.json());
    CHECK(far.encode("<t>ab<s>") == std::vector{6, 3, 5});
    CHECK(far.vocabulary() == 7);
    // A token of the vocabulary keeps its own, and the next ones count from the largest.
    auto const inside = of(tiny{.vocabulary = R"("a": 0, "b": 1, "\u0120": 2, "ab": 3, "<s>": 9)",
                                .merges = R"(["a b"])",
                                .added = "[" + added(9, "<s>") + ", " + added(20, "<t>") + "]"}
                               .json());
    CHECK(inside.encode("<s><t>") == std::vector{9, 10});
}

TEST_CASE("added tokens whose bytes lie on both sides of 0x80 are all found") {
    auto const mixed = of(tiny{.added = "[" + added(5, "\xef\xbd\x9c>") + ", " + added(6, "|>") + ", " +
                                        added(7, "\xed\x95\x9c") + ", " + added(8, "b\xed\x95\x9c") + ", " +
                                        added(9, "a>") + "]"}
                              .json());
    CHECK(mixed.encode("\xef\xbd\x9c>|>\xed\x95\x9c"
                       "b\xed\x95\x9c"
                       "a>") == std::vector{5, 6, 7, 8, 9});
}

TEST_CASE("a key whose meaning is not known is refused by name") {
    for (auto const& [parts, name] : std::initializer_list<std::pair<tiny, std::string>>{
             {{.model = R"(, "temperature": 1)"}, "temperature"},
             {{.root = R"(, "lattice": {})"}, "lattice"},
             {{.root = R"(, "version": "2.0")"}, "version"},
             {{.root = R"(, "post_processor": {"type": "Scripted"})"}, "Scripted"},
             {{.root = R"(, "decoder": {"type": "ByteLevel", "cleanup": true})"}, "cleanup"},
             {{.added = R"([{"id": 5, "content": "<s>", "regex": true}])"}, "regex"},
             {{.rules = R"({"type": "ByteLevel", "use_utf16": true})"}, "use_utf16"},
             {{.rules = split(R"({"Regex": "a", "Flags": "i"})")}, "Flags"},
             {{.rules = split(R"({"Regex": "a"})", R"("behavior": "Isolated", "greedy": false)")}, "greedy"}})
        CHECK_THAT(refused(parts), Contains("byte ") && Contains(name));
    test::scratch directory;
    test::write_file(directory / "tokenizer.json", tiny{.added = "[" + added(5, "<s>") + "]"}.json());
    auto const beside = [&](std::string const& config) {
        test::write_file(directory / "tokenizer_config.json", config);
        return test::refusal([&] { (void)tokenizer::from_json(directory / "tokenizer.json"); });
    };
    CHECK(
        beside(
            R"({"model_max_length": 10, "tokenizer_class": "GPT2Tokenizer", "add_prefix_space": false, "do_lower_case": false})")
            .empty());
    CHECK_THAT(beside(R"({"fold_case": 1})"), Contains("tokenizer_config.json") && Contains("\"fold_case\""));
    CHECK_THAT(beside(R"({"add_prefix_space": true})"), Contains("\"add_prefix_space\""));
    CHECK_THAT(beside(R"({"split_special_tokens": true})"), Contains("\"split_special_tokens\""));
    CHECK_THAT(beside(R"({"auto_map": {}})"), Contains("a program"));
    CHECK_THAT(beside(R"({"chat_template": [{"name": "tools", "template": "x"}]})"),
               Contains("none is named default"));
    CHECK_THAT(beside(R"({"added_tokens_decoder": {"5": {"content": "<s>", "special": false}}})"),
               Contains("the token \"<s>\" with another"));
    CHECK_THAT(beside(R"({"added_tokens_decoder": {"x": {"content": "<t>"}}})"), Contains("the id \"x\""));
    // A token that only stands there.
    CHECK(
        beside(
            R"({"eos_token": "<e>", "added_tokens_decoder": {"5": {"content": "<s>", "special": true, "normalized": false}, "8": {"content": "<e>", "special": true}}})")
            .empty());
    auto const read = tokenizer::from_json(directory / "tokenizer.json");
    CHECK(read.end_of_text() == 6);
    CHECK(read.encode("ab<e>") == std::vector{3, 6});
    // What transformers would add, and find in texts.
    for (std::string const key : {"eos_token", "pad_token", "image_token"}) {
        CHECK_THAT(beside("{\"" + key + R"(": "a"})"), Contains("\"a\" as " + key));
        CHECK_THAT(beside("{\"" + key + R"(": {"content": "<new>"}})"), Contains("\"<new>\" as " + key));
        CHECK(beside("{\"" + key + R"(": "<s>"})").empty());
    }
    for (std::string const key : {"additional_special_tokens", "extra_special_tokens"}) {
        CHECK_THAT(beside("{\"" + key + R"(": ["<s>", "<new>"]})"), Contains("\"<new>\" as " + key));
        CHECK_THAT(beside("{\"" + key + R"(": {"one": "<new>"}})"), Contains("\"<new>\" as " + key));
        CHECK(beside("{\"" + key + R"(": ["<s>"]})").empty());
    }
}

TEST_CASE("what lies beside a tokenizer.json says what begins and ends a text") {
    test::scratch directory;
    auto const path = directory / "tokenizer.json";
    test::write_file(path, tiny{.added = "[" + added(5, "<s>") + "]"}.json());
    auto const config = [&](std::string const& text) {
        test::write_file(directory / "tokenizer_config.json", text);
    };
    config(R"({"bos_token": {"content": "<s>"}, "eos_token": "<s>", "chat_template": "of the config"})");
    auto const read = tokenizer::from_json(path);
    CHECK(read.begin_of_text() == 5);
    CHECK(read.end_of_text() == 5);
    CHECK(read.chat_template() == "of the config");
    config(
        R"({"bos_token": null, "chat_template": [{"name": "tool_use", "template": "x"}, {"name": "default", "template": "y"}]})");
    CHECK_FALSE(tokenizer::from_json(path).begin_of_text());
    CHECK(tokenizer::from_json(path).chat_template() == "y");
    test::write_file(directory / "chat_template.jinja", "of its own file");
    CHECK(tokenizer::from_json(path).chat_template() == "of its own file");
    config(R"({"eos_token": "</s>"})");
    CHECK_THAT(test::refusal([&] { (void)tokenizer::from_json(path); }),
               Contains("tokenizer_config.json, byte 14") && Contains("\"</s>\""));
    CHECK_THAT(test::refusal([&] { (void)tokenizer::from_json(directory / "none.json"); }),
               Contains("no such file"));
}

namespace {
/// The metadata of a GGUF file.
class gguf_file {
  public:
    gguf_file& text(std::string const& key, std::string const& value) {
        return entry(key, 8), bytes(value), *this;
    }
    gguf_file& texts(std::string const& key, std::vector<std::string> const& values) {
        entry(key, 9), number<std::uint32_t>(8), number<std::uint64_t>(values.size());
        for (auto const& value : values) bytes(value);
        return *this;
    }
    gguf_file& types(std::vector<std::int32_t> const& values) {
        entry("tokenizer.ggml.token_type", 9), number<std::uint32_t>(5), number<std::uint64_t>(values.size());
        for (auto const value : values) number(value);
        return *this;
    }
    gguf_file& id(std::string const& key, std::uint32_t value) { return entry(key, 4), number(value), *this; }

    tokenizer read() const {
        test::scratch directory;
        std::string head = "GGUF";
        auto const append = [&](auto value) {
            head.append(reinterpret_cast<char const*>(&value), sizeof value);
        };
        append(std::uint32_t{3}), append(std::uint64_t{0}), append(entries_);
        test::write_file(directory / "t.gguf", head + data_);
        return tokenizer::from_gguf(gguf(directory / "t.gguf"));
    }

  private:
    template <class T>
    void number(T value) {
        data_.append(reinterpret_cast<char const*>(&value), sizeof value);
    }
    void bytes(std::string const& value) { number<std::uint64_t>(value.size()), data_ += value; }
    void entry(std::string const& key, std::uint32_t type) { ++entries_, bytes(key), number(type); }

    std::string data_;
    std::uint64_t entries_ = 0;
};

std::vector<std::string> const tokens{"a", "b", "1", "ab", "11", "ab1", "<s>"};

gguf_file file(std::string const& pre, std::vector<std::string> const& merges = {"a b", "1 1", "ab 1"}) {
    return gguf_file{}
        .text("tokenizer.ggml.model", "gpt2")
        .text("tokenizer.ggml.pre", pre)
        .texts("tokenizer.ggml.tokens", tokens)
        .texts("tokenizer.ggml.merges", merges);
}
}  // namespace

TEST_CASE("a GGUF file names its rules") {
    CHECK(file("gpt-2").read().encode("ab11") == std::vector{3, 4});
    CHECK(file("smollm").read().encode("ab11") == std::vector{3, 2, 2});
    CHECK(file("qwen2").read().encode("ab11") == std::vector{3, 2, 2});
    CHECK(file("llama-bpe").read().encode("ab1111") == std::vector{3, 4, 2, 2});
    // Other names of the same rules.
    for (auto const name : {"llama3", "llama-v3", "pixtral"})
        CHECK(file(name).read().encode("ab1111") == std::vector{3, 4, 2, 2});
    for (auto const name : {"gpt2", "phi-2", "roberta-bpe"})
        CHECK(file(name).read().encode("ab11") == std::vector{3, 4});
    for (auto const name : {"deepseek-r1-qwen", "megrez"})
        CHECK(file(name).read().encode("ab11") == std::vector{3, 2, 2});
    CHECK_THAT(test::refusal([] { (void)file("gpt-2").text("tokenizer.ggml.charsmap", "x").read(); }),
               Contains("t.gguf") && Contains("\"tokenizer.ggml.charsmap\""));
    CHECK_THAT(test::refusal([] {
                   (void)file("gpt-2").types({1, 1, 1, 1, 1, 1, 6}).read();
               }),
               Contains("token 6 of the type 6"));
    CHECK_THAT(test::refusal([] { (void)file("deepseek-llm").read(); }),
               Contains("\"deepseek-llm\", expected gpt-2, smollm, llama-bpe, qwen2 or"));
    CHECK_THAT(test::refusal([] { (void)gguf_file{}.text("tokenizer.ggml.model", "llama").read(); }),
               Contains("the model \"llama\"") && Contains("t.gguf"));
    CHECK_THAT(test::refusal([] { (void)gguf_file{}.read(); }), Contains("tokenizer.ggml.model"));
}

TEST_CASE("a GGUF file says which tokens are special, and what begins and ends a text") {
    auto const types = file("gpt-2").types({1, 1, 1, 1, 1, 1, 3}).id("tokenizer.ggml.bos_token_id", 6).read();
    CHECK(types.encode("ab<s>") == std::vector{3, 6});
    CHECK(types.encode("<s>", special_tokens::plain_text).empty());
    CHECK(types.begin_of_text() == 6);
    CHECK_FALSE(types.end_of_text());
    CHECK(file("gpt-2").read().encode("ab<s>") == std::vector{3});
    CHECK(file("gpt-2").types({1, 1, 1, 1, 1, 1, 4}).read().encode("<s>", special_tokens::plain_text) ==
          std::vector{6});
    CHECK_THAT(test::refusal([] { (void)file("gpt-2").types({1}).read(); }),
               Contains("1 token types, expected 7"));
    CHECK_THAT(test::refusal([] { (void)file("gpt-2").id("tokenizer.ggml.eos_token_id", 7).read(); }),
               Contains("7 as the token that ends a text"));
    CHECK_THAT(test::refusal([] { (void)file("gpt-2", {"a b", "b x"}).read(); }), Contains("merge 1"));
    CHECK_THAT(test::refusal([] { (void)file("gpt-2", {"ab"}).read(); }), Contains("merge 0"));
}
