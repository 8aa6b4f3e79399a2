// SPDX-License-Identifier: Apache-2.0
// expected-error: weights rest in a number format, such as snug::bf16, or in a quantization scheme
// expected-error: this_is_not_a_format_of_weights<user::mine>
#include <snug/plan.hpp>

namespace user {

#ifdef REFUSED
struct mine {
    using axis = snug::axis::quantization;
};
#else
using mine = snug::bf16;
#endif

}  // namespace user

constexpr snug::bytes size = snug::weight_bytes<snug::models::gpt2_124m, user::mine>;
