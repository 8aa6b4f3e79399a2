#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# fine_tune.sh FINE_TUNE: a few steps of the second job on tiny data: whole, resumed, and with bad data. Takes the model,
# SmolLM2-135M-Instruct as GGUF, from the variable SNUG_SMOLLM2; without it, it is skipped.
set -eu

fine_tune=$1
if [ -z "${SNUG_SMOLLM2-}" ]; then
    echo "fine_tune.sh: skipped; SNUG_SMOLLM2 names no model"
    exit 77
fi
. "$(dirname "$0")/promises.sh"

run() { "$fine_tune" --model "$SNUG_SMOLLM2" "$@"; }

# A dictionary in which every entry says the same, so that a few steps teach it.
awk 'BEGIN {
    print "00-database-short"; print "     Fruit, and many more words that are no entry"
    for (i = 1; i <= 40; ++i) printf "\nfruit%d\n /froot/, n.\n\n    [common] A thing of the {garden} that is eaten raw.\n", i
}' >fruit.dict

run --dictionary fruit.dict --out whole --steps 8 --ask "What is fruit7?" >stdout
for file in snapshot metrics.csv curve.gnuplot memory.gnuplot memory.dat adapter/adapter_config.json \
    adapter/adapter_model.safetensors; do
    [ -s "whole/$file" ] || fail "no whole/$file"
done
[ "$(wc -l <whole/metrics.csv)" -eq 9 ] || fail "not 8 lines of metrics"
for words in weights "optimizer state" total "^38 examples of fruit.dict" "2 more examples are held out" "step 8/8" \
    "^What is fruit7?" "Held-out loss after step 0: " "Held-out loss after step 8: "; do
    grep -q "$words" stdout || fail "no '$words' in the output"
done
awk '/^Held-out loss/ { loss[++n] = $6 } END { exit !(n == 2 && loss[2] < 0.6 * loss[1]) }' stdout ||
    fail "the held-out loss did not fall: $(grep '^Held-out' stdout)"
tail -n 3 stdout | grep -q "garden" || fail "it did not learn its answer: $(tail -n 3 stdout)"

# The same run in two parts makes the same steps to the last bit.
# Not by the function, whose subshell would be the process that is interrupted.
"$fine_tune" --model "$SNUG_SMOLLM2" --dictionary fruit.dict --out parts --steps 8 --ask "What is fruit7?" >stdout &
process=$!
interrupted 3
[ -s parts/adapter/adapter_model.safetensors ] || fail "what was learnt is lost"
run --dictionary fruit.dict --out parts --resume --ask "What is fruit7?" >stdout
cut -d, -f1-6 whole/metrics.csv >expected
cut -d, -f1-6 parts/metrics.csv | cmp -s expected - || fail "the resumed run made other steps"
cmp -s whole/adapter/adapter_model.safetensors parts/adapter/adapter_model.safetensors ||
    fail "the resumed run ended in another adapter"

# Nothing that is refused destroys what is there.
cp -r whole kept
awk 'BEGIN { for (i = 1; i < 20; ++i) print "{\"prompt\": \"a\", \"completion\": \"b\"}" }' >few.jsonl
{ cat few.jsonl few.jsonl; echo '{"prompt": "a"}'; } >broken.jsonl
echo '{"prompt": "a", "completion": "b"' >torn.jsonl
printf 'headword\n\nand nothing that is indented\n' >none.dict
head -c 50000000 "$SNUG_SMOLLM2" >cut.gguf
refused "line 39 .*completion" --data broken.jsonl --out whole --overwrite
refused "torn.jsonl.*line 1 " --data torn.jsonl --out whole --overwrite
refused "19 examples, expected at least 20" --data few.jsonl --out whole --overwrite
refused "no such file" --data missing.jsonl --out whole --overwrite
refused "no entry" --dictionary none.dict --out whole --overwrite
refused "snapshot of an earlier run" --dictionary fruit.dict --out whole --steps 5
sed 's/raw/ripe/' fruit.dict >other.dict
refused "the data" --dictionary other.dict --out whole --resume
refused "8 steps" --dictionary fruit.dict --out whole --resume --steps 5
refused "at most 192" --dictionary fruit.dict --out whole --overwrite --ask "$(awk 'BEGIN { for (i = 0; i < 300; ++i) printf "word " }')"
SNUG_SMOLLM2=cut.gguf
refused "cut.gguf" --dictionary fruit.dict --out whole --overwrite
diff -r whole kept || fail "a refused run changed what was there"

echo "fine_tune.sh: all promises hold"
