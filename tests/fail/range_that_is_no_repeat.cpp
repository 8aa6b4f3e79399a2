// SPDX-License-Identifier: Apache-2.0
// expected-error: snug::ranges takes snug::repeat<N, Block> for each range of blocks
#include <snug/plan.hpp>

using block = snug::residual<snug::named<"norm", snug::rms_norm<8>>, snug::named<"up", snug::linear<8, 8>>>;
#ifdef REFUSED
using blocks = snug::ranges<snug::repeat<2, block>, block>;
#else
using blocks = snug::ranges<snug::repeat<2, block>, snug::repeat<1, block>>;
#endif
static_assert(blocks::input_width == 8);
