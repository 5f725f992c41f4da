"""What a classifier learns from: examples with labels, from files to tables of word numbers in the run's folder."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Literal

import msgspec
import numpy as np
import numpy.typing as npt

from ...config import Data, Recipe
from ...data.holding import Parts, parts
from ...data.labelled import Answer, Example, names_of, read_examples
from ...data.spelled import END, START, Words
from ...data.table import Table
from ...errors import UserError
from ...model.plan import Tokens
from ...train.run import require_memory
from ..beginning import keep_start, located, look, planned, settled, vocabulary
from ..closing import write
from ..examples import finish, key_for, made, ordered, read_kept, tokenizer_for, told

METRICS = {
    "one": ("loss", "accuracy", "f1"),
    "several": ("loss", "accuracy", "f1"),
    "number": ("loss", "correlation"),
}


class Kept(msgspec.Struct, kw_only=True):
    """What is known of a run's examples beside their tables; and by the finished model, of its answers.

    `labels` are the names of classes, in the order of their numbers; numbers are learned less `mean`, divided by
    `deviation`. `counts` of the labels in training are in their order; `notes` are rows about the data; `fields` and
    `label_until` say how its files were read. `pairs`: examples are of two texts (None: it is not known, and both one
    and two are read).
    """

    kind: Literal["one", "several", "number"]
    pairs: bool | None
    fields: tuple[str, ...] = ()
    label_until: str = ""
    labels: list[str] = []
    mean: float = 0.0
    deviation: float = 1.0
    counts: list[int] = []
    notes: list[tuple[str, str]] = []

    @property
    def data(self) -> Data:
        """How files with answers are read."""
        return Data(fields=self.fields, labels=self.kind, label_until=self.label_until)

    @property
    def outputs(self) -> int:
        return 1 if self.kind == "number" else len(self.labels)

    def target(self, example: Example) -> npt.ArrayLike:
        """What the head is to say; UserError for a label that training does not have."""
        answer = example.answer
        if self.kind == "number":
            assert isinstance(answer, float)
            return np.array([(answer - self.mean) / self.deviation], np.float32)
        wanted = [answer] if isinstance(answer, str) else answer
        assert isinstance(wanted, (list, tuple))
        for label in wanted:
            if label not in self.labels:
                known = ", ".join(self.labels[:8]) + (" ..." if len(self.labels) > 8 else "")
                raise UserError(f"{example.where}: the label {label!r} is not one of training's: {known}")
        places = [self.labels.index(label) for label in wanted]
        if self.kind == "one":
            return places
        return np.isin(np.arange(len(self.labels)), places).astype(np.int64)


def complete(recipe: Recipe, root: Path | None = None) -> Recipe:
    """The recipe with files found and sizes chosen; UserError for what could only fail later."""
    recipe = located(recipe, root)
    recipe = settled(recipe, vocabulary(recipe))
    data, training = recipe.data, recipe.training
    if data.labels == "number" and training.metric == "accuracy":
        training = msgspec.structs.replace(training, metric="correlation")
    if training.metric not in METRICS[data.labels]:
        known = ", ".join(METRICS[data.labels])
        raise UserError(
            f"training.metric = {training.metric!r}; with data.labels = {data.labels!r} it is one of {known}"
        )
    if training.r_drop and data.labels != "one":
        raise UserError("training.r_drop is for data.labels = 'one'; set it to 0")
    start = look(training.start).plan if training.start is not None else None
    assert recipe.tokenizer.size is not None
    plan = planned(recipe, recipe.tokenizer.size, start)
    embedding = plan.stream("text").embedding
    pairs = len(names_of(data.fields)) > 2
    if start is None and pairs and isinstance(embedding, Tokens) and embedding.segments < 2:
        raise UserError(f"model.segments = {embedding.segments}; pairs of texts need 2")
    require_memory(plan, averaged=training.ema > 0)
    return msgspec.structs.replace(recipe, training=training)


def prepare(recipe: Recipe, folder: Path) -> list[str]:
    """Tokenizer, tables "train" and "dev", spellings and `Kept`, made in `folder` or found there."""
    said, start = keep_start(recipe, folder)
    data = recipe.data
    key = key_for(recipe, start, fields=data.fields, labels=data.labels, until=data.label_until)
    if made(folder, key):
        return [*said, *told(read_kept(folder, Kept).notes)]
    read = lambda files: [example for file in files for example in read_examples(Path(file), data)]
    where = ", ".join(data.train)
    found = parts(
        read(data.train), read(data.dev), read(data.test), lambda one: one.texts, recipe.seed, data.dev_share, where
    )
    texts = (text for example in found.train for text in example.texts)
    words, kept = Words(tokenizer_for(recipe, folder, key, start, texts)), _kept(recipe, found, folder)
    cut = 0
    for name, examples in (("train", found.train), ("dev", found.dev)):
        table, shortened = table_of(examples, words, data.longest, kept)
        table.save(folder / f"{name}.safetensors", key)
        cut += shortened
    if cut:
        kept.notes.append((f"cut after data.longest = {data.longest} tokens", f"{cut:,}"))
    write_examples(folder / "dev.jsonl", found.dev)
    finish(recipe, folder, key, words, kept)
    return [*said, *told(kept.notes)]


def _kept(recipe: Recipe, found: Parts[Example], folder: Path) -> Kept:
    data = recipe.data
    kept = Kept(
        kind=data.labels, pairs=len(found.train[0].texts) > 1, notes=found.notes, fields=data.fields,
        label_until=data.label_until,
    )  # fmt: skip
    answers = [example.answer for example in found.train]
    if kept.kind == "number":
        values = np.array(answers, np.float64)
        kept.mean, kept.deviation = float(values.mean()), float(values.std()) or 1.0
        return kept
    counts = Counter(label for answer in answers for label in labels_of(answer))
    kept.labels = ordered(sorted(counts), recipe, folder)
    kept.counts = [counts[label] for label in kept.labels]
    if len(kept.labels) < (2 if kept.kind == "one" else 1):
        raise UserError(f"{', '.join(recipe.data.train)}: the only label is {', '.join(kept.labels) or 'none'}")
    for example in found.dev:
        kept.target(example)
    return kept


def labels_of(answer: Answer) -> Sequence[str]:
    """The labels of an example."""
    assert not isinstance(answer, float)
    return [answer] if isinstance(answer, str) else answer


def table_of(examples: Sequence[Example], words: Words, longest: int, kept: Kept | None = None) -> tuple[Table, int]:
    """Rows [start] a [end], or [start] a [end] b [end] (or two ends between, as the tokenizer says), as numbers of
    words; how many had to be cut.

    "second" has for each row the number of its words before the second text. Of a pair the longer text loses its last
    words first (Devlin et al. 2019, released code). Without `kept` there are no answers.
    """
    rows, seconds, shortened = [], [], 0
    start, end = words.number(START), words.number(END)
    for example in examples:
        texts = [words.of(text) for text in example.texts]
        between = words.tokenizer.between if len(texts) > 1 else 1
        room = longest - between - len(texts)
        fitted = _fitted(words, texts, room)
        shortened += fitted != texts
        row = [start, *fitted[0], *[end] * between]
        seconds.append([len(row)])
        rows.append([*row, *fitted[1], end] if len(fitted) > 1 else row)
    columns = {"word": rows, "second": seconds}
    if kept is not None:
        columns["label"] = [kept.target(example) for example in examples]  # type: ignore[misc]
    return Table.of(("word",), columns), shortened


def _fitted(words: Words, texts: list[list[int]], room: int) -> list[list[int]]:
    """The texts with at most `room` ids together."""
    sizes = [words.count(text) for text in texts]
    if sum(sizes) <= room:
        return texts
    if len(texts) == 1:
        return [words.fitting(texts[0], room)]
    half = room // 2
    first = min(sizes[0], max(half, room - sizes[1]))
    return [words.fitting(texts[0], first), words.fitting(texts[1], room - first)]


# ---- what is kept of it in the run's folder --------------------------------------------------------------------------


class _Line(msgspec.Struct):
    texts: list[str]
    answer: str | list[str] | float
    where: str


def write_examples(path: Path, examples: Iterable[Example]) -> None:
    """Examples as JSONL, to be scored when the run is finished."""
    write(path, b"".join(msgspec.json.encode(_Line(list(e.texts), e.answer, e.where)) + b"\n" for e in examples))  # type: ignore[arg-type]


def reread_examples(path: Path) -> list[Example]:
    """What `write_examples` wrote."""
    try:
        lines = [msgspec.json.decode(line, type=_Line) for line in path.read_bytes().split(b"\n") if line]
    except (OSError, msgspec.DecodeError, UnicodeDecodeError) as error:
        raise UserError(f"{path}: {error}; begin the run again") from None
    several = lambda answer: tuple(answer) if isinstance(answer, list) else answer
    return [Example(tuple(line.texts), several(line.answer), line.where) for line in lines]
