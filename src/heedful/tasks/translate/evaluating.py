"""Evaluating translations: a model's, or lines in a file, against references; and scoring pairs that are given."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from ...data.readers import read_lines, resolve
from ...errors import UserError
from ...measure.evaluation import evaluate, require_few
from ...measure.metrics import Options
from ...measure.translation import Scorer, check_lengths
from ...measure.words import count_words
from ...page.evaluation import Report, report
from .shown import one_line
from .translator import load


def evaluate_systems(
    models: Sequence[Path],
    outputs: Sequence[Path],
    source: Path | None,
    references: Sequence[Path],
    *,
    counted: Sequence[Path] = (),
    root: Path | None = None,
    decoding: Mapping[str, Any] | None = None,
    measures: Options | None = None,
    resamples: int = 1000,
    seed: int = 12345,
) -> Report:
    """Scores of finished models and of files of translations, in this order, against one or more references.

    `counted` are files of the training text's target side, for figures about rare words; `decoding` are fields of
    `decode.Options` and `tag`. The report's figures say for each model how long it took. UserError for files that are
    missing or of unequal length.
    """
    if not models and not outputs:
        raise UserError("nothing to evaluate: give a model (-m RUN) or translations (--output FILE)")
    if models and source is None:
        raise UserError("a model needs a text to translate: give it with --source FILE")
    lines = None if source is None else list(read_lines(resolve(source, root)))
    wanted = [list(read_lines(resolve(reference, root))) for reference in references]
    if not wanted or not wanted[0]:
        raise UserError("there are no references; give a file with the right translations: --reference FILE")
    found: dict[str, Sequence[str]] = {}
    seconds: dict[str, float] = {}
    # What is wrong is told before models take their time.
    require_few(len(models) + len(outputs))
    given = [(path, list(read_lines(resolve(path, root)))) for path in outputs]
    counts = _counts([resolve(path, root) for path in counted])
    Scorer(wanted, measures)
    for path, text in given:
        check_lengths(str(path), text, "the reference", wanted[0])
    if lines is not None and len(lines) != len(wanted[0]):
        raise UserError(
            f"{source} has {len(lines):,} lines, {references[0]} has {len(wanted[0]):,}; they go together line by line"
        )
    for model in models:
        assert lines is not None
        began = time.monotonic()
        name = _name(model, found)
        found[name] = _translated(model, lines, dict(decoding or {}))
        seconds[name] = time.monotonic() - began
    for path, text in given:
        found[_name(path, found)] = text
    made = report(
        evaluate(wanted, found, source=lines, counts=counts, options=measures, resamples=resamples, seed=seed)
    )
    return Report(made.text, {**made.figures, "seconds": seconds}, made.page)


def _translated(model: Path, lines: list[str], decoding: dict[str, Any]) -> list[str]:
    translator = load(model)
    tag = decoding.pop("tag", None)
    answers = translator.translate(lines, tag, translator.options(**decoding))
    return [one_line(answer) for answer in answers]


def _counts(files: Iterable[Path]) -> Counter[str] | None:
    counts: Counter[str] = Counter()
    for file in files:
        counts.update(count_words(read_lines(file)))
    return counts or None


def _name(path: Path, taken: Mapping[str, object]) -> str:
    """A system's name: the file's or folder's, told apart from those that have it already."""
    name, number = path.name or str(path.absolute().name), 2
    unique = name
    while unique in taken:
        unique, number = f"{name} ({number})", number + 1
    return unique
