# SPDX-License-Identifier: Apache-2.0
"""What the peers on a GPU share: steps that are timed, and the figures of a run as one line of JSON."""

import json
import statistics
import time

import torch

PEAK_TFLOPS = 989.4  # dense bf16 of an H100 SXM, as in snug's benchmarks
MIB = 1 << 20


def report(what, step, options, tokens_per_step, flop_per_token):
    """Runs `step`, which returns its loss when the device is done, and prints what was measured after `what` is said."""
    losses, seconds = [], []
    for _ in range(options.warmup + options.steps):
        start = time.perf_counter()
        losses.append(step())
        seconds.append(time.perf_counter() - start)
    timed = seconds[options.warmup:]
    median = statistics.median(timed)
    result = {
        **what,
        "device": "cpu" if options.cpu else torch.cuda.get_device_name(),
        "tokens_per_second": round(tokens_per_step / median, 1),
        "tokens_per_second_of_fastest_step": round(tokens_per_step / min(timed), 1),
        "step_ms": round(median * 1e3, 3),
        "mfu": round(flop_per_token * tokens_per_step / median / (PEAK_TFLOPS * 1e12), 4),
        "first_step_seconds": round(seconds[0], 1),
        "loss": [round(losses[0], 4), round(losses[-1], 4)],
    }
    if not options.cpu:
        free, total = torch.cuda.mem_get_info()
        result["max_allocated_mib"] = round(torch.cuda.max_memory_allocated() / MIB, 1)
        result["max_reserved_mib"] = round(torch.cuda.max_memory_reserved() / MIB, 1)
        result["device_used_mib"] = round((total - free) / MIB, 1)
    print(json.dumps(result))
