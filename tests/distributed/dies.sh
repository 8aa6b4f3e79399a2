#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# dies.sh PROGRAM FOLDER MPIRUN... -- HOW PLACE: starts the program (mpi/dies.cpp) by MPIRUN, whose rank 1 comes to grief. mpirun must end
# with an error, and leave no process, in 5 s; where rank 1 is only silent, in 1 s after a deadline of 2 s, with a line
# of a rank that missed it.
set -eu
program="$1" folder="$2"
shift 2
launcher=
while [ "$1" != -- ]; do launcher="$launcher $1"; shift; done
how="$2" place="$3"

rm -rf "$folder"
mkdir -p "$folder"
export SNUG_DEADLINE_SECONDS=2
step=20
[ "$place" != start ] || step=0
status=0
# shellcheck disable=SC2086 # words of a command
timeout -k 1 60 $launcher "$program" "$how" "$place" "$folder" >"$folder/said" 2>&1 || status=$?
ended="$(date +%s%N)"
milliseconds="$(( (ended - $(cat "$folder/time")) / 1000000 ))"
wrong=
case "$how" in
    stopped | spinning | returning) limit=3000 ;;
    *) limit=5000 ;;
esac
[ "$milliseconds" -le "$limit" ] || wrong="$wrong; it took longer than $limit ms"
case "$status" in 0 | 124) wrong="$wrong; mpirun ended with $status" ;; esac  # 124 is timeout's
for pid in "$folder"/pid.*; do
    pid="$(cat "$pid")"
    # A process whose parent has not asked for it yet is none.
    case "$(cut -d ' ' -f 3 "/proc/$pid/stat" 2>/dev/null || true)" in
        '' | Z) ;;
        *) wrong="$wrong; process $pid is still there"; kill -9 "$pid" ;;
    esac
done
expect() { # expect PATTERN COUNT-PATTERN
    count="$(grep -c "$1" "$folder/said" || true)"
    # shellcheck disable=SC2254 # a pattern
    case "$count" in $2) ;; *) wrong="$wrong; $count lines like \"$1\"" ;; esac
}
here="rank 1, step $step, exchange of blocks\.7:"
late="snug: rank [0-9]*, step $step, exchange of blocks\.7: nothing \(from\|taken by\) rank 1 for 2\.[0-9] s$"
case "$how" in
    stopped | spinning | returning) expect "^$late" '[1-9]*' ;;
    throwing) expect "^snug: $here train.bin: found no such file, expected one$" 1 ;;
    caught)
        expect "^snug: $here an exception ends the run of all ranks$" 1
        expect "^main says: train.bin: found no such file, expected one$" 1 ;;
esac
echo "$how at $place: all gone after $milliseconds ms, mpirun ended with $status"
[ -z "$wrong" ] || { echo "not so: ${wrong#; }"; cat "$folder/said"; exit 1; }
