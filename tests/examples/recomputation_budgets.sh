#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# recomputation_budgets.sh PROGRAM PAGE...: every row that the program prints stands in a page.
set -eu
. "$(dirname "$0")/promises.sh"
program=$1
shift
"$program" >printed
in_pages "$@" <printed
