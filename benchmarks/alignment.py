"""Whether attention shows what moved where: cross-attention of the demo's translator against the true reordering.

    heedful demo --out DEMO
    python benchmarks/alignment.py DEMO/run [--phrases 300: a language, to choose heads on and to judge them on]

The truth comes from the generator of the phrases, never from a model: CLDR's patterns say where in each language the
day, the month, the hour, a number or a name stands. Such a field counts as right if, while its tokens are written, the
most attention (mean over its tokens, sum over those read) goes to the same field of the English phrase, among all its
fields, other words and control tokens. Heads are chosen on phrases of the development split and judged on phrases of
the test split, which share no value with those. All phrases are read with their true translation given.

Beside them: heads chosen without the truth (the sharpest), the view "best" of `heedful look` (chosen on the very
phrase, without the truth; where the model translates rightly), those that `heedful look --heads` kept, if it was run,
the same head numbers in an untrained model, and what one would get by keeping the English order.
"""

from __future__ import annotations

import argparse
import datetime
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from babel.dates import DateTimeFormat, get_date_format, get_time_format, tokenize_pattern
from record import write

from heedful.demo.cldr import Language, speaker
from heedful.demo.corpus import ORDER, SOURCE, TARGETS
from heedful.demo.draw import Draw, Split
from heedful.demo.frames import FRAMES
from heedful.demo.phrases import Date, Frame, Measure, Names, Number, Price, Relative, Span, Time
from heedful.inside.alignment import cross_attention
from heedful.model.model import Model
from heedful.model.pruning import attentions
from heedful.tasks.finding import find
from heedful.tasks.looking import look
from heedful.tasks.looking.keeping import kept
from heedful.tasks.translate import Translator, load
from heedful.text.tokenizer import Tokenizer

CALLED = {"d": "day", "M": "month", "L": "month", "y": "year", "E": "weekday", "h": "hour", "H": "hour", "m": "minute"}
MOVED = ("day", "month")  # what English and the other languages order differently
Part = tuple[str, str]  # a label, empty for what is no field, and its text
Found = dict[str, list[int]]  # the tokens of each segment of a phrase, by its label


@dataclass(frozen=True)
class Phrase:
    """A phrase in English and in `language`, each as parts: fields, and the text between them."""

    kind: str
    language: str
    source: list[Part]
    target: list[Part]


def phrases(seed: int, split: Split, count: int) -> Iterator[Phrase]:
    """`count` phrases in each language, of all frames in turn; within a language no two are alike."""
    draw, frames = Draw(seed, split), list(FRAMES)
    for language in TARGETS:
        seen: set[str] = set()
        while len(seen) < count:
            frame = frames[draw.below(len(frames))]
            filled = [slot.fill(draw) for slot in frame.slots]
            sides = [_parts(frame, filled, code) for code in (SOURCE, language)]
            text = "".join(part for _, part in sides[0])
            if text not in seen:
                seen.add(text)
                yield Phrase(frame.kind, language, *sides)


def _parts(frame: Frame, filled: Sequence[Any], code: str) -> list[Part]:
    """One side of a phrase: the frame's words around what each slot says; labels are numbered by slot."""
    between = frame.texts[ORDER.index(code)].split("{}")
    parts: list[Part] = [("", between[0])]
    for number, (slot, (values, say), after) in enumerate(zip(frame.slots, filled, between[1:], strict=True)):
        own = list(_fields(slot, values, say(speaker(code)), speaker(code)))
        assert "".join(text for _, text in own) == say(speaker(code)), own
        parts += [(f"{label} {number}" if label else "", text) for label, text in own]
        parts.append(("", after))
    return parts


def _fields(slot: Any, values: Sequence[Any], text: str, language: Language) -> Iterator[Part]:
    """What a slot's text is made of, as the generator knows it."""
    if isinstance(slot, Date):
        day = datetime.date.fromordinal(values[0][1])
        yield from _pattern(get_date_format(slot.form, language.locale).pattern, day, language)
    elif isinstance(slot, Time):
        moment = datetime.time(*divmod(values[0][1], 60))
        yield from _pattern(get_time_format(slot.form, language.locale).pattern, moment, language)
    elif isinstance(slot, Names):
        codes = [slot.codes[bit] for bit in range(len(slot.codes)) if values[0][1] >> bit & 1]
        told = {getattr(language, slot.table)(code): f"name {code}" for code in codes}
        # A name can be part of another: the longest first.
        yield from _cut(text, sorted(told, key=len, reverse=True), told.__getitem__)
    elif isinstance(slot, Number | Measure | Price | Relative | Span):
        # Numbers, and in what is no sentence of its own the words at their side: units and currencies.
        numbers = re.findall(r"\d(?:[\d.,  ]*\d)?", text)
        named = isinstance(slot, Measure | Price)
        for number, part in enumerate(re.split(r"(\d(?:[\d.,  ]*\d)?)", text)):
            is_number = number % 2 == 1
            label = f"number {number // 2}" if is_number else "unit" if named and part.strip() else ""
            yield label, part
        assert numbers, text
    else:
        yield "", text


def _pattern(pattern: str, value: Any, language: Language) -> Iterator[Part]:
    """A date or a time by the fields of CLDR's pattern for it."""
    format_ = DateTimeFormat(value, language.locale)
    for kind, token in tokenize_pattern(pattern):
        text = token if kind == "chars" else format_[token[0] * token[1]]
        label = CALLED.get(token[0], "half") if kind == "field" else ""
        yield label, text.replace("\u202f", " ").replace("\u00a0", " ")


def _cut(text: str, wanted: Sequence[str], label: Any) -> Iterator[Part]:
    for part in re.split(f"({'|'.join(map(re.escape, wanted))})", text):
        yield (label(part) if part in wanted else ""), part


def segments(tokenizer: Tokenizer, ids: Sequence[int], parts: Sequence[Part]) -> Found:
    """The tokens of each field, of each other word and of each control token. A token belongs to the part that most of
    its characters, spaces aside, are in; what belongs to a word has a label in brackets."""
    text = "".join(part for _, part in parts)
    owner, place = [], 0
    for number, (label, part) in enumerate(parts):
        for word in re.findall(r"\s+|\S+", part):
            owner += [label or f"({number}.{place} {word})"] * len(word)
            place += 1
    found: Found = {}
    at = -1  # the first word's token begins with a space that the text has not
    for token, piece in enumerate(tokenizer.pieces(ids)):
        if not tokenizer.is_text(ids[token]):
            found.setdefault(f"({piece} {token})", []).append(token)
            continue
        shown = range(max(at, 0), at + len(piece))
        begins = "" if at >= 0 else "▁"
        assert begins + text[max(at, 0) : at + len(piece)].replace(" ", "▁") == piece, (text, piece)
        # A space with a token of its own belongs to what follows it.
        marks = [owner[place] for place in shown if not text[place].isspace()] or [owner[shown.stop]]
        found.setdefault(max(marks, key=marks.count), []).append(token)
        at += len(piece)
    return found


@dataclass(frozen=True)
class Read:
    """A phrase as the model read it: what each field attended to [layers x heads, fields, segments], the label of each
    field and which segments are right for it [fields, segments]."""

    phrase: Phrase
    weights: np.ndarray
    labels: list[str]
    right: np.ndarray


def read(translator: Translator, phrase: Phrase) -> Read | None:
    """One probed pass over a phrase; None for one that has no fields on both sides."""
    source, target = ("".join(text for _, text in side) for side in (phrase.source, phrase.target))
    own = translator.tokenizers["target"]
    ids = translator.encode(source, phrase.language), [own.start, *own.encode(target)]
    layers = cross_attention(translator.model, *ids)
    return merged(translator, phrase, torch.cat(list(layers.values())).double().numpy())


def merged(translator: Translator, phrase: Phrase, weights: np.ndarray) -> Read | None:
    """Weights [heads, target tokens, source tokens] by fields and segments."""
    source, target = ("".join(text for _, text in side) for side in (phrase.source, phrase.target))
    own = translator.tokenizers["target"]
    asked, written = translator.encode(source, phrase.language), own.encode(target)
    keys = segments(translator.tokenizers["source"], asked, phrase.source)
    queries = segments(own, written, phrase.target)
    fields = [label for label in queries if label in keys and not label.startswith("(")]
    if not fields:
        return None
    by_key = np.stack([weights[:, :, tokens].sum(-1) for tokens in keys.values()], -1)
    means = np.stack([by_key[:, queries[label]].mean(1) for label in fields], 1)
    right = np.array([[key == label or _half(label, key) for key in keys] for label in fields])
    return Read(phrase, means, [re.sub(r"[ \d].*", "", label) for label in fields], right)


def _half(label: str, key: str) -> bool:
    """The hour of 24 is told by the hour of 12 and by the half of the day."""
    return label.startswith("hour") and key == label.replace("hour", "half")


def shares(some: Sequence[Read], heads: Sequence[int]) -> dict[str, Any]:
    """The share of fields whose most attended segment, by the mean of these heads, is the right one."""
    hits: dict[str, list[bool]] = {}
    for one in some:
        best = one.weights[list(heads)].mean(0).argmax(-1)
        for label, hit in zip(one.labels, one.right[np.arange(len(best)), best], strict=True):
            hits.setdefault(label, []).append(bool(hit))
    moved = [hit for label in MOVED for hit in hits.get(label, [])]
    every = [hit for own in hits.values() for hit in own]
    return {
        "day and month": round(float(np.mean(moved)), 4),
        "every field": round(float(np.mean(every)), 4),
        "fields": {"day and month": len(moved), "every": len(every)},
        "by field": {label: round(float(np.mean(own)), 4) for label, own in sorted(hits.items())},
    }


def chosen(some: Sequence[Read], most: int = 4) -> tuple[list[int], list[int]]:
    """The heads from best to worst, each alone, by every field; and of the first 1 to `most` of them the number whose
    mean is best."""
    alone = [shares(some, [head])["every field"] for head in range(len(some[0].weights))]
    order = sorted(range(len(alone)), key=lambda head: -alone[head])
    return order, max((order[:count] for count in range(1, most + 1)), key=lambda own: shares(some, own)["every field"])


def kept_order(some: Sequence[Phrase]) -> dict[str, float]:
    """The share of fields that are right if the first is taken to be the first in English, and so on."""
    hits: list[tuple[str, bool]] = []
    for phrase in some:
        english, other = ([label for label, _ in side if label] for side in (phrase.source, phrase.target))
        shared = [label for label in english if label in other]
        pairs = zip(shared, [label for label in other if label in shared], strict=True)
        hits += [(label.split()[0], label == there) for there, label in pairs]
    moved = [hit for label, hit in hits if label in MOVED]
    every = [hit for _, hit in hits]
    return {"day and month": round(float(np.mean(moved)), 4), "every field": round(float(np.mean(every)), 4)}


def shown(translator: Translator, phrase: Phrase) -> Read | None:
    """What the view "best" of a look shows of a phrase; None where the translation is not the true one."""
    source, target = ("".join(text for _, text in side) for side in (phrase.source, phrase.target))
    record = look(translator, source, tag=phrase.language, lens=False, what_if=False).record
    one = read(translator, phrase)
    if one is None or record.answer != target:
        return None
    view = next(view for view in record.views if (view.kind, view.name) == ("target.source", "best"))
    return merged(translator, phrase, view.weights[None].astype(np.float64))


def judged(run: Path, seed: int, count: int) -> dict[str, Any]:
    translator = load(run)
    drawn = {split: list(phrases(seed, split, count)) for split in ("dev", "test")}  # type: ignore[arg-type]
    dev, test = ([one for each in drawn[split] if (one := read(translator, each))] for split in ("dev", "test"))
    order, best = chosen(dev)
    sharpest = int(np.argmax(np.mean([one.weights.max(-1).mean(-1) for one in dev], axis=0)))
    sizes = [(address, attend.heads) for address, attend in attentions(translator.model.plan)
             if address.startswith("target") and attend.stream == "source"]  # fmt: skip
    named = [f"{address}, head {head}" for address, heads in sizes for head in range(heads)]
    every = list(range(len(named)))
    rows = {
        "best heads": best, "best head": order[:1], "sharpest head": [sharpest], "worst head": order[-1:],
        "mean of the last layer": every[-sizes[-1][1] :], "mean of all heads": every,
    }  # fmt: skip
    first = [sum(heads for _, heads in sizes[:layer]) for layer in range(len(sizes))]
    if reported := kept(find(run)).best.get("target.source"):
        rows["kept by look --heads"] = [first[layer] + head for layer, head in reported]
    found = {name: {"heads": [named[head] for head in some], **shares(test, some)} for name, some in rows.items()}
    few = [one for number, one in enumerate(drawn["test"]) if number % 3 == 0]
    page = [one for each in few if (one := shown(translator, each)) is not None]
    found["best of the page"] = {"heads": [], "phrases": f"{len(page)} of {len(few)}", **shares(page, [0])}
    translator.model = translator.models = Model(translator.model.plan, seed=5).eval()
    untrained = [one for each in drawn["test"] if (one := read(translator, each))]
    found["untrained, the same heads"] = {"heads": [named[head] for head in best], **shares(untrained, best)}
    found["the English order"] = {"heads": [], **kept_order(drawn["test"])}
    return {
        "phrases": {"dev": len(dev), "test": len(test)},
        "chosen on dev": {named[head]: shares(dev, [head])["every field"] for head in order},
        "rows": found,
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run", type=Path)
    parser.add_argument("--phrases", type=int, default=300)
    parser.add_argument("--seed", type=int, default=7)
    given = parser.parse_args()
    torch.set_num_threads(1)
    found = judged(given.run, given.seed, given.phrases)
    for name, row in found["rows"].items():
        print(f"{name:24} day and month {row['day and month']:.1%}, every field {row['every field']:.1%}", row["heads"])
    print(found["rows"]["best heads"]["by field"], found["rows"]["best of the page"]["phrases"])
    print(write("alignment", found))


if __name__ == "__main__":
    main()
