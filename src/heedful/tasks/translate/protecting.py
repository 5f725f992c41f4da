"""A sentence on its way through a model: what is masked, what is copied, what is checked, and what is tried next.

First the model reads the sentence with placeholders for its spans. If a number then differs, it reads placeholders for
numbers too and may say no other digit. If something still is not as it should be, or a model has no placeholders, only
the text between the spans is translated and they are copied: worse to read, and nothing can be lost. What fails even
then (or cannot be done: a model may add a number to plain text) is told in `problems`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum, auto

from ...text.numbers import changed_numbers, find_numbers
from ...text.placeholders import MOST_PROBLEMS, Marked, Masked, lost, mask, shown
from ...text.spans import Span, tidy
from .answers import Draft

Segment = str | Masked  # what is copied, or what the model reads


class Way(Enum):
    """How a sentence is translated, from the best to the safest."""

    whole = auto()
    strict = auto()
    apart = auto()


@dataclass
class Sentence:
    """A sentence, its spans, and the drafts of its translation, best first.

    Unprotected, it is not checked, and nothing is copied but its spans.
    """

    text: str
    spans: Sequence[Span]
    protected: bool
    drafts: list[Draft] | None = None

    def __post_init__(self) -> None:
        self.expected = mask(self.text, self.spans).whole if self.spans else self.text
        self.changed_numbers = False
        self._tried: set[tuple[Way, bool]] = set()

    def wants(self, way: Way, placeholders: int) -> bool:
        """Whether it is to be tried in this way, by a model with so many placeholders."""
        if (way, self.changed_numbers) in self._tried:
            return False
        if self.drafts is None:
            return bool(placeholders or not self.spans) if way is Way.whole else way is Way.apart
        if not self.drafts[0].problems:
            return False
        if way is Way.strict:
            # Of a sentence with spans it asks nothing new unless numbers were changed.
            return (self.changed_numbers or not self.spans) and (bool(placeholders) or not self._numbers())
        return way is Way.apart and bool(self.spans)

    def segments(self, way: Way, placeholders: int) -> list[Segment]:
        """What to copy and what to translate."""
        self._tried.add((way, self.changed_numbers))
        if not self.spans and not self.changed_numbers and (not self.protected or _has_letters(self.text)):
            return [Masked(Marked((self.text,)), ())]
        masked = mask(self.text, tidy(self._numbers(), self.spans))
        if way is Way.apart:
            return apart(masked)
        segments: list[Segment] = []
        for group in masked.groups(placeholders or 1):
            own, *rest = group.marked.texts
            gap = len(own) - len(own.lstrip()) if segments else 0
            part = Masked(group.marked._replace(texts=(own[gap:], *rest)), group.originals)
            segments += [own[:gap], part if not self.protected or _has_letters(*part.marked.texts) else part.whole]
        return segments

    def _numbers(self) -> list[Span]:
        """The numbers to mask: none before they were found changed."""
        if not self.changed_numbers:
            return []
        return [Span(start, end, "number", self.text[start:end]) for start, end in find_numbers(self.text)]

    def offer(self, drafts: list[Draft]) -> None:
        """Take these drafts if the first has fewer problems than what there is."""
        drafts = [self._judged(draft) for draft in drafts]
        self.changed_numbers |= any(problem.startswith("number ") for problem in drafts[0].problems)
        if self.drafts is None or len(drafts[0].problems) < len(self.drafts[0].problems):
            self.drafts = drafts

    def _judged(self, draft: Draft) -> Draft:
        """The draft with what is wrong with it."""
        if not self.protected:
            return draft
        missing, new = changed_numbers(self.expected, draft.text)
        found = lost(self.expected, draft.text)
        if len(missing) + len(new) > MOST_PROBLEMS:
            found.append(f"number of numbers that are missing or new: {len(missing) + len(new)}")
        else:
            found += [f"number {shown(number)} is missing" for number in missing]
            found += [f"number {shown(number)} is new" for number in new]
        return draft._replace(problems=(*draft.problems, *found)) if found else draft


def apart(masked: Masked) -> list[Segment]:
    """Spans, and the marks at the ends of the texts between them, to copy; the rest to translate alone."""
    segments: list[Segment] = []
    for text, original in zip(masked.marked.texts, (*masked.originals, ""), strict=True):
        if _has_letters(text):
            places = [place for place, character in enumerate(text) if character.isalnum()]
            first, last = places[0], places[-1] + 1
            segments += [text[:first], mask(text[first:last], []), text[last:]]
        else:
            segments.append(text)
        segments.append(original)
    return segments


def _has_letters(*texts: str) -> bool:
    return any(character.isalpha() for text in texts for character in text)
