"""What a user demands of translations in words: a beginning, phrases that must or must not appear, the least risk."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from ...decode.mbr import least_risk
from ...decode.wanted import Wanted
from ...errors import UserError
from ...text.tokenizer import Tokenizer
from .answers import Draft

Ids = tuple[int, ...]


@dataclass(frozen=True)
class Demands:
    """How translations begin, and the phrases that they must and must not hold."""

    prefix: str
    require: Sequence[str]
    ban: Sequence[str]

    def wanted(self, tokenizer: Tokenizer) -> Wanted | None:
        """Prefix and phrases as ids; a phrase may also begin with a capital letter. None where nothing is demanded."""
        if not self.prefix and not self.require:
            return None
        required = tuple(spellings(tokenizer, phrase) for phrase in self.require)
        return Wanted(prefix=tuple(tokenizer.encode(self.prefix)), required=required)

    def judged(self, draft: Draft) -> Draft:
        """The draft, and among its problems what it does not keep: a word may be spelt in several ways."""
        text, prefix = draft.text.casefold(), self.prefix.casefold()
        found = [f"{phrase!r} is missing" for phrase in self.require if phrase.casefold() not in text]
        found += [f"{phrase!r} appears" for phrase in self.ban if phrase.casefold() in text]
        found += [f"it does not begin with {self.prefix!r}"] if not text.startswith(prefix) else []
        return draft._replace(problems=(*draft.problems, *found)) if found else draft


def spellings(tokenizer: Tokenizer, phrase: str) -> tuple[Ids, ...]:
    """A phrase as the tokenizer writes it, as given and with a capital letter; UserError if it is empty."""
    if not phrase:
        raise UserError("a phrase to require or to ban is empty")
    return tuple(dict.fromkeys(tuple(tokenizer.encode(text)) for text in (phrase, phrase[0].upper() + phrase[1:])))


def least_risky(drafts: Sequence[Draft], drawn: bool) -> list[Draft]:
    """The drafts in the order of how like all others they are (`decode.mbr`); those without problems first.

    By chance `drawn`, they count as often as they are there; those of a search as much as the model says.
    """
    highest = max(draft.logprob for draft in drafts)
    weights = None if drawn else [math.exp(draft.logprob - highest) for draft in drafts]
    order = least_risk([draft.text for draft in drafts], weights)
    return sorted((drafts[number] for number in order), key=lambda draft: bool(draft.problems))
