"""Small tokenizers of other libraries, trained here on a few lines, in the files that their families have; and texts
that are hard on tokenizers."""

from __future__ import annotations

import io
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import sentencepiece
import tokenizers
from tokenizers import decoders, models, normalizers, pre_tokenizers, trainers

LINES = [
    "The quick brown fox jumps over the lazy dog.", "It's 12,345.67 or 1/2 of them, isn't it?",
    "Playing, played and plays: the players play.", "Größe und Straße, schöne Grüße aus Köln am Rhein.",
    "Le garçon naïve mange une crêpe à l'été.", "日本語の文章と漢字、かな。", "한국어 문장 가나다",
    "שלום עולם مرحبا بالعالم", "Привет мир, как дела?", "def f(x):\n    return x + 1\n",
    "hello world hello there the the and and",
]  # fmt: skip
SPELT = [  # what looks like tokens that no text should say
    "[MASK] [CLS][SEP] [UNK]x[PAD]", "</s> <s><pad> <unk> <mask>", "<|endoftext|>a <|startoftext|>", "##ing ##",
    "<extra_id_0> <extra_id_99>x", "en_XX de_DE eng_Latn __en__ >>de<< hi", "<0x41> <0x0A>",
]  # fmt: skip
HOSTILE = [
    "", " ", "   ", "\t", "\n", "\r\n\r\n", "a", "\0", "a\0b", "\x01\x07\x1b[31m\x7f\x85", "\ud800", "a\udfffb",
    "\u200b\ufeff\u2060a\u00ad b", "👨\u200d👩\u200d👧\u200d👦 and 🇩🇪🏳️\u200d🌈", "e\u0301 cafe\u0301 \u0301\u0323a",
    "\u0344\u0f73 \u1e9b\u0323", "a\u0300\u0301\u0302\u0303\u0304" * 10, "שלום \u202eabc\u202c مرحبا",
    "日本語テキスト漢字 中文", "가각힣 \u1100\u1161\u11a8 \u1161", "x" * 500, "ab1" * 200, "word " * 50,
    "  two  spaces   three\t\ttabs\n\n\nlines\r\n", " leading and trailing ", "▁ ▁a a▁b ▁▁", "Ġ ĠaĊ",
    "ＦＵＬＬ　ｗｉｄｔｈ １２３", "ﬁne ﬀ ﬃ ĳ Ⅳ ½ ②", "İstanbul ıI ẞß ǅ Σας", "don't I'll we've 'tis",
    "the quick BROWN Fox",
    "1,234.5 $%^&*()_+-=[]{};':\",./<>?`~|\\", "ቋንቋ ᚠᚢ 𐍈 \U0001d15e 𠀀", "\ufffd\uffff\ufffe\U0010ffff \ue000",
    "\u2028\u2029\u0085 \u00a0\u3000\u2003x", "K\u212a \u2126 \uf900 \U0002f800", *SPELT, *LINES,
]  # fmt: skip


def write(folder: Path, **files: bytes | str | dict[str, Any]) -> Path:
    """A folder with files; "__" stands for the dot in a name."""
    folder.mkdir(parents=True)
    for name, content in files.items():
        raw = json.dumps(content) if isinstance(content, dict) else content
        (folder / name.replace("__", ".")).write_bytes(raw.encode() if isinstance(raw, str) else raw)
    return folder


def wordpiece(lowercase: bool = True) -> str:
    """The content of a vocab.txt."""
    made = tokenizers.Tokenizer(models.WordPiece(unk_token="[UNK]"))
    made.normalizer = normalizers.BertNormalizer(lowercase=lowercase)
    made.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    special = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
    made.train_from_iterator(
        LINES * 20, trainers.WordPieceTrainer(vocab_size=300, special_tokens=special, show_progress=False)
    )
    vocabulary = made.get_vocab()
    return "\n".join(sorted(vocabulary, key=lambda entry: vocabulary[entry])) + "\n"


def byte_level(special: Sequence[str], word_end: str = "") -> dict[str, Any]:
    """A vocab.json and a merges.txt."""
    made = tokenizers.Tokenizer(models.BPE())
    letters = pre_tokenizers.ByteLevel.alphabet()
    made.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    if word_end:
        words = pre_tokenizers.Split(tokenizers.Regex(r"\p{L}+|\p{N}|[^\s\p{L}\p{N}]+"), "removed", invert=True)
        made.normalizer = normalizers.Lowercase()
        made.pre_tokenizer = pre_tokenizers.Sequence([words, made.pre_tokenizer])
    options = {"end_of_word_suffix": word_end} if word_end else {}
    trainer = trainers.BpeTrainer(
        vocab_size=450, special_tokens=list(special), initial_alphabet=letters, show_progress=False, **options
    )
    made.train_from_iterator(LINES * 20, trainer)
    model = json.loads(made.to_str())["model"]
    vocabulary = model["vocab"]
    for letter in sorted(letters) if word_end else ():
        vocabulary.setdefault(letter + word_end, len(vocabulary))
    merges = "\n".join(f"{left} {right}" for left, right in model["merges"])
    return {"vocab__json": vocabulary, "merges__txt": f"#version: 0.2\n{merges}\n"}


def unigram_json() -> bytes:
    """A tokenizer.json of the kind of XLM-R's."""
    scratch = sentencepiece.SentencePieceProcessor(model_proto=sentencepieces(vocab_size=250))
    pieces = [(scratch.id_to_piece(n), scratch.get_score(n)) for n in range(3, scratch.get_piece_size())]
    special = ["<s>", "<pad>", "</s>", "<unk>"]
    made = tokenizers.Tokenizer(models.Unigram([*((name, 0.0) for name in special), *pieces], unk_id=3))
    made.pre_tokenizer = pre_tokenizers.Metaspace()
    made.decoder = decoders.Metaspace()
    made.add_special_tokens(special)
    return str(made.to_str()).encode()


def sentencepieces(lines: Sequence[str] = LINES, **options: Any) -> bytes:
    """A SentencePiece model."""
    out = io.BytesIO()
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=iter([*lines] * 20), model_writer=out, hard_vocab_limit=False, minloglevel=2, num_threads=1,
        **{"vocab_size": 200, "model_type": "unigram", **options},
    )  # fmt: skip
    return out.getvalue()
