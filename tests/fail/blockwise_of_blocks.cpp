// SPDX-License-Identifier: Apache-2.0
// expected-error: blockwise gives every block the scale that a scheme has once for the whole array
// expected-error: blockwise_needs_a_scheme_with_one_scale<snug::quantization::nf4<64(, snug::quantization::dialects::bitsandbytes)?> *>
#include <snug/quantization/schemes.hpp>

#ifdef REFUSED
struct mine : snug::quantization::blockwise<snug::quantization::nf4<64>, 64> {};
#else
struct mine : snug::quantization::blockwise<snug::quantization::absmax, 64> {};
#endif
