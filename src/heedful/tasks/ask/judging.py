"""How good a model's answers are: accuracy, by kind of answer, what is confused with what, the surest mistakes."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

from msgspec import Struct

from ...page import render
from ...page.render import Section
from ..evaluated import Evaluated
from ..thumbnails import full_names, thumbnails
from .asker import Answered, Asker
from .examples import Answers, Example, credits_of

SHOWN = 20  # mistakes, and answers of a table
YES_NO = {"yes", "no", "true", "false"}


class Judged(NamedTuple):
    """An example, what the model said, and how right that is (0 to 1; in between where annotators differ)."""

    example: Example
    said: Answered
    credit: float

    @property
    def expected(self) -> str:
        """What most annotators said; the first of them where several are as many."""
        return Counter(self.example.answers).most_common(1)[0][0]


class Wrong(Struct, kw_only=True):
    """A mistake; `known` is whether training had the right answer."""

    pictures: list[str]
    question: str
    expected: str
    known: bool
    said: str
    probability: float


class Mistakes(Struct, kw_only=True):
    """What a page shows besides scores: of each answer how often it is right, was said, and which share of the first
    was found; (right, said, times); and the surest mistakes."""

    answers: list[tuple[str, int, int, float]]
    confused: list[tuple[str, str, int]]
    worst: list[Wrong]


def judge(asker: Asker, examples: Sequence[Example], features: Path | None = None) -> list[Judged]:
    """Every example with the model's answer; `features` as in `Asker.ask_many`."""
    said = map(asker.answered, asker.chances(examples, features))
    return [
        Judged(one, answered, credits_of(one.answers).get(answered.answer, 0.0))
        for one, answered in zip(examples, said, strict=True)
    ]


def kind_of(answer: str) -> str:
    """The kind of an answer, as VQA tells them apart (Antol et al. 2015, 3)."""
    if answer.casefold() in YES_NO:
        return "yes or no"
    return "number" if answer.replace(".", "", 1).isdigit() else "other"


def _mean(judged: Sequence[Judged]) -> float:
    return sum(one.credit for one in judged) / len(judged) if judged else 0.0


def evaluated(asker: Asker, judged: Sequence[Judged], of: str) -> Evaluated:
    """Scores and figures; `of` names the examples."""
    unknown = [one for one in judged if not asker.answers.wanted(one.example)]
    majority = Counter(one.expected for one in judged).most_common(1)
    figures: dict[str, Any] = {
        "questions": len(judged),
        "accuracy": _mean(judged),
        "by_kind": {name: {"questions": len(some), "accuracy": _mean(some)} for name, some in _kinds(judged).items()},
        "unknown": len(unknown),
        "confusion": [{"answer": a, "said": b, "count": n} for (a, b), n in _pairs(judged).most_common()],
    }
    note = "an answer that 3 annotators gave is right, of fewer in part" if asker.answers.several else ""
    rows: list[tuple[str, str, str]] = [("accuracy", f"{_mean(judged):.1%}", note or f"of {len(judged):,} questions")]
    if len(kinds := _kinds(judged)) > 1:
        rows += [(name, f"{_mean(some):.1%}", f"of {len(some):,} questions") for name, some in kinds.items()]
    if majority:
        rows.append(("commonest", f"{majority[0][1] / len(judged):.1%}", f"of the answers are {majority[0][0]!r}"))
    if unknown:
        rows.append(("unknown", f"{len(unknown):,}", "questions whose answers training had not: counted as wrong"))
    return Evaluated("Answers about pictures", f"{of}: {len(judged):,} questions", rows, figures)


def _kinds(judged: Sequence[Judged]) -> dict[str, list[Judged]]:
    found: dict[str, list[Judged]] = {}
    for one in judged:
        found.setdefault(kind_of(one.expected), []).append(one)
    return dict(sorted(found.items(), key=lambda item: -len(item[1])))


def _pairs(judged: Sequence[Judged]) -> Counter[tuple[str, str]]:
    """How often each answer was given where another was right."""
    return Counter((one.expected, one.said.answer) for one in judged)


def mistakes(judged: Sequence[Judged], answers: Answers) -> Mistakes:
    """By answer, confusions, and the surest mistakes."""
    counts, said = Counter(one.expected for one in judged), Counter(one.said.answer for one in judged)
    right = Counter(one.expected for one in judged if one.credit > 0.5)
    wrong = sorted((one for one in judged if one.credit == 0), key=lambda one: -one.said.probability)
    return Mistakes(
        answers=[(word, n, said[word], right[word] / n) for word, n in counts.most_common(SHOWN)],
        confused=[(a, b, n) for (a, b), n in _pairs(judged).most_common() if a != b][:SHOWN],
        worst=[
            Wrong(
                pictures=full_names(one.example.pictures),
                question=one.example.question,
                expected=one.expected,
                known=one.expected in answers.number,
                said=one.said.answer,
                probability=one.said.probability,
            )
            for one in _spread(wrong)
        ],
    )


def _spread(wrong: Sequence[Judged]) -> list[Judged]:
    """Some of the mistakes, from the first: one of each question, then a second of each, and so on."""
    seen: Counter[str] = Counter()
    turns = []
    for place, one in enumerate(wrong):
        turns.append((seen[one.example.question], place))
        seen[one.example.question] += 1
    return [wrong[place] for _, place in sorted(turns)[:SHOWN]]


def sections(found: Mistakes) -> list[Section]:
    """The same for a page, with the pictures."""
    by_answer = [(word, f"{count:,}", f"{said:,}", f"{share:.1%}") for word, count, said, share in found.answers]
    numbers = ("text", "number", "number", "number")
    parts: list[Section] = [
        Section(
            "By answer", "How often it is right, how often the model gave it, and how many of the first it found.",
            (render.table(("Answer", "Right", "Said", "Found"), by_answer, numbers),),
        )
    ]  # fmt: skip
    if found.confused:
        rows = [(a, b, f"{count:,}") for a, b, count in found.confused]
        table = render.table(("Right", "Said", "Times"), rows, ("text", "text", "number"))
        parts.append(Section("What is confused with what", "The commonest mistakes.", (table,)))
    if found.worst:
        head = ("Picture", "Question", "Right", "Said", "Probability")
        table = render.table(head, [_row(one) for one in found.worst])
        parts.append(
            Section("The surest mistakes", "Wrong, and sure of it; of as many questions as there are.", (table,))
        )
    return parts


def _row(one: Wrong) -> tuple[str, ...]:
    expected = one.expected if one.known else f"{one.expected} (not in training)"
    return thumbnails(one.pictures), one.question, expected, one.said, f"{one.probability:.1%}"
