"""Which of our parameters is which of theirs: one table per layout, read in both directions, and checked for gaps."""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass, field, replace
from functools import cache
from typing import NamedTuple, Protocol

import torch
from torch import Tensor

from ..errors import UserError
from ..model.plan import Block, Plan
from .stream import NAMES

Shape = tuple[int, ...]
NEAR = 2e-3  # how far a tensor that could be worked out may be off: half precision keeps 2 ** -11 of numbers below 1


class Tensors(Protocol):
    """A checkpoint's tensors by name; shapes and dtypes are told without reading."""

    def __iter__(self) -> Iterator[str]: ...

    def __contains__(self, name: object) -> bool: ...

    def __getitem__(self, name: str, /) -> Tensor: ...

    def shape(self, name: str) -> Shape: ...

    def dtype(self, name: str) -> torch.dtype: ...


@dataclass(frozen=True)
class Rule:
    """Parameters whose name begins with `ours` are those that begin with `theirs`; {i} is a number in both.

    Several of `ours` lie one below the other in one tensor of theirs. `turned`: their matrices are [inputs, outputs].
    `shape`: what theirs looks like where it is not our shape (a vector kept as [1, 1, width], a kernel of pixels).
    """

    ours: str | tuple[str, ...]
    theirs: str
    turned: bool = False
    shape: Shape | None = None

    @property
    def parts(self) -> tuple[str, ...]:
        return (self.ours,) if isinstance(self.ours, str) else self.ours

    def read(self, name: str) -> Pair | None:
        """The tensor of theirs that holds our parameter `name`, if this rule is about it."""
        for part in self.parts:
            if found := _pattern(part).match(name):
                number = found.group(1) if found.groups() else ""
                theirs, *ours = (
                    stem.replace("{i}", number) + name[found.end() :] for stem in (self.theirs, *self.parts)
                )
                return Pair(self, theirs, tuple(ours))
        return None


@cache
def _pattern(stem: str) -> re.Pattern[str]:
    return re.compile(re.escape(stem).replace(r"\{i\}", r"(\d+)") + r"(?=\.|$)")


@dataclass(frozen=True)
class Pair:
    """One tensor of theirs and the parameters of ours that it holds."""

    rule: Rule
    theirs: str
    ours: tuple[str, ...]

    def shape(self, shapes: Mapping[str, Shape]) -> Shape:
        """Of their tensor, where ours have these shapes."""
        if self.rule.shape is not None:
            return self.rule.shape
        first = shapes[self.ours[0]]
        joined = (sum(shapes[name][0] for name in self.ours), *first[1:])
        return joined[::-1] if self.rule.turned else joined

    def taken(self, theirs: Tensor, shapes: Mapping[str, Shape]) -> Iterator[tuple[str, Tensor]]:
        """Our parameters out of their tensor, as views of it."""
        if self.rule.turned and theirs.ndim == 2:
            theirs = theirs.t()
        if len(self.ours) == 1:
            yield self.ours[0], theirs.reshape(shapes[self.ours[0]])
            return
        sizes = [shapes[name][0] for name in self.ours]
        yield from zip(self.ours, theirs.split(sizes), strict=True)

    def given(self, ours: Callable[[str], Tensor], shapes: Mapping[str, Shape]) -> Tensor:
        """Their tensor out of our parameters."""
        parts = [ours(name) for name in self.ours]
        joined = parts[0] if len(parts) == 1 else torch.cat(parts)
        turned = joined.t() if self.rule.turned and joined.ndim == 2 else joined
        return turned.reshape(self.shape(shapes)).contiguous()


class Known(NamedTuple):
    """A tensor that is no parameter, as all it holds follows from the settings; made only to be compared."""

    shape: Shape
    make: Callable[[], Tensor]

    def is_near(self, given: Tensor) -> bool:
        return given.shape == self.shape and bool(((given.float() - self.make()).abs() <= NEAR).all())


@dataclass(frozen=True)
class Rules:
    """The rules of one layout for one plan.

    `copies` are tensors that some files repeat (name: of which other tensor of theirs, equal bit for bit); `known` are
    those that some files keep though they could be worked out (sines of positions). `left` are patterns (re) of names
    that hold nothing learned. `dead` are tensors that the official code never reads and a model of theirs still wants
    to find: name and shape, written as zeros.
    """

    rules: tuple[Rule, ...]
    copies: Mapping[str, str] = field(default_factory=dict)
    known: Mapping[str, Known] = field(default_factory=dict)
    left: tuple[str, ...] = ()
    dead: Mapping[str, Shape] = field(default_factory=dict)

    def pairs(self, plan: Plan) -> dict[str, Pair]:
        """Every tensor of theirs that a plan needs, by its name, in the order of the plan."""
        found: dict[str, Pair] = {}
        for name in plan.shapes():
            pair = next((pair for rule in self.rules if (pair := rule.read(name)) is not None), None)
            if pair is None:
                raise UserError(f"this layout has no place for {name}")
            found.setdefault(pair.theirs, pair)
        return found

    def check(self, plan: Plan, weights: Tensors, where: object) -> dict[str, Pair]:
        """The pairs of a plan, by the tensors that hold them; UserError names what is missing, unknown, of another
        shape or kind, or not what it should be."""
        pairs, shapes, kept = self.pairs(plan), plan.shapes(), {}
        for copy, original in self.copies.items():
            if copy in weights and original in pairs and original not in weights:  # the file holds this one instead
                pairs[copy] = replace(pairs.pop(original), theirs=copy)
                kept[original] = copy
        if missing := [name for name in pairs if name not in weights]:
            raise UserError(f"{where}: {_named(missing)} not there, though config.json asks for it; is the file whole?")
        heard = {*pairs, *self.copies, *self.known, *self.dead}
        if unknown := [name for name in weights if name not in heard and not self._is_left(name)]:
            raise UserError(f"{where}: {_named(unknown)} unknown to this layout; nothing is left out silently")
        for name, pair in pairs.items():
            if (wanted := pair.shape(shapes)) != (given := tuple(weights.shape(name))):
                raise UserError(f"{where}: {name!r} has shape {given}; by config.json it is {wanted}")
            if weights.dtype(name) not in NAMES:
                raise UserError(f"{where}: {name!r} holds {weights.dtype(name)}, not the numbers of a parameter")
        for copy, original in self.copies.items():
            if copy in weights and not _same(weights, copy, kept.get(original, original)):
                raise UserError(f"{where}: {copy!r} is not the same as {original!r}, with which config.json shares it")
        for name, known in self.known.items():
            if name in weights and not known.is_near(weights[name]):
                raise UserError(f"{where}: {name!r} does not hold what it should by config.json; is it of this model?")
        return pairs

    def unread(self, weights: Collection[str]) -> list[str]:
        """Names in a file that hold something learned, but that the official code never reads."""
        return [name for name in weights if name in self.dead]

    def _is_left(self, name: str) -> bool:
        return any(re.fullmatch(pattern, name) for pattern in self.left)


def layer(ours: str, theirs: str, parts: Mapping[str, str], turned: bool = False) -> list[Rule]:
    """Rules of one kind of layer: `parts` names what is below `ours` and `theirs`."""
    return [Rule(f"{ours}.{mine}", f"{theirs}.{other}", turned) for mine, other in parts.items()]


def numbered(plan: Plan) -> Iterator[tuple[str, Block, bool, int]]:
    """Every block of a plan: its address, itself, whether it is one of its stream's own, which attend to the stream
    before any other, and its number among those that are, or are not."""
    counts: dict[tuple[str, bool], int] = {}
    for _, address, block in plan.blocks():
        own = [attend.stream for attend in block.attends[:1]] == [block.stream]
        number = counts.get((block.stream, own), 0)
        counts[block.stream, own] = number + 1
        yield address, block, own, number


def matrix(weights: Tensors, name: str, where: str) -> tuple[int, int]:
    """The shape of a tensor from which a plan takes sizes: outputs and inputs."""
    shape = tuple(weights.shape(name))
    if len(shape) != 2 or min(shape) < 1:
        raise UserError(f"{where}: {name!r} has shape {shape}; it is a matrix")
    return shape


def _same(weights: Tensors, one: str, other: str) -> bool:
    return weights.shape(one) == weights.shape(other) and torch.equal(weights[one], weights[other])


def _named(names: list[str]) -> str:
    """Some names for a message: "'a' (and 3 more) are", with what does not print made visible."""
    shown = repr(names[0] if len(names[0]) < 100 else names[0][:97] + "...")
    return f"{shown} is" if len(names) == 1 else f"{shown} and {len(names) - 1} more are"
