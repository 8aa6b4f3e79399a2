// SPDX-License-Identifier: Apache-2.0
#pragma once

/// \file
/// Needs PCRE2 (link snug::tokenizer).

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <ctime>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <snug/data/chat_template.hpp>
#include <snug/data/jinja/evaluate.hpp>
#include <snug/data/jinja/parse.hpp>
#include <snug/data/tokenizer.hpp>
#include <snug/error.hpp>
#include <snug/io/file.hpp>

namespace snug::SNUG_TARGET::io {

/// One turn of a conversation.
struct message {
    std::string role;  ///< "system", "user", "assistant", ...: a word
    std::string content;
    bool counts = true;  ///< false: what the assistant says here is not learnt
};

/// Tokens to learn from.
struct example {
    std::vector<std::int32_t> tokens;
    std::vector<bool> counted;  ///< of each token, whether predicting it is a part of the loss
};

/// ChatML, as SmolLM2-Instruct is trained on it: each message is `<|im_start|>ROLE\nCONTENT<|im_end|>\n`.
///
/// The tokens are those of the whole text, but for one thing: a special token that is written out in a message is plain
/// text, so that no message can end itself and speak for another role.
class chatml {
  public:
    /// `system`: the system message of a conversation that brings none, empty for none; without it the one of the
    /// tokenizer's own chat template, if that has one. Throws when the template is not ChatML as it is written here, or
    /// the vocabulary has no `<|im_start|>` or no `<|im_end|>`.
    explicit chatml(tokenizer tokens, std::optional<std::string> system = {})
        : tokenizer_(std::move(tokens)),
          system_(system_of(tokenizer_, std::move(system))),
          start_(tokenizer_.id_of("<|im_start|>")),
          end_(tokenizer_.id_of("<|im_end|>")),
          line_break_(tokenizer_.encode("\n")) {}

    /// A conversation to learn from: what the assistant says counts, unless its message says otherwise, with the
    /// `<|im_end|>` behind it. Throws when there is no message, or a role that is not a word.
    example conversation(std::span<message const> messages) const {
        if (messages.empty()) throw error({}, "a conversation without a message", "at least one");
        example result;
        if (messages.front().role != "system" && !system_.empty()) add({"system", system_, true}, result);
        for (auto const& message : messages) add(message, result);
        return result;
    }

    /// The conversation so far and the beginning of the assistant's reply, for a model to go on from. A reply is at its
    /// end with `end_of_reply()`.
    std::vector<std::int32_t> prompt(std::span<message const> messages) const {
        auto tokens = conversation(messages).tokens;
        tokens.push_back(start_);
        append(tokenizer_.encode("assistant\n"), tokens);
        return tokens;
    }

    std::int32_t end_of_reply() const noexcept { return end_; }

  private:
    static std::string system_of(tokenizer const& tokens, std::optional<std::string> given) {
        auto const& source = tokens.chat_template();
        auto const own = source.empty() ? std::optional(chatml_template{}) : read_chatml_template(source);
        if (!own)
            throw error(
                {tokens.path()}, "a chat template that is not ChatML",
                "none, or <|im_start|>, role, line break, content, <|im_end|> and line break for each "
                "message, with at most a system message before them: others are not implemented");
        if (!given && tokens.encode(own->system) != tokens.encode(own->system, special_tokens::plain_text))
            throw error({tokens.path()}, "a chat template whose system message has special tokens in it",
                        "a text: special tokens are plain text in a message");
        return given ? std::move(*given) : own->system;
    }

    static void append(std::vector<std::int32_t> const& more, std::vector<std::int32_t>& tokens) {
        tokens.insert(tokens.end(), more.begin(), more.end());
    }

    void add(message const& message, example& to) const {
        auto const word = [](char c) { return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_'; };
        if (message.role.empty() || !std::all_of(message.role.begin(), message.role.end(), word))
            throw error({}, "the role " + printable(message.role), "a word, such as user");
        auto const header = tokenizer_.encode(message.role + '\n', special_tokens::plain_text);
        auto const said =
            tokenizer_.encode(message.role + '\n' + message.content, special_tokens::plain_text);
        // White space that the content begins with may share a token with the line break before it. That token is of
        // the header: a reply that is generated does not begin with it.
        auto const shared =
            std::mismatch(header.begin(), header.end(), said.begin(), said.end()).first - header.begin();
        auto const all_shared = shared == static_cast<std::ptrdiff_t>(header.size());
        auto const first = to.tokens.size() + 1 + static_cast<std::size_t>(shared + (all_shared ? 0 : 1));

        to.tokens.push_back(start_);
        append(said, to.tokens);
        to.tokens.push_back(end_);
        to.counted.resize(to.tokens.size());
        if (message.role == "assistant" && message.counts)
            std::fill(to.counted.begin() + static_cast<std::ptrdiff_t>(std::min(first, to.tokens.size())),
                      to.counted.end(), true);
        append(line_break_, to.tokens);
        to.counted.resize(to.tokens.size());
    }

    tokenizer tokenizer_;
    std::string system_;
    std::int32_t start_, end_;
    std::vector<std::int32_t> line_break_;
};

/// The day and time of this computer, where it is.
inline jinja::moment now() {
    auto const seconds = std::time(nullptr);
    std::tm here{};
    if (localtime_r(&seconds, &here) == nullptr) return {};
    return {here.tm_year + 1900, here.tm_mon + 1, here.tm_mday, here.tm_hour, here.tm_min, here.tm_sec};
}

/// Conversations as the tokenizer's own chat template writes them; in ChatML where it has none.
///
/// The template is a program in Jinja's language, set up as transformers does. The tokens are those of the whole text,
/// but for one thing, as with `chatml`: a special token that is written out in a message is plain text.
class chat {
  public:
    struct options {
        /// The system message of a conversation that brings none, empty for none; without it the template's own, if
        /// any.
        std::optional<std::string> system = {};
        /// What the template is given beside the messages, as {"enable_thinking", false}.
        jinja::variables variables = {};
        /// The day of templates that write one (`strftime_now`); without it that of this computer.
        std::optional<jinja::moment> day = {};
    };

    chat(chatml format) : chatml_(std::move(format)) {}

    /// Throws, with the line, when the template has a construct that is not implemented (docs/tokenizer.md).
    explicit chat(tokenizer tokens) : chat(std::move(tokens), options{}) {}
    chat(tokenizer tokens, options given) : options_(std::move(given)) {
        auto const& source = tokens.chat_template();
        if (source.empty() || read_chatml_template(source)) {
            chatml_.emplace(std::move(tokens), options_.system);
            return;
        }
        program_ = std::make_shared<jinja::program const>(jinja::read(source, tokens.path()));
        tokenizer_.emplace(std::move(tokens));
        if (!options_.day) options_.day = now();
    }

    /// A conversation to learn from. What counts is what the model would write: where the template has {% generation %}
    /// what is inside; otherwise what follows the beginning of a reply that the template writes for the messages
    /// before, up to the end of what the assistant says and the special token that follows it. Throws when the template
    /// refuses the conversation, or writes what is before a reply in another way once the reply is there.
    example conversation(std::span<message const> messages) const {
        if (chatml_) return chatml_->conversation(messages);
        auto const all = checked_messages(messages);
        std::size_t work = 0;
        auto const whole = render(all, false, work);
        auto const placed = encode(whole.written);
        auto const spans =
            program_->has_generation ? tagged(all, whole) : replies(all, whole.written, placed, work);
        example result{placed.tokens, std::vector<bool>(placed.tokens.size())};
        for (auto const& span : spans) {
            auto const begin = place(whole.written, placed, span.begin, work);
            auto const end = place(whole.written, placed, span.end, work);
            // A token that the beginning of a reply shares is of the prompt, but inside of the tags of a template.
            auto const first = begin.token - (begin.is_inside && program_->has_generation ? 1 : 0);
            for (auto token = first; token < end.token; ++token) result.counted[token] = true;
        }
        return result;
    }

    /// The conversation so far and the beginning of the assistant's reply, for a model to go on from.
    std::vector<std::int32_t> prompt(std::span<message const> messages) const {
        if (chatml_) return chatml_->prompt(messages);
        std::size_t work = 0;
        return encode(render(checked_messages(messages), true, work).written).tokens;
    }

    /// The token that a reply is at its end with, if the template puts one behind it.
    std::optional<std::int32_t> end_of_reply() const {
        if (chatml_) return chatml_->end_of_reply();
        try {
            auto const one = conversation(std::vector<message>{{"user", "a"}, {"assistant", "b"}});
            for (auto i = one.tokens.size(); i-- > 0;)
                if (one.counted[i]) {
                    auto const text = tokenizer_->token(one.tokens[i]);
                    if (text != "b" && !text.ends_with('\n')) return one.tokens[i];
                }
        } catch (error const&) {
            // A template for other conversations than this one.
        }
        return tokenizer_->end_of_text();
    }

  private:
    using range = jinja::rendering::range;
    using placed_tokens = tokenizer::placed_tokens;

    /// Bytes that a conversation may take, all renderings of it together: one for each reply.
    static constexpr std::size_t most_work = std::size_t{1} << 28;

    void spend(std::size_t& work, std::size_t bytes) const {
        work += bytes;
        if (work > most_work)
            throw error({tokenizer_->path()},
                        "a conversation whose replies take more than " + std::to_string(most_work) +
                            " bytes to tell apart",
                        "a shorter one");
    }

    std::vector<message> checked_messages(std::span<message const> messages) const {
        if (messages.empty()) throw error({}, "a conversation without a message", "at least one");
        std::vector<message> all;
        if (messages.front().role != "system" && options_.system && !options_.system->empty())
            all.push_back({"system", *options_.system, true});
        all.insert(all.end(), messages.begin(), messages.end());
        auto const word = [](char c) { return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_'; };
        for (auto const& one : all)
            if (one.role.empty() || !std::all_of(one.role.begin(), one.role.end(), word))
                throw error({}, "the role " + printable(one.role), "a word, such as user");
        return all;
    }

    jinja::rendering render(std::span<message const> messages, bool begin_reply, std::size_t& work) const {
        std::vector<jinja::value> all;
        std::size_t bytes = 0;
        for (std::size_t i = 0; i < messages.size(); ++i) {
            bytes += messages[i].content.size();
            all.push_back(jinja::make_dict({{jinja::text("role"), messages[i].role},
                                            {jinja::text("content"), jinja::text(messages[i].content, i)}}));
        }
        // The first of a name is the one that counts.
        auto variables = options_.variables;
        variables.emplace_back("messages", jinja::make_list(std::move(all)));
        variables.emplace_back("add_generation_prompt", begin_reply);
        // As transformers has them.
        variables.emplace_back("tools", jinja::none{});
        variables.emplace_back("documents", jinja::none{});
        auto const special = [&](char const* name, std::optional<std::int32_t> token) {
            if (token) variables.emplace_back(name, std::string(tokenizer_->token(*token)));
        };
        special("bos_token", tokenizer_->begin_of_text());
        special("eos_token", tokenizer_->end_of_text());
        auto result = jinja::render(*program_, variables, *options_.day, bytes, messages.size());
        spend(work, result.written.size() + bytes);
        return result;
    }

    placed_tokens encode(jinja::text const& written) const {
        return tokenizer_->encode_placed(written.bytes, [&](std::size_t begin, std::size_t end) {
            for (auto i = begin; i < end && i < written.from.size(); ++i)
                if (written.from[i] != 0) return true;
            return false;
        });
    }

    /// Where a byte of the text is among its tokens: the first that begins there or later.
    struct place_of_byte {
        std::size_t token;
        bool is_inside;  ///< the byte is not the first of the token before, but inside of it
    };
    place_of_byte place(jinja::text const& written, placed_tokens const& placed, std::size_t at,
                        std::size_t& work) const {
        auto const count = placed.tokens.size();
        if (placed.exact) {
            // The first token that ends behind it, or the one after that.
            auto const found = static_cast<std::size_t>(
                std::upper_bound(placed.ends.begin(), placed.ends.end(), at) - placed.ends.begin());
            auto const inside = found < count && at > (found == 0 ? 0 : placed.ends[found - 1]);
            return {found + (inside ? 1 : 0), inside};
        }
        // The tokens of what is before say how many bytes of tokens that is.
        spend(work, written.size());
        auto const before = encode(written.part(0, at));
        std::size_t bytes = 0, here = 0, token = 0;
        for (auto const one : before.tokens) bytes += tokenizer_->token(one).size();
        for (; token < count && here < bytes; ++token) here += tokenizer_->token(placed.tokens[token]).size();
        return {token, here > bytes};
    }

    static bool is_reply(message const& one) { return one.role == "assistant"; }

    /// The spans of a template that says itself which are the assistant's.
    std::vector<range> tagged(std::span<message const> messages, jinja::rendering const& whole) const {
        if (std::all_of(messages.begin(), messages.end(),
                        [](message const& one) { return !is_reply(one) || one.counts; }))
            return whole.generation;
        std::vector<range> kept;
        std::size_t i = 0;
        for (auto const& span : whole.generation) {
            while (i < messages.size() && !is_reply(messages[i])) ++i;
            if (i == messages.size()) break;
            if (messages[i++].counts) kept.push_back(span);
        }
        auto const wanted = std::count_if(messages.begin(), messages.end(), is_reply);
        if (static_cast<std::size_t>(wanted) != whole.generation.size())
            throw error({tokenizer_->path()},
                        std::to_string(whole.generation.size()) +
                            " parts of the assistant's in a chat template's text",
                        std::to_string(wanted) + ", so that it is known which are not learnt");
        return kept;
    }

    /// Where the last byte of message i is, and one more; 0 where the text has none of it.
    static std::size_t end_of(jinja::text const& written, std::size_t i) {
        auto const found = written.from.rfind(static_cast<char32_t>(i + 1));
        return found == written.from.npos ? 0 : found + 1;
    }

    std::vector<range> replies(std::vector<message> const& messages, jinja::text const& whole,
                               placed_tokens const& placed, std::size_t& work) const {
        std::vector<range> all;
        for (std::size_t i = 0; i < messages.size(); ++i) {
            if (!is_reply(messages[i]) || !messages[i].counts) continue;
            spend(work, whole.size());
            auto const begin = begin_of_reply(messages, i, whole, work);
            auto const said = end_of(whole, i);
            auto end = std::max(begin, said);
            auto const next = std::find_if(placed.specials.begin(), placed.specials.end(),
                                           [&](auto const& one) { return one.begin >= end; });
            if (next != placed.specials.end()) {
                auto between = end;
                // Behind an empty reply too, whatever the template writes in its place.
                while (between < next->begin && of_template(whole, between) &&
                       (said == 0 || jinja::is_space(whole.bytes, between)))
                    ++between;
                if (between == next->begin) end = next->end;
            }
            all.push_back({begin, end});
        }
        return all;
    }
    static bool of_template(jinja::text const& written, std::size_t at) {
        return at >= written.from.size() || written.from[at] == 0;
    }

    std::size_t begin_of_reply(std::vector<message> const& messages, std::size_t i, jinja::text const& whole,
                               std::size_t& work) const {
        auto const refuse = [&](std::string const& why) {
            throw error(
                {tokenizer_->path()},
                "message " + std::to_string(i + 1) + " of a conversation, the assistant's, " + why,
                "a chat template that writes the messages before a reply alike with it and without it");
        };
        auto const prompt = render(std::span(messages).first(i), true, work).written;
        auto const first = whole.from.find(static_cast<char32_t>(i + 1));
        auto begin = prompt.size();
        if (!whole.bytes.starts_with(prompt.bytes)) {
            // The text of earlier messages has changed; what is behind the last of them may have not.
            auto const behind = i == 0 ? 0 : end_of(prompt, i - 1), here = i == 0 ? 0 : end_of(whole, i - 1);
            auto const opening = std::string_view(prompt.bytes).substr(behind);
            auto const all = std::string_view(whole.bytes);
            // Before the first message some templates write what they do not write before none.
            if (i == 0 && first != whole.from.npos && all.substr(0, first).ends_with(opening)) return first;
            if (behind == 0 || here == 0 || !all.substr(here).starts_with(opening))
                refuse("before which the chat template writes something else once it is there");
            begin = here + opening.size();
        }
        if (first != whole.from.npos && first < begin)
            refuse("of which the chat template writes a part before its beginning");
        return begin;
    }

    options options_;
    std::optional<chatml> chatml_;
    std::optional<tokenizer> tokenizer_;
    std::shared_ptr<jinja::program const> program_;
};

}  // namespace snug::SNUG_TARGET::io
