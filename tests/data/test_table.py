"""Tables of numbers: rows as they were, batches by length, files verified."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from heedful.data.batches import Batches
from heedful.data.table import Table
from heedful.errors import UserError

ROWS = [[5, 6, 7], [], [8], [9, 10]]


def table() -> Table:
    return Table.of(("text",), {"text": ROWS, "label": [[1], [2], [3], [4]], "score": [[0.5], [1.0], [0.25], [0.0]]})


def test_rows_come_back_end_to_end() -> None:
    ids, lengths = table().rows("text", np.array([3, 1, 0]))
    assert (ids.tolist(), lengths.tolist()) == ([9, 10, 5, 6, 7], [2, 0, 3])
    assert (len(table()), table().row("text", 2).tolist(), table().lengths("text").tolist()) == (4, [8], [3, 0, 1, 2])


def test_what_is_written_is_read(tmp_path: Path) -> None:
    table().save(tmp_path / "a" / "t.safetensors", "made from x")
    found = Table.open(tmp_path / "a" / "t.safetensors", "made from x")
    assert found.streams == ("text",)
    for name in ("text", "label", "score"):
        assert [found.row(name, at).tolist() for at in range(4)] == [table().row(name, at).tolist() for at in range(4)]
    assert (found.columns["text"][0].dtype, found.columns["score"][0].dtype) == (np.int64, np.float32)
    assert [path.name for path in (tmp_path / "a").iterdir()] == ["t.safetensors"]


def test_of_another_key_it_is_not_reused(tmp_path: Path) -> None:
    table().save(tmp_path / "t", "x")
    assert Table.reuse(tmp_path / "t", "y") is None
    assert Table.reuse(tmp_path / "gone", "x") is None
    assert Table.reuse(tmp_path / "t", "x") is not None


def test_every_damaged_byte_is_found(tmp_path: Path) -> None:
    path = tmp_path / "t"
    table().save(path, "x")
    content, refused = bytearray(path.read_bytes()), 0
    for place in range(0, len(content), 7):
        content[place] ^= 1
        path.write_bytes(content)
        try:
            found = Table.open(path, "x")  # a changed byte of the header may be one that means nothing
        except UserError:
            refused += 1
        else:
            assert [found.row("text", at).tolist() for at in range(4)] == ROWS
        content[place] ^= 1
    assert refused > len(content) / 7 / 2
    path.write_bytes(content[:-1])
    with pytest.raises(UserError, match="cannot be read"):
        Table.open(path)


def test_it_makes_batches() -> None:
    batches = Batches(table(), batch_tokens=4, seed=1).epoch(0)
    assert sorted(example for batch in batches for example in batch.tolist()) == [0, 1, 2, 3]
