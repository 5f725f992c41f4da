"""SentencePiece, given what we wrote of a tokenizer, cuts text as the tokenizer does."""

from __future__ import annotations

import functools
import random
import sys
import unicodedata
from pathlib import Path
from typing import Any

import pytest

from heedful.convert.ctranslate2 import vocabularies
from heedful.convert.sentencepiece_model import model_of
from heedful.errors import UserError
from heedful.text.pipeline import Kind
from heedful.text.tokenizer import Tokenizer, train_tokenizer

library = pytest.importorskip("sentencepiece", reason="SentencePiece is what reads these models; it is an extra")

PAGES = sorted((Path(__file__).resolve().parents[2] / "docs").rglob("*.md"))
FOREIGN = [
    "Zwölf Boxkämpfer jagen Viktor quer über den großen Sylter Deich.", "Voix ambiguë d'un cœur qui préfère.",
    "Quốc kỳ Việt Nam là một lá cờ đỏ sao vàng.", "Съешь ещё этих мягких французских булок.", "다람쥐 헌 쳇바퀴에",
    "いろはにほへとちりぬるを", "Ξεσκεπάζω τὴν ψυχοφθόρα βδελυγμία.", "דג סקרן שט בים", "नहीं नज़र किसी की",
    "İstanbul'da ÇOK ŞIK", "naïve café 🙂👩‍👩‍👧 ½ ﬁ ² … “quoted” — 1,234.56 €",
]  # fmt: skip
HARD = [
    "", " ", "  leading", "trailing  ", "a_b ▁ c▁d", "<0x41> <0x", "\x10 \x10! \x10_", "</s> <s> <unk> <pad>",
    "tab\tline\nend", "\u00a0no break", "\ufeffmark", "Å Ω ﬀ 豈",
]  # fmt: skip
VARIED: list[tuple[Kind, dict[str, Any]]] = [
    ("bpe", {}), ("unigram", {}), ("characters", {}), ("bpe", {"lowercase": True}), ("unigram", {"cut": "spaces"}),
    ("bpe", {"cut": "digits", "tags": ("<2de>",), "placeholders": 2}),
]  # fmt: skip


@functools.cache
def text() -> list[str]:
    """Lines of the documentation that have no runs of spaces, and of other languages."""
    lines = [line for page in PAGES for line in page.read_text("utf-8").split("\n") if line and "  " not in line]
    return lines[::2] + FOREIGN * 3


@functools.cache
def pair(kind: Kind, **options: Any) -> tuple[Tokenizer, Any]:
    tokenizer = train_tokenizer(text(), kind, 1500, **options)
    content = model_of(tokenizer, vocabularies({"source": tokenizer})["source"])
    return tokenizer, library.SentencePieceProcessor(model_proto=content)


@pytest.mark.parametrize(("kind", "options"), VARIED)
def test_it_cuts_as_we_do(kind: Kind, options: dict[str, Any]) -> None:
    tokenizer, processor = pair(kind, **options)
    ours, theirs = tokenizer.encode_many(text()), processor.encode(text())
    different = sum(mine != its for mine, its in zip(ours, theirs, strict=True))
    assert len(text()) > 500
    assert different <= 2  # the rule under a table, which is longer than our words; two brackets before a third
    for line in FOREIGN + HARD:
        decomposed = unicodedata.normalize("NFD", line)
        assert processor.encode(line) == tokenizer.encode(line), line
        assert processor.encode(decomposed) == tokenizer.encode(decomposed), f"decomposed: {line}"


@pytest.mark.parametrize(("kind", "options"), VARIED)
def test_it_puts_together_as_we_do(kind: Kind, options: dict[str, Any]) -> None:
    tokenizer, processor = pair(kind, **options)
    for line in (*text()[::10], *FOREIGN, *HARD):
        ids = tokenizer.encode(line)
        assert processor.decode(ids) == tokenizer.decode(ids) == tokenizer.normalise(line)
        assert processor.decode_pieces(tokenizer.pieces(ids)) == tokenizer.decode(ids)
    marks = [token for token in range(tokenizer.vocab_size) if not tokenizer.is_text(token)]
    assert processor.decode(marks) == "", "what is no text is left out"


@pytest.mark.parametrize("kind", ["bpe", "unigram", "characters"])
def test_any_text_in_nfc_without_runs_of_spaces(kind: Kind) -> None:
    tokenizer, processor = pair(kind)
    drawn, places = random.Random(4), [*range(0x21, 0x600), *range(0x900, 0xA00), *range(0x1E00, 0x2600), 0x1F600, 0x10]
    places += [*range(0x3040, 0x3100), *range(0x4E00, 0x4E80), *range(0xAC00, 0xAC80), 0x2581, 0x2581]
    for _ in range(2000):
        words = ["".join(map(chr, drawn.choices(places, k=drawn.randint(1, 8)))) for _ in range(drawn.randint(1, 4))]
        line = unicodedata.normalize("NFC", " ".join(words))
        assert processor.encode(line) == tokenizer.encode(line), ascii(line)


def test_ids_are_ours() -> None:
    tokenizer, processor = pair("bpe", tags=("<2de>",))
    assert [processor.id_to_piece(token) for token in range(processor.get_piece_size())] == tokenizer.pieces(
        range(tokenizer.vocab_size)
    )
    roles = (processor.pad_id(), processor.bos_id(), processor.eos_id(), processor.unk_id())
    assert roles == (tokenizer.pad, tokenizer.start, tokenizer.end, tokenizer.unknown)


@pytest.mark.parametrize(
    ("kind", "options", "what"), [("bytes", {}, "of kind 'bytes'"), ("bpe", {"prose": True}, "for prose")]
)
def test_what_it_cannot_say_is_named(kind: Kind, options: dict[str, Any], what: str) -> None:
    with pytest.raises(UserError, match=what):
        pair(kind, **options)


def test_without_sentencepiece(monkeypatch: pytest.MonkeyPatch) -> None:
    tokenizer = train_tokenizer(text(), "bpe", 400)
    monkeypatch.setitem(sys.modules, "sentencepiece", None)
    with pytest.raises(UserError, match=r"pip install 'heedful\[exchange\]'"):
        model_of(tokenizer, tokenizer.pieces(range(tokenizer.vocab_size)))
