"""Which reading a loaded model gives, and what it needs to be asked."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

from ...errors import UserError
from ...train import checkpoint
from ..answer.answerer import Answerer
from ..ask.asker import Asker
from ..caption import Captioner
from ..classify import Classifier
from ..embed.embedder import Embedder
from ..fill import Filler
from ..finding import load
from ..match import Matcher
from ..tag import Tagger
from ..translate import Translator
from ..translate.several import load_all
from ..write import Writer
from . import decoding, encoding, pictures
from .reading import Asked, Reading


class Reader(NamedTuple):
    """A task's way to a reading; the texts it takes, at least and at most, and whether it takes a picture."""

    task: str
    read: Callable[[Any, Asked], Reading]
    texts: tuple[int, int] = (1, 1)
    pictures: bool = False


READERS: dict[type, Reader] = {
    Translator: Reader("translate", decoding.translated),
    Writer: Reader("write", decoding.written),
    Captioner: Reader("caption", decoding.captioned, (0, 0), True),
    Filler: Reader("fill", encoding.filled),
    Classifier: Reader("classify", encoding.classified, (1, 2)),
    Tagger: Reader("tag", encoding.tagged),
    Answerer: Reader("answer", encoding.answered, (2, 2)),
    Embedder: Reader("embed", encoding.embedded, (1, 2)),
    Matcher: Reader("match", pictures.matched, (1, 1), True),
    Asker: Reader("ask", pictures.asked_about, (1, 1), True),
}


def opened(path: str | Path) -> Any:
    """The model of a run, of a model's folder, or of a translator's checkpoint (RUN/checkpoints/step-00001200)."""
    folder = Path(path)
    if checkpoint.FOLDER.fullmatch(folder.name) and folder.parent.name == "checkpoints":
        return load_all([folder])[0]
    return load(path)


def reader_of(loaded: Any) -> Reader:
    """UserError for what is no model of a task."""
    for kind, reader in READERS.items():
        if isinstance(loaded, kind):
            return reader
    raise UserError(
        f"a {type(loaded).__name__} cannot be looked into; give what heedful.load gives, or a model's folder"
    )


def read(loaded: Any, asked: Asked) -> Reading:
    """The reading; UserError for what the model does not take, or lacks."""
    reader = reader_of(loaded)
    _require_texts(reader, loaded, asked)
    if reader.pictures and asked.picture is None:
        raise UserError(f"a model for {reader.task} looks at a picture: name one with --picture FILE")
    if not reader.pictures and asked.picture is not None:
        raise UserError(f"{asked.picture}: a model for {reader.task} looks at no picture; leave it out")
    return reader.read(loaded, asked)


def _require_texts(reader: Reader, loaded: Any, asked: Asked) -> None:
    least, most = reader.texts
    if isinstance(loaded, Classifier) and loaded.pairs is not None:
        least = most = 1 + loaded.pairs
    count = len(asked.texts)
    if not least <= count <= most:
        takes = {(0, 0): "no text", (1, 1): "one text", (2, 2): "two texts"}.get((least, most), "one text or two")
        hint = ": a question and the text that the answer is in" if reader.task == "answer" else ""
        raise UserError(f"a model for {reader.task} takes {takes}{hint}; {count} given")
    for number, text in enumerate(asked.texts, 1):
        if not text.strip() and reader.task != "write":
            which = f"text {number}" if count > 1 else "the text"
            raise UserError(f"{which} is empty; there is nothing to look at")
