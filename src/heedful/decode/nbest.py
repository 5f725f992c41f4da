"""Lists of answers whose texts are known."""

from __future__ import annotations

from collections.abc import Iterable


def merged(answers: Iterable[tuple[str, float]]) -> list[tuple[str, float]]:
    """(text, score) of each different text, best score first; equals keep their order.

    Several token sequences may be one text. It keeps the best of their scores: they are length-normalised, so that
    their probabilities cannot be added, and the beam has found only some of them anyway.
    """
    best: dict[str, float] = {}
    for text, score in answers:
        best[text] = max(score, best.get(text, score))
    return sorted(best.items(), key=lambda answer: -answer[1])
