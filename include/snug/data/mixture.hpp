// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <algorithm>
#include <cstdint>
#include <snug/data/numbered_batches.hpp>
#include <snug/data/tokens.hpp>
#include <snug/error.hpp>
#include <snug/io/size.hpp>
#include <snug/random.hpp>
#include <string>
#include <utility>
#include <vector>

namespace snug::SNUG_TARGET::io {

/// Sequences of several orders, in shares. With p parts in all, sequences k p to k p + p - 1 are the next `parts` of each
/// order, shuffled together by (seed, k): so every sequence of an order comes once in each of its epochs, and the shares are
/// exact. Nothing is kept but the counter, as with `batch_order`.
template <sequence_order Order = batch_order>
class mixture {
  public:
    struct share {
        Order order;
        std::int64_t parts = 1;
    };

    /// Throws when there is no source, or one of no parts.
    mixture(std::vector<share> sources, std::int64_t tokens, std::uint64_t seed)
        : tokens_(tokens), seed_(seed) {
        if (sources.empty()) throw error({}, "a mixture of nothing", "one source at least");
        for (auto& [order, parts] : sources) {
            if (parts < 1)
                throw error({}, std::to_string(parts) + " parts of source " + std::to_string(sources_.size()),
                            "one at least, of the parts of all sources");
            sources_.push_back({std::move(order), parts_, parts});
            parts_ = (checked(parts_) + parts).index();
        }
    }

    /// Sequences number, number + 1, ..., as `batch_order::fill`.
    void fill(std::int64_t number, std::int64_t sequences, std::int32_t* inputs,
              std::int32_t* targets) const {
        (void)(checked(number) + sequences).index();
        for (std::int64_t row = 0; row < sequences; ++row) {
            auto const [source, its] = find(number + row);
            sources_[source].order.fill(its, 1, inputs + row * tokens_, targets + row * tokens_);
        }
    }

    /// Which source sequence `number` is of, and its number there.
    std::pair<std::size_t, std::int64_t> find(std::int64_t number) const {
        auto const turn = number / parts_;
        auto const part = static_cast<std::int64_t>(random::permuted(
            random::bits(seed_, turns_stream, static_cast<std::uint64_t>(turn)), 0,
            static_cast<std::uint64_t>(number % parts_), static_cast<std::uint64_t>(parts_)));
        auto const of = std::ranges::upper_bound(sources_, part, {}, &mixed::before) - 1;
        return {static_cast<std::size_t>(of - sources_.begin()), turn * of->parts + part - of->before};
    }

    std::size_t size() const noexcept { return sources_.size(); }
    Order const& order(std::size_t source) const { return sources_[source].order; }

    /// How often all of a source has been drawn when `number` sequences of the mixture have: its epochs, up to one part.
    double epochs(std::size_t source, std::int64_t number) const {
        auto const drawn = static_cast<double>(number) * static_cast<double>(sources_[source].parts) /
                           static_cast<double>(parts_);
        return drawn / static_cast<double>(sources_[source].order.windows());
    }

  private:
    static constexpr std::uint64_t turns_stream = 0x7475726e73000000;

    struct mixed {
        Order order;
        std::int64_t before;  // parts of the sources before it
        std::int64_t parts;
    };
    std::vector<mixed> sources_;
    std::int64_t tokens_;
    std::int64_t parts_ = 0;  // of all
    std::uint64_t seed_;
};

/// The batches of a mixture of data sets for the trainer T: `numbered_batches` of a `mixture`.
template <class T>
class mixed_batches : public numbered_batches<T, mixture<>> {
    using base = numbered_batches<T, mixture<>>;
    using base::tokens;

  public:
    /// So many parts of a data set in one file or several.
    struct share {
        std::vector<token_file> files;
        std::int64_t parts = 1;
    };

    /// Throws `snug::error` when there is no source, one has no parts or files, or a file is shorter than a sequence.
    mixed_batches(std::vector<share> const& sources, std::uint64_t seed) : base(mix(sources, seed)) {}
    /// For one rank of a world.
    template <says_rank World>
    mixed_batches(std::vector<share> const& sources, World const& world, std::uint64_t seed)
        : base(mix(sources, seed), world) {}

    /// How often all of a source has been drawn so far.
    double epochs(std::size_t source) const { return this->order().epochs(source, this->position()); }

  private:
    static mixture<> mix(std::vector<share> const& sources, std::uint64_t seed) {
        std::vector<mixture<>::share> orders;
        // Each in an order of its own: two sources of one size would else be drawn in step.
        for (auto const& of : sources)
            orders.push_back({batch_order(of.files, tokens, random::bits(seed, 0, orders.size())), of.parts});
        return mixture<>(std::move(orders), tokens, seed);
    }
};

}  // namespace snug::SNUG_TARGET::io
