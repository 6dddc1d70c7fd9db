#!/usr/bin/env python3
"""Small tokenizers of the kinds that official diffusion folders hold, trained here, and what the tokenizers
library makes of some strings with them: writes test/golden/tokenizer_*.json.

    pip install tokenizers==0.23.3 sentencepiece==0.2.3 protobuf
    python3 scripts/reference/tokenizer_goldens.py
"""
import collections
import json
import os
import tempfile
import unicodedata

import sentencepiece
from sentencepiece import sentencepiece_model_pb2
from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers, processors, trainers

GOLDEN = os.path.abspath(os.path.join(os.path.dirname(__file__), "..", "..", "test", "golden"))

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

CLIP_STRINGS = ["<|STARTOFTEXT|>", "<|ENDOFTEXT|>!!", "a <|startoftext|> b<|endoftext|>", "!!'s 's''t", "RUNNING\u00A0\u2028RAIN", "\u0130I\u03A3\u03A3 \u1E9E"]
T5_STRINGS = ["\uFF21\uFF43 cat", "e\u0301e\u0301\u0301 e\u0301\u0323\u0316", "\uFB01\u0301re", "a  b", "a\u2581b \u2581\u2581c", "\u00A0 a\u3000 b \u00A0",
              "a </s> b", "x<extra_id_3> y <pad>", "<extra_id_77>", "\u6F22\u5B57the\u6F22\u5B57 \u6F22", "a\x85b \x85", "soft\u00ADhyphen \u2026", "A" * 40,
              "\u1E9E\u200D", "r\r\nn\u200B\u200Bx"]

CLIP = r"<\|startoftext\|>|<\|endoftext\|>|'s|'t|'re|'ve|'m|'ll|'d|[\p{L}]+|[\p{N}]|[^\s\p{L}\p{N}]+"
GPT2 = r"'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+"
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


def clip():
    """CLIP's: lower case, </w> behind a word's last letter, a token before and one behind."""
    t = Tokenizer(models.BPE(unk_token="<|endoftext|>", continuing_subword_prefix="", end_of_word_suffix="</w>"))
    t.normalizer = normalizers.Sequence([
        normalizers.NFC(), normalizers.Replace(Regex(r"\s+"), " "), normalizers.Lowercase()])
    t.pre_tokenizer = pre_tokenizers.Sequence([
        pre_tokenizers.Split(Regex(CLIP), "removed", invert=True), pre_tokenizers.ByteLevel(add_prefix_space=False)])
    # The library's trainer breaks ties by chance where words end with a suffix: so by hand, the most frequent pair
    # first, of equal ones the first in the alphabet. Every letter ends a word somewhere, as in the official one.
    words = sorted(pre_tokenizers.ByteLevel.alphabet())
    words += [w + "</w>" for w in words]
    texts = [[*w[:-1], w[-1] + "</w>"] for line in CORPUS
             for w, _ in t.pre_tokenizer.pre_tokenize_str(t.normalizer.normalize_str(line))]
    kept = []
    while len(kept) < 150:
        counts = collections.Counter(pair for text in texts for pair in zip(text, text[1:]))
        left, right = min(counts, key=lambda pair: (-counts[pair], pair))
        kept.append([left, right])
        words += [left + right] if left + right not in words else []
        for text in texts:
            for i in range(len(text) - 2, -1, -1):
                if text[i:i + 2] == [left, right]:
                    text[i:i + 2] = [left + right]
    d = json.loads(t.to_str())
    words += ["<|startoftext|>", "<|endoftext|>"]
    d["model"]["vocab"], d["model"]["merges"] = {w: i for i, w in enumerate(words)}, kept
    t = Tokenizer.from_str(json.dumps(d))
    t.add_special_tokens([AddedToken("<|startoftext|>", normalized=True, special=True),
                          AddedToken("<|endoftext|>", normalized=False, special=True)])
    t.post_processor = processors.RobertaProcessing(
        ("<|endoftext|>", t.token_to_id("<|endoftext|>")), ("<|startoftext|>", t.token_to_id("<|startoftext|>")),
        trim_offsets=False, add_prefix_space=False)
    return t


# What characters become, as sentencepiece's trainer takes it: a table of few.
RULES = {**{chr(0xFF21 + i): chr(65 + i) for i in range(26)}, **{chr(0xFF41 + i): chr(97 + i) for i in range(26)},
         "\uFB01": "fi", "\u3000": " ", "\u00A0": " ", "\t": " ", "\n": " ", "\r": " ", "\u200B": " ", "\u00AD": "",
         "e\u0301": "\u00E9", "a\u0323": "\u1EA1", "\u2126": "\u03A9", "\u1E9E": "SS", "\u0132": "IJ", "\u2026": "..."}


def sentencepiece_model(path):
    with tempfile.TemporaryDirectory() as folder:
        os.chdir(folder)  # the model holds these names
        rules = "rules.tsv"
        with open(rules, "w", encoding="ascii") as out:
            for old, new in RULES.items():
                out.write(" ".join(f"{ord(c):X}" for c in old) + "\t" + " ".join(f"{ord(c):X}" for c in new) + "\n")
        sentencepiece.SentencePieceTrainer.train(
            sentence_iterator=iter(CORPUS), model_prefix="m", vocab_size=300, model_type="unigram",
            pad_id=0, eos_id=1, unk_id=2, bos_id=-1, normalization_rule_tsv=rules, hard_vocab_limit=False, minloglevel=2,
            user_defined_symbols=[], character_coverage=0.98, num_threads=1)
        with open("m.model", "rb") as file:
            data = file.read()
        os.chdir(GOLDEN)
    with open(path, "wb") as out:
        out.write(data)
    return data


def t5(path, as_transformers):
    """T5's, of a model that sentencepiece trained: as official tokenizer.json files have it, or as transformers makes it
    of spiece.model."""
    data = sentencepiece_model(path)
    processor = sentencepiece.SentencePieceProcessor(model_proto=data)
    vocab = [(processor.id_to_piece(i), processor.get_score(i)) for i in range(len(processor))]
    model = sentencepiece_model_pb2.ModelProto()
    model.ParseFromString(data)
    table = model.normalizer_spec.precompiled_charsmap
    special = ["<pad>", "</s>", "<unk>"] + [f"<extra_id_{i}>" for i in range(9, -1, -1)]
    vocab += [(name, 0.0) for name in special[3:]]
    t = Tokenizer(models.Unigram(vocab, 2, False))
    metaspace = pre_tokenizers.Metaspace(replacement="\u2581", prepend_scheme="always")
    if as_transformers:
        t.normalizer = normalizers.Precompiled(table)
        t.pre_tokenizer = pre_tokenizers.Sequence([pre_tokenizers.WhitespaceSplit(), metaspace])
    else:
        t.normalizer = normalizers.Sequence([normalizers.Precompiled(table), normalizers.Strip(left=False, right=True),
                                             normalizers.Replace(Regex(" {2,}"), "\u2581")])
        t.pre_tokenizer = metaspace
    t.add_special_tokens([AddedToken(name, normalized=False, special=True) for name in special])
    t.post_processor = processors.TemplateProcessing(single="$A </s>", pair="$A </s> $B </s>", special_tokens=[("</s>", 1)])
    return t


def write_ids(name, tokenizer, strings):
    lines = [json.dumps([s, tokenizer.encode(s).ids], separators=(",", ":")) for s in strings]
    with open(os.path.join(GOLDEN, f"tokenizer_{name}_ids.json"), "w", encoding="ascii") as out:
        out.write('{"ids":[\n' + ",\n".join(lines) + "\n]}\n")


def write(name, tokenizer, strings):
    tokenizer.save(os.path.join(GOLDEN, f"tokenizer_{name}.json"), pretty=False)
    write_ids(name, tokenizer, strings)


# A sentence in 20 scripts, for test/golden/tokenizer_strings.txt: 15 texts of each.
SENTENCES = [
    "A red cat sleeps on the old chair, isn't it nice?", "\u041A\u0440\u0430\u0441\u043D\u044B\u0439 \u043A\u043E\u0442 \u0441\u043F\u0438\u0442 \u043D\u0430 \u0441\u0442\u0443\u043B\u0435",
    "\u039C\u03B9\u03B1 \u03BA\u03CC\u03BA\u03BA\u03B9\u03BD\u03B7 \u03B3\u03AC\u03C4\u03B1 \u03BA\u03BF\u03B9\u03BC\u03AC\u03C4\u03B1\u03B9", "\u4E00\u53EA\u7EA2\u8272\u7684\u732B\u7761\u5728\u65E7\u6905\u5B50\u4E0A",
    "\u8D64\u3044\u732B\u304C\u30BD\u30D5\u30A1\u30FC\u3067\u5BDD\u3066\u3044\u308B", "\uBE68\uAC04 \uACE0\uC591\uC774\uAC00 \uC758\uC790\uC5D0\uC11C \uC790\uACE0 \uC788\uB2E4",
    "\u0642\u0637\u0629 \u062D\u0645\u0631\u0627\u0621 \u062A\u0646\u0627\u0645 \u0639\u0644\u0649 \u0627\u0644\u0643\u0631\u0633\u064A", "\u05D7\u05EA\u05D5\u05DC \u05D0\u05D3\u05D5\u05DD \u05D9\u05E9\u05DF \u05E2\u05DC \u05D4\u05DB\u05D9\u05E1\u05D0",
    "\u0932\u093E\u0932 \u092C\u093F\u0932\u094D\u0932\u0940 \u0915\u0941\u0930\u094D\u0938\u0940 \u092A\u0930 \u0938\u094B\u0924\u0940 \u0939\u0948", "\u0B9A\u0BBF\u0BB5\u0BAA\u0BCD\u0BAA\u0BC1 \u0BAA\u0BC2\u0BA9\u0BC8 \u0BA4\u0BC2\u0B99\u0BCD\u0B95\u0BC1\u0B95\u0BBF\u0BB1\u0BA4\u0BC1",
    "\u0E41\u0E21\u0E27\u0E2A\u0E35\u0E41\u0E14\u0E07\u0E19\u0E2D\u0E19\u0E1A\u0E19\u0E40\u0E01\u0E49\u0E32\u0E2D\u0E35\u0E49", "\u10EC\u10D8\u10D7\u10D4\u10DA\u10D8 \u10D9\u10D0\u10E2\u10D0 \u10E1\u10EB\u10D8\u10DC\u10D0\u10D5\u10E1",
    "\u053F\u0561\u0580\u0574\u056B\u0580 \u056F\u0561\u057F\u0578\u0582\u0576 \u0584\u0576\u0578\u0582\u0574 \u0567", "\u1240\u12ED \u12F5\u1218\u1275 \u1270\u129D\u1277\u120D", "\u1000\u103C\u1031\u102C\u1004\u103A\u1014\u102E \u1021\u102D\u1015\u103A\u101E\u100A\u103A",
    "\u1786\u17D2\u1798\u17B6\u1780\u17D2\u179A\u17A0\u1798\u178A\u17C1\u1780", "\u0F56\u0FB1\u0F72\u0F0B\u0F63\u0F0B\u0F51\u0F58\u0F62\u0F0B\u0F54\u0F7C", "M\u1ED9t con m\u00E8o \u0111\u1ECF ng\u1EE7 tr\u00EAn gh\u1EBF", "K\u0131rm\u0131z\u0131 kedi \u0130stanbul'da uyuyor",
    "\U0001D4D0 \U0001F431 \u2764\uFE0F \U0001F468\u200D\U0001F469\u200D\U0001F467 \U0001F1E9\U0001F1EA \U0001F44D\U0001F3FD \uFF32\uFF25\uFF24 \u2160\u00BD"]


def strings_of(n, s):
    other = SENTENCES[(n + 7) % len(SENTENCES)]
    decomposed, words = unicodedata.normalize("NFD", s), s.split(" ")
    yield from (s, s.upper(), s.lower(), decomposed, "  " + s + "   ", s.replace(" ", "  "), s.replace(" ", "\u00A0\t"), words[0],
                words[-1] + "!!! " + words[0] + "...", "".join(words), s + " 1234,5 " + other[:8], other[:5] + s[:5] + other[-3:],
                "".join(c + "\u0301" for c in s[:9]), "'s" + s[:4] + "'S " + s[-4:] + "'ll <|im_end|> </s>", "(" + s[:12] + ")-" + s[3:9] * 3)


with open(os.path.join(GOLDEN, "tokenizer_strings.txt"), "w", encoding="utf-8", newline="\n") as out:
    out.writelines(text[:60] + "\n" for n, s in enumerate(SENTENCES) for text in strings_of(n, s))

WORDS = ["it's IT'S we'LL I'\u017F x'\u017Fx 'Re'd'VEry", "a1b22 333 \u0663\u00BD\u2167x", " a  b   c", "x \n y", "x  \n\n  y\r\n z", "\n\n", " \n ", "x   ", "  !a !! ?b", "!\n\n?\r\n.\n x",
         "\tx\t\ty", "\u00A0x\u2003\u2003y\u0085z\u3000!", "caf\u00E9\u0301s e\u0301", "\u4E00\u53EA\u732B\uFF0C\u3002", "<|startoftext|>a <|endoftext|>!!<|endoftext|>", "!!<|startoftext|>",
         "<|startoftext|", "''s'' 's''t", "\u200D\u200B\uFEFFx", "\U0001F468\u200D\U0001F469 \U0001F44D\U0001F3FD1", "-- \u2014x _y_ $5", "'", "s", " '", "x'", "' s"]


def write_words():
    """Bytes of the pieces that regular expressions cut texts into; white space that none takes is left out."""
    patterns = {"qwen": (QWEN, False), "clip": (CLIP, True), "gpt2": (GPT2, False)}
    lines = []
    for name, (pattern, drops) in patterns.items():
        split = pre_tokenizers.Split(Regex(pattern), "removed" if drops else "isolated", invert=drops)
        cut = [[s, [len(piece.encode()) for piece, _ in split.pre_tokenize_str(s)]] for s in WORDS]
        lines.append(f'"{name}":[\n' + ",\n".join(json.dumps(c, separators=(",", ":")) for c in cut) + "]")
    with open(os.path.join(GOLDEN, "tokenizer_words.json"), "w", encoding="ascii") as out:
        out.write("{" + ",\n".join(lines) + "}\n")


SPIECE = os.path.join(GOLDEN, "tokenizer_spiece.model")
write_words()
write("qwen", qwen(), STRINGS)
write("clip", clip(), STRINGS + CLIP_STRINGS)
write("t5", t5(SPIECE, False), STRINGS + T5_STRINGS)
write_ids("spiece", t5(SPIECE, True), STRINGS + T5_STRINGS)
