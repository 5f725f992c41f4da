"""A report on all heads of a model over examples: how they look, what they matter, what they follow."""

from __future__ import annotations

import unicodedata
from bisect import bisect_left
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from ...data.tagged import Sentence, read_sentences
from ...errors import UserError
from ...inside import alignment, following, measures
from ...inside.headreport import Aligned, Followed, HeadKind, HeadReport
from ...inside.headreport import Scores as Grid
from ...inside.importance import Batch, Scores, ablation, importance
from ...inside.probing import capture
from ...inside.record import Kind, Line, by_words
from ...inside.rescoring import evaluating
from ...model.model import Model
from ...model.pruning import attentions
from .examples import GOLD, Files, Gold, batches, line_read
from .keeping import Heads, best_of
from .kinds import kinds_of, patterns
from .recording import require_room

KEPT = 60_000_000  # weights that are held at once, for what needs all texts together
ABLATION = 1e12  # multiplications and additions: about a minute
LEAST = 8  # examples of an ablation, whatever it takes
BEST = 8  # heads that align
EACH, MOST_FOLLOWED = 3, 40  # heads of a value, and of all
SUPPORT = 10  # words that they must have had a choice about


def head_report(loaded: Any, name: str, files: Files, feature: Path | None = None) -> HeadReport:
    """Of a loaded model over examples with answers; `feature` is a file of words with a value each, the sentences of
    the examples in their order."""
    task, read = next((kind, read) for kind, read in GOLD.items() if isinstance(loaded, kind))
    golds = read(loaded, files)
    if not golds:
        raise UserError(f"{files.named}: no examples are in it")
    model = loaded.model
    seen = _seen(model, golds, None if feature is None else _sentences(feature, golds, files))
    given = list(batches(model, golds))
    notes = [f"{len(golds)} examples, evenly spread over {files.named}." if len(golds) == files.most else ""]
    weighed = importance(model, given) if given else {}
    some, note = _few(model, given)
    ablated = ablation(model, some) if some else {}
    notes += [note, *seen.notes]
    kinds = tuple(_kind(model, kind, seen, weighed, ablated, feature) for kind in seen.first)
    loss = _loss(model, given)
    return HeadReport(name, _task(task), files.named, len(golds), kinds, loss, tuple(note for note in notes if note))


def _task(kind: type) -> str:
    from .opening import READERS

    return READERS[kind].task


@dataclass
class _Seen:
    """What the examples have shown: tables of measures by kind, and, as far as there is room, kinds with their lines
    and features."""

    first: list[Kind] = field(default_factory=list)
    tables: dict[str, list[measures.Table]] = field(default_factory=dict)
    kinds: dict[str, list[tuple[Kind, Mapping[str, Line]]]] = field(default_factory=dict)
    features: dict[str, list[following.Example]] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)

    @cached_property
    def best(self) -> dict[str, Heads]:
        """The heads to show first."""
        return best_of(self.kinds)


def _seen(model: Model, golds: Sequence[Gold], features: Sequence[Sequence[str | None]] | None) -> _Seen:
    found, held = _Seen(), 0
    for number, gold in enumerate(golds):
        for row in (gold.row, gold.second):
            if row is None:
                continue
            require_room(model, row)
            kinds = kinds_of(model, capture(model, row.inputs, patterns(model.plan)), row.lines, row.asks)
            found.first = found.first or list(kinds)
            size = sum(layer.weights.size for kind in kinds for layer in kind.layers)
            for kind in kinds:
                found.tables.setdefault(kind.name, []).append(measures.measure(kind, row.named))
                if held + size > KEPT:
                    continue
                found.kinds.setdefault(kind.name, []).append((kind, row.named))
                if features is not None and (example := _featured(kind, row.named, line_read(gold), features[number])):
                    found.features.setdefault(kind.name, []).append(example)
            if held <= KEPT < held + size:
                found.notes.append(f"Alignment and features are of the first {number} examples: more do not fit.")
            held += size
    return found


def _featured(
    kind: Kind, lines: Mapping[str, Line], told: Line, values: Sequence[str | None]
) -> following.Example | None:
    """What a kind has to do with the words that have values."""
    if lines[kind.keys] is not told:
        return None
    return following.Example(kind, lines, values, values if lines[kind.queries] is told else None)


def _kind(model: Model, kind: Kind, seen: _Seen, weighed: Scores, ablated: Scores, feature: Path | None) -> HeadKind:
    lines = seen.kinds[kind.name][0][1] if kind.name in seen.kinds else {}
    text = lines and all(lines[name].picture is None for name in (kind.keys, kind.queries))
    return HeadKind(
        kind.name,
        kind.label,
        tuple(layer.address for layer in kind.layers),
        measures.averaged(seen.tables[kind.name]),
        _grid(model, kind, weighed),
        _grid(model, kind, ablated),
        tuple(seen.best.get(kind.name, ())),
        _followed(seen.features.get(kind.name, ()), "" if feature is None else feature.stem),
        _aligned(seen.kinds[kind.name]) if text and not kind.own else (),
    )


def _grid(model: Model, kind: Kind, scores: Scores) -> Grid | None:
    """Of each head what its unit has; None where nothing was judged."""
    if not scores:
        return None
    attends = dict(attentions(model.plan))
    return [
        np.repeat(scores[layer.address], attends[layer.address].heads // attends[layer.address].kv_heads).tolist()
        for layer in kind.layers
    ]


def _followed(examples: Sequence[following.Example], feature: str) -> tuple[Followed, ...]:
    """The heads that follow each value most, and those that follow the query's own."""
    if not examples:
        return ()
    every = following.following(examples)
    values: list[str | None] = [*dict.fromkeys(value for one in every for value in one.values)]
    found = []
    for value in [*values, None]:
        for one in following.ranked(every, value)[:EACH]:
            share = one.same if value is None else one.values[value]
            if share is None or share.excess <= 2 * share.error or share.queries < SUPPORT:
                continue
            found.append(
                Followed(
                    feature, "same" if value is None else value, one.layer, one.head, share.share, share.placed,
                    share.lift, share.error, share.queries, share.texts,
                )
            )  # fmt: skip
    return tuple(sorted(found, key=lambda one: one.placed - one.share)[:MOST_FOLLOWED])


def _aligned(kinds: Sequence[tuple[Kind, Mapping[str, Line]]]) -> tuple[Aligned, ...]:
    """The heads that align words best, with the mean of what each word gives to the one it attends to most."""
    found = []
    for layer, head in alignment.best_heads(kinds, BEST):
        strongest = []
        for kind, lines in kinds:
            queries, keys = lines[kind.queries], lines[kind.keys]
            rows, columns = (np.flatnonzero(~np.array(line.control, np.bool_)) for line in (queries, keys))
            if len(rows) and len(columns):
                merged = by_words(kind.layers[layer].weights[head], queries, keys)[np.ix_(rows, columns)]
                strongest.append(float(merged.max(1).mean()))
        found.append(Aligned(layer, head, float(np.mean(strongest)) if strongest else 0.0))
    return tuple(found)


def _few(model: Model, given: Sequence[Batch]) -> tuple[list[Batch], str]:
    """As many batches as an ablation takes about a minute for."""
    heads = sum(attend.kv_heads for _, attend in attentions(model.plan))
    held = sum(parameter.numel() for name, parameter in model.named_parameters() if ".embedding." not in name)
    left, found, rows = ABLATION, [], 0
    for number in np.random.default_rng(0).permutation(len(given)):
        inputs = given[number][0]
        cost = float(heads * held * sum(one.layout.tokens for one in inputs.values()))
        if cost > left and rows >= LEAST:
            break
        left -= cost
        found.append(given[number])
        rows += max(one.layout.rows for one in inputs.values())
    return found, "" if len(found) == len(given) else f"Without each head: on {rows} of the examples, drawn by chance."


def _loss(model: Model, given: Sequence[Batch]) -> float | None:
    """Nats per label."""
    import torch

    total, count = 0.0, 0
    with evaluating(model), torch.no_grad():
        for inputs, labels in given:
            for sums in model(inputs, labels).values():
                total, count = total + float(sums.loss), count + sums.count
    return total / count if count else None


# ---- features --------------------------------------------------------------------------------------------------------


def _sentences(path: Path, golds: Sequence[Gold], files: Files) -> list[list[str | None]]:
    """The values of each word of each example, by the words of its line; UserError where the sentences are others."""
    known: dict[str, Sentence] = {_folded(*one.words): one for one in read_sentences(path)}
    order, found = sorted(known), []
    for number, gold in enumerate(golds, 1):
        line = gold.plain or line_read(gold)
        own = [text for text, control in zip(line.words, line.control, strict=True) if not control]
        joined = _folded(*own)
        # Of a text that was cut the beginning is enough, if one sentence alone begins so.
        begun = [text for text in order[bisect_left(order, joined) :][:2] if text.startswith(joined)]
        sentence = known.get(joined) or (known[begun[0]] if len(begun) == 1 else None)
        if sentence is None or not joined:
            raise UserError(
                f"{path}: no sentence of it is example {number} of {files.named}: {' '.join(own)[:80]}; write WORD TAB "
                "VALUE lines, sentences parted by empty lines, of the texts as the model reads them"
            )
        values = values_of(line, sentence)
        if gold.plain is not None:  # a hidden word has the value of the word that it hides
            words = line_read(gold).word
            values = [values[line.word[int(np.argmax(words == word))]] for word in range(int(words[-1]) + 1)]
        found.append(values)
    return found


def _folded(*words: str) -> str:
    """As models read texts at most: without case, accents and spaces."""
    text = unicodedata.normalize("NFKD", "".join("".join(words).split()).casefold())
    return "".join(one for one in text if not unicodedata.combining(one))


def values_of(line: Line, sentence: Sentence) -> list[str | None]:
    """The value of each word of a line: that of the word of the sentence in which it begins; None of controls."""
    ends = np.cumsum([len(_folded(word)) for word in sentence.words])
    found: list[str | None] = []
    place = 0
    for text, control in zip(line.words, line.control, strict=True):
        if control:
            found.append(None)
            continue
        found.append(sentence.labels[min(int(np.searchsorted(ends, place, side="right")), len(ends) - 1)])
        place += len(_folded(text))
    return found
