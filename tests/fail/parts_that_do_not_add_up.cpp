// SPDX-License-Identifier: Apache-2.0
// expected-error: the widths of the parts of a linear layer must add up to its output
// expected-error: the_parts_of_a_linear_layer_make_up_its_output
#include <snug/plan.hpp>

#ifdef REFUSED
using split = snug::parts<snug::part<"q", 8>, snug::part<"k", 8>>;
#else
using split = snug::parts<snug::part<"q", 8>, snug::part<"k", 16>>;
#endif

static_assert(snug::linear<8, 24, true, snug::initial::zeros, split>::output_width == 24);
