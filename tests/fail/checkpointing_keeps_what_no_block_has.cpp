// SPDX-License-Identifier: Apache-2.0
// expected-error: checkpointing::keep names a value that no block of the model has
// expected-error: no value is called .*qvk.output.* the nearest are .*qkv.output|spelled<'q', 'v', 'k', '.', 'o', 'u', 't', 'p', 'u', 't'>.*nearest<.*spelled<'q', 'k', 'v'
#include <snug/plan.hpp>

namespace kept = snug::checkpointing;

#ifdef REFUSED
using plan = kept::plan<kept::group<5, kept::keep<"qvk.output", "up.output">>, kept::group<7, kept::none>>;
#else
using plan = kept::plan<kept::group<5, kept::keep<"qkv.output", "up.output">>, kept::group<7, kept::none>>;
#endif

struct my_trainer : snug::trainer<snug::models::gpt2_124m, snug::batch<1, 64>, plan> {};
static_assert(snug::footprint<my_trainer>.total > snug::bytes{});
