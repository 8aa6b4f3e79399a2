// SPDX-License-Identifier: Apache-2.0
// How well does a quantization scheme spend its codes? Prints a table for weights as they are at the start of training,
// for the same with outliers, and for a tensor of a snapshot; and draws the pictures of docs/quantization.md.
//
//   quantize [--snapshot FILE [TENSOR]] [--pictures FOLDER]
//
// `./snug train --steps 60` leaves a snapshot in out/snapshot; without TENSOR it is blocks.down.weight.
// The pictures are gnuplot scripts with their data inside: `gnuplot *.gnuplot` in the folder makes the SVG files.
#include <snug/io/snapshot.hpp>
#include <snug/precision/formats.hpp>
#include <snug/quantization/schemes.hpp>

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <cstring>
#include <exception>
#include <random>
#include <sstream>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "support/output.hpp"

namespace {

namespace quantization = snug::quantization;
using namespace snug::quantization;
using snug::index_t;

struct matrix {
    std::string title;
    shape extent;
    std::vector<float> values;
};

/// Weights of a linear layer before training: independent normal numbers.
matrix normal_weights() {
    matrix result{"normal weights, 512 x 768, standard deviation 0.02", {512, 768}, {}};
    std::mt19937 random(1);
    std::normal_distribution<float> normal(0, 0.02f);
    result.values.resize(static_cast<std::size_t>(result.extent.count()));
    for (float& value : result.values) value = normal(random);
    return result;
}

/// What trained models have more of than one would like: a few columns 20 times as large.
matrix weights_with_outliers() {
    auto result = normal_weights();
    result.title = "the same with 4 of 768 columns 20 times as large";
    for (index_t row = 0; row < result.extent.rows; ++row)
        for (index_t const column : {5, 300, 301, 700})
            result.values[static_cast<std::size_t>(row * result.extent.columns + column)] *= 20;
    return result;
}

matrix weights_with_one_outlier() {
    auto result = normal_weights();
    result.title = "the same with one number of 1.5";
    result.values[123456] = 1.5f;
    return result;
}

/// A tensor of a snapshot; of a parameter that repeated blocks have, the first block's.
matrix from_snapshot(std::string const& path, std::string const& name) {
    snug::io::snapshot_reader const file(path);
    auto const& tensor = file.tensor(name);
    if (tensor.dims.size() < 2 || (tensor.dtype != "fp32" && tensor.dtype != "bf16"))
        throw snug::error({path, tensor.offset, name},
                          tensor.dtype + " in " + std::to_string(tensor.dims.size()) + " dimensions",
                          "a matrix of fp32 or bf16");
    shape const extent{tensor.dims[tensor.dims.size() - 2], tensor.dims[tensor.dims.size() - 1]};
    matrix result{name + " of " + path, extent, {}};
    result.values.resize(static_cast<std::size_t>(extent.count()));
    for (std::size_t i = 0; i < result.values.size(); ++i) {
        if (tensor.dtype == "fp32") {
            std::memcpy(&result.values[i], tensor.bytes.data() + i * 4, 4);
        } else {
            snug::bf16 value;
            std::memcpy(&value, tensor.bytes.data() + i * 2, 2);
            result.values[i] = value;
        }
    }
    return result;
}

template <class Scheme>
void print_row(matrix const& weights) {
    quantized_array<Scheme> const array(weights.values, weights.extent);
    auto const found = measure_waste<Scheme>(weights.values, array.view());
    std::printf("| `%s` | %.3f | %d of %d | %.2f | %.2e | %.2e | %.1f |\n", name_of<Scheme>().c_str(),
                bits_per_element<Scheme>(weights.extent), found.used, found.codes, found.entropy,
                found.mean_squared_error, found.largest_error, found.signal_to_noise);
}

void print_table(matrix const& weights) {
    std::printf("\n%s\n\n", weights.title.c_str());
    std::puts(
        "| scheme | bits | codes used | entropy | mean squared error | largest error | signal/noise, dB |");
    std::puts("| --- | ---: | ---: | ---: | ---: | ---: | ---: |");
    print_row<type_range<snug::fp16>>(weights);
    print_row<absmax>(weights);
    print_row<affine>(weights);
    print_row<quantile>(weights);
    print_row<blockwise<absmax, 64>>(weights);
    print_row<blockwise<affine, 64>>(weights);
    print_row<quantization::int8<256>>(weights);
    print_row<double_quantized<quantization::int8<256>>>(weights);
    print_row<outlier_split<threshold<6>, absmax>>(weights);
    print_row<absmax_4bit>(weights);
    print_row<quantile_4bit>(weights);
    print_row<blockwise<absmax_4bit, 64>>(weights);
    print_row<blockwise<affine_4bit, 64>>(weights);
    print_row<fp4<64>>(weights);
    print_row<nf4<64>>(weights);
    print_row<nf4<64, dialects::torchao>>(weights);
    print_row<double_quantized<nf4<64>>>(weights);
    print_row<outlier_split<threshold<6>, double_quantized<nf4<64>>>>(weights);
}

std::ostringstream script_for(std::string const& name) {
    std::ostringstream file;
    file << "# Draws " << name << ".svg: gnuplot " << name << ".gnuplot\nreset session\n";
    return file;
}

void write_script(std::string const& folder, std::string const& name, std::ostringstream const& script) {
    snug::io::output_file file(folder + "/" + name + ".gnuplot");
    file.write(script.str());
    file.commit();
}

/// Above, where the numbers lie; below, how many of them got each code. Codes that no number got are marked.
template <class Scheme>
void draw_histograms(std::string const& folder, std::string const& name, std::string const& title,
                     matrix const& weights) {
    quantized_array<Scheme> const array(weights.values, weights.extent);
    auto const found = measure_waste<Scheme>(weights.values, array.view());
    auto const [lowest, highest] = std::minmax_element(weights.values.begin(), weights.values.end());
    double const reach = 1.05 * std::max(std::fabs(*lowest), std::fabs(*highest));
    constexpr int bins = 120;
    std::vector<int> counts(bins);
    for (float const value : weights.values)
        ++counts[static_cast<std::size_t>((static_cast<double>(value) / reach + 1) / 2 * bins)];

    auto file = script_for(name);
    file << "$values << END\n";
    for (int b = 0; b < bins; ++b)
        if (counts[static_cast<std::size_t>(b)] > 0)
            file << ((b + 0.5) / bins * 2 - 1) * reach << ' ' << counts[static_cast<std::size_t>(b)] << '\n';
    file << "END\n$used << END\n";
    for (int c = 0; c < found.codes; ++c)
        if (auto const n = found.counts[static_cast<std::size_t>(c)]; n > 0) file << c << ' ' << n << '\n';
    file << "END\n# Runs of unused codes: their middle, their ends.\n$unused << END\n";
    for (int c = 0; c < found.codes; ++c) {
        int const first = c;
        while (c < found.codes && found.counts[static_cast<std::size_t>(c)] == 0) ++c;
        if (c > first) file << 0.5 * (first + c - 1) << " 0 " << first - 0.5 << ' ' << c - 0.5 << '\n';
    }
    file << "END\n";
    char words[200];
    std::snprintf(words, sizeof words, "%d of %d codes used, entropy %.2f bits, signal/noise %.1f dB",
                  found.used, found.codes, found.entropy, found.signal_to_noise);
    file << "set terminal svg size 840,520 font \"Helvetica,13\" background rgb \"white\"\n"
            "set output \""
         << name
         << ".svg\"\n"
            "set border 3 lc rgb \"#888888\"\nset tics nomirror out textcolor rgb \"#444444\"\n"
            "set format y \"%.0f\"\nset style fill solid 1 noborder\nset lmargin 10\nset rmargin 3\n"
            "set multiplot layout 2,1 title \""
         << title << "\" font \",17\"\nset key off\nset yrange [0:*]\nset ylabel \"numbers\"\n"
         << "set xlabel \"value\" offset 0,0.4\nset xrange [" << -reach << ':' << reach << "]\nset boxwidth "
         << 2 * reach / bins << "\n";
    // Bars that are too low to be seen.
    if (std::fabs(static_cast<double>(*highest)) > 1)
        file << "set arrow from " << *highest << ", graph 0.35 to " << *highest
             << ", graph 0.03 lc rgb \"#d1495b\" lw 2\nset label \"one number\" at " << *highest
             << ", graph 0.42 right textcolor rgb \"#d1495b\"\n";
    file << "plot $values using 1:2 with boxes lc rgb \"#2a6f9e\"\nunset arrow\nunset label\n"
         << "set xlabel \"code\" offset 0,0.4\nset xrange [-0.5:" << found.codes - 0.5 << "]\nset boxwidth "
         << (found.codes > 16 ? 1.0 : 0.8) << "\nset xtics " << (found.codes > 16 ? 32 : 1)
         << "\nset label \"" << words << "\" at graph 0.01, graph 0.93\n"
         << "top = " << *std::max_element(found.counts.begin(), found.counts.end())
         << "\nset yrange [-0.06*top:1.2*top]\n"
         << "plot $used using 1:2 with boxes lc rgb \"#2a9d8f\"";
    if (found.used < found.codes)
        file << ", \\\n     $unused using 1:(-0.03*top):3:4:(-0.06*top):(0) with boxxyerror lc rgb "
                "\"#d1495b\"";
    file << "\nunset multiplot\n";
    write_script(folder, name, file);
}

struct layout_row {
    std::string_view name;
    int exponent;
    int mantissa;
    std::string_view note;
};

/// One square for each bit.
void draw_formats(std::string const& folder) {
    constexpr layout_row rows[] = {{"fp32", 8, 23, ""},    {"tf32", 8, 10, ""},
                                   {"bf16", 8, 7, ""},     {"fp16", 5, 10, ""},
                                   {"fp8 e5m2", 5, 2, ""}, {"fp8 e4m3", 4, 3, ""},
                                   {"fp4 e2m1", 2, 1, ""}, {"int8", 0, 7, ""},
                                   {"int4", 0, 3, ""},     {"nf4", 0, 4, "place in a table"}};
    auto file = script_for("formats");
    file << "$bits << END\n";
    double y = 0;
    auto const square = [&](int at, char const* colour) {
        file << at + 0.5 << ' ' << y << ' ' << at + 0.06 << ' ' << at + 0.94 << ' ' << y - 0.38 << ' '
             << y + 0.38 << " 0x" << colour << '\n';
    };
    for (auto const& row : rows) {
        bool const is_table = row.name == "nf4";
        int at = 0;
        if (!is_table) square(at++, "d1495b");
        for (int i = 0; i < row.exponent; ++i) square(at++, "edae49");
        for (int i = 0; i < row.mantissa; ++i) square(at++, is_table ? "7a5195" : "2a6f9e");
        y -= 1;
    }
    file << "END\n$names << END\n";
    y = 0;
    for (auto const& row : rows) file << -0.5 << ' ' << y-- << " \"" << row.name << "\"\n";
    file << "END\nset terminal svg size 840,420 font \"Helvetica,14\" background rgb \"white\"\n"
            "set output \"formats.svg\"\nset title \"How the formats spend their bits\" font \",17\"\n"
            "unset border\nunset tics\nset xrange [-4.5:32.5]\nset yrange ["
         << y + 0.2
         << ":0.8]\nset style fill solid 1 noborder\nset key at graph 1, graph 0.45 right top Left reverse "
            "spacing 1.4 samplen 1\n"
            "plot $bits using 1:2:3:4:5:6:7 with boxxyerror lc rgb variable notitle, \\\n"
            "     $names using 1:2:3 with labels right notitle, \\\n"
            "     NaN with boxes lc rgb \"#d1495b\" title \"sign\", \\\n"
            "     NaN with boxes lc rgb \"#edae49\" title \"exponent\", \\\n"
            "     NaN with boxes lc rgb \"#2a6f9e\" title \"mantissa, or the integer\", \\\n"
            "     NaN with boxes lc rgb \"#7a5195\" title \"place in a table of 16\"\n";
    write_script(folder, "formats", file);
}

void draw_pictures(std::string const& folder) {
    auto const normal = normal_weights();
    auto const outlier = weights_with_one_outlier();
    draw_formats(folder);
    draw_histograms<type_range<snug::fp16>>(folder, "type_range", "The range of fp16 on 255 codes", normal);
    draw_histograms<absmax>(folder, "absmax", "absmax: the range of the weights on 255 codes", normal);
    draw_histograms<absmax>(folder, "absmax_outlier", "absmax, and one outlier", outlier);
    draw_histograms<blockwise<absmax, 64>>(folder, "blockwise",
                                           "absmax in blocks of 64, and the same outlier", outlier);
    draw_histograms<quantile>(folder, "quantile", "quantile: as many numbers for every code", outlier);
    draw_histograms<nf4<64>>(folder, "nf4", "NF4 in blocks of 64: the same idea in 4 bits", outlier);
    std::printf("wrote 7 scripts to %s: draw them with `gnuplot *.gnuplot` there\n",
                snug::harmless(folder).c_str());
}

}  // namespace

int main(int argc, char** argv) try {
    std::vector<std::string> const arguments(argv + 1, argv + argc);
    std::string snapshot, tensor = "blocks.down.weight", pictures;
    for (std::size_t i = 0; i < arguments.size(); ++i) {
        bool const has_next = i + 1 < arguments.size();
        if (arguments[i] == "--pictures" && has_next) {
            pictures = arguments[++i];
        } else if (arguments[i] == "--snapshot" && has_next) {
            snapshot = arguments[++i];
            if (i + 1 < arguments.size() && !arguments[i + 1].starts_with("--")) tensor = arguments[++i];
        } else {
            std::fputs("quantize [--snapshot FILE [TENSOR]] [--pictures FOLDER]\n", stderr);
            return 2;
        }
    }
    print_table(normal_weights());
    print_table(weights_with_outliers());
    if (!snapshot.empty()) print_table(from_snapshot(snapshot, tensor));
    if (!pictures.empty()) draw_pictures(pictures);
    return example::finished("quantize");
} catch (std::exception const& problem) {
    std::fprintf(stderr, "quantize: %s\n", snug::harmless(problem.what()).c_str());
    return 1;
}
