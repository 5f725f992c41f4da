"""Options that several commands share."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated

import typer


class Device(StrEnum):
    auto = "auto"
    cpu = "cpu"
    cuda = "cuda"
    mps = "mps"


class Precision(StrEnum):
    fp32 = "fp32"
    bf16 = "bf16"
    auto = "auto"


class LengthPenalty(StrEnum):
    average = "average"
    gnmt = "gnmt"
    hf = "hf"


Files = list[str] | None
Settings = Annotated[
    list[str] | None, typer.Option("--set", metavar="A.B=C", help="Set one value of the recipe; repeatable.")
]
