"""Training text that a translator makes: its own translations of a source text, or sources for a target text.

Sequence-level distillation (Kim & Rush 2016, 3.2) translates the training source with a teacher, and a smaller model
learns that. Back-translation (Sennrich et al. 2016, 3) translates text of the target language with a model of the
other direction; the sources it makes may carry a mark (Caswell et al. 2019), so that a model can tell them from real
ones. Both are one thing: lines through a model, each beside what came of it, as many as there were.
"""

from __future__ import annotations

import itertools
import os
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, Literal

import msgspec
import xxhash

from ...data.readers import FORMATS, read_lines, read_tsv
from ...decode.options import Options
from ...errors import UserError
from ..streams import LONGEST_LINE
from .partial import Partial, require_new
from .translator import Translator, load

Side = Literal["source", "target"]
Say = Callable[[int, int], None]

BLOCK = 512  # lines translated together and then on the disk: what a kill can cost
BREAKS = str.maketrans("\t\n\r", "   ")  # what would end a column or a line


def make_corpus(
    model: str | Path,
    given: Path,
    out: Path,
    *,
    back: bool = False,
    mark: str = "",
    columns: tuple[int, int] | None = None,
    options: Mapping[str, Any],
) -> None:
    """What a command does: see `write_corpus`; with `back` the given text is the target side.

    `options` are fields of `decode.Options`, and `tag`. Progress goes to standard error.
    """
    chosen = dict(options)
    tag, translator = chosen.pop("tag", None), load(model)
    began, shown = time.monotonic(), 0.0

    def say(done: int, total: int) -> None:
        nonlocal shown
        if time.monotonic() - shown > 10.0 or done == total:
            shown = time.monotonic()
            print(f"{done:,} of {total:,} lines, {shown - began:,.0f} s", file=sys.stderr, flush=True)

    side: Side = "target" if back else "source"
    how = {"side": side, "mark": mark, "columns": columns, "tag": tag, "say": say}
    write_corpus(translator, given, out, options=translator.options(**chosen), **how)  # type: ignore[arg-type]


def write_corpus(
    translator: Translator,
    given: Path,
    out: Path,
    *,
    side: Side = "source",
    mark: str = "",
    columns: tuple[int, int] | None = None,
    tag: str | None = None,
    options: Options | None = None,
    say: Say = lambda done, total: None,
) -> int:
    """Translate a file to `out`; returns the number of lines, those of `given`.

    `given` is text, TSV (of which `columns` are source and target) or JSONL (.gz too), of which `side` is read. In
    `out` (.tsv or .jsonl) it is that side again, and the translation the other; any other name gets the translations
    alone, line by line. `mark` and a space go before every source. An empty line, and one too long to be a sentence,
    has an empty translation.

    Interrupted, the same call goes on where it stopped, to the same bytes (see `partial`): answers may depend in their
    last bits on what is in a block, so whole blocks are kept. UserError where `out` exists, or its beginning is of
    another text or other options.
    """
    options = options or translator.options()
    if out.suffix.lower() == ".gz":
        raise UserError(f"{out}: is written as it is, not compressed; leave .gz out")
    if mark and (out.suffix not in (".tsv", ".jsonl")) and side == "source":
        raise UserError(f"{out}: would hold no sources to mark; name it .tsv or .jsonl")
    require_new(out)
    translator.encode("", tag)  # a wrong tag is told before any work
    total, text = _measure(_lines(given, side, columns))
    key = xxhash.xxh3_128_hexdigest(repr((text, _weights(translator), side, mark, tag, options, out.suffix)).encode())
    try:
        out.parent.mkdir(parents=True, exist_ok=True)
        with Partial(out, {"made from": key}, block=BLOCK) as partial:
            done = partial.lines
            lines = itertools.islice(_lines(given, side, columns), done, None)
            while block := list(itertools.islice(lines, BLOCK)):
                answers = _translated(translator, block, tag, options)
                for line, answer in zip(block, answers, strict=True):
                    partial.file.write(_row(line, answer, side, mark, out.suffix))
                partial.file.flush()
                os.fsync(partial.file.fileno())
                done += len(block)
                say(done, total)
            partial.finish()
    except OSError as error:
        raise UserError(f"{out}: cannot be written: {error.strerror}; the same command goes on from here") from None
    return total


def _translated(translator: Translator, lines: list[str], tag: str | None, options: Options) -> list[str]:
    short = [len(line.encode()) <= LONGEST_LINE for line in lines]
    answers = iter(translator.translate([line for line, fits in zip(lines, short, strict=True) if fits], tag, options))
    return [next(answers) if fits else "" for fits in short]


def _row(given: str, made: str, side: Side, mark: str, suffix: str) -> bytes:
    source, target = (given, made) if side == "source" else (made, given)
    if mark and source:
        source = f"{mark} {source}"
    if suffix == ".jsonl":
        return msgspec.json.encode({"source": source, "target": target}) + b"\n"
    columns = [source, target] if suffix == ".tsv" else [target if side == "source" else source]
    return "\t".join(column.translate(BREAKS) for column in columns).encode() + b"\n"


def _lines(given: Path, side: Side, columns: tuple[int, int] | None) -> Iterator[str]:
    """The lines of a text, or one side of pairs."""
    reader = FORMATS.get(Path(given.name.removesuffix(".gz")).suffix)
    if reader is None:
        return read_lines(given)
    return (getattr(pair, side) for pair in (read_tsv(given, columns) if reader is read_tsv else reader(given)))


def _measure(lines: Iterator[str]) -> tuple[int, str]:
    """How many lines there are, and a hash of them; what cannot be read is told before any work."""
    count, running = 0, xxhash.xxh3_128()
    for line in lines:
        running.update(line.encode() + b"\n")
        count += 1
    return count, running.hexdigest()


def _weights(translator: Translator) -> str:
    running = xxhash.xxh3_128()
    for name, tensor in translator.model.tensors().items():
        running.update(name.encode())
        running.update(tensor.cpu().contiguous().numpy().data)
    return running.hexdigest()
