"""Which word of the one side surely is which of the other: a small dictionary from pairs, by how often words meet."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable
from itertools import islice, product

WORD = re.compile(r"(?<![\w'’-])\w[\w'’-]*+")
READ = 20_000  # pairs; more find little that is new
RARE, FREQUENT = 5, 0.02  # words in fewer pairs are not judged; in more than this share of them, they mean too much
SURE = 0.5


def learn_lexicon(pairs: Iterable[tuple[str, str]]) -> dict[str, str]:
    """Target words by source words: for each the other is the likeliest, with a Dice coefficient of at least 1/2."""
    read = [tuple(frozenset(WORD.findall(text)) for text in pair) for pair in islice(pairs, READ)]
    most = max(RARE, FREQUENT * len(read))
    counts = [Counter(word for sides in read for word in sides[side]) for side in (0, 1)]
    judged = [{word for word, count in own.items() if RARE <= count <= most} for own in counts]
    meetings: Counter[tuple[str, str]] = Counter()
    for source, target in read:
        meetings.update(product(source & judged[0], target & judged[1]))
    dice = {
        (one, other): 2 * count / (counts[0][one] + counts[1][other])
        for (one, other), count in meetings.items()
        if 4 * count >= counts[0][one] + counts[1][other]
    }
    # Best first; a word that is taken has found its better half. Equal ones in the order of the alphabet.
    lexicon: dict[str, str] = {}
    taken: set[str] = set()
    for one, other in sorted(dice, key=lambda pair: (-dice[pair], pair)):
        if one not in lexicon and other not in taken:
            lexicon[one] = other
            taken.add(other)
    return lexicon
