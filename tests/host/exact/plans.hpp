// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <algorithm>
#include <catch2/catch.hpp>
#include <cstdlib>
#include <fstream>
#include <limits>
#include <sstream>

#include "compositions.hpp"

/// What is promised of a plan: no backend is needed to see it.
namespace test {

inline snug::index_t padded(snug::declaration const& d) {
    return snug::round_up(d.size().count, snug::buffer_alignment);
}

/// Every line of the bill, recomputed from what it stands for.
inline void check_bill(subject const& s) {
    INFO(s.name);
    auto const line = [&](auto is_on_it) {
        snug::index_t total = 0;
        for (auto const& d : s.declarations)
            if (d.where == snug::space::device_memory && is_on_it(d)) total += d.size().count;
        return total;
    };
    auto const declared = [&](snug::role role) {
        return line([=](auto const& d) { return d.line == role; });
    };
    CHECK(s.bill.weights.count == s.weights);
    CHECK(s.bill.master_weights.count == s.parameters * s.master_size);
    CHECK(s.bill.gradients.count == s.parameters * s.gradient_size);
    CHECK(s.bill.optimizer_state.count == s.states);
    snug::index_t offloaded = 0;
    for (auto const& d : s.declarations)
        if (d.where == snug::space::host_memory && d.line == snug::role::activation) offloaded += padded(d);
    CHECK(s.bill.paged.count == s.paged_states + offloaded);
    CHECK(s.bill.activations.count == declared(snug::role::activation));
    CHECK(s.bill.staging.count == declared(snug::role::staging));
    CHECK(s.bill.communication.count == 0);
    snug::index_t padding = 0;
    for (auto const& d : s.declarations)
        if (d.where == snug::space::device_memory) padding += padded(d) - d.size().count;
    CHECK(s.bill.workspace.count == declared(snug::role::workspace) + padding);
    CHECK(s.bill.activations.count > 0);
    CHECK(s.bill.total <= s.bill.sum());
}

/// At some position of the step both hold something. Counted out, unlike the plan's own way.
inline bool both_needed(snug::lifetime const& a, snug::lifetime const& b) {
    auto const needed = [](snug::lifetime const& one, int position) {
        return one.forever ||
               std::any_of(one.intervals.begin(), one.intervals.begin() + one.count,
                           [=](auto span) { return span.first <= position && position <= span.last; });
    };
    auto const end = [](snug::lifetime const& one) {
        int last = 0;
        for (auto const& span : one.intervals) last = std::max(last, span.last);
        return last;
    };
    // What is needed after the last call of a layer stands at a position far behind.
    for (int position = -1; position <= std::min(std::max(end(a), end(b)), 100000); ++position)
        if (needed(a, position) && needed(b, position)) return true;
    return needed(a, std::numeric_limits<int>::max()) && needed(b, std::numeric_limits<int>::max());
}

/// Buffers lie inside the allocation, and apart whenever both are needed.
inline void check_layout(subject const& s) {
    INFO(s.name);
    snug::index_t end = 0;
    int outside = 0, clashes = 0, sharing = 0;
    for (std::size_t i = 0; i < s.declarations.size(); ++i) {
        auto const& a = s.declarations[i];
        if (a.size().count == 0 || a.where != snug::space::device_memory) continue;
        auto const a_end = s.offsets[i] + a.size().count;
        outside +=
            s.offsets[i] < 0 || s.offsets[i] % snug::buffer_alignment != 0 || a_end > s.bill.total.count;
        outside += !a.alive.forever && a.alive.count == 0;
        end = std::max(end, s.offsets[i] + padded(a));
        for (std::size_t j = 0; j < i; ++j) {
            auto const& b = s.declarations[j];
            bool const apart = a_end <= s.offsets[j] || s.offsets[j] + b.size().count <= s.offsets[i];
            if (b.size().count == 0 || b.where != snug::space::device_memory || apart) continue;
            ++sharing;
            clashes += both_needed(a.alive, b.alive);
        }
    }
    CHECK(outside == 0);
    CHECK(clashes == 0);
    CHECK(sharing > 0);
    CHECK(end == s.bill.total.count);
}

/// A plan in one line: every line of its bill in bytes, and a sum (FNV-1a) over the size and offset of every buffer.
inline std::string in_one_line(subject const& s) {
    std::uint64_t sum = 0xcbf29ce484222325;
    for (std::size_t i = 0; i < s.declarations.size(); ++i) {
        auto const size = s.declarations[i].size().count;
        if (size == 0) continue;
        for (auto const number : {size, s.offsets[i]})
            for (int byte = 0; byte < 8; ++byte)
                sum = (sum ^ (static_cast<std::uint64_t>(number) >> 8 * byte & 0xff)) * 0x100000001b3;
    }
    std::ostringstream line;
    for (auto const& [label, amount] : snug::lines_of(s.bill)) line << amount.count << ' ';
    line << s.bill.paged.count << ' ' << s.bill.total.count << ' ' << std::hex << sum;
    return line.str();
}

/// The plans of `tests/reference/bills.txt`, a line each, under the name of their list. What moves a byte of any of them has to
/// say so there: with SNUG_TEST_WRITES=FOLDER the lines of today are written into FOLDER/NAME.
inline void check_plans(std::vector<subject> const& all, std::string const& name) {
    std::vector<std::string> expected;
    std::ifstream file(SNUG_TEST_DATA "/bills.txt");
    std::string line;
    for (bool is_here = false; std::getline(file, line);)
        if (line.starts_with('#')) is_here = line == "# " + name;
        else if (is_here) expected.push_back(line);
    std::ofstream written;
    if (auto const* const folder = std::getenv("SNUG_TEST_WRITES"))
        written.open(std::string(folder) + '/' + name);
    CHECK(expected.size() == all.size());
    for (std::size_t i = 0; i < all.size(); ++i) {
        check_bill(all[i]);
        check_layout(all[i]);
        INFO(all[i].name);
        auto const found = in_one_line(all[i]);
        if (i < expected.size()) CHECK(found == expected[i]);
        written << found << '\n';
    }
}

/// "fp32", "bf16"; "pure_bf16" where there is no wider copy of the weights.
template <class Precision>
std::string format_of() {
    using weight = typename Precision::weight;
    bool const is_pure = std::is_void_v<typename Precision::master> && sizeof(weight) < sizeof(float);
    return (is_pure ? "pure_" : "") + std::string(snug::element_name<weight>);
}

template <class Trainers>
std::vector<subject> plans_of() {
    return described<Trainers>([]<class Trainer> { return describe<Trainer>(); });
}

}  // namespace test
