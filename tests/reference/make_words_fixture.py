#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Makes tokenizers/words.json: how Hugging Face's tokenizers cuts texts of many scripts with expressions that Oniguruma reads
in another way than PCRE2 does, and what its normalizers make of them. Needs tokenizers 0.23.

    texts       strings; no character is younger than Unicode 14
    patterns    [expression, hash]: FNV-1a (64 bits, a step takes a byte) of the pieces of every text, each with a byte 1 behind
                it, each text with a byte 2; as two halves xored
    forms       {form: hash} likewise, each normalized text with a byte 2 behind it
"""

import json
import pathlib
import random
import unicodedata

import tokenizers
from tokenizers import Regex, normalizers, pre_tokenizers

SCRIPTS = {
    "Latin": (0x41, 0x24F), "Greek": (0x370, 0x3FF), "Cyrillic": (0x400, 0x52F), "Armenian": (0x531, 0x58A),
    "Hebrew": (0x591, 0x5F4), "Arabic": (0x610, 0x6FF), "Syriac": (0x700, 0x74F), "Thaana": (0x780, 0x7B1),
    "Devanagari": (0x900, 0x97F), "Bengali": (0x980, 0x9FE), "Gurmukhi": (0xA01, 0xA76), "Gujarati": (0xA81, 0xAFF),
    "Oriya": (0xB01, 0xB77), "Tamil": (0xB82, 0xBFA), "Telugu": (0xC00, 0xC7F), "Kannada": (0xC80, 0xCF2),
    "Malayalam": (0xD00, 0xD7F), "Sinhala": (0xD81, 0xDF4), "Thai": (0xE01, 0xE5B), "Lao": (0xE81, 0xEDF),
    "Tibetan": (0xF00, 0xFDA), "Myanmar": (0x1000, 0x109F), "Georgian": (0x10A0, 0x10FF), "Hangul": (0xAC00, 0xD7A3),
    "Jamo": (0x1100, 0x11FF), "Ethiopic": (0x1200, 0x139F), "Cherokee": (0x13A0, 0x13FD), "Khmer": (0x1780, 0x17F9),
    "Mongolian": (0x1800, 0x18AA), "Hiragana": (0x3041, 0x309F), "Katakana": (0x30A0, 0x30FF), "Bopomofo": (0x3105, 0x312F),
    "Han": (0x4E00, 0x9FA5), "Gothic": (0x10330, 0x1034A), "Deseret": (0x10400, 0x1044F), "Adlam": (0x1E900, 0x1E959),
}
OTHERS = [
    "\u0301", "\u0345", "\u20dd", "\u200d", "\u200c", "\u203f", "\u00b2", "\u00bd", "\u2167", "\u24b6", "\u00aa", "\u180e",
    "\u0085", "\u00a0", "\u2028", "\u3000", "\x0b", "\x0c", "\x1c", "\r\n", "\n", "\t", " ", "  ", "1", "1234567", "\u0967",
    "\u0661\u0662", "'s", "'LL", "'\u017f", "ss", "\u00df", "\ufb01", "\u212a", "\u0130", "\u0131", "_", "-", ".", "!", "$",
    "\U0001f600", "\U0001f1f0\U0001f1f7", "\u3001", "\u30fc", "\uff21", "\u01c5",
]

PATTERNS = [
    # Of families.
    r"'(?:[sdmt]|ll|ve|re)| ?\p{L}++| ?\p{N}++| ?[^\s\p{L}\p{N}]++|\s++$|\s+(?!\S)|\s",
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+",
    r"[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]*[\p{Ll}\p{Lm}\p{Lo}\p{M}]+(?i:'s|'t|'re|'ve|'m|'ll|'d)?|"
    r"[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]+[\p{Ll}\p{Lm}\p{Lo}\p{M}]*(?i:'s|'t|'re|'ve|'m|'ll|'d)?|\p{N}{1,3}|"
    r" ?[^\s\p{L}\p{N}]+[\r\n/]*|\s*[\r\n]+|\s+(?!\S)|\s+",
    r"[!\"#$%&'()*+,\-./:;<=>?@\[\\\]^_`{|}~][A-Za-z]+|[^\r\n\p{L}\p{P}\p{S}]?[\p{L}\p{M}]+| ?[\p{P}\p{S}]+[\r\n]*|"
    r"\s*[\r\n]+|\s+(?!\S)|\s+",
    r"[\p{Han}]+|[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}&&[^\p{Han}]]*[\p{Ll}\p{Lm}\p{Lo}\p{M}&&[^\p{Han}]]+|\p{N}{1,3}|\s+",
    r"[一-龥぀-ゟ゠-ヿ]+", r"\p{N}{1,3}+", r"\w+|[^\w\s]+|\s+",
    # Shorthands, inside and outside of classes, and what a word's boundary is.
    r"\w", r"\W+", r"[\w]+", r"[\W]+", r"[^\w]+", r"[^\W]+", r"\b", r"\B", r"\b\w", r"\s+", r"\S+", r"[\S]", r"[^\S]",
    r"\d+", r"\D+", r"[\d]", r"[\D\d]", r"\h+", r"\H+", r"[\h_]+", r"\v", r"[\v\t]", r"\R", r"\N+", r"\O", r"[\b]", r"\e|\a|\f",
    # Posix brackets and properties.
    r"[[:alpha:]]+", r"[[:^alpha:]]", r"[[:alnum:]]+", r"[[:upper:]]", r"[[:lower:]]+", r"[[:word:]]+", r"[[:space:]]", r"[[:blank:]]",
    r"[[:digit:]]+", r"[[:xdigit:]]+", r"[[:cntrl:]]", r"[[:ascii:]]+", r"\p{Alpha}+", r"\p{Alnum}+", r"\p{Word}+", r"\p{^Word}",
    r"\P{^L}", r"\p{Letter}+", r"\p{lu}", r"\p{Han}+", r"\p{Katakana}+", r"\p{hiragana}", r"\p{Common}+", r"\p{Inherited}",
    r"\p{Arabic}+", r"\p{Thai}+", r"\p{Devanagari}+", r"\p{Latin}+", r"\p{Greek}+", r"[\p{M}\p{Nd}]+", r"\p{Pc}", r"\p{White_Space}",
    # Classes of classes.
    r"[a-z[0-9]]+", r"[\p{L}&&[^a-z]]+", r"[^\p{L}&&\w]+", r"[[^\p{L}]&&[^\s]]", r"[a-z&&[^aeiou]&&[^s]]+", r"[]a]", r"[^]a]+", r"[-a]", r"[a\-]", r"[a-]",
    # Modes.
    r"(?m:.)+", r"(?m).", r".+", r"s(?i)s|L", r"(?i:k)", r"(?i:[a-z]+)", r"(?i:'s)", r"(?i-i:s)", r"(?-m:.)",
    # Anchors.
    r"^", r"$", r"^.", r".$", r"\A.", r".\z", r".\Z",
    # Quantifiers.
    r"\w{2}+", r"\w{1,2}+", r"\w{,2}", r"\w{2,}", r"\w{1,3}?", r"\w*+", r"\w?+", r"\w??", r"\w+?", r"(?:\w\s?){2}+", r"a{", r"1{,}",
    # Groups.
    r"(\w)(\s)", r"(?<first>\w)\s", r"(?>\w+|\w)\s", r"(?<=\w)\s", r"(?<!\w)\s", r"\w(?=\s)", r"\w(?!\s)", r"\x{e9}|\x41|\u00df", r"\é",
]


def mixed(value):
    return (value >> 32) ^ (value & 0xFFFFFFFF)


def fnv(parts):
    value = 0xCBF29CE484222325
    for part in parts:
        for byte in part:
            value = (value ^ byte) * 0x100000001B3 % 2**64
    return mixed(value)


def main():
    rng = random.Random(13)
    texts = []
    for low, high in SCRIPTS.values():
        known = [chr(i) for i in range(low, high + 1) if unicodedata.category(chr(i)) not in ("Cn", "Cs", "Co")]
        for _ in range(5):
            texts.append("".join(rng.choice(known) if rng.random() < 0.75 else rng.choice(OTHERS) for _ in range(rng.randint(4, 30))))
    for _ in range(60):
        texts.append("".join(rng.choice(OTHERS + ["a", "b", "s", "K", "\u00e9", "e\u0301"]) for _ in range(rng.randint(1, 16))))
    # Marks out of their order, and what composes in several steps.
    for _ in range(40):
        marks = [chr(rng.choice([0x301, 0x302, 0x303, 0x307, 0x323, 0x327, 0x328, 0x345, 0x5B0, 0x3099, 0x64B])) for _ in range(rng.randint(0, 6))]
        texts.append(rng.choice("aeouCsqKＡ㌔ﷺ<ṩ각ᄀ") + "".join(marks) + rng.choice(["", "a", "\u1161\u11a8"]))
    patterns = []
    for pattern in PATTERNS:
        cut = pre_tokenizers.Split(Regex(pattern), "isolated")
        patterns.append([pattern, fnv(part for text in texts for part in
                                      [piece.encode() + b"\1" for piece, _ in cut.pre_tokenize_str(text)] + [b"\2"])])
    forms = {name: fnv(getattr(normalizers, name)().normalize_str(text).encode() + b"\2" for text in texts)
             for name in ("NFC", "NFD", "NFKC", "NFKD")}
    document = {"texts": texts, "patterns": patterns, "forms": forms}
    path = pathlib.Path(__file__).parent / "tokenizers" / "words.json"
    path.write_text(json.dumps(document, ensure_ascii=True, indent=0) + "\n", encoding="utf-8")
    print(f"tokenizers {tokenizers.__version__}: {len(texts)} texts, {len(patterns)} patterns")


main()
