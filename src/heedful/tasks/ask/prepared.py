"""The data of a run on disk: tokenizer, pictures, tables of questions, and the answers that are told apart."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from itertools import islice
from pathlib import Path
from typing import Any, NamedTuple

import msgspec
import numpy as np
import numpy.typing as npt

from ...config import Recipe
from ...data.gallery import Gallery, open_gallery, prepare_gallery, sight_from
from ...data.shards import key_of
from ...data.table import Table
from ...data.texts import READ_FOR_TOKENIZER, kept_tokenizer, trained_as
from ...errors import UserError
from ...model.files import read_config
from ...text.tokenizer import Tokenizer
from ..beginning import keep_start, sight_of_start, task_of_start
from ..closing import write
from .examples import Answers, Example, Parts, pictures_of, read_parts

Ids = npt.NDArray[np.int64]


class Prepared(NamedTuple):
    """Columns of the tables: `text` ids from start to end, `picture` one or two numbers in the gallery, `answer` ids
    and `credit` of what is known and right; `count` says of how many pictures the rows are."""

    tokenizer: Tokenizer
    answers: Answers
    gallery: Gallery
    train: Table
    dev: Table

    def longest_picture(self, table: Table) -> int:
        """Most rows of the picture stream that an example of a table has."""
        return int(self.gallery.lengths.max()) * int(table.lengths("picture").max())


def prepare(recipe: Recipe, folder: Path) -> list[str]:
    """Make the run's data in `folder`, or find it there; lines about it."""
    lines, given = keep_start(recipe, folder)
    files = [Path(file) for file in (*recipe.data.train, *recipe.data.dev)]
    settings = {
        "data": repr(recipe.data), "tokenizer": repr(recipe.tokenizer), "pictures": repr(recipe.pictures),
        "seed": recipe.seed, "given": given.fingerprint if given else "",
    }  # fmt: skip
    key = key_of(files, [], settings)
    try:
        told = _told(folder)
        if told["key"] == key:
            open_all(folder)
            return [*lines, *told["lines"]]
    except UserError:
        pass
    parts = read_parts(recipe)
    for what, examples in zip(("training", "validation"), parts, strict=True):
        if not examples:
            raise UserError(f"{', '.join(recipe.data.train)}: no question is left for {what}; change data.dev_share")
    answers = Answers.of(parts.train, recipe.data.labels == "several", recipe.data.answers)
    lines += _make(recipe, folder, key, parts, answers, given)
    told = {"key": key, "answers": answers.words, "several": answers.several, "lines": lines}
    write(folder / "answers.json", json.dumps(told, ensure_ascii=False).encode())
    return lines


def _make(recipe: Recipe, folder: Path, key: str, parts: Parts, answers: Answers, given: Tokenizer | None) -> list[str]:
    train = [one for one in parts.train if answers.wanted(one)]
    pictures, numbers = pictures_of([*train, *parts.dev], recipe.pictures)
    gallery = prepare_gallery(recipe.pictures, folder / "pictures", pictures, sight_of_start(recipe, folder))
    _require_same_sight(recipe, folder, gallery)
    tokenizer = given or kept_tokenizer(folder, key, lambda: _tokenizer(recipe, train))
    if given is not None:
        given.save(folder / "tokenizer.json")
    place, task = 0, task_of_start(recipe, folder)
    for name, examples in (("train", train), ("dev", parts.dev)):
        end = place + sum(len(one.pictures) for one in examples)
        table = table_of(examples, numbers[place:end], tokenizer, answers, recipe.data.longest, task)
        table.save(folder / f"{name}.safetensors", key)
        place = end
    lines = [
        f"{name}: {len(some):,} questions about {len({row.name for one in some for row in one.pictures}):,} pictures"
        for name, some in (("train", train), ("dev", parts.dev))
    ]
    lines.append(f"answers: {len(answers):,}" + f" ({', '.join(answers.words[:8])})" * (len(answers) <= 8))
    if rare := len(parts.train) - len(train):
        lines.append(f"train: {rare:,} questions left out, with answers beyond the {len(answers):,} most frequent")
    if strange := sum(not answers.wanted(one) for one in parts.dev):
        lines.append(f"dev: {strange:,} questions have answers that training has not; they count as wrong")
    return lines


def table_of(
    examples: Sequence[Example], numbers: Ids, tokenizer: Tokenizer, answers: Answers, longest: int,
    task: int | None = None,
) -> Table:  # fmt: skip
    """The examples as columns; `numbers` are those of their pictures, in order."""
    wanted = [answers.wanted(one) for one in examples]
    ends = np.cumsum([len(one.pictures) for one in examples])
    return Table.of(
        ("text",),
        {
            "text": [
                text_ids(tokenizer, ids, longest, task) for ids in tokenizer.encode_many([x.question for x in examples])
            ],
            "picture": np.split(numbers, ends[:-1]) if examples else [],
            "answer": [np.array([*one], np.int64) for one in wanted],
            "credit": [np.array([*one.values()], np.float32) for one in wanted],
        },
    )


def text_ids(tokenizer: Tokenizer, ids: Sequence[int], longest: int, task: int | None = None) -> Ids:
    """A question between its start (BERT's [CLS]; the task's number, if there is one) and its end, cut to `longest`
    tokens."""
    begin = [tokenizer.start] if task is None else [tokenizer.start, task]
    return np.array([*begin, *ids[: longest - 1 - len(begin)], tokenizer.end], np.int64)


def _tokenizer(recipe: Recipe, examples: Iterable[Example]) -> Tokenizer:
    lines = islice((one.question for one in examples), READ_FOR_TOKENIZER)
    return trained_as(recipe.tokenizer, lines)


def _require_same_sight(recipe: Recipe, folder: Path, gallery: Gallery) -> None:
    """UserError where the model that the run starts from sees pictures otherwise."""
    if recipe.training.start is None or sight_of_start(recipe, folder) is not None:
        return
    sight = sight_from(read_config(folder / "start")[1].get("pictures"), recipe.training.start)
    if sight != gallery.sight:
        raise UserError(f"{recipe.training.start}: sees pictures as {sight}, and [pictures] says {gallery.sight}")


def _told(folder: Path) -> dict[str, Any]:
    path = folder / "answers.json"
    try:
        return msgspec.json.decode(path.read_bytes(), type=dict[str, Any])
    except (OSError, msgspec.DecodeError) as error:
        raise UserError(f"{path}: cannot be read: {error}; prepare the data again") from None


def open_all(folder: Path) -> Prepared:
    """What `prepare` made; UserError if it is missing or damaged."""
    told = _told(folder)
    tables = (Table.open(folder / f"{name}.safetensors", told["key"]) for name in ("train", "dev"))
    answers = Answers(told["answers"], told["several"])
    tokenizer = Tokenizer.load(folder / "tokenizer.json")
    return Prepared(tokenizer, answers, open_gallery(folder / "pictures"), *tables)
