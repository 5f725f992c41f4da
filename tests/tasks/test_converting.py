"""Checkpoints of other libraries, converted, answer as they did there: text in, text and numbers out."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from against.checkpoints import VIT
from foreign_examples import LINES
from safetensors.torch import load_file
from torch.nn import functional
from typer.testing import CliRunner

import heedful
from heedful.cli import app
from heedful.data.pictures import Reference
from heedful.data.windows import contexts_of, windows_of
from heedful.errors import UserError
from heedful.model.embeddings import RegionInput, TokenInput
from heedful.model.layout import Layout
from heedful.tasks.answer.answerer import read_windows
from heedful.tasks.converting import convert
from heedful.tasks.write.scoring import foretell
from heedful.text import foreign_files

from . import theirs
from .theirs import Theirs, converted, logits, ours, same_answers, vectors

ENCODERS: dict[str, Callable[..., Theirs]] = {
    "bert": theirs.bert, "roberta": theirs.roberta, "distilbert": theirs.distilbert
}  # fmt: skip
TEXTS = ["The quick brown fox jumps.", "Playing, played and plays: the players", "It's 12,345.67 or 1/2"]
EVERY = pytest.mark.parametrize("kind", ENCODERS)


@pytest.fixture(scope="module", autouse=True)
def in_this_process() -> Iterator[None]:
    """What tests/text does with other processes need not be done again."""
    apart, foreign_files.try_out = foreign_files.try_out, foreign_files.tried
    yield
    foreign_files.try_out = apart


# ---- encoders -------------------------------------------------------------------------------------------------------


@EVERY
def test_words_are_filled_in(kind: str, tmp_path: Path) -> None:
    made = ENCODERS[kind](tmp_path / kind)
    filler, hidden = ours(made), made.tokenizer.mask_token
    text = f"The quick {hidden} fox play{hidden}, {hidden} over"
    ids = made.tokenizer(text)["input_ids"]
    places = [place for place, token in enumerate(ids) if token == made.tokenizer.mask_token_id]
    for text_ in (text, text.replace(hidden, "[MASK]")):
        found = filler.fill(text_, best=7)
        for guesses, place, begins in zip(found.masks, places, (True, False, True), strict=True):
            chances = logits(made, [text])[0, place].softmax(-1)
            wanted = _fitting(made, chances, begins)[:7]
            assert [guess.text for guess in guesses] == [text for text, _ in wanted]
            assert [guess.probability for guess in guesses] == pytest.approx([chance for _, chance in wanted], abs=1e-5)


def _fitting(made: Theirs, chances: torch.Tensor, begins: bool) -> list[tuple[str, float]]:
    """The entries that begin a word, or go on with one, and that can be shown, likeliest first."""
    found = []
    for piece, number in made.tokenizer.get_vocab().items():
        first = not piece.startswith("##") if "[CLS]" in made.tokenizer.get_vocab() else piece.startswith("Ġ")
        text = made.tokenizer.decode([number]).removeprefix("##").strip(" ")
        if number not in made.tokenizer.all_special_ids and first == begins and text.strip() and "\ufffd" not in text:
            found.append((text, float(chances[number])))
    return sorted(found, key=lambda one: -one[1])


SAYS: dict[str, tuple[dict[str, Any], Callable[[torch.Tensor], torch.Tensor]]] = {
    "one": ({"num_labels": 3}, lambda given: given.softmax(-1)),
    "several": ({"num_labels": 4, "problem_type": "multi_label_classification"}, torch.sigmoid),
    "number": ({"num_labels": 1}, lambda given: given),
}


@pytest.mark.parametrize(
    ("kind", "says"), [("bert", "one"), ("bert", "several"), ("roberta", "one"), ("roberta", "number"),
                       ("distilbert", "one"), ("distilbert", "several")],
)  # fmt: skip
def test_texts_and_pairs_are_classified(kind: str, says: str, tmp_path: Path) -> None:
    options, chances = SAYS[says]
    made = ENCODERS[kind](tmp_path / kind, "ForSequenceClassification", **options)
    classifier = ours(made)
    pairs = list(zip(TEXTS, TEXTS[::-1], strict=True))
    np.testing.assert_allclose(classifier.chances(TEXTS), chances(logits(made, TEXTS)), atol=1e-5)
    np.testing.assert_allclose(classifier.chances(pairs), chances(logits(made, TEXTS, TEXTS[::-1])), atol=1e-5)
    if says != "number":
        assert classifier.labels == [f"LABEL_{number}" for number in range(options["num_labels"])]
    with pytest.raises(UserError, match="3 texts; this model reads one or two"):
        classifier.classify([("a", "b", "c")])


@EVERY
def test_words_are_tagged(kind: str, tmp_path: Path) -> None:
    """By the first piece of each, where the labels name no entities; those are made to fit together."""
    names = {"id2label": {0: "noun", 1: "verb", 2: "other"}, "label2id": {"noun": 0, "verb": 1, "other": 2}}
    made = ENCODERS[kind](tmp_path / kind, "ForTokenClassification", **names)
    tagger = ours(made)
    for text, found in zip(TEXTS, tagger.tag(TEXTS, spaced=True), strict=True):
        places = made.tokenizer(text, return_offsets_mapping=True)["offset_mapping"][1:-1]
        chances = logits(made, [text])[0, 1:-1].softmax(-1)
        for word in found.words:
            own = chances[[first for first, _ in places].index(word.start)]
            place = int(own.argmax())
            assert (word.label, word.score) == (names["id2label"][place], pytest.approx(float(own[place]), abs=1e-5))


@EVERY
def test_questions_are_answered(kind: str, tmp_path: Path) -> None:
    made = ENCODERS[kind](tmp_path / kind, "ForQuestionAnswering")
    answerer = ours(made)
    question, context = "what jumps?", LINES[0]
    found = answerer.answer(question, context, best=5)
    read = made.tokenizer(question, context, return_offsets_mapping=True)
    starts, ends = (logits(made, [question], [context], name=f"{side}_logits")[0] for side in ("start", "end"))
    own = [place for place, part in enumerate(read.sequence_ids()) if part == 1]
    scores = {
        (first, last): float(starts[first] + ends[last])
        for first in own for last in own if first <= last < first + answerer.reading.longest_answer
    }  # fmt: skip
    wanted: dict[str, float] = {}
    for (first, last), score in sorted(scores.items(), key=lambda one: -one[1]):
        wanted.setdefault(context[read["offset_mapping"][first][0] : read["offset_mapping"][last][1]].strip(), score)
    assert [one.text for one in found.best] == list(wanted)[:5]
    assert [one.score for one in found.best] == pytest.approx(list(wanted.values())[:5], abs=1e-4)
    assert found.null_odds == pytest.approx(float(starts[0] + ends[0]) - found.best[0].score, abs=1e-4)


@EVERY
def test_long_contexts_are_read_in_their_windows(kind: str, tmp_path: Path) -> None:
    made = ENCODERS[kind](tmp_path / kind, "ForQuestionAnswering")
    answerer = ours(made)
    tokenizer, reading = answerer.tokenizer, answerer.reading
    question, context = "what plays?", " ".join(LINES)
    asked, inside = tokenizer.encode(question), contexts_of(tokenizer, [context])[context]
    windows = list(windows_of(tokenizer, asked, inside, reading))
    overlap = reading.room(len(asked), tokenizer.between) - reading.stride
    read = made.tokenizer(
        question, context, truncation="only_second", max_length=reading.longest, stride=overlap,
        return_overflowing_tokens=True,
    )  # fmt: skip
    assert len(windows) > 2
    assert [window.ids.tolist() for window in windows] == read["input_ids"]
    for window, found in zip(windows, read_windows(answerer.model, windows, answerer.device), strict=True):
        segments = torch.arange(len(window.ids)) >= window.head
        more = {"token_type_ids": segments.long()[None]} if kind == "bert" else {}
        with torch.no_grad():
            said = made.model(torch.from_numpy(window.ids)[None], **more)
        np.testing.assert_allclose(found, torch.stack([said.start_logits, said.end_logits], -1)[0], atol=1e-5)


@pytest.mark.parametrize(
    ("pooling", "dense"),
    [("mean_tokens", None), ("cls_token", None), ("mean_tokens", "Tanh"), ("cls_token", "Identity")],
)
@pytest.mark.parametrize("normalize", [True, False])
def test_texts_have_vectors(pooling: str, dense: str | None, normalize: bool, tmp_path: Path) -> None:
    made = theirs.sentence_transformers(tmp_path / "st", pooling, dense, normalize)
    embedder = ours(made)
    texts = [*TEXTS, " ".join(TEXTS)]
    np.testing.assert_allclose(embedder.embed(texts), vectors(made, texts, pooling, dense), atol=1e-5)
    assert [head.outputs for head in embedder.model.plan.heads] == [10 if dense == "Identity" else 0]


@pytest.mark.slow  # the library takes its time to start
@pytest.mark.parametrize(("pooling", "dense"), [("mean_tokens", None), ("cls_token", "Tanh")])
def test_vectors_of_the_library_itself(pooling: str, dense: str | None, tmp_path: Path) -> None:
    library = pytest.importorskip("sentence_transformers")
    made = theirs.sentence_transformers(tmp_path / "st", pooling, dense)
    wanted = library.SentenceTransformer(str(made.folder), device="cpu").encode(TEXTS)
    np.testing.assert_allclose(ours(made).embed(TEXTS), wanted, atol=1e-5)


# ---- writing --------------------------------------------------------------------------------------------------------


def test_texts_go_on(tmp_path: Path) -> None:
    made = theirs.gpt2(tmp_path / "gpt2")
    writer, end = ours(made), made.tokenizer.eos_token_id
    for prompt in ("The quick", "hello world\nhello", ""):
        ids = torch.tensor([made.tokenizer(prompt)["input_ids"] or [end]])
        for beam in (1, 4):
            said = made.model.generate(
                ids, attention_mask=torch.ones_like(ids), max_new_tokens=20, num_beams=beam, do_sample=False,
                pad_token_id=end,
            )[0, ids.shape[1] :]  # fmt: skip
            wanted = made.tokenizer.decode(said, skip_special_tokens=True)
            assert writer.write(prompt, temperature=0, length=20, beam=beam) == wanted
    drawn = {writer.write("The", seed=seed, length=20) for seed in (1, 2, 3)}
    assert len(drawn) == 3
    assert writer.write("The", seed=1, length=20) in drawn


def test_perplexity(tmp_path: Path) -> None:
    """A text that fits the window, and one over which it slides."""
    made = theirs.gpt2(tmp_path / "gpt2")
    writer, end = ours(made), made.tokenizer.eos_token_id
    for text in (LINES[0], "".join(LINES[:3])):
        ids = torch.tensor([[end, *made.tokenizer(text)["input_ids"], end]])
        last, total, done = ids.shape[1] - 1, 0.0, 0
        assert (last > 48) == (text != LINES[0])
        while done < last:
            until = min(last, done + 24 if done else 48)
            read = ids[:, max(0, until - 48) : until + 1]
            labels = read.clone()
            labels[:, : read.shape[1] - (until - done)] = -100
            with torch.no_grad():
                said = made.model(read[:, :-1]).logits[0]
            total += float(functional.cross_entropy(said, labels[0, 1:], reduction="sum"))
            done = until
        found = foretell(writer, [text])
        if text == LINES[0]:
            with torch.no_grad():
                assert found.perplexity == pytest.approx(float(made.model(ids, labels=ids).loss.exp()), rel=1e-4)
        assert found.nll == pytest.approx(total, rel=1e-5)
        assert found.perplexity == pytest.approx(math.exp(total / last), rel=1e-4)


# ---- translating ----------------------------------------------------------------------------------------------------

SOURCES = [*TEXTS, "Größe und Straße. Hello world, the dog!", "x"]
# What makes them, our tag, and what theirs is told: the source's language, and what answers begin with or from.
TRANSLATORS: dict[str, tuple[Callable[[Path], Theirs], str | None, dict[str, str]]] = {
    "marian": (theirs.marian, None, {}), "marian-own": (lambda at: theirs.marian(at, own=True), None, {}),
    "bart": (theirs.bart, None, {}), "t5": (theirs.t5, None, {}),
    "mbart50": (theirs.mbart50, "en_XX-de_DE", {"source": "en_XX", "first": "de_DE"}),
    "mbart": (theirs.mbart, "en_XX-de_DE", {"source": "en_XX", "from": "de_DE"}),
    "nllb": (theirs.nllb, "eng_Latn-fra_Latn", {"source": "eng_Latn", "first": "fra_Latn"}),
    "m2m100": (theirs.m2m100, "en-fr", {"source": "en", "first": "__fr__"}),
}  # fmt: skip


@pytest.mark.parametrize("kind", TRANSLATORS)
def test_texts_are_translated(kind: str, tmp_path: Path) -> None:
    make, tag, told = TRANSLATORS[kind]
    made = make(tmp_path / kind)
    translator = ours(made)
    if "source" in told:
        made.tokenizer.src_lang = told["source"]
    texts = [f"translate English to German: {text}" for text in SOURCES] if kind == "t5" else SOURCES
    for text in texts:
        assert translator.encode(text, tag) == made.tokenizer(text)["input_ids"]
    same_answers(translator, made, texts, tag, told)


def test_languages_are_asked_for(tmp_path: Path) -> None:
    translator = ours(theirs.nllb(tmp_path / "nllb"))
    wrong = {
        None: r"name both as tag \(deu_Latn-eng_Latn\); it knows deu_Latn, eng_Latn", "-": "is not two",
        "eng_Latn": "is not two of this model's", "eng_Latn-fra_Latin": "'fra_Latin': did you mean 'fra_Latn'",
    }  # fmt: skip
    for tag, words in wrong.items():
        with pytest.raises(UserError, match=words) as caught:
            translator.translate(["a"], tag)
        assert "\n" not in str(caught.value)
    with pytest.raises(UserError, match="takes no tag"):
        ours(theirs.marian(tmp_path / "marian")).translate(["a"], "en-de")


# ---- pictures -------------------------------------------------------------------------------------------------------


def test_clip_matches(tmp_path: Path) -> None:
    """Pictures are scaled and cut as theirs are, so both see the same pixels, to rounding."""
    image = pytest.importorskip("PIL.Image")
    made = theirs.clip(tmp_path / "clip")
    matcher, prepared = ours(made), theirs.transformers.CLIPImageProcessorPil.from_pretrained(made.folder)
    rng, names = np.random.default_rng(0), []
    for number, (height, width) in enumerate(((24, 24), (37, 61), (80, 50), (20, 15))):
        names.append(str(tmp_path / f"{number}.png"))
        image.fromarray(rng.integers(0, 256, (height, width, 3), np.uint8)).save(names[-1])
    pixels = prepared(images=[image.open(name) for name in names], return_tensors="pt")["pixel_values"]
    seen = matcher.look([Reference(name, "picture") for name in names])
    patches = seen.input(np.arange(4)).pixels.reshape(4, 10, 3, 8, 8)[:, 1:].reshape(4, 3, 3, 3, 8, 8)
    torch.testing.assert_close(patches.permute(0, 3, 1, 4, 2, 5).reshape(4, 3, 24, 24), pixels, atol=1e-5, rtol=0)
    texts, shown = matcher.captions(TEXTS), matcher.pictures(names)
    with torch.no_grad():
        batch = made.tokenizer(TEXTS, padding=True, return_tensors="pt")
        found = made.model(**batch, pixel_values=pixels)
    for side, wanted in ((texts, found.text_embeds), (shown, found.image_embeds)):
        assert side.encoded.vectors is not None
        torch.testing.assert_close(side.encoded.vectors, wanted, atol=1e-5, rtol=0)
    likeness = (found.text_embeds @ found.image_embeds.T).numpy()
    for row, matches in zip(likeness, matcher.match(texts, shown, best=4), strict=True):
        assert [one.number for one in matches] == np.argsort(-row).tolist()
        assert [one.score for one in matches] == pytest.approx(sorted(row, reverse=True), abs=1e-5)


def test_lxmert_answers(tmp_path: Path) -> None:
    made, file = theirs.lxmert(tmp_path / "lxmert"), theirs.features(tmp_path / "a.safetensors", ["a", "b"], 11)
    asker, seen = ours(made), load_file(file)
    questions = [("a", "The quick fox?"), ("b", "plays")]
    for (name, question), found in zip(questions, asker.ask_many(questions, 7, features=file), strict=True):
        regions = {"visual_feats": seen[f"{name}/features"][None], "visual_pos": seen[f"{name}/boxes"][None]}
        with torch.no_grad():
            said = made.model(**made.tokenizer(question, return_tensors="pt"), **regions)
        wanted = said.question_answering_score[0].softmax(-1)
        assert found.best == pytest.approx({str(n): float(chance) for n, chance in enumerate(wanted)}, abs=1e-5)


@pytest.mark.parametrize("tasks", [0, 20])
def test_vilbert_matches_and_answers(tasks: int, tmp_path: Path) -> None:
    """Its text and its regions are what is put together by hand here; tests/against compares that with the official
    code's numbers."""
    file = theirs.features(tmp_path / "a.safetensors", ["a", "b"], 28, classes=23)
    folder = theirs.vilbert(tmp_path / "vilbert", tasks=tasks)
    matcher = heedful.load(converted(folder))
    matches = matcher.match(matcher.captions(["word3 ab"]), matcher.pictures(["a", "b"], file))[0]
    assert all(one.looked for one in matches)
    model, seen = matcher.model, load_file(file)
    words = (folder / "vocab.txt").read_text().split("\n")
    ids = [words.index(word) for word in ("[CLS]", "word3", "a", "##b", "[SEP]")]
    row = [ids[0], 0, *ids[1:]] if tasks else ids
    text = TokenInput(torch.tensor(row), Layout.packed(np.array([len(row)])))
    for one in matches:
        with torch.no_grad():
            aligned = model.logits("alignment", *model.encode({"text": text, "picture": regions(seen, one.name)}))[0]
        assert one.score == pytest.approx(float(aligned[0] - aligned[1]), abs=1e-4)
    asker = heedful.load(converted(theirs.vilbert(tmp_path / "ask", answers=6, tasks=tasks)))
    with torch.no_grad():
        asked = asker.model.logits("label", *asker.model.encode({"text": text, "picture": regions(seen, "b")}))
    (found,) = asker.ask_many([("b", "word3 ab")], 6, features=file)
    assert found.best == pytest.approx({str(n): float(chance) for n, chance in enumerate(asked[0].sigmoid())}, abs=1e-5)


def regions(seen: dict[str, torch.Tensor], name: str) -> RegionInput:
    """A row for the whole picture, and its regions with the share of the area that each has."""
    given, boxes = seen[f"{name}/features"], seen[f"{name}/boxes"]
    area = (boxes[:, 2] - boxes[:, 0]) * (boxes[:, 3] - boxes[:, 1])
    places = torch.cat([torch.tensor([[0.0, 0, 1, 1, 1]]), torch.cat([boxes, area[:, None]], 1)])
    return RegionInput(torch.cat([given.mean(0, keepdim=True), given]), places, Layout.packed(np.array([6])))


# ---- what has no task, or no tokenizer ------------------------------------------------------------------------------


def test_a_model_without_a_task_can_be_looked_at(tmp_path: Path) -> None:
    sizes = {**VIT, "num_labels": 5}
    model = theirs.transformers.ViTForImageClassification(theirs.transformers.ViTConfig(**sizes))
    model.save_pretrained(tmp_path / "vit")
    lines = convert(tmp_path / "vit", tmp_path / "ours")
    assert lines[1].endswith(f": no task of heedful runs it; look at it with: heedful show {tmp_path / 'ours'}")
    with pytest.raises(UserError, match="no task runs this model as it is; see what it is: heedful show"):
        heedful.load(tmp_path / "ours")
    trunk = theirs.bert(tmp_path / "bert", "Model")
    assert f"heedful train TASK --from {tmp_path / 'b'}" in convert(trunk.folder, tmp_path / "b")[-1]


@pytest.mark.parametrize("kind", ["bert", "gpt2", "marian", "clip"])
def test_a_checkpoint_without_a_tokenizer(kind: str, tmp_path: Path) -> None:
    made = getattr(theirs, kind)(tmp_path / kind)
    for file in made.folder.iterdir():
        if file.name not in ("config.json", "model.safetensors", "generation_config.json", "preprocessor_config.json"):
            file.unlink()
    lines = convert(made.folder, tmp_path / "ours")
    assert any("there is no tokenizer in the folder" in line for line in lines)
    with pytest.raises(UserError, match="came without a tokenizer, so it reads no texts; add the tokenizer's files"):
        heedful.load(tmp_path / "ours")


def test_rules_that_are_not_kept_are_told(tmp_path: Path) -> None:
    made = theirs.bart(tmp_path / "bart")
    made.model.generation_config.no_repeat_ngram_size = 3
    made.model.generation_config.min_length = 5
    made.model.save_pretrained(made.folder)
    lines = convert(made.folder, tmp_path / "ours")
    assert lines[-1].startswith("answers are made without no_repeat_ngram_size = 3, min_length = 5, which its own")


def test_commands(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What a user types: convert, then the model's own command."""
    theirs.bert(tmp_path / "bert")
    theirs.m2m100(tmp_path / "m2m")
    monkeypatch.chdir(tmp_path)

    def run(*words: str) -> list[str]:
        found = CliRunner().invoke(app, words)
        assert found.exit_code == 0, found.output
        return found.output.split("\n")

    assert run("convert", "bert", "b")[:2] == ["bert: bert, 42 tensors read", "b: run it with: heedful fill -m b"]
    assert run("fill", "-m", "b", "The quick [MASK] fox", "--best", "2")[0].startswith("The quick ")
    assert run("convert", "m2m", "m")[1] == "m: run it with: heedful translate -m m --tag af-am"
    (tmp_path / "text").write_text("hello world\n")
    assert len(run("translate", "-m", "m", "text", "--tag", "en-de")) == 2
