"""Small files for the pages in docs/ to work on, made anew each time: texts, labels, questions, pictures."""

from __future__ import annotations

import json
import random
from pathlib import Path

WHO = ["the old sailor", "a young queen", "the miller", "his brother", "her aunt", "the doctor", "a tired soldier"]
DOES = ["looks for", "finds", "loses", "carries", "sells", "remembers", "forgets", "hides"]
WHAT = ["a silver key", "the letter", "three red apples", "an empty box", "the map", "a small lamp", "the black horse"]
WHERE = ["in the harbour", "behind the mill", "at night", "before the storm", "on the bridge", "without a word"]
GOOD = ["charming", "funny", "moving", "clever", "beautiful", "warm"]
BAD = ["dull", "clumsy", "empty", "noisy", "endless", "cold"]
NAMES = {"PER": ["Ada", "Boris", "Chloe Tan", "Dario Rossi", "Emil"], "LOC": ["Lima", "Oslo", "New Delhi", "Paris"]}
COLOURS = {"red": (220, 40, 40), "green": (40, 170, 60), "blue": (50, 80, 220)}
SHAPES = ("square", "circle", "triangle")


def _sentence(drawn: random.Random) -> str:
    parts = [drawn.choice(words) for words in (WHO, DOES, WHAT, WHERE)]
    return f"{' '.join(parts)}.".capitalize()


def story(folder: Path) -> None:
    """story.txt: 400 lines of plain text."""
    drawn = random.Random(1)
    (folder / "story.txt").write_text("".join(f"{_sentence(drawn)}\n" for _ in range(400)), "utf-8")


def reviews(folder: Path) -> None:
    """reviews.tsv and new.tsv with a header: a sentence and whether it is good or bad."""
    drawn = random.Random(2)
    for name, count in (("reviews.tsv", 300), ("new.tsv", 40)):
        lines = ["text\tlabel\n"]
        for _ in range(count):
            label, words = drawn.choice([("good", GOOD), ("bad", BAD)])
            thing = drawn.choice(["film", "story", "play", "song"])
            lines.append(f"{drawn.choice(['A', 'This', 'What a'])} {drawn.choice(words)} {thing}\t{label}\n")
        (folder / name).write_text("".join(lines), "utf-8")


def entities(folder: Path) -> None:
    """names.conll and new.conll: a word and its label a line, an empty line between sentences."""
    drawn = random.Random(3)
    for name, count in (("names.conll", 200), ("new.conll", 30)):
        lines: list[str] = []
        for _ in range(count):
            for word in drawn.choice(["PER lives in LOC .", "In LOC , PER sold the house .", "PER met PER ."]).split():
                if word in NAMES:
                    parts = drawn.choice(NAMES[word]).split()
                    lines += [f"{part} {'I' if at else 'B'}-{word}" for at, part in enumerate(parts)]
                else:
                    lines.append(f"{word} O")
            lines.append("")
        (folder / name).write_text("\n".join(lines), "utf-8")


def questions(folder: Path) -> None:
    """questions.json and new.json in SQuAD's format."""
    drawn = random.Random(4)
    for name, count in (("questions.json", 150), ("new.json", 20)):
        paragraphs = []
        for number in range(count):
            people = drawn.sample(["Ada", "Boris", "Chloe", "Dario", "Emil"], 3)
            things = drawn.sample(["a lamp", "a map", "an apple", "a ball", "a key"], 3)
            facts = [f"{who} has {what}." for who, what in zip(people, things, strict=True)]
            context, asked = " ".join(facts), drawn.randrange(3)
            answer = {
                "text": things[asked],
                "answer_start": context.index(f"{people[asked]} has") + len(people[asked]) + 5,
            }
            question = {"id": f"q{number}", "question": f"What does {people[asked]} have?", "answers": [answer]}
            paragraphs.append({"context": context, "qas": [question]})
        tree = {"version": "1.1", "data": [{"title": "things", "paragraphs": paragraphs}]}
        (folder / name).write_text(json.dumps(tree), "utf-8")


def pairs(folder: Path) -> None:
    """pairs.tsv: two ways to say the same; things.txt: the second ones, a line each."""
    drawn = random.Random(5)
    lines = []
    for who in WHO:
        for what in WHAT:
            lines.append(f"{who} has {what}\t{what} belongs to {who}\n")
    drawn.shuffle(lines)
    (folder / "pairs.tsv").write_text("".join(lines), "utf-8")
    (folder / "things.txt").write_text("".join(line.split("\t")[1] for line in lines[:20]), "utf-8")


def pictures(folder: Path) -> None:
    """A folder of drawn pictures; captions.jsonl, and questions.jsonl with their answers."""
    from PIL import Image, ImageDraw

    drawn = random.Random(6)
    (folder / "pictures").mkdir(exist_ok=True)
    captions, asked = [], []
    for number in range(60):
        colour, shape = drawn.choice(list(COLOURS)), drawn.choice(SHAPES)
        left, top = drawn.randrange(0, 18), drawn.randrange(0, 18)
        image = Image.new("RGB", (32, 32))
        box, draw = (left, top, left + 12, top + 12), ImageDraw.Draw(image)
        if shape == "square":
            draw.rectangle(box, COLOURS[colour])
        elif shape == "circle":
            draw.ellipse(box, COLOURS[colour])
        else:
            draw.polygon([(left, top + 12), (left + 12, top + 12), (left + 6, top)], COLOURS[colour])
        name = f"pictures/{number:02}.png"
        image.save(folder / name)
        captions.append({"picture": name, "caption": f"a {colour} {shape}"})
        other = drawn.choice(list(COLOURS))
        asked.append(
            {"picture": name, "question": f"is there a {other} {shape}?", "answer": "yes" if other == colour else "no"}
        )
    for file, records in (("captions.jsonl", captions), ("questions.jsonl", asked)):
        (folder / file).write_text("".join(json.dumps(record) + "\n" for record in records), "utf-8")
