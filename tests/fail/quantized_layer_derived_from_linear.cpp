// SPDX-License-Identifier: Apache-2.0
// expected-error: a layer that derives from snug::linear would not be quantized
#include <snug/plan.hpp>

#ifdef REFUSED
struct middle : snug::linear<8, 8> {};
#else
using middle = snug::named<"middle", snug::linear<8, 8>>;
#endif

struct my_model : snug::stack<snug::embedding<16, 8>, middle, snug::named<"norm", snug::rms_norm<8>>,
                              snug::head_with_loss<8, 16, true>> {};
struct my_trainer : snug::trainer<my_model, snug::batch<1, 16>, snug::quantization::nf4<64>> {};
static_assert(snug::footprint<my_trainer>.total > snug::bytes{});
