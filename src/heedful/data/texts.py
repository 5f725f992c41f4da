"""Plain text as documents, for language models: files to a tokenizer and shards on disk.

A document is a whole file, a paragraph (lines up to an empty one) or a line; in TSV, CSV and JSONL, the "text" of a
record, or what `data.fields` names. A line's end is part of the text of `prose`, where documents are kept to the byte;
otherwise the lines of one are joined by a space.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import islice
from pathlib import Path
from typing import NamedTuple

from ..config import Recipe
from ..config import Tokenizer as TokenizerKeys
from ..errors import UserError
from ..text.tokenizer import Tokenizer, train_tokenizer
from .readers import read_lines
from .records import SUFFIXES, read_records, suffix_of
from .shards import Shards, build_shards, key_of

READ_FOR_TOKENIZER = 1_000_000  # lines; more teach a vocabulary nothing new
LONGEST = 2**31  # tokens of a document: it is cut in training, so there is no limit of its own


class Parts(NamedTuple):
    """The documents of training and those held out."""

    train: list[str]
    dev: list[str]


def read_documents(path: Path, how: str, prose: bool, fields: Sequence[str] = ()) -> Iterator[str]:
    """The documents of a file that are not empty, as `data.documents` and `data.fields` say."""
    if suffix_of(path) in SUFFIXES:
        for (text,), where in read_records(path, ("text",), fields):
            if not isinstance(text, str):
                raise UserError(f'{where}: "text" is {text!r}, not a text')
            if text.strip():
                yield text
        return
    end, between = ("\n", "") if prose else ("", " ")
    gathered: list[str] = []
    for line in read_lines(path):
        gathered.append(line + end)
        if how == "line" or (how == "paragraph" and not line.strip()):
            yield from _joined(gathered, between)
            gathered = []
    yield from _joined(gathered, between)


def _joined(lines: list[str], between: str) -> Iterator[str]:
    text = between.join(lines)
    if text.strip():
        yield text


def read_parts(recipe: Recipe, prose: bool) -> Parts:
    """What is trained on and what is held out: the dev files, or the last `dev_share` of every training file.

    Of a file that is one document that share is of its characters (as the usual 90/10 split of tiny Shakespeare is),
    else of its documents.
    """
    data = recipe.data
    read = lambda files: (list(read_documents(Path(file), data.documents, prose, data.fields)) for file in files)
    if data.dev:
        return Parts([text for file in read(data.train) for text in file], [t for file in read(data.dev) for t in file])
    train: list[str] = []
    dev: list[str] = []
    for documents in read(data.train):
        if len(documents) == 1:
            place = int(len(documents[0]) * (1 - data.dev_share))
            documents = [documents[0][:place], documents[0][place:]]
        place = min(len(documents) - 1, int(len(documents) * (1 - data.dev_share)))
        train += documents[:place]
        dev += documents[place:]
    return Parts([text for text in train if text], [text for text in dev if text])


def prepare_texts(
    recipe: Recipe, folder: Path, prose: bool, tokenizer: Tokenizer | None = None, tags: tuple[str, ...] = ()
) -> tuple[list[str], Tokenizer, Parts]:
    """Tokenizer and shards "train" and "dev" in `folder`, made or found there; lines about them.

    `tokenizer`: that of a model to start from; else one is trained on the training text.
    """
    files = [Path(file) for file in (*recipe.data.train, *recipe.data.dev)]
    parts = read_parts(recipe, prose)
    for what, texts in zip(("training", "validation"), parts, strict=True):
        if not texts:
            raise UserError(f"{', '.join(recipe.data.train)}: no text is left for {what}; change data.dev_share")
    given = tokenizer is not None
    settings = {
        "tokenizer": str(recipe.tokenizer), "documents": recipe.data.documents, "share": recipe.data.dev_share,
        "prose": prose, "tags": tags, "dev": len(recipe.data.dev), "given": tokenizer.fingerprint if tokenizer else "",
        "fields": recipe.data.fields,
    }  # fmt: skip
    key = key_of(files, [], settings)
    tokenizer = tokenizer or kept_tokenizer(folder, key, lambda: _trained(recipe, parts.train, prose, tags))
    if given:
        tokenizer.save(folder / "tokenizer.json")
    lines = []
    for name, texts in zip(("train", "dev"), parts, strict=True):
        shards = Shards.reuse(folder / name, key)
        if shards is None:
            examples = ((text,) for text in texts)
            shards = build_shards(folder / name, examples, {"text": tokenizer}, key=key, longest=LONGEST)
        tokens = int(shards.lengths("text").sum())
        lines.append(f"{name}: {len(shards):,} documents, {sum(map(len, texts)):,} characters, {tokens:,} tokens")
    return lines, tokenizer, parts


def _trained(recipe: Recipe, texts: Iterable[str], prose: bool, tags: tuple[str, ...]) -> Tokenizer:
    # Of prose the lines keep their ends.
    lines = (line for text in texts for line in (text.split("\n") if not prose else _with_ends(text)))
    return trained_as(recipe.tokenizer, islice(lines, READ_FOR_TOKENIZER), tags, prose=prose)


def _with_ends(text: str) -> Iterator[str]:
    *whole, rest = text.split("\n")
    yield from (line + "\n" for line in whole)
    if rest:
        yield rest


def trained_as(
    chosen: TokenizerKeys, lines: Iterable[str], tags: Sequence[str] = (), placeholders: int = 0, prose: bool = False
) -> Tokenizer:
    """A tokenizer of some lines, as a recipe's [tokenizer] says."""
    assert chosen.size is not None, "the recipe is completed before data is prepared"
    return train_tokenizer(
        lines, chosen.kind, chosen.size, chosen.lowercase, chosen.cut, tags, placeholders, prose=prose
    )


def kept_tokenizer(folder: Path, key: str, make: Callable[[], Tokenizer]) -> Tokenizer:
    """The tokenizer in a run's data if it was made from the same (`key`); else `make` it and save it there."""
    file, stamp = folder / "tokenizer.json", folder / "tokenizers.key"
    if stamp.exists() and stamp.read_text("ascii") == key:
        return Tokenizer.load(file)
    tokenizer = make()
    folder.mkdir(parents=True, exist_ok=True)
    tokenizer.save(file)
    stamp.write_text(key, "ascii")
    return tokenizer
