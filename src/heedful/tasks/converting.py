"""Models of other libraries become ours, and ours theirs."""

from __future__ import annotations

import importlib
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ..convert.exporting import convert_out
from ..convert.importing import convert_in
from ..convert.layout import names
from ..data.parallel import load_tokenizers
from ..errors import UserError
from ..model.files import is_foreign, read_config
from ..model.presets import nearest
from ..text.tokenizer import Tokenizer
from .finding import find, load_tokenizer
from .tag.preparing import SHAPES, tells_shapes

OURS = "heedful"
PROGRAMS = ("ctranslate2", "onnx", "argos")  # what only runs models: written, never read


def convert(
    source: str | Path, out: str | Path, to: str | None = None, *, languages: tuple[str, str] | None = None,
    tag: str | None = None, quantization: str | None = None,
) -> list[str]:  # fmt: skip
    """Write a model as the new folder (for argos: file) `out`: one of another library as ours, one of ours in the
    layout `to` (None: that it came from, or the first that can say it). What was done, in lines.

    `languages` (from, to) are codes that an .argosmodel is for, `tag` the target's of a model of several; ctranslate2
    takes a `quantization`. UserError names what cannot be read, or not be said in a layout; nothing is written then.
    """
    source, out = Path(source), Path(out)
    to = "argos" if to is None and out.suffix == ".argosmodel" else to
    known = [OURS, *names(), *PROGRAMS]
    if to is not None and to not in known:
        raise UserError(f"--to {to}: no layout is called so; {nearest(to, known)} There are {', '.join(known)}")
    if out.exists():
        raise UserError(f"{out}: is there already; name a new one")
    if not source.is_dir():
        raise UserError(f"{source}: no such folder; a model is a folder with config.json and its weights")
    options = _options(to, languages, tag, quantization)
    if is_foreign(source):
        return convert_in(source, out) if to in (None, OURS) else _through(source, out, to, options)
    folder = find(source)
    if to == OURS:
        raise UserError(f"{source}: is a model of heedful already")
    return _write(folder, out, to, options)


def _options(
    to: str | None, languages: tuple[str, str] | None, tag: str | None, quantization: str | None
) -> dict[str, Any]:
    """What is said of a program's file; UserError for what that program does not take."""
    given = {"languages": languages, "tag": tag, "quantization": quantization}
    taken = {"ctranslate2": ("tag", "quantization"), "argos": ("languages", "tag", "quantization")}.get(str(to), ())
    if extra := [name for name, value in given.items() if value is not None and name not in taken]:
        raise UserError(f"--{extra[0]} says nothing of {to or 'this'}; leave it out")
    if to == "argos" and languages is None:
        raise UserError("--to argos: name the languages' codes, --languages en,de")
    del given["languages"]
    return {**given, **({"source": languages[0], "target": languages[1]} if languages else {})}


def _through(source: Path, out: Path, to: str, options: Mapping[str, Any]) -> list[str]:
    """One of another library in the layout of a third, by way of ours."""
    beside = next(folder for folder in out.absolute().parents if folder.is_dir())
    try:
        with tempfile.TemporaryDirectory(dir=beside, prefix=".tmp-") as between:
            ours = Path(between) / source.name
            lines = [line for line in convert_in(source, ours) if str(ours) not in line]
            try:
                return lines + _write(ours, out, to, options)
            except UserError as error:
                raise UserError(str(error).replace(str(ours), str(source))) from None
    except OSError as error:
        raise UserError(f"{out}: cannot be written: {error.strerror}") from None


def _write(folder: Path, out: Path, to: str | None, options: Mapping[str, Any]) -> list[str]:
    if to not in PROGRAMS:
        return convert_out(folder, out, tokenizers_of(folder), to) + _told(folder)
    given = {key: value for key, value in options.items() if value is not None}
    lines: list[str] = importlib.import_module(f"..convert.{to}", __package__).write(folder, out, **given)
    return lines


def _told(folder: Path) -> list[str]:
    """What whoever runs a model elsewhere has to know of it."""
    words = tokenizers_of(folder).get("")
    if read_config(folder)[1].get("task") == "tag" and words is not None and tells_shapes(words):
        shapes = ", ".join(f"{number} {shape}" for number, shape in enumerate(SHAPES))
        return [f"token_type_ids are the shapes of words: {shapes}"]
    return []


def tokenizers_of(folder: Path) -> dict[str, Tokenizer]:
    """The tokenizers of a model's folder, as a layout has them: {"": one}, {"source": ..., "target": ...}, or none."""
    extra = read_config(folder)[1]
    if "tokenizers" in extra:
        return load_tokenizers(folder, extra["tokenizers"])
    return {"": load_tokenizer(folder, extra)} if "tokenizer" in extra else {}
