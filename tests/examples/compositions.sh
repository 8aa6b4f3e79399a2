#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# compositions.sh TRAIN...: each composition of the main job learns, and none goes on from a snapshot of another.
set -eu

. "$(dirname "$0")/promises.sh"
run() { "$train" "$@"; }

awk 'BEGIN { for (i = 0; i < 900; ++i) print i, "times", i % 7, "is", i * (i % 7) }' >text
before=
for train; do
    name=${train##*/}
    "$train" --data text --out "$name" --steps 4 >stdout
    awk -F, 'NR == 2 { first = $2 } END { exit !($2 < first) }' "$name/metrics.csv" ||
        fail "the loss of $name did not fall"
    if [ -n "$before" ]; then
        refused "expected" --data text --out "$before" --resume --steps 5
    fi
    before=$name
done

echo "compositions.sh: all promises hold"
