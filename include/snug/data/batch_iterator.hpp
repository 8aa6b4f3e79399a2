// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <cstdint>
#include <iterator>

#include <snug/data/token_batch.hpp>

namespace snug::SNUG_TARGET::io {

/// Steps through the next `left` batches of a source with `next()`.
template <class Source>
class batch_iterator {
  public:
    using value_type = token_batch;
    using difference_type = std::ptrdiff_t;
    using iterator_category = std::input_iterator_tag;

    batch_iterator(Source* source, std::int64_t left) : source_(source), left_(left) {
        if (left_ > 0) batch_ = source_->next();
    }
    token_batch const& operator*() const { return batch_; }
    batch_iterator& operator++() {
        if (--left_ > 0) batch_ = source_->next();
        return *this;
    }
    friend bool operator==(batch_iterator const& a, batch_iterator const& b) { return a.left_ == b.left_; }

  private:
    Source* source_;
    std::int64_t left_;
    token_batch batch_{};
};

}  // namespace snug::SNUG_TARGET::io
