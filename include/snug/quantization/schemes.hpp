// SPDX-License-Identifier: Apache-2.0
#pragma once

/// Every quantization scheme of snug.

#include <snug/quantization/absmax.hpp>
#include <snug/quantization/affine.hpp>
#include <snug/quantization/blockwise.hpp>
#include <snug/quantization/double_quantized.hpp>
#include <snug/quantization/fp4.hpp>
#include <snug/quantization/int8.hpp>
#include <snug/quantization/nf4.hpp>
#include <snug/quantization/none.hpp>
#include <snug/quantization/outlier_split.hpp>
#include <snug/quantization/quantile.hpp>
#include <snug/quantization/quantized_array.hpp>
#include <snug/quantization/type_range.hpp>
#include <snug/quantization/waste.hpp>
