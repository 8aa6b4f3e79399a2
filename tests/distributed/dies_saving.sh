#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# dies_saving.sh PROGRAM FOLDER MPIRUN... -- HOW FIRST STRIDE: a rank of a training (mpi/dies_training.cpp) is killed while rank 0 is at
# its file call number FIRST of a save, in another run at FIRST + STRIDE, and so on until there is none. All must be gone in 5 s, and the
# snapshot is the old one or the new one, whole. Every run resumes, and writes over what the one before has left.
set -eu
program="$1" folder="$2"
shift 2
launcher=
while [ "$1" != -- ]; do launcher="$launcher $1"; shift; done
how="$2" nth="$3" stride="$4"

# shellcheck source=tests/distributed/judge.sh
. "$(dirname "$0")/judge.sh"
rm -rf "$folder"
mkdir -p "$folder"
expected_training "$folder/expected"
kills=0 old=0 longest=0
while :; do
    cp "$folder/expected/early" "$folder/snapshot"
    rm -f "$folder/time"
    start "$how" "$nth"
    [ -e "$folder/time" ] || break
    wrong=
    judge_end 5000
    kills=$((kills + 1))
    [ "$milliseconds" -le "$longest" ] || longest="$milliseconds"
    if cmp -s "$folder/snapshot" "$folder/expected/early"; then old=$((old + 1))
    else cmp "$folder/snapshot" "$folder/expected/snapshot" || wrong="$wrong; a snapshot that is neither the old one nor the new one"
    fi
    [ -z "$wrong" ] || { echo "killed at call $nth, and not so: ${wrong#; }"; cat "$folder/said"; exit 1; }
    nth=$((nth + stride))
done
echo "$kills times $how, up to call $((nth - stride)): all gone after $longest ms at most, $old times the old snapshot"
if [ "$status" != 0 ] || [ "$kills" = 0 ] || [ -e "$folder/snapshot.partial" ] ||
    ! cmp "$folder/snapshot" "$folder/expected/snapshot"; then
    echo "what was left did not go on: mpirun ended with $status"
    cat "$folder/said"
    exit 1
fi
