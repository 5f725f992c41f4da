"""What a decoding is asked for, and what it answers."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal

from ..errors import UserError
from .sampling import Sampling

Penalty = Literal["average", "gnmt", "hf"]

# What makes sense; a length of 100,000 to the power of `alpha` is still a number.
LIMITS = {
    "beam": (1, 1024),
    "best": (1, 1024),
    "batch": (1, 10**6),
    "alpha": (-10.0, 10.0),
    "patience": (1e-3, math.inf),
    "max_ratio": (0.0, 1000.0),
    "max_extra": (0, 100_000),
    "max_length": (1, 10**7),
    "min_length": (0, 10**7),
    "no_repeat_ngram": (0, 10**6),
    "repetition_penalty": (1e-3, 1000.0),
    "capacity": (1, 10**7),
}
PLAIN = ("alpha", "max_ratio", "patience", "repetition_penalty")  # numbers that need not be whole
LEFT_OUT = ("max_length", "capacity")  # those that may be None


@dataclass(frozen=True)
class Stop:
    """When an answer ends though no end token was said: asked after each token with the newest `reach` ids."""

    reach: int
    found: Callable[[Sequence[int]], bool]


@dataclass(frozen=True)
class Options:
    """How to decode; the defaults are greedy search with this library's token ids.

    `beam` hypotheses a sentence are followed (1: greedy search) and the `best` ones returned. With `sampling`, `beam`
    is ignored and `best` independent samples are drawn. Length penalties, with |Y| counting the end token:

    - "average": log-probability / |Y| ** alpha (alpha 1: the mean);
    - "gnmt": log-probability / ((5 + |Y|) / 6) ** alpha (Wu et al. 2016, equation 14; there alpha = 0.2 to 0.7);
    - "hf": "average" with the rules of Hugging Face's `generate` (`early_stopping=False`) for what is kept and when to
      stop; token for token its answers.

    Under the first two, a sentence is finished once `patience` x `beam` hypotheses have ended (Kasai et al. 2022), or
    no other can overtake them; with `patience` infinite only the latter, which is exact given the beam. A hypothesis
    that reaches its longest length there must end, and pays for the end token; greedy search, sampling and "hf" cut.

    An answer to n input tokens has at most max_ratio x n + max_extra tokens, and `max_length` if given, counting the
    end token. `start` is the first token decoded from; for a decoder-only model it goes before the prompt (None:
    nothing does). `end` None never ends early. `forced_first` and `forced_last` replace what the model would say at
    the first and at the last possible position. `banned` tokens are never chosen (the other chances stay as they are);
    `logit_bias` is added to logits. `min_length` bans the end token before that many tokens, itself included, and an
    answer may always have as many.

    `banned_phrases` are lists of ids that no answer holds. `restricted` ids are banned where an input does not list
    them as its own (`Wanted.once`). With `no_repeat_ngram` n, no n-gram of ids stands in an answer twice (0: off); it
    yields to a prefix and to what is required, and where nothing else could be said. See `Wanted` for what one input
    may ask of its answer.

    `repetition_penalty` divides the logit of each token that the prompt or the answer holds, or multiplies it where it
    is negative (Keskar et al. 2019, 4.1; under a beam it is the log-probability, as in Hugging Face's `generate`).
    `stop` ends greedy answers and samples. Of a decoder-only model `capacity` positions are read, prompt included: an
    answer ends where they are used up (None: as many as the model has).

    Sentences are decoded in batches of `batch`, near lengths together; answers do not depend on it beyond rounding.
    """

    beam: int = 1
    best: int = 1
    length_penalty: Penalty = "average"
    alpha: float = 1.0
    patience: float = 1.0
    max_ratio: float = 2.0
    max_extra: int = 30
    max_length: int | None = None
    min_length: int = 0
    sampling: Sampling | None = None
    start: int | None = 1
    end: int | None = 2
    forced_first: int | None = None
    forced_last: int | None = None
    banned: tuple[int, ...] = ()
    logit_bias: Mapping[int, float] = field(default_factory=dict)
    banned_phrases: tuple[tuple[int, ...], ...] = ()
    restricted: tuple[int, ...] = ()
    no_repeat_ngram: int = 0
    repetition_penalty: float = 1.0
    stop: Stop | None = None
    capacity: int | None = None
    batch: int = 64
    logprobs: bool = False

    def __post_init__(self) -> None:
        for name, (low, high) in LIMITS.items():
            value = getattr(self, name)
            whole = name not in PLAIN
            if value is None and name in LEFT_OUT:
                continue
            right = isinstance(value, int if whole else (int, float)) and not isinstance(value, bool)
            if not right or not low <= value <= high:  # also refuses what is not a number (nan)
                kind = "a whole number" if whole else "a number"
                raise UserError(f"{name} = {value!r}; it must be {kind} from {low:g} to {high:g}")
        if self.sampling is None and self.best > self.beam:
            raise UserError(f"best = {self.best} answers of a beam of {self.beam}; ask for at most {self.beam}")
        if self.max_length is not None and self.min_length > self.max_length:
            raise UserError(f"min_length = {self.min_length} is above max_length = {self.max_length}")
        if self.length_penalty not in ("average", "gnmt", "hf"):
            raise UserError(f"length_penalty = {self.length_penalty!r}; known: average, gnmt, hf")

    @property
    def slots(self) -> int:
        """Hypotheses of a sentence that are alive at a time."""
        return self.beam if self.sampling is None else self.best

    @property
    def constrained(self) -> bool:
        """Whether what may be said next depends on what has been said."""
        return bool(self.banned_phrases or self.restricted or self.no_repeat_ngram)

    @property
    def cut(self) -> bool:
        """Whether an answer that reaches its longest length is cut there; if not, it must end."""
        return self.end is None or self.slots == 1 or self.sampling is not None or self.length_penalty == "hf"

    def longest(self, tokens: int) -> int:
        """The most tokens of an answer to an input of so many, the end token included."""
        most = max(int(self.max_ratio * tokens) + self.max_extra, self.min_length)
        return max(1, most if self.max_length is None else min(most, self.max_length))

    def normalized(self, score: float, length: int) -> float:
        """A log-probability under the length penalty."""
        return score / self.penalty(length)

    def penalty(self, length: int) -> float:
        """What a log-probability of `length` tokens is divided by."""
        if self.length_penalty == "gnmt":
            return float(((5.0 + length) / 6.0) ** self.alpha)
        return float(length**self.alpha)


@dataclass(frozen=True)
class Hypothesis:
    """An answer: token ids without start and end, its score under the length penalty, how it ended.

    Greedy answers and samples are scored by their plain log-probability under the model. `logprobs` (if asked for) are
    those of `ids`, and of the end token after them where `finished`. `finished` is False where the longest length cut
    it, and where the model's numbers were not numbers: then the score is -inf.
    """

    ids: list[int]
    score: float
    finished: bool = True
    logprobs: list[float] | None = None
