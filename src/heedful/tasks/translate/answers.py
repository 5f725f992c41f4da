"""What a translator answers, and how answers are made of the hypotheses for their parts."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from ...decode.options import Hypothesis, Options
from ...text.tokenizer import Tokenizer


class Token(NamedTuple):
    """A target token in its written form ("▁Hund", "</s>"), and its log-probability."""

    piece: str
    logprob: float


class Piece(NamedTuple):
    """What the model read (a sentence, or less) and what it said, as `decode` takes and gives it; for a closer look."""

    source: list[int]
    hypothesis: Hypothesis
    tokenizer: Tokenizer

    @property
    def tokens(self) -> list[Token]:
        """What it said, the end included."""
        ids = [*self.hypothesis.ids, self.tokenizer.end] if self.hypothesis.finished else self.hypothesis.ids
        return list(map(Token, self.tokenizer.pieces(ids), self.hypothesis.logprobs or ()))


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
    `alternatives` are other texts, best first. `pieces` is what the model read and said.
    """

    text: str
    score: float = 0.0
    logprob: float = 0.0
    alternatives: list[Alternative] = field(default_factory=list)
    problems: tuple[str, ...] = ()
    pieces: list[Piece] = field(default_factory=list)

    @property
    def tokens(self) -> list[Token]:
        """All that the model said, with log-probabilities; placeholders stand for what was put in their place."""
        return [token for piece in self.pieces for token in piece.tokens]

    @property
    def finished(self) -> bool:
        """Whether no piece of it was cut at its longest length."""
        return all(piece.hypothesis.finished for piece in self.pieces)


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
    """The `options.best` likeliest ways to take one draft of each part; equal texts are one, the likeliest.

    Samples of the parts make as many samples of the whole, best first, repeats included.
    """
    if options.best == 1:
        return [joined([drafts[0] for drafts in parts])]
    if options.sampling is not None:
        return sorted(_samples(parts, options.best), key=lambda draft: -draft.score(options))
    ways = [Draft("")]
    for drafts in parts:
        longer = [joined([way, draft]) for way in ways for draft in drafts]
        if len(ways) > 1:
            longer.sort(key=lambda draft: -draft.score(options))
        ways = distinct(longer)[: options.best]
    return ways


def _samples(parts: Sequence[Sequence[Draft]], count: int) -> list[Draft]:
    # Each part's stand in order of their scores: turned by one more place for every part, like does not meet like.
    turned = [[drafts[(number + turn) % len(drafts)] for number in range(count)] for turn, drafts in enumerate(parts)]
    return [joined(some) for some in zip(*turned, strict=True)]


def distinct(drafts: Sequence[Draft]) -> list[Draft]:
    """The drafts, of equal texts only the first."""
    found: dict[str, Draft] = {}
    for draft in drafts:
        found.setdefault(draft.text, draft)
    return list(found.values())
