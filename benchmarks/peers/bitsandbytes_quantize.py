#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""bitsandbytes on the CPU beside snug: quantizing and dequantizing, in turns on one machine.

    pip install torch bitsandbytes
    python3 benchmarks/peers/bitsandbytes_quantize.py build/release/benchmarks/benchmark.quantization.host.quantize

Prints billions of numbers a second of bitsandbytes, then the benchmark's own table of snug; both with OMP_NUM_THREADS
threads and 32 million numbers, so GB/s of that table divided by bytes per number compare. bitsandbytes' compiled CPU
kernels are in use where it has them.
"""

import os
import subprocess
import sys
import time

import bitsandbytes.functional as functional
import torch

COUNT = 32 << 20


def fastest(call, rounds=5):
    seconds = []
    for _ in range(rounds + 1):
        start = time.perf_counter()
        call()
        seconds.append(time.perf_counter() - start)
    return min(seconds[1:])


def main():
    torch.set_num_threads(int(os.environ.get("OMP_NUM_THREADS", os.cpu_count())))
    x = torch.randn(COUNT // 4096, 4096)
    print("| bitsandbytes, CPU | quantize, 10^9/s | dequantize to fp32 | dequantize to bf16 |")
    print("| --- | ---: | ---: | ---: |")
    for name, quantize, dequantize in (
        ("nf4, 64", lambda a: functional.quantize_4bit(a, quant_type="nf4"), functional.dequantize_4bit),
        (
            "nf4, 64, scales quantized",
            lambda a: functional.quantize_4bit(a, quant_type="nf4", compress_statistics=True),
            functional.dequantize_4bit,
        ),
        ("int8, 256", lambda a: functional.quantize_blockwise(a, blocksize=256), functional.dequantize_blockwise),
    ):
        quantizing = fastest(lambda: quantize(x), rounds=2)
        rates = []
        for dtype in (torch.float32, torch.bfloat16):
            codes, state = quantize(x.to(dtype))
            rates.append(COUNT / fastest(lambda: dequantize(codes, state)) * 1e-9)
        print(f"| {name} | {COUNT / quantizing * 1e-9:.3f} | {rates[0]:.3f} | {rates[1]:.3f} |", flush=True)
    for benchmark in sys.argv[1:]:
        subprocess.run([benchmark, "32"], check=True)


if __name__ == "__main__":
    main()
