"""What `heedful embed` and `heedful search` do: vectors of lines to a file, and the lines most like a query."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import BinaryIO

import numpy as np

from ...data.readers import read_lines
from ...errors import UserError, visible
from ..finding import last_run
from ..streams import Readable, answer_lines, opened, require
from .embedder import Embedder, load

SUFFIXES = (".npy", ".jsonl")


def loaded(model: Path | None) -> Embedder:
    """The model named, or the last one here; which one it is is said then."""
    if model is not None:
        return load(model)
    model = last_run(task="embed")
    print(f"using {model}", file=sys.stderr)
    return load(model)


def embed_lines(model: Path | None, files: Sequence[Path], lines: Readable | None, out: BinaryIO) -> None:
    """A JSON array of numbers for each line of the files, or of `lines`."""
    for path in files:
        require(path)
    embedder = loaded(model)
    answer = lambda texts: [_line(vector.tolist()) for vector in embedder.embed(texts)]
    if lines is not None:
        return answer_lines(lines, out, answer)
    for path in files:
        with opened(path) as stream:
            answer_lines(stream, out, answer, str(path))


def embed_files(model: Path | None, files: Sequence[Path], output: Path) -> str:
    """The vectors of all lines in a new .npy [lines, width] or .jsonl file, whole or not at all; what was written."""
    if output.suffix not in SUFFIXES:
        raise UserError(f"{output}: vectors are written to .npy (an array) or .jsonl (a line for each text)")
    if output.exists():
        raise UserError(f"{output}: exists already; choose another --output, nothing is overwritten")
    if not output.absolute().parent.is_dir():
        raise UserError(f"{output}: there is no folder {output.absolute().parent}; make it first")
    texts = [line for path in files for line in read_lines(path)]
    vectors = loaded(model).embed(texts)
    aside = output.with_name(f".{output.name}-{os.getpid()}.tmp")
    try:
        with aside.open("wb") as file:
            if output.suffix == ".npy":
                np.save(file, vectors)
            else:
                file.writelines(_line(vector.tolist()).encode() + b"\n" for vector in vectors)
        aside.rename(output)
    except OSError as error:
        raise UserError(f"{output}: cannot be written: {error.strerror}; free some space") from None
    finally:
        aside.unlink(missing_ok=True)
    return f"{output}: {len(vectors):,} vectors of {vectors.shape[1]} numbers"


def search(
    model: Path | None, queries: Sequence[str], files: Sequence[Path], vectors: Path | None, best: int, as_json: bool
) -> None:
    """Print the lines of the files that are most like each query: cosine, file and line, text. Empty lines are not
    found."""
    texts = [(text, f"{path}:{number}") for path in files for number, text in enumerate(read_lines(path), 1)]
    if not texts:
        raise UserError(f"{', '.join(map(str, files))}: no lines to search in")
    made = None if vectors is None else _read(vectors, len(texts))
    embedder, empty = loaded(model), sum(not text.strip() for text, _ in texts)
    found = embedder.search(queries, [text for text, _ in texts] if made is None else made, best + empty)
    for query, hits in zip(queries, found, strict=True):
        rows = [(hit.score, *texts[hit.number]) for hit in hits if texts[hit.number][0].strip()][:best]
        if as_json:
            told = [{"score": round(score, 6), "text": text, "where": where} for score, text, where in rows]
            print(json.dumps({"query": query, "found": told}, ensure_ascii=False))
            continue
        if len(queries) > 1:
            print(visible(query))
        for score, text, where in rows:
            print(f"{score:6.3f}  {where}  {visible(text)}")


def _read(path: Path, lines: int) -> np.ndarray:
    try:
        made = np.load(path, allow_pickle=False)
    except (OSError, ValueError, EOFError) as error:
        raise UserError(f"{path}: not vectors that `heedful embed -o FILE.npy` wrote: {error}") from None
    if not isinstance(made, np.ndarray) or made.dtype != np.float32 or made.shape[:1] != (lines,):
        raise UserError(f"{path}: it does not hold {lines:,} vectors, one a line; make them anew from the same files")
    return made


def _line(vector: list[float]) -> str:
    return json.dumps([round(number, 6) for number in vector])
