#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# sharding_budgets.sh PROGRAM PAGE: every row that the program prints stands in the page.
set -eu
printed=$("$1" | grep '^|')
[ -n "$printed" ]
missing=$(printf '%s\n' "$printed" | grep -vxFf "$2" || true)
[ -z "$missing" ] || { printf '%s: not in it:\n%s\n' "$2" "$missing"; exit 1; }
