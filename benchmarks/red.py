"""Whether the word "red" looks at the red cell: co-attention of a trained model of recipes/shapes.toml.

    python benchmarks/red.py RUN [--scenes 400: to choose a view on, and to judge it on]

Scenes are drawn anew, with exactly one cell of the colour asked for, so that the right cell is known; the questions
are those of training that name a colour once. A word "lights" the cell that has most of its weight, the row for the
whole picture left out. A view is a head, the mean of a layer's heads or of all, or attention rollout; of words reading
cells (text.picture: the word's row) or of cells reading words (picture.text: the word's column). The view is chosen on
other scenes than it is judged on; "without labels" is the head whose weights say most, by which words and cells are
tied: the mutual information between who asks and what is looked at, all that ask being equally likely. Controls: a
cell drawn at random among the filled ones, and the word "is".
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from record import write

from heedful.data.gallery import Gallery
from heedful.data.patches import boxes_of, rows_of
from heedful.inside.probing import Seen, capture
from heedful.inside.record import Kind, Layer, Line
from heedful.inside.rollout import rollouts
from heedful.model.embeddings import TokenInput
from heedful.model.layout import Layout
from heedful.tasks.ask import Asker, load
from heedful.tasks.ask.prepared import text_ids

sys.path.insert(0, str(Path(__file__).parents[1] / "recipes"))
import scenes  # a script beside the recipes, no part of the package

KINDS = ("text.picture", "picture.text", "text.text", "picture.picture")
Array = np.ndarray
Views = dict[str, Array]  # by name, weights of each case: [cases, tokens of the question, cells]


class Case(NamedTuple):
    """A scene with one cell of a colour, a question that names it once, where the word is, where the cell is, and which
    cells are filled."""

    picture: Array
    question: str
    word: int  # among the tokens of the question
    cell: int
    filled: Array


def cases(questions: list[str], count: int, seed: int) -> list[Case]:
    """`count` cases, the colours in turn."""
    random = np.random.default_rng(seed)
    found: list[Case] = []
    asked = {colour: [one for one in questions if one.split().count(colour) == 1] for colour in scenes.COLOURS}
    while len(found) < count:
        colour = scenes.COLOURS[len(found) % len(scenes.COLOURS)]
        shapes, colours = scenes.scenes(64, random)
        own = (colours == scenes.COLOURS.index(colour)) & (shapes >= 0)
        # `scenes` draws shapes and colours of the same filled cells.
        fits = np.flatnonzero(own.sum((1, 2)) == 1)
        if not len(fits):
            continue
        one = fits[0]
        picture = scenes.drawn(shapes[one : one + 1], colours[one : one + 1], random)[0][..., ::-1]
        question = asked[colour][random.integers(len(asked[colour]))]
        word = 1 + question.split().index(colour)  # after the start token
        found.append(Case(picture, question, word, int(own[one].argmax()), shapes[one].reshape(-1) >= 0))
    return found


def seen(asker: Asker, some: list[Case]) -> Seen:
    """One probed pass over all cases."""
    tokenizer, sight = asker.tokenizer, asker.sight
    rows = [text_ids(tokenizer, tokenizer.encode(one.question), asker.longest, asker.task) for one in some]
    for one, ids in zip(some, rows, strict=True):
        assert len(ids) == len(one.question.split()) + 2, f"a word of {one.question!r} is no token of its own"
    lengths = np.array([len(row) for row in rows])
    pixels = np.stack([one.picture for one in some])
    gallery = Gallery(
        sight, pixels, np.full(len(some), rows_of(sight.size, sight.edge)), boxes_of(sight.size, sight.edge)
    )
    text = TokenInput(torch.from_numpy(np.concatenate(rows)), Layout.packed(lengths))
    inputs = {"text": text, "picture": gallery.input(np.arange(len(some)))}
    return capture(asker.model, inputs, ["*.weights"])


def views(asker: Asker, some: list[Case]) -> dict[str, Array]:
    """Of each view, the weights [cases, longest question, cells] of words and cells."""
    found: dict[str, list[Array]] = {}
    looked = seen(asker, some)
    longest = max(len(one.question.split()) + 2 for one in some)
    for row in range(len(some)):
        for name, weights in _views_of(looked, row).items():
            padded = np.zeros((longest, weights.shape[1]))
            padded[: len(weights)] = weights
            found.setdefault(name, []).append(padded)
    return {name: np.stack(each) for name, each in found.items()}


def _views_of(looked: Seen, row: int) -> Views:
    """Views [words, cells] of one case."""
    by_kind: dict[str, list[Layer]] = {kind: [] for kind in KINDS}
    for address in looked.addresses:
        stream, _, attended, _ = address.split(".")
        weights = looked.row(address, row).numpy()
        by_kind[f"{stream}.{attended}"].append(Layer(address.removesuffix(".weights"), weights))
    kinds = [Kind(name, name, *name.split("."), False, tuple(layers)) for name, layers in by_kind.items()]
    sizes = {name: int(layout.lengths[row]) for name, layout in looked.layouts.items()}
    found: Views = {}
    for kind in kinds[:2]:
        turn = (lambda weights: weights) if kind.queries == "text" else (lambda weights: weights.T)
        every = []
        for layer in kind.layers:
            for head, weights in enumerate(layer.weights):
                found[f"{layer.address}, head {head}"] = turn(weights)
                every.append(weights)
            found[f"{layer.address}, mean of its heads"] = turn(layer.weights.mean(0))
        found[f"{kind.name}, mean of all heads"] = turn(np.mean(every, 0))
    for view in rollouts(kinds, {name: _line(name, size) for name, size in sizes.items()}):
        if view.kind in KINDS[:2]:
            found[f"{view.kind}, rollout"] = view.weights if view.kind == KINDS[0] else view.weights.T
    return {name: weights[:, 1:] for name, weights in found.items()}  # without the row for the whole picture


def _line(name: str, size: int) -> Line:
    ids = np.arange(size)
    return Line(name, name, ("",) * size, ("",) * size, ids, (False,) * size)


def information(weights: Array) -> float:
    """How many bits it tells what is looked at to know who asks: weights [queries, keys], ends and wholes left out."""
    shares = weights / np.maximum(weights.sum(-1, keepdims=True), 1e-12)
    bits = lambda rows: -(rows * np.log2(np.maximum(rows, 1e-12))).sum(-1)
    return float(bits(shares.mean(0)) - bits(shares).mean())


def telling(found: dict[str, Array], some: list[Case]) -> dict[str, float]:
    """The information of each head, the mean over cases. No label is looked at."""
    sizes = [len(one.question.split()) for one in some]
    told = {}
    for name, weights in found.items():
        if ", head " in name:
            inner = [one[1 : 1 + size] for one, size in zip(weights, sizes, strict=True)]
            turned = [one if _kind(name) == KINDS[0] else one.T for one in inner]
            told[name] = round(float(np.mean([information(one) for one in turned])), 3)
    return dict(sorted(told.items(), key=lambda pair: -pair[1]))


def share(weights: Array, some: list[Case], words: list[int] | None = None) -> float:
    """How often the most weight of the word is on its cell; of other `words`, on the cell asked for all the same."""
    places = [one.word for one in some] if words is None else words
    best = weights[np.arange(len(some)), places].argmax(-1)
    return round(float(np.mean(best == [one.cell for one in some])), 4)


def judged(asker: Asker, questions: list[str], count: int) -> dict[str, Any]:
    first, second = cases(questions, count, seed=11), cases(questions, count, seed=12)
    looked = views(asker, first)
    choosing, told = {name: share(weights, first) for name, weights in looked.items()}, telling(looked, first)
    order = sorted(choosing, key=lambda name: -choosing[name])
    found = views(asker, second)
    heads = [name for name in order if ", head " in name]
    rows: Mapping[str, str] = {
        "best view": order[0],
        "best head": heads[0],
        "without labels": next(iter(told)),
        **{f"best head of {kind}": next(h for h in heads if _kind(h) == kind) for kind in KINDS[:2]},
        **{f"{kind}, {what}": f"{kind}, {what}" for kind in KINDS[:2] for what in ("mean of all heads", "rollout")},
    }
    others = [1 + one.question.split().index("is") for one in second]
    return {
        "scenes": count,
        "questions": len(questions),
        "rows": {
            name: {"view": view, "chosen": choosing[view], "judged": share(found[view], second)}
            | {colour: share(*_of(colour, found[view], second)) for colour in scenes.COLOURS}
            for name, view in rows.items()
        },
        "controls": {
            "a filled cell at random": round(float(np.mean([1 / one.filled.sum() for one in second])), 4),
            'the best head, the word "is"': share(found[rows["best head"]], second, others),
        },
        "chosen": {name: choosing[name] for name in order},
        "information in bits": told,
    }


def _kind(view: str) -> str:
    stream, _, attended = view.partition(",")[0].split(".")
    return f"{stream}.{attended}"


def _of(colour: str, weights: Array, some: list[Case]) -> tuple[Array, list[Case]]:
    """The cases of a colour."""
    places = [number for number, one in enumerate(some) if colour in one.question.split()[one.word - 1 : one.word]]
    return weights[places], [some[place] for place in places]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run", type=Path)
    parser.add_argument("--scenes", type=int, default=400)
    parser.add_argument("--questions", type=Path, required=True, help="shapes/train.questions.txt")
    given = parser.parse_args()
    torch.set_num_threads(1)
    found = judged(load(given.run), given.questions.read_text().split("\n")[:-1], given.scenes)
    for name, row in found["rows"].items():
        print(f"{name:34} {row['judged']:.1%}  ({row['view']}; chosen at {row['chosen']:.1%})")
    print(found["controls"])
    print(write("red", found))


if __name__ == "__main__":
    main()
