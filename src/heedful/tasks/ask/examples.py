"""Questions about pictures and their answers, from TSV, CSV and JSONL; and which answers a model can give."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from ...config import Pictures, Recipe
from ...data.gallery import found_all, unique
from ...data.pictures import Reference
from ...data.records import read_records, suffix_of
from ...errors import UserError
from ...text.draws import draws

NAMES = ("picture", "question", "answer", "second")
ENOUGH = 3  # annotators who agree; what fewer say is partly right (Antol et al. 2015, 3)


class Example(NamedTuple):
    """A question about one picture or two, and what annotators answered (often one of them; nobody, if it is asked)."""

    pictures: tuple[Reference, ...]
    question: str
    answers: tuple[str, ...]
    where: str


class Parts(NamedTuple):
    """The examples of training and those held out."""

    train: list[Example]
    dev: list[Example]


def read_examples(
    path: Path, fields: Sequence[str] = (), several: bool = False, answered: bool = True
) -> Iterator[Example]:
    """The examples of a file: values `picture`, `question`, `answer`, and `second` where there are two pictures.

    In JSONL a picture may also be a list of two, an answer true, false or a number, and with `several` a list of what
    each annotator said; in TSV and CSV those are separated by commas. `answered`: without an answer it is an error.
    """
    optional = ("second",) if answered else ("answer", "second")
    columns = suffix_of(path) != ".jsonl"
    for (picture, question, answer, second), where in read_records(path, NAMES, fields, optional):
        names = picture if isinstance(picture, list) else [picture, *([second] if second else [])]
        if not 1 <= len(names) <= 2 or not all(isinstance(name, str) and name for name in names):
            raise UserError(f"{where}: the picture is {picture!r}; it must be a file's name, or a list of two")
        if not isinstance(question, str) or not question.strip():
            raise UserError(f"{where}: the question is {question!r}, not a text")
        said = answer.split(",") if several and columns and answer else answer
        if isinstance(said, list) and not several:
            raise UserError(f'{where}: several answers; say so with data.labels = "several"')
        given = [] if said is None else [_text(one, where) for one in (said if isinstance(said, list) else [said])]
        if answered and not given:
            raise UserError(f"{where}: there is no answer")
        yield Example(tuple(Reference(name, where) for name in names), question, tuple(given), where)


def _text(answer: Any, where: str) -> str:
    if isinstance(answer, bool):
        return str(answer).lower()
    text = " ".join(str(answer).split()) if isinstance(answer, (str, int, float)) else ""
    if not text:
        raise UserError(f"{where}: the answer is {answer!r}; it must be a text, a number, true or false")
    return text


def read_parts(recipe: Recipe) -> Parts:
    """What is trained on and what is held out: the dev files, or all questions about a share of the pictures."""
    data = recipe.data
    read = lambda files: [
        one for file in files for one in read_examples(Path(file), data.fields, data.labels == "several")
    ]
    train = read(data.train)
    if data.dev:
        return Parts(train, read(data.dev))
    numbers: dict[str, int] = {}
    number = np.array([numbers.setdefault(one.pictures[0].name, len(numbers)) for one in train], np.int64)
    held = draws(recipe.seed, 0, 3, number) < np.uint64(int(data.dev_share * 2**64))
    kept = [one for one, out in zip(train, held, strict=True) if not out]
    return Parts(kept, [one for one, out in zip(train, held, strict=True) if out])


def pictures_of(
    examples: Iterable[Example], pictures: Pictures, root: Path | None = None
) -> tuple[list[Reference], npt.NDArray[np.int64]]:
    """Each picture once, its file found, and the number of every one that the examples name, in order.

    A picture has many questions: each name in each file of examples is looked for once.
    """
    places: dict[tuple[str, str], int] = {}
    named: list[Reference] = []
    order = []
    for one in examples:
        file = one.where.rpartition(":")[0]
        for picture in one.pictures:
            if (key := (file, picture.name)) not in places:
                places[key] = len(named)
                named.append(picture)
            order.append(places[key])
    found, numbers = unique(found_all(named, pictures, root))
    return found, numbers[np.array(order, np.int64)]


def credits_of(answers: Sequence[str]) -> dict[str, float]:
    """How right each answer is: all, if 3 annotators gave it (or all of fewer); else so many of those that it takes."""
    enough = min(ENOUGH, len(answers))
    return {answer: min(count / enough, 1.0) for answer, count in Counter(answers).items()}


class Answers:
    """The answers a model knows, most frequent first; `several`: each of them a yes or no of its own."""

    def __init__(self, words: Iterable[str], several: bool) -> None:
        self.words, self.several = tuple(words), several

    @classmethod
    def of(cls, examples: Iterable[Example], several: bool, most: int) -> Answers:
        """The `most` frequent ones of some examples; of two as frequent the first in the alphabet."""
        counts = Counter(answer for one in examples for answer in dict.fromkeys(one.answers))
        return cls(sorted(counts, key=lambda word: (-counts[word], word))[:most], several)

    def __len__(self) -> int:
        return len(self.words)

    @cached_property
    def number(self) -> dict[str, int]:
        return {word: number for number, word in enumerate(self.words)}

    def wanted(self, example: Example) -> dict[int, float]:
        """The credit of each answer that is known and (partly) right."""
        credits = credits_of(example.answers).items()
        return {self.number[word]: credit for word, credit in credits if word in self.number}
