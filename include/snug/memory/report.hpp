// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <array>
#include <iomanip>
#include <snug/memory/budget.hpp>
#include <sstream>
#include <string>
#include <string_view>
#include <thread>
#include <utility>

namespace snug::SNUG_TARGET {

/// The lines of a bill by name, in the order in which they are printed.
constexpr std::array<std::pair<std::string_view, bytes>, 8> lines_of(memory_bill const& bill) {
    return {{{"weights", bill.weights},
             {"master weights", bill.master_weights},
             {"gradients", bill.gradients},
             {"optimizer state", bill.optimizer_state},
             {"activations", bill.activations},
             {"workspace", bill.workspace},
             {"staging", bill.staging},
             {"communication", bill.communication}}};
}

/// What a machine with more processors than a trainer has workspaces for is told; nothing where it has not.
inline std::string idle_threads(int bound, int of_machine) {
    if (of_machine <= bound) return {};
    auto const all = std::to_string(of_machine);
    return "  uses at most " + std::to_string(bound) + " of this machine's " + all +
           " threads; on<snug::host_threads<" + all + ">> uses them all, with workspace for each\n";
}

/// What a sharding that changes little is told; `bill`: that of a rank. Nothing where it changes something.
template <class Composition>
std::string idle_sharding(memory_bill const& bill) {
    constexpr int stage = Composition::sharding::stage;
    if constexpr (Composition::ranks == 1)
        return "  ranks<1> shards nothing and sends nothing: it is one process that trains as one of many "
               "would\n";
    if constexpr (stage == 1 || stage == 2) {
        bool const is_frozen = [] {
            for (std::size_t g = 0; g < Composition::groups.size; ++g)
                if (!Composition::groups.groups[g].is_trained()) return true;
            return false;
        }();
        auto const share =
            bill.master_weights + bill.optimizer_state + (stage == 2 ? bill.gradients : bytes{});
        bytes const saved{share.count * (Composition::shards - 1)};
        if (is_frozen && saved.count < bill.total.count / 20)
            return "  zero<" + std::to_string(stage) + ", ...> saves a rank " + to_string(saved) +
                   ": it shards what belongs to trained weights, and most of these are frozen; zero<3, ...> "
                   "shards those too\n";
    }
    return {};
}

/// What checkpointing::within has found, in words; `Search`: its search.
template <class Search>
std::string recomputation_found(bytes total) {
    std::ostringstream text;
    text << std::fixed << std::setprecision(1);
    for (auto const& blocks : Search::groups) {
        bool const is_one = blocks.first == blocks.last;
        text << (is_one ? "  block " : "  blocks ") << blocks.first;
        if (!is_one) text << '-' << blocks.last;
        char const* before = is_one ? " keeps " : " keep ";
        for (std::size_t v = 0; v < Search::names.size(); ++v)
            if (blocks.kept >> v & 1) {
                text << before << Search::names[v];
                before = ", ";
            }
        if (blocks.kept << 1 == 0)
            text << before << "no more than " << (is_one ? "its input" : "their inputs");
        if (blocks.kept >> 31 != 0) text << "; inputs are offloaded";
        text << '\n';
    }
    text << "  within the budget of " << to_string(bytes{Search::available}) << ", "
         << to_string(bytes{Search::available - total.count}) << " unused: computes " << Search::percent
         << " % of a forward pass again\n  (no plan that fits less than " << Search::bound << ", a gap of "
         << Search::percent - Search::bound << "); "
         << (Search::found.is_proven ? "no cheaper of those that it looks at fits, "
                                     : "a cheaper of those that it looks at may fit, ")
         << Search::found.attempts << " laid out\n";
    return text.str();
}

/// The bill of T as text: a line for each part, the total, what packing saved, and on a host with more threads than T
/// uses how to use them. Of a sharded trainer it is the bill of a rank, with what a rank sends in a step. Where
/// checkpointing keeps by name it says what, and of checkpointing::within what it has found. Streams.
template <class T>
struct bill_report {
    friend std::ostream& operator<<(std::ostream& out, bill_report) {
        constexpr auto bill = footprint<T>;
        using composition = typename detail::trainer_of<T>::composition;
        // Into a string first: the stream's own width and flags stay as they are.
        std::ostringstream text;
        auto const line = [&](std::string_view label, std::string const& amount, std::string const& exact,
                              std::string const& of = {}) {
            text << "  " << std::left << std::setw(18) << label << std::right << std::setw(12) << amount
                 << std::setw(20) << exact << of << '\n';
        };
        for (auto const& [label, amount] : lines_of(bill))
            if (amount.count > 0) line(label, to_string(amount), std::to_string(amount.count));
        line("total", to_string(bill.total), std::to_string(bill.total.count));
        text << "  one allocation; lifetimes packed, " << to_string(bill.sum() - bill.total)
             << " less than the sum\n";
        if (bill.paged.count > 0) {
            line("paged", to_string(bill.paged), std::to_string(bill.paged.count));
            text << (composition::offloads_to_a_file ? "  a file" : "  host memory")
                 << " beside it, for what a step streams\n";
        }
        if constexpr (composition::offloads) {
            bytes away{};
            index_t inputs = 0;
            for (auto const& buffer : composition::buffers)
                if (buffer.where == space::host_memory) away += buffer.size(), inputs += buffer.copies;
            line("offloaded", to_string(away), std::to_string(away.count),
                 "  of it, the inputs of " + std::to_string(inputs) + " blocks or segments");
        }
        if constexpr (composition::is_sharded) {
            constexpr auto sent = composition::traffic;
            text << "  all of it per rank, of " << composition::ranks;
            if (composition::replicas > 1)
                text << ": " << composition::replicas << " replicas of " << composition::shards << " shares";
            text << '\n';
            if (sent.sent_per_step.count > 0) {
                text << "  a rank sends in a step\n";
                line("gathered", to_string(sent.gathered), std::to_string(sent.gathered.count));
                line("exchanged", to_string(sent.exchanged), std::to_string(sent.exchanged.count));
                if (composition::replicas > 1)
                    line("to replicas", to_string(sent.between_replicas),
                         std::to_string(sent.between_replicas.count));
                line("agreed", to_string(sent.agreed), std::to_string(sent.agreed.count));
                line("sent", to_string(sent.sent_per_step), std::to_string(sent.sent_per_step.count));
                text << "  in " << sent.messages_per_step << " messages\n";
            }
            text << idle_sharding<composition>(bill);
        }
        if constexpr (composition::keeps_values_by_name) {
            text << "  kept of blocks until their backward, beside their inputs\n";
            for (std::size_t v = 0; v < composition::values.size; ++v) {
                auto const& value = composition::values.values[v];
                bytes const kept{value.kept * value.size().count};
                line(value.name.view(), to_string(kept), std::to_string(kept.count),
                     "  " + std::to_string(value.kept) + " of " + std::to_string(value.blocks) + " blocks");
            }
        }
        if constexpr (requires { typename composition::chosen::within; })
            text << recomputation_found<typename composition::chosen::within>(bill.total);
        using backend = typename composition::backend;
        if constexpr (requires { backend::max_threads; })
            text << idle_threads(backend::max_threads, static_cast<int>(std::thread::hardware_concurrency()));
        return out << text.str();
    }
};

template <class T>
constexpr bill_report<T> report() {
    return {};
}

/// The bill of T for programs: one JSON object, all amounts in bytes. Of a sharded trainer also `ranks`, `replicas`
/// and, by kind, what a rank sends in a step. Where checkpointing keeps by name, `values`: what a block computes, the
/// bytes of one, how many blocks have it and how many keep it. Of checkpointing::within also its budget, what is
/// computed again in percent of a forward pass, and how near that is to what any plan costs.
template <class T>
std::string report_json() {
    constexpr auto bill = footprint<T>;
    std::ostringstream out;
    out << '{';
    for (auto const& [label, amount] : lines_of(bill)) {
        std::string key(label);
        for (auto& c : key)
            if (c == ' ') c = '_';
        out << '"' << key << "\": " << amount.count << ", ";
    }
    out << "\"sum\": " << bill.sum().count << ", \"total\": " << bill.total.count
        << ", \"paged\": " << bill.paged.count;
    using composition = typename detail::trainer_of<T>::composition;
    if constexpr (composition::is_sharded) {
        constexpr auto sent = composition::traffic;
        out << ", \"ranks\": " << composition::ranks << ", \"replicas\": " << composition::replicas
            << ", \"gathered\": " << sent.gathered.count << ", \"exchanged\": " << sent.exchanged.count
            << ", \"agreed\": " << sent.agreed.count << ", \"sent_per_step\": " << sent.sent_per_step.count
            << ", \"between_replicas\": " << sent.between_replicas.count
            << ", \"messages_per_step\": " << sent.messages_per_step;
    }
    if constexpr (composition::keeps_values_by_name) {
        out << ", \"values\": [";
        for (std::size_t v = 0; v < composition::values.size; ++v) {
            auto const& value = composition::values.values[v];
            out << (v == 0 ? "" : ", ") << "{\"name\": \"" << value.name.view()
                << "\", \"bytes\": " << value.size().count << ", \"blocks\": " << value.blocks
                << ", \"kept\": " << value.kept << '}';
        }
        out << ']';
    }
    if constexpr (requires { typename composition::chosen::within; }) {
        using found = typename composition::chosen::within;
        out << ", \"budget\": " << found::available << ", \"recompute_percent\": " << found::percent
            << ", \"recompute_percent_bound\": " << found::bound
            << ", \"recompute_proven\": " << (found::found.is_proven ? "true" : "false")
            << ", \"plans_laid_out\": " << found::found.attempts;
    }
    out << '}';
    return out.str();
}

}  // namespace snug::SNUG_TARGET
