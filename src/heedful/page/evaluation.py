"""An evaluation for whoever reads it: as text in a terminal, as values for JSON, as a page."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from ..measure.evaluation import Evaluation
from ..measure.translation import counted
from .comparison import comparison_page


@dataclass(frozen=True)
class Report:
    """`text` for a terminal, `figures` for `json.dumps`, and `page`, a self-contained HTML page."""

    text: str
    figures: dict[str, object]
    page: str


def report(found: Evaluation) -> Report:
    """An evaluation in all three forms."""
    return Report(text_report(found), found.as_dict(), comparison_page(found))


def text_report(found: Evaluation) -> str:
    """The figures as lines of plain text, columns aligned."""
    blocks = [_scores(found), _by_length(found)]
    if found.systems[0].frequencies:
        blocks.append(_by_frequency(found))
    width = max(map(len, found.signatures))
    blocks.append([f"{name:<{width}}  {signature}" for name, signature in found.signatures.items()])
    if found.notes:
        blocks.append([f"note: {_clean(note)}" for note in found.notes])
    return "\n\n".join("\n".join(block) for block in blocks) + "\n"


def _scores(found: Evaluation) -> list[str]:
    """Metric by metric the systems, each with its interval; the later ones with what they gained over the first."""
    compared = {(one.metric, one.second): one for one in found.comparisons}
    rows = [["", "", "score", "95 %", *(["difference", "95 %", "p", ""] if compared else [])]]
    for metric in found.signatures:
        for place, system in enumerate(found.systems):
            bounds = system.intervals[metric]
            row = ["" if place else metric, system.name, f"{system.scores.values[metric]:.2f}"]
            row.append(f"{bounds.low:.1f} to {bounds.high:.1f}")
            if one := compared.get((metric, system.name)):
                row.append(f"{one.difference:+.2f}")
                row += [f"{one.interval.low:+.2f} to {one.interval.high:+.2f}", f"{one.p:.3f}", one.verdict]
            rows.append(row)
    for place, system in enumerate(found.systems):
        rows.append(["" if place else "exact", system.name, f"{system.scores.exact:.1%}"])
    many = len(found.references)
    head = f"{counted(found.lines)}, {many} reference{'' if many == 1 else 's'}; "
    head += f"95 %: of {found.resamples:,} bootstrap resamples, seed {found.seed}"
    return [head, *_aligned(rows, left=(0, 1, 7))]


def _by_length(found: Evaluation) -> list[str]:
    places = [place for place, part in enumerate(found.systems[0].lengths) if part.lines]
    parts = found.systems[0].lengths
    rows = [["", "", *(parts[place].name for place in places)], ["lines", "", *(f"{parts[i].lines:,}" for i in places)]]
    for metric, values in (("BLEU", "bleu"), ("chrF2", "chrf")):
        for number, system in enumerate(found.systems):
            scores = [f"{getattr(system.lengths[place], values):.1f}" for place in places]
            rows.append(["" if number else metric, system.name, *scores])
    return [f"by words in the {found.length_of}", *_aligned(rows, left=(0, 1))]


def _by_frequency(found: Evaluation) -> list[str]:
    parts = found.systems[0].frequencies
    places = [place for place, part in enumerate(parts) if part.words]
    rows = [["", "", *(parts[place].name for place in places)], ["words", "", *(f"{parts[i].words:,}" for i in places)]]
    for number, system in enumerate(found.systems):
        recalls = [f"{system.frequencies[place].recall:.1%}" for place in places]
        rows.append(["" if number else "found", system.name, *recalls])
    return ["the reference's words, by how often training has them", *_aligned(rows, left=(0, 1))]


def _aligned(rows: Sequence[Sequence[str]], left: tuple[int, ...]) -> list[str]:
    """Columns two spaces apart, those of `left` as text and others as numbers; widths are those of a terminal."""
    from rich.cells import cell_len

    most = max(map(len, rows))
    cleaned = [[*map(_clean, row), *[""] * (most - len(row))] for row in rows]
    widths = [max(map(cell_len, column)) for column in zip(*cleaned, strict=True)]
    lines = []
    for row in cleaned:
        cells = []
        for place, (cell, width) in enumerate(zip(row, widths, strict=True)):
            space = " " * (width - cell_len(cell))
            cells.append(cell + space if place in left else space + cell)
        lines.append("  ".join(cells).rstrip())
    return lines


def _clean(text: str) -> str:
    """Names may come from files: nothing in them may steer the terminal."""
    return "".join(character if character.isprintable() else "?" for character in text)
