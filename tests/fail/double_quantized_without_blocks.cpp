// SPDX-License-Identifier: Apache-2.0
// expected-error: double_quantized quantizes the scales of a block-wise scheme
// expected-error: double_quantization_needs_a_blockwise_scheme<snug::quantization::absmax>
#include <snug/quantization/schemes.hpp>

#ifdef REFUSED
struct mine : snug::quantization::double_quantized<snug::quantization::absmax> {};
#else
struct mine
    : snug::quantization::double_quantized<snug::quantization::blockwise<snug::quantization::absmax, 64>> {};
#endif
