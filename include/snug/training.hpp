// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <algorithm>
#include <charconv>
#include <cmath>
#include <cstdint>
#include <cstdlib>
#include <initializer_list>
#include <limits>
#include <optional>
#include <snug/error.hpp>
#include <snug/io/file.hpp>
#include <snug/kernels/elements.hpp>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

/// What a program around a trainer needs in its loop, in small parts; none of them is called by a trainer.
namespace snug::SNUG_TARGET::training {

namespace detail {

/// The shortest text that reads back as this number; whole numbers without an exponent.
inline std::string text_of(double value) {
    char text[40];
    auto const is_whole = value == std::floor(value) && std::abs(value) < 1e15;
    auto const end = is_whole ? std::to_chars(text, text + sizeof text, static_cast<std::int64_t>(value)).ptr
                              : std::to_chars(text, text + sizeof text, value).ptr;
    return {text, end};
}

}  // namespace detail

/// Numbers of a run, a line for each step: CSV, or JSON objects if the file's name ends in ".jsonl". What a resumed run
/// writes is what a run without a break does, to the last digit.
class metrics_file {
  public:
    using number = std::optional<double>;

    /// Begins the file, with these names behind "step", or, of a run that has done steps, goes on behind its lines up to
    /// `step`: one that was killed had written more of them than its last snapshot knew. Throws `snug::error` when the file
    /// that is there has other names, or is none that one can append to.
    metrics_file(std::string const& path, std::vector<std::string> names, std::int64_t step = 0)
        : names_(checked_names(std::move(names))),
          is_json_(path.ends_with(".jsonl")),
          file_(prepare(path, step)) {}

    /// In the order of the names. A number that is not there is an empty field, or null.
    void write(std::int64_t step, std::span<number const> numbers) {
        if (numbers.size() != names_.size())
            throw error({}, std::to_string(numbers.size()) + " numbers",
                        std::to_string(names_.size()) + ", as many as the metrics have names");
        auto line = (is_json_ ? "{\"step\":" : "") + std::to_string(step);
        for (std::size_t i = 0; i < numbers.size(); ++i) {
            bool const is_there = numbers[i] && (!is_json_ || std::isfinite(*numbers[i]));
            line += is_json_ ? ",\"" + names_[i] + "\":" : ",";
            line += is_there ? detail::text_of(*numbers[i]) : is_json_ ? "null" : "";
        }
        file_.write(line + (is_json_ ? "}\n" : "\n"));
    }
    void write(std::int64_t step, std::initializer_list<number> numbers) {
        write(step, std::span(numbers.begin(), numbers.size()));
    }

    /// What the line says from which the file goes on, as the seconds that a run has taken so far.
    number last(std::string_view name) const {
        auto const at = std::ranges::find(names_, name) - names_.begin();
        return static_cast<std::size_t>(at) < last_.size() ? last_[static_cast<std::size_t>(at)]
                                                           : std::nullopt;
    }

  private:
    static std::vector<std::string> checked_names(std::vector<std::string> names) {
        for (auto const& name : names)
            if (name.empty() || name.find_first_of(",\"\\\r\n") != name.npos)
                throw error({}, "a metric called \"" + name + "\"",
                            "a name without commas, quotes, backslashes and ends of lines");
        return names;
    }

    std::string header() const {
        std::string text = "step";
        for (auto const& name : names_) text += "," + name;
        return text + "\n";
    }

    /// The fields of a line of this class's: the step, then the numbers; nothing of another line.
    std::vector<number> fields_of(std::string_view line) const {
        std::vector<number> fields;
        std::string const text(line);
        char const* at = text.c_str();
        for (std::size_t i = 0; i <= names_.size(); ++i) {
            auto const before = is_json_ ? (i == 0 ? "{\"step\":" : ",\"" + names_[i - 1] + "\":")
                                         : std::string(i == 0 ? "" : ",");
            if (!std::string_view(at).starts_with(before)) return {};
            at += before.size();
            char* end = nullptr;
            auto const value = std::strtod(at, &end);
            fields.push_back(end == at ? std::nullopt : number(value));
            at = std::string_view(at).starts_with("null") ? at + 4 : end;
        }
        return std::string_view(at) == (is_json_ ? "}\n" : "\n") ? fields : std::vector<number>{};
    }

    std::string prepare(std::string const& path, std::int64_t step) {
        auto kept = is_json_ ? std::string{} : header();
        if (step > 0 && io::is_there(path)) {
            io::mapping const old(path);  // refuses a pipe instead of waiting for it
            std::string_view text(reinterpret_cast<char const*>(old.bytes().data()), old.bytes().size());
            bool is_first = true;
            for (auto end = text.find('\n'); end != text.npos; end = text.find('\n')) {
                auto const line = text.substr(0, end + 1);
                text.remove_prefix(end + 1);
                if (std::exchange(is_first, false) && !is_json_) {
                    if (line != header())
                        throw error({path, 0}, "metrics of \"" + std::string(line.substr(0, end)) + "\"",
                                    "\"" + header().substr(0, header().size() - 1) +
                                        "\", or no file where a run goes on");
                    continue;
                }
                auto fields = fields_of(line);
                if (fields.empty() || !fields[0] || *fields[0] < 1 || *fields[0] > static_cast<double>(step))
                    continue;
                kept += line;
                last_.assign(fields.begin() + 1, fields.end());
            }
        }
        io::output_file file(path);
        file.write(kept);
        file.commit();
        return path;
    }

    std::vector<std::string> names_;
    bool is_json_;
    std::vector<number> last_{};
    io::append_file file_;
};

/// The lowest loss of validation so far, and how many validations are no better since: for keeping the best snapshot,
/// and for stopping early. Both numbers are the whole state; keep them in a snapshot's notes.
struct best_loss {
    double loss = std::numeric_limits<double>::infinity();
    std::int64_t since = 0;

    /// Whether this one is lower than any before by more than `least_gain`. One that is not a number is not.
    bool is_improved_by(double next, double least_gain = 0) {
        if (next < loss - least_gain) {
            loss = next;
            since = 0;
            return true;
        }
        ++since;
        return false;
    }
};

/// A parameter and a number of it, all its blocks together.
struct parameter_norm {
    std::string name;
    double norm = 0;  ///< 2-norm
};

namespace detail {

template <class Values>
double norm_of(Values const& values, Values const* before = nullptr) {
    double sum = 0;
    for (std::size_t i = 0; i < values.size(); ++i) {
        auto const value = kernels::as_double(values[i]) - (before ? kernels::as_double((*before)[i]) : 0);
        sum += value * value;
    }
    return std::sqrt(sum);
}

}  // namespace detail

/// Of each parameter that trains, the norm of its gradient, between `accumulate` and `update`, of the sum over what was
/// accumulated (with a loss scale, of that times it). Copies one parameter at a time. All ranks call it.
template <class Run>
std::vector<parameter_norm> gradient_norms(Run const& run) {
    std::vector<parameter_norm> norms;
    for (auto const& entry : Run::composition::parameter_table.entries)
        if (entry.is_trained())
            norms.push_back(
                {std::string(entry.name.view()), detail::norm_of(run.copy_of_gradients(entry.name.view()))});
    return norms;
}

/// How far updates move the parameters that train: constructed before them, asked after. Holds a copy of the weights, in
/// the precision of the weights: what is below it is not seen. All ranks call it.
template <class Run>
class moved_weights {
  public:
    explicit moved_weights(Run const& run) : run_(&run) {
        for (auto const& entry : Run::composition::parameter_table.entries)
            if (entry.is_trained()) before_.push_back(run.copy_of_weights(entry.name.view()));
    }

    std::vector<parameter_norm> norms() const {
        std::vector<parameter_norm> result;
        auto before = before_.begin();
        for (auto const& entry : Run::composition::parameter_table.entries)
            if (entry.is_trained())
                result.push_back({std::string(entry.name.view()),
                                  detail::norm_of(run_->copy_of_weights(entry.name.view()), &*before++)});
        return result;
    }

  private:
    Run const* run_;
    std::vector<std::vector<typename Run::weight_type>> before_{};
};

}  // namespace snug::SNUG_TARGET::training
