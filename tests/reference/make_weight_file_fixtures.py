#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Makes the weight files of tests/reference/weights with the libraries that define the formats.

    make_weight_file_fixtures.py FOLDER

Needs torch, safetensors and gguf (from PyPI). What they were is in weights/VERSIONS.
"""

import json
import os
import sys

import gguf
import numpy as np
import safetensors
import torch
from gguf import GGMLQuantizationType, quants
from safetensors.torch import save_file

folder = sys.argv[1]
os.makedirs(folder, exist_ok=True)
generator = torch.Generator().manual_seed(20240520)
numbers = np.random.default_rng(20240520)


def every_type():
    """One tensor of each type, and as `NAME.values` what those with a float value are in fp32."""
    floats = {
        "f64": torch.float64,
        "f32": torch.float32,
        "f16": torch.float16,
        "bf16": torch.bfloat16,
        "f8_e4m3": torch.float8_e4m3fn,
        "f8_e5m2": torch.float8_e5m2,
    }
    integers = {
        "i8": torch.int8,
        "u8": torch.uint8,
        "i16": torch.int16,
        "u16": torch.uint16,
        "i32": torch.int32,
        "u32": torch.uint32,
        "i64": torch.int64,
        "u64": torch.uint64,
        "bool": torch.bool,
        "c64": torch.complex64,
    }
    tensors = {}
    for name, dtype in floats.items():
        # Every code of an 8-bit type; of a 16-bit type and wider, ordinary and subnormal numbers and infinities.
        if dtype.itemsize == 1:
            stored = torch.arange(256, dtype=torch.uint8).view(dtype).reshape(4, 64)
        else:
            ordinary = torch.randn(3 * 61, generator=generator, dtype=torch.float64)
            special = torch.tensor([0.0, -0.0, 1e-7, 3e-39, 1e-5, 65504, float("inf"), -float("inf"), float("nan")])
            stored = torch.cat([ordinary, special.double()]).to(dtype).reshape(3, 64)
        tensors[name] = stored
        tensors[name + ".values"] = stored.float().clone()
    for name, dtype in integers.items():
        tensors[name] = torch.arange(6).reshape(2, 3).to(dtype)
    tensors["no elements"] = torch.zeros(0, 3)
    tensors["scalar"] = torch.tensor(1.5)
    tensors['quote " backslash \\ tab \t e-acute \u00e9'] = torch.ones(1)
    save_file(tensors, f"{folder}/every_type.safetensors", metadata={"format": "pt"})
    save_file({}, f"{folder}/empty.safetensors")


def shards():
    parts = {
        "model-00001-of-00002.safetensors": {"a.weight": torch.ones(2, 3), "b.weight": torch.zeros(4)},
        "model-00002-of-00002.safetensors": {"c.weight": torch.full((2,), 2.0)},
    }
    weight_map = {}
    size = 0
    os.makedirs(f"{folder}/shards", exist_ok=True)
    for file, tensors in parts.items():
        save_file(tensors, f"{folder}/shards/{file}", metadata={"format": "pt"})
        for name, tensor in tensors.items():
            weight_map[name] = file
            size += tensor.nbytes
    with open(f"{folder}/shards/model.safetensors.index.json", "w") as out:
        json.dump({"metadata": {"total_size": size}, "weight_map": weight_map}, out, indent=2, sort_keys=True)
        out.write("\n")


def scale(shape):
    """Bytes of fp16 numbers as a quantizer would write them."""
    return numbers.normal(0, 0.02, shape).astype(np.float16).view(np.uint8)


def blocks():
    """Each block type, and as `NAME.values` what gguf's own dequantization makes of it."""
    writer = gguf.GGUFWriter(f"{folder}/blocks.gguf", "llama")
    writer.add_uint8("test.u8", 200)
    writer.add_int8("test.i8", -100)
    writer.add_uint16("test.u16", 60000)
    writer.add_int16("test.i16", -30000)
    writer.add_uint32("test.u32", 4000000000)
    writer.add_int32("test.i32", -2000000000)
    writer.add_uint64("test.u64", 2**62)
    writer.add_int64("test.i64", -(2**62))
    writer.add_float32("test.f32", 0.5)
    writer.add_float64("test.f64", 0.1)
    writer.add_bool("test.flag", True)
    writer.add_string("test.text", "e-acute \u00e9")
    writer.add_array("test.texts", ["", "one", "\u00e9"])
    writer.add_array("test.numbers", [1, -2, 3])
    writer.add_array("test.reals", [0.5, -1.5])
    writer.add_array("test.flags", [True, False])

    def add(name, kind, data, shape):
        writer.add_tensor(name, data, raw_dtype=kind)
        writer.add_tensor(name + ".values", quants.dequantize(data, kind).reshape(shape).astype(np.float32))

    shape = (3, 512)
    values = numbers.normal(0, 0.05, shape).astype(np.float32)
    for kind in ("F32", "F16", "BF16", "Q4_0", "Q4_1", "Q5_0", "Q5_1", "Q8_0"):
        kind = GGMLQuantizationType[kind]
        if kind in (GGMLQuantizationType.F32, GGMLQuantizationType.F16):
            data = values.astype(np.float32 if kind == GGMLQuantizationType.F32 else np.float16)
            writer.add_tensor(kind.name.lower(), data)
            writer.add_tensor(kind.name.lower() + ".values", data.astype(np.float32))
        else:
            add(kind.name.lower(), kind, quants.quantize(values, kind), shape)

    # gguf has no quantizer for these: every bit of codes and scales at random, fp16 factors as above.
    rows, per_row = shape[0], shape[1] // 256
    for kind, size, factors in (("Q4_K", 144, [0, 2]), ("Q5_K", 176, [0, 2]), ("Q6_K", 210, [208])):
        data = numbers.integers(0, 256, (rows, per_row, size), dtype=np.uint8)
        for at in factors:
            data[:, :, at : at + 2] = scale((rows, per_row, 1))
        add(kind.lower(), GGMLQuantizationType[kind], data.reshape(rows, per_row * size), shape)

    # Can be listed, but not decoded.
    writer.add_tensor("q2_k", numbers.integers(0, 256, (1, 84), dtype=np.uint8), raw_dtype=GGMLQuantizationType.Q2_K)
    writer.add_tensor("i32", np.arange(6, dtype=np.int32).reshape(1, 2, 3))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


every_type()
shards()
blocks()
with open(f"{folder}/VERSIONS", "w") as out:
    from importlib.metadata import version

    for package in ("gguf", "numpy", "safetensors", "torch"):
        out.write(f"{package} {version(package)}\n")
