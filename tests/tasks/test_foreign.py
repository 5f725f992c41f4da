"""Tasks with tokenizers of other libraries: rows are framed as theirs are, and everything runs from such a model."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from foreign_examples import LINES, byte_level, sentencepieces, wordpiece, write

import heedful
from heedful.config import Decoding, parse_recipe
from heedful.data.masking import Masking
from heedful.errors import UserError
from heedful.model.embeddings import TokenInput
from heedful.model.families import decoder, encoder, encoder_decoder
from heedful.model.layout import Layout
from heedful.model.model import Model
from heedful.tasks import answer, classify, embed, fill, tag
from heedful.tasks import write as writing
from heedful.tasks.finding import save_model
from heedful.tasks.translate.translator import Translator
from heedful.tasks.write.writer import Writer
from heedful.text import foreign_files
from heedful.text.foreign import Foreign
from heedful.text.foreign_files import read

SIZES: dict[str, Any] = {"width": 16, "layers": 1, "heads": 2, "feedforward": 16}
KINDS = ("bert", "roberta")


@pytest.fixture(scope="module", autouse=True)
def in_this_process() -> Any:
    """What tests/text does with other processes need not be done again."""
    apart, foreign_files.try_out = foreign_files.try_out, foreign_files.tried
    yield
    foreign_files.try_out = apart


@pytest.fixture(scope="module", params=KINDS)
def start(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A masked language model's folder: of BERT's kind, with two segments, or of RoBERTa's, with one."""
    folder = tmp_path_factory.mktemp(request.param)
    if request.param == "bert":
        own = read(write(folder / "files", vocab__txt=wordpiece()))
    else:
        own = read(write(folder / "files", **byte_level(["<s>", "<pad>", "</s>", "<unk>", "<mask>"])))
    plan = encoder(vocab=own.vocab_size, capacity=64, segments=3 - own.between, **SIZES)
    save_model(folder / "model", Model(plan, 1), "fill", own, {"longest": 64, "masking": {}})
    return folder / "model"


def tokenizer(folder: Path) -> Foreign:
    found = heedful.Tokenizer.load(folder / "tokenizer.json")
    assert isinstance(found, Foreign)
    return found


def begun(task: Any, name: str, start: Path, file: Path, *more: str) -> Any:
    """The task's training, with the data in `file`.data."""
    given = [f'data.train=["{file}"]', f"training.start={start}", "data.longest=32", "training.batch_tokens=256",
             "data.dev_share=0.2", "training.steps=2", *more]  # fmt: skip
    recipe = task.complete(parse_recipe({"task": name}, given))
    data = file.with_suffix(".data")
    task.prepare(recipe, data)
    return task.build(recipe, data, torch.device("cpu"))


def rows(given: TokenInput) -> list[list[int]]:
    return [row.tolist() for row in np.split(given.ids.numpy(), np.cumsum(given.layout.lengths)[:-1])]


def learns(learning: Any) -> TokenInput:
    """The first batch, which has a loss and gradients."""
    batch = learning.collate(learning.micro_batches(0)[0], 0)
    sums = learning.model(batch.inputs, batch.labels)
    sum(one.loss for one in sums.values()).backward()
    assert any(parameter.grad is not None for parameter in learning.model.parameters())
    given: TokenInput = batch.inputs["text"]
    return given


def test_words_are_filled_in(start: Path) -> None:
    own, filler = tokenizer(start), heedful.load(start)
    found = filler.fill("The quick [MASK] fox play[MASK].", best=3)
    begins, goes_on = found.masks
    whole = [own.ids[entry] for entry in own.ids if own.is_text(own.ids[entry]) and own.begins_word(own.ids[entry])]
    said = {own.decode([token]).strip() for token in whole}
    assert all(guess.text in said for guess in begins)
    assert all(not own.begins_word(token) for guess in goes_on for token in _going_on(own, guess.text))
    assert found.text.startswith("The quick ")
    assert found.text.endswith(f"fox play{goes_on[0].text}.")
    sums, _, count = filler.measure(LINES)
    assert sums.count > 0
    assert count == sum(map(len, own.encode_many(LINES)))


def _going_on(own: Foreign, text: str) -> list[int]:
    """The ids that say a text and begin no word."""
    found = [n for n in range(own.vocab_size) if own.is_text(n) and own.decode([n]) == text and not own.begins_word(n)]
    assert found, text
    return found


def test_whole_words_are_hidden(start: Path) -> None:
    own = tokenizer(start)
    ids = np.array([own.start, *own.encode("players hello, 12 playsd"), own.end], np.int64)
    begins = Masking(own, 0.15).begins(ids, np.array([len(ids)]))
    words = [own.decode(part.tolist()).strip() for part in np.split(ids, np.flatnonzero(begins)[1:])]
    assert words == ["", "players", "hello", ",", "12", "playsd", ""]


def test_masked_pretraining_goes_on(start: Path, tmp_path: Path) -> None:
    own = tokenizer(start)
    (tmp_path / "a.txt").write_text("".join(line.replace("\n", " ") + "\n" for line in LINES * 3), "utf-8")
    given = learns(begun(fill, "fill", start, tmp_path / "a.txt", "masking.next_sentence=false"))
    for row in rows(given):
        assert (row[0], row[-1], row.count(own.start), row.count(own.end)) == (own.start, own.end, 1, 1)
    assert own.mask in given.ids


@pytest.mark.parametrize("sampling", [0.0, 0.2])
def test_pairs_are_classified(start: Path, tmp_path: Path, sampling: float) -> None:
    own = tokenizer(start)
    lines = [f"{LINES[n % 5]}\t{LINES[n % 3]} {n}\t{'yes' if n % 2 else 'no'}" for n in range(60)]
    (tmp_path / "a.tsv").write_text("\n".join(["first\tsecond\tlabel", *lines, ""]), "utf-8")
    more = ['data.fields=["first","second","label"]', f"tokenizer.sampling={sampling}", "training.token_dropout=0.3"]
    if sampling and own.kind == "bpe":
        with pytest.raises(UserError, match="no subword sampling"):
            begun(classify, "classify", start, tmp_path / "a.tsv", *more)
        return
    learning = begun(classify, "classify", start, tmp_path / "a.tsv", *more)
    given = learns(learning)
    assert (given.segments is None) == (own.between == 2)
    for row in rows(given):
        ends = [place for place, token in enumerate(row) if token == own.end]
        assert (row[0], ends[-1]) == (own.start, len(row) - 1)
        assert ends[:-1] == list(range(ends[0], ends[0] + own.between))
    assert own.unknown in given.ids
    learning.save(tmp_path / "m", learning.model)
    classifier = heedful.load(tmp_path / "m")
    assert classifier.classify([("The dog.", "A dog.")])[0].label in ("yes", "no")


def test_words_are_tagged(start: Path, tmp_path: Path) -> None:
    own = tokenizer(start)
    sentence = "The O\nfox B-X\nplays O\n. O\n{} O\n\n"
    (tmp_path / "a.conll").write_text("".join(map(sentence.format, range(40))), "utf-8")
    learning = begun(tag, "tag", start, tmp_path / "a.conll", "training.metric=loss")
    said = own.encode("The fox plays .")
    for row in rows(learns(learning)):
        assert (row[0], row[-1]) == (own.start, own.end)
        assert row[1 : 1 + len(said)] == said, "words are what they are in a text"
    learning.save(tmp_path / "m", learning.model)
    (found,) = heedful.load(tmp_path / "m").tag(["The fox plays."])
    assert [word.text for word in found.words] == ["The", "fox", "plays", "."]


def test_questions_are_answered(start: Path, tmp_path: Path) -> None:
    own, context = tokenizer(start), " ".join(LINES[:4])
    questions = [
        {"id": str(n), "question": f"what jumps {n}?", "context": f"{context} {n // 2}",
         "answers": {"text": ["brown fox"], "answer_start": [context.index("brown fox")]}} for n in range(20)
    ]  # fmt: skip
    (tmp_path / "a.jsonl").write_text("".join(json.dumps(one) + "\n" for one in questions), "utf-8")
    more = ("data.longest=40", "data.stride=8", "data.longest_question=12")
    learning = begun(answer, "answer", start, tmp_path / "a.jsonl", *more)
    given = learns(learning)
    assert (given.segments is None) == (own.between == 2)
    for row in rows(given):
        assert len(row) <= 40
        assert (row[0], row[-1], row.count(own.end)) == (own.start, own.end, 1 + own.between)
    learning.save(tmp_path / "m", learning.model)
    found = heedful.load(tmp_path / "m").answer("what jumps?", context, best=3)
    assert all(context[one.start : one.end] == one.text for one in found.best)


def test_texts_have_vectors(start: Path, tmp_path: Path) -> None:
    own = tokenizer(start)
    (tmp_path / "a.tsv").write_text("".join(f"hello {n}\tworld {n}\n" for n in range(30)), "utf-8")
    learning = begun(embed, "embed", start, tmp_path / "a.tsv", "training.metric=loss")
    for row in rows(learns(learning)):
        assert (row[0], row[-1]) == (own.start, own.end)
    learning.save(tmp_path / "m", learning.model)
    embedder = heedful.load(tmp_path / "m")
    one, both = embedder.embed(["hello"]), embedder.embed(["world of words", "hello"])
    assert one.shape == (1, 16)
    assert np.allclose(one[0], both[1], atol=1e-6)


# ---- writing --------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def gpt2(tmp_path_factory: pytest.TempPathFactory) -> Writer:
    own = read(write(tmp_path_factory.mktemp("gpt2") / "files", **byte_level(["<|endoftext|>"])))
    return Writer(Model(decoder(vocab=own.vocab_size, capacity=24, **SIZES), 3).eval(), own, 24)


def likeliest(one: Writer, ids: list[int], length: int) -> list[int]:
    """A whole pass for every token."""
    said: list[int] = []
    while len(said) < length:
        count = len(ids) + len(said)
        given = TokenInput(torch.tensor([*ids, *said]), Layout.packed(np.array([count])))
        with torch.no_grad():
            states, layouts = one.model.encode({"text": given})
            token = int(one.model.logits("next_token", states, layouts, torch.tensor([count - 1])).argmax())
        if token == one.tokenizer.end:
            break
        said.append(token)
    return said


def test_a_text_goes_on_as_in_the_original(gpt2: Writer) -> None:
    """GPT-2 has nothing in front of a prompt, and its end (which is also its start) can be said."""
    own = gpt2.tokenizer
    prompt = "hello\n\nworld"
    (found,) = gpt2.answer([prompt], temperature=0, length=12)[0]
    assert found.ids == likeliest(gpt2, own.encode(prompt), 12)
    assert found.text == own.decode(found.ids)
    (empty,) = gpt2.answer([""], temperature=0, length=12)[0]
    assert empty.ids == likeliest(gpt2, [own.start], 12)
    assert "".join(gpt2.stream(prompt, temperature=0, length=40)) == gpt2.write(prompt, temperature=0, length=40)
    assert own.end not in gpt2.wishes().options(own, 24, 9, 0, 1, True).banned
    assert [one.text for one in gpt2.answer([prompt, ""], temperature=0, length=12)[1]] == [empty.text]


def test_writing_goes_on_from_it(gpt2: Writer, tmp_path: Path) -> None:
    own = gpt2.tokenizer
    save_model(tmp_path / "start", gpt2.model, "write", own, {"context": 24})
    (tmp_path / "a.txt").write_text("\n\n".join(LINES * 4), "utf-8")
    learning = begun(
        writing, "write", tmp_path / "start", tmp_path / "a.txt", "data.longest=24", "data.documents=paragraph"
    )
    given = rows(learns(learning))
    assert all(own.end not in row[1:] for row in given)
    assert sum(row[0] == own.start for row in given) > 1
    found = writing.scoring.foretell(heedful.load(tmp_path / "start"), LINES)
    assert found.predictions == sum(len(ids) + 1 for ids in own.encode_many(LINES))


# ---- translating ----------------------------------------------------------------------------------------------------


def test_a_translator_of_two_tokenizers(tmp_path: Path) -> None:
    models = {"source__spm": sentencepieces(LINES[:4]), "target__spm": sentencepieces(LINES[3:])}
    pieces: dict[str, None] = dict.fromkeys(["</s>", "<unk>"])
    for model in models.values():
        own = read(write(tmp_path / f"of {len(pieces)}", spiece__model=model))
        pieces |= dict.fromkeys(own.pieces(range(3, own.vocab_size)))
    listed = {piece: number for number, piece in enumerate([*pieces, "<pad>"])}
    folder = write(tmp_path / "m", **models, vocab__json=listed)
    sides: dict[str, Any] = {side: read(folder, side=side, start="<pad>") for side in ("source", "target")}
    plan = encoder_decoder(vocab=len(listed), **SIZES)
    translator = Translator(Model(plan, 1).eval(), sides, (), Decoding(beam=2))
    source = sides["source"]
    assert translator.encode("The dog") == [*source.encode("The dog"), listed["</s>"]]
    assert (translator.options().start, translator.options().end) == (listed["<pad>"], listed["</s>"])
    (found,) = translator.answer(["The lazy dog."])
    (piece,) = found.pieces
    assert piece.source == translator.encode("The lazy dog.")
    assert found.text == sides["target"].decode(piece.hypothesis.ids)
    assert [token.piece for token in found.tokens][-1:] == ["</s>"] * piece.hypothesis.finished or not found.finished
