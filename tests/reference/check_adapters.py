#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Adapters exchanged with PEFT, on the tiny models of make_fixtures.py. Run by hand; no test needs it.

    pip install torch transformers peft safetensors bitsandbytes
    python3 tests/reference/check_adapters.py make [CASE...]
    python3 tests/reference/check_adapters.py check FOLDER

`make` writes what PEFT saves: the folders adapters/<case>, and adapters.fixture with the logits of every case, f64
[2, 16, 97], of the first batch of the base model's fixture. tests/host/adapters/files.cpp loads them. With names of cases
only those are made again.

`check` opens what snug has saved, and compares logits in fp64:

    SNUG_ADAPTERS_TO=FOLDER build/release/tests/host.adapters.files

writes there for every case `adapter/` (as save_adapter does), `model/` (as save_model does) and `expected.fixture` (its
own logits). The adapter is opened by PEFT over the base of the fixture, the model by transformers alone.
"""

import argparse
import pathlib
import shutil
import warnings

import peft
import torch
import transformers

import make_adapter_fixtures as runs
import make_fixtures as plain

HERE = pathlib.Path(__file__).parent

CASES = {
    "lora_all": (runs.Llama(), {"target_modules": "all-linear"}),
    "lora_q_v": (runs.Llama(), {"target_modules": ["q_proj", "v_proj"]}),
    "lora_gpt2": (runs.GPT2(), {"target_modules": "all-linear"}),
    "rslora_norms": (runs.Llama(), {
        "target_modules": ["o_proj", "up_proj"], "use_rslora": True,
        "modules_to_save": ["input_layernorm", "post_attention_layernorm", "model.norm"]}),
    "dora_all": (runs.Llama(), {"target_modules": "all-linear", "use_dora": True}),
    "dora_gpt2": (runs.GPT2(), {"target_modules": ["c_attn", "c_proj"], "use_dora": True}),
    # One table for embedding and head. GPT-2's are tied in PEFT only when both are named.
    "lora_tied": (runs.Llama(tied=True), {
        "target_modules": ["q_proj"], "modules_to_save": ["embed_tokens"], "ensure_weight_tying": True}),
    "lora_tied_gpt2": (runs.GPT2(), {
        "target_modules": ["c_attn"], "modules_to_save": ["wte", "wpe", "lm_head"], "ensure_weight_tying": True}),
    # A Conv1D, stored [in, out], and square.
    "lora_gpt2_projection": (runs.GPT2(), {"target_modules": ["c_attn"], "modules_to_save": ["attn.c_proj"]}),
    # Some blocks only.
    "lora_last_block": (runs.Llama(), {
        "target_modules": ["q_proj", "v_proj", "down_proj"], "layers_to_transform": [plain.LAYERS - 1]}),
    "dora_first_block_gpt2": (runs.GPT2(), {
        "target_modules": ["c_attn"], "use_dora": True, "layers_to_transform": [0],
        "modules_to_save": ["ln_1", "ln_2", "ln_f"]}),
}


def base_of(family):
    model = family.empty()
    model.load_state_dict(runs.state_of(family, family.draw(plain.Source(family.seed))))
    return model


def first_inputs(family):
    source = plain.Source(family.seed)
    family.draw(source)
    return plain.token_batches(source)[0][0]


def logits_of(model, family):
    """In fp64."""
    model = model.double().eval()
    runs.use_fp64(model)
    with torch.inference_mode():
        return model(input_ids=first_inputs(family), use_cache=False).logits


def make(only):
    tensors = read_fixture(HERE / "adapters.fixture") if only else {}
    for number, (name, (family, config)) in enumerate(CASES.items()):
        if only and name not in only:
            continue
        model = peft.get_peft_model(base_of(family), peft.LoraConfig(
            r=4, lora_alpha=8, lora_dropout=0.0, fan_in_fan_out=family.transposed, task_type="CAUSAL_LM", **config))
        generator = torch.Generator().manual_seed(200 + number)
        for key, value in model.named_parameters():
            if not value.requires_grad:
                continue
            noise = torch.randn(value.shape, generator=generator)
            # Magnitudes and norms near what they are; A and B of a size at which the update is no small one.
            value.data = value.data * (1 + 0.2 * noise) if value.ndim == 1 else 0.2 * noise
        folder = HERE / "adapters" / name
        shutil.rmtree(folder, ignore_errors=True)
        model.save_pretrained(folder)
        (folder / "README.md").unlink(missing_ok=True)
        without = logits_of(base_of(family), family)
        tensors[name] = logits_of(peft.PeftModel.from_pretrained(base_of(family), folder), family)
        print(f"{name}: {sum(f.stat().st_size for f in folder.iterdir())} bytes, logits moved by "
              f"{plain.largest_difference(tensors[name], without):.2f} of their largest")
    plain.write(HERE / "adapters.fixture", tensors)


def read_fixture(path):
    """The f64 tensors of a fixture."""
    data = path.read_bytes()
    header, result, at = data[: data.index(b"\n\n")].decode("ascii"), {}, data.index(b"\n\n") + 2
    for line in header.splitlines():
        name, dtype, count, *dims = line.split()
        assert dtype == "f64"
        size = 8 * int(count)
        result[name] = torch.frombuffer(bytearray(data[at: at + size]), dtype=torch.float64).view(*map(int, dims))
        at += size
    return result


def check(folder):
    worst = 0.0
    for name, (family, _) in CASES.items():
        expected = read_fixture(folder / name / "expected.fixture")["logits"]
        adapted = peft.PeftModel.from_pretrained(base_of(family), folder / name / "adapter")
        merged = transformers.AutoModelForCausalLM.from_pretrained(
            folder / name / "model", dtype=torch.float64, attn_implementation="sdpa")
        apart = [plain.largest_difference(logits_of(model, family), expected) for model in (adapted, merged)]
        print(f"{name}: PEFT over the base {apart[0]:.1e}, transformers on the merged model {apart[1]:.1e}")
        worst = max(worst, *apart)
    # Adapters and models are stored in fp32 at least once on the way.
    if worst > 1e-6:
        raise SystemExit(f"logits differ by {worst:.1e} of their largest")


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    commands = parser.add_subparsers(dest="command", required=True)
    commands.add_parser("make").add_argument("case", nargs="*", choices=[[], *CASES])
    commands.add_parser("check").add_argument("folder", type=pathlib.Path)
    options = parser.parse_args()
    warnings.simplefilter("ignore")
    transformers.logging.set_verbosity_error()
    torch.set_num_threads(1)
    if options.command == "make":
        make(options.case)
    else:
        check(options.folder)


if __name__ == "__main__":
    main()
