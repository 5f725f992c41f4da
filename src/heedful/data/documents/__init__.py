"""Documents to translate: PO, TMX, XLIFF, SubRip, WebVTT, TSV and JSONL in, and the same file with its gaps filled out.

    document = open_document(Path("messages.po"))
    wanted = {n: unit.text for n, unit in enumerate(document.units) if not unit.translated}
    content = document.write({n: translate(text) for n, text in wanted.items()})

Every byte that is no translation stays as it was. The translated units of PO, TMX and XLIFF also are training data.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from pathlib import Path

from ...errors import UserError
from . import po, subtitles, tables, tmx, xliff
from .document import Document, Options, Passage, Unit, load

__all__ = ["FORMATS", "PAIR_FORMATS", "Document", "Passage", "Unit", "open_document", "read_document_pairs"]

FORMATS: dict[str, Callable[[Path, bytes, Options], Document]] = {
    ".po": po.read,
    ".pot": po.read,
    ".tmx": tmx.read,
    ".xlf": xliff.read,
    ".xliff": xliff.read,
    ".srt": subtitles.read_srt,
    ".vtt": subtitles.read_vtt,
    ".tsv": tables.read_tsv,
    ".jsonl": tables.read_jsonl,
}
# Those with both languages in one file.
PAIR_FORMATS = (".po", ".tmx", ".xlf", ".xliff")


def open_document(
    path: Path,
    content: bytes | None = None,
    *,
    source_language: str | None = None,
    target_language: str | None = None,
    drafts: bool = False,
) -> Document:
    """The document at `path` (or in `content`), its format told by the suffix.

    The languages, as tags like "de" or "pt-BR", choose among those of a TMX file: without them the source is the
    header's srclang or the first language, and the target the only other one. XLIFF has its own: others are refused.
    `drafts`: translations that the file calls unfinished (PO: fuzzy; XLIFF: by the state) are to be filled as well.
    UserError if the file is malformed, of an unknown suffix, or larger than 256 MiB.
    """
    if path.suffix.lower() not in FORMATS:
        raise UserError(f"{path}: not a document by the suffix {path.suffix!r}; it may be {', '.join(FORMATS)}")
    return _open(path, load(path) if content is None else content, source_language, target_language, drafts)


def read_document_pairs(
    path: Path, source_language: str | None = None, target_language: str | None = None
) -> Iterator[tuple[str, str, str]]:
    """Source, target and "file:line" of each finished translation in a PO, TMX or XLIFF file, plain or .gz.

    Plain text: inline markup is left out, and white space becomes single spaces, as one line each is read elsewhere.
    """
    for unit in _open(path, load(path), source_language, target_language, drafts=True).units:
        if unit.translated:
            yield _line(Passage(unit.text, unit.protected)), _line(unit.translation), unit.where


def _line(passage: Passage) -> str:
    return re.sub(r"[ \t\r\n]+", " ", passage.plain).strip(" ")


def _open(path: Path, content: bytes, source: str | None, target: str | None, drafts: bool) -> Document:
    reader = FORMATS[Path(path.name.removesuffix(".gz")).suffix.lower()]
    return reader(path, content, Options(source or None, target or None, drafts))
