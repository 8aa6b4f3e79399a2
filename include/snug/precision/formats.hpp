// SPDX-License-Identifier: Apache-2.0
#pragma once

/// Every number format of snug, its constants and its conversions.

#include <snug/precision/bf16.hpp>
#include <snug/precision/codes.hpp>
#include <snug/precision/fp16.hpp>
#include <snug/precision/fp4.hpp>
#include <snug/precision/fp8.hpp>
#include <snug/precision/integers.hpp>
#include <snug/precision/name.hpp>
#include <snug/precision/number_format.hpp>
#include <snug/precision/rounding.hpp>
#include <snug/precision/tf32.hpp>
