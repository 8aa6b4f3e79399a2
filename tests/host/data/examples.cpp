// SPDX-License-Identifier: Apache-2.0
#include <catch2/catch.hpp>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <map>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include <snug/data/examples.hpp>
#include <snug/data/packed_batches.hpp>
#include <snug/data/tokenizer.hpp>
#include <snug/random.hpp>

#include "../io/faults.hpp"

using namespace snug::io;
using Catch::Matchers::Contains;

namespace {
tokenizer const& vocabulary() {
    static auto const loaded = tokenizer::from_json(SNUG_TEST_DATA "/tokenizers/gpt2.json");
    return loaded;
}

/// The tokenizer with <|endoftext|> as the beginning and <|im_end|> as the end of a text.
tokenizer with_ends() {
    test::scratch directory;
    test::write_file(directory / "tokenizer.json", test::read_file(SNUG_TEST_DATA "/tokenizers/gpt2.json"));
    test::write_file(directory / "tokenizer_config.json",
                     R"({"bos_token": "<|endoftext|>", "eos_token": "<|im_end|>"})");
    return tokenizer::from_json(directory / "tokenizer.json");
}

examples from_lines(std::string const& lines, tokenizer const& tokens,
                    examples::json_lines_options options = {}) {
    test::scratch directory;
    test::write_file(directory / "train.jsonl", lines);
    return examples::from_json_lines(directory / "train.jsonl", tokens, std::move(options));
}

std::string refused(std::string const& lines, examples::json_lines_options const& options = {}) {
    return test::refusal([&] { (void)from_lines(lines, with_ends(), options); });
}

/// An example's text, and what of it counts in brackets.
std::string marked(examples::view one, tokenizer const& tokens) {
    std::string result;
    bool inside = false;
    for (std::size_t i = 0; i < one.tokens.size(); ++i) {
        if (inside != (one.counted[i] == 1)) result += inside ? ']' : '[';
        inside = one.counted[i] == 1;
        result += tokens.token(one.tokens[i]);
    }
    return inside ? result + ']' : result;
}

std::string const good = R"({"prompt": "Two boats", "completion": " sail"})";

/// What packed_batches asks of a trainer: `Rows` rows of `Tokens` in a step, in micro-batches of which `Ranks` ranks have a
/// part each.
template <std::int64_t Rows, std::int64_t Tokens, std::int64_t MicroBatches = 2, int Ranks = 1>
struct trainer {
    struct composition {
        static constexpr int ranks = Ranks;
        static constexpr std::int64_t micro_batches = MicroBatches / Ranks;
        struct batch {
            static constexpr std::int64_t sequences = Rows / MicroBatches, tokens = Tokens;
        };
        struct model {
            static constexpr std::int64_t vocabulary = 1'000'000;
        };
    };
};

/// `count` examples of 2 to `longest` tokens; each token says which example it is of, and where.
examples numbered(std::int64_t count, std::int64_t longest) {
    examples result("numbered");
    for (std::int64_t i = 0; i < count; ++i) {
        auto const length =
            2 + static_cast<std::int64_t>(snug::random::bits(3, 0, static_cast<std::uint64_t>(i)) %
                                          static_cast<std::uint64_t>(longest - 1));
        example one;
        for (std::int64_t j = 0; j < length; ++j) {
            one.tokens.push_back(static_cast<std::int32_t>((i + 1) * 1000 + j));
            one.counted.push_back(j > 0 && (j == length - 1 || j % 3 != 0));
        }
        result.add(one, i + 1);
    }
    return result;
}
}  // namespace

TEST_CASE("a completion counts and its end, a prompt does not") {
    auto const tokens = with_ends();
    auto const read = from_lines(
        good + "\n\n \t\r\n" + R"({"completion": "b", "prompt": "<|im_end|>", "id": 3})" + "\r\n", tokens);
    REQUIRE(read.size() == 2);
    CHECK(marked(read[0], tokens) == "Two boats[ sail<|im_end|>]");
    CHECK(marked(read[1], tokens) == "<|im_end|>[b<|im_end|>]");
    CHECK(read[1].tokens.front() != tokens.id_of("<|im_end|>"));  // plain text in a prompt
    CHECK(read[0].line == 1);
    CHECK(read[1].line == 4);
    CHECK(marked(from_lines(good, tokens, {.end_of_text = false})[0], tokens) == "Two boats[ sail]");
    CHECK(marked(from_lines(good, tokens, {.begin_of_text = true})[0], tokens) ==
          "<|endoftext|>Two boats[ sail<|im_end|>]");
    // The first token of all can't be predicted.
    CHECK(marked(from_lines(R"({"prompt": "", "completion": "a"})", tokens)[0], tokens) == "a[<|im_end|>]");
    CHECK_THAT(test::refusal([&] { (void)from_lines(good, vocabulary()); }),
               Contains("no token that ends a text"));
}

TEST_CASE("of a chat the replies count") {
    auto const tokens = with_ends();
    std::string const line =
        R"({"messages": [{"role": "user", "content": "Hi"}, {"role": "assistant", "content": "Hello"}]})";
    auto const read = from_lines(line, tokens, {.chat = chatml(tokens, "Be brief")});
    CHECK(marked(read[0], tokens) ==
          "<|im_start|>system\nBe brief<|im_end|>\n<|im_start|>user\nHi<|im_end|>\n"
          "<|im_start|>assistant\n[Hello<|im_end|>]\n");
    // The tokenizer brings no template, so nothing is put before the conversation.
    CHECK(marked(from_lines(line, tokens)[0], tokens) ==
          "<|im_start|>user\nHi<|im_end|>\n<|im_start|>assistant\n[Hello<|im_end|>]\n");
}

TEST_CASE("a line that is no example is refused with its number and place") {
    auto const second = [&](std::string const& line) { return refused(good + "\n" + line); };
    auto const byte = "train.jsonl, byte " + std::to_string(good.size() + 1) + ": found line 2 with ";
    CHECK_THAT(second("{}"), Contains(byte + "an object with neither"));
    CHECK_THAT(second(R"({"prompt": "a", "messages": []})"), Contains("line 2 with an object with both"));
    CHECK_THAT(second(R"({"prompt": "a"})"), Contains("line 2 with an object without \"completion\""));
    CHECK_THAT(second(R"({"prompt": 1, "completion": "a"})"),
               Contains("line 2 with the number 1") && Contains("a string"));
    CHECK_THAT(second(R"({"messages": []})"), Contains(byte + "a conversation without a message"));
    CHECK_THAT(second(R"({"messages": [{"role": "user", "content": "a"}]})"),
               Contains("in which nothing counts"));
    CHECK_THAT(second("[1, 2]"), Contains("line 2 with") && Contains("an object"));
    CHECK_THAT(second("{\"prompt\": \"a"), Contains("line 2 with"));
    CHECK_THAT(second(good + good), Contains("line 2 with"));
    CHECK_THAT(second("{\"prompt\": \"\xff\", \"completion\": \"a\"}"), Contains("line 2 with"));
    CHECK_THAT(
        refused("\n" + good + "\n", {.longest_line = 20}),
        Contains("byte 1: found line 2 with " + std::to_string(good.size()) + " bytes, expected at most 20"));
    CHECK_THAT(refused(good, {.longest_line = -1}), Contains("-1"));
    CHECK_THAT(refused(""), Contains("without an example"));
    CHECK_THAT(refused("\n\n"), Contains("without an example"));
    CHECK(refused(good).empty());
}

TEST_CASE("windows of a text overlap by the token that the one predicts and the next begins with") {
    test::scratch directory;
    std::string text;
    for (int i = 0; i < 40; ++i) text += "Boat " + std::to_string(i) + " sails.\n";
    test::write_file(directory / "a.txt", text);
    auto const all = vocabulary().encode(text);
    for (std::int64_t const window : {std::int64_t{1}, std::int64_t{16}, std::int64_t{100'000}}) {
        auto const read = examples::from_text(directory / "a.txt", vocabulary(), window);
        std::vector<std::int32_t> joined{all.front()};
        for (std::int64_t i = 0; i < read.size(); ++i) {
            auto const one = read[i].tokens;
            REQUIRE(static_cast<std::int64_t>(one.size()) <= window + 1);
            REQUIRE(one.front() == joined.back());
            joined.insert(joined.end(), one.begin() + 1, one.end());
            REQUIRE(std::count(read[i].counted.begin(), read[i].counted.end(), 1) ==
                    static_cast<std::ptrdiff_t>(one.size()));
        }
        CHECK(joined == all);
    }
    test::write_file(directory / "b.txt", "a");
    CHECK_THAT(test::refusal([&] { (void)examples::from_text(directory / "b.txt", vocabulary(), 4); }),
               Contains("1 tokens, expected at least 2"));
    CHECK_THAT(test::refusal([&] { (void)examples::from_text(directory / "a.txt", vocabulary(), 0); }),
               Contains("windows of 0"));
}

TEST_CASE("every file call that fails is a refusal") {
    test::scratch directory;
    test::write_file(directory / "train.jsonl", good);
    auto const tokens = with_ends();
    test::faults faults;
    for (auto const kind : {test::call::open, test::call::stat_open, test::call::map}) {
        faults.fail(kind, 1);
        CHECK_THAT(test::refusal([&] { (void)examples::from_json_lines(directory / "train.jsonl", tokens); }),
                   Contains("train.jsonl"));
    }
}

TEST_CASE("an epoch holds each example once, whole, on its own") {
    auto const data = numbered(500, 40);
    packed_batches<trainer<4, 64>> batches(data, 5);
    auto const rows = batches.packing().rows();
    std::map<std::int32_t, std::int64_t> seen;  // example -> predictions
    std::vector<std::int32_t> inputs(64), targets(64), starts(64);
    std::int64_t counted = 0, used = 0;
    for (std::int64_t row = 0; row < rows; ++row) {
        batches.packing().fill(row, inputs.data(), targets.data(), starts.data());
        for (std::size_t i = 0; i < 64; ++i) {
            auto const begin = static_cast<std::size_t>(starts[i]);
            REQUIRE(begin <= i);
            REQUIRE(starts[begin] == starts[i]);
            if (inputs[i] == 0) {  // what is left of a row
                REQUIRE(targets[i] == -1);
                REQUIRE(inputs[begin] == 0);
                continue;
            }
            REQUIRE(inputs[i] == inputs[begin] + static_cast<std::int32_t>(i - begin));
            auto const number = inputs[i] / 1000 - 1, at = inputs[i] % 1000;
            auto const one = data[number];
            ++used;
            ++seen[number];
            REQUIRE(targets[i] == (one.counted[static_cast<std::size_t>(at) + 1] ? inputs[i] + 1 : -1));
            counted += targets[i] >= 0;
        }
    }
    std::int64_t expected = 0;
    REQUIRE(seen.size() == 500);
    for (std::int64_t i = 0; i < data.size(); ++i) {
        CHECK(seen[static_cast<std::int32_t>(i)] == static_cast<std::int64_t>(data[i].tokens.size()) - 1);
        for (auto const mark : data[i].counted.subspan(1)) expected += mark;
    }
    CHECK(counted == expected);
    CHECK(batches.packing().waste() ==
          Approx(1 - static_cast<double>(used) / static_cast<double>(rows * 64)));
    CHECK(batches.packing().waste() < 0.02);
}

TEST_CASE("best fit decreasing fills a row with what fits best") {
    examples data;
    for (std::size_t const length : {4u, 7u, 3u, 8u, 2u})
        data.add({std::vector<std::int32_t>(length, static_cast<std::int32_t>(length)),
                  std::vector<bool>(length, true)});
    packing const packed(data, 10, 0, long_examples::refused);
    // 7 + 3, then 6 + 2 + 1: 19 of 20.
    REQUIRE(packed.rows() == 2);
    CHECK(packed.waste() == Approx(0.05));
    std::vector<std::int32_t> inputs(10), targets(10), starts(10);
    packed.fill(0, inputs.data(), targets.data(), starts.data());
    CHECK(inputs == std::vector{8, 8, 8, 8, 8, 8, 8, 4, 4, 4});
    CHECK(starts == std::vector{0, 0, 0, 0, 0, 0, 0, 7, 7, 7});
    packed.fill(1, inputs.data(), targets.data(), starts.data());
    CHECK(inputs == std::vector{7, 7, 7, 7, 7, 7, 3, 3, 2, 0});
    CHECK(targets == std::vector{7, 7, 7, 7, 7, 7, 3, 3, 2, -1});
    CHECK(starts == std::vector{0, 0, 0, 0, 0, 0, 6, 6, 8, 9});
}

TEST_CASE("an example longer than a row is refused or cut, and counted") {
    examples data("train.jsonl");
    auto const add = [&](std::size_t length, std::size_t prompt, std::int64_t line) {
        example one{std::vector<std::int32_t>(length, 1), std::vector<bool>(length, true)};
        std::fill(one.counted.begin(), one.counted.begin() + static_cast<std::ptrdiff_t>(prompt), false);
        data.add(one, line);
    };
    add(9, 1, 1);
    packing const fits(data, 8, 0, long_examples::refused);
    CHECK(fits.cut() == 0);
    add(10, 5, 17);
    add(20, 9, 18);
    CHECK_THAT(
        test::refusal([&] { packing(data, 8, 0, long_examples::refused); }),
        Contains("train.jsonl: found line 17 with 10 tokens, expected at most 9, or long_examples::cut"));
    packing const cut(data, 8, 0, long_examples::cut);
    CHECK(cut.cut() == 2);
    CHECK(cut.dropped() == 1);
    CHECK(cut.rows() == 2);
    examples nothing;
    CHECK_FALSE(test::refusal([&] { packing(nothing, 8, 0, long_examples::cut); }).empty());
    CHECK_THAT(test::refusal([&] { nothing.add({{1}, {true}}); }), Contains("an example of 1 tokens"));
    CHECK_THAT(test::refusal([&] { nothing.add({{1, 2}, {true}}); }), Contains("1 marks"));
}

TEST_CASE("a seed fixes the batches, an epoch visits each row, a position resumes") {
    auto const data = numbered(300, 30);
    using batches = packed_batches<trainer<4, 32>>;
    auto const drawn = [&](batches& from, std::int64_t count) {
        std::vector<std::vector<std::int32_t>> result;
        for (std::int64_t i = 0; i < count; ++i) {
            auto const batch = from.next();
            REQUIRE(batch.inputs.size() == 128);
            REQUIRE(batch.targets.size() == 128);
            REQUIRE(batch.starts.size() == 128);
            for (std::int64_t row = 0; row < 4; ++row) {
                auto const inputs = batch.inputs.subspan(static_cast<std::size_t>(row) * 32, 32);
                result.emplace_back(inputs.begin(), inputs.end());
            }
        }
        return result;
    };
    batches first(data, 5), same(data, 5), other(data, 6);
    auto const rows = first.packing().rows();
    auto const all = drawn(first, 2 * rows);
    CHECK(drawn(same, 2 * rows) == all);
    CHECK(drawn(other, 2 * rows) != all);
    // 8 epochs of `rows` rows; each holds every row once, in another order.
    std::set<std::vector<std::vector<std::int32_t>>> orders;
    for (std::int64_t epoch = 0; epoch < 8; ++epoch) {
        std::vector<std::vector<std::int32_t>> const one(all.begin() + epoch * rows,
                                                         all.begin() + (epoch + 1) * rows);
        CHECK(static_cast<std::int64_t>(std::set(one.begin(), one.end()).size()) == rows);
        orders.insert(one);
    }
    CHECK(orders.size() == 8);

    batches resumed(data, 5);
    drawn(resumed, 3);
    batches later(data, 5);
    later.resume_at(resumed.position());
    CHECK(drawn(later, 5) == drawn(resumed, 5));
    CHECK_FALSE(test::refusal([&] { later.resume_at(-1); }).empty());
}

/// A rank of a world, as far as data goes.
struct rank_of {
    int number;
    int rank() const { return number; }
};

/// All that `Ranks` ranks see in some steps, micro-batch after micro-batch as they are numbered over all ranks.
template <int Ranks, class Make>
std::vector<std::int32_t> seen_by(std::int64_t steps, std::int64_t from, Make const& make) {
    using batches = packed_batches<trainer<8, 32, 4, Ranks>>;
    std::vector<batches> all;
    for (int rank = 0; rank < Ranks; ++rank) {
        all.push_back(make.template operator()<batches>(rank_of{rank}));
        all.back().resume_at(from);
    }
    std::vector<std::int32_t> result;
    for (std::int64_t step = 0; step < steps; ++step) {
        std::vector<snug::token_batch> parts;
        for (auto& one : all) parts.push_back(one.next());
        for (std::size_t m = 0; m < 4 / Ranks; ++m)
            for (auto const& part : parts)
                for (auto const& tokens : {part.inputs, part.targets, part.starts}) {
                    REQUIRE(tokens.size() == 4 / Ranks * 64);
                    auto const here = tokens.subspan(m * 64, 64);
                    result.insert(result.end(), here.begin(), here.end());
                }
    }
    for (auto const& one : all) {
        CHECK(one.position() == from + steps * 8);
        CHECK(one.batches_per_epoch() == all.front().batches_per_epoch());
    }
    return result;
}

TEST_CASE("a step sees the same rows in the same order on any number of ranks, from any position on") {
    auto const data = numbered(300, 30);
    auto const shuffled = [&]<class Batches>(rank_of rank) { return Batches(data, rank, 5); };
    auto const ordered = [&]<class Batches>(rank_of rank) { return Batches::in_order(data, rank); };
    auto const rows = packed_batches<trainer<8, 32>>(data).packing().rows();
    REQUIRE(rows % 8 != 0);  // so that in order the last rows are empty
    for (std::int64_t const from : {std::int64_t{0}, std::int64_t{8}, rows - 3, 3 * rows + 1}) {
        auto const expected = seen_by<1>(rows, from, shuffled);
        CHECK(seen_by<2>(rows, from, shuffled) == expected);
        CHECK(seen_by<4>(rows, from, shuffled) == expected);
    }
    auto const all = seen_by<1>(rows / 8 + 1, 0, ordered);
    CHECK(seen_by<2>(rows / 8 + 1, 0, ordered) == all);
    CHECK(seen_by<4>(rows / 8 + 1, 0, ordered) == all);

    // One rank draws what a trainer that is alone does, however its rows are cut into micro-batches.
    packed_batches<trainer<8, 32>> alone(data, 5);
    packed_batches<trainer<8, 32, 1>> at_once(data, rank_of{0}, 5);
    for (int step = 0; step < 3; ++step) {
        auto const one = alone.next(), other = at_once.next();
        CHECK(std::equal(one.inputs.begin(), one.inputs.end(), other.inputs.begin(), other.inputs.end()));
    }
}

TEST_CASE("a range is one epoch; in order it ends with empty rows") {
    auto const data = numbered(100, 30);
    using batches = packed_batches<trainer<8, 32>>;
    batches shuffled(data, 1);
    std::int64_t count = 0;
    for (auto const& batch : shuffled) count += !batch.inputs.empty();
    CHECK(count == shuffled.packing().rows() / 8);

    auto ordered = batches::in_order(data);
    std::int64_t expected = 0;
    for (std::int64_t i = 0; i < data.size(); ++i)
        for (auto const mark : data[i].counted.subspan(1)) expected += mark;
    for (int pass = 0; pass < 2; ++pass) {
        std::int64_t counted = 0;
        for (auto const& batch : ordered)
            counted += std::count_if(batch.targets.begin(), batch.targets.end(),
                                     [](auto target) { return target >= 0; });
        CHECK(counted == expected);
    }
    REQUIRE(ordered.packing().rows() % 8 != 0);
}

TEST_CASE("a conversation that is not understood is left out, counted and said why") {
    auto const tokens = with_ends();
    std::string const known =
        R"({"id": 7, "messages": [{"role": "user", "content": "a"}, {"role": "assistant", "content": "b"}]})";
    auto const reply = [](std::string const& more) {
        return R"({"messages": [{"role": "user", "content": "a"}, {"role": "assistant", )" + more + "}]}";
    };
    std::vector<std::pair<std::string, std::string>> const others{
        {R"({"messages": ["a"]})", "a message that is the string \"a\""},
        {R"({"messages": [{"content": "a"}, {"role": "assistant", "content": "b"}]})", "without a \"role\""},
        {R"({"messages": [{"role": 1, "content": "a"}]})", "without a \"role\""},
        {R"({"messages": [{"role": "us er", "content": "a"}]})", "the role \"us er\""},
        {R"({"messages": [{"role": "Assistant", "content": "a"}]})", "the role \"Assistant\""},
        {R"({"messages": [{"role": "gpt", "content": "a"}]})", "the role \"gpt\""},
        {R"({"messages": [{"role": "user"}]})", "a message without \"content\""},
        {reply(R"("tool_calls": [{"id": "1"}])"), "\"tool_calls\" of a message"},
        {reply(R"("content": null, "tool_calls": [{"id": "1"}])"), "\"content\" that is no text"},
        {reply(R"("content": [{"type": "text", "text": "b"}])"), "\"content\" that is no text"},
        {reply(R"("content": "b", "tool_calls": [{"id": "1"}])"), "\"tool_calls\" of a message"},
        {reply(R"("content": "b", "reasoning_content": "because")"), "\"reasoning_content\" of a message"},
        {reply(R"("content": "b", "weight": 0.5)"), "\"weight\" other than 0 and 1"},
        {reply(R"("content": "b", "weight": 0)"), "weights of 0 alone"},
        {R"({"prompt": "p", "completion": "c", "weight": 0})", "a \"weight\" of the whole"},
        {R"({"prompt": "p", "completion": "c", "label": false})", "\"label\""},
        {R"({"prompt": "p", "completion": "c", "system": "Be brief"})", "\"system\""},
        {R"({"system": "Be brief", )" + known.substr(1), "\"system\""},
        {R"({"tools": [{"type": "function"}], )" + known.substr(1), "\"tools\""},
        {R"({"messages": [{"role": "user", "content": "a", "weight": 1}, {"role": "assistant", "content": "b"}]})",
         "\"weight\" of 1 for what is not the assistant's"},
    };
    for (auto const& [line, reason] : others) {
        INFO(line);
        auto const read = from_lines(known + "\n" + line + "\n" + line, tokens);
        CHECK(read.size() == 1);
        REQUIRE(read.left_out().size() == 1);
        CHECK_THAT(read.left_out()[0].reason, Contains(reason));
        CHECK(read.left_out()[0].count == 2);
        CHECK(read.left_out()[0].first_line == 2);
        CHECK_THAT(test::refusal([&, &alone = line] { (void)from_lines(alone, tokens); }),
                   Contains("every conversation is left out, that of line 1 for") && Contains(reason));
    }
    // Keys that say nothing.
    auto const silent = from_lines(
        reply(R"("content": "b", "tool_calls": [], "refusal": null, "name": "", "weight": 1)"), tokens);
    CHECK(silent.left_out().empty());
    CHECK(silent.size() == 1);
}

TEST_CASE("as many reasons as a file can name are counted, and a few are named") {
    std::string const known =
        R"({"messages": [{"role": "user", "content": "a"}, {"role": "assistant", "content": "b"}]})";
    std::string text = known + "\n";
    for (int i = 0; i < 1000; ++i)
        text += R"({"messages": [{"role": "user", "content": "a", "k)" + std::to_string(i) + "\": 1}]}\n";
    auto const read = from_lines(text, with_ends());
    CHECK(read.size() == 1);
    REQUIRE(read.left_out().size() == 32);
    std::int64_t lines = 0;
    for (auto const& [reason, count, first_line] : read.left_out()) {
        CHECK(first_line > 1);
        lines += count;
    }
    CHECK(lines == 1000);
    CHECK(read.left_out().back().reason == "other reasons");
    CHECK(read.left_out().back().first_line == 33);
}

TEST_CASE("a token that the model does not know is refused") {
    examples data;
    data.add({{1, 1'000'000}, {false, true}});
    CHECK_THAT(test::refusal([&] { packed_batches<trainer<2, 8>>{data}; }),
               Contains("token 1000000") && Contains("vocabulary of 1000000"));
}
