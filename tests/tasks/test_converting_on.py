"""What came from another library is trained on, and goes back as what it was, with what it has learned."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from foreign_examples import LINES
from safetensors.torch import load_file

import heedful
from heedful.config import parse_recipe
from heedful.errors import UserError
from heedful.tasks.converting import convert
from heedful.tasks.learning import Learning
from heedful.tasks.runs import train
from heedful.tasks.translate.task import Translation
from heedful.tasks.write.scoring import foretell
from heedful.text import foreign_files
from heedful.text.foreign import Foreign
from heedful.train import journal

from . import theirs
from .stopping import same_bits_after_a_stop
from .theirs import Theirs, converted, logits, same_answers, vectors

WORDS = [*LINES[0].rstrip(".").split(), "hello"]
LOOP = [
    "training.steps=12", "training.batch_tokens=128", "training.processes=1", "training.threads=1",
    "training.precision=fp32", "training.warmup=2", "training.rate=5e-3", "training.validate_every=6",
    "training.save_every=4", "training.final=last", "model.dropout=0", "model.attention_dropout=0",
]  # fmt: skip
TEXTS = ["The quick brown fox", "the lazy dog jumps over", "hello"]


@pytest.fixture(scope="module", autouse=True)
def in_this_process() -> Iterator[None]:
    """What tests/text does with other processes need not be done again."""
    apart, foreign_files.try_out = foreign_files.try_out, foreign_files.tried
    yield
    foreign_files.try_out = apart


def examples(task: str, folder: Path) -> list[str]:
    """Some that can be learned, in a file; the settings that name it."""
    some = [(WORDS[n % 8], WORDS[n % 3], n) for n in range(48)]
    if task == "answer":
        told = [(f"the {a} and the ", f"what jumps {b}?", n) for a, b, n in some]
        questions = [
            {"id": str(n), "question": asked, "context": f"{before}fox jumps over the dog {n // 2}",
             "answers": {"text": ["fox"], "answer_start": [len(before)]}} for before, asked, n in told
        ]  # fmt: skip
        text, name, more = "".join(json.dumps(one) + "\n" for one in questions), "a.jsonl", ["data.stride=8"]
        more.append("data.longest_question=12")
    elif task == "classify":
        rows = [f"{'the fox' if n % 2 else 'the dog'} {a} {b}\t{'yes' if n % 2 else 'no'}\n" for a, b, n in some]
        text, name, more = "text\tlabel\n" + "".join(rows), "a.tsv", ['data.fields=["text","label"]']
    elif task == "tag":
        text, name = "".join(f"The O\nfox B-X\njumps O\n{a} B-Y\nover O\n\n" for a, _, _ in some), "a.conll"
        more = ["training.metric=loss"]
    elif task == "translate":
        text, name = "".join(f"the {a} jumps {n}\tgreen {a} {b}\n" for a, b, n in some), "a.tsv"
        more = ["cleaning.duplicates=false", "cleaning.leaks=false", "data.hold_out=8"]
    elif task == "embed":
        text, name, more = "".join(f"the {a} {n}\t{a} {b} {n}\n" for a, b, n in some), "a.tsv", []
    else:
        text, name, more = "".join(f"the quick {a} jumps over the {b}\n" for a, b, _ in some), "a.txt", []
        more = ['data.documents="line"']
    (folder / name).write_text(text, "utf-8")
    key = "pairs" if task == "translate" else "train"
    return [f'data.{key}=["{folder / name}"]', *more, *([] if task == "translate" else ["data.dev_share=0.2"])]


def trained(task: str, start: Path, folder: Path, *settings: str, name: str = "run") -> Path:
    """A small run from that model."""
    given = [*examples(task, folder), f"training.start={start}", "data.longest=32", *LOOP, *settings]
    assert train(parse_recipe({"task": task}, given), folder / name) == 0
    return folder / name


def learned(task: str, made: Theirs, folder: Path, *settings: str) -> tuple[Any, Theirs]:
    """The model that was trained from a checkpoint, and the checkpoint that it goes back to: of the class that the task
    has there, with the files of its tokenizer as they were."""
    run = trained(task, converted(made.folder), folder, *settings)
    losses = [line["loss"] for line in journal.read(run / "journal.jsonl") if line["kind"] == "step"]
    assert np.mean(losses[-4:]) < np.mean(losses[:4]), losses
    found = heedful.load(run)
    tokenizer = found.tokenizers["source"] if task == "translate" else found.tokenizer
    assert isinstance(tokenizer, Foreign)
    convert(run, folder / "back")
    for file in tokenizer.files:
        assert (folder / "back" / file).read_bytes() == (made.folder / file).read_bytes()
    return found, theirs.opened(folder / "back")


ENCODERS: dict[str, Callable[..., Theirs]] = {
    "bert": theirs.bert, "roberta": theirs.roberta, "distilbert": theirs.distilbert
}  # fmt: skip
EVERY = pytest.mark.parametrize("kind", ENCODERS)


@EVERY
def test_classify(kind: str, tmp_path: Path) -> None:
    """Under the head that their class has."""
    classifier, again = learned("classify", ENCODERS[kind](tmp_path / kind), tmp_path)
    assert type(again.model).__name__.endswith("ForSequenceClassification")
    assert again.model.config.id2label == {0: "no", 1: "yes"}
    np.testing.assert_allclose(classifier.chances(TEXTS), logits(again, TEXTS).softmax(-1), atol=1e-5)


def test_a_classifier_goes_on(tmp_path: Path) -> None:
    """With the labels in the order that they had."""
    labels = {"id2label": {0: "yes", 1: "no"}, "label2id": {"yes": 0, "no": 1}}
    classifier, again = learned(
        "classify", theirs.bert(tmp_path / "bert", "ForSequenceClassification", **labels), tmp_path
    )
    assert classifier.labels == list(again.model.config.id2label.values()) == ["yes", "no"]


def test_what_a_recipe_says_of_reading_counts(tmp_path: Path) -> None:
    run = trained("classify", converted(theirs.bert(tmp_path / "bert").folder), tmp_path, "training.reads=mean")
    assert heedful.load(run).model.plan.heads[0].reads == "mean"
    with pytest.raises(UserError, match=r'what this model computes; the nearest: bert has no place for .*"mean"'):
        convert(run, tmp_path / "back")
    assert not (tmp_path / "back").exists()


@EVERY
def test_tag(kind: str, tmp_path: Path) -> None:
    tagger, again = learned("tag", ENCODERS[kind](tmp_path / kind), tmp_path)
    assert list(again.model.config.id2label.values()) == tagger.labels == ["O", "B-X", "I-X", "B-Y", "I-Y"]
    chances = logits(again, ["The fox jumps"])[0, 1:-1].softmax(-1)
    places = [first for first, _ in again.tokenizer("The fox jumps", return_offsets_mapping=True)["offset_mapping"]]
    for word in tagger.tag(["The fox jumps"])[0].words:
        own = chances[places[1:-1].index(word.start)]
        assert word.score == pytest.approx(float(own[tagger.labels.index(word.label)]), abs=1e-5)


@EVERY
def test_answer(kind: str, tmp_path: Path) -> None:
    answerer, again = learned("answer", ENCODERS[kind](tmp_path / kind), tmp_path)
    question, context = "what jumps quick?", "the brown and the fox jumps over the dog 7"
    read = again.tokenizer(question, context, return_offsets_mapping=True)
    starts, ends = (logits(again, [question], [context], name=f"{side}_logits")[0] for side in ("start", "end"))
    found = answerer.answer(question, context).best[0]
    places = [place for place, part in enumerate(read.sequence_ids()) if part == 1]
    first = next(place for place in places if read["offset_mapping"][place][0] >= found.start)
    last = next(place for place in places if read["offset_mapping"][place][1] >= found.end)
    assert found.score == pytest.approx(float(starts[first] + ends[last]), abs=1e-4)


@pytest.mark.parametrize("kind", ["bert", "library"])
def test_embed(kind: str, tmp_path: Path) -> None:
    """From a trunk with a dense layer of its own; from a model that makes vectors as it makes them."""
    made = {"bert": theirs.bert, "library": lambda at: theirs.sentence_transformers(at, "cls_token")}[kind]
    embedder, again = learned("embed", made(tmp_path / kind), tmp_path)
    pooling, dense = ("mean_tokens", "Identity") if kind == "bert" else ("cls_token", None)
    np.testing.assert_allclose(embedder.embed(TEXTS), vectors(again, TEXTS, pooling, dense), atol=1e-5)


@EVERY
def test_fill(kind: str, tmp_path: Path) -> None:
    filler, again = learned("fill", ENCODERS[kind](tmp_path / kind), tmp_path)
    text = f"the quick {again.tokenizer.mask_token} jumps"
    place = again.tokenizer(text)["input_ids"].index(again.tokenizer.mask_token_id)
    chances = logits(again, [text])[0, place].softmax(-1).sort(descending=True).values
    best = [one.probability for one in filler.fill(text).masks[0]]
    assert all(torch.isclose(chances, torch.tensor(one), atol=1e-6).any() for one in best)


def test_write(tmp_path: Path) -> None:
    writer, again = learned("write", theirs.gpt2(tmp_path / "gpt2"), tmp_path)
    end = again.tokenizer.eos_token_id
    ids = torch.tensor([[end, *again.tokenizer(LINES[0])["input_ids"]]])
    with torch.no_grad():
        loss = float(again.model(ids, labels=ids).loss)
    found = foretell(writer, [LINES[0]])
    assert found.predictions == ids.shape[1]
    assert found.nll > loss * (ids.shape[1] - 1)  # which foretells the end as well
    read, decode = ids[:, 1:4], again.tokenizer.decode
    said = again.model.generate(read, attention_mask=torch.ones(1, 3), max_new_tokens=12, pad_token_id=end)
    assert writer.write(decode(read[0]), temperature=0, length=12) == decode(said[0, 3:])


@pytest.mark.parametrize(("task", "kind"), [("classify", "gpt2"), ("embed", "gpt2"), ("write", "bert")])
def test_a_start_of_another_kind(task: str, kind: str, tmp_path: Path) -> None:
    start = converted(getattr(theirs, kind)(tmp_path / kind).folder)
    with pytest.raises(UserError, match=r"start: the model is an? (en|de)coder of text; this task trains an? "):
        trained(task, start, tmp_path)


# ---- translating ----------------------------------------------------------------------------------------------------

LANGUAGES: dict[str, tuple[str | None, dict[str, str]]] = {
    "marian": (None, {}), "bart": (None, {}), "t5": (None, {}),
    "nllb": ("eng_Latn-fra_Latn", {"source": "eng_Latn", "first": "fra_Latn"}),
    "m2m100": ("en-fr", {"source": "en", "first": "__fr__"}),
    "mbart50": ("en_XX-de_DE", {"source": "en_XX", "first": "de_DE"}),
}  # fmt: skip


@pytest.mark.parametrize("kind", LANGUAGES)
def test_translate(kind: str, tmp_path: Path) -> None:
    tag, told = LANGUAGES[kind]
    tags = [f'data.tags=["{tag}"]'] if tag else []
    made = getattr(theirs, kind)(tmp_path / kind)
    translator, again = learned("translate", made, tmp_path, *tags, "training.steps=16")
    same_answers(translator, again, TEXTS, tag, told)


def test_languages_of_training(tmp_path: Path) -> None:
    start = converted(theirs.nllb(tmp_path / "nllb").folder)
    for tags, words in (
        ("[]", "--languages deu_Latn-eng_Latn"),
        ('["fr"]', "'fr' is not two"),
        ('["eng_Latn-xx"]', "'xx'"),
    ):
        with pytest.raises(UserError, match=words):
            trained("translate", start, tmp_path, f"data.tags={tags}")
    with pytest.raises(UserError, match="its languages stand behind the source; such a model can be run, not trained"):
        trained("translate", converted(theirs.mbart(tmp_path / "mbart").folder), tmp_path, 'data.tags=["en_XX-de_DE"]')


# ---- pictures -------------------------------------------------------------------------------------------------------

NAMES = [f"p{number}" for number in range(20)]


@pytest.mark.parametrize("tasks", [0, 20])
@pytest.mark.parametrize("task", ["match", "ask"])
def test_vilbert(task: str, tasks: int, tmp_path: Path) -> None:
    features = theirs.features(tmp_path / "a.safetensors", NAMES, 28, classes=23)
    start = converted(theirs.vilbert(tmp_path / "vilbert", tasks=tasks))
    rows = {
        "match": "".join(f"{name}\tword{n} {'ab ' * n}\n" for n, name in enumerate(NAMES)),
        "ask": "".join(f"{name}\tword{n} cd\t{'yes' if n % 2 else 'no'}\n" for n, name in enumerate(NAMES)),
    }
    head = {"match": "picture\tcaption\n", "ask": "picture\tquestion\tanswer\n"}
    (tmp_path / "a.tsv").write_text(head[task] + rows[task])
    given = [
        f'data.train=["{tmp_path}/a.tsv"]', f"pictures.features={features}", f"training.start={start}",
        "data.dev_share=0.3", "data.longest=40", *(["matching.contrast=0"] if task == "match" else []), *LOOP,
    ]  # fmt: skip
    assert train(parse_recipe({"task": task}, given), tmp_path / "run") == 0
    found = heedful.load(tmp_path / "run")
    assert (found.sight.encoder, found.task) == ("a detector", 0 if tasks else None)
    if task == "match":
        assert len(found.match(found.captions(["word3"]), found.pictures(NAMES[:4], features), 4)[0]) == 4
    else:
        assert set(found.ask_many([("p1", "word3")], features=features)[0].best) == {"yes", "no"}
    convert(tmp_path / "run", tmp_path / "back")
    convert(tmp_path / "back", tmp_path / "again")
    both = [load_file(folder / "model.safetensors") for folder in (tmp_path / "run" / "model", tmp_path / "again")]
    assert both[0].keys() == both[1].keys()
    assert all(torch.equal(tensor, both[1][name]) for name, tensor in both[0].items())


def test_clip(tmp_path: Path) -> None:
    image = pytest.importorskip("PIL.Image")
    made = theirs.clip(tmp_path / "clip")
    rng = np.random.default_rng(0)
    for name in NAMES:
        image.fromarray(rng.integers(0, 256, (30, 40, 3), np.uint8)).save(tmp_path / f"{name}.png")
    lines = [f"{name}.png\tquick brown {WORDS[n % 8]} {n}\n" for n, name in enumerate(NAMES)]
    (tmp_path / "a.tsv").write_text("picture\tcaption\n" + "".join(lines))
    given = [
        f'data.train=["{tmp_path}/a.tsv"]', f"training.start={converted(made.folder)}", "data.dev_share=0.3",
        "data.longest=16", *LOOP,
    ]  # fmt: skip
    with pytest.raises(UserError, match=r"streams never meet, .* set matching\.alignment, matching\.text and"):
        train(parse_recipe({"task": "match"}, given), tmp_path / "run")
    only = ["matching.alignment=0", "matching.text=0", "matching.regions=0"]
    assert train(parse_recipe({"task": "match"}, [*given, *only]), tmp_path / "run") == 0
    matcher = heedful.load(tmp_path / "run")
    convert(tmp_path / "run", tmp_path / "back")
    again = theirs.opened(tmp_path / "back")
    prepared = theirs.transformers.CLIPImageProcessorPil.from_pretrained(again.folder)
    files = [str(tmp_path / f"{name}.png") for name in NAMES[:3]]
    with torch.no_grad():
        pixels = prepared(images=[image.open(file) for file in files], return_tensors="pt")["pixel_values"]
        wanted = again.model(**again.tokenizer(["quick fox"], return_tensors="pt"), pixel_values=pixels)
    torch.testing.assert_close(matcher.pictures(files).encoded.vectors, wanted.image_embeds, atol=1e-5, rtol=0)
    torch.testing.assert_close(matcher.captions(["quick fox"]).encoded.vectors, wanted.text_embeds, atol=1e-5, rtol=0)


# ---- how it is trained ----------------------------------------------------------------------------------------------


def test_stopped_and_resumed_is_the_same_run(tmp_path: Path) -> None:
    start = converted(theirs.bert(tmp_path / "bert").folder)
    run = lambda out: trained("classify", start, tmp_path, name=out.name)
    same_bits_after_a_stop(run, tmp_path, Learning, "collate", 7)


def test_a_translator_too(tmp_path: Path) -> None:
    start = converted(theirs.nllb(tmp_path / "nllb").folder)
    run = lambda out: trained("translate", start, tmp_path, 'data.tags=["eng_Latn-deu_Latn"]', name=out.name)
    same_bits_after_a_stop(run, tmp_path, Translation, "collate", 7)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_precision_is_trained_in_full(dtype: torch.dtype, tmp_path: Path) -> None:
    made = theirs.bert(tmp_path / "bert")
    made.model.to(dtype).save_pretrained(made.folder)
    start = converted(made.folder)
    assert {tensor.dtype for tensor in load_file(start / "model.safetensors").values()} == {dtype}
    assert {parameter.dtype for parameter in heedful.load(start).model.parameters()} == {torch.float32}
    found = heedful.load(trained("fill", start, tmp_path, "training.steps=1"))
    weight, before = found.model.tensors()["text.0.text.query.weight"], made.model.bert.encoder.layer[0]
    assert weight.dtype == torch.float32
    change = (weight - before.attention.self.query.weight.detach().float()).abs()
    assert 0 < float(change.max()) < 0.02
