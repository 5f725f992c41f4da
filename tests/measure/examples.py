"""Own sentences in German, and systems that spoil them, for the tests of measures and of pages about them."""

from __future__ import annotations

import random

WHO = ("Der Bus", "Eine Frau", "Das Kind", "Mein Nachbar", "Niemand", "Die Lehrerin aus Köln", "Ein älterer Herr")
DOES = ("wartet", "liest", "fährt", "singt leise", "kauft Äpfel", "schreibt einen Brief", "sucht den Schlüssel")
WHERE = ("am Bahnhof", "in der Küche", "vor dem Museum", "bei Regen", "auf dem Markt", "im 3. Stock", "nebenan")
WHEN = ("heute", "um 7:30 Uhr", "jeden Abend", "seit gestern", "bald", "\u201ewie immer\u201c", "nach der Arbeit")


def references(lines: int, seed: int = 0) -> list[str]:
    """Sentences of 4 to some 20 words; not all different."""
    draw = random.Random(seed)
    made = []
    for _ in range(lines):
        parts = [draw.choice(WHO), draw.choice(DOES), draw.choice(WHERE), draw.choice(WHEN)]
        if draw.random() < 0.3:
            parts += ["und", draw.choice(WHO).lower(), draw.choice(DOES), draw.choice(WHEN)]
        made.append(" ".join(parts) + draw.choice(".!?"))
    return made


def spoiled(lines: list[str], rate: float, seed: int) -> list[str]:
    """A system: words are lost, replaced and swapped, more of them the higher the rate."""
    draw = random.Random(seed)
    vocabulary = sorted({word for line in lines for word in line.split()})
    made = []
    for line in lines:
        words = [word for word in line.split() if draw.random() > rate / 2]
        words = [draw.choice(vocabulary) if draw.random() < rate / 2 else word for word in words]
        if len(words) > 2 and draw.random() < rate:
            words[0], words[-1] = words[-1], words[0]
        made.append(" ".join(words))
    return made
