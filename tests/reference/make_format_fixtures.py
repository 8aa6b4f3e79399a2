#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Makes number_formats.txt: what ml_dtypes and numpy make of every code and of every kind of float.

    pip install ml_dtypes numpy && python3 tests/reference/make_format_fixtures.py

tests/host/precision/formats.cpp builds the same inputs by the same rules and compares. Lines of the file:

    format NAME                  what follows is about it
    code CODE FLOAT              a code and the fp32 bits of its number (formats of at most 8 bits)
    pair FLOAT CODE              a float's bits and the code it rounds to
    decoded FIRST HASH           the fp32 bits of the 256 codes from FIRST on
    rounded FIRST HASH           the codes of: each finite number of these 256 codes, the midpoint to the next number
                                 away from zero, the float below that midpoint and the float above it
    random FIRST HASH            the codes of 1024 random floats from number FIRST on

All numbers are hexadecimal. Sequences would be megabytes, so they are stored as FNV-1a hashes of little-endian words
(4 bytes a float, 2 a code). A NaN counts as one with its sign: 7fc00000, or the highest code. The midpoint beyond the
largest number lies half the last step above it. A format without NaN gets 0 in place of NaN inputs.
"""

import pathlib

import ml_dtypes
import numpy as np

# name: type, exponent bits, mantissa bits, bias, has NaN
FORMATS = {
    "fp16": (np.float16, 5, 10, 15, True),
    "bf16": (ml_dtypes.bfloat16, 8, 7, 127, True),
    "fp8_e4m3": (ml_dtypes.float8_e4m3fn, 4, 3, 7, True),
    "fp8_e5m2": (ml_dtypes.float8_e5m2, 5, 2, 15, True),
    "fp4_e2m1": (ml_dtypes.float4_e2m1fn, 2, 1, 1, False),
}
CODES, RANDOM, RANDOM_COUNT = 256, 1024, 65536


def bits_of(values):
    return np.asarray(values, np.float32).view(np.uint32)


def floats_of(bits):
    return np.asarray(bits, np.uint32).view(np.float32)


def one_nan(bits):
    """Float bits with every NaN replaced by the one with its sign."""
    return np.where((bits & 0x7FFFFFFF) > 0x7F800000, (bits & 0x80000000) | 0x7FC00000, bits)


def fnv1a(words, size):
    """One hash for each row of `words`, over `size` little-endian bytes a word."""
    result = np.full(len(words), 0xCBF29CE484222325, np.uint64)
    for word in np.asarray(words, np.uint64).T:
        for byte in range(size):
            result = (result ^ (word >> np.uint64(8 * byte) & np.uint64(0xFF))) * np.uint64(0x100000001B3)
    return result


def mix(x):
    x = (x ^ (x >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    x = (x ^ (x >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return x ^ (x >> np.uint64(31))


def random_floats(exponent_bits, mantissa_bits, bias):
    """Any bits at even places; at odd places an exponent in the format's range or just outside it."""
    draw = mix(np.arange(1, RANDOM_COUNT + 1, dtype=np.uint64))
    word = (draw >> np.uint64(32)).astype(np.uint32)
    low = max(0, 127 - bias - mantissa_bits - 3)
    span = min(2**exponent_bits + mantissa_bits + 6, 255 - low)
    exponent = (low + (draw & np.uint64(0xFFFF)) % np.uint64(span)).astype(np.uint32)
    near = (word & np.uint32(0x807FFFFF)) | (exponent << np.uint32(23))
    return np.where(np.arange(RANDOM_COUNT) % 2 == 1, near, word)


class Format:
    def __init__(self, name):
        self.dtype, exponent_bits, mantissa_bits, bias, self.has_nan = FORMATS[name]
        self.bits = 1 + exponent_bits + mantissa_bits
        self.sign = 1 << (self.bits - 1)
        self.storage = np.uint16 if self.bits == 16 else np.uint8
        self.codes = np.arange(1 << self.bits, dtype=self.storage)
        self.numbers = self.codes.view(self.dtype).astype(np.float32)
        self.random = random_floats(exponent_bits, mantissa_bits, bias)

    def round(self, bits):
        bits = np.asarray(bits, np.uint32)
        nan = (bits & 0x7FFFFFFF) > 0x7F800000
        if not self.has_nan:
            bits, nan = np.where(nan, np.uint32(0), bits), np.zeros_like(nan)
        with np.errstate(over="ignore", invalid="ignore"):
            codes = floats_of(bits).astype(self.dtype).view(self.storage).astype(np.uint32)
        is_nan = np.isnan(codes.astype(self.storage).view(self.dtype).astype(np.float32))
        assert not (nan & ~is_nan).any()
        return np.where(is_nan, (codes & self.sign) | (self.sign - 1), codes)

    def around(self, first):
        """The inputs of one `rounded` line."""
        inputs = []
        for code in range(first, min(first + CODES, len(self.codes))):
            value = self.numbers[code]
            if not np.isfinite(value):
                continue
            after = self.numbers[code + 1] if (code + 1) % self.sign else np.float32(np.inf)
            step = after - value if np.isfinite(after) else value - self.numbers[code - 1]
            middle = int(bits_of(value + step / 2))
            inputs += [int(bits_of(value)), middle, middle - 1, middle + 1]
        return inputs

    def border_cases(self):
        finite = self.numbers[: self.sign][np.isfinite(self.numbers[: self.sign])]
        interesting = [0x00000000, 0x00000001, 0x007FFFFF, 0x00800000, 0x3F800000, 0x3EAAAAAB, 0x7F7FFFFF, 0x7F800000]
        if self.has_nan:
            interesting += [0x7F800001, 0x7FC00000, 0x7FFFFFFF]
        for value in (finite[1] / 2, finite[1], finite[1] * 1.5, finite[-1], min(1.5 * float(finite[-1]), 3e38), *finite[1:4]):
            bits = int(bits_of(np.float32(value)))
            interesting += [bits - 1, bits, bits + 1]
        border = int(bits_of(finite[-1] + (finite[-1] - finite[-2]) / 2))
        interesting += [border - 1, border, border + 1]
        both = interesting + [bits | 0x80000000 for bits in interesting]
        return np.unique(np.concatenate([np.array(both, np.uint32), self.random[1:256:2]]))


def main():
    lines = [f"# ml_dtypes {ml_dtypes.__version__}, numpy {np.__version__}; see make_format_fixtures.py"]
    for name in FORMATS:
        form = Format(name)
        lines.append(f"format {name}")
        decoded = one_nan(bits_of(form.numbers))
        if form.bits <= 8:
            lines += [f"code {code:x} {bits:x}" for code, bits in enumerate(decoded)]
        cases = form.border_cases()
        cases = cases if form.has_nan else cases[(cases & 0x7FFFFFFF) <= 0x7F800000]
        lines += [f"pair {bits:x} {code:x}" for bits, code in zip(cases, form.round(cases))]
        for first in range(0, len(form.codes), CODES):
            lines.append(f"decoded {first:x} {fnv1a([decoded[first:first + CODES]], 4)[0]:x}")
            lines.append(f"rounded {first:x} {fnv1a([form.round(form.around(first))], 2)[0]:x}")
        for row, hashed in enumerate(fnv1a(form.round(form.random).reshape(-1, RANDOM), 2)):
            lines.append(f"random {row * RANDOM:x} {hashed:x}")
    pathlib.Path(__file__).with_name("number_formats.txt").write_text("\n".join(lines) + "\n")


if __name__ == "__main__":
    main()
