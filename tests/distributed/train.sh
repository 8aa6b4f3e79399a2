#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# The main job by two processes, asked to stop by SIGUSR1 as `./snug train --ranks` does, then ended by an interrupt of mpirun, and by one
# process that goes on, ends where one that was never interrupted does, to the byte. What is refused is one sentence.
# usage: train.sh TRAIN_1 TRAIN_2 FOLDER MPIEXEC NUMPROC_FLAG
set -eu
one="$1" two="$2" folder="$3" mpiexec="$4" number="$5"
rm -rf "$folder"
mkdir -p "$folder"
cd "$folder"
awk 'BEGIN { for (i = 0; i < 900; ++i) print i, "times", i % 7, "is", i * (i % 7) }' >text
fail() { echo "train.sh: $*" >&2; exit 1; }

# interrupted SIGNAL LINES: sends it to mpirun, which runs as $process, when so many steps are done.
interrupted() {
    while ! [ -f parts/metrics.csv ] || [ "$(wc -l <parts/metrics.csv)" -lt "$2" ]; do
        kill -0 "$process" 2>/dev/null || fail "it ended before it was interrupted"
        sleep 0.02
    done
    kill -"$1" "$process"
    status=0
    wait "$process" || status=$?
    [ "$status" -ne 0 ] || fail "it ended before SIG$1 came to it"
    [ -s parts/snapshot ] || fail "no snapshot after SIG$1"
}

steps=60
"$mpiexec" "$number" 1 "$one" --data text --out whole --steps $steps >whole.log
"$mpiexec" "$number" 2 "$two" --data text --out parts --steps $steps >parts.log &
process=$!
interrupted USR1 4
grep -q "Stopped after step [1-9].*--resume" parts.log || fail "no word about the interrupt"
# mpirun gives them a second or two, after which the snapshot may be an earlier one, but a whole one.
"$mpiexec" "$number" 2 "$two" --data text --out parts --resume >parts.log &
process=$!
interrupted INT $(($(wc -l <parts/metrics.csv) + 2))
"$mpiexec" "$number" 1 "$one" --data text --out parts --resume >parts.log
grep -q "Going on after step" parts.log || fail "no word about where it goes on"
cmp whole/snapshot parts/snapshot
cut -d, -f1-6 whole/metrics.csv >expected
cut -d, -f1-6 parts/metrics.csv | cmp expected -

if "$mpiexec" "$number" 2 "$two" --data missing --out none 2>refused.log; then fail "a missing file was not refused"; fi
[ "$(grep -c "^train: " refused.log)" -eq 1 ] || fail "not one sentence: $(cat refused.log)"
grep -q "^train: rank 0: missing: found no such file" refused.log || fail "another sentence: $(cat refused.log)"
if "$mpiexec" "$number" 2 "$two" --nonsense 2>refused.log; then fail "a strange option was not refused"; fi
[ "$(grep -c "^train: .*--help" refused.log)" -eq 1 ] || fail "not one sentence: $(cat refused.log)"
if "$mpiexec" "$number" 1 "$two" --data text --out none 2>refused.log; then fail "one process was not refused"; fi
grep -q "found 1 process, expected 2" refused.log || fail "another sentence: $(cat refused.log)"
[ ! -e none ] || fail "what is refused made a folder"
