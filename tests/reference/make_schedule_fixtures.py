#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Makes schedules.fixture: the learning rates that PyTorch's and transformers' schedulers give.

Element s - 1 of a tensor is the rate after s calls of scheduler.step(): snug's step s. What they are called with stands
in tests/host/optimizers/schedules.cpp again.
"""

import pathlib

import torch
import transformers
from make_fixtures import write
from transformers import optimization

PEAK, STEPS, WARM_UP, TOTAL, DECAY = 3e-3, 60, 7, 50, 20


def rates(make, steps=STEPS):
    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=PEAK)
    scheduler = make(optimizer)
    result = []
    for _ in range(steps):
        optimizer.step()
        scheduler.step()
        result.append(scheduler.get_last_lr()[0])
    return torch.tensor(result, dtype=torch.float64)


def stable_decay(shape, floor):
    return lambda o: optimization.get_wsd_schedule(o, 0, DECAY, TOTAL, decay_type=shape, min_lr_ratio=floor)


def cyclic(up, down, mode):
    return lambda o: torch.optim.lr_scheduler.CyclicLR(
        o, base_lr=1e-4, max_lr=PEAK, step_size_up=up, step_size_down=down, mode=mode, cycle_momentum=False)


def main():
    tensors = {
        "linear": rates(lambda o: optimization.get_linear_schedule_with_warmup(o, WARM_UP, TOTAL)),
        "cosine": rates(lambda o: optimization.get_cosine_schedule_with_warmup(o, WARM_UP, TOTAL)),
        "inverse_square_root": rates(lambda o: optimization.get_inverse_sqrt_schedule(o, WARM_UP)),
        "wsd": rates(lambda o: optimization.get_wsd_schedule(o, WARM_UP, DECAY, TOTAL, decay_type="linear")),
        "wsd.linear": rates(stable_decay("linear", 0.1)),
        "wsd.cosine": rates(stable_decay("cosine", 0.1)),
        "wsd.one_minus_square_root": rates(stable_decay("1-sqrt", 0.1)),
        "cyclic": rates(cyclic(8, 5, "triangular")),
        "cyclic.shrinking": rates(cyclic(9, 9, "triangular2")),
    }
    path = pathlib.Path(__file__).parent / "schedules.fixture"
    write(path, tensors)
    print(f"PyTorch {torch.__version__}, transformers {transformers.__version__}: {path.stat().st_size} bytes")


if __name__ == "__main__":
    main()
