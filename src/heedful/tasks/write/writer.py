"""A finished language model with its tokenizer: goes on with texts, as far as it is asked to."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import msgspec
import torch

from ...decode.engine import decode, watch
from ...decode.options import Hypothesis
from ...errors import UserError
from ...model import hardware
from ...model.model import Model
from ...text.pipeline import without_surrogates
from ...text.spelling import Speller, spell
from ...text.tokenizer import Tokenizer
from ..finding import find, load_for
from .wishes import Wishes


@dataclass(frozen=True)
class Written:
    """What follows a prompt. `finished`: the model ended the text; `stop` is the stop string it ended before.

    `ids` are the tokens, with their log-probabilities under the model (before temperature and penalties); the last of
    them may reach into the stop string, and one more log-probability is that of the end.
    """

    prompt: str
    text: str
    finished: bool
    stop: str | None
    ids: list[int]
    logprobs: list[float]


@dataclass
class Strand:
    """A text under way: the prompt's ids, those said, and whether it is done."""

    prompt: list[int]
    said: list[int] = field(default_factory=list)
    logprobs: list[float] = field(default_factory=list)
    finished: bool = False
    done: bool = False

    def window(self, context: int, opens: bool) -> tuple[list[int], bool]:
        """What the model reads to go on, and whether the start token comes before it; of a text that fills its window
        the last half. So half a window at least stands before every token that is said.

        A tokenizer that `opens` texts has the start before every text, another only where there is nothing else.
        """
        ids = [*self.prompt, *self.said]
        begins = opens or not self.prompt
        whole = len(ids) + begins <= context
        return ids if whole else ids[-max(1, context // 2) :], whole and begins

    def take(self, found: Hypothesis, wishes: Wishes, tokenizer: Tokenizer) -> Strand:
        """The text with what a window added to it."""
        left = wishes.length - len(self.said)
        new = found.ids[:left]
        finished = found.finished and len(new) == len(found.ids)
        logprobs = (found.logprobs or [])[: len(new) + finished]
        said = [*self.said, *new]
        done = finished or not new or len(said) >= wishes.length or wishes.end(spell(tokenizer, said)) is not None
        return Strand(self.prompt, said, [*self.logprobs, *logprobs], finished, done)


class Writer:
    """`context` is the most tokens that the model reads at once: what it was trained on. `documents` is what one
    document was (see the recipe's data.documents). `choices` are the fast paths of this machine, as `load` probes."""

    def __init__(
        self,
        model: Model,
        tokenizer: Tokenizer,
        context: int,
        documents: str = "file",
        choices: hardware.Choices | None = None,
    ) -> None:
        self.model, self.tokenizer, self.context, self.documents = model, tokenizer, context, documents
        self.choices = choices

    def wishes(self, **given: Any) -> Wishes:
        """How to write, from the fields of `Wishes`; UserError for one that is not known or out of its limits."""
        known = [one.name for one in dataclasses.fields(Wishes)]
        if unknown := [name for name in given if name not in known]:
            raise UserError(f"write: there is no {unknown[0]!r}; known: {', '.join(known)}")
        stop = given.get("stop", ())
        stop = (stop,) if isinstance(stop, str) else tuple(stop)
        return Wishes(**{**given, "stop": tuple(map(self.tokenizer.normalise, stop))})

    def write(self, prompt: str = "", **given: Any) -> str:
        """What follows the prompt; `given` are fields of `Wishes`."""
        return self.answer([prompt], **given)[0][0].text

    def answer(self, prompts: Sequence[str], **given: Any) -> list[list[Written]]:
        """For each prompt its samples, the likeliest first."""
        if isinstance(prompts, str) or not all(isinstance(prompt, str) for prompt in prompts):
            raise UserError("answer takes a list of texts: answer([prompt]); or see write(prompt)")
        wishes = self.wishes(**given)
        read = [self.read(prompt) for prompt in prompts]
        found = self.go_on([ids for ids, _ in read], wishes)
        return [
            [dataclasses.replace(one, prompt=prompt, text=one.text[spaced and one.text[:1] == " " :]) for one in some]
            for prompt, (_, spaced), some in zip(prompts, read, found, strict=True)
        ]

    def stream(self, prompt: str = "", **given: Any) -> Iterator[str]:
        """The text of `write`, in parts as they become certain; under a beam a window at a time."""
        wishes = self.wishes(**given)
        if wishes.samples > 1:
            raise UserError(f"{wishes.samples} samples cannot be shown as they grow; ask for one")
        ids, spaced = self.read(prompt)
        text, shown = "", 0
        for text, last in self._growing(Strand(ids), wishes):
            if spaced and not shown and text:
                shown, spaced = int(text[0] == " "), False
            end = wishes.end(text)
            certain = end if end is not None else len(text) if last else wishes.certain(text)
            if certain > shown:
                yield text[shown:certain]
                shown = certain
            if end is not None:
                return

    def go_on(self, prompts: Sequence[list[int]], wishes: Wishes) -> list[list[Written]]:
        """The same for prompts as ids; their texts are left empty."""
        strands = [[Strand(ids)] for ids in prompts]
        turn = 0
        while waiting := [(row, at) for row, some in enumerate(strands) for at, one in enumerate(some) if not one.done]:
            best = 1 if turn else wishes.samples
            asked = [strands[row][at] for row, at in waiting]
            for (row, at), found in zip(waiting, self._turn(asked, wishes, turn, best), strict=True):
                longer = [strands[row][at].take(one, wishes, self.tokenizer) for one in found]
                strands[row] = longer if best > 1 else [*strands[row][:at], *longer, *strands[row][at + 1 :]]
            turn += 1
        return [sorted(map(self._written(wishes), some), key=_mean) for some in strands]

    def _turn(self, strands: list[Strand], wishes: Wishes, turn: int, best: int) -> list[list[Hypothesis]]:
        """What a window more adds to some texts."""
        found: list[list[Hypothesis]] = [[] for _ in strands]
        windows = [strand.window(self.context, self.tokenizer.opens) for strand in strands]
        left = max(wishes.length - len(strand.said) for strand in strands)
        for begins in (True, False):
            numbers = [number for number, (_, framed) in enumerate(windows) if framed == begins]
            options = wishes.options(self.tokenizer, self.context, left, turn, best, begins)
            with self._fast():
                answers = decode(self.model, [windows[number][0] for number in numbers], options, self.choices)
            for number, answer in zip(numbers, answers, strict=True):
                found[number] = answer
        return found

    def _growing(self, strand: Strand, wishes: Wishes) -> Iterator[tuple[str, bool]]:
        """The text so far, again and again, and whether it is all."""
        speller, turn, text = Speller(self.tokenizer), 0, ""
        while not strand.done:
            ids, begins = strand.window(self.context, self.tokenizer.opens)
            left, shown = wishes.length - len(strand.said), 0
            options = wishes.options(self.tokenizer, self.context, left, turn, 1, begins)
            steps = watch(self.model, ids, options, self.choices)
            found = self._next(steps)
            while (following := self._next(steps)) is not None:
                if wishes.beam == 1:
                    text += speller.more(found.ids[shown:])
                    shown = len(found.ids)
                    yield text, False
                found = following
            text += speller.more(found.ids[shown:])
            strand = strand.take(found, wishes, self.tokenizer)
            turn += 1
        yield text + speller.rest(), True

    def _next(self, steps: Iterator[Hypothesis]) -> Any:
        """The next of some steps, under this machine's settings; those are not kept while the caller has the step."""
        with self._fast():
            return next(steps, None)

    def _fast(self) -> AbstractContextManager[Any]:
        if self.choices is None:
            return nullcontext()
        threads = torch.get_num_threads()  # the caller's to say
        return hardware.applied(msgspec.structs.replace(self.choices, threads=threads))

    def read(self, prompt: str) -> tuple[list[int], bool]:
        """The ids of a prompt, and whether a space was taken from its end: it belongs to the word that follows."""
        prompt = without_surrogates(prompt)
        spaced = self.tokenizer.kind != "characters" and prompt[-1:] == " " and not prompt[-2:-1].isspace()
        return self.tokenizer.encode(prompt[: len(prompt) - spaced]), spaced

    def _written(self, wishes: Wishes) -> Any:
        def written(strand: Strand) -> Written:
            text = spell(self.tokenizer, strand.said)
            if (end := wishes.end(text)) is None:
                return Written("", text, strand.finished, None, strand.said, strand.logprobs)
            stop = next(stop for stop in wishes.stop if text.startswith(stop, end))
            return Written("", text[:end], False, stop, strand.said, strand.logprobs)

        return written


def _mean(one: Written) -> float:
    return -sum(one.logprobs) / max(1, len(one.logprobs))


def load(path: str | Path) -> Writer:
    """The writer in a model's folder, or the finished model in a run's folder."""
    model, extra, tokenizer = load_for(path, "write")
    try:
        known = msgspec.convert(extra, Known)
    except msgspec.ValidationError as error:
        raise UserError(f"{find(path) / 'config.json'}: {error}") from None
    if not tokenizer.prose:
        raise UserError(f"{find(path)}: its tokenizer loses line ends, so it is not a model for writing")
    return Writer(model, tokenizer, known.context, known.documents, hardware.probe())


class Known(msgspec.Struct):
    """What config.json says of a writer."""

    context: int
    documents: str = "file"
