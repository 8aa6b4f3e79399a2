#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# dies.sh PROGRAM FOLDER MPIRUN... -- HOW PLACE: starts the program (mpi/dies.cpp, or mpi/dies_training.cpp for places of a training)
# by MPIRUN, whose rank 1 comes to grief. mpirun must end with an error, and leave no process, in 5 s; where rank 1 is only silent, in
# 1 s after a deadline of 2 s, with a line of a rank that missed it. The last snapshot of a training goes on to the same bits.
set -eu
program="$1" folder="$2"
shift 2
launcher=
while [ "$1" != -- ]; do launcher="$launcher $1"; shift; done
how="$2" place="$3"

# What the line of rank 1 says that it was at, and those of the others.
step=4 trains=yes
case "$place" in
    start) step=0 at='exchange of blocks\.7' trains='' ;;
    middle | between) step=20 others='2[01]' at='exchange of blocks\.7' trains='' ;;  # some may have got all of a step
    constructor) step='' at='agreement on a trainer' ;;
    first_gather) step=1 at='gather of weights of [a-z0-9_.]*' ;;
    forward) at='gather of weights of [a-z0-9_.]*' ;;
    exchange) at='exchange of [a-z0-9_.]*' missed='\(exchange\|gather of weights\) of [a-z0-9_.]*' ;;
    norm) at='gather of losses and norms' ;;
    update) at='gather of losses and norms' missed='agreement on an update' ;;
    save) step=6 at='collecting' missed='\(collecting\|agreement on a snapshot\)' ;;
    resume) step=1 at='agreement on resuming' ;;
esac
here="rank 1${step:+, step $step}, $at:"
late="snug: rank [0-9]*${step:+, step ${others:-$step}}, ${missed:-$at}: nothing \(from\|taken by\) rank 1 for 2\.[0-9] s$"

# shellcheck source=tests/distributed/judge.sh
. "$(dirname "$0")/judge.sh"
rm -rf "$folder"
mkdir -p "$folder"
wrong=
if [ "$trains" ]; then expected_training "$folder/undisturbed"; fi
if [ "$how" = returning ]; then
    # When ranks abort while one is in MPI_Finalize, Open MPI 4.1.4's mpirun may crash or hang, in a server of its own. What counts is
    # that the ranks are gone.
    watch_ranks & watcher="$!"
    patience=30
    start "$how" "$place"
    kill "$watcher" 2>/dev/null || true
    if [ -e "$folder/gone" ]; then
        ended="$(cat "$folder/gone")"
        [ "$status" = 0 ] || status=1
    fi
else
    start "$how" "$place"
fi
case "$how" in
    stopped | spinning | returning) judge_end 3000 ;;
    *) judge_end 5000 ;;
esac
expect() { # expect PATTERN COUNT-PATTERN
    count="$(grep -c "$1" "$folder/said" || true)"
    # shellcheck disable=SC2254 # a pattern
    case "$count" in $2) ;; *) wrong="$wrong; $count lines like \"$1\"" ;; esac
}
case "$how" in
    stopped | spinning | returning) expect "^$late" '[1-9]*' ;;
    throwing) expect "^snug: $here train.bin: found no such file, expected one$" 1 ;;
    caught)
        expect "^snug: $here an exception ends the run of all ranks$" 1
        expect "^main says: train.bin: found no such file, expected one$" 1 ;;
esac
echo "$how at $place: all gone after $milliseconds ms, mpirun ended with $status"
[ -z "$wrong" ] || { echo "not so: ${wrong#; }"; cat "$folder/said"; exit 1; }
[ "$trains" ] || exit 0

start going_on -
if [ "$status" != 0 ] || ! cmp "$folder/snapshot" "$folder/undisturbed/snapshot"; then cat "$folder/said"; exit 1; fi
