"""Pictures of simple scenes with questions and answers: made anew, or taken from the files of the SHAPES data set.

    python recipes/scenes.py make OUT --questions shapes/train.questions.txt --scenes 20000 --examples 200000
    python recipes/scenes.py convert shapes/val OUT
    python recipes/scenes.py check shapes/val

`make` draws scenes as Andreas et al. (2016, "Neural Module Networks", 4) did: 3 x 3 cells on black, each empty in one
case of five, else a circle, a square or a triangle in blue, green or red; its radius is 2.5 or 3.75 pixels and its
colour off by up to a fifth. It asks nothing but the questions given, short and long ones as often, and half of the time
with the answer yes where a question has one. `--hold-out N` keeps every example of N questions apart, to judge a model
by how it does on questions it never saw.

`convert` turns NAME.input.npy, NAME.query_str.txt and NAME.output into the same form: OUT/NAME.jsonl (picture,
question, answer) and OUT/NAME.npy, the pictures. `check` reads the cells back from the pixels and compares our answers
with theirs.
"""

from __future__ import annotations

import argparse
import json
from functools import cache
from pathlib import Path

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[np.int64]
Masks = npt.NDArray[np.bool_]
SHAPES, COLOURS = ("circle", "square", "triangle"), ("blue", "green", "red")  # colours in the order of the files
MOVES = {"above": (-1, 0), "below": (1, 0), "left": (0, -1), "right": (0, 1)}
SIDE, CELL = 3, 10
EMPTY, FILLED = -1, 0.8
RADII, WOBBLE, SIZES = (2.5, 3.75), 0.1, 32


# ---- questions -----------------------------------------------------------------------------------------------------


def answer(question: str, shapes: Array, colours: Array) -> Masks:
    """Whether it is so in scenes [n, 3, 3]. A question says that a cell has both of two properties.

    "is a circle left of above a red shape": is a circle in a cell left of one above a red shape. Left, right, above and
    below are the neighbouring cell.
    """
    words = _words(question)
    if len(words) < 3 or words[0] != "is":
        raise ValueError(f"not a question about scenes: {question!r}")
    there = _has(words[-1], shapes, colours)
    for move in reversed(words[2:-1]):
        there = _moved(there, *MOVES[move])
    return (_has(words[1], shapes, colours) & there).any((1, 2))


def _words(question: str) -> list[str]:
    """Those that mean something: is, a property, moves, another property."""
    return [word for word in question.split() if word not in ("a", "of", "shape")]


def _has(word: str, shapes: Array, colours: Array) -> Masks:
    return shapes == SHAPES.index(word) if word in SHAPES else colours == COLOURS.index(word)


def _moved(cells: Masks, down: int, right: int) -> Masks:
    """What is true of the neighbour of each cell: cells above one are those whose lower neighbour it is."""
    around = np.pad(cells, ((0, 0), (1, 1), (1, 1)))
    return around[:, 1 - down : 1 - down + SIDE, 1 - right : 1 - right + SIDE]


# ---- scenes --------------------------------------------------------------------------------------------------------


def scenes(count: int, random: np.random.Generator) -> tuple[Array, Array]:
    """Shapes and colours [count, 3, 3]; -1 is an empty cell."""
    size = (count, SIDE, SIDE)
    filled = random.random(size) < FILLED
    return np.where(filled, random.integers(0, 3, size), EMPTY), np.where(filled, random.integers(0, 3, size), EMPTY)


@cache
def stamps() -> npt.NDArray[np.float64]:
    """How far each pixel of a cell is covered [shape, size, 10, 10], small ones first; edges are smooth."""
    fine = 16
    at = (np.arange(CELL * fine) + 0.5) / fine - CELL / 2
    down, right = at[:, None], at[None, :]
    half = np.linspace(1 - WOBBLE, 1 + WOBBLE, SIZES // 2)
    made = []
    for shape in SHAPES:
        for radius in np.concatenate([middle * half for middle in RADII]):
            if shape == "circle":
                inside = down**2 + right**2 <= radius**2
            elif shape == "square":
                inside = np.maximum(abs(down), abs(right)) <= radius
            else:  # its tip in the middle above
                inside = (abs(down) <= radius) & (abs(right) <= (down + radius) / 2)
            made.append(inside.reshape(CELL, fine, CELL, fine).mean((1, 3)))
    return np.array(made).reshape(len(SHAPES), SIZES, CELL, CELL)


def drawn(shapes: Array, colours: Array, random: np.random.Generator) -> npt.NDArray[np.uint8]:
    """Pictures [n, 30, 30, 3] of scenes."""
    covered = stamps()[shapes, random.integers(0, SIZES, shapes.shape)] * (shapes >= 0)[..., None, None]
    light = np.eye(3)[colours] + random.uniform(-0.2, 0.2, (*colours.shape, 3))
    cells = covered[..., None] * np.clip(light, 0, 1)[:, :, :, None, None, :]
    count = len(shapes)
    pictures = cells.transpose(0, 1, 3, 2, 4, 5).reshape(count, SIDE * CELL, SIDE * CELL, 3)
    return np.round(255 * pictures).astype(np.uint8)


def seen(pictures: npt.NDArray[np.uint8]) -> tuple[Array, Array]:
    """The shapes and colours [n, 3, 3] in pictures of this kind: what `drawn` was given."""
    count = len(pictures)
    cells = pictures.reshape(count, SIDE, CELL, SIDE, CELL, 3).transpose(0, 1, 3, 2, 4, 5).astype(np.float64)
    light = cells.max(-1) / np.maximum(cells.max((-1, -2, -3)), 1)[..., None, None]
    down, right = light.sum(-1), light.sum(-2)  # of each row, of each column
    heavy = down[..., CELL // 2 :].sum(-1) > 1.25 * down[..., : CELL // 2].sum(-1)
    full = light.sum((-1, -2)) > 0.93 * down.max(-1) * right.max(-1)
    filled = light.max((-1, -2)) > 0
    shapes = np.where(heavy, 2, np.where(full, 1, 0))
    return np.where(filled, shapes, EMPTY), np.where(filled, cells.sum((-2, -3)).argmax(-1), EMPTY)


def asked(questions: list[str], answers: Masks, count: int, random: np.random.Generator) -> tuple[Array, Array]:
    """`count` pairs (scene, question) from answers [scenes, questions]: questions of each length as often, each of a
    length as often, half of them yes where that is ever so."""
    lengths = np.array([len(_words(question)) for question in questions])
    known, sizes = np.unique(lengths, return_counts=True)
    share = 1 / (len(known) * sizes[np.searchsorted(known, lengths)])
    which = random.choice(len(questions), count, p=share)
    wanted = random.random(count) < 0.5
    chosen = np.zeros(count, np.int64)
    for question in range(len(questions)):
        for yes in (False, True):
            places = np.flatnonzero((which == question) & (wanted == yes))
            fit = np.flatnonzero(answers[:, question] == yes)
            chosen[places] = random.choice(fit if len(fit) else len(answers), len(places))
    return chosen, which


# ---- files ---------------------------------------------------------------------------------------------------------


def make(arguments: argparse.Namespace) -> None:
    random = np.random.default_rng(arguments.seed)
    questions = arguments.questions.read_text().split("\n")[:-1]
    held = set(random.permutation(len(questions))[: arguments.hold_out].tolist())
    shapes, colours = scenes(arguments.scenes, random)
    answers = np.stack([answer(question, shapes, colours) for question in questions], 1)
    chosen, which = asked(questions, answers, arguments.examples, random)
    _save_pictures(arguments.out / "scenes.npy", drawn(shapes, colours, random))
    for name, kept in (("train", False), ("unseen", True)):
        rows = [
            {
                "picture": f"scenes.npy#{scene}",
                "question": questions[question],
                "answer": "yes" if answers[scene, question] else "no",
            }
            for scene, question in zip(chosen, which, strict=True)
            if (question in held) == kept
        ]
        if rows:
            _save_examples(arguments.out / f"{name}.jsonl", rows)


def given(stem: Path) -> tuple[npt.NDArray[np.uint8], list[str], list[bool]]:
    """Pictures, questions and answers of NAME.input.npy, NAME.query_str.txt, NAME.output."""
    pictures = np.load(stem.with_name(f"{stem.name}.input.npy"), allow_pickle=False)
    questions, answers = (
        stem.with_name(f"{stem.name}.{what}").read_text().split("\n")[:-1] for what in ("query_str.txt", "output")
    )
    return pictures, questions, [one == "true" for one in answers]


def convert(arguments: argparse.Namespace) -> None:
    pictures, questions, answers = given(arguments.stem)
    name = arguments.stem.name
    _save_pictures(arguments.out / f"{name}.npy", pictures)
    rows = [
        {"picture": f"{name}.npy#{number}", "question": question, "answer": "yes" if yes else "no"}
        for number, (question, yes) in enumerate(zip(questions, answers, strict=True))
    ]
    _save_examples(arguments.out / f"{name}.jsonl", rows)


def check(arguments: argparse.Namespace) -> None:
    pictures, questions, answers = given(arguments.stem)
    shapes, colours = seen(pictures)
    ours = [answer(question, shapes[i : i + 1], colours[i : i + 1])[0] for i, question in enumerate(questions)]
    print(f"{arguments.stem}: {sum(map(bool.__eq__, map(bool, ours), answers))} of {len(answers)} answers agree")


def _save_pictures(path: Path, pictures: npt.NDArray[np.uint8]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    np.save(path, pictures[..., ::-1])  # red first, as everywhere else


def _save_examples(path: Path, rows: list[dict[str, str]]) -> None:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    print(f"{path}: {len(rows):,} examples, {sum(row['answer'] == 'yes' for row in rows):,} yes")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    commands = parser.add_subparsers(required=True)
    one = commands.add_parser("make")
    one.add_argument("out", type=Path)
    one.add_argument("--questions", type=Path, required=True)
    one.add_argument("--scenes", type=int, default=20_000)
    one.add_argument("--examples", type=int, default=200_000)
    one.add_argument("--hold-out", type=int, default=0)
    one.add_argument("--seed", type=int, default=1)
    one.set_defaults(run=make)
    one = commands.add_parser("convert")
    one.add_argument("stem", type=Path)
    one.add_argument("out", type=Path)
    one.set_defaults(run=convert)
    one = commands.add_parser("check")
    one.add_argument("stem", type=Path)
    one.set_defaults(run=check)
    arguments = parser.parse_args()
    arguments.run(arguments)


if __name__ == "__main__":
    main()
