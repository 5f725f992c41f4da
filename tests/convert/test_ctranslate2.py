"""CTranslate2 says what heedful says, token for token, for models of every kind that it can be given."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import msgspec
import pytest

from heedful.convert import ctranslate2 as layout
from heedful.decode.engine import decode
from heedful.decode.options import Hypothesis, Options
from heedful.errors import UserError
from heedful.model.model import Model
from heedful.model.plan import FinalNorm, Norm, Plan, Step
from heedful.model.pruning import without_heads
from heedful.text.tokenizer import Tokenizer, train_tokenizer

from .random_models import model_of, plan, rows, save, tokenizer_of

library = pytest.importorskip("ctranslate2", reason="CTranslate2 is what reads these files; it is an extra")

LONGEST = 20
ENCODER_DECODERS: dict[str, dict[str, Any]] = {
    "of 2017, all tied": {"tie": "all"},
    "pre-norm, root mean square, gated": {
        "place": "pre", "norm": "rms", "gated": True, "activation": "silu", "bias": False, "scaled": False
    },
    "learned positions from 2, erf": {"positions": "learned", "offset": 2, "activation": "gelu", "eps": 1e-3},
    "sinusoids in halves, output bias": {"sinusoid": "halves", "activation": "gelu_tanh", "output_bias": True},
    "rotary, quick": {"positions": "rotary", "activation": "gelu_quick"},
    "buckets": {"positions": "buckets", "gated": True, "activation": "tanh"},
    "no positions": {"positions": "none", "embedding_norm": True},
    "nothing tied, uneven depths": {"tie": "none", "decoder_layers": 1, "place": "pre"},
    "two key heads, narrow": {"key_heads": 2, "head_width": 4},
    "one key head, wide": {"key_heads": 1, "head_width": 10, "positions": "buckets"},
}  # fmt: skip
DECODERS: dict[str, dict[str, Any]] = {
    "GPT-2": {},
    "post-norm": {"place": "post", "positions": "sinusoidal"},
    "rotary, gated": {
        "positions": "rotary", "norm": "rms", "gated": True, "activation": "silu", "bias": False, "tie": False
    },
    "ALiBi of 3 heads": {"positions": "alibi", "heads": 3, "head_width": 8},
    "ALiBi, two key heads": {"positions": "alibi", "key_heads": 2, "head_width": 10},
    "one key head": {"key_heads": 1, "positions": "rotary"},
}  # fmt: skip


@pytest.fixture(scope="module")
def tokenizer() -> Tokenizer:
    return tokenizer_of()


def translator(folder: Path) -> Any:
    return library.Translator(str(folder), device="cpu", inter_threads=1, intra_threads=1)


def translated(folder: Path, sources: list[list[str]], beam: int = 1) -> list[tuple[list[str], float]]:
    found = translator(folder).translate_batch(
        sources, beam_size=beam, length_penalty=0, min_decoding_length=0, max_decoding_length=LONGEST,
        return_scores=True,
    )  # fmt: skip
    return [(one.hypotheses[0], one.scores[0]) for one in found]


def decoded(model: Model, inputs: list[list[int]], beam: int = 1) -> list[Hypothesis]:
    options = Options(beam=beam, length_penalty="hf", alpha=0.0, max_ratio=0, max_extra=LONGEST)
    return [found[0] for found in decode(model, inputs, options)]


def replaced(given: Plan, number: int, **changes: Any) -> Plan:
    """A plan whose step `number` has another block."""
    steps = list(given.steps)
    (block,) = steps[number].blocks  # type: ignore[union-attr]
    steps[number] = Step(blocks=(msgspec.structs.replace(block, **changes),))
    return msgspec.structs.replace(given, steps=tuple(steps))


def attending(given: Plan, number: int, which: int, **changes: Any) -> Plan:
    """A plan in whose step `number` an attention is another."""
    attends = list(given.steps[number].blocks[0].attends)  # type: ignore[union-attr]
    attends[which] = msgspec.structs.replace(attends[which], **changes)
    return replaced(given, number, attends=tuple(attends))


def same(ours: list[Hypothesis], theirs: list[tuple[list[str], float]], tokenizer: Tokenizer) -> None:
    assert len({round(one.score, 3) for one in ours}) > len(ours) // 2, "the model finds everything equally likely"
    assert [tokenizer.pieces(one.ids) for one in ours] == [tokens for tokens, _ in theirs]
    for one, (_, score) in zip(ours, theirs, strict=True):
        assert score == pytest.approx(one.score, abs=1e-4 * max(1.0, abs(one.score)))


# ---- equality -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ENCODER_DECODERS)
def test_translations_are_ours(name: str, tokenizer: Tokenizer, tmp_path: Path) -> None:
    model = model_of(plan("encoder-decoder", tokenizer.vocab_size, **ENCODER_DECODERS[name]))
    layout.write(save(tmp_path / "model", model, tokenizer), tmp_path / "out")
    sources = rows(30, tokenizer.vocab_size)
    for beam in (1, 4):
        ours = decoded(model, [[*ids, tokenizer.end] for ids in sources], beam)
        same(ours, translated(tmp_path / "out", [tokenizer.pieces(ids) for ids in sources], beam), tokenizer)


@pytest.mark.parametrize("name", DECODERS)
def test_texts_go_on_as_ours_do(name: str, tokenizer: Tokenizer, tmp_path: Path) -> None:
    model = model_of(plan("decoder", tokenizer.vocab_size, **DECODERS[name]))
    said = layout.write(save(tmp_path / "model", model, tokenizer), tmp_path / "out")
    assert "a text begins with <s>" in said
    prompts = rows(30, tokenizer.vocab_size)
    words = [["<s>", *tokenizer.pieces(ids)] for ids in prompts]
    generator = library.Generator(str(tmp_path / "out"), device="cpu", inter_threads=1, intra_threads=1)

    def gone_on(some: list[list[str]], beam: int) -> list[tuple[list[str], float]]:
        found = generator.generate_batch(
            some, beam_size=beam, max_length=LONGEST, length_penalty=0, include_prompt_in_result=False,
            return_scores=True,
        )  # fmt: skip
        return [(one.sequences[0], one.scores[0]) for one in found]

    same(decoded(model, prompts), gone_on(words, beam=1), tokenizer)
    # It punishes a beam that ends just behind a prompt where prompts of different lengths go together.
    alone = [answer for prompt in words for answer in gone_on([prompt], beam=4)]
    same(decoded(model, prompts, beam=4), alone, tokenizer)


def test_the_best_of_a_beam_under_a_length_penalty(tokenizer: Tokenizer, tmp_path: Path) -> None:
    model = model_of(plan("encoder-decoder", tokenizer.vocab_size, place="pre", decoder_layers=1))
    layout.write(save(tmp_path / "model", model, tokenizer), tmp_path / "out")
    sources = rows(30, tokenizer.vocab_size)
    options = Options(beam=4, best=4, alpha=0.6, max_ratio=0, max_extra=50)
    ours = decode(model, [[*ids, tokenizer.end] for ids in sources], options)
    found = translator(tmp_path / "out").translate_batch(
        [tokenizer.pieces(ids) for ids in sources], beam_size=4, num_hypotheses=4, length_penalty=0.6,
        min_decoding_length=0, max_decoding_length=50, return_scores=True,
    )  # fmt: skip
    ended = [pair for pair in zip(ours, found, strict=True) if max(len(one.ids) for one in pair[0]) < 49]
    assert len(ended) > 10
    for hypotheses, theirs in ended:
        assert [tokenizer.pieces(one.ids) for one in hypotheses] == theirs.hypotheses
        assert [one.score for one in hypotheses] == pytest.approx(theirs.scores, abs=1e-4)


def test_each_side_has_its_own_words(tmp_path: Path) -> None:
    source, target = tokenizer_of(size=400), tokenizer_of("unigram", size=360)
    sizes = {"vocab": source.vocab_size, "target_vocab": target.vocab_size}
    model = model_of(plan("encoder-decoder", **sizes))
    layout.write(save(tmp_path / "model", model, source, target), tmp_path / "out")
    sources = rows(30, source.vocab_size)
    ours = decoded(model, [[*ids, source.end] for ids in sources])
    same(ours, translated(tmp_path / "out", [source.pieces(ids) for ids in sources]), target)


def test_streams_of_different_widths(tokenizer: Tokenizer, tmp_path: Path) -> None:
    given = plan("encoder-decoder", tokenizer.vocab_size, tie="none")
    streams = (msgspec.structs.replace(given.streams[0], width=16), given.streams[1])
    model = model_of(msgspec.structs.replace(given, streams=streams))
    layout.write(save(tmp_path / "model", model, tokenizer), tmp_path / "out")
    sources = rows(30, tokenizer.vocab_size)
    ours = decoded(model, [[*ids, tokenizer.end] for ids in sources])
    same(ours, translated(tmp_path / "out", [tokenizer.pieces(ids) for ids in sources]), tokenizer)


def test_scales_of_their_own(tokenizer: Tokenizer, tmp_path: Path) -> None:
    """T5 scales what the head reads, and not what attention compares."""
    given = plan("encoder-decoder", tokenizer.vocab_size)
    for step, which in ((0, 0), (1, 0), (2, 0), (2, 1), (3, 0), (3, 1)):
        given = attending(given, step, which, scale=1.0 if which else 0.6)
    model = model_of(given.with_heads(msgspec.structs.replace(given.heads[0], scale=0.7)))
    layout.write(save(tmp_path / "model", model, tokenizer), tmp_path / "out")
    sources = rows(30, tokenizer.vocab_size)
    ours = decoded(model, [[*ids, tokenizer.end] for ids in sources])
    same(ours, translated(tmp_path / "out", [tokenizer.pieces(ids) for ids in sources]), tokenizer)


@pytest.mark.parametrize(("quantization", "size", "near"), [("float16", 0.52, 0.02), ("int8", 0.55, 0.5)])
def test_smaller_numbers(quantization: Any, size: float, near: float, tokenizer: Tokenizer, tmp_path: Path) -> None:
    model = model_of(plan("encoder-decoder", tokenizer.vocab_size, width=64))
    save(tmp_path / "model", model, tokenizer)
    layout.write(tmp_path / "model", tmp_path / "full")
    layout.write(tmp_path / "model", tmp_path / "out", quantization)
    sizes = [(tmp_path / name / "model.bin").stat().st_size for name in ("out", "full")]
    assert sizes[0] < size * sizes[1]
    sources = [tokenizer.pieces(ids) for ids in rows(20, tokenizer.vocab_size)]
    full = translated(tmp_path / "full", sources)
    scored = translator(tmp_path / "out").score_batch(sources, [tokens for tokens, _ in full])
    for (tokens, score), one in zip(full, scored, strict=True):
        if len(tokens) < LONGEST:  # else the end counts for one of both
            assert sum(one.log_probs) == pytest.approx(score, abs=near * (len(tokens) + 1))


# ---- words ----------------------------------------------------------------------------------------------------------


def test_a_tag_in_front_of_every_source(tmp_path: Path) -> None:
    tokenizer = tokenizer_of(tags=["<2de>", "<2fr>"])
    model = model_of(plan("encoder-decoder", tokenizer.vocab_size))
    save(tmp_path / "model", model, tokenizer, tags=["<2de>", "<2fr>"])
    said = layout.write(tmp_path / "model", tmp_path / "both")
    assert "every source begins with the token of its target language: <2de>, <2fr>" in said
    assert len(layout.write(tmp_path / "model", tmp_path / "one", tag="<2fr>")) == 1
    sources = rows(30, tokenizer.vocab_size)
    ours = decoded(model, [[tokenizer.tag("<2fr>"), *ids, tokenizer.end] for ids in sources])
    pieces = [tokenizer.pieces(ids) for ids in sources]
    same(ours, translated(tmp_path / "one", pieces), tokenizer)
    same(ours, translated(tmp_path / "both", [["<2fr>", *one] for one in pieces]), tokenizer)
    with pytest.raises(UserError, match=r"tag '<2it>' is not in the vocabulary"):
        layout.write(tmp_path / "model", tmp_path / "none", tag="<2it>")
    assert not (tmp_path / "none").exists()


def test_text_in_front_of_every_source_is_told(tokenizer: Tokenizer, tmp_path: Path) -> None:
    model = model_of(plan("encoder-decoder", tokenizer.vocab_size))
    said = layout.write(save(tmp_path / "model", model, tokenizer, prefix="the dog:"), tmp_path / "out")
    assert said[-1] == f"every source begins with: {' '.join(tokenizer.pieces(tokenizer.encode('the dog:')))}"


def test_text_that_is_spelt_like_a_control_token(tmp_path: Path) -> None:
    lines = ["this is </s> and that is </s>", "</s></s> again </s>"] * 9
    tokenizer = train_tokenizer(lines, size=320, cut="spaces")
    assert tokenizer.pieces(tokenizer.encode("a</s>"))[-1] == "</s>", "the example has such a piece"
    model = model_of(plan("encoder-decoder", tokenizer.vocab_size))
    layout.write(save(tmp_path / "model", model, tokenizer), tmp_path / "out")
    config = json.loads((tmp_path / "out" / "config.json").read_bytes())
    assert (config["bos_token"], config["eos_token"]) == ("<s>", " </s>")
    sources = [tokenizer.encode("a</s>" * n + "is</s>") for n in range(1, 9)]
    ours = decoded(model, [[*ids, tokenizer.end] for ids in sources])
    assert [tokenizer.pieces(one.ids) for one in ours] == [
        tokens for tokens, _ in translated(tmp_path / "out", [tokenizer.pieces(ids) for ids in sources])
    ]


def test_rows_that_no_token_has(tokenizer: Tokenizer, tmp_path: Path) -> None:
    model = model_of(plan("encoder-decoder", tokenizer.vocab_size + 5))
    layout.write(save(tmp_path / "model", model, tokenizer), tmp_path / "out")
    words = json.loads((tmp_path / "out" / "shared_vocabulary.json").read_bytes())
    assert words[: tokenizer.vocab_size] == tokenizer.pieces(range(tokenizer.vocab_size))
    assert len(set(words)) == tokenizer.vocab_size + 5


# ---- refusals -------------------------------------------------------------------------------------------------------


PAIR, TEXT = plan("encoder-decoder", 300), plan("decoder", 300)
SOURCE = PAIR.streams[0]
EMBEDDED = msgspec.structs.replace(SOURCE, embedding=msgspec.structs.replace(SOURCE.embedding, segments=2))
LACKING = {
    "neither encoder-decoder nor decoder": plan("encoder", 300),
    "a model of source and target that is neither": plan("encoder-decoder", 300, edge=4),
    "a model of text and picture that is neither": plan(
        "two-streams", 300, picture_width=8, picture_heads=2, co_width=8, co_heads=2, text_before=(1, 2),
        picture_before=(0, 1), picture_layers=2,
    ),
    "an attention with window = 3": plan("decoder", 300, window=3),
    "sinusoidal positions beside those of attention": attending(
        attending(plan("decoder", 300, positions="sinusoidal"), 0, 0, positions="rotary"), 1, 0, positions="rotary"
    ),
    "ALiBi in an encoder": plan("encoder-decoder", 300, positions="alibi"),
    "an attention with own_norm = True": attending(PAIR, 2, 1, own_norm=True),
    "an embedding with segments = 2": msgspec.structs.replace(PAIR, streams=(EMBEDDED, PAIR.streams[1])),
    "the head with transform = 'gelu'": PAIR.with_heads(msgspec.structs.replace(PAIR.heads[0], transform="gelu")),
    "target layers with different heads (2, 4)": attending(PAIR, 3, 0, heads=2),
    "source layers with different head widths (6, 8)": attending(PAIR, 1, 0, head_width=8),
    "source layers with different key heads (2, 4)": attending(PAIR, 1, 0, key_heads=2),
    "text layers with different rotary bases (500.0, 10000.0)": attending(
        plan("decoder", 300, positions="rotary"), 1, 0, rotary_base=500.0
    ),
    "layers with different epsilons of norms (1e-06, 1e-05)": replaced(TEXT, 1, norm=Norm(eps=1e-6)),
    "text layers with different kinds of norms (layer, rms)": replaced(TEXT, 1, norm=Norm(kind="rms")),
    "target layers with different places of norms (post, pre)": replaced(PAIR, 3, place="pre"),
    "text.1 without a feed-forward network": replaced(TEXT, 1, feedforward=None),
    "what source.1 attends to": attending(PAIR, 1, 0, mask="causal"),
    "this order of layers": msgspec.structs.replace(PAIR, steps=PAIR.steps[::-1]),
    "a norm behind the post-norm layers of source": msgspec.structs.replace(
        PAIR, steps=(*PAIR.steps[:2], FinalNorm(stream="source"), *PAIR.steps[2:])
    ),
    "relative buckets that differ from layer to layer in source": msgspec.structs.replace(
        plan("encoder-decoder", 300, positions="buckets"), ties=()
    ),
    "relative buckets under a prompt": plan("decoder", 300, positions="buckets"),
    "target layers with different activations (gelu, relu)": replaced(
        PAIR, 2, feedforward=msgspec.structs.replace(PAIR.steps[2].blocks[0].feedforward, activation="gelu")  # type: ignore[union-attr]
    ),
}  # fmt: skip


@pytest.mark.parametrize("what", LACKING)
def test_what_it_lacks_is_named(what: str) -> None:
    assert what in "; ".join(layout.lacking(LACKING[what]))


@pytest.mark.parametrize("given", [PAIR, TEXT])
def test_it_lacks_nothing_of_the_usual(given: Plan) -> None:
    assert list(layout.lacking(given)) == []


def test_a_field_that_is_new_is_refused() -> None:
    """Only what is known to be written is: whatever a plan learns to say later must not get lost."""
    for part, known in layout.KNOWN.items():
        fields = {field.name for field in msgspec.structs.fields(part)}
        assert set(known.split()) <= fields
    written = {name for names in layout.KNOWN.values() for name in names.split()}
    assert not written & {"segments", "window", "own_norm", "transform", "objective", "before", "reads"}


def test_nothing_is_written_of_what_it_lacks(tokenizer: Tokenizer, tmp_path: Path) -> None:
    full = Model(plan("encoder-decoder", tokenizer.vocab_size))
    save(tmp_path / "model", without_heads(full, {"source.0.source": [0, 2]}), tokenizer)
    with pytest.raises(UserError, match=r"model: cannot be written for CTranslate2, which lacks: source layers with"):
        layout.write(tmp_path / "model", tmp_path / "out")
    assert [path.name for path in tmp_path.iterdir()] == ["model"]


def test_a_folder_that_is_there_stays(tokenizer: Tokenizer, tmp_path: Path) -> None:
    save(tmp_path / "model", Model(plan("decoder", tokenizer.vocab_size)), tokenizer)
    with pytest.raises(UserError, match="is there already"):
        layout.write(tmp_path / "model", tmp_path / "model")
    with pytest.raises(UserError, match="quantization 'int4' is not known; there are int8, float16"):
        layout.write(tmp_path / "model", tmp_path / "out", "int4")  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("extra", "what"),
    [
        ({}, "names no tokenizer"),
        ({"tokenizers": 3}, "tokenizers"),
        ({"tokenizer": "00"}, "not the tokenizer"),
        ({"tokenizer": "00", "framing": {"opens": True}}, r"in another library's way \(opens\)"),
    ],
)
def test_words_that_are_missing(extra: dict[str, Any], what: str, tokenizer: Tokenizer, tmp_path: Path) -> None:
    save(tmp_path / "model", Model(plan("decoder", tokenizer.vocab_size)), tokenizer)
    Model(plan("decoder", tokenizer.vocab_size)).save(tmp_path / "model", extra)
    with pytest.raises(UserError, match=what):
        layout.write(tmp_path / "model", tmp_path / "out")


def test_without_ctranslate2(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setitem(sys.modules, "ctranslate2", None)
    with pytest.raises(UserError, match=r"pip install 'heedful\[exchange\]'"):
        layout.write(tmp_path, tmp_path / "out")
