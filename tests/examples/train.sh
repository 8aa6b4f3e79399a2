#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# train.sh TRAIN: runs the main job on a small text: as a whole, interrupted and resumed, and with bad input.
set -eu

train=$1
. "$(dirname "$0")/promises.sh"
run() { "$train" "$@"; }

# unchanged: the results of the run in whole/ are what they were.
unchanged() {
    cmp -s whole/snapshot kept/snapshot || fail "the snapshot was changed by: $*"
    cmp -s whole/metrics.csv kept/metrics.csv || fail "the metrics were changed by: $*"
    [ -z "$(find whole -name '*.partial')" ] || fail "something half-written was left by: $*"
}

awk 'BEGIN { for (i = 0; i < 900; ++i) print i, "times", i % 7, "is", i * (i % 7) }' >text
steps=24

# A run without a break, and what it leaves.
"$train" --data text --out whole --steps $steps --sample "7 times" --sample "8 times" >stdout
for file in snapshot metrics.csv curve.gnuplot memory.gnuplot memory.dat; do
    [ -s "whole/$file" ] || fail "no whole/$file"
done
[ "$(wc -l <whole/metrics.csv)" -eq $((steps + 1)) ] || fail "not $steps lines of metrics"
for words in weights gradients "optimizer state" total "step $steps/$steps" validation "^7 times" "^8 times"; do
    grep -q "$words" stdout || fail "no '$words' in the output"
done
awk -F, 'NR == 2 { first = $2 } END { exit !($2 < 0.9 * first && $3 > 0) }' whole/metrics.csv ||
    fail "the loss did not fall, or the last step was not validated"
if command -v gnuplot >/dev/null; then
    for plot in curve memory; do
        (cd whole && gnuplot $plot.gnuplot) || fail "gnuplot could not draw $plot"
        grep -q '</svg>' whole/$plot.svg || fail "$plot.svg is not a picture"
    done
fi

# The same run, interrupted and resumed, makes the same steps to the last bit.
"$train" --data text --out parts --steps $steps >stdout &
process=$!
interrupted 4
# Steps that were made after the last snapshot, before a crash, are made again.
echo "$steps,1,1,1,1,1,1,1" >>parts/metrics.csv
printf '25,0.5' >>parts/metrics.csv
"$train" --data text --out parts --resume >stdout
grep -q "Going on after step" stdout || fail "no word about where it goes on"
cut -d, -f1-6 whole/metrics.csv >expected
cut -d, -f1-6 parts/metrics.csv | cmp -s expected - || fail "the resumed run made other steps"
cmp -s whole/snapshot parts/snapshot || fail "the resumed run ended in another state"
# Going on with a run that is done only writes text.
"$train" --data text --out parts --resume --sample "9 times" >stdout
grep -q "^9 times" stdout || fail "no text from a run that is done"
cmp -s whole/snapshot parts/snapshot || fail "writing text changed the snapshot"

# Nothing that is refused destroys what is there.
cp -r whole kept
cp -r whole damaged
printf 'x' | dd of=damaged/snapshot bs=1 seek=70000 conv=notrunc 2>dd.log
cp damaged/snapshot damaged.before
head -c 1000 text >short
: >empty
printf 'abc' >odd.bin
printf '\001\002\003\004' >large.bin
sed 's/times/TIMES/' text >other

for attempt in "missing:no such file" "empty:an empty file" "short:1000 tokens" "odd.bin:odd number of bytes" \
    "large.bin:token 513" ".:directory"; do
    refused "${attempt#*:}" --data "${attempt%%:*}" --out whole --overwrite
    unchanged "data ${attempt%%:*}"
done
for options in "--steps 0" "--steps -5" "--steps many" "--steps 1.5" "--steps 99999999999999999999" "--minutes 0" \
    "--minutes nan" "--minutes -1" "--learning-rate 0" "--learning-rate inf" "--learning-rate 2" "--seed -1" \
    "--seed 18446744073709551616" "--seed 1e3" "--seed x" "--temperature 0" "--steps 5 --minutes 5" "--resume" "--nonsense" "words"; do
    # shellcheck disable=SC2086 # an option and its value are two words
    refused . --data text --out whole --overwrite $options
    unchanged "$options"
done
refused "beginning" --data text --out whole --overwrite --sample ""
refused "name" --data text --out ""
refused "data" --out whole
refused "snapshot of an earlier run" --data text --out whole --steps 5
refused "the data" --data other --out whole --resume
refused "the seed 1 " --data text --out whole --resume --seed 1
refused "the learning rate 0.5 " --data text --out whole --resume --learning-rate 0.5
refused "$steps steps" --data text --out whole --resume --steps 5
refused "no such file" --data text --out nowhere --resume
[ ! -e nowhere ] || fail "a refused run made a folder"
refused "text" --data text --out text --steps 5
unchanged "refused options"
refused "damaged" --data text --out damaged --resume
cmp -s damaged/snapshot damaged.before || fail "a damaged snapshot was touched"

# A pipe where the metrics are is refused, not waited for.
cp -r whole piped
rm piped/metrics.csv
mkfifo piped/metrics.csv
refused "metrics.csv.*not a regular file" --data text --out piped --resume --steps $((steps + 1))

# Names are shown, not obeyed.
odd=$(printf 'odd\nname\033[31m')
refused 'odd.x0aname.x1b.31m' --data "$odd" --out whole --overwrite
unchanged "an odd name"

# Results that did not arrive are no success; a terminal that closes, and a reader that goes, stop a run as kill does.
if [ -w /dev/full ]; then
    if "$train" --data text --out full --steps 3 >/dev/full 2>stderr; then fail "a full disk was a success"; fi
    grep -q "standard output" stderr || fail "no word about a full disk: $(cat stderr)"
    if "$train" --help >/dev/full 2>stderr; then fail "help for a full disk was a success"; fi
fi
for signal in 1 13; do # SIGHUP, SIGPIPE
    rm -rf parts
    "$train" --data text --out parts --steps 100000 >stdout 2>stderr &
    process=$!
    interrupted 4 $signal
done
rm -rf parts
mkfifo reader
"$train" --data text --out parts --steps 100000 >reader 2>stderr &
process=$!
head -c 1 reader >first
status=0
wait "$process" || status=$?
[ $status -eq 141 ] || fail "status $status after its reader had gone"
"$train" --data text --out parts --resume --steps 100000 >stdout &
process=$!
interrupted 4
grep -q "Going on after step" stdout || fail "a run whose reader had gone was not saved"

# Beginning anew is possible when it is asked for.
"$train" --data text --out damaged --overwrite --steps 3 >stdout
[ "$(wc -l <damaged/metrics.csv)" -eq 4 ] || fail "not 3 lines of metrics"

echo "train.sh: all promises hold"
