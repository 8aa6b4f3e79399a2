// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <optional>
#include <snug/engine/run.hpp>
#include <snug/io/file.hpp>
#include <string>
#include <string_view>

namespace example {

/// metrics.csv, a line for each step. Losses are written with all their digits: what a resumed run writes can be
/// compared with what a run without a break does.
class metrics_file {
  public:
    /// Begins the file, or goes on behind the lines up to `step`: a run that was killed had written more of them than
    /// its last snapshot knew.
    metrics_file(std::string const& path, std::int64_t step) : file_(prepare(path, step, seconds_)) {}

    void write(std::int64_t step, snug::step_result const& result, std::optional<double> validation,
               double tokens_per_second, double seconds) {
        char text[64] = "";
        if (validation) std::snprintf(text, sizeof text, "%.17g", *validation);
        char line[320];
        std::snprintf(line, sizeof line, "%lld,%.17g,%s,%.9g,%.9g,%lld,%.0f,%.3f\n",
                      static_cast<long long>(step), result.loss, text, result.gradient_norm,
                      result.learning_rate, static_cast<long long>(result.tokens), tokens_per_second,
                      seconds);
        file_.write(line);
    }

    /// Seconds of training up to the step from which the file goes on.
    double seconds_before() const { return seconds_; }

  private:
    static constexpr char const* header =
        "step,loss,validation_loss,gradient_norm,learning_rate,tokens,tokens_per_second,seconds\n";

    static std::string prepare(std::string const& path, std::int64_t step, double& seconds) {
        std::string kept = header;
        if (step > 0 && snug::io::is_there(path)) {
            snug::io::mapping const old(path);  // refuses a pipe instead of waiting for it
            std::string_view text(reinterpret_cast<char const*>(old.bytes().data()), old.bytes().size());
            for (auto end = text.find('\n'); end != text.npos; end = text.find('\n')) {
                std::string const line(text.substr(0, end + 1));
                text.remove_prefix(end + 1);
                auto const number = std::strtoll(line.c_str(), nullptr, 10);
                if (number < 1 || number > step) continue;
                kept += line;
                seconds = std::strtod(line.c_str() + line.rfind(',') + 1, nullptr);
            }
        }
        snug::io::output_file file(path);
        file.write(kept);
        file.commit();
        return path;
    }

    double seconds_ = 0;
    snug::io::append_file file_;
};

}  // namespace example
