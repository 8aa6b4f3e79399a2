// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <algorithm>
#include <array>
#include <bit>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <snug/error.hpp>
#include <snug/io/file.hpp>
#include <snug/io/size.hpp>
#include <snug/random.hpp>

namespace snug::SNUG_TARGET::io {

static_assert(std::endian::native == std::endian::little, "token files are little-endian and read in place");

/// How tokens lie in a file.
enum class format {
    automatic,  ///< llm.c by its magic; else, when the name ends in ".bin", raw tokens, of 32 bits for a vocabulary
                ///< above 65536 and of 16 for others; else text, for a vocabulary of 256
    llmc,  ///< llm.c `.bin`: 256 int32 of header (magic, version, count), then tokens: uint16 (magic 20240520,
           ///< version 1) or, as for Llama-3, uint32 (magic 20240801, version 7)
    raw16,  ///< nanoGPT `.bin`: uint16 tokens, nothing else
    raw32,  ///< uint32 tokens, nothing else
    text    ///< any file, a token per byte
};

/// A memory-mapped sequence of tokens, or a part of one. Copies share the mapping.
class token_file {
  public:
    /// Maps `path` and checks all of it, every token against `vocabulary` included. Throws when the file is
    /// missing, empty, damaged, holds a token that is not in the vocabulary, has tokens too narrow for it, or may
    /// as well be of another format (then name it).
    static token_file open(std::string path, std::int64_t vocabulary, format as = format::automatic) {
        auto file = std::make_shared<mapping const>(std::move(path));
        if (vocabulary < 1 || vocabulary > std::int64_t{1} << 31)
            throw error({file->path()}, "a vocabulary of " + std::to_string(vocabulary), "1 to 2^31 tokens");
        if (file->size() == 0) throw error({file->path()}, "an empty file", "tokens or text");
        bool const guessed = as == format::automatic;
        if (guessed) as = recognise(*file, vocabulary);

        token_file tokens;
        std::int64_t header = 0;
        if (as == format::llmc) {
            tokens.bytes_per_token_ = check_llmc(*file);
            header = llmc_header;
        } else if (as == format::raw16 || as == format::raw32) {
            tokens.bytes_per_token_ = as == format::raw16 ? 2 : 4;
            if (file->size() % tokens.bytes_per_token_ != 0)
                throw error({file->path(), (file->size() - file->size() % tokens.bytes_per_token_).index()},
                            (as == format::raw16 ? "an odd number of bytes (" : "a number of bytes (") +
                                std::to_string(file->size().value()) + ")",
                            as == format::raw16 ? "2 bytes per token"
                                                : "a multiple of 4, the bytes of a token" + of(vocabulary));
        } else {
            if (vocabulary < 256)
                throw error({file->path()}, "text for a vocabulary of " + std::to_string(vocabulary),
                            "a vocabulary of at least 256, one token per byte");
        }
        if (tokens.bytes_per_token_ == 2 && vocabulary > widest_in_16_bits)
            throw error({file->path(), 0}, "tokens of 16 bits", "tokens of 32 bits" + of(vocabulary));
        tokens.count_ = ((file->size() - header) / tokens.bytes_per_token_).index();
        tokens.data_ = file->bytes().data() + header;
        tokens.file_ = std::move(file);
        if (guessed && header == 0) tokens.check_width(vocabulary);
        tokens.check_vocabulary(vocabulary);
        return tokens;
    }

    /// Each of `paths` so, in their order: a data set in several files.
    static std::vector<token_file> open_all(std::vector<std::string> const& paths, std::int64_t vocabulary,
                                            format as = format::automatic) {
        std::vector<token_file> files;
        files.reserve(paths.size());
        for (auto const& path : paths) files.push_back(open(path, vocabulary, as));
        return files;
    }

    std::string const& path() const noexcept { return file_->path(); }
    std::int64_t size() const noexcept { return count_; }

    /// Token i. Needs 0 <= i < size().
    std::int32_t operator[](std::int64_t i) const noexcept {
        if (bytes_per_token_ == 1) return static_cast<std::int32_t>(data_[i]);
        if (bytes_per_token_ == 2) return as<std::uint16_t>()[i];
        return static_cast<std::int32_t>(as<std::uint32_t>()[i]);
    }

    /// `count` tokens from `first` to `out`. Throws when they are not all there.
    void copy(std::int64_t first, std::int64_t count, std::int32_t* out) const {
        check_range(first, count);
        auto const convert = [&](auto const* from) {
            std::transform(from + first, from + first + count, out,
                           [](auto token) { return static_cast<std::int32_t>(token); });
        };
        if (bytes_per_token_ == 1) convert(data_);
        else if (bytes_per_token_ == 2) convert(as<std::uint16_t>());
        else convert(as<std::uint32_t>());
    }

    /// `count` tokens from `first` as a sequence of their own. Throws when they are not all there.
    token_file part(std::int64_t first, std::int64_t count) const {
        check_range(first, count);
        auto result = *this;
        result.data_ += first * bytes_per_token_;
        result.count_ = count;
        return result;
    }

    /// Takes the file's pages out of this process's resident memory.
    void forget() const noexcept { file_->forget(); }

  private:
    static constexpr std::int64_t llmc_header = 1024;
    static constexpr std::int64_t widest_in_16_bits = 1 << 16;

    /// A kind of llm.c's token files.
    struct llmc_kind {
        std::int32_t magic;
        std::int32_t version;
        std::int64_t bytes_per_token;
    };
    static constexpr std::array<llmc_kind, 2> llmc_kinds{{{20240520, 1, 2}, {20240801, 7, 4}}};

    token_file() = default;

    static std::string of(std::int64_t vocabulary) {
        return " of a vocabulary of " + std::to_string(vocabulary);
    }

    static std::int32_t header_word(mapping const& file, std::int64_t index) {
        std::int32_t word;
        std::memcpy(&word, file.bytes(4 * index, 4).data(), 4);
        return word;
    }

    static llmc_kind const* find_llmc(mapping const& file) {
        auto const magic = file.size() >= 4 ? header_word(file, 0) : 0;
        auto const found = std::ranges::find(llmc_kinds, magic, &llmc_kind::magic);
        return found != llmc_kinds.end() ? &*found : nullptr;
    }

    /// What the first bytes say of a file that holds no raw tokens; empty for an unknown one.
    static std::string_view other_file(mapping const& file) {
        constexpr std::string_view numpy = "\x93NUMPY";
        if (file.size() >= numpy.size() && std::memcmp(file.bytes().data(), numpy.data(), numpy.size()) == 0)
            return "a file of NumPy's (.npy; array.tofile writes raw tokens)";
        if (file.size() < 4) return {};
        switch (header_word(file, 0)) {
        case 20240522: return "an llm.c evaluation file (HellaSwag; magic 20240522)";
        case 20240326: return "an llm.c model (magic 20240326)";
        case 20240327: return "an llm.c debug state (magic 20240327)";
        case 20240328: return "an llm.c tokenizer (magic 20240328)";
        case 20240527: return "an llm.c optimizer state (magic 20240527)";
        default: return {};
        }
    }

    [[noreturn]] static void refuse_other(mapping const& file, std::string found) {
        throw error({file.path(), 0}, std::move(found),
                    "an llm.c token file (magic 20240520, 16-bit tokens; 20240801, 32-bit tokens)");
    }

    // As two 16-bit tokens, each of these magics begins with one above 55,000: beyond any vocabulary that
    // such files are written for (GPT-2's has 50,257), so a nanoGPT file is not mistaken for one of them. As one
    // 32-bit token, it is beyond any vocabulary at all.
    static format recognise(mapping const& file, std::int64_t vocabulary) {
        if (find_llmc(file) != nullptr) return format::llmc;
        if (auto const known = other_file(file);
            !known.empty() && (file.path().ends_with(".bin") || vocabulary > 256))
            refuse_other(file, std::string(known));
        if (file.path().ends_with(".bin"))
            return vocabulary > widest_in_16_bits ? format::raw32 : format::raw16;
        // The tokens of a larger vocabulary are no bytes: its model would learn from them without a word.
        if (vocabulary > 256)
            throw error({file.path()}, "text, or a file of unknown format",
                        "tokens" + of(vocabulary) +
                            " (.bin; or name the format: format::text takes a token per byte)");
        return format::text;
    }

    /// Gives the bytes of a token.
    static std::int64_t check_llmc(mapping const& file) {
        auto const size = std::to_string(file.size().value());
        if (file.size() < llmc_header)
            throw error({file.path(), 0}, size + " bytes", "an llm.c header of 1024 bytes");
        auto const* const kind = find_llmc(file);
        if (kind == nullptr) {
            auto const known = other_file(file);
            refuse_other(
                file, known.empty() ? "magic " + std::to_string(header_word(file, 0)) : std::string(known));
        }
        if (auto const version = header_word(file, 1); version != kind->version)
            throw error({file.path(), 4}, "version " + std::to_string(version),
                        "version " + std::to_string(kind->version));
        place const at{file.path(), 8};
        checked const count(header_word(file, 2), at);
        if (count == 0) throw error(at, "0 tokens", "at least one token");
        auto const expected = count * kind->bytes_per_token + llmc_header;
        if (file.size() != expected)
            throw error(at, std::to_string(count.value()) + " tokens in a file of " + size + " bytes",
                        std::to_string(expected.value()) + " bytes (1024 + " +
                            std::to_string(kind->bytes_per_token) + " per token)");
        return kind->bytes_per_token;
    }

    /// The tokens in place: the mapping begins on a page, and the header of llm.c is a multiple of 4.
    template <class Token>
    Token const* as() const noexcept {
        return reinterpret_cast<Token const*>(data_);
    }

    /// Refuses tokens without a header that are as well tokens of twice the width: every second one is 0.
    void check_width(std::int64_t vocabulary) const {
        constexpr std::int64_t few = 4;  // of which that may be by chance
        if (bytes_per_token_ == 1 || count_ < few || count_ % 2 != 0) return;
        for (std::int64_t i = 1; i < count_; i += 2)
            if ((*this)[i] != 0) return;
        auto const bits = 8 * bytes_per_token_;
        auto const wide = std::to_string(2 * bits);
        throw error(
            {path(), 0}, "tokens of " + wide + " bits: every second one of " + std::to_string(bits) + " is 0",
            "tokens of " + std::to_string(bits) + " bits" + of(vocabulary) +
                " (or name the format: format::raw" + (bits == 16 ? wide : std::to_string(bits)) + ")");
    }

    void check_vocabulary(std::int64_t vocabulary) const {
        if (bytes_per_token_ == 2) check_tokens<std::uint16_t>(vocabulary);
        if (bytes_per_token_ == 4) check_tokens<std::uint32_t>(vocabulary);
    }
    template <class Token>
    void check_tokens(std::int64_t vocabulary) const {
        constexpr std::int64_t chunk = 1 << 20;
        for (std::int64_t first = 0; first < count_; first += chunk) {
            auto const* const from = as<Token>() + first;
            auto const count = std::min(chunk, count_ - first);
            Token largest = 0;
            for (std::int64_t i = 0; i < count; ++i) largest = std::max(largest, from[i]);
            file_->forget();
            if (largest < vocabulary) continue;
            auto const bad =
                std::find_if(from, from + count, [&](auto token) { return token >= vocabulary; });
            throw error({path(), reinterpret_cast<std::byte const*>(bad) - file_->bytes().data()},
                        "token " + std::to_string(*bad),
                        "a token below the vocabulary of " + std::to_string(vocabulary) +
                            (sizeof(Token) == 4 ? ", in 32 bits" : ""));
        }
    }

    void check_range(std::int64_t first, std::int64_t count) const {
        if (first < 0 || count < 0 || first > count_ || count > count_ - first)
            throw error({path()}, std::to_string(count_) + " tokens",
                        std::to_string(count) + " tokens from token " + std::to_string(first));
    }

    std::shared_ptr<mapping const> file_;
    std::byte const* data_ = nullptr;
    std::int64_t bytes_per_token_ = 1;
    std::int64_t count_ = 0;
};

struct split_tokens {
    token_file training;
    token_file validation;
};

/// The last `fraction` (0 to 1) of the tokens for validation, what is before them for training. Throws when
/// training has no batch of `sequences` x `tokens` (and the last target), or validation no sequence.
inline split_tokens split(token_file const& all, double fraction, std::int64_t sequences,
                          std::int64_t tokens) {
    if (!(fraction > 0 && fraction < 1))
        throw error({all.path()}, "a validation fraction of " + std::to_string(fraction),
                    "one between 0 and 1");
    auto const validation = static_cast<std::int64_t>(static_cast<double>(all.size()) * fraction);
    auto const training = all.size() - validation;
    auto const require = [&](std::string const& part, std::int64_t found, checked needed,
                             std::string const& unit) {
        if (needed > found)
            throw error(
                {all.path()},
                std::to_string(found) + " tokens for " + part + " (of " + std::to_string(all.size()) + ")",
                "at least " + std::to_string(needed.value()) + ", " + unit + " and its last target");
    };
    require("training", training, checked(sequences) * tokens + 1, "one batch");
    require("validation", validation, checked(tokens) + 1, "one sequence");
    return {all.part(0, training), all.part(training, validation)};
}

/// Which tokens make up sequence number 0, 1, 2, ... of a run. The state is one counter: a snapshot that
/// holds the seed and the counter goes on with the next sequence.
///
/// The data is cut into windows of `tokens` inputs and one more for the last target. An epoch visits each of
/// its windows once, in an order drawn from (seed, epoch); the grid of the windows is shifted anew in each
/// epoch, so that sequences do not always begin at the same tokens. For the shift to have room, an epoch has
/// one window less than fit (unless only one fits). Of several files each has a grid of its own: no sequence goes
/// from one into the next, and the order is one of all windows.
class batch_order {
  public:
    /// Throws when there is no data, or a file is shorter than one window.
    batch_order(token_file data, std::int64_t tokens, std::uint64_t seed)
        : batch_order(std::vector{std::move(data)}, tokens, seed) {}
    batch_order(std::vector<token_file> files, std::int64_t tokens, std::uint64_t seed)
        : batch_order(std::move(files), tokens, seed, true) {}

    /// Every window that fits, first to last: for validation.
    static batch_order sequential(token_file data, std::int64_t tokens) {
        return sequential(std::vector{std::move(data)}, tokens);
    }
    static batch_order sequential(std::vector<token_file> files, std::int64_t tokens) {
        return batch_order(std::move(files), tokens, 0, false);
    }

    /// Sequences in one epoch.
    std::int64_t windows() const noexcept { return windows_; }

    /// Where in its file sequence number `counter` begins.
    std::int64_t start(std::int64_t counter) const noexcept { return find(counter).second; }

    /// Sequences counter, counter + 1, ..., `sequences` of them, to `inputs` and `targets`, each (sequences x
    /// tokens); a target is the token after its input. Allocates nothing; throws when the counter is negative
    /// or at its end.
    void fill(std::int64_t counter, std::int64_t sequences, std::int32_t* inputs,
              std::int32_t* targets) const {
        (void)(checked(counter) + sequences).index();
        for (std::int64_t row = 0; row < sequences; ++row) {
            auto const [data, first] = find(counter + row);
            data->copy(first, tokens_, inputs + row * tokens_);
            data->copy(first + 1, tokens_, targets + row * tokens_);
            // Pages of the file that were touched would pile up in the resident memory of a long run.
            if (row == sequences - 1 || files_.size() > 1) data->forget();
        }
    }

  private:
    // Far from the small numbers that name the streams of weights.
    static constexpr std::uint64_t order_stream = 0x6f72646572000000;
    static constexpr std::uint64_t shift_stream = order_stream + 1;  // of the first file; the others' follow

    struct file_windows {
        token_file data;
        std::int64_t before;  // windows of the files before it
        std::int64_t count;
    };

    batch_order(std::vector<token_file> files, std::int64_t tokens, std::uint64_t seed, bool shuffled)
        : tokens_(tokens), seed_(seed), shuffled_(shuffled) {
        if (files.empty()) throw error({}, "no token file", "one at least");
        for (auto& data : files) {
            if (tokens < 1)
                throw error({data.path()}, std::to_string(tokens) + " tokens per sequence", "at least 1");
            if (data.size() <= tokens)
                throw error({data.path()}, std::to_string(data.size()) + " tokens",
                            "at least " + std::to_string(checked(tokens).value() + 1) +
                                ", one sequence and its last target");
            auto const fit = (data.size() - 1) / tokens;
            auto const count = shuffled && fit > 1 ? fit - 1 : fit;
            files_.push_back({std::move(data), windows_, count});
            windows_ = (checked(windows_) + count).index();
        }
    }

    std::pair<token_file const*, std::int64_t> find(std::int64_t counter) const noexcept {
        auto const epoch = static_cast<std::uint64_t>(counter / windows_);
        auto window = counter % windows_;
        if (shuffled_)
            window = static_cast<std::int64_t>(random::permuted(random::bits(seed_, order_stream, epoch), 0,
                                                                static_cast<std::uint64_t>(window),
                                                                static_cast<std::uint64_t>(windows_)));
        auto const in = std::ranges::upper_bound(files_, window, {}, &file_windows::before) - 1;
        auto start = (window - in->before) * tokens_;
        if (shuffled_) {
            auto const room = static_cast<std::uint64_t>(in->data.size() - in->count * tokens_);
            auto const stream = shift_stream + static_cast<std::uint64_t>(in - files_.begin());
            start += static_cast<std::int64_t>(random::bits(seed_, stream, epoch) % room);
        }
        return {&in->data, start};
    }

    std::vector<file_windows> files_;
    std::int64_t tokens_ = 0;
    std::int64_t windows_ = 0;
    std::uint64_t seed_ = 0;
    bool shuffled_ = true;
};

}  // namespace snug::SNUG_TARGET::io
