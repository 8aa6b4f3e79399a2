// SPDX-License-Identifier: Apache-2.0
// What adapters and quantization make of a model is the same through nvcc and through the host's compiler: nvcc once passed
// over the specialisations that rewrite a model, without a word. tests/static/adapters_for_cuda.cpp asserts the same numbers.
#include "adapters.hpp"
