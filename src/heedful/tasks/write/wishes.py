"""What is asked of a text that is to be written."""

from __future__ import annotations

from dataclasses import dataclass

from ...decode.options import Options, Stop
from ...decode.sampling import Sampling
from ...errors import UserError
from ...text.draws import draws
from ...text.spelling import spell
from ...text.tokenizer import Tokenizer

LONGEST = 10_000_000  # tokens


@dataclass(frozen=True)
class Wishes:
    """How to go on with a text; `length` is the most new tokens, the model may end its text before.

    Tokens are drawn by chance, as `decode.Sampling` says (temperature 0: always the likeliest one), or searched for
    with a `beam`, and of several `samples` each goes its own way. With a beam these are its best. A text ends before
    the first of its `stop` strings.
    """

    length: int = 200
    temperature: float = 0.8
    top_k: int = 0
    top_p: float = 1.0
    min_p: float = 0.0
    repetition_penalty: float = 1.0
    stop: tuple[str, ...] = ()
    seed: int = 0
    samples: int = 1
    beam: int = 1

    def __post_init__(self) -> None:
        for name, value, low, high in (
            ("length", self.length, 1, LONGEST), ("samples", self.samples, 1, 1024), ("beam", self.beam, 1, 64),
            ("temperature", self.temperature, 0.0, 100.0), ("seed", self.seed, 0, 2**63 - 1),
            ("repetition_penalty", self.repetition_penalty, 1e-3, 1000.0),
        ):  # fmt: skip
            if isinstance(value, bool) or not isinstance(value, (int, float)) or not low <= value <= high:
                raise UserError(f"{name} = {value!r}; it must be from {low:g} to {high:g}")
        Sampling(self.seed, self.temperature or 1.0, self.top_k, self.top_p, self.min_p)
        if not all(isinstance(text, str) and text for text in self.stop):
            raise UserError("a stop string is empty; the text would end before it began")
        if self.samples > self.beam and self.beam > 1:
            raise UserError(f"{self.samples} samples of a beam of {self.beam}; ask for at most {self.beam}, or no beam")
        if self.samples > 1 and not self.drawn and self.beam == 1:
            raise UserError(f"{self.samples} samples without chance are all the same; give a temperature above 0")

    @property
    def drawn(self) -> bool:
        """Whether chance decides."""
        return self.beam == 1 and self.temperature > 0

    def options(self, tokenizer: Tokenizer, context: int, left: int, turn: int, best: int, begins: bool) -> Options:
        """For the `turn`-th window of a text, of which `left` tokens are still to come: `best` ways to go on.

        `begins`: the window begins with the text, and the text with the start token.
        """
        sampling = None
        if self.drawn:
            # Should a window look like an earlier one, its draws are others: a text must not go round in circles.
            seed = self.seed if not turn else int(draws(self.seed, turn)[0])
            sampling = Sampling(seed, self.temperature, self.top_k, self.top_p, self.min_p)
        # A foreign tokenizer's end may be its start and more.
        banned = [token for token in (tokenizer.pad, tokenizer.start, tokenizer.unknown) if token != tokenizer.end]
        return Options(
            beam=self.beam, best=best, length_penalty="hf", sampling=sampling, max_ratio=0.0,
            start=tokenizer.start if begins else None, end=tokenizer.end, max_extra=min(left, 100_000),
            capacity=context, banned=tuple(banned), logprobs=True, repetition_penalty=self.repetition_penalty,
            stop=self._stop(tokenizer),
        )  # fmt: skip

    def _stop(self, tokenizer: Tokenizer) -> Stop | None:
        if not self.stop:
            return None
        # A token is a byte at least; an escaped character may be two tokens.
        reach = 2 * max(len(text.encode()) for text in self.stop) + 4
        return Stop(reach, lambda ids: self.end(spell(tokenizer, ids)) is not None)

    def end(self, text: str) -> int | None:
        """Where the first stop string of a text begins."""
        return min((place for place in map(text.find, self.stop) if place >= 0), default=None)

    def certain(self, text: str) -> int:
        """How much of an unfinished text is sure to stay: its end may be the beginning of a stop string."""
        held = (
            size for stop in self.stop for size in range(1, min(len(stop), len(text) + 1)) if text.endswith(stop[:size])
        )
        return len(text) - max(held, default=0)
