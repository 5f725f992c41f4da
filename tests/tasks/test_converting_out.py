"""What heedful trains opens in transformers, and says the same there; what that cannot say is refused by name."""

from __future__ import annotations

import os
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from foreign_examples import HOSTILE, LINES
from msgspec import structs, to_builtins

import heedful
from heedful.errors import UserError
from heedful.model.families import decoder, encoder, encoder_decoder
from heedful.model.model import Model
from heedful.model.plan import Head, Plan, Step
from heedful.tasks.answer.task import HEAD as SPAN
from heedful.tasks.classify.preparing import Kept
from heedful.tasks.converting import convert
from heedful.tasks.finding import save_model
from heedful.tasks.tag.preparing import SHAPES, shape_of
from heedful.tasks.translate.task import save_translator
from heedful.tasks.write.scoring import foretell
from heedful.text.pipeline import MASK, without_surrogates
from heedful.text.tokenizer import Tokenizer, train_tokenizer

from . import theirs
from .theirs import LONGEST, Theirs, logits, opened

SIZES: dict[str, Any] = {"width": 24, "layers": 2, "heads": 4, "feedforward": 20}
TEXTS = ["The quick brown fox jumps.", "hello world, played", "Größe und Straße"]


@cache
def words(kind: Any = "bpe", prose: bool = False, tags: tuple[str, ...] = ()) -> Tokenizer:
    """A tokenizer that heedful trained."""
    lines = [f"{line}\n" if prose else line for line in LINES] * 20
    return train_tokenizer(lines, size=450, kind=kind, prose=prose, tags=tags)


def made(plan: Plan) -> Model:
    """A model with weights so large that answers vary."""
    model = Model(plan, 1)
    torch.manual_seed(3)
    with torch.no_grad():
        for parameter in model.parameters():
            drawn = torch.randn(parameter.shape)
            parameter.copy_(drawn * 0.4 if parameter.ndim > 1 else parameter + 0.1 * drawn)
    return model


def there(folder: Path, to: str | None = None) -> Theirs:
    """The same in transformers."""
    convert(folder, folder.with_name("there"), to)
    return opened(folder.with_name("there"))


# ---- translators ----------------------------------------------------------------------------------------------------

VOCAB = words().vocab_size
LEARNED: dict[str, Any] = {"positions": "learned", "capacity": 40, "embedding_norm": True}


def translator(folder: Path, plan: Plan, target: Tokenizer | None = None, **extra: Any) -> Any:
    """A model's folder with its tokenizers; the model loaded."""
    sides = {"source": words(), "target": target or words()}
    known = {
        "task": "translate", "tags": (), "decoding": {"beam": 4}, **extra,
        "tokenizers": {side: tokenizer.fingerprint for side, tokenizer in sides.items()},
    }  # fmt: skip
    save_translator(folder, made(plan), known, sides)
    return heedful.load(folder)


def unscaled(plan: Plan) -> Plan:
    """T5's query . key."""
    attend = lambda given: structs.replace(given, scale=1.0)
    block = lambda given: structs.replace(given, attends=tuple(map(attend, given.attends)))
    steps = tuple(
        structs.replace(step, blocks=tuple(map(block, step.blocks))) if isinstance(step, Step) else step
        for step in plan.steps
    )
    return structs.replace(plan, steps=steps)


PLANS: dict[str, tuple[str, Plan]] = {
    "post-norm": ("MarianMTModel", encoder_decoder(vocab=VOCAB, **SIZES)),
    "no biases": ("MarianMTModel", encoder_decoder(vocab=VOCAB, bias=False, scaled=False, **SIZES)),
    "logit bias": ("MarianMTModel", encoder_decoder(vocab=VOCAB, output_bias=True, activation="gelu", **SIZES)),
    "two embeddings": ("MarianMTModel", encoder_decoder(vocab=VOCAB, tie="target", **SIZES)),
    "pre-norm": ("PegasusForConditionalGeneration", encoder_decoder(vocab=VOCAB, place="pre", **SIZES)),
    "learned": ("BartForConditionalGeneration", encoder_decoder(vocab=VOCAB, **LEARNED, **SIZES)),
    "pre-norm learned": (
        "MBartForConditionalGeneration", encoder_decoder(vocab=VOCAB, place="pre", **LEARNED, **SIZES)
    ),
    "buckets": ("T5ForConditionalGeneration", unscaled(encoder_decoder(
        vocab=VOCAB, positions="buckets", place="pre", norm="rms", bias=False, scaled=False, **SIZES
    ))),
}  # fmt: skip


@pytest.mark.parametrize("name", PLANS)
def test_translators(name: str, tmp_path: Path) -> None:
    kind, plan = PLANS[name]
    ours = translator(tmp_path / "ours", plan)
    again = there(tmp_path / "ours")
    assert type(again.model).__name__ == kind
    same_translations(ours, again, again.tokenizer)


def test_separate_vocabularies(tmp_path: Path) -> None:
    target = train_tokenizer(LINES[2:] * 20, size=350)
    plan = encoder_decoder(vocab=VOCAB, target_vocab=target.vocab_size, **SIZES)
    ours, again = translator(tmp_path / "ours", plan, target), there(tmp_path / "ours")
    same_translations(ours, again, theirs.transformers.AutoTokenizer.from_pretrained(again.folder / "target"))


def same_translations(ours: Any, again: Theirs, writer: Any) -> None:
    """Ids of sources, logits, and answers."""
    batch = again.tokenizer(TEXTS, padding=True, return_tensors="pt")
    for text, ids, mask in zip(TEXTS, batch["input_ids"], batch["attention_mask"], strict=True):
        assert ours.encode(text) == ids[mask.bool()].tolist()
    for beam in (1, 4):
        said = again.model.generate(**batch, num_beams=beam, max_length=LONGEST + 1, do_sample=False)
        rules = {"length_penalty": "hf", "alpha": 1.0, "max_ratio": 0.0, "max_extra": LONGEST}
        found = ours.answer(TEXTS, None, ours.options(beam=beam, **rules), split="never", protect=False)
        assert [one.text for one in found] == writer.batch_decode(said, skip_special_tokens=True)
        assert [one.pieces[0].hypothesis.ids for one in found] == [_said(ours, row) for row in said.tolist()]
        scores = again.model(
            **batch, labels=None, decoder_input_ids=said[:, :-1],
            decoder_attention_mask=torch.ones_like(said[:, :-1]),
        ).logits.log_softmax(-1)  # fmt: skip
        for row, answer in enumerate(found):
            tokens = torch.tensor(answer.pieces[0].hypothesis.ids)
            own = scores[row, torch.arange(len(tokens)), tokens]
            assert answer.pieces[0].hypothesis.logprobs is not None
            np.testing.assert_allclose(answer.pieces[0].hypothesis.logprobs[: len(tokens)], own.detach(), atol=1e-4)


def _said(ours: Any, row: list[int]) -> list[int]:
    """Without the start, and the end and what is behind it."""
    end = ours.tokenizers["target"].end
    return row[1 : row.index(end)] if end in row else row[1:]


def test_how_it_decodes_goes_along(tmp_path: Path) -> None:
    decoding = {"beam": 3, "alpha": 0.7, "max_ratio": 1.5, "max_extra": 10, "longest": 100}
    translator(tmp_path / "ours", PLANS["post-norm"][1], decoding=decoding)
    kept = there(tmp_path / "ours").model.generation_config
    assert (kept.num_beams, kept.length_penalty, kept.max_length) == (3, 0.7, 160)
    assert (kept.decoder_start_token_id, kept.eos_token_id, kept.pad_token_id) == (1, 2, 0)


def test_languages_and_prefixes_are_told(tmp_path: Path) -> None:
    own = words(tags=("<2de>", "<2fr>"))
    extra = {
        "task": "translate", "tags": own.tags, "prefix": "say:", "decoding": {},
        "tokenizers": {"source": own.fingerprint, "target": own.fingerprint},
    }  # fmt: skip
    plan = encoder_decoder(vocab=own.vocab_size, **SIZES)
    save_translator(tmp_path / "ours", made(plan), extra, {"source": own, "target": own})
    lines = convert(tmp_path / "ours", tmp_path / "there")
    assert lines[1:] == ["a source begins with the tag of its language: ' <2de>', ' <2fr>'",
                         "every source begins with 'say:'"]  # fmt: skip
    tokenizer, ours = opened(tmp_path / "there").tokenizer, heedful.load(tmp_path / "ours")
    for text in TEXTS:
        assert tokenizer(f" <2fr> say: {text}")["input_ids"] == ours.encode(text, "<2fr>")


# ---- encoders -------------------------------------------------------------------------------------------------------


def saved(folder: Path, task: str, *heads: Head, **extra: Any) -> Path:
    """A post-norm encoder under these heads; without any, under those that it has for pretraining."""
    options = extra.pop("options", {})
    own = words(tags=(MASK,))
    plan = encoder(vocab=own.vocab_size, capacity=64, **{**SIZES, **options})
    plan = plan.with_heads(*(heads or plan.heads[:1]))
    save_model(folder, made(plan), task, own, extra)
    return folder


@pytest.mark.parametrize(
    ("options", "kind"),
    [({}, "BertForMaskedLM"), ({"place": "pre", "eps": 1e-5}, "RobertaPreLayerNormForMaskedLM"),
     ({"segments": 0, "bias": False}, "BertForMaskedLM"), ({"pool": False}, "BertForMaskedLM")],
)  # fmt: skip
def test_fill(options: dict[str, Any], kind: str, tmp_path: Path) -> None:
    filler = heedful.load(saved(tmp_path / "ours", "fill", longest=64, masking={}, options=options))
    again = there(tmp_path / "ours")
    assert type(again.model).__name__ == kind
    for text in ("The quick [MASK] fox play[MASK].", "[MASK] over, [MASK]", "it is [MASK]."):
        written = text.replace(" [MASK]", "[MASK]").replace("[MASK]", again.tokenizer.mask_token)
        ids = again.tokenizer(written)["input_ids"]
        prompt = filler.read(text, "[MASK]")
        assert ids == [filler.tokenizer.start, *prompt.ids, filler.tokenizer.end] if "play[" not in text else True
        places = [place for place, token in enumerate(ids) if token == again.tokenizer.mask_token_id]
        chances = logits(again, [written])[0].softmax(-1)
        for place, guesses in zip(places, filler.fill(text).masks, strict=True):
            for guess in guesses:
                assert float((chances[place] - guess.probability).abs().min()) < 1e-6


def test_pretraining_has_both_heads(tmp_path: Path) -> None:
    own = words(tags=(MASK,))
    plan = encoder(vocab=own.vocab_size, capacity=64, **SIZES)
    save_model(tmp_path / "ours", made(plan), "fill", own, {"longest": 64, "masking": {"next_sentence": True}})
    assert type(there(tmp_path / "ours").model).__name__ == "BertForPreTraining"


def label(reads: Any, outputs: int = 3, **fields: Any) -> Head:
    return Head(name="label", streams=("text",), outputs=outputs, reads=reads, bias=True, **fields)


CLASSIFIERS: dict[str, tuple[Head, dict[str, Any], str]] = {
    "pooled": (label("pooled"), {"kind": "one", "labels": ["b", "a", "c"]}, "BertForSequenceClassification"),
    "several": (label("pooled"), {"kind": "several", "labels": ["x", "y", "z"]}, "BertForSequenceClassification"),
    "number": (label("pooled", 1), {"kind": "number", "mean": 3.0, "deviation": 2.0}, "BertForSequenceClassification"),
    "first": (
        label("first", transform="tanh", norm=None), {"kind": "one", "labels": ["b", "a", "c"]},
        "RobertaForSequenceClassification",
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", CLASSIFIERS)
def test_classify(name: str, tmp_path: Path) -> None:
    head, answers, kind = CLASSIFIERS[name]
    kept = to_builtins(Kept(pairs=True, **answers))
    classifier = heedful.load(saved(tmp_path / "ours", "classify", head, answers=kept, longest=64))
    lines = convert(tmp_path / "ours", tmp_path / "there")
    again = opened(tmp_path / "there")
    assert type(again.model).__name__ == kind
    pairs = list(zip(TEXTS, TEXTS[::-1], strict=True))
    found = logits(again, *zip(*pairs, strict=True))
    if name == "number":
        assert lines[1:] == ["answers are numbers less 3.0, divided by 2.0"]
        np.testing.assert_allclose(classifier.chances(pairs), found * 2 + 3, atol=1e-5)
        return
    assert list(again.model.config.id2label.values()) == answers["labels"]
    np.testing.assert_allclose(
        classifier.chances(pairs), found.sigmoid() if name == "several" else found.softmax(-1), atol=1e-5
    )


@pytest.mark.parametrize(("reads", "word"), [("mean", '"mean"'), ("first", '"first"')])
def test_how_a_label_is_read_may_have_no_name_there(reads: Any, word: str, tmp_path: Path) -> None:
    answers = to_builtins(Kept(kind="one", pairs=False, labels=["a", "b", "c"]))
    saved(tmp_path / "ours", "classify", label(reads), answers=answers, longest=64)
    with pytest.raises(UserError, match=rf"bert has no place for heads\.label\.reads = {word}"):
        convert(tmp_path / "ours", tmp_path / "there")
    assert sorted(os.listdir(tmp_path)) == ["ours"]


def test_tag(tmp_path: Path) -> None:
    """A model that is told the shapes of words has a segment for each."""
    names, sentence = ["O", "B-X", "I-X"], "Anna met 12 Bobs in ROME"
    answers = {"labels": names, "entities": False}
    options = {"segments": len(SHAPES), "pool": False}
    more: dict[str, Any] = {"answers": answers, "longest": 64, "options": options}
    tagger = heedful.load(saved(tmp_path / "ours", "tag", label("tokens"), **more))
    lines = convert(tmp_path / "ours", tmp_path / "there")
    assert lines[1].startswith("token_type_ids are the shapes of words: 0 other, 1 lower, 2 Title")
    again = opened(tmp_path / "there")
    ids, shapes, firsts = [tagger.tokenizer.start], [0], []
    for word in sentence.split():
        pieces = tagger.tokenizer.encode(word)
        firsts.append(len(ids))
        ids += pieces
        shapes += [shape_of(word)] * len(pieces)
    assert again.tokenizer(sentence)["input_ids"] == [*ids, tagger.tokenizer.end]
    with torch.no_grad():
        read, kinds = (torch.tensor([row]) for row in ([*ids, tagger.tokenizer.end], [*shapes, 0]))
        chances = again.model(input_ids=read, token_type_ids=kinds).logits[0, firsts].softmax(-1)
    (found,) = tagger.tag([sentence], spaced=True)
    for word, own in zip(found.words, chances, strict=True):
        assert (word.label, word.score) == (names[int(own.argmax())], pytest.approx(float(own.max()), abs=1e-5))


def test_answer(tmp_path: Path) -> None:
    reading = {"reading": (64, 16, 16, 8), "threshold": None}
    answerer = heedful.load(saved(tmp_path / "ours", "answer", SPAN, options={"pool": False}, **reading))
    again, question, context = there(tmp_path / "ours"), "what jumps?", LINES[0]
    read = again.tokenizer(question, context, return_offsets_mapping=True)
    starts, ends = (logits(again, [question], [context], name=f"{side}_logits")[0] for side in ("start", "end"))
    places = [place for place, part in enumerate(read.sequence_ids()) if part == 1]
    best = max(
        float(starts[first] + ends[last]) for first in places for last in places if first <= last < first + 8
        if context[read["offset_mapping"][first][0] : read["offset_mapping"][last][1]].strip()
    )  # fmt: skip
    assert answerer.answer(question, context).best[0].score == pytest.approx(best, abs=1e-4)


@pytest.mark.parametrize("reads", ["mean", "first"])
@pytest.mark.parametrize("options", [{}, {"place": "pre"}, {"pool": False}])
def test_embed(reads: Any, options: dict[str, Any], tmp_path: Path) -> None:
    head = Head(name="embedding", streams=("text",), outputs=10, reads=reads, objective="contrast")
    embedder = heedful.load(saved(tmp_path / "ours", "embed", head, longest=16, options=options))
    again = there(tmp_path / "ours")
    pooling = {"mean": "mean_tokens", "first": "cls_token"}[reads]
    np.testing.assert_allclose(embedder.embed(TEXTS), theirs.vectors(again, TEXTS, pooling, "Identity"), atol=1e-5)


@pytest.mark.slow  # the library takes its time to start
def test_the_library_of_vectors_opens_it(tmp_path: Path) -> None:
    library = pytest.importorskip("sentence_transformers")
    head = Head(name="embedding", streams=("text",), outputs=10, reads="mean", objective="contrast")
    embedder = heedful.load(saved(tmp_path / "ours", "embed", head, longest=16))
    convert(tmp_path / "ours", tmp_path / "there")
    found = library.SentenceTransformer(str(tmp_path / "there"), device="cpu").encode(TEXTS)
    np.testing.assert_allclose(embedder.embed(TEXTS), found, atol=1e-5)


# ---- decoders -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("options", [{}, {"bias": False}, {"tie": False, "activation": "gelu"}])
@pytest.mark.parametrize("kind", ["bpe", "bytes"])
def test_write(kind: Any, options: dict[str, Any], tmp_path: Path) -> None:
    own = words(kind, prose=True)
    plan = decoder(vocab=own.vocab_size, capacity=48, **SIZES, **options)
    save_model(tmp_path / "ours", made(plan), "write", own, {"context": 48})
    writer, again = heedful.load(tmp_path / "ours"), there(tmp_path / "ours")
    for prompt in ("The quick\n\nbrown", "hello"):
        ids = torch.tensor([[own.start, *again.tokenizer(prompt)["input_ids"]]])
        banned = [own.pad, own.start, own.unknown]
        for beam in (1, 4):
            said = again.model.generate(
                ids, attention_mask=torch.ones_like(ids), max_new_tokens=LONGEST, num_beams=beam, do_sample=False,
                suppress_tokens=banned,
            )[0, ids.shape[1] :]  # fmt: skip
            (found,) = writer.answer([prompt], temperature=0, length=LONGEST, beam=beam)[0]
            assert [*found.ids, *[own.end] * found.finished] == said.tolist()
            assert own.decode(found.ids) == again.tokenizer.decode(said, skip_special_tokens=True)
    ids = torch.tensor([[own.start, *again.tokenizer(TEXTS[0])["input_ids"], own.end]])
    with torch.no_grad():
        loss = float(again.model(ids, labels=ids).loss)
    assert foretell(writer, [TEXTS[0]]).nll == pytest.approx(loss * (ids.shape[1] - 1), rel=1e-5)


# ---- tokenizers -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["bpe", "unigram", "bytes"])
@pytest.mark.parametrize("prose", [False, True])
def test_any_text_has_the_same_ids(kind: Any, prose: bool, tmp_path: Path) -> None:
    """What looks like a control too; with the end behind it, or nothing."""
    own = words(kind, prose)
    if prose:
        save_model(tmp_path / "ours", Model(decoder(vocab=own.vocab_size, **SIZES), 1), "write", own, {"context": 48})
    else:
        sides = {"source": own, "target": own}
        extra = {"task": "translate", "tokenizers": dict.fromkeys(sides, own.fingerprint)}
        save_translator(tmp_path / "ours", Model(encoder_decoder(vocab=own.vocab_size, **SIZES), 1), extra, sides)
    again, end = there(tmp_path / "ours"), [] if prose else [own.end]
    for text in [*HOSTILE, "a </s> b", " <s>x", "x <mask> y", "one\ntwo\n\n\nthree\n"]:
        clean = without_surrogates(text)
        assert again.tokenizer(clean)["input_ids"] == [*own.encode(clean), *end], text
