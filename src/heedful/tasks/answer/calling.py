"""What `heedful answer` does: questions about one context, questions with contexts as lines of JSON, files of SQuAD."""

from __future__ import annotations

import math
import sys
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, BinaryIO

import msgspec

from ...data.questions import Question, read_questions
from ...data.readers import resolve
from ...errors import UserError
from ..finding import last_run
from .answerer import Answer, Answerer, load

MARK = b"\xef\xbb\xbf"  # of the byte order, which some editors put at the start of a text


@dataclass(frozen=True)
class Form:
    """How answers stand in the output: the text a line (empty: no answer); with `scores` its probability and a tab in
    front; the `best` candidates, each so; or with `json` an object."""

    json: bool = False
    scores: bool = False
    best: int | None = None

    def lines(self, question: str, answer: Answer, name: str | None = None) -> list[str]:
        """The lines of output for a question, without ends."""
        if self.json:
            own = {"question": question} if name is None else {"id": name, "question": question}
            return [msgspec.json.encode({**own, **asdict(answer)}).decode()]
        if self.best is not None:
            return [f"{one.probability:.4f}\t{one_line(one.text)}" for one in answer.best] or [""]
        text = one_line(answer.text)
        return [f"{answer.probability:.4f}\t{text}" if self.scores else text]


class Asked(msgspec.Struct, frozen=True):
    """A line of JSON on standard input; other keys are not looked at."""

    question: str
    context: str


def call(
    model: Path | None,
    questions: Sequence[str],
    context: Path | None,
    text: str | None,
    files: Sequence[Path],
    form: Form,
    threshold: float | None,
    root: Path | None,
    lines: BinaryIO,
    out: BinaryIO,
) -> None:
    """Answer `questions`, or else those in `files`, or else the `lines`, and write to `out`.

    What is wrong with the input is told before a model is loaded.
    """
    if context is not None and text is not None:
        raise UserError("--context and --text both give the context; leave one of them out")
    if files and (questions or context is not None or text is not None):
        raise UserError("--questions FILE has its own contexts; leave QUESTION, --context and --text out")
    if questions and context is None and text is None:
        raise UserError('a question needs a text to look in: --context FILE or --text "..."')
    if threshold is not None and math.isnan(threshold):
        raise UserError("--threshold is not a number; give null odds, inf to answer always, or leave it out")
    asked = [question for file in files for question in read_questions(resolve(file, root), answers=False)]
    given = text if context is None else _read(context, lines)
    if str(context) == "-" and not questions:
        raise UserError("the context is read from standard input, so the questions cannot be; give them as arguments")
    if model is None:
        model = last_run(task="answer")
        print(f"using {model}", file=sys.stderr)
    answerer = load(model)
    if threshold is not None:
        answerer.threshold = threshold
    if files:
        return _write_answers(answerer, asked, form, out)
    pairs = ((question, given) for question in questions) if questions else _pairs(lines, given)
    for question, where in pairs:
        assert where is not None
        answer = answerer.answer(question, where, form.best or 1)
        out.write("".join(f"{line}\n" for line in form.lines(question, answer)).encode("utf-8", "replace"))
        out.flush()


def predictions(answerer: Answerer, questions: Sequence[Question]) -> dict[str, str]:
    """The texts of answers by the questions' ids: what SQuAD's official scripts read."""
    answers = answerer.answers([(one.question, one.context) for one in questions])
    return {one.id: answer.text for one, answer in zip(questions, answers, strict=True)}


def one_line(text: str) -> str:
    """An answer as a line: every line end inside it is a space."""
    return text.replace("\r", " ").replace("\n", " ")


def _write_answers(answerer: Answerer, questions: Sequence[Question], form: Form, out: BinaryIO) -> None:
    """SQuAD's {id: text}, or a line for each question."""
    ids = [one.id for one in questions]
    if len(set(ids)) < len(ids):
        twice = next(name for place, name in enumerate(ids) if name in ids[:place])
        raise UserError(f'the id "{twice}" is in two of the files; answer them one at a time')
    if not (form.json or form.scores or form.best):
        out.write(msgspec.json.format(msgspec.json.encode(predictions(answerer, questions)), indent=1) + b"\n")
        return
    answers = answerer.answers([(one.question, one.context) for one in questions], form.best or 1)
    for one, answer in zip(questions, answers, strict=True):
        told = form.lines(one.question, answer, one.id)
        front = "" if form.json else f"{one_line(one.id)}\t"
        out.write("".join(f"{front}{line}\n" for line in told).encode("utf-8", "replace"))


def _pairs(lines: Iterable[bytes], context: str | None) -> Iterator[tuple[str, str]]:
    """Questions with their contexts: with a context each line is a question, else an object with both."""
    for number, raw in enumerate(lines, 1):
        line = raw.removeprefix(MARK) if number == 1 else raw
        if context is not None:
            yield line.rstrip(b"\r\n").decode("utf-8", "replace"), context
            continue
        try:
            one = msgspec.json.decode(line, type=Asked)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
            reason = "the line is empty" if not line.strip() else str(error)
            raise UserError(
                f'standard input:{number}: {reason}; without --context each line is {{"question": ..., "context": ...}}'
            ) from None
        yield one.question, one.context


def _read(path: Path, lines: BinaryIO) -> str:
    """A context, character by character as it is in the file; from `lines` for "-"."""
    try:
        raw: Any = lines.read() if str(path) == "-" else path.read_bytes()
        return raw.removeprefix(MARK).decode("utf-8")  # type: ignore[no-any-return]
    except UnicodeDecodeError as error:
        raise UserError(f"{path}: byte {error.start} is not UTF-8; save the text as UTF-8") from None
    except (OSError, ValueError) as error:
        raise UserError(f"{path}: cannot be read: {getattr(error, 'strerror', None) or error}") from None
