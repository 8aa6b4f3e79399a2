// SPDX-License-Identifier: Apache-2.0
// expected-error: options.learning_rate is a number, a schedule such as
// expected-error: a_learning_rate_is_a_number_or_a_function_of_the_step
#include <snug/plan.hpp>

inline void set(snug::training_options<snug::optimizers::adamw<>>& options) {
#ifdef REFUSED
    options.learning_rate = [calls = 0](snug::index_t) mutable { return 1e-3 / ++calls; };
#else
    options.learning_rate = [](snug::index_t step) { return 1e-3 / static_cast<double>(step); };
#endif
}
