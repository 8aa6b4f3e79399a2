#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# sharding_budgets.sh PROGRAM PAGE...: every row that the program prints stands in a page, and its pictures are written.
set -eu
program=$1
shift
folder=$(mktemp -d)
trap 'rm -r "$folder"' EXIT
printed=$("$program" --pictures "$folder" | grep '^|')
[ -n "$printed" ]
[ -s "$folder/zero_bills.gnuplot" ] && [ -s "$folder/zero_ranks.gnuplot" ]
cat "$@" > "$folder/pages"
missing=$(printf '%s\n' "$printed" | grep -vxFf "$folder/pages" || true)
[ -z "$missing" ] || { printf '%s: not in them:\n%s\n' "$*" "$missing"; exit 1; }
