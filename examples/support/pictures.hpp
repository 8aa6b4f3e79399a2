// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <algorithm>
#include <map>
#include <snug/io/file.hpp>
#include <snug/memory/report.hpp>
#include <span>
#include <sstream>
#include <string>
#include <string_view>
#include <vector>

/// Pictures as gnuplot scripts with their data beside them: `gnuplot curve.gnuplot` in the folder makes curve.svg.
namespace example {

inline void write_whole(std::string const& path, std::string const& text) {
    snug::io::output_file file(path);
    file.write(text);
    file.commit();
}

/// The loss over the steps, from metrics.csv; what it is a mean over, as "byte", names its axes.
inline void draw_curve(std::string const& folder, std::string const& title, std::string const& unit) {
    write_whole(folder + "/curve.gnuplot", "# Draws metrics.csv: gnuplot curve.gnuplot\nset title \"" +
                                               title +
                                               "\" font \",18\" offset 0,0.3\nset ylabel \"nats per " + unit +
                                               "\"\nset y2label \"bits per " + unit + "\"\n" +
                                               R"(
set terminal svg noenhanced size 960,560 font "Helvetica,14" background rgb "white"
set output "curve.svg"
set datafile separator ","
set datafile missing ""
set xlabel "step" offset 0,0.2
set link y2 via y / log(2) inverse y * log(2)
set xtics nomirror out
set ytics nomirror
set y2tics 0.5
set tics textcolor rgb "#444444"
set border 11 lc rgb "#888888"
set grid ytics lc rgb "#e4e4e4" lw 1
set key top right spacing 1.3 samplen 2

rows = int(system("wc -l <metrics.csv")) - 1
if (rows < 2) { print "too few steps for a curve"; exit }
last = system("awk -F, 'NR > 1 && $3 > 0 { last = $3 } END { printf \"%.3f\", last }' metrics.csv") + 0
stats "metrics.csv" skip 1 using 2 name "loss" nooutput
# The first steps fall from far above: they would press everything else flat.
highest = loss_mean + 4 * loss_stddev
set yrange [0.95 * loss_min : (highest < loss_max ? highest : loss_max)]

# A running mean over about 2 % of the run, so that the line is seen through the noise of single steps.
span = rows / 50 + 1
n = 0
mean = 0
smooth(y) = (n = n + 1, mean = mean + (y - mean) / (n < span ? n : span), mean)

curves = '"metrics.csv" skip 1 using 1:2 with lines lw 0.7 lc rgb "#b5cfe3" title "each step", \
          "" skip 1 using 1:(smooth($2)) with lines lw 2.5 lc rgb "#2a6f9e" title "training, running mean"'
if (last > 0) {
    curves = curves . sprintf(', "" skip 1 using 1:3 with linespoints lw 2 pt 7 ps 0.7 lc rgb "#d1495b" \
                              title "validation, at last %.3f"', last)
}
eval "plot " . curves
)");
}

namespace detail {

struct paint {
    std::string_view label;
    std::string_view colour;
    std::string_view text;  ///< the colour of text upon it
};

inline paint paint_of(snug::role line) {
    switch (line) {
    case snug::role::weight: return {"weights", "1d3557", "ffffff"};
    case snug::role::master_weight: return {"master weights", "457b9d", "ffffff"};
    case snug::role::gradient: return {"gradients", "d1495b", "ffffff"};
    case snug::role::optimizer_state: return {"optimizer state", "2a9d8f", "ffffff"};
    case snug::role::activation: return {"activations", "edae49", "3d2c00"};
    case snug::role::workspace: return {"workspace", "c3c6ca", "303030"};
    case snug::role::staging: return {"staging", "7a5195", "ffffff"};
    case snug::role::communication: return {"communication", "5c4033", "ffffff"};
    }
    return {};
}

/// A buffer, or several of one kind that lie side by side, over the time in which it is needed.
struct rectangle {
    int first = 0, last = 0;            ///< positions in the step: from, to before
    snug::index_t bottom = 0, top = 0;  ///< bytes from the start of the allocation
    snug::index_t copies = 1;           ///< side by side, from bottom to top
    snug::role line = snug::role::workspace;
    std::string_view name;
    paint looks;
};

/// What checkpointing does to a buffer of a block.
constexpr paint computed_again{"computed again", "f4e3b5", "3d2c00"};
constexpr paint offloaded{"offloaded, here", "e76f51", "ffffff"};

/// Which buffers forward fills a second time, behind the loss, and from which values leave for the host's memory.
template <std::size_t Buffers>
struct marking_walker : snug::in_order {
    std::array<bool, Buffers> again{}, leaves{};
    bool is_behind_loss = false;

    template <class Node, class Tied>
    void leaf(snug::calls::loss<Node, Tied> const&) {
        is_behind_loss = true;
    }
    template <class Call>
    void leaf(Call const& call) {
        if constexpr (Call::which == snug::pass::forward) {
            if (!is_behind_loss) return;
            if constexpr (requires { call.between; }) mark(again, call.between);
            if constexpr (requires { call.y; }) mark(again, call.y);
        }
    }
    void offload(snug::offload_step, bool happens, int, snug::buffer_reference here, snug::buffer_reference) {
        if (happens) mark(leaves, here);
    }

  private:
    static void mark(std::array<bool, Buffers>& which, snug::buffer_reference buffer) {
        if (buffer.id >= 0) which[static_cast<std::size_t>(buffer.id)] = true;
    }
};

/// Buffers and parameters of repeated blocks: one name stands for all.
inline std::string_view without_blocks(std::string_view name) {
    return name.substr(name.starts_with("blocks.") ? 7 : 0);
}

/// When a buffer is needed: first and last position, each.
inline std::span<snug::lifetime::interval const> times_of(snug::declaration const& buffer) {
    return std::span(buffer.alive.intervals).first(static_cast<std::size_t>(buffer.alive.count));
}

/// The plan as rectangles. Tensors of one kind lie side by side and live as long as the trainer: one rectangle.
template <class Composition>
std::vector<rectangle> rectangles_of(int positions) {
    auto const& plan = Composition::plan;
    marking_walker<Composition::buffers.size()> marks;
    Composition::model::walk_training(marks);
    std::vector<rectangle> all;
    for (std::size_t i = 0; i < plan.declarations.size(); ++i) {
        auto const& buffer = plan.declarations[i];
        // Of another number where it is no buffer of the model.
        auto const id = i - static_cast<std::size_t>(Composition::places.first_buffer);
        bool const is_again = id < marks.again.size() && marks.again[id];
        auto const looks = id < marks.leaves.size() && marks.leaves[id] ? offloaded : paint_of(buffer.line);
        auto const bottom = plan.offsets[i], top = bottom + buffer.size().count;
        if (top == bottom || buffer.where != snug::space::device_memory) continue;
        if (buffer.alive.forever) {
            auto const name = paint_of(buffer.line).label;
            if (!all.empty() && all.back().name == name) all.back().top = top;
            else all.push_back({0, positions, bottom, top, 1, buffer.line, name, looks});
        } else {
            // The first time is forward's.
            auto const times = times_of(buffer);
            for (auto const& alive : times)
                all.push_back({alive.first, alive.last + 1, bottom, top, buffer.copies, buffer.line,
                               without_blocks(buffer.name.view()),
                               is_again && &alive != times.data() ? computed_again : looks});
        }
    }
    return all;
}

/// Which layer runs at which position: there its workspace is alive, if only in theory because it needs none.
template <std::size_t N>
std::map<int, std::string_view> layers_of(snug::memory_plan<N> const& plan) {
    std::map<int, std::string_view> layers;
    for (auto const& buffer : plan.declarations) {
        auto const name = buffer.name.view();
        if (buffer.line != snug::role::workspace ||
            !(name.ends_with(".forward") || name.ends_with(".backward")))
            continue;
        for (auto const& alive : times_of(buffer))
            if (alive.first == alive.last) layers[alive.first] = name.substr(0, name.rfind('.'));
    }
    return layers;
}

}  // namespace detail

/// What lies where during a step: to the right the calls of layers in the order in which they run, upwards the bytes
/// of the one allocation. All of it is the plan by which the trainer runs.
template <class Trainer>
void draw_memory(std::string const& folder) {
    using composition = typename Trainer::composition;
    static constexpr auto const& plan = composition::plan;
    int positions = 0;
    for (auto const& buffer : plan.declarations)
        for (auto const& alive : detail::times_of(buffer)) positions = std::max(positions, alive.last + 1);
    auto const layers = detail::layers_of(plan);
    auto const mebibytes = [](snug::index_t count) { return static_cast<double>(count) / (1024.0 * 1024.0); };
    auto const total = mebibytes(plan.total().count);
    auto const top = 1.1 * total;

    std::ostringstream boxes, labels;
    boxes << "# x y x_from x_to y_from y_to colour (x: position in the step, y: MiB)\n" << std::fixed;
    labels << "\n\n# x y colour name\n" << std::fixed;
    auto const rectangles = detail::rectangles_of<composition>(positions);
    for (auto const& r : rectangles) {
        auto const& paint = r.looks;
        auto const height = (r.top - r.bottom) / r.copies;
        for (auto from = r.bottom; from < r.top; from += height)
            boxes << 0.5 * (r.first + r.last) << ' ' << mebibytes(from + height / 2) << ' ' << r.first << ' '
                  << r.last << ' ' << mebibytes(from) << ' ' << mebibytes(from + height) << " 0x"
                  << paint.colour << '\n';
        // Only where a name has room.
        if (mebibytes(r.top - r.bottom) > total / 33 && r.last - r.first > positions / 6)
            labels << 0.5 * (r.first + r.last) << ' ' << mebibytes(r.bottom + (r.top - r.bottom) / 2) << " 0x"
                   << paint.text << " \"" << r.name << (r.copies > 1 ? " × " + std::to_string(r.copies) : "")
                   << "\"\n";
    }

    std::ostringstream script;
    script
        << "# Draws memory.dat: gnuplot memory.gnuplot\n"
           "set terminal svg noenhanced size 1200,720 font \"Helvetica,13\" background rgb \"white\"\n"
           "set output \"memory.svg\"\n"
           "set title \"One training step: what lies where in its "
        << snug::to_string(plan.total())
        << "\" font \",18\" offset 0,0.5\n"
           "set xrange [0:"
        << positions << "]\nset yrange [0:" << top
        << "]\n"
           "set ylabel \"MiB from the start of the one allocation\"\n"
           "set xlabel \"layers in the order in which they run; what is not needed at the same time shares "
           "memory\"\n"
           "set border 3 lc rgb \"#888888\"\nset tics nomirror out textcolor rgb \"#444444\"\n"
           "set key outside right top Left reverse spacing 1.5 samplen 1.2 title \"at most at a time\" left\n"
           "set style fill solid 1 border lc rgb \"#90ffffff\"\n"
           "set xtics rotate by -50 font \",11\" (";
    auto separator = "";
    for (auto const& [position, name] : layers) {
        script << separator << '"' << detail::without_blocks(name) << "\" " << position + 0.5;
        separator = ", ";
    }
    script << ")\n";

    // Bands behind it all: the repeated blocks, forward and backward, and the head between the two.
    auto const band = [&](int first, int last, std::string const& name, char const* colour) {
        script << "set object rectangle from " << first << ",0 to " << last << ',' << top
               << " behind fc rgb \"" << colour << "\" fs solid noborder\n"
               << "set label \"" << name << "\" at " << 0.5 * (first + last) << ',' << 1.06 * total
               << " center font \",12\" textcolor rgb \"#444444\"\n";
    };
    snug::index_t blocks = 1;
    for (auto const& entry : composition::parameter_table.entries) blocks = std::max(blocks, entry.copies);
    for (auto at = layers.begin(); at != layers.end();) {
        auto const in_blocks = [](auto const& layer) { return layer->second.starts_with("blocks."); };
        auto const first = at->first;
        int last = first;
        if (!in_blocks(at)) {
            if (at->second == "head") band(first, first + 1, "loss", "#ececec");
            ++at;
            continue;
        }
        for (; at != layers.end() && in_blocks(at); ++at) last = at->first;
        band(first, last + 1,
             std::to_string(blocks) + " blocks " + (first < positions / 2 ? "forward" : "backward"),
             "#f3f6f8");
    }

    script << "plot \"memory.dat\" index 0 using 1:2:3:4:5:6:7 with boxxyerror lw 0.4 lc rgb variable "
              "notitle, \\\n"
              "     \"\" index 1 using 1:2:4:3 with labels font \",11\" textcolor rgb variable notitle";
    // What is held of a kind at one time; what is declared can be more, because it is not all needed at once.
    auto const name_at_most = [&](detail::paint const& paint, std::string const& beside = {}) {
        snug::bytes most;
        for (int position = 0; position < positions; ++position) {
            snug::bytes now;
            for (auto const& r : rectangles)
                if (r.looks.label == paint.label && r.first <= position && position < r.last)
                    now.count += r.top - r.bottom;
            most = std::max(most, now);
        }
        if (most.count > 0)
            script << ", \\\n     NaN with boxes lc rgb \"#" << paint.colour << "\" title \"" << paint.label
                   << "  " << snug::to_string(most) << beside << '"';
    };
    snug::bytes away;
    for (auto const& buffer : composition::buffers)
        if (buffer.where == snug::space::host_memory) away += buffer.size();
    name_at_most(detail::computed_again);
    name_at_most(detail::offloaded, ", of the host " + snug::to_string(away));
    for (auto line = 8; line-- > 0;) name_at_most(detail::paint_of(static_cast<snug::role>(line)));
    script << '\n';
    write_whole(folder + "/memory.dat", boxes.str() + labels.str());
    write_whole(folder + "/memory.gnuplot", script.str());
}

}  // namespace example
