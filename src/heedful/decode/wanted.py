"""What the answer to one input must hold, and how far a hypothesis has come with it."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import NamedTuple

from ..errors import UserError
from .automaton import Automaton
from .options import Options

Ids = tuple[int, ...]
Phrase = tuple[Ids, ...]
NEVER = 10**9
# Of so many missing phrases, all orders are weighed for the shortest way to say them; of more, the sum is taken.
FEW_PHRASES = 6


@dataclass(frozen=True)
class Wanted:
    """What one input's answer must be like, besides what `Options` says of all answers.

    The answer begins with `prefix`; its tokens count with the log-probabilities that the model gives them. Each phrase
    of `required` is a tuple of alternatives (lists of ids), and one of them stands somewhere in the answer, without
    gaps. Phrases may overlap and one place may serve several, so a phrase given twice is a phrase given once; what the
    prefix says counts. The ids in `once` are each said exactly once: with `Options.restricted`, which bans ids wherever
    they are not listed so, these are placeholders.

    That is a guarantee, for every search, as long as the model's numbers are numbers. Where no answer can hold all of
    it, or the longest answer has no room for it, UserError names the input before anything is decoded.
    """

    prefix: Ids = ()
    required: tuple[Phrase, ...] = ()
    once: Ids = ()

    @property
    def size(self) -> int:
        """The most tokens that prefix and required phrases take."""
        return len(self.prefix) + sum(max(map(len, phrase), default=0) for phrase in self.required)


class State(NamedTuple):
    """How far a hypothesis has come: where it stands in the required and in the banned phrases, which phrases (bits)
    and single ids are missing, and whether it is held to the phrase that it has begun."""

    node: int
    banned: int
    missing: int
    once: frozenset[int]
    held: bool = False


class Place(NamedTuple):
    """Where a way to say what is missing has come to; `free` single ids, counted already, may still be fillers."""

    node: int
    banned: int
    missing: int
    free: int


class Rules:
    """What the options say of every answer's tokens."""

    def __init__(self, options: Options, vocab: int) -> None:
        self.options, self.vocab, self.end = options, vocab, options.end
        for phrase in options.banned_phrases:
            if not phrase or options.end in phrase:
                raise UserError(f"banned phrase {list(phrase)} is empty or holds the end token")
        self.phrases = Automaton(options.banned_phrases, [1] * len(options.banned_phrases))
        never = {token for token, bias in options.logit_bias.items() if bias == -math.inf}
        self.banned = never.union(options.banned, self.phrases.completing(0))
        self.restricted = frozenset(options.restricted)
        for token in (options.forced_first, options.forced_last):
            if token in self.restricted or token in self.phrases.completing(0):
                raise UserError(f"token id {token} is forced, and restricted or a banned phrase")
        # Where the longest answer must end with a token that is given, no other has room there.
        self.last = int(options.forced_last is not None or not options.cut)

    def requirement(self, number: int, wanted: Wanted | None, longest: int) -> Requirement | None:
        """What input `number`'s answer of at most `longest` tokens must hold; None if nothing has to be watched."""
        if wanted == Wanted():
            wanted = None
        if not longest:
            if wanted is not None:
                raise UserError(f"input {number} is empty, so its answer is; nothing can be required of it")
            return None
        if wanted is None and not self.options.banned_phrases:
            return None
        return Requirement(self, number, wanted or Wanted(), longest)


class Requirement:
    """What one input's answer must hold, ready to be asked at every step."""

    def __init__(self, rules: Rules, number: int, wanted: Wanted, longest: int) -> None:
        self.rules, self.number, self.room = rules, number, longest - rules.last
        self.once = frozenset(wanted.once)
        first = rules.options.forced_first
        self.prefix = tuple(wanted.prefix) or (() if first is None else (first,))
        self._check_ids(wanted)
        sequences = [(1 << bit, ids) for bit, phrase in enumerate(wanted.required) for ids in self._sayable(phrase)]
        self.phrases = Automaton([ids for _, ids in sequences], [bit for bit, _ in sequences])
        self.alternatives = [(bit, ids, self.phrases.paths[n]) for n, (bit, ids) in enumerate(sequences)]
        lengths: dict[int, list[int]] = {}
        for bit, ids in sequences:
            lengths.setdefault(bit, []).append(len(ids))
        self.shortest = {bit: min(own) for bit, own in lengths.items()}
        self.size = {bit: max(own) for bit, own in lengths.items()}
        self.all = (1 << len(wanted.required)) - 1
        self.steps = self.progress(State(0, 0, 0, frozenset()))  # of a hypothesis that misses nothing
        self._fillers = self._find_fillers() if rules.options.banned_phrases else []
        self._least: dict[Place, int] = {}
        self._advancing: dict[State, tuple[int, ...]] = {}
        self.start = State(0, 0, self.all, self.once)
        self._check_room()

    # ---- what a hypothesis has said -------------------------------------------------------------------------------

    def after(self, state: State, token: int, held: bool = False) -> State | None:
        """The state after one more token; None if it must not be said here (`end` never is: nothing comes after it).

        `held`: from here, the phrase that the token begins is finished.
        """
        rules = self.rules
        once = state.once
        if token in self.once:
            if token not in once:
                return None
            once = once - {token}
        elif token in rules.banned or token in rules.restricted or token == rules.end:
            return None
        banned = rules.phrases.step(state.banned, token)
        if rules.phrases.found[banned]:
            return None
        node = self.phrases.step(state.node, token)
        missing = state.missing & ~self.phrases.found[node]
        held = (held or state.held) and missing == state.missing and len(once) == len(state.once)
        return State(node, banned, missing, once, held)

    def progress(self, state: State) -> int:
        """How many steps have been made: tokens of the phrases that were said and of the longest that is under way."""
        said = sum(size for bit, size in self.size.items() if not state.missing & bit)
        begun = next(at for at in self.phrases.chain(state.node) if not at or self.phrases.begun[at] & state.missing)
        return said + len(self.once) - len(state.once) + self.phrases.depth[begun]

    def special(self, state: State) -> set[int]:
        """The tokens that may change what is missing or under way; all others lead to the same state."""
        return self.phrases.tokens(state.node) | state.once

    def advancing(self, state: State) -> tuple[int, ...]:
        """The tokens that are a step towards what is missing."""
        if state not in self._advancing:
            before = self.progress(state)
            found = ((token, self.after(state, token)) for token in sorted(self.special(state)))
            self._advancing[state] = tuple(token for token, new in found if new and self.progress(new) > before)
        return self._advancing[state]

    def bounds(self, state: State, length: int) -> tuple[list[int] | None, list[int]]:
        """The only tokens that may be number `length` of the answer (None: any), and those that may not."""
        if length <= len(self.prefix):
            return [self.prefix[length - 1]], []
        if length > self.room:  # the place of a token that is given
            return None, []
        rules = self.rules
        bans = [token for token in rules.phrases.completing(state.banned) if token not in rules.banned]
        if not state.missing and not state.once:
            return None, bans
        if rules.end is not None:
            bans.append(rules.end)
        left = self.room - length
        if state.held and (steps := [token for token in self.advancing(state) if self._fits(state, token, left)]):
            return steps, []
        if self._most(state) > left:  # room may be short: tokens after which the rest would not fit are banned
            special = self.special(state) | rules.phrases.tokens(state.banned)
            fitting = [token for token in sorted(special) if self._fits(state, token, left)]
            if self.least(State(0, 0, state.missing, state.once)) > left:
                return fitting, []
            bans.extend(special.difference(fitting))
        return None, bans

    # ---- how many tokens are still needed -------------------------------------------------------------------------

    def least(self, state: State) -> int:
        """The fewest tokens that say all that is missing; at least NEVER if that cannot be.

        Exact up to FEW_PHRASES phrases, unless banned phrases leave no token to stand between two phrases; else it may
        be more than needed.
        """
        place = Place(state.node, state.banned, state.missing, len(state.once))
        return len(state.once) + self._fewest(place)

    def _fewest(self, place: Place) -> int:
        """Tokens but those in `once`, which are part of no phrase and may stand between any two."""
        if not place.missing:
            return 0
        if place not in self._least:
            few = place.missing.bit_count() <= FEW_PHRASES
            rest = self._fewest if few else lambda there: self._apart(there.missing)
            self._least[place] = min((count + rest(there) for count, there in self._ways(place)), default=NEVER)
        return self._least[place]

    def _ways(self, place: Place) -> Iterator[tuple[int, Place]]:
        """How many tokens it takes to say one missing phrase next, with or without a filler before it, and where to."""
        starts = [(0, place)]
        if place.free and self.rules.options.banned_phrases:
            starts.append((0, Place(0, 0, place.missing, place.free - 1)))
        else:
            starts += [(1, there) for token in self._fillers if (there := self._walk(place, (token,)))]
        for count, start in starts:
            if not start.missing:
                yield count, start
            endings = set(self.phrases.chain(start.node))
            for bit, ids, path in self.alternatives:
                if start.missing & bit:
                    for said in range(len(ids)):
                        if path[said] in endings and (there := self._walk(start, ids[said:])):
                            yield count + len(ids) - said, there

    def _walk(self, place: Place, ids: Iterable[int]) -> Place | None:
        """The place after these tokens; None if they say a banned phrase."""
        node, banned, missing, free = place
        for token in ids:
            node, banned = self.phrases.step(node, token), self.rules.phrases.step(banned, token)
            if self.rules.phrases.found[banned]:
                return None
            missing &= ~self.phrases.found[node]
        return Place(node, banned, missing, free)

    def _apart(self, missing: int) -> int:
        """Tokens of the missing phrases one after another, with a filler before each where phrases are banned."""
        filler = int(bool(self.rules.options.banned_phrases))
        return sum(size + filler for bit, size in self.shortest.items() if missing & bit)

    def _most(self, state: State) -> int:
        """No less than `least`, and no less after any token that may be said; quick to tell."""
        if self.rules.options.banned_phrases and len(self._fillers) != 1:
            return NEVER
        return len(state.once) + self._apart(state.missing)

    def _fits(self, state: State, token: int, left: int) -> bool:
        """Whether the token may be said, with `left` more to say all that is missing after it."""
        new = self.after(state, token)
        return new is not None and (self._most(new) <= left or self.least(new) <= left)

    def _find_fillers(self) -> list[int]:
        """A token that is part of no phrase; if there is none, all tokens that may be said."""
        parts = self.phrases.alphabet | self.rules.phrases.alphabet
        sayable = lambda: (t for t in range(self.rules.vocab) if self.after(State(0, 0, 0, frozenset()), t))
        filler = next((token for token in sayable() if token not in parts), None)
        return list(sayable()) if filler is None else [filler]

    # ---- mistakes -------------------------------------------------------------------------------------------------

    def _mistake(self, what: str) -> UserError:
        return UserError(f"input {self.number}: {what}")

    def _check_ids(self, wanted: Wanted) -> None:
        rules, first = self.rules, self.rules.options.forced_first
        for token in (*wanted.prefix, *wanted.once, *(t for phrase in wanted.required for ids in phrase for t in ids)):
            if not 0 <= token < rules.vocab:
                raise self._mistake(f"token id {token} is wanted; the model's vocabulary has {rules.vocab}")
        if first is not None and self.prefix[0] != first:
            raise self._mistake(f"its prefix begins with {self.prefix[0]}; this model's answers begin with {first}")
        for token in self.once:
            if token == rules.end or token in rules.banned or token in rules.phrases.alphabet:
                raise self._mistake(f"token id {token} is to be said once, and is banned, or the end token")

    def _sayable(self, phrase: Phrase) -> list[Ids]:
        """The alternatives of a phrase that may be said."""
        rules = self.rules
        unfit = rules.banned | rules.restricted | self.once | {rules.end}
        fit = [tuple(ids) for ids in phrase if ids and unfit.isdisjoint(ids) and not rules.phrases.says(ids)]
        if not fit:
            given = " or ".join(str(list(ids)) for ids in phrase) or "a phrase of no alternatives"
            raise self._mistake(f"{given} is required, and is empty or holds what is banned, restricted or the end")
        return fit

    def _check_room(self) -> None:
        state = self.start
        for token in self.prefix:
            new = self.after(state, token)
            if new is None:
                raise self._mistake(f"its prefix holds token id {token} where that is banned, or the end token")
            state = new
        left = self.room - len(self.prefix)
        if left < 0 or (self._most(state) > left and self.least(state) > left):
            least = self.least(state)
            if least >= NEVER:
                raise self._mistake("what is required cannot be said without saying what is banned")
            raise self._mistake(
                f"its prefix and what is required take {len(self.prefix) + least + self.rules.last} tokens, and its "
                f"longest answer has {self.room + self.rules.last}: raise max_length, max_ratio or max_extra"
            )
