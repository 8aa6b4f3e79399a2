// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <snug/backend/host/tag.hpp>
#include <snug/engine/run.hpp>
#include <snug/ops/backend.hpp>

namespace snug {

/// The program can read and write the backend's memory itself.
template <class Backend>
inline constexpr bool in_program_memory = !runs_ahead<Backend>;

/// Where what the program does itself with a trainer's memory runs.
template <class Backend>
using on_host = std::conditional_t<in_program_memory<Backend>, Backend, host>;

/// What the engine does for files works on the trainer's lasting memory (weights, states, and the room in which values are
/// quantized) as the program's own. That is the memory itself, or, where a device has it, a copy for as long as this lives:
/// taken when it begins and, if `writes`, put back by `write_back`.
template <class C>
class run<C>::host_view {
  public:
    explicit host_view(run const& r) : run_(r) {
        if (run_.memory_.data() == nullptr) run::refuse_moved_from();
        if constexpr (!in_program_memory<typename C::backend>) {
            if (run_.mirror_ != nullptr) return;
            copy_ = arena({lasting_bytes + staged_bytes});
            ops::copy_out<typename C::backend>(copy_.data(), run_.memory_.data(), lasting_bytes);
            run_.mirror_ = copy_.data();
        }
    }
    ~host_view() {
        if (copy_.data() != nullptr) run_.mirror_ = nullptr;
    }
    host_view(host_view const&) = delete;
    host_view& operator=(host_view const&) = delete;

    void write_back() {
        if constexpr (!in_program_memory<typename C::backend>)
            ops::copy_in<typename C::backend>(run_.memory_.data(), copy_.data(), lasting_bytes);
    }

  private:
    static constexpr std::size_t end_of(bool (*wanted)(std::size_t)) {
        index_t end = 0;
        for (std::size_t i = 0; i < C::plan.declarations.size(); ++i)
            if (wanted(i)) end = std::max(end, C::plan.offsets[i] + C::plan.declarations[i].size().count);
        return static_cast<std::size_t>(end);
    }
    static constexpr std::size_t lasting_bytes = end_of([](std::size_t i) {
        auto const& declared = C::plan.declarations[i];
        return declared.line != role::paged && declared.alive.forever;
    });
    // Values on their way into a quantized matrix begin where the lasting memory ends, or further up.
    static constexpr std::size_t staged_bytes =
        std::max(lasting_bytes, end_of([](std::size_t i) {
                     return i == static_cast<std::size_t>(C::quantization_source);
                 })) -
        lasting_bytes;

    run const& run_;
    arena copy_{};
};

}  // namespace snug
