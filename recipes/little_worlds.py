"""Little worlds: made-up questions in the form of SQuAD, to see whether a model learns to look an answer up.

    python recipes/little_worlds.py DIR

writes DIR/little-worlds/train.json and dev.json. A context tells in some sentences who lives where, does, owns, likes
and fears what; several people share each relation and each person several, so that neither alone gives the answer. A
person and a relation that are together in dev are together nowhere in training, neither asked for nor told: an answer
there cannot be remembered. Of the questions about a person one in eight has no answer in its context.
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


NAMES = words(
    "Ada Amir Anna Boris Carla Chen David Elif Emil Fatima Felix Greta Hana Hugo Ines Jonas Lea Milan Nadia Omar Rosa "
    "Samir Viktor Wanda Zoe"
)
COLOURS = words("red blue green white black yellow grey brown")
THINGS = words("bicycle boat lamp kettle guitar ladder clock piano suitcase tent")

# relation: (two ways to tell it, two ways to ask for what is told, one to ask for who it is of, what it may be)
RELATIONS: dict[str, tuple[tuple[str, str], tuple[str, str], str, list[str]]] = {
    "home": (
        ("{who} lives in {what}.", "The home of {who} is in {what}."),
        ("Where does {who} live?", "In which town is the home of {who}?"),
        "Who lives in {what}?",
        words("Berlin Cairo Delhi Lima Oslo Paris Prague Quito Rabat Seoul Split Tokyo Tunis Vienna Warsaw Zagreb"),
    ),
    "work": (
        ("{who} works as a {what}.", "By trade {who} is a {what}."),
        ("What does {who} work as?", "What is the trade of {who}?"),
        "Who works as a {what}?",
        words("baker carpenter dentist farmer gardener judge miner nurse painter pilot plumber sailor tailor teacher"),
    ),
    "thing": (
        ("{who} owns a {what}.", "There is a {what} that belongs to {who}."),
        ("What does {who} own?", "What belongs to {who}?"),
        "Who owns a {what}?",
        [f"{colour} {thing}" for colour in COLOURS for thing in THINGS],
    ),
    "food": (
        ("{who} likes {what}.", "Nothing tastes better to {who} than {what}."),
        ("What does {who} like?", "What tastes best to {who}?"),
        "Who likes {what}?",
        [*words("apples beans cheese dates figs honey lentils olives pears plums rice walnuts"), "fried eggs",
         "goat cheese", "onion soup", "rye bread", "dark chocolate", "sweet peppers"],
    ),
    "fear": (
        ("{who} is afraid of {what}.", "What frightens {who} most is {what}."),
        ("What is {who} afraid of?", "What frightens {who} most?"),
        "Who is afraid of {what}?",
        [*words("bats bees dogs geese ghosts heights lifts moths snakes spiders storms thunder"), "deep water",
         "large crowds", "the dark", "the dentist"],
    ),
}  # fmt: skip
FACTS = (4, 7)  # of a context
PEOPLE = 4  # of a context, and two relations of each
QUESTIONS = 3  # of a context


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
    relations = rng.sample(list(RELATIONS), 2)
    mine = [pair for pair in held if pair[1] in relations]
    asked = rng.sample(mine, QUESTIONS) if held else []
    people = {who for who, _ in asked}
    people |= set(rng.sample(NAMES, max(1, PEOPLE - len(people))))
    near = [pair for pair in known if pair[0] in people and pair[1] in relations]
    told = asked + rng.sample(near, min(count - len(asked), len(near)))
    rng.shuffle(told)
    facts = [(who, relation, rng.choice(RELATIONS[relation][3])) for who, relation in told]
    sentences = [rng.choice(RELATIONS[relation][0]).format(who=who, what=what) for who, relation, what in facts]
    context = " ".join(sentences)
    starts = [sum(len(one) + 1 for one in sentences[:place]) for place in range(len(sentences))]
    questions = []
    for fact in rng.sample(range(len(facts)), min(QUESTIONS, len(facts))) if not asked else map(told.index, asked):
        who, relation, what = facts[fact]
        _, ways, back, _ = RELATIONS[relation]
        only = sum(one[1:] == (relation, what) for one in facts) == 1
        question, answer = rng.choice(ways).format(who=who), what
        if only and rng.random() < 0.3:
            question, answer = back.format(what=what), who
        elif rng.random() < 0.125:
            here = [one for one in mine or near if one not in told]
            if here:
                other, relation = rng.choice(here)
                question, answer = rng.choice(RELATIONS[relation][1]).format(who=other), ""
        place = starts[fact] + sentences[fact].index(answer)
        answers = [{"text": answer, "answer_start": place}] if answer else []
        questions.append({"question": question, "answers": answers, "is_impossible": not answers})
    return {"context": context, "qas": questions}


def write(path: Path, worlds: list[dict[str, Any]]) -> None:
    """A file in the form of SQuAD 2.0."""
    number = 0
    for one in worlds:
        for question in one["qas"]:
            question["id"] = f"{path.stem}-{(number := number + 1)}"
    tree = {"version": "v2.0", "data": [{"title": "little worlds", "paragraphs": worlds}]}
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
