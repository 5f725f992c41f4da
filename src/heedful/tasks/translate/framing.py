"""What stands around a source as the model reads it, and what its answer begins with: languages, tasks, controls.

A translator of ours with several target languages has their tags before its sources. Those of other libraries name both
languages, each in its way; there a "tag" is a pair of them, "en-fr". Marian's take the target's before a source, or
nothing, as the text may name it itself (">>fra<< ...").
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Literal, NamedTuple

import msgspec

from ...decode.options import Options
from ...errors import UserError
from ...model.presets import nearest
from ...text.tokenizer import Tokenizer


class Framing(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What config.json says of a translator that came from another library.

    `opens`: sources begin with the start; `forced` is the token that every answer begins with. `codes` are languages
    with the tokens that mean them; the source's stands `source` "first" or "last" in its row, and answers begin from
    the target's (`begins`) or say it first. `targets` are languages of answers with tokens that may stand first.
    """

    opens: bool = False
    forced: int | None = None
    codes: dict[str, str] = {}
    source: Literal["first", "last"] = "first"
    begins: bool = False
    targets: dict[str, str] = {}

    @property
    def names_languages(self) -> bool:
        """Whether tags are of the other library's languages."""
        return bool(self.codes or self.targets)

    def target(self, tag: str) -> str:
        """The token of a target's language, by its code or as it is; UserError for another one."""
        found = self.targets.get(tag, tag)
        if found not in self.targets.values():
            hint = nearest(tag, list(self.targets))
            raise UserError(f"tag {tag!r} is not one of this model's target languages: {hint}")
        return found

    def pair(self, tag: str | None) -> tuple[str, str]:
        """The tokens of both languages; UserError unless the tag is two known codes."""
        known, example = ", ".join(self.codes), "-".join(list(self.codes)[:2])
        if tag is None:
            raise UserError(f"this model has several languages; name both as tag ({example}); it knows {known}")
        named = next((pair for pair in _parted(tag) if set(pair) <= self.codes.keys()), None)
        if named is None:
            wrong = next((code for code in tag.split("-") if code not in self.codes), tag)
            hint = nearest(wrong, list(self.codes))
            raise UserError(f"tag {tag!r} is not two of this model's languages, as in {example}; {wrong!r}: {hint}")
        return self.codes[named[0]], self.codes[named[1]]


def _parted(tag: str) -> list[tuple[str, str]]:
    """Both sides of each hyphen."""
    return [(tag[:place], tag[place + 1 :]) for place, letter in enumerate(tag) if letter == "-"]


class Frame(NamedTuple):
    """The ids before and after those of a text; what decoding starts from (None: the tokenizer's start), and the tokens
    that an answer says before its own."""

    before: list[int]
    after: list[int]
    start: int | None = None
    said: tuple[int, ...] = ()

    def around(self, ids: Sequence[int]) -> list[int]:
        """The row that the model reads."""
        return [*self.before, *ids, *self.after]

    def decoding(self, options: Options) -> Options:
        """Options that make answers begin so."""
        start = options.start if self.start is None else self.start
        return dataclasses.replace(options, start=start, forced_first=self.said[0] if self.said else None)


def frame_of(
    tokenizers: Mapping[str, Tokenizer],
    tag: str | None,
    *,
    tags: Sequence[str] = (),
    task: str = "",
    framing: Framing | None = None,
) -> Frame:
    """For one language and task. `tags` are the languages of a model of ours; UserError for a wrong one, or none."""
    framing, source = framing or Framing(), tokenizers["source"]
    doing = source.encode(task.strip()) if task.strip() else []
    opening = [source.start] if framing.opens else []
    forced = () if framing.forced is None else (framing.forced,)
    if framing.codes:
        mine, theirs = framing.pair(tag)
        read, said = source.tag(mine), tokenizers["target"].tag(theirs)
        before, after = ([read], []) if framing.source == "first" else ([], [read])
        start, answer = (said, ()) if framing.begins else (None, (said,))
        return Frame([*before, *doing], [source.end, *after], start, answer)
    if framing.targets and tag is not None:
        return Frame([*opening, source.tag(framing.target(tag)), *doing], [source.end], None, forced)
    if tag is None and tags:
        raise UserError(f"this model has several target languages; choose one as tag: {', '.join(tags)}")
    if tag is not None and not tags:
        raise UserError(f"this model has one target language and takes no tag; leave {tag!r} out")
    tagged = [] if tag is None else [source.tag(tag)]
    return Frame([*opening, *tagged, *doing], [source.end], None, forced)
