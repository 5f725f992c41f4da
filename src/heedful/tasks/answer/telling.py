"""What is told of answers that were judged: figures under the official scripts' names, and tables for a page."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from typing import Any

from ...page import render
from ...page.render import Markup, Section
from .judging import Judged, best_with, mean, right_of

WORST = 20
AROUND = 60  # characters of the context that are shown on either side of an answer
_KINDS = re.compile(
    r"\b(?:(how (?:many|much))|(how)|(whom|whose|who)|(when|what (?:year|date|day|month)|which (?:year|date|day|month))"
    r"|(where)|(why)|(which)|(what))\b",
    re.IGNORECASE,
)
KINDS = ("how many", "how", "who", "when", "where", "why", "which", "what")
LENGTHS = ((1, "1"), (2, "2"), (3, "3"), (5, "4 or 5"), (9, "6 to 9"), (10**9, "10 or more"))


def figures(judged: Sequence[Judged], threshold: float | None) -> dict[str, Any]:
    """Percentages, under the names that evaluate-v2.0.py prints."""
    found: dict[str, Any] = _figures("", judged)
    answerable = [one for one in judged if one.question.answers]
    none = [one for one in judged if not one.question.answers]
    if none:
        found |= _figures("HasAns_", answerable) | _figures("NoAns_", none)
        best = best_with(judged)
        found |= {"best_f1": 100 * best.score, "best_f1_thresh": best.odds, "threshold": threshold}
    return found


def _figures(prefix: str, judged: Sequence[Judged]) -> dict[str, Any]:
    scores = mean([one.score for one in judged])
    return {f"{prefix}exact": 100 * scores.exact, f"{prefix}f1": 100 * scores.f1, f"{prefix}total": len(judged)}


def rows(told: dict[str, Any]) -> list[tuple[str, str, str]]:
    """Figures as rows (metric, score, of what)."""
    found = [
        ("Exact match", f"{told['exact']:.2f}", f"of {told['total']:,} questions, by the rules of SQuAD"),
        ("F1", f"{told['f1']:.2f}", "of the words of answers"),
    ]
    if "NoAns_total" in told:
        has, none = told["HasAns_total"], told["NoAns_total"]
        found += [
            ("Exact match, answerable", f"{told['HasAns_exact']:.2f}", f"of {has:,} questions with an answer"),
            ("F1, answerable", f"{told['HasAns_f1']:.2f}", ""),
            ("Not answerable", f"{told['NoAns_exact']:.2f}", f"of {none:,} without one were left unanswered"),
            ("Best F1", f"{told['best_f1']:.2f}", f"with the threshold {told['best_f1_thresh']:.2f} on null odds"),
        ]
    return found


def sections(judged: Sequence[Judged]) -> list[Section]:
    """Where answers are good and where not: by question word, by length, by how sure the model is; the worst."""
    found = [
        Section(
            "By kind of question",
            "By the first question word; what year and the like count as when.",
            (_table("Question", judged, kind_of, (*KINDS, "other")),),
        ),
        Section(
            "By length of the answer",
            "In words of the shortest right answer.",
            (_table("Words", judged, length_of, ("no answer", *(name for _, name in LENGTHS))),),
        ),
        Section(
            "How far its probability can be trusted",
            "Of answers given with so much probability, so many are exactly right; trusted best where both are alike.",
            (_sure(judged),),
        ),
    ]
    wrong = sorted(
        (one for one in judged if not one.score.exact), key=lambda one: (one.score.f1, -one.answer.probability)
    )
    if wrong:
        lead = "Of the least F1 those first that the model was surest of."
        found.append(Section("Worst errors", lead, (_worst(wrong[:WORST]),)))
    return found


def kind_of(one: Judged) -> str:
    """The kind of a question, by its first question word."""
    match = _KINDS.search(one.question.question)
    return "other" if match is None or match.lastindex is None else KINDS[match.lastindex - 1]


def length_of(one: Judged) -> str:
    """The words of the shortest right answer, in steps."""
    if not one.question.answers:
        return "no answer"
    words = min(len(answer.text.split()) for answer in one.question.answers)
    return next(name for most, name in LENGTHS if words <= most)


def _table(head: str, judged: Sequence[Judged], key: Callable[[Judged], str], order: Sequence[str]) -> Markup:
    lines = []
    for name in order:
        if some := [one.score for one in judged if key(one) == name]:
            scores = mean(some)
            figures = (f"{len(some):,}", f"{100 * scores.exact:.1f}", f"{100 * scores.f1:.1f}", render.bar(scores.f1))
            lines.append((name, *figures))
    return render.table((head, "Questions", "Exact match", "F1", ""), lines, ("text", "number", "number", "number"))


def _sure(judged: Sequence[Judged]) -> Markup:
    lines = []
    for step in range(5):
        low, high = step / 5, (step + 1) / 5
        some = [
            one
            for one in judged
            if low <= one.answer.probability < high or (step == 4 and one.answer.probability >= high)
        ]
        if some:
            sure, right = sum(one.answer.probability for one in some) / len(some), mean([one.score for one in some])
            lines.append((f"{low:.1f} to {high:.1f}", f"{len(some):,}", f"{sure:.2f}", f"{right.exact:.2f}"))
    head = ("Probability", "Answers", "Mean probability", "Exactly right")
    return render.table(head, lines, ("text", "number", "number", "number"))


def _worst(wrong: Sequence[Judged]) -> Markup:
    lines = []
    for one in wrong:
        said = one.answer.text or "(no answer)"
        lines.append(
            (one.question.question, said, right_of(one.question), f"{one.answer.probability:.2f}", _around(one))
        )
    return render.table(("Question", "Answer", "Right", "Probability", "Where the answer was found"), lines)


def _around(one: Judged) -> str:
    answer, context = one.answer, one.question.context
    if answer.start is None or answer.end is None:
        return ""
    first, end = max(0, answer.start - AROUND), min(len(context), answer.end + AROUND)
    return "…" * (first > 0) + context[first:end] + "…" * (end < len(context))
