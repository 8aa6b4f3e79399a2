#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Makes smollm2.fixture: what transformers computes from SmolLM2-135M-Instruct.Q4_1.gguf, for
tests/host/adapters/smollm2.cpp.

    pip install torch transformers gguf && python3 tests/reference/make_smollm2_fixtures.py FILE.gguf

transformers decodes the file to fp32 and computes in fp32. Tensors, in the format of README.md:

    tokens             i32 [3, 20]            three short sequences
    logits             f32 [3, 20, 512]       every 96th of the 49152 logits after each token
    largest, norm      f64 [3, 20]            largest magnitude and 2-norm of all of them
    text.tokens        i32 [2]                number of sequences and of tokens in each
    text.checksum      i32 [2]                FNV-1a of the token ids as 32-bit little-endian: low and high half
    text.loss          f64 [1]                mean over all their tokens, in nats

The text is the Jargon File of Debian's package dict-jargon, not repeated here: its first 20481 tokens without special
ones are 80 sequences of 256, each followed by its next token. Give another copy of jargon.dict.dz with --text.
"""

import argparse
import gzip
import pathlib

import tokenizers
import torch
import transformers

import make_fixtures as plain

SENTENCES = (
    "The first error anyone meets when training a language model is that the memory of the device is not enough for it.",
    "def fibonacci(n):\n    a, b = 0, 1\n    for _ in range(n):\n        a, b = b, a + b\n    return a\n",
    "Water boils at 100 degrees at sea level, at 93 in Addis Ababa, and at about 71 on the top of Mount Everest.",
)
LENGTH, STRIDE = 20, 96
SEQUENCES, TOKENS = 80, 256


def fnv1a(data):
    value = 0xCBF29CE484222325
    for byte in data:
        value = (value ^ byte) * 0x100000001B3 % 2**64
    return value


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("model", type=pathlib.Path)
    parser.add_argument("--text", type=pathlib.Path, default="/usr/share/dictd/jargon.dict.dz")
    parser.add_argument("--output", type=pathlib.Path, default=pathlib.Path(__file__).parent / "smollm2.fixture")
    options = parser.parse_args()
    transformers.logging.set_verbosity_error()
    where = {"pretrained_model_name_or_path": options.model.parent, "gguf_file": options.model.name}
    tokenizer = transformers.AutoTokenizer.from_pretrained(**where)
    # The file says `pre` = smollm: digits stand alone. transformers does not read that key and cuts spaces before a digit
    # as GPT-2 does.
    cutters = tokenizers.pre_tokenizers
    tokenizer.backend_tokenizer.pre_tokenizer = cutters.Sequence(
        [cutters.Digits(individual_digits=True), cutters.ByteLevel(add_prefix_space=False)])
    model = transformers.AutoModelForCausalLM.from_pretrained(**where, dtype=torch.float32).eval()
    print(f"PyTorch {torch.__version__}, transformers {transformers.__version__}, {model.config.rope_parameters}, "
          f"epsilon {model.config.rms_norm_eps}, tied {model.config.tie_word_embeddings}")

    def encode(text):
        return tokenizer(text, add_special_tokens=False)["input_ids"]

    tensors = {}
    with torch.inference_mode():
        short = torch.tensor([encode(sentence)[:LENGTH] for sentence in SENTENCES])
        logits = model(short).logits
        tensors["tokens"] = short.int()
        tensors["logits"] = logits[..., ::STRIDE].contiguous()
        tensors["largest"] = logits.double().abs().amax(-1)
        tensors["norm"] = logits.double().norm(dim=-1)

        text = gzip.decompress(options.text.read_bytes()).decode("utf-8")
        ids = encode(text[: 8 * SEQUENCES * TOKENS])[: SEQUENCES * TOKENS + 1]
        ids = torch.tensor(ids, dtype=torch.int32)
        inputs = ids[:-1].view(SEQUENCES, TOKENS).long()
        targets = ids[1:].view(SEQUENCES, TOKENS).long()
        total = 0.0
        for x, y in zip(inputs.split(4), targets.split(4)):
            total += torch.nn.functional.cross_entropy(
                model(x).logits.flatten(0, 1), y.flatten(), reduction="none").double().sum().item()
    checksum = fnv1a(ids.numpy().tobytes())
    tensors["text.tokens"] = torch.tensor([SEQUENCES, TOKENS], dtype=torch.int32)
    halves = torch.tensor([checksum & 0xFFFFFFFF, checksum >> 32])
    tensors["text.checksum"] = torch.where(halves >= 2**31, halves - 2**32, halves).int()
    tensors["text.loss"] = torch.tensor([total / (SEQUENCES * TOKENS)], dtype=torch.float64)
    plain.write(options.output, tensors)
    loss = tensors["text.loss"].item()
    print(f"{options.output.name}: {options.output.stat().st_size} bytes, loss {loss:.6f}, perplexity "
          f"{torch.tensor(loss).exp().item():.4f}, checksum {checksum:016x}")


if __name__ == "__main__":
    main()
