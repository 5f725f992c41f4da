"""What a user demands of translations in words: a beginning, phrases that must or must not appear, the least risk."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Sequence

from ...decode.mbr import least_risk
from ...decode.wanted import Wanted
from ...errors import UserError
from ...text.tokenizer import Tokenizer
from .answers import Alternative, Answer

Ids = tuple[int, ...]


def wanted_of(tokenizer: Tokenizer, prefix: str, require: Sequence[str]) -> Wanted | None:
    """Prefix and phrases as ids; a phrase may also begin with a capital letter. None where nothing is demanded."""
    if not prefix and not require:
        return None
    required = tuple(spellings(tokenizer, phrase) for phrase in require)
    return Wanted(prefix=tuple(tokenizer.encode(prefix)), required=required)


def spellings(tokenizer: Tokenizer, phrase: str) -> tuple[Ids, ...]:
    """A phrase as the tokenizer writes it, as given and with a capital letter; UserError if it is empty."""
    if not phrase.strip():
        raise UserError("a phrase to require or to ban is empty")
    return tuple(dict.fromkeys(tuple(tokenizer.encode(text)) for text in (phrase, phrase[0].upper() + phrase[1:])))


def checked(answer: Answer, prefix: str, require: Sequence[str], ban: Sequence[str]) -> Answer:
    """The answer, with what it does not keep of the demands among its problems: a word may be spelt in several ways."""
    text = answer.text.casefold()
    found = [f"{phrase!r} is missing" for phrase in require if phrase.casefold() not in text]
    found += [f"{phrase!r} appears" for phrase in ban if phrase.casefold() in text]
    found += [f"it does not begin with {prefix!r}"] if prefix and not text.startswith(prefix.casefold().strip()) else []
    return dataclasses.replace(answer, problems=(*answer.problems, *found)) if found else answer


def least_risky(answer: Answer, best: int) -> Answer:
    """Of an answer and its alternatives the text that is most like all of them (`decode.mbr`), each as likely as the
    model says; those without problems first. The pieces are kept only where they are still the text's."""
    own = Alternative(answer.text, answer.score, answer.logprob, answer.problems)
    candidates = [own, *answer.alternatives]
    highest = max(one.logprob for one in candidates)
    order = least_risk([one.text for one in candidates], weights=[math.exp(c.logprob - highest) for c in candidates])
    first, *others = sorted((candidates[number] for number in order), key=lambda one: bool(one.problems))
    pieces = answer.pieces if first is own else []
    return Answer(first.text, first.score, first.logprob, others[: best - 1], first.problems, pieces)
