// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <snug/backend/host/attention.hpp>
#include <snug/backend/host/exact_sum.hpp>
#include <snug/backend/host/matmul.hpp>
#include <snug/backend/host/prepare.hpp>
#include <snug/backend/host/rows.hpp>
#include <snug/backend/host/tag.hpp>
