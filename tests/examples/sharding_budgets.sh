#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# sharding_budgets.sh PROGRAM PAGE...: every row that the program prints stands in a page, and its pictures are written.
set -eu
. "$(dirname "$0")/promises.sh"
program=$1
shift
"$program" --pictures . >printed
in_pages "$@" <printed
[ -s zero_bills.gnuplot ] && [ -s zero_ranks.gnuplot ]
