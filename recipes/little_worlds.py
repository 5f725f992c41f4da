"""Little worlds: made-up questions in the form of SQuAD, to see whether a model learns to look an answer up.

    python recipes/little_worlds.py DIR

writes DIR/little-worlds/train.json and dev.json. A context tells in a few sentences who lives where, does, owns, likes
or fears what. Several people share a relation, so that it alone does not give the answer away. A person and a relation
that are together in dev are together nowhere in training, neither asked for nor told: no answer can be remembered.

Some questions ask for a person's whole sentence. They are there to be learned first: to find the sentence is half of
finding what is asked of it, and without them a small model takes very long to see that the person matters.
"""

from __future__ import annotations

import json
import random
import sys
from pathlib import Path
from typing import Any


def words(text: str) -> list[str]:
    """A list without quotes."""
    return text.split()


NAMES = words("Ada Amir Boris Carla Chen Elif Felix Greta Hugo Ines Jonas Nadia Omar Rosa Wanda")
COLOURS = words("red blue green white black yellow grey brown")
THINGS = words("bicycle boat lamp kettle guitar ladder clock piano suitcase tent")

# relation: (two ways to tell it, two ways to ask for it, what it may be)
RELATIONS: dict[str, tuple[tuple[str, str], tuple[str, str], list[str]]] = {
    "home": (
        ("{who} lives in {what}.", "{who} has a home in {what}."),
        ("Where is the home of {who}?", "In which town do we find {who}?"),
        words("Berlin Cairo Delhi Lima Oslo Paris Prague Quito Rabat Seoul Split Tokyo Tunis Vienna Warsaw Zagreb"),
    ),
    "work": (
        ("{who} works as a {what}.", "{who} earns a living as a {what}."),
        ("What is the trade of {who}?", "What is done for a living by {who}?"),
        words("baker carpenter dentist farmer gardener judge miner nurse painter pilot plumber sailor tailor teacher"),
    ),
    "thing": (
        ("{who} owns a {what}.", "{who} is the owner of a {what}."),
        ("What belongs to {who}?", "What is owned by {who}?"),
        [f"{colour} {thing}" for colour in COLOURS for thing in THINGS],
    ),
    "food": (
        ("{who} likes {what}.", "{who} would rather eat {what}."),
        ("What tastes best to {who}?", "What is liked by {who}?"),
        [*words("apples beans cheese dates figs honey lentils olives pears plums rice walnuts"), "fried eggs",
         "goat cheese", "onion soup", "rye bread", "dark chocolate", "sweet peppers"],
    ),
    "fear": (
        ("{who} is afraid of {what}.", "{who} runs away from {what}."),
        ("What is frightening to {who}?", "What is feared by {who}?"),
        [*words("bats bees dogs geese ghosts heights lifts moths snakes spiders storms thunder"), "deep water",
         "large crowds", "the dark", "the dentist"],
    ),
}  # fmt: skip
FACTS = (2, 6)  # of a context
PEOPLE = 4  # of a context, and one or two relations of each
QUESTIONS = 3  # of a context
WHOLE = 0.4  # of questions about who is in one sentence: the answer is that sentence


def pairs(rng: random.Random) -> tuple[list[tuple[str, str]], list[tuple[str, str]]]:
    """The pairs of training and those held out: of every person one relation."""
    known, held = [], []
    for number, who in enumerate(NAMES):
        relations = list(RELATIONS)
        out = relations[number % len(relations)]
        known += [(who, relation) for relation in relations if relation != out]
        held.append((who, out))
    rng.shuffle(held)
    return known, held


def world(rng: random.Random, known: list[tuple[str, str]], held: list[tuple[str, str]]) -> dict[str, Any]:
    """A paragraph of few people and relations. Where there are pairs held out, the questions are about them."""
    count = rng.randint(*FACTS)
    relations = rng.sample(list(RELATIONS), rng.randint(1, 2))
    mine = [pair for pair in held if pair[1] in relations]
    asked = rng.sample(mine, min(QUESTIONS, count)) if held else []
    people = {who for who, _ in asked}
    people |= set(rng.sample(NAMES, max(1, PEOPLE - len(people))))
    near = [pair for pair in known if pair[0] in people and pair[1] in relations]
    told = asked + rng.sample(near, min(count - len(asked), len(near)))
    rng.shuffle(told)
    facts = [(who, relation, rng.choice(RELATIONS[relation][2])) for who, relation in told]
    sentences = [rng.choice(RELATIONS[relation][0]).format(who=who, what=what) for who, relation, what in facts]
    context = " ".join(sentences)
    starts = [sum(len(one) + 1 for one in sentences[:place]) for place in range(len(sentences))]
    questions = []
    for fact in rng.sample(range(len(facts)), min(QUESTIONS, len(facts))) if not asked else map(told.index, asked):
        who, relation, what = facts[fact]
        _, ways, _ = RELATIONS[relation]
        question, answer = rng.choice(ways).format(who=who), what
        only = sum(one[0] == who for one in facts) == 1
        if only and rng.random() < WHOLE:
            question, answer = f"What does the text tell of {who}?", sentences[fact].removesuffix(".")
        answers = [{"text": answer, "answer_start": starts[fact] + sentences[fact].index(answer)}]
        questions.append({"question": question, "answers": answers})
    return {"context": context, "qas": questions}


def write(path: Path, worlds: list[dict[str, Any]]) -> None:
    """A file in the form of SQuAD."""
    number = 0
    for one in worlds:
        for question in one["qas"]:
            question["id"] = f"{path.stem}-{(number := number + 1)}"
    tree = {"version": "1.1", "data": [{"title": "little worlds", "paragraphs": worlds}]}
    path.write_text(json.dumps(tree, indent=1) + "\n", "utf-8")


def main(folder: Path, train: int = 8000, dev: int = 400) -> None:
    """The same files whenever it runs."""
    rng = random.Random(1)
    known, held = pairs(rng)
    target = folder / "little-worlds"
    target.mkdir(parents=True, exist_ok=True)
    write(target / "train.json", [world(rng, known, []) for _ in range(train)])
    write(target / "dev.json", [world(rng, known, held) for _ in range(dev)])


if __name__ == "__main__":
    main(Path(sys.argv[1] if len(sys.argv) > 1 else "."))
