"""A probe that keeps what it sees, and two ways to do without heads."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from torch import Tensor

from heedful.model.model import Model


class Keeper:
    """Keeps every value at the addresses that `wanted` accepts, group after group, and changes none."""

    def __init__(self, wanted: Callable[[str], bool] = lambda address: True) -> None:
        self.wanted = wanted
        self.seen: dict[str, list[Tensor]] = {}
        self.rows: dict[str, list[Tensor]] = {}

    def wants(self, address: str) -> bool:
        return self.wanted(address)

    def see(self, address: str, value: Tensor, rows: Tensor | None = None) -> Tensor:
        self.seen.setdefault(address, []).append(value.detach())
        if rows is not None:
            self.rows.setdefault(address, []).append(rows)
        return value

    def weights(self, address: str) -> dict[int, Tensor]:
        """Attention weights [heads, queries, keys] by row, padded to their group's longest."""
        pairs = zip(self.rows[address], self.seen[address], strict=True)
        return {int(row): block[place] for rows, block in pairs for place, row in enumerate(rows)}


class Scaled:
    """A probe that multiplies some units of an attention's heads."""

    def __init__(self, factors: dict[str, Tensor]) -> None:
        self.factors = factors

    def wants(self, address: str) -> bool:
        return address.removesuffix(".mixed") in self.factors

    def see(self, address: str, value: Tensor, rows: Tensor | None = None) -> Tensor:
        factors = self.factors[address.removesuffix(".mixed")]
        return value * factors.repeat_interleave(value.shape[1] // len(factors))


@contextmanager
def unread(model: Model, address: str, columns: slice) -> Iterator[None]:
    """Inside, nothing is read of some columns of what leaves an attention's heads: their weights are 0."""
    weight = model.get_submodule(address).output.weight.data
    kept = weight.clone()
    weight[:, columns] = 0.0
    try:
        yield
    finally:
        weight.copy_(kept)
