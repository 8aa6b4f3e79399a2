// SPDX-License-Identifier: Apache-2.0
#include <snug/io/tokenizer/regex.hpp>

int main() {
    snug::io::regex const word("\\p{L}+", {});
    auto const found = snug::io::regex::searcher(word).find("1 boat", 0);
    return found && found->begin == 2 && found->end == 6 ? 0 : 1;
}
