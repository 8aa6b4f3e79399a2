// SPDX-License-Identifier: Apache-2.0
// Prints the table of number formats of docs/formats.md, then how the formats see a few numbers.
#include <snug/precision/formats.hpp>

#include <cstdio>
#include <string>

#include "support/output.hpp"

namespace {

using namespace snug;

template <class T>
void print_constants() {
    using traits = number_traits<T>;
    std::printf("| `%s` | %d | %d | %d | %d | %.6g | %.6g | %.6g | %.6g | %s |\n",
                std::string{traits::name}.c_str(), traits::sign_bits, traits::exponent_bits,
                traits::mantissa_bits, traits::bias, traits::largest, traits::smallest_normal,
                traits::smallest_subnormal, traits::epsilon,
                traits::has_infinity ? "inf, NaN"
                : traits::has_nan    ? "NaN"
                                     : "-");
}

template <class T>
void print_roundings() {
    std::printf("| `%s` |", std::string{number_traits<T>::name}.c_str());
    for (float const number : {3.14159265f, 0.001f, 1e-5f, 1000.0f, 100000.0f})
        std::printf(" %.6g |", static_cast<double>(static_cast<float>(round_nearest<T>(number))));
    std::printf("\n");
}

}  // namespace

int main() {
    std::puts(
        "| format | sign | exponent | mantissa | bias | largest | smallest normal | smallest | epsilon | "
        "special |");
    std::puts("| --- | ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: | --- |");
    print_constants<double>();
    print_constants<float>();
    print_constants<tf32>();
    print_constants<fp16>();
    print_constants<bf16>();
    print_constants<fp8_e4m3>();
    print_constants<fp8_e5m2>();
    print_constants<fp4_e2m1>();
    print_constants<int8>();
    print_constants<uint8>();
    print_constants<int4>();
    std::puts("\n| format | 3.14159265 | 0.001 | 1e-5 | 1000 | 100000 |");
    std::puts("| --- | ---: | ---: | ---: | ---: | ---: |");
    print_roundings<float>();
    print_roundings<tf32>();
    print_roundings<fp16>();
    print_roundings<bf16>();
    print_roundings<fp8_e4m3>();
    print_roundings<fp8_e5m2>();
    print_roundings<fp4_e2m1>();
    print_roundings<int8>();
    print_roundings<int4>();
    return example::finished("formats");
}
