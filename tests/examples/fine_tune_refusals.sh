#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# fine_tune_refusals.sh FINE_TUNE: what is refused without a model being needed.
set -eu

fine_tune=$1
. "$(dirname "$0")/promises.sh"
run() { "$fine_tune" "$@"; }
absent=out  # nothing that is refused makes a folder

printf 'This is a text and no model.\n' >text
: >empty
# The beginning of a GGUF file, version 3, that promises 2^60 tensors.
printf 'GGUF\003\000\000\000\000\000\000\000\000\000\000\020\000\000\000\000\000\000\000\000' >large.gguf
printf 'GGUF\003\000\000\000\000' >short.gguf
mkdir folder
printf '{"prompt": "a", "completion": "b"}\n' >data.jsonl

refused "missing.gguf.*no such file" --model missing.gguf --data data.jsonl
refused "text.*GGUF" --model text --data data.jsonl
refused "empty" --model empty --data data.jsonl
refused "short.gguf" --model short.gguf --data data.jsonl
refused "large.gguf.*tensors" --model large.gguf --data data.jsonl
refused "tokenizer.json.*no such file" --model folder --data data.jsonl

refused "model" --data data.jsonl
refused "data" --model text
refused "data" --model text --data data.jsonl --dictionary text
refused "name" --model text --data data.jsonl --out ""
refused "words" --model text --data data.jsonl --ask ""
for options in "--steps 0" "--minutes 0" "--minutes nan" "--learning-rate 0" "--seed -1" "--steps 5 --minutes 5" \
    "--resume --overwrite" "--nonsense"; do
    # shellcheck disable=SC2086 # an option and its value are two words
    refused "fine_tune: .*--help" --model text --data data.jsonl $options
done

echo "fine_tune_refusals.sh: all promises hold"
