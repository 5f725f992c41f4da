"""What a translator answers, and how answers are made of the hypotheses for their parts."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from ...decode.options import Hypothesis, Options


class Token(NamedTuple):
    """A target token in its written form ("▁Hund", "</s>"), and its log-probability."""

    piece: str
    logprob: float


class Piece(NamedTuple):
    """What the model read (a sentence, or less) and said: ids as `decode` takes and gives them, for a closer look."""

    source: list[int]
    target: list[int]


@dataclass(frozen=True)
class Alternative:
    """Another translation of a text, as good as `Answer` by what can be checked if `problems` is empty."""

    text: str
    score: float
    logprob: float
    problems: tuple[str, ...] = ()


@dataclass(frozen=True)
class Answer:
    """A translation.

    `logprob` is the log-probability of all tokens, ends included, and `score` that under the length penalty; what was
    only copied counts nothing. `problems` says what of the source is not in the text as it should be (a number, a tag).
    `alternatives` are other texts, best first. `finished` is False where an answer was cut at its longest length.
    """

    text: str
    score: float = 0.0
    logprob: float = 0.0
    tokens: list[Token] = field(default_factory=list)
    alternatives: list[Alternative] = field(default_factory=list)
    problems: tuple[str, ...] = ()
    pieces: list[Piece] = field(default_factory=list)
    finished: bool = True


class Draft(NamedTuple):
    """The translation of a part of a text, and the hypotheses it is made of, each with the source ids it answers."""

    text: str
    said: tuple[tuple[list[int], Hypothesis], ...] = ()
    problems: tuple[str, ...] = ()

    @property
    def logprob(self) -> float:
        """Of all its tokens."""
        return sum(sum(hypothesis.logprobs or ()) for _, hypothesis in self.said)

    def score(self, options: Options) -> float:
        """Under the length penalty, as the hypotheses themselves are scored."""
        if len(self.said) == 1:
            return self.said[0][1].score
        length = sum(len(hypothesis.logprobs or ()) for _, hypothesis in self.said)
        return options.normalized(self.logprob, length) if length else 0.0


def joined(parts: Sequence[Draft]) -> Draft:
    """Drafts side by side as one."""
    return Draft(
        "".join(part.text for part in parts),
        tuple(said for part in parts for said in part.said),
        tuple(problem for part in parts for problem in part.problems),
    )


def best_joined(parts: Sequence[Sequence[Draft]], options: Options) -> list[Draft]:
    """The `options.best` likeliest ways to take one draft of each part; equal texts are one, the likeliest."""
    if options.best == 1:
        return [joined([drafts[0] for drafts in parts])]
    ways = [Draft("")]
    for drafts in parts:
        longer = [joined([way, draft]) for way in ways for draft in drafts]
        if len(ways) > 1:
            longer.sort(key=lambda draft: -draft.score(options))
        distinct: dict[str, Draft] = {}
        for draft in longer:
            distinct.setdefault(draft.text, draft)
        ways = list(distinct.values())[: options.best]
    return ways
