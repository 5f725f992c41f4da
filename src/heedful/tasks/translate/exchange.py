"""What a model is asked for one sentence, as token ids, and what its hypotheses make of the sentence."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import NamedTuple

from ...decode.options import Hypothesis, Options
from ...decode.wanted import Wanted
from ...text.placeholders import Masked, encode, in_order, read, restore, side_by_side
from ...text.tokenizer import Tokenizer
from .answers import Draft, best_joined
from .framing import Frame
from .protecting import Segment, Sentence, Way

STOPS = " .!?。！？…"
LINE_END = re.compile(r"\s*\n\s*")


class Languages(NamedTuple):
    """Both sides of a model: what goes around every source, the `most` tokens it then has, how long answers may be.

    `placeholders` are the target's by the source's ids.
    """

    source: Tokenizer
    target: Tokenizer
    placeholders: dict[int, int]
    frame: Frame
    most: int
    longest: Callable[[int], int]


class Exchange:
    """One way of translating a sentence: `sources` to decode, what is `wanted` of each, and the end in `finish`.

    Where an answer has no room for its placeholders, the sentence is translated apart.
    """

    def __init__(self, sentence: Sentence, way: Way, languages: Languages) -> None:
        self.sentence, self.languages = sentence, languages
        self._ask(way)
        if any(len(wanted.once) >= languages.longest(len(ids)) for ids, wanted in self.asked):
            self._ask(Way.apart)

    def _ask(self, way: Way) -> None:
        self.alone = way is Way.apart
        self.segments: list[tuple[Segment, int]] = []  # each with how many sources it takes
        self.asked: list[tuple[list[int], Wanted]] = []
        known, frame = self.languages.placeholders, self.languages.frame
        for segment in self.sentence.segments(way, len(known)):
            if isinstance(segment, str):
                self.segments.append((segment, 0))
                continue
            cuts = self._cut(segment)
            self.segments.append((segment, len(cuts)))
            for ids in cuts:
                once = tuple(known[token] for token in ids if token in known)
                self.asked.append((frame.around(ids), Wanted(once=once)))

    def demand(self, demand: Wanted) -> None:
        """Ask for a beginning and for phrases as well: of the first source, since an answer has one beginning."""
        if self.asked:
            ids, wanted = self.asked[0]
            self.asked[0] = (ids, replace(wanted, prefix=demand.prefix, required=demand.required))

    def _cut(self, masked: Masked) -> list[list[int]]:
        """The ids of a text in pieces of at most `most`, cut before a word if one begins in the last quarter."""
        most, tokenizer = self.languages.most, self.languages.source
        texts = tuple(LINE_END.sub(" ", text) for text in masked.marked.texts)  # no model has seen one
        ids = encode(tokenizer, masked.marked._replace(texts=texts))
        cuts, place = [], 0
        while len(ids) - place > most:
            window = range(place + most, place + most * 3 // 4, -1)
            end = next((at for at in window if tokenizer.begins_word(ids[at])), place + most)
            cuts.append(ids[place:end])
            place = end
        return [*cuts, ids[place:]]

    def finish(self, found: Sequence[list[Hypothesis]], options: Options) -> None:
        """Offer the sentence what the hypotheses for each source say."""
        parts: list[list[Draft]] = []
        place = 0
        for segment, count in self.segments:
            if isinstance(segment, str):
                parts.append([Draft(segment)])
                continue
            sources = [ids for ids, _ in self.asked[place : place + count]]
            answers = found[place : place + count]
            place += count
            # Of a text in pieces there are no alternatives.
            ways = [[one] for one in answers[0]] if count == 1 else [[best for best, *_ in answers]]
            parts.append([self._draft(segment, sources, way) for way in ways])
        self.sentence.offer(best_joined(parts, options))

    def _draft(self, masked: Masked, sources: Sequence[list[int]], hypotheses: Sequence[Hypothesis]) -> Draft:
        tokenizer, said = self.languages.target, tuple(zip(sources, hypotheses, strict=True))
        if masked.originals:
            target = side_by_side(read(tokenizer, hypothesis.ids) for hypothesis in hypotheses)
            text = restore(masked, in_order(masked, target))
            complete = len(target.numbers) == len(masked.originals)
        else:
            text = " ".join(tokenizer.decode(hypothesis.ids) for hypothesis in hypotheses)
            complete = all(set(tokenizer.placeholders).isdisjoint(hypothesis.ids) for hypothesis in hypotheses)
        if self.alone:  # a model ends whatever it is given like a sentence
            text = text.rstrip(STOPS) or text
        return Draft(text, said, () if complete else ("a placeholder is missing or new",))
