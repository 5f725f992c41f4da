"""What `heedful ask` does: questions about a picture, or a file of them; a line for each answer."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

from ...data.pictures import Reference
from ...errors import UserError
from .asker import Answered, Asker
from .examples import Example, read_examples

FILES = (".jsonl", ".tsv", ".csv", ".gz")


def require_sense(picture: Path, questions: Sequence[str], second: Path | None) -> None:
    """UserError for what can be seen to be wrong before a model is loaded."""
    if picture.suffix in FILES and (questions or second):
        raise UserError(f"{picture}: a file of questions names its pictures and questions; leave the others out")
    if not all(one.strip() for one in questions):
        raise UserError("the question is empty")


def asked(
    picture: Path, questions: Sequence[str], second: Path | None, fields: Sequence[str], lines: Iterable[bytes]
) -> Iterator[list[Example]]:
    """Questions to answer together: all that are known; or, without any, line by line as they come (an empty line is an
    empty list)."""
    if picture.suffix in FILES:
        if examples := list(read_examples(picture, fields, answered=False)):
            yield examples
        return
    pictures = tuple(Reference(str(one), "picture") for one in (picture, second) if one is not None)
    if questions:
        yield [Example(pictures, one, (), "question") for one in questions]
        return
    for number, line in enumerate(lines, 1):
        text = line.decode("utf-8", "replace").rstrip("\n").rstrip("\r")
        yield [Example(pictures, text, (), f"standard input:{number}")] if text.strip() else []


def answers(
    asker: Asker,
    questions: Iterable[list[Example]],
    best: int | None,
    as_json: bool,
    features: Path | None,
    root: Path | None,
) -> Iterator[str]:
    """Lines of output, at least one for each line of input; `best` answers a line each, or in one line as JSON."""
    shown = best or (5 if as_json else 1)
    for examples in questions:
        if not examples:
            yield "{}" if as_json else ""
            continue
        for one, chances in zip(examples, asker.chances(examples, features, root), strict=True):
            answered = asker.answered(chances, shown)
            if as_json:
                yield _json(one.question, answered)
            else:
                yield from (f"{word}\t{chance:.4f}" for word, chance in answered.best.items())


def _json(question: str, answered: Answered) -> str:
    told = {
        "question": question,
        "answer": answered.answer,
        "probability": round(answered.probability, 6),
        "answers": {word: round(chance, 6) for word, chance in answered.best.items()},
    }
    return json.dumps(told, ensure_ascii=False)
