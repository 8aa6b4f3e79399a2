// SPDX-License-Identifier: Apache-2.0
#include <string>

#include <snug/data/tokenizer/normalizer.hpp>
#include <snug/data/tokenizer/regex.hpp>

int main() {
    snug::io::regex const word("\\p{L}+", {});
    auto const found = snug::io::regex::searcher(word).find("1 boat", 0);
    std::string composed;
    snug::io::normalize("e\u0301", snug::io::unicode_form::nfc, composed);
    return found && found->begin == 2 && found->end == 6 && composed == "\u00e9" ? 0 : 1;
}
