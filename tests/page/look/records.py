"""Records made by hand, with weights that a test can compute by itself."""

from __future__ import annotations

import numpy as np

from heedful.inside.record import Guess, Kind, Layer, Line, Reals, Record, Said, View

SOURCE = ("A", "red", "car", "</s>")
WRITTEN = ("Ein", "rotes", "Auto", "</s>")


def softmax(scores: Reals) -> Reals:
    powers = np.exp(scores - scores.max(-1, keepdims=True))
    return (powers / powers.sum(-1, keepdims=True)).astype(np.float32)


def line(name: str, words: tuple[str, ...], pieces: tuple[str, ...] = (), word: tuple[int, ...] = ()) -> Line:
    control = tuple(one in ("<s>", "</s>") for one in words)
    return Line(name, f"the {name}", pieces or words, words, np.array(word or range(len(words))), control)


def translation(seed: int = 1) -> Record:
    """Two layers, of three heads and of two (as after pruning): `target.source` with five tokens of four words on each
    side, and a causal `target.target`. One signed view."""
    rng = np.random.default_rng(seed)
    source = line("source", SOURCE, ("A", "r", "ed", "car", "</s>"), (0, 1, 1, 2, 3))
    written = line("written", WRITTEN, ("Ein", "rot", "es", "Auto", "</s>"), (0, 1, 1, 2, 3))
    target = line("target", ("<s>", *WRITTEN[:-1]), ("<s>", "Ein", "rot", "es", "Auto"), (0, 1, 2, 2, 3))

    def layers(name: str, causal: bool) -> tuple[Layer, ...]:
        found = []
        for number, heads in enumerate((3, 2)):
            scores = 2.5 * rng.normal(size=(heads, 5, 5))
            if causal:
                scores = np.where(np.tril(np.ones((5, 5), bool)), scores, -1e9)
            found.append(Layer(f"target.{number}.{name}", softmax(scores), softmax(scores * 0.5), int(not causal)))
        return tuple(found)

    cross = Kind("target.source", "answer reads text", "written", "source", False, layers("source", False))
    own = Kind("target.target", "answer reads itself", "written", "target", True, layers("target", True))
    signed = View(
        "target.source", "gradient", "gradient", "By gradient.", rng.normal(size=(5, 5)).astype(np.float32), True
    )
    measures = {
        "entropy": [[0.5, 2.0, 1.0], [3.0, 0.25]],
        "made up": [[0.1, 0.2, 0.3], [0.4, 0.5]],
    }
    return Record(
        "runs/cars",
        "translate",
        "A red car",
        "Ein rotes Auto",
        {"source": source, "written": written, "target": target},
        (cross, own),
        (signed,),
        {"target.source": measures},
        said=(
            Said("Ein", -0.1, (Guess("Ein", 0.9), Guess("Das", 0.06))),
            Said("rotes", -1.2, (Guess("roter", 0.4), Guess("rotes", 0.3))),
        ),
        notes=("Nothing was cut.",),
    )


def chain(layers: int = 2) -> Record:
    """One stream, one head a layer, nothing but a shift: every token reads the one before it, the first itself."""
    words = ("one", "two", "three", "four")
    weights = np.eye(4, k=-1, dtype=np.float32)
    weights[0, 0] = 1
    each = tuple(Layer(f"text.{number}.text", weights[None]) for number in range(layers))
    text = Kind("text.text", "text reads itself", "text", "text", True, each)
    return Record("chain", "write", " ".join(words), "", {"text": line("text", words)}, (text,))


def random(layers: int, heads: int, tokens: int, kinds: int = 3, seed: int = 0) -> Record:
    """Softmax of random scores: the worst there is to pack."""
    rng = np.random.default_rng(seed)
    words = tuple(f"word{number}" for number in range(tokens))
    lines = {name: line(name, words) for name in ("source", "written", "target")}
    behind = np.tril(np.ones((tokens, tokens), bool))

    def kind(name: str, queries: str, keys: str, causal: bool) -> Kind:
        scores = (rng.normal(size=(heads, tokens, tokens)) for _ in range(layers))
        seen = (np.where(behind, one, -1e9) if causal else one for one in scores)
        each = tuple(Layer(f"{name[:6]}.{number}.{name[7:]}", softmax(one)) for number, one in enumerate(seen))
        return Kind(name, name, queries, keys, causal, each)

    every = (
        ("target.source", "written", "source", False),
        ("source.source", "source", "source", False),
        ("target.target", "written", "target", True),
    )[:kinds]
    table = rng.uniform(size=(layers, heads)).tolist()
    measures = dict.fromkeys(("entropy", "diagonality", "previous", "first", "coverage"), table)
    return Record(
        "model",
        "translate",
        " ".join(words),
        " ".join(words),
        lines,
        tuple(kind(*one) for one in every),
        measures={name: measures for name, *_ in every},
    )
