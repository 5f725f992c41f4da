"""Records made by hand, whose numbers a test can know."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from heedful.inside.record import Answers, Guess, Kind, Layer, Lens, Line, Picture, Reals, Record, Said, View, WhatIf
from heedful.page.photo import png

WHITE, RED, BLUE = (255, 255, 255), (214, 39, 40), (31, 119, 180)


def line(name: str, label: str, words: Sequence[str], pieces: Sequence[int] = (), controls: Sequence[int] = ()) -> Line:
    """Words of so many pieces each (1 if not said), some of them controls."""
    counts = [*pieces, *[1] * (len(words) - len(pieces))]
    cut = [
        text if count == 1 else f"{text}.{part}"
        for text, count in zip(words, counts, strict=True)
        for part in range(count)
    ]
    word = np.repeat(np.arange(len(words)), counts).astype(np.int64)
    return Line(name, label, tuple(cut), tuple(words), word, tuple(at in controls for at in range(len(words))))


def random_weights(heads: int, queries: int, keys: int, seed: int = 0, causal: bool = False) -> Reals:
    weights = np.random.default_rng(seed).dirichlet(np.full(keys, 0.4), size=(heads, queries))
    if causal:
        weights *= np.tril(np.ones((queries, keys)))
        weights /= np.maximum(weights.sum(-1, keepdims=True), 1e-30)
    return weights.astype(np.float32)


def translation(
    source: Sequence[str] = ("<de>", "the", "small", "dog", "barks", "</s>"),
    written: Sequence[str] = ("der", "kleine", "Hund", "bellt", "</s>"),
    pieces: Sequence[int] = (1, 1, 2, 1, 1, 1),
) -> Record:
    """Three kinds of two layers; head 2 of the last layer aligns word i with word i + 1; "best" is that head."""
    controls = (0, len(source) - 1)
    lines = {
        "source": line("source", "source", source, pieces, controls),
        "read": line("read", "read", ("<s>", *written[:-1]), (), (0,)),
        "target": line("target", "written", written, (), (len(written) - 1,)),
    }
    cross = random_weights(2, len(lines["target"]), len(lines["source"]), seed=3)
    cross[1] = 0.02
    for query, key in enumerate(np.flatnonzero(np.diff(lines["source"].word, prepend=-1))[1 : len(cross[1]) + 1]):
        cross[1, query, key] = 1 - 0.02 * (cross.shape[2] - 1)
    first = random_weights(2, len(lines["target"]), len(lines["source"]), seed=4)
    own = random_weights(2, len(lines["source"]), len(lines["source"]), seed=5)
    causal = random_weights(2, len(lines["target"]), len(lines["read"]), seed=6, causal=True)
    kinds = (
        Kind("source.source", "source reads itself", "source", "source", False, (Layer("source.0.source", own),)),
        Kind("target.target", "written reads itself", "target", "read", True, (Layer("target.0.target", causal),)),
        Kind(
            "target.source",
            "written reads source",
            "target",
            "source",
            False,
            (Layer("target.0.source", first, first[::-1].copy()), Layer("target.1.source", cross)),
        ),
    )
    said = tuple(Said(text, -0.1 * at, (Guess(text, 0.9), Guess("x", 0.05))) for at, text in enumerate(written))
    return Record(
        "a translator",
        "translate",
        " ".join(source[1:-1]),
        " ".join(written[:-1]),
        lines,
        kinds,
        (View("target.source", "best", "best heads", "The mean of the heads that align words best.", cross[1]),),
        {"target.source": {"entropy": [[1.0, 2.0], [0.5, 0.1]]}},
        {"target.source": [(1, 1)]},
        said,
        what_if=changed_runs(said),
        notes=("A note.",),
    )


def changed_runs(said: Sequence[Said]) -> tuple[WhatIf, ...]:
    """A head that matters, a word that matters more, a head that does not and changes nothing."""
    new = (said[0], Said("alte", -1.5), *said[2:])
    small = tuple(-0.01 * at for at in range(len(said)))
    large = tuple(-1.0 if at == 1 else 0.1 for at in range(len(said)))
    no_change = (0.0,) * len(said)
    texts = [" ".join(one.text for one in some[:-1]) for some in (said, new)]
    return (
        WhatIf("head", ("target.0.source", 0), "layer 1, head 1 off", texts[0], -1.0, sum(small), tuple(said), small),
        WhatIf("word", ("source", 2), "without 'small'", texts[1], -1.6, sum(large), new, large),
        WhatIf("head", ("target.1.source", 1), "layer 2, head 2 off", texts[0], -1.0, 0.0, tuple(said), no_change),
    )  # fmt: skip


def shapes(cells: int = 3, size: int = 30) -> Picture:
    """A red square in the second row's last cell, a blue one in the first, on white; a token for the whole first."""
    pixels = np.full((size, size, 3), 255, np.uint8)
    side = size // cells
    pixels[side + 2 : 2 * side - 2, (cells - 1) * side + 2 : cells * side - 2] = RED
    pixels[2 : side - 2, 2 : side - 2] = BLUE
    boxes = [(0, 0, 1, 1)]
    boxes += [(c / cells, r / cells, (c + 1) / cells, (r + 1) / cells) for r in range(cells) for c in range(cells)]
    return Picture(png(pixels), size, size, np.array(boxes, np.float32))


def seeing(words: Sequence[str] = ("<s>", "a", "red", "square", "</s>"), cells: int = 3) -> Record:
    """Text and picture that read each other in two layers of two heads. In the last layer "red" (word 2) reads the cell
    of the red square, and that cell reads "red"; "a" reads the blue one."""
    picture = shapes(cells)
    count = len(picture.boxes)
    regions = tuple(["picture"] + [f"region {number}" for number in range(1, count)])
    flags = (True, *[False] * (count - 1))
    seen = Line("picture", "picture", regions, regions, np.arange(count), flags, picture)
    text = line("text", "text", words, (), (0, len(words) - 1))
    red, blue = 1 + cells + cells - 1, 1
    there = random_weights(2, len(words), count, seed=7)
    there[:] = 0.3 * there
    there[:, 2, red] += 0.7
    there[:, 1, blue] += 0.7
    back = 0.3 * random_weights(2, count, len(words), seed=8)
    back[..., 3] += 0.7
    back[:, red, 2] += 0.7
    back[:, red, 3] -= 0.7
    kinds = tuple(
        Kind(name, label, asks, read, False, (
            Layer(f"{asks}.0.{read}", random_weights(2, *last.shape[1:], seed=9)), Layer(f"{asks}.1.{read}", last)
        ))
        for name, label, asks, read, last in (
            ("text.picture", "text reads picture", "text", "picture", there),
            ("picture.text", "picture reads text", "picture", "text", back),
        )
    )  # fmt: skip
    views = tuple(
        View(kind.name, "last", "last layer", "The mean of the last layer.", kind.layers[-1].weights.mean(0))
        for kind in kinds
    )
    return Record(
        "a matcher",
        "match",
        " ".join(words[1:-1]),
        "they match",
        {"text": text, "picture": seen},
        kinds,
        views,
        answers=(Answers("do they match", (Guess("they match", 0.875), Guess("they do not", 0.125))),),
    )


def writing(words: Sequence[str] = ("Once", "upon", "a", "time", "there")) -> Record:
    """A text that goes on, with a lens of three layers and the next token's candidates."""
    text = line("text", "text", words)
    weights = [random_weights(2, len(words), len(words), seed=20 + layer, causal=True) for layer in range(2)]
    kinds = (
        Kind("text.text", "text reads itself", "text", "text", True, tuple(
            Layer(f"text.{number}.text", layer) for number, layer in enumerate(weights)
        )),
    )  # fmt: skip
    rng = np.random.default_rng(30)
    guesses = tuple(
        tuple(
            tuple(
                Guess(f"{words[min(at + 1, len(words) - 1)]}{'' if rank == layer == 2 else rank}", float(p))
                for rank, p in enumerate(np.sort(rng.dirichlet(np.ones(8)))[::-1][:5])
            )
            for at in range(len(words))
        )
        for layer in range(3)
    )
    lens = Lens("text", "What would come next", ("embedding", "layer 1", "layer 2"), tuple(range(len(words))), guesses)
    candidates = Answers("next", (Guess("was", 0.5), Guess("lived", 0.25), Guess("were", 0.125)))
    return Record(
        "a writer", "write", " ".join(words), "was", {"text": text}, kinds, lenses=(lens,), answers=(candidates,),
        said=(Said("was", -0.7, (Guess("was", 0.5),)),),
    )  # fmt: skip


def classifying(words: Sequence[str] = ("[CLS]", "a", "wonderful", "film", "[SEP]")) -> Record:
    """A label, and a signed view: its first row says what each token adds."""
    text = line("text", "text", words, (1, 1, 2), (0, len(words) - 1))
    weights = random_weights(2, len(text), len(text), seed=40)
    signed = np.zeros((len(text), len(text)), np.float32)
    signed[0] = [0.0, -0.25, 0.5, 0.75, 0.125, 0.0]
    return Record(
        "a judge",
        "classify",
        " ".join(words[1:-1]),
        "good",
        {"text": text},
        (Kind("text.text", "text reads itself", "text", "text", False, (Layer("text.0.text", weights),)),),
        (View("text.text", "ig", "what the answer rests on", "Integrated gradients.", signed, True),),
        answers=(Answers("label", (Guess("good", 0.96), Guess("bad", 0.04))),),
    )
