"""A run that breaks off and is resumed, beside one that does not."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

import heedful
from heedful.model import hardware
from heedful.tasks.runs import resume


class Stop(Exception):
    pass


def same_bits_after_a_stop(train: Callable[[Path], object], folder: Path, owner: Any, name: str, call: int) -> None:
    """folder/whole is trained at once, folder/broken until the given call of `owner.name`, then resumed: equal bits."""
    with pytest.MonkeyPatch.context() as patched:
        chosen = hardware.probe()
        patched.setattr(hardware, "probe", lambda: chosen)  # two runs on a busy machine may choose differently
        train(folder / "whole")
        kept, calls = getattr(owner, name), itertools.count(1)

        def stopping(*arguments: Any, **named: Any) -> Any:
            if next(calls) == call:
                raise Stop
            return kept(*arguments, **named)

        with patched.context() as broken:
            broken.setattr(owner, name, stopping)
            with pytest.raises(Stop):
                train(folder / "broken")
        assert resume(folder / "broken") == 0
    one, other = (heedful.load(folder / part).model.tensors() for part in ("whole", "broken"))
    assert all(torch.equal(one[key], other[key]) for key in one)
