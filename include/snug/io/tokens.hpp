// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <algorithm>
#include <bit>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <memory>
#include <string>
#include <string_view>
#include <utility>

#include <snug/error.hpp>
#include <snug/io/file.hpp>
#include <snug/io/size.hpp>
#include <snug/kernels/random.hpp>

namespace snug::io {

static_assert(std::endian::native == std::endian::little, "token files are little-endian and read in place");

/// How tokens lie in a file.
enum class format {
    automatic,  ///< llm.c by its magic, else nanoGPT when the name ends in ".bin", else text
    llmc,       ///< llm.c `.bin`: 256 int32 of header (magic 20240520, version 1, count), then uint16 tokens
    raw16,      ///< nanoGPT `.bin`: uint16 tokens, nothing else
    text        ///< any file, a token per byte
};

/// A memory-mapped sequence of tokens, or a part of one. Copies share the mapping.
class token_file {
  public:
    /// Maps `path` and checks all of it, every token against `vocabulary` included. Throws when the file is
    /// missing, empty, damaged, or holds a token that is not in the vocabulary.
    static token_file open(std::string path, std::int64_t vocabulary, format as = format::automatic) {
        auto file = std::make_shared<mapping const>(std::move(path));
        place const start{file->path(), 0};
        if (vocabulary < 1)
            throw error({file->path()}, "a vocabulary of " + std::to_string(vocabulary), "at least 1 token");
        if (file->size() == 0) throw error({file->path()}, "an empty file", "tokens or text");
        if (as == format::automatic) as = recognise(*file);

        token_file tokens;
        tokens.bytes_per_token_ = as == format::text ? 1 : 2;
        if (as == format::llmc) {
            tokens.count_ = check_llmc(*file);
            tokens.data_ = file->bytes().data() + llmc_header;
        } else if (as == format::raw16) {
            if (file->size() % 2 != 0)
                throw error({file->path()},
                            "an odd number of bytes (" + std::to_string(file->size().value()) + ")",
                            "2 bytes per token");
            tokens.count_ = (file->size() / 2).index();
            tokens.data_ = file->bytes().data();
        } else {
            if (vocabulary < 256)
                throw error({file->path()}, "text for a vocabulary of " + std::to_string(vocabulary),
                            "a vocabulary of at least 256, one token per byte");
            tokens.count_ = file->size().index();
            tokens.data_ = file->bytes().data();
        }
        tokens.file_ = std::move(file);
        tokens.check_vocabulary(vocabulary);
        return tokens;
    }

    std::string const& path() const noexcept { return file_->path(); }
    std::int64_t size() const noexcept { return count_; }

    /// Token i. Needs 0 <= i < size().
    std::int32_t operator[](std::int64_t i) const noexcept {
        if (bytes_per_token_ == 1) return static_cast<std::int32_t>(data_[i]);
        std::uint16_t token;
        std::memcpy(&token, data_ + 2 * i, 2);
        return token;
    }

    /// `count` tokens from `first` to `out`. Throws when they are not all there.
    void copy(std::int64_t first, std::int64_t count, std::int32_t* out) const {
        check_range(first, count);
        if (bytes_per_token_ == 1) {
            auto const* const from = data_ + first;
            for (std::int64_t i = 0; i < count; ++i) out[i] = static_cast<std::int32_t>(from[i]);
        } else {
            auto const* const from = wide() + first;
            for (std::int64_t i = 0; i < count; ++i) out[i] = from[i];
        }
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
    static constexpr std::int32_t llmc_magic = 20240520;

    token_file() = default;

    static std::int32_t header_word(mapping const& file, std::int64_t index) {
        std::int32_t word;
        std::memcpy(&word, file.bytes(4 * index, 4).data(), 4);
        return word;
    }

    /// What another magic of llm.c says the file is; empty for an unknown one.
    static std::string_view other_llmc_file(std::int32_t magic) noexcept {
        switch (magic) {
        case 20240522: return "an llm.c evaluation file (HellaSwag; magic 20240522)";
        case 20240801: return "an llm.c token file for Llama-3 (32-bit tokens; magic 20240801)";
        case 20240326: return "an llm.c model (magic 20240326)";
        case 20240327: return "an llm.c debug state (magic 20240327)";
        case 20240328: return "an llm.c tokenizer (magic 20240328)";
        case 20240527: return "an llm.c optimizer state (magic 20240527)";
        default: return {};
        }
    }

    // As two 16-bit tokens, each of these magics begins with one above 55,000: beyond any vocabulary that
    // such files are written for (GPT-2's has 50,257), so a nanoGPT file is not mistaken for one of them.
    static format recognise(mapping const& file) {
        auto const magic = file.size() >= 4 ? header_word(file, 0) : 0;
        if (magic == llmc_magic) return format::llmc;
        if (!std::string_view(file.path()).ends_with(".bin")) return format::text;
        if (auto const known = other_llmc_file(magic); !known.empty())
            throw error({file.path(), 0}, std::string(known),
                        "an llm.c token file of 16-bit tokens (magic 20240520)");
        return format::raw16;
    }

    static std::int64_t check_llmc(mapping const& file) {
        auto const size = std::to_string(file.size().value());
        if (file.size() < llmc_header)
            throw error({file.path(), 0}, size + " bytes", "an llm.c header of 1024 bytes");
        if (auto const magic = header_word(file, 0); magic != llmc_magic) {
            auto const known = other_llmc_file(magic);
            throw error({file.path(), 0},
                        known.empty() ? "magic " + std::to_string(magic) : std::string(known),
                        "an llm.c token file of 16-bit tokens (magic 20240520)");
        }
        if (auto const version = header_word(file, 1); version != 1)
            throw error({file.path(), 4}, "version " + std::to_string(version), "version 1");
        place const at{file.path(), 8};
        checked const count(header_word(file, 2), at);
        if (count == 0) throw error(at, "0 tokens", "at least one token");
        if (file.size() != count * 2 + llmc_header)
            throw error(at, std::to_string(count.value()) + " tokens in a file of " + size + " bytes",
                        std::to_string((count * 2 + llmc_header).value()) + " bytes (1024 + 2 per token)");
        return count.index();
    }

    /// Two-byte tokens in place: the mapping begins on a page, the header of llm.c has an even size.
    std::uint16_t const* wide() const noexcept { return reinterpret_cast<std::uint16_t const*>(data_); }

    void check_vocabulary(std::int64_t vocabulary) const {
        if (bytes_per_token_ == 1 || vocabulary > 0xffff) return;
        constexpr std::int64_t chunk = 1 << 20;
        for (std::int64_t first = 0; first < count_; first += chunk) {
            auto const* const from = wide() + first;
            auto const count = std::min(chunk, count_ - first);
            std::uint16_t largest = 0;
            for (std::int64_t i = 0; i < count; ++i) largest = std::max(largest, from[i]);
            file_->forget();
            if (largest < vocabulary) continue;
            auto const bad =
                std::find_if(from, from + count, [&](auto token) { return token >= vocabulary; });
            throw error({path(), reinterpret_cast<std::byte const*>(bad) - file_->bytes().data()},
                        "token " + std::to_string(*bad),
                        "a token below the vocabulary of " + std::to_string(vocabulary));
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
/// one window less than fit (unless only one fits).
class batch_order {
  public:
    /// Throws when the data is shorter than one window.
    batch_order(token_file data, std::int64_t tokens, std::uint64_t seed)
        : batch_order(std::move(data), tokens, seed, true) {}

    /// Every window that fits, first to last: for validation.
    static batch_order sequential(token_file data, std::int64_t tokens) {
        return batch_order(std::move(data), tokens, 0, false);
    }

    /// Sequences in one epoch.
    std::int64_t windows() const noexcept { return windows_; }

    /// Where in the data sequence number `counter` begins.
    std::int64_t start(std::int64_t counter) const noexcept {
        auto const epoch = counter / windows_, window = counter % windows_;
        if (!shuffled_) return window * tokens_;
        auto const unsigned_epoch = static_cast<std::uint64_t>(epoch);
        auto const room = static_cast<std::uint64_t>(data_.size() - windows_ * tokens_);
        auto const shift = random::bits(seed_, shift_stream, unsigned_epoch) % room;
        auto const key = random::bits(seed_, order_stream, unsigned_epoch);
        auto const visited = random::permuted(key, 0, static_cast<std::uint64_t>(window),
                                              static_cast<std::uint64_t>(windows_));
        return static_cast<std::int64_t>(shift + visited * static_cast<std::uint64_t>(tokens_));
    }

    /// Sequences counter, counter + 1, ..., `sequences` of them, to `inputs` and `targets`, each (sequences x
    /// tokens); a target is the token after its input. Allocates nothing; throws when the counter is negative
    /// or at its end.
    void fill(std::int64_t counter, std::int64_t sequences, std::int32_t* inputs,
              std::int32_t* targets) const {
        (void)(checked(counter) + sequences).index();
        for (std::int64_t row = 0; row < sequences; ++row) {
            auto const first = start(counter + row);
            data_.copy(first, tokens_, inputs + row * tokens_);
            data_.copy(first + 1, tokens_, targets + row * tokens_);
        }
        // Pages of the file that were touched would pile up in the resident memory of a long run.
        data_.forget();
    }

  private:
    // Far from the small numbers that name the streams of weights.
    static constexpr std::uint64_t order_stream = 0x6f72646572000000;
    static constexpr std::uint64_t shift_stream = order_stream + 1;

    batch_order(token_file data, std::int64_t tokens, std::uint64_t seed, bool shuffled)
        : data_(std::move(data)), tokens_(tokens), seed_(seed), shuffled_(shuffled) {
        if (tokens < 1)
            throw error({data_.path()}, std::to_string(tokens) + " tokens per sequence", "at least 1");
        if (data_.size() <= tokens)
            throw error({data_.path()}, std::to_string(data_.size()) + " tokens",
                        "at least " + std::to_string(checked(tokens).value() + 1) +
                            ", one sequence and its last target");
        auto const fit = (data_.size() - 1) / tokens;
        windows_ = shuffled && fit > 1 ? fit - 1 : fit;
    }

    token_file data_;
    std::int64_t tokens_ = 0;
    std::int64_t windows_ = 0;
    std::uint64_t seed_ = 0;
    bool shuffled_ = true;
};

}  // namespace snug::io
