#!/usr/bin/env python3
"""Small tokenizers of the kinds that official diffusion folders hold, trained here, and what the tokenizers
library makes of some strings with them: writes test/golden/tokenizer_*.json.

    pip install tokenizers==0.23.3
    python3 scripts/reference/tokenizer_goldens.py
"""
import json
import os

from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers, processors, trainers

GOLDEN = os.path.join(os.path.dirname(__file__), "..", "..", "test", "golden")

CORPUS = """a red cat and the brown dog are running through the rain in the morning light
a photo of the old house near the river, it's the best that they've seen, we're there
she'll draw another red circle, then the other one, and then he'd paint over it again
an oil painting of a ship in a storm, highly detailed, 4k, by the sea at night
Die Straße führt über den Fluss, das Mädchen hört schöne Lieder; café, naïve, façade
красный кот и старый дом у реки, a портрет девушки
一只红色的猫在雨中奔跑，古老的房子，河边的小船 赤い猫と古い家
the the the cat cat cat rain rain running running painting painting    of    of\n\n\n\n\n""".split("\n")

STRINGS = [
    "", " ", "   ", "a", "a red cat", "A photo of the cat's house, they're running!", "it's IT'S we'Ll I'\u017F x",
    "1234567 12.5 \u00BD\u2167\u0663", "  two  blanks   and\ttabs \n", "line\r\n\r\nline\n\n  next\n ", " \n ", "\u00A0\u2003x\u3000y",
    "caf\u00E9 cafe\u0301 na\u00EFve", "a\u0323\u0301 a\u0301\u0323 \u1E69 s\u0323\u0307", "\uD55C\uAE00 \u1112\u1161\u11AB\u1100\u1173\u11AF \uAC00\u11A7",
    "\u212B\u2126\u0344\u0958\uFA10", "\u30AB\u3099\u304B\u3099", "\U0001F468\u200D\U0001F469\u200D\U0001F467 \U0001F1E9\U0001F1EA \u2764\uFE0F \U0001F44D\U0001F3FD",
    "\u0645\u0631\u062D\u0628\u0627 \u05E9\u05DC\u05D5\u05DD \u0928\u092E\u0938\u094D\u0924\u0947 \u0E2A\u0E27\u0E31\u0E2A\u0E14\u0E35",
    "\u4E00\u53EA\u7EA2\u8272\u7684\u732B\uFF0C\u53E4\u8001\u7684\u623F\u5B50", "\u043A\u0440\u0430\u0441\u043D\u044B\u0439 \u043A\u043E\u0442", "\u0130stanbul \u1E9E \uFB01 \u01C5",
    "...!!! --- ((x)) <|x|>", "!\n\n?\r\n.", "a<|im_end|>b <|im_start|>", "<|im_end|", "<|im_end|><|im_end|>", "<think>x</think>", "\x01\x7F\x85\u200B\uFEFF",
    "the" * 40, "a" * 300, "\u0301" * 20 + "\u0323" * 20, "\U0010FFFF\uFFFD\uE000",
]

QWEN = (r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|"
        r"\s+(?!\S)|\s+")


def qwen():
    """Qwen2's and Qwen3's: bytes, NFC, no unknown token."""
    t = Tokenizer(models.BPE())
    t.normalizer = normalizers.NFC()
    t.pre_tokenizer = pre_tokenizers.Sequence([
        pre_tokenizers.Split(Regex(QWEN), "isolated"),
        pre_tokenizers.ByteLevel(add_prefix_space=False, trim_offsets=False, use_regex=False)])
    t.post_processor = processors.ByteLevel(add_prefix_space=False, trim_offsets=False, use_regex=False)
    t.decoder = decoders.ByteLevel()
    t.train_from_iterator(CORPUS, trainers.BpeTrainer(
        vocab_size=400, initial_alphabet=pre_tokenizers.ByteLevel.alphabet(), show_progress=False))
    special = ["<|endoftext|>", "<|im_start|>", "<|im_end|>", "<|im"]
    t.add_special_tokens([AddedToken(s, normalized=False, special=True) for s in special])
    t.add_tokens([AddedToken("<think>", normalized=False), AddedToken("</think>", normalized=False)])
    return t


def write(name, tokenizer, strings):
    tokenizer.save(os.path.join(GOLDEN, f"tokenizer_{name}.json"), pretty=False)
    lines = [json.dumps([s, tokenizer.encode(s).ids], separators=(",", ":")) for s in strings]
    with open(os.path.join(GOLDEN, f"tokenizer_{name}_ids.json"), "w", encoding="ascii") as out:
        out.write('{"ids":[\n' + ",\n".join(lines) + "\n]}\n")


write("qwen", qwen(), STRINGS)
