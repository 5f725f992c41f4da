"""`heedful.look`: what a model attends to while it reads a text and answers, to be shown, kept and changed."""

from __future__ import annotations

import html
import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

from ...errors import UserError
from ...inside.differing import compare
from ...inside.record import Record, layer_number
from ...model.presets import nearest
from ...model.pruning import attentions
from ...page import drawing, recording, terminal
from ...page import look as pages
from ...text.pipeline import without_surrogates
from ..finding import find
from . import patching
from .keeping import Kept, kept
from .opening import opened, read
from .reading import Asked, Reading
from .recording import How, record_of
from .what_if import (
    Change,
    answers_anew,
    edit_everywhere,
    head_off,
    integrated,
    noted,
    run_of,
    scores_of,
    with_what_ifs,
    without,
    words_hidden,
)

SUFFIXES = (".html", ".svg", ".png", ".json", ".npz")
WIDTH = 100  # columns of a picture as text
FRAME = 760  # pixels that a page is high in a notebook
Texts = str | Sequence[str]


@dataclass(frozen=True)
class Look:
    """One look at a model; in a notebook it shows its page, in a terminal a compact picture."""

    record: Record

    def page(self) -> str:
        """One HTML file that needs nothing else."""
        return pages.page(self.record)

    def svg(self) -> str:
        """The alignment as a drawing."""
        return drawing.svg(self.record)

    def png(self) -> bytes:
        """The same in pixels."""
        return drawing.png(self.record)

    def json(self) -> str:
        """Everything, with exact numbers."""
        return recording.as_json(self.record)

    def save(self, path: str | Path) -> None:
        """Write a .html, .svg, .png, .json or .npz, whole or not at all; UserError where it cannot be written."""
        path = Path(path)
        suffix = require_suffix(path)
        if suffix == ".npz":
            _whole_or_not(path, lambda aside: recording.save_npz(self.record, aside))
        else:
            write_whole(path, self._content(suffix))

    def _content(self, suffix: str) -> bytes:
        made: str | bytes
        made = self.png() if suffix == ".png" else {".html": self.page, ".svg": self.svg, ".json": self.json}[suffix]()
        return made if isinstance(made, bytes) else made.encode("utf-8", "backslashreplace")

    def _repr_html_(self) -> str:
        return (
            f'<iframe sandbox="allow-scripts" srcdoc="{html.escape(self.page())}" title="heedful" '
            f'style="width:100%;height:{FRAME}px;border:0"></iframe>'
        )

    def __str__(self) -> str:
        return terminal.picture(self.record, WIDTH, colour=False)

    def __repr__(self) -> str:
        return str(self)


def look(
    model: Any,
    text: Texts = (),
    second: str | None = None,
    *,
    picture: str | Path | None = None,
    features: str | Path | None = None,
    tag: str | None = None,
    length: int = 24,
    sentence: int = 1,
    kinds: Sequence[str] = (),
    layers: Sequence[int] = (),
    values: bool = False,
    lens: bool = True,
    attribution: Literal["ig", "occlusion", "none"] = "none",
    what_if: bool | None = None,
    head_off: Sequence[str] = (),
    hide: Sequence[str] = (),
    patch: Sequence[str] = (),
    patch_from: Texts = (),
    against: Any = None,
) -> Look:
    """What a model attends to while it reads a text and answers. `model` is a folder, or what `heedful.load` gives.

    `second` is the other text of a pair: a question's context, the text to compare with. `length` is of what a language
    model writes, in tokens; `sentence` of a text that is translated sentence by sentence, from 1.

    `kinds` ("target.source") and `layers` (from 1) say what is kept, else everything; `values`: also weights by what
    values add; `lens`: what each layer would say. `attribution` by integrated gradients ("ig") or by hiding words.
    `what_if`: the answer without each word and without heads (None: as far as it takes a few seconds).

    `head_off` ("target.3.source:5", both counted from 0) and `hide` (words) change the run: what is shown is the
    changed one, and what came of it. `patch` ("source.1" or "source.1:dog", a block and a word) puts in the place of
    this run's states those of the run on `patch_from`, a text of as many words (or two); with `patch_from` alone every
    word's after every block, each as a what-if. `against` is another model, or another state of this one, that is
    compared; not together with changes.
    """
    if against is not None and (head_off or hide or patch_from):
        raise UserError(
            "--against compares two models as they are; leave --head-off, --hide and --patch-from out, or look twice"
        )
    if patch and not patch_from:
        raise UserError("--patch puts states of another run here: say of what text, with --patch-from TEXT")
    if patch_from and not patch and (head_off or hide):
        raise UserError("--patch-from with --head-off or --hide: say where the states go, with --patch ADDRESS")
    loaded = opened(model) if isinstance(model, (str, Path)) else model
    texts = _texts(text, second)
    asked = Asked(
        texts, None if picture is None else Path(picture), None if features is None else Path(features), tag, length,
        sentence,
    )  # fmt: skip
    own = kept(find(model)) if isinstance(model, (str, Path)) and not layers else Kept()
    how = How(tuple(kinds), tuple(layers), values, lens, attribution, what_if, own)
    reading, name = read(loaded, asked), name_of(model)
    changes = [*_heads(reading, head_off), *_words(reading, hide)]
    if patch_from:
        other = patching.read_other(loaded, replace(asked, texts=_texts(patch_from)))
        swaps = patching.exchanges(reading, other, patch)
        changes += swaps if patch else []
    record = _changed(reading, name, how, changes) if changes else _whole(reading, name, how)
    if patch_from:
        record = patching.told(record, reading, other, [] if patch else swaps)
    if against is not None:
        record = _compared(record, loaded, against, replace(asked, said=reading.written), how)
    return Look(record)


def _texts(given: Texts, second: str | None = None) -> tuple[str, ...]:
    texts = ((given,) if isinstance(given, str) else tuple(given)) + (() if second is None else (second,))
    if not all(isinstance(one, str) for one in texts):
        raise UserError("look takes a text, or two")
    return tuple(map(without_surrogates, texts))


def write_whole(path: Path, content: bytes) -> None:
    """A file, in the place of what was there, whole or not at all; UserError where it cannot be written."""
    _whole_or_not(path, lambda aside: aside.write_bytes(content))


def _whole_or_not(path: Path, write: Callable[[Path], object]) -> None:
    aside = path.with_name(f".{path.stem[:80]}-{os.getpid()}{path.suffix}")
    try:
        write(aside)
        aside.replace(path)
    except OSError as error:
        raise UserError(f"{path}: cannot be written: {error.strerror or error}") from None
    finally:
        aside.unlink(missing_ok=True)


def require_suffix(path: Path) -> str:
    """What kind of file it is to be; UserError for one that is not known."""
    if path.suffix.lower() not in SUFFIXES:
        raise UserError(f"{path}: what kind of file is that? known: {', '.join(SUFFIXES)}")
    return path.suffix.lower()


def name_of(model: Any) -> str:
    """What a model is called: its folder, if it is one."""
    if isinstance(model, (str, Path)):
        folder = Path(model).absolute()
        return folder.parent.name if folder.name == "model" else folder.name
    return type(model).__name__


def _whole(reading: Reading, name: str, how: How) -> Record:
    record = record_of(reading, name, how)
    if how.what_if is not False or how.attribution == "occlusion":
        found = with_what_ifs(record, reading, how.what_if is True or how.attribution == "occlusion")
        # Hidden words alone are asked for: the other runs came with them, and are left out.
        record = found if how.what_if is not False else replace(found, what_if=())
    return integrated(record, reading) if how.attribution == "ig" else record


def _changed(reading: Reading, name: str, how: How, changes: Sequence[Change]) -> Record:
    """The record of the run under all changes together, and what came of them."""
    label = " and ".join(dict.fromkeys(change.label for change in changes))
    edits = [edit_everywhere(without(changes, number)) for number in range(len(reading.rows))]
    scores = None if reading.scored is None else scores_of(reading, [changes])
    said = ""
    if answers_anew(reading, changes):
        with reading.model.watched(edit_everywhere(without(changes, 0), anew=True)):
            edited = reading.again()
    elif reading.windows:
        edited = replace(reading, said=(), answers=())
        said = "What is answered now is not known: the text is read in several windows, and one is changed."
    else:
        assert scores is not None
        edited = _alike(reading, float(scores[1].sum()))
    record = record_of(edited, name, how, edits)
    now = f"“{edited.answer}”" if edited.answer != reading.answer else "the same"
    notes = [f"This is the run {label}.", said or f"The answer was “{reading.answer}”, and is {now}."]
    runs = []
    if reading.scored is not None and scores is not None:
        run = run_of(reading, replace(changes[0], label=label), *scores)
        runs = [replace(run, text="" if said else edited.answer, tokens=edited.said)]
        unit = "log-probability" if reading.scored.unit == "nats" else reading.scored.unit
        notes.append(f"The {unit} of the first answer changes by {run.change:+.3f}, to {run.logprob:.3f}.")
    return noted(replace(record, what_if=tuple(runs)), " ".join(notes[:2]), *notes[2:])


def _alike(reading: Reading, cosine: float) -> Reading:
    """Two texts that are now so alike."""
    answers = tuple(replace(one, guesses=(replace(one.guesses[0], probability=cosine),)) for one in reading.answers)
    return replace(reading, answer=f"likeness {cosine:.3f}", answers=answers)


def _heads(reading: Reading, given: Sequence[str]) -> list[Change]:
    known = {address: attend.heads for address, attend in attentions(reading.model.plan)}
    found = []
    for one in given:
        address, _, number = one.partition(":")
        if address not in known:
            raise UserError(
                f"--head-off {one}: no attention of this model is called {address!r}; {nearest(address, [*known])}"
            )
        if number not in map(str, range(known[address])):
            raise UserError(
                f"--head-off {one[:80]}: {address} has the heads 0 to {known[address] - 1}; as in {address}:0"
            )
        found.append(head_off(address, int(number)))
    return found


def _words(reading: Reading, given: Sequence[str]) -> list[Change]:
    there = [(reading.rows[change.row or 0].named[change.where[0]].words[change.where[1]], change)
             for change in words_hidden(reading)]  # fmt: skip
    found = []
    for word in given:
        alike = [change for text, change in there if text == word] or [
            change for text, change in there if text.casefold() == word.casefold()
        ]
        if not alike:
            some = ", ".join(dict.fromkeys(text for text, _ in there[:12]))
            raise UserError(f"--hide {word}: there is no such word in what was read; there are {some}")
        found += alike
    return found


def _compared(record: Record, loaded: Any, against: Any, asked: Asked, how: How) -> Record:
    """The record with what is different in another model."""
    other = opened(against) if isinstance(against, (str, Path)) else against
    if type(other) is not type(loaded):
        raise UserError(f"--against: a {type(other).__name__} cannot be compared with a {type(loaded).__name__}")
    own = read(other, replace(asked, said=None))
    forced = own if asked.said is None or not _same_tokens(loaded, other) else read(other, asked)
    theirs = record_of(forced, name_of(against), replace(how, lens=False))
    found = compare(record, theirs)
    notes = [f"Against {theirs.model}: it answers “{own.answer}”."]
    if found.total:
        how_much = "likelier" if found.total > 0 else "less likely"
        notes.append(f"{theirs.model} finds this answer {how_much}, by {abs(found.total):.2f} nats.")
    apart = sorted(
        ((far, name, layer_number(layer.address), head) for name, table in found.distances.items()
         for layer, heads in zip(record.kind(name).layers, table, strict=True) for head, far in enumerate(heads, 1)),
        reverse=True,
    )[:3]  # fmt: skip
    if apart:
        told = ", ".join(f"{kind} layer {layer} head {head} ({far:.2f} bits)" for far, kind, layer, head in apart)
        notes.append(f"The heads that look elsewhere most: {told}.")
    return noted(replace(record, views=(*record.views, *found.views)), *notes, *(f"{one}." for one in found.notes))


def _same_tokens(one: Any, other: Any) -> bool:
    """Whether two models say the same by the same ids."""
    sides = [getattr(model, "tokenizers", None) or {"": model.tokenizer} for model in (one, other)]
    return [*sides[0]] == [*sides[1]] and all(
        sides[0][key].fingerprint == sides[1][key].fingerprint for key in sides[0]
    )
