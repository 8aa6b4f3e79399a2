// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <algorithm>
#include <cstdint>
#include <snug/data/batch_iterator.hpp>
#include <snug/data/numbered_batches.hpp>
#include <snug/data/rows_of_rank.hpp>
#include <snug/data/token_batch.hpp>
#include <snug/data/tokens.hpp>
#include <string>
#include <utility>
#include <vector>

namespace snug::SNUG_TARGET::io {

/// The batches of a data set, of one file or several, for the trainer T, in an order that a seed fixes
/// (`batch_order`): a range of one epoch, or one after the other with `next()`.
template <class T>
class token_batches : public numbered_batches<T, batch_order> {
    using base = numbered_batches<T, batch_order>;
    using base::tokens;
    using typename base::composition, typename base::rows;

  public:
    /// Opens a file of tokens (`token_file`). Throws `snug::error` when it is missing, damaged, or shorter than one batch.
    explicit token_batches(std::string const& path, std::uint64_t seed = 0)
        : token_batches(token_file::open(path, composition::model::vocabulary), seed) {}

    token_batches(token_file data, std::uint64_t seed) : token_batches(std::vector{std::move(data)}, seed) {}
    token_batches(std::vector<token_file> files, std::uint64_t seed)
        : base(batch_order(require(std::move(files)), tokens, seed)) {}

    /// The same for one rank of a world.
    template <says_rank World>
    token_batches(std::string const& path, World const& world, std::uint64_t seed = 0)
        : token_batches(token_file::open(path, composition::model::vocabulary), world, seed) {}
    template <says_rank World>
    token_batches(token_file data, World const& world, std::uint64_t seed = 0)
        : token_batches(std::vector{std::move(data)}, world, seed) {}
    template <says_rank World>
    token_batches(std::vector<token_file> files, World const& world, std::uint64_t seed = 0)
        : base(batch_order(require(std::move(files)), tokens, seed), world) {}

    /// All windows from the first to the last, not shuffled: for validation. Less than a batch at the end is left out.
    static token_batches in_order(token_file data) { return in_order(std::vector{std::move(data)}); }
    static token_batches in_order(std::vector<token_file> files) {
        return token_batches(batch_order::sequential(require(std::move(files)), tokens), rows());
    }
    template <says_rank World>
    static token_batches in_order(token_file data, World const& world) {
        return in_order(std::vector{std::move(data)}, world);
    }
    template <says_rank World>
    static token_batches in_order(std::vector<token_file> files, World const& world) {
        return token_batches(batch_order::sequential(require(std::move(files)), tokens), rows(world));
    }

    /// Whole batches in one epoch, at least one: a short epoch lends sequences from the next.
    std::int64_t batches_per_epoch() const {
        return std::max<std::int64_t>(1, this->order().windows() / rows::in_step);
    }

    using iterator = batch_iterator<token_batches>;
    iterator begin() { return {this, batches_per_epoch()}; }
    iterator end() { return {this, 0}; }

  private:
    token_batches(batch_order order, rows part) : base(std::move(order), part) {}

    static std::vector<token_file> require(std::vector<token_file> files) {
        std::int64_t size = 0, fit = 0;
        for (auto const& data : files) {
            size += data.size();
            fit += (data.size() - 1) / tokens;
        }
        if (!files.empty() && fit < rows::in_step)
            throw error({files.front().path()}, std::to_string(size) + " tokens",
                        "at least " + std::to_string((checked(rows::in_step) * tokens + 1).value()) +
                            ", one batch and its last target");
        return files;
    }
};

}  // namespace snug::SNUG_TARGET::io
