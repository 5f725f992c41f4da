"""A Record as what a page carries (`heedful.look.page.v1`): small JSON, and every matrix as a block of text beside it.

A weight w becomes one byte, round(255 sqrt(w)): fine where weights are small, and off by about sqrt(w) / 255, and
never by more than 0.004. Signed numbers are scaled by their peak and get 127 steps on each side. Bytes are deflated
and written in base64; what a causal mask hides is left out. Exact numbers are what .npz and .json files are for.
"""

from __future__ import annotations

import base64
import json
import math
import zlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from itertools import accumulate
from typing import Any

import numpy as np
import numpy.typing as npt

from ...inside.measures import MEASURES
from ...inside.record import Guess, Kind, Line, Reals, Record, Said, layer_number, mean_of
from ..render import visible

FORMAT = "heedful.look.page.v1"
STEPS = {False: 255, True: 127}  # of unsigned and of signed numbers
DIGITS = 5
SAMPLE = 1 << 18  # bytes of a block that tell how it is best packed
Bytes = npt.NDArray[np.uint8]


@dataclass
class Packed:
    """`data` is JSON; wherever it says {"block": n} a matrix of its own follows in `blocks`."""

    data: dict[str, Any]
    blocks: list[str] = field(default_factory=list)

    def json(self) -> str:
        """As it stands in a script element: nothing in it can end the element or a line of script."""
        text = json.dumps(self.data, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
        for character in "<\u2028\u2029":
            text = text.replace(character, f"\\u{ord(character):04x}")
        return text

    def matrix(self, weights: Reals, *, causal: bool = False, signed: bool = False) -> dict[str, Any]:
        """Adds a block of [..., queries, keys]; gives what the page must know to read it."""
        values = np.nan_to_num(np.asarray(weights, np.float32), posinf=0.0, neginf=0.0)
        peak = float(np.abs(values).max(initial=0.0))
        scale = 1.0 if not signed and peak <= 1 + 1e-3 else peak or 1.0
        self.blocks.append(encoded(quantised(values / np.float32(scale), signed=signed), causal=causal))
        return {"block": len(self.blocks) - 1, "scale": scale, "signed": signed, "causal": causal}


def quantised(weights: Reals, *, signed: bool = False) -> Bytes:
    """Weights in 0..1 as round(255 sqrt(w)); signed ones in -1..1 as 128 + round(127 sqrt(|w|)) with their sign."""
    if signed:
        roots = np.sign(weights) * np.sqrt(np.minimum(np.abs(weights), 1))
        return np.asarray(128 + np.rint(STEPS[True] * roots)).astype(np.uint8)
    return np.asarray(np.rint(STEPS[False] * np.sqrt(np.clip(weights, 0, 1)))).astype(np.uint8)


def restored(steps: Bytes, *, signed: bool = False) -> Reals:
    """The numbers that a page shows for quantised ones."""
    if signed:
        roots = (steps.astype(np.float32) - 128) / STEPS[True]
        return (np.sign(roots) * roots**2).astype(np.float32)
    return ((steps.astype(np.float32) / STEPS[False]) ** 2).astype(np.float32)


def encoded(steps: Bytes, *, causal: bool = False) -> str:
    """Deflated bytes in base64. Real weights repeat themselves and gain by it; random ones only by Huffman's code,
    which is found several times faster; a sample tells."""
    if causal:
        rows, columns = np.tril_indices(steps.shape[-2], 0, steps.shape[-1])
        steps = steps[..., rows, columns]
    plain = np.ascontiguousarray(steps).tobytes()
    middle = max(0, (len(plain) - SAMPLE) // 2)
    sample = plain[middle : middle + SAMPLE]
    strategy = min((zlib.Z_HUFFMAN_ONLY, zlib.Z_DEFAULT_STRATEGY), key=lambda one: len(_deflated(sample, one)))
    return base64.b64encode(_deflated(plain, strategy)).decode()


def _deflated(plain: bytes, strategy: int) -> bytes:
    deflate = zlib.compressobj(6, zlib.DEFLATED, -15, 9, strategy)
    return deflate.compress(plain) + deflate.flush()


def decoded(block: str, shape: Sequence[int], *, causal: bool = False) -> Bytes:
    """The way back from `encoded`, for a matrix [..., queries, keys] of this shape."""
    plain = np.frombuffer(zlib.decompress(base64.b64decode(block), -15), np.uint8)
    if not causal:
        return plain.reshape(shape)
    steps = np.zeros(shape, np.uint8)
    rows, columns = np.tril_indices(shape[-2], 0, shape[-1])
    steps[..., rows, columns] = plain.reshape(*shape[:-2], len(rows))
    return steps


def pack(record: Record) -> Packed:
    """Everything of a record. Lines and kinds are referred to by number, texts are made `visible` here, so that a page
    only has to insert them."""
    packed = Packed({})
    lines = {name: number for number, name in enumerate(record.lines)}
    kinds = {kind.name: number for number, kind in enumerate(record.kinds)}
    packed.data = {
        "format": FORMAT,
        **{name: getattr(record, name) for name in ("model", "task", "text", "answer")},
        "lines": [_line(line) for line in record.lines.values()],
        "kinds": [_kind(packed, record, kind, lines) for kind in record.kinds],
        "measures": [
            {
                "name": name,
                "label": measure.label,
                "note": f"{measure.note} ({measure.citation})",
                "telling": measure.telling,
            }
            for name, measure in MEASURES.items()
        ],
        "said": [_said(said) for said in record.said],
        "lenses": [
            {
                "line": lines.get(lens.line, -1),
                "label": lens.label,
                "layers": list(lens.layers),
                "positions": list(lens.positions),
                "guesses": [[_guesses(token) for token in layer] for layer in lens.guesses],
            }
            for lens in record.lenses
        ],
        "answers": [{"title": answers.title, "guesses": _guesses(answers.guesses)} for answers in record.answers],
        "what_if": list(_what_if(record, lines, kinds)),
        "notes": list(record.notes),
    }
    packed.data = _clean(packed.data)
    return packed


def _line(line: Line) -> dict[str, Any]:
    """A line; where each token is a word, `pieces` and `word` are null."""
    picture = line.picture and {
        "src": "data:image/png;base64," + base64.b64encode(line.picture.png).decode(),
        "width": line.picture.width,
        "height": line.picture.height,
        "boxes": np.asarray(line.picture.boxes, np.float64).tolist(),
    }
    plain = line.pieces == line.words and np.array_equal(line.word, np.arange(len(line.words)))
    return {
        "name": line.name,
        "label": line.label,
        "pieces": None if plain else list(line.pieces),
        "words": list(line.words),
        "word": None if plain else np.asarray(line.word).tolist(),
        "control": [int(control) for control in line.control],
        "picture": picture,
    }


def _kind(packed: Packed, record: Record, kind: Kind, lines: dict[str, int]) -> dict[str, Any]:
    firsts = accumulate((len(layer.weights) for layer in kind.layers), initial=0)
    layers = [
        {
            "layer": layer_number(layer.address) - 1,
            "order": layer.order,
            "heads": len(layer.weights),
            "first": first,
        }
        for layer, first in zip(kind.layers, firsts, strict=False)
    ]
    weighted = [layer.weighted for layer in kind.layers if layer.weighted is not None]
    views = [
        {"name": view.name, "label": view.label, "note": view.note, **packed.matrix(view.weights, signed=view.signed)}
        for view in record.views
        if view.kind == kind.name
    ]
    return {
        "name": kind.name,
        "label": kind.label,
        "queries": lines[kind.queries],
        "keys": lines[kind.keys],
        "layers": layers,
        "weights": packed.matrix(np.concatenate([layer.weights for layer in kind.layers]), causal=kind.causal),
        "weighted": packed.matrix(np.concatenate(weighted), causal=kind.causal)
        if len(weighted) == len(kind.layers)
        else None,
        "mean": packed.matrix(mean_of(kind.layers), causal=kind.causal),
        "views": views,
        "best": [list(at) for at in record.best.get(kind.name, [])],
        "measures": [[name, _short(table)] for name, table in record.measures.get(kind.name, {}).items()],
    }


def _short(table: Sequence[Sequence[float]]) -> list[list[float]]:
    """Measures with the digits that are shown."""
    return [[float(f"{value:.3g}") for value in layer] for layer in table]


def _guesses(guesses: Sequence[Guess]) -> list[list[Any]]:
    return [[guess.text, guess.probability] for guess in guesses]


def _said(said: Said) -> dict[str, Any]:
    return {"text": said.text, "logprob": said.logprob, "others": _guesses(said.others)}


def _what_if(record: Record, lines: dict[str, int], kinds: dict[str, int]) -> Iterator[dict[str, Any]]:
    """Each changed run. Of a head `kind`, `layer` and `head` say which, of a word `line` and `word`; -1 is unknown, or
    another run's state."""
    places = {
        layer.address: (kinds[kind.name], number) for kind in record.kinds for number, layer in enumerate(kind.layers)
    }
    for run in record.what_if:
        address, number = run.where
        kind, layer = places.get(address, (-1, -1))
        where = {"head": {"kind": kind, "layer": layer, "head": number}}
        yield {
            "what": run.what,
            **where.get(run.what, {"line": lines.get(address, -1), "word": number}),
            "label": run.label,
            "text": run.text,
            "logprob": run.logprob,
            "change": run.change,
            "tokens": [_said(said) for said in run.tokens],
            "changes": list(run.changes),
        }


def _clean(value: Any) -> Any:
    """Texts visible, numbers short, what is no number null."""
    if isinstance(value, str):
        return visible(value)
    if isinstance(value, (bool, np.bool_)):
        return bool(value)
    if isinstance(value, (float, np.floating)):
        return float(f"{value:.{DIGITS}g}") if math.isfinite(value) else None
    if isinstance(value, np.integer):
        return int(value)
    if isinstance(value, dict):
        return {key: _clean(one) for key, one in value.items()}
    if isinstance(value, (list, tuple)):
        return [_clean(one) for one in value]
    return value
