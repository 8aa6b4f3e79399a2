#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""SmolLM2-135M-Instruct fine-tuned by PEFT, for tests/host/adapters/smollm2_training.cpp.

    pip install torch transformers peft bitsandbytes gguf
    python3 tests/reference/smollm2_adapters.py make FILE.gguf [FOLDER]
    python3 tests/reference/smollm2_adapters.py check FILE.gguf FOLDER

`make` writes smollm2_adapters.fixture. The model is what transformers decodes from SmolLM2-135M-Instruct.Q4_1.gguf; LoRA of
rank 8 and alpha 16 is on all its linear layers. 20 steps, each on one of 5 batches of 2 sequences of 64 tokens in turn; in
batch 2 the first 24 tokens of the second sequence are not counted. AdamW at a learning rate of 1e-3, everything else as in
"The run" of README.md. Four cases: `lora` and `dora` over the weights as they are, `nf4` and `double`, LoRA over what
bitsandbytes makes of them in blocks of 64, without and with quantized scales. Tensors, in the format of README.md:

    tokens                              i32 [5, 2, 65]   inputs and, one later, targets
    <case>.checksum                     i32 [4, 2]       of the decoded weights: see checksum()
    <case>.loss, .gradient_norm         f32 [20]         the norm is that before clipping
    <case>.final                        f64 [4, 2]       2-norms of A and B after 20 steps; dora: [4, 3], and of magnitudes
    <case>.logits                       f32 [64]         then, of the first 64 tokens: every 768th logit after the last

Rows of `checksum` and `final` are qkv, projection, gate_up and down, all blocks together. A starts as initial_a() says, and B
at 0; neither is stored. Everything runs in fp32.

With a FOLDER, `make` leaves there what PEFT saves after the runs, <case>/peft/, and <case>/peft.fixture: its logits after
each token of three sentences (those of smollm2.fixture), f32 [3, 20, 49152]. The test then compares its own:

    SNUG_SMOLLM2=FILE.gguf SNUG_SMOLLM2_ADAPTERS=FOLDER build/release/tests/host.adapters.smollm2_training

and writes <case>/snug/ and <case>/snug.fixture, which `check` opens in PEFT. If there is an adapter of the example fine_tune
in job/snug/ (a copy of its out/adapter), the test adds its logits, and `check` compares those too.
"""

import argparse
import copy
import pathlib
import shutil
import warnings

import numpy
import torch
import transformers

import make_fixtures as plain
import make_adapter_fixtures as runs  # hides a backend of bitsandbytes that is then not loaded

import bitsandbytes.functional as functional
import peft

HERE = pathlib.Path(__file__).parent
FIXTURE = HERE / "smollm2_adapters.fixture"
RANK, ALPHA, LEARNING_RATE, STEPS = 8, 16, 1e-3, 20
BATCHES, SEQUENCES, LENGTH = 5, 2, 64
NOT_COUNTED = (2, 1, 24)  # batch, sequence, tokens at its start
LOGITS_STRIDE = 768
CASES = ("lora", "nf4", "double", "dora")

TEXT = """\
A program that trains a language model needs memory for four things. The weights are read in every layer, forward and backward.
The gradients are as many as the weights. The optimizer keeps two running means of each, of the gradient and of its square. What
is left are the activations: what a layer has seen on the way forward and needs again on the way back. Only the last depend on how
long the text is.

When a bridge is built, somebody adds up the loads before the first stone is laid. Nobody drives a truck on it to find out. A
training run is mostly started the other way round: it begins, and after some minutes or hours there is not enough memory, and
what was learnt until then is lost with it.

def footprint(weights, states, activations):
    sizes = [weights, weights, states * weights, activations]
    return sum(sizes)

print(footprint(135, 2, 103))  # 643

In the village the baker is up first. At three he lights the oven, at four the dough has risen, and at half past five, when the
first bus leaves, forty loaves of rye and sixty of wheat lie on the shelves. His daughter, who studies in the city and comes home
on Saturdays, says that he should sleep longer and bake less. He says that bread is not baked by people who sleep.

Q: What is the capital of Mongolia, and how cold is it there in January?
A: Ulaanbaatar. The mean in January is about -21 degrees, and nights of -35 are nothing unusual: it is the coldest capital.

The tide was out. Between the harbour wall and the first sandbank lay a kilometre of grey mud, and on it, small as commas, the
people who dig for worms. An old man explained to two children why the water goes away twice a day. The moon pulls at the sea, he
said, and the sea on the side of the moon rises; but on the far side it rises too, and that is the part that nobody believes. He drew
it in the sand with a stick, the earth, the moon, and the water as an egg around the earth. The younger child asked who pulls at the
other end of the egg.

1. Wash 500 g of lentils and cook them in 1.5 l of water for 40 minutes.
2. Fry 2 onions, 3 cloves of garlic and a spoon of cumin in oil until they are brown.
3. Add both to each other, with salt, the juice of a lemon and a handful of parsley. It is better on the second day.

Minutes of the meeting of 14 March 1997. Present: the treasurer, the secretary, seven members and a dog. The treasurer reported
that the society owned 212.40 marks and owed 190. The roof of the observatory leaks over the large telescope; until it is mended a
bucket is to stand there, which whoever observes has to empty. The dog was thanked for its patience.
"""


# --- what both sides compute for themselves -----------------------------------------------------------------


def fnv1a(text):
    value = 0xCBF29CE484222325
    for byte in text.encode("ascii"):
        value = (value ^ byte) * 0x100000001B3 % 2**64
    return value


def initial_a(name, shape):
    """Even numbers between -1/32 and 1/32 by SplitMix64, from the name that snug has for the tensor."""
    count = int(numpy.prod(shape))
    with numpy.errstate(over="ignore"):
        z = numpy.uint64(fnv1a(name)) + numpy.arange(1, count + 1, dtype=numpy.uint64) * numpy.uint64(0x9E3779B97F4A7C15)
        z = (z ^ (z >> numpy.uint64(30))) * numpy.uint64(0xBF58476D1CE4E5B9)
        z = (z ^ (z >> numpy.uint64(27))) * numpy.uint64(0x94D049BB133111EB)
        z = z ^ (z >> numpy.uint64(31))
    values = ((z >> numpy.uint64(40)).astype(numpy.int64) - 2**23) * 2.0**-28
    return torch.from_numpy(values.astype(numpy.float32)).view(shape)


def checksum(matrices):
    """Sum of (2 i + 1) times the bits of the i-th fp32 number, modulo 2^64: low and high half."""
    total, at = 0, 0
    for matrix in matrices:
        bits = matrix.contiguous().numpy().view(numpy.uint32).ravel().astype(numpy.uint64)
        factors = 2 * numpy.arange(at, at + bits.size, dtype=numpy.uint64) + numpy.uint64(1)
        total = (total + int((bits * factors).sum(dtype=numpy.uint64))) % 2**64
        at += bits.size
    halves = torch.tensor([total & 0xFFFFFFFF, total >> 32])
    return torch.where(halves >= 2**31, halves - 2**32, halves).int()


# --- the model ----------------------------------------------------------------------------------------------


def layers_of(model):
    """For each of snug's layers: name, block, and the modules that are its rows."""
    for layer, parts in runs.LLAMA_LINEAR.items():
        for i in range(model.config.num_hidden_layers):
            yield layer, i, [model.get_submodule(f"model.layers.{i}.{part}") for part in parts]


def nf4(matrix, double_quantized):
    """Quantized and dequantized. The offset of quantized scales is their mean, exact and rounded once: see
    make_adapter_fixtures.py."""
    codes, state = functional.quantize_4bit(
        matrix.contiguous(), blocksize=64, quant_type="nf4", compress_statistics=False)
    if double_quantized:
        offset = state.absmax.double().mean().float()
        scales, nested = functional.quantize_blockwise(state.absmax - offset, blocksize=256)
        state.absmax = functional.dequantize_blockwise(scales, nested) + offset
    return functional.dequantize_4bit(codes, state)


def decoded(file):
    return transformers.AutoModelForCausalLM.from_pretrained(
        file.parent, gguf_file=file.name, dtype=torch.float32, attn_implementation="sdpa").eval()


def base_of(model, case):
    """snug keeps q, k and v, and gate and up, as one matrix each, and so they are quantized here. What bitsandbytes makes of
    the modules one by one differs only by the groups of quantized scales."""
    model = copy.deepcopy(model)
    apart, squares = 0.0, 0.0
    if case in ("nf4", "double"):
        for _, _, modules in layers_of(model):
            together = nf4(torch.cat([module.weight.data for module in modules]), case == "double")
            for module, rows in zip(modules, together.split([module.out_features for module in modules])):
                if case == "double":
                    alone = nf4(module.weight.data, True)
                    apart += (alone - rows).double().square().sum().item()
                    squares += rows.double().square().sum().item()
                module.weight.data = rows.clone()
    if case == "double":
        print(f"{case}: modules quantized one by one differ by {(apart / squares) ** 0.5:.1e} of the weights' norm")
    return model


# --- fine-tuning --------------------------------------------------------------------------------------------


def tokens_of(file):
    tokenizer = transformers.AutoTokenizer.from_pretrained(file.parent, gguf_file=file.name)
    ids = tokenizer(TEXT, add_special_tokens=False)["input_ids"]
    count = BATCHES * SEQUENCES * (LENGTH + 1)
    assert len(ids) >= count, (len(ids), count)
    return torch.tensor(ids[:count], dtype=torch.int32).view(BATCHES, SEQUENCES, LENGTH + 1)


def fine_tune(decoded_model, case, tokens):
    base = base_of(decoded_model, case)
    checksums = torch.stack([checksum([module.weight.data for name, _, modules in layers_of(base) if name == layer
                                       for module in modules]) for layer in runs.LLAMA_LINEAR])
    model = peft.get_peft_model(base, peft.LoraConfig(
        r=RANK, lora_alpha=ALPHA, lora_dropout=0.0, target_modules="all-linear", task_type="CAUSAL_LM",
        use_dora=case == "dora"))
    for layer, i, modules in layers_of(base):
        stacked = initial_a(f"blocks.{i}.{layer}.lora_A", (len(modules) * RANK, modules[0].in_features))
        for module, rows in zip(modules, stacked.split(RANK)):
            module.lora_A["default"].weight.data = rows.clone()
            assert not module.lora_B["default"].weight.any()
    trained = [value for value in model.parameters() if value.requires_grad]
    vectors = [value for value in trained if value.ndim < 2]
    assert bool(vectors) == (case == "dora")
    groups = [{"params": [value for value in trained if value.ndim == 2]}, {"params": vectors, "weight_decay": 0.0}]
    optimizer = torch.optim.AdamW(groups, lr=LEARNING_RATE, betas=plain.BETAS, eps=plain.ADAM_EPSILON,
                                  weight_decay=plain.WEIGHT_DECAY, foreach=False, fused=False)
    losses, norms = [], []
    for step in range(STEPS):
        batch = tokens[step % BATCHES].long()
        targets = batch[:, 1:].clone()
        if step % BATCHES == NOT_COUNTED[0]:
            targets[NOT_COUNTED[1], : NOT_COUNTED[2]] = plain.IGNORED
        loss = plain.mean_loss(model(input_ids=batch[:, :-1], use_cache=False).logits, targets)
        optimizer.zero_grad()
        loss.backward()
        norms.append(torch.nn.utils.clip_grad_norm_(trained, plain.MAX_NORM))
        optimizer.step()
        losses.append(loss.detach())
        print(f"{case}, step {step}: loss {loss.item():.6f}, gradient norm {norms[-1].item():.4f}", flush=True)
    parts = ("lora_A", "lora_B") + (("lora_magnitude_vector",) if vectors else ())
    norm_of = lambda layer, part: sum(
        getattr(module, part)["default"].weight.detach().double().square().sum()
        for name, _, modules in layers_of(base) if name == layer for module in modules).sqrt()
    with torch.inference_mode():
        logits = model(input_ids=tokens[0, :1, :-1].long(), use_cache=False).logits[0, -1, ::LOGITS_STRIDE]
    return model, {
        "checksum": checksums,
        "loss": torch.stack(losses),
        "gradient_norm": torch.stack(norms),
        "final": torch.stack([torch.stack([norm_of(layer, part) for part in parts])
                              for layer in runs.LLAMA_LINEAR]),
        "logits": logits.clone(),
    }


# --- files --------------------------------------------------------------------------------------------------


def read_fixture(path):
    """Tensors of fp32 and int32."""
    data = path.read_bytes()
    end = data.index(b"\n\n")
    result, at = {}, end + 2
    for line in data[:end].decode("ascii").splitlines():
        name, dtype, count, *dims = line.split()
        kind = {"f32": numpy.float32, "f64": numpy.float64, "i32": numpy.int32}[dtype]
        values = numpy.frombuffer(data, kind, int(count), at)
        result[name] = torch.from_numpy(values.copy()).view(*map(int, dims))
        at += values.nbytes
    return result


def logits_of(model):
    with torch.inference_mode():
        return model(input_ids=read_fixture(HERE / "smollm2.fixture")["tokens"].long(), use_cache=False).logits


def make(file, folder):
    tensors, model = {"tokens": tokens_of(file)}, decoded(file)
    for case in CASES:
        adapted, found = fine_tune(model, case, tensors["tokens"])
        tensors |= {f"{case}.{name}": value for name, value in found.items()}
        if folder:
            shutil.rmtree(folder / case, ignore_errors=True)
            adapted.save_pretrained(folder / case / "peft")
            plain.write(folder / case / "peft.fixture", {"logits": logits_of(adapted.eval())})
        plain.write(FIXTURE, tensors)
    print(f"{FIXTURE.name}: {FIXTURE.stat().st_size} bytes")


def check(file, folder):
    worst, model = 0.0, decoded(file)
    for case in (*CASES, "job"):
        if not (folder / case / "snug.fixture").exists():
            print(f"{case}: nothing to compare")
            continue
        base = base_of(model, "double" if case == "job" else case)
        without = logits_of(base)
        found = logits_of(peft.PeftModel.from_pretrained(base, folder / case / "snug").eval())
        for name, expected in read_fixture(folder / case / "snug.fixture").items():
            largest = expected.abs().amax(-1, keepdim=True)
            apart = ((found - expected).abs() / largest).max().item()
            moved = ((found - without).abs() / largest).max().item()
            print(f"{case}: {name} of snug and of PEFT {apart:.1e} of the largest apart; the adapter moves them by {moved:.2f}")
            if name == "logits":
                worst = max(worst, apart)
    if worst > 1e-4:
        raise SystemExit(f"logits differ by {worst:.1e} of their largest")


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("command", choices=("make", "check"))
    parser.add_argument("model", type=pathlib.Path)
    parser.add_argument("folder", type=pathlib.Path, nargs="?")
    options = parser.parse_args()
    warnings.simplefilter("ignore")
    transformers.logging.set_verbosity_error()
    torch.use_deterministic_algorithms(True)
    if options.command == "make":
        make(options.model, options.folder)
    elif options.folder is None:
        parser.error("check needs a folder")
    else:
        check(options.model, options.folder)


if __name__ == "__main__":
    main()
