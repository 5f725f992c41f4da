"""Questions about texts, as SQuAD has them (Rajpurkar et al. 2016; 2018 for those without an answer).

Either SQuAD's JSON (articles of paragraphs, each a context with questions), or JSONL with a "question", its "context"
and "answers" in every line; each may be .gz. An answer is its text and "answer_start", the character of the context at
which it begins. A question without answers has none in its context. Nothing is asked for but text where only the
questions are read.
"""

from __future__ import annotations

import gzip
import zlib
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

import msgspec

from ..errors import UserError
from .records import read_records, suffix_of

LONGEST = 2**31  # bytes of a JSON file, which is read whole

Drop = Callable[[str, str, str], None]  # why, where, and what


class Answer(msgspec.Struct, frozen=True):
    """The right answer, context[start:end]; `start` is -1 if that place does not hold the text."""

    text: str
    start: int

    @property
    def end(self) -> int:
        return self.start + len(self.text)


class Question(msgspec.Struct, frozen=True):
    """`answers` may be several that are equally right; none: the context has no answer. `article` is what it is from.

    `wrong` says that the question has answers, but the place of none of them is known: it is only good for scoring.
    """

    id: str
    question: str
    context: str
    answers: tuple[Answer, ...] = ()
    article: str = ""

    @property
    def placed(self) -> tuple[Answer, ...]:
        """The answers whose place is known."""
        return tuple(answer for answer in self.answers if answer.start >= 0)

    @property
    def wrong(self) -> bool:
        return bool(self.answers) and not self.placed


def read_questions(path: Path, drop: Drop | None = None, answers: bool = True) -> list[Question]:
    """The questions of a file. Without `answers` these are not looked at.

    `drop` is told of every answer whose text is not where it is said to be. UserError for a file of another form, and
    for an id that is there twice.
    """
    found: list[Question] = []
    seen: dict[str, str] = {}
    for question, where in _read(path, drop or _nowhere, answers):
        if question.id in seen:
            raise UserError(f'{where}: the id "{question.id}" was there before ({seen[question.id]}); ids must differ')
        seen[question.id] = where
        found.append(question)
    return found


def hold_out(questions: list[Question], share: float) -> tuple[list[Question], list[Question]]:
    """Questions to train on, and those of the last articles (of the last contexts, where there is but one article).

    No context is in both; either is empty where all questions are about one.
    """
    several = len({one.article for one in questions}) > 1
    groups = list(dict.fromkeys((one.article if several else one.context) for one in questions))
    kept = set(groups[: max(1, min(len(groups) - 1, round(len(groups) * (1 - share))))])
    inside = lambda one: (one.article if several else one.context) in kept
    return [one for one in questions if inside(one)], [one for one in questions if not inside(one)]


def _nowhere(why: str, where: str, what: str) -> None:
    pass


def _read(path: Path, drop: Drop, answers: bool) -> Iterator[tuple[Question, str]]:
    if suffix_of(path) == ".jsonl":
        yield from _read_lines(path, drop, answers)
    elif suffix_of(path) == ".json":
        yield from _read_articles(path, drop, answers)
    else:
        raise UserError(f"{path}: questions are read from .json in the form of SQuAD, and from .jsonl (or .gz)")


def _read_lines(path: Path, drop: Drop, answers: bool) -> Iterator[tuple[Question, str]]:
    names = ("question", "context", "id", "answers", "title")
    for number, ((question, context, name, given, title), where) in enumerate(
        read_records(path, names, optional=names[2:]), 1
    ):
        if isinstance(name, int):
            name = str(name)
        texts = _text(question, "question", where), _text(context, "context", where)
        own = str(number) if name is None else _text(name, "id", where)
        right = _answers(given, texts[1], where, drop) if answers else ()
        yield Question(own, *texts, right, "" if title is None else _text(title, "title", where)), where


def _read_articles(path: Path, drop: Drop, answers: bool) -> Iterator[tuple[Question, str]]:
    for number, article in enumerate(_list(_content(path), "data", str(path))):
        at = f"{path}: data[{number}]"
        for place, paragraph in enumerate(_list(article, "paragraphs", at)):
            inside = f"{at}.paragraphs[{place}]"
            context = _text(_get(paragraph, "context", inside), "context", inside)
            for order, asked in enumerate(_list(paragraph, "qas", inside)):
                where = f"{inside}.qas[{order}]"
                name, question = (_text(_get(asked, key, where), key, where) for key in ("id", "question"))
                given = () if asked.get("is_impossible") is True else asked.get("answers")
                title = article.get("title")
                right = _answers(given, context, f'{where} (id "{name}")', drop) if answers else ()
                yield Question(name, question, context, right, title if isinstance(title, str) else ""), where


def _answers(given: Any, context: str, where: str, drop: Drop) -> tuple[Answer, ...]:
    """The answers, those that are somewhere else with no place."""
    if isinstance(given, dict) and set(given) >= {"text", "answer_start"}:  # columns, as data sets on the hub have them
        texts, starts = given["text"], given["answer_start"]
        if not isinstance(texts, list) or not isinstance(starts, list) or len(texts) != len(starts):
            raise UserError(f'{where}: "answers" has not as many texts as places')
        given = [{"text": text, "answer_start": start} for text, start in zip(texts, starts, strict=True)]
    if given is None:
        return ()
    if not isinstance(given, (list, tuple)):
        raise UserError(f'{where}: "answers" is {_shown(given)}, not a list')
    found = []
    for one in given:
        text, start = _text(_get(one, "text", where), "text", where), one.get("answer_start")
        if not isinstance(start, int) or isinstance(start, bool):
            raise UserError(f'{where}: "answer_start" is {_shown(start)}, not a number of characters')
        if not text.strip():
            drop("an answer without text", where, text)
        elif start < 0 or context[start : start + len(text)] != text:
            near = f"character {start} begins {_shown(context[start : start + 20])}" if start >= 0 else f"{start} < 0"
            drop("an answer that is not at its answer_start", where, f"{_shown(text)}, but {near}")
            found.append(Answer(text, -1))
        else:
            found.append(Answer(text, start))
    return tuple(dict.fromkeys(found))


def _content(path: Path) -> Any:
    try:
        with gzip.open(path) if path.suffix == ".gz" else path.open("rb") as file:
            raw = file.read(LONGEST + 1)
    except (EOFError, gzip.BadGzipFile, zlib.error) as error:
        raise UserError(f"{path}: damaged gzip file ({error}); fetch or compress it again") from None
    except OSError as error:
        raise UserError(f"{path}: cannot be read: {error.strerror or error}") from None
    if len(raw) > LONGEST:
        raise UserError(f"{path}: more than {LONGEST:,} bytes; split it, or write JSONL, which is read line by line")
    try:
        return msgspec.json.decode(raw.removeprefix(b"\xef\xbb\xbf"))
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise UserError(f"{path}: is not JSON: {error}") from None


def _list(value: Any, key: str, where: str) -> Iterable[Any]:
    found = _get(value, key, where)
    if not isinstance(found, list):
        raise UserError(f'{where}: "{key}" is {_shown(found)}, not a list')
    return found


def _get(value: Any, key: str, where: str) -> Any:
    if not isinstance(value, dict) or key not in value:
        known = f"its keys are {', '.join(list(value)[:8]) or 'none'}" if isinstance(value, dict) else _shown(value)
        raise UserError(f'{where}: there is no "{key}" ({known}); is it in the form of SQuAD?')
    return value[key]


def _text(value: Any, name: str, where: str) -> str:
    if not isinstance(value, str):
        raise UserError(f'{where}: "{name}" is {_shown(value)}, not a text')
    return value


def _shown(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 60 else text[:57] + "..."
