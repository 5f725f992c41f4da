"""Where a translator keeps what a word says: states of another phrase put in, layer by layer.

    heedful demo --out DEMO
    python benchmarks/patching.py DEMO/run [--phrases 100: in each language]

Pairs of English phrases that differ in the name of a month, and whose translations by the model differ. After a layer
of the encoder the states of the other phrase are put in the place of this one's: those of the month's name alone, or
those of everything else. Counted is how often the model then writes the other phrase's translation, word for word; what
is left is written as before, or as neither.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from alignment import phrases
from babel.dates import get_month_names
from record import write

from heedful.inside.record import layer_number
from heedful.tasks.looking import patching, what_if
from heedful.tasks.looking.opening import read
from heedful.tasks.looking.reading import Asked, Reading
from heedful.tasks.translate import Translator, load

SEED = 7


def pairs(translator: Translator, count: int) -> Iterator[tuple[Reading, Reading, str]]:
    """Both readings of each pair, `count` in a language, and the month of the first."""
    months = [*get_month_names(locale="en").values()]
    done: dict[str, int] = {}
    for phrase in phrases(SEED, "test", 50 * count):
        named = [text for label, text in phrase.source if label.startswith("month") and text in months]
        if done.get(phrase.language, 0) == count or len(named) != 1:
            continue
        (month,) = named
        text = "".join(part for _, part in phrase.source)
        other = text.replace(month, months[(months.index(month) + 5) % len(months)])
        own, twin = (read(translator, Asked((one,), tag=phrase.language)) for one in (text, other))
        if own.answer != twin.answer and fits(own, twin, month):
            done[phrase.language] = done.get(phrase.language, 0) + 1
            yield own, twin, month


def fits(own: Reading, twin: Reading, month: str) -> bool:
    """Whether the name is one word of the phrase, of as many tokens in both."""
    words = own.rows[0].lines["source"].words
    return words.count(month) == 1 and len(twin.rows[0].lines["source"].words) == len(words) and any(
        word.text == month and word.fits for word in patching.paired(own, twin)
    )  # fmt: skip


def answered(own: Reading, changes: list[what_if.Change]) -> str:
    """What is answered under some changes."""
    with own.model.watched(what_if.edit_everywhere(what_if.without(changes, 0), anew=True)):
        return own.again().answer


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run", type=Path)
    parser.add_argument("--phrases", type=int, default=100)
    given = parser.parse_args()
    translator = load(given.run)
    blocks = [where for _, where, block in translator.model.plan.blocks() if block.stream == "source"]
    counts: dict[str, dict[str, int]] = {where: {"the month": 0, "as before": 0, "the rest": 0} for where in blocks}
    total = 0
    for own, twin, month in pairs(translator, given.phrases):
        total += 1
        place = own.rows[0].lines["source"].words.index(month)
        for where, row in counts.items():
            changes = patching.exchanges(own, twin, [where])
            alone = answered(own, [change for change in changes if change.where[1] == place])
            rest = answered(own, [change for change in changes if change.where[1] != place])
            row["the month"] += alone == twin.answer
            row["as before"] += alone == own.answer
            row["the rest"] += rest == twin.answer
    shares: dict[str, Any] = {
        f"layer {layer_number(where)}": {name: round(100 * value / total, 1) for name, value in row.items()}
        for where, row in counts.items()
    }
    for layer, row in shares.items():
        print(layer, row)
    print(write("patching", {"pairs": total, "percent that gives the other translation": shares}))


if __name__ == "__main__":
    main()
