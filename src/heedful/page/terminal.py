"""A record as a few lines for a terminal: what came out, and what was read most for it.

Shades are characters in the terminal's own colours, so that they show on dark and on light; colour only adds a hue.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from itertools import groupby
from textwrap import wrap

import numpy as np

from ..inside.record import Answers, Line, Reals, Record, Said, View
from .chosen import Chosen, chosen, region_names
from .labels import cells, fitted, inked, isolated, label

SHADES = "·░▒▓█"
EIGHTHS = " ▏▎▍▌▋▊▉█"
ROWS = 16  # words of a matrix
NOTES, NOTE = 3, 5  # so many, of so many lines
RUNS = 8  # what-ifs
BARS = 6  # candidates of one answer
GROUPS = 8  # answers of several (a tag for each word)
WORDS = 8  # words that mattered
NARROWEST = 20
HUES = {"title": "1", "soft": "2", "read": "38;5;33", "most": "1;38;5;33", "against": "38;5;166"}
ATTRIBUTIONS = ("ig", "occlusion")  # views, the better first


def picture(record: Record, width: int, colour: bool) -> str:
    """At most about 30 lines, 40 with what-ifs; none wider than `width` columns (at least 20), no line end at the
    last."""
    room = max(NARROWEST, width)
    pen = Pen(colour)
    lines = [*_title(record, room, pen)]
    if record.answers:
        lines += ["", *_answers(record.answers, room, pen)]
    elif record.said and record.task in ("write", "fill"):
        lines += ["", *_said(record.said[0], room, pen)]
    view = _attribution(record)
    pictures = any(line.picture for line in record.lines.values())
    if record.kinds:
        one = chosen(record)
        written = not one.kind.own and not pictures
        if view is not None and not written:
            lines += ["", *_mattered(record, view, room, pen)]
        if view is None or written or pictures:
            lines += ["", *(_matrix(one, room, pen) if written else _looked(record, one, room, pen))]
    if len(record.what_if) > 1:
        lines += ["", *_what_ifs(record, room, pen)]
    for note in record.notes[:NOTES]:
        told = wrap(inked(note), room)
        lines += [pen("soft", fitted(line, room)) for line in told[:NOTE]]
    return "\n".join(line.rstrip() for line in lines)


class Pen:
    """Puts a hue around a text, or does not."""

    def __init__(self, colour: bool) -> None:
        self.colour = colour

    def __call__(self, hue: str, text: str) -> str:
        return f"\x1b[{HUES[hue]}m{text}\x1b[0m" if self.colour and text else text


def _padded(text: str, room: int) -> str:
    return text + " " * max(0, room - cells(text))


def _wrapped(text: str, room: int, most: int) -> list[str]:
    """A text on at most `most` lines, broken at spaces; the last is cut where there is more."""
    lines, words = [""], inked(text).split(" ")
    while words:
        word = words[0]
        fits = cells(lines[-1]) + bool(lines[-1]) + cells(word) <= room
        if not fits and lines[-1] and len(lines) < most:
            lines.append("")
            continue
        if not fits:
            lines[-1] = fitted(" ".join([*filter(None, [lines[-1]]), *words]), room)
            break
        lines[-1] += (" " if lines[-1] else "") + words.pop(0)
    return [isolated(line) for line in lines]


def _title(record: Record, room: int, pen: Pen) -> Iterator[str]:
    yield pen("soft", fitted(f"{inked(record.task)} · {inked(record.model)}", room))
    yield from _wrapped(record.text, room, 2)
    if record.answer:
        first, *rest = _wrapped(record.answer, room - 2, 2)
        yield "→ " + pen("title", first)
        yield from (f"  {pen('title', line)}" for line in rest)


def bar(share: float, room: int) -> str:
    """A share as a bar of eighths of columns."""
    eighths = round(8 * room * min(max(share, 0.0), 1.0))
    return (EIGHTHS[8] * (eighths // 8) + (EIGHTHS[eighths % 8] if eighths % 8 else "")).ljust(room)


# ---- answers ---------------------------------------------------------------------------------------------------------


def _answers(answers: Sequence[Answers], room: int, pen: Pen) -> Iterator[str]:
    """One answer as bars, several as a line each."""
    if len(answers) == 1:
        yield from _bars(answers[0].title, [(one.text, one.probability) for one in answers[0].guesses], room, pen)
        return
    widest = min(room // 3, max(cells(label(one.title, room)) for one in answers[:GROUPS]))
    for one in answers[:GROUPS]:
        left = room - widest - 2
        line = pen("title", _padded(label(one.title, widest), widest)) + "  "
        for rank, guess in enumerate(one.guesses):
            text = f"{label(guess.text, 20)} {guess.probability:.2f}"
            if cells(text) + 2 * bool(rank) > left:
                break
            line += "  " * bool(rank) + (pen("read", text) if rank == 0 else text)
            left -= cells(text) + 2 * bool(rank)
        yield line
    if len(answers) > GROUPS:
        yield pen("soft", f"… and {len(answers) - GROUPS} more")


def _said(said: Said, room: int, pen: Pen) -> Iterator[str]:
    yield from _bars("the first token", [(one.text, one.probability) for one in said.others], room, pen)


def _bars(title: str, rows: Sequence[tuple[str, float]], room: int, pen: Pen) -> Iterator[str]:
    """Texts with a share each."""
    shown = rows[:BARS]
    if not shown:
        return
    yield pen("soft", fitted(inked(title), room))
    widest = min(room // 2, max(cells(label(text, room)) for text, _ in shown))
    long = min(24, room - widest - 8)
    for text, share in shown:
        drawn = pen("read", bar(share, long)) + " " if long > 2 else ""
        yield f"{_padded(label(text, widest), widest)}  {drawn}{share:.2f}".rstrip()
    if len(rows) > BARS:
        yield pen("soft", f"… and {len(rows) - BARS} more")


# ---- what was read ---------------------------------------------------------------------------------------------------


def _matrix(one: Chosen, room: int, pen: Pen) -> Iterator[str]:
    """Each word that was written, a shade for each word it read, and the names of those it read most."""
    yield pen("soft", fitted(f"{inked(one.kind.label)}: {inked(one.label)}", room))
    rows = [number for number, control in enumerate(one.queries.control) if not control]
    left = min(max((cells(label(one.queries.words[row], 18)) for row in rows[:ROWS]), default=1), room // 3)
    columns = len(one.keys.words)
    space = max(1, (room - left - 2) // 2)
    each = 2 if 2 * columns <= space else 1
    pooled = -(-columns // space)  # words that share a column, where there are too many
    for row in rows[:ROWS]:
        shares = np.clip(np.nan_to_num(one.weights[row]), 0, 1)
        line = _padded(label(one.queries.words[row], left), left) + "  "
        tops = [float(shares[column : column + pooled].max()) for column in range(0, columns, pooled)]
        largest = max(tops, default=0.0) or math.inf
        for most, group in groupby(tops, largest.__eq__):
            line += pen("most" if most else "read", "".join(shade(top, each) for top in group))
        drawn = -(-columns // pooled) * each
        yield f"{line}  {_strongest(shares, one.keys, room - left - drawn - 4)}"
    if len(rows) > ROWS:
        yield pen("soft", f"… and {len(rows) - ROWS} more words")
    if pooled > 1:
        yield pen("soft", fitted(f"A column is {pooled} words; the shade is of the one that was read most.", room))


def shade(share: float, columns: int) -> str:
    """A dot below 0.05, then a shade for each quarter of the way."""
    return SHADES[0].ljust(columns) if share < 0.05 else SHADES[1 + min(3, int(4 * share))] * columns


def _strongest(shares: Reals, line: Line, room: int) -> str:
    """The words with the largest shares and those, as many as fit, at most three."""
    told = ""
    for key in np.argsort(-shares, kind="stable")[:3]:
        if shares[key] < 0.1 and told:
            break
        text = (" · " if told else "") + f"{label(line.words[key], 16)} {shares[key]:.2f}"
        if cells(told + text) > room:
            break
        told += text
    return told


def _what_ifs(record: Record, room: int, pen: Pen) -> Iterator[str]:
    """The changes that matter most: by how much the answer becomes likelier, and what is answered instead."""
    runs = sorted(record.what_if, key=lambda run: -abs(run.change))[:RUNS]
    yield pen("soft", fitted(f"what if ({len(record.what_if)} changes; those that matter most, in nats)", room))
    for run in runs:
        other = f" → {inked(run.text)}" if run.text not in ("", record.answer) else ""
        told = fitted(f"{inked(run.label)}{other}", max(1, room - 9))
        yield f"{pen('against' if run.change < 0 else 'read', f'{run.change:+8.2f}')} {isolated(told)}"


def _attribution(record: Record) -> View | None:
    """What of a text the answer rests on, if that was asked for."""
    found = {
        view.name: view
        for view in reversed(record.views)
        if view.name in ATTRIBUTIONS and not record.lines[record.kind(view.kind).keys].picture
    }
    return next((found[name] for name in ATTRIBUTIONS if name in found), None)


def _mattered(record: Record, view: View, room: int, pen: Pen) -> Iterator[str]:
    """The words of an attribution, strongest first: it has one row for the answer, or a row for each of its tokens."""
    kind = record.kind(view.kind)
    line = record.lines[kind.keys]
    weights = np.nan_to_num(view.weights.astype(np.float64))
    rows = weights[np.abs(weights).sum(1) > 0]
    by_word = np.bincount(line.word, rows.mean(0) if len(rows) else np.zeros(len(line)), len(line.words))
    yield from _ranked(f"{inked(view.label)}", by_word, line, room, pen)


def _looked(record: Record, one: Chosen, room: int, pen: Pen) -> Iterator[str]:
    """What the token that answers read: the one that is said to, or the last of a text that goes on, or the first."""
    asked = record.asked.get(one.queries.name, ())
    query = int(one.queries.word[asked[0]]) if asked else len(one.queries.words) - 1 if one.kind.causal else 0
    named = region_names(one.queries)[query] if one.queries.picture else one.queries.words[query]
    told = f"what {label(named, 16)} reads: {inked(one.label)}"
    if one.keys.picture or one.queries.picture:
        yield from _seen(one, room, pen)
    else:
        yield from _ranked(told, one.weights[query], one.keys, room, pen)


def _seen(one: Chosen, room: int, pen: Pen) -> Iterator[str]:
    """Where in the picture each word looks, or what of it looks there most."""
    yield pen("soft", fitted(f"{inked(one.kind.label)}: {inked(one.label)}", room))
    reads = one.keys.picture is not None
    seen = one.keys if reads else one.queries
    line, by_word = (one.queries, one.weights) if reads else (one.keys, one.weights.T)
    names = region_names(seen)
    words = [number for number, control in enumerate(line.control) if not control]
    left = min(max((cells(label(line.words[word], 18)) for word in words[:ROWS]), default=1), room // 3)
    for word in words[:ROWS]:
        best = int(np.nan_to_num(by_word[word]).argmax())
        long = min(16, room - left - 32)
        share = float(by_word[word][best])
        drawn = pen("read", bar(share, long)) + " " if long > 2 else ""
        text = fitted(f"{share:.2f} {names[best]}", room - left - 2 - (long + 1 if long > 2 else 0))
        yield f"{_padded(label(line.words[word], left), left)}  {drawn}{text}"
    if len(words) > ROWS:
        yield pen("soft", f"… and {len(words) - ROWS} more words")


def _ranked(title: str, by_word: np.ndarray, line: Line, room: int, pen: Pen) -> Iterator[str]:
    """Words with their numbers, strongest first; below 0 they speak against the answer."""
    yield pen("soft", fitted(title, room))
    peak = float(np.abs(by_word).max(initial=0.0)) or 1.0
    order = [int(word) for word in np.argsort(-np.abs(by_word), kind="stable") if abs(by_word[word]) >= 0.005 * peak]
    widest = min(room // 2, max((cells(label(line.words[word], room)) for word in order[:WORDS]), default=1))
    long = min(24, room - widest - 9)
    for word in order[:WORDS]:
        value = float(by_word[word])
        hue = "read" if value >= 0 else "against"
        drawn = pen(hue, bar(abs(value) / peak, long)) + " " if long > 2 else ""
        yield f"{_padded(label(line.words[word], widest), widest)}  {drawn}{value:5.2f}"
    if len(order) > WORDS:
        yield pen("soft", f"… and {len(order) - WORDS} more words")
