#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# The example says and leaves the same by one process as by two that stop half-way and four that go on.
# usage: example.sh PROGRAM FOLDER MPIEXEC NUMPROC_FLAG TEXT
set -eu
program="$1" folder="$2" mpiexec="$3" number="$4" text="$5"
rm -rf "$folder"
mkdir -p "$folder"
cd "$folder"
"$mpiexec" "$number" 1 "$program" "$text" one.snapshot 8 >one.log
"$mpiexec" "$number" 2 "$program" "$text" more.snapshot 4 >more.log
"$mpiexec" "$number" 4 "$program" "$text" more.snapshot 8 >>more.log
cmp one.log more.log
cmp one.snapshot more.snapshot
first="$(sed -n 's/^step 1: loss \([0-9.]*\) .*/\1/p' one.log)"
last="$(sed -n 's/^step 8: loss \([0-9.]*\) .*/\1/p' one.log)"
awk "BEGIN { exit !($last < $first) }"
if "$mpiexec" "$number" 3 "$program" "$text" three.snapshot 2>refused.log; then exit 1; fi
grep -q "found 3 processes, expected as many as this program was compiled for: 1, 2, 4, 8" refused.log
