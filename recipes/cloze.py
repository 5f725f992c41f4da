"""Questions made from plain text, to learn to read with before there are real ones (Lewis et al. 2019, "Unsupervised
Question Answering by Cloze Translation", 2.2, its simplest form).

    python recipes/cloze.py OUT --squad squad/train.json --text lm/wikitext2.train.txt

A name or a number is taken out of a sentence and asked for: what is around it, less some words, with "who", "when",
"how many" or "what" in its place or in front. What the sentence says twice is still in the question. The text it is
asked about holds the whole sentence. OUT/train.json and, of every fiftieth text, OUT/dev.json are in SQuAD's format. Of
a SQuAD file only the texts are read, not the questions.
"""

from __future__ import annotations

import argparse
import json
import random
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

SENTENCE = re.compile(r"[^.!?]+(?:[.!?](?!\s+[A-Z\"]|$)[^.!?]*)*[.!?]?")
NUMBER = re.compile(r"(?<![\w.,])\d[\d.,]*\b")
NAME = re.compile(r"(?<=[a-z,] )[A-Z]\w+(?: (?:of |the )?[A-Z]\w+)*")  # not the first word of a sentence
YEAR = re.compile(r"1\d\d\d|20\d\d")
WORDS = (40, 200)  # of a text
AROUND = 10  # words of the sentence that are kept on each side of what is asked for
LEFT_OUT = 0.25  # of them
EACH = 6  # questions about a text, if it has as many names and numbers


def texts_of(squad: list[Path], plain: list[Path]) -> Iterator[str]:
    """Paragraphs; those of WikiText without the marks of its tokenizer."""
    for file in squad:
        for article in json.loads(file.read_text("utf-8"))["data"]:
            yield from (paragraph["context"] for paragraph in article["paragraphs"])
    for file in plain:
        for line in file.read_text("utf-8").split("\n"):
            if not line.strip().startswith("="):
                yield plainly(line)


def plainly(line: str) -> str:
    """A line of WikiText as people write it."""
    line = re.sub(r" @([-,.])@ ", r"\1", line.strip()).replace("<unk>", "").replace(" 's", "'s")
    return re.sub(r" +", " ", re.sub(r" ([,.;:!?)])", r"\1", line.replace("( ", "(")))


def questions_about(text: str, drawn: random.Random) -> list[tuple[str, str, int]]:
    """(question, answer, where it begins) for some names and numbers of a text."""
    found = []
    for sentence in SENTENCE.finditer(text):
        for wanted in (*NUMBER.finditer(sentence[0]), *NAME.finditer(sentence[0])):
            answer = wanted[0].rstrip(".,")
            before, after = sentence[0][: wanted.start()].split(), sentence[0][wanted.start() + len(answer) :].split()
            if len(before) + len(after) < 6 or not answer:
                continue
            kept = lambda words: [word for word in words if drawn.random() >= LEFT_OUT]
            front, back, word = kept(before[-AROUND:]), kept(after[:AROUND]), asked(answer, drawn)
            around = [word, *front, *back] if drawn.random() < 0.5 else [*front, word, *back]
            question = " ".join(around).strip(" .,;:") + "?"
            found.append((question, answer, sentence.start() + wanted.start()))
    return drawn.sample(found, min(EACH, len(found)))


def asked(answer: str, drawn: random.Random) -> str:
    """What stands in the place of an answer."""
    if YEAR.fullmatch(answer):
        return drawn.choice(("when", "in what year"))
    return drawn.choice(("how many", "what number")) if answer[0].isdigit() else drawn.choice(("who", "what", "where"))


def article(number: int, text: str, seed: int) -> dict[str, Any]:
    """A text with its questions, as SQuAD has it."""
    made = questions_about(text, random.Random(f"{seed} {number}"))
    asked_of = [
        {"id": f"{number}-{place}", "question": question, "answers": [{"text": answer, "answer_start": start}]}
        for place, (question, answer, start) in enumerate(made)
    ]
    return {"title": str(number), "paragraphs": [{"context": text, "qas": asked_of}]}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("out", type=Path)
    parser.add_argument("--squad", type=Path, nargs="*", default=[])
    parser.add_argument("--text", type=Path, nargs="*", default=[])
    parser.add_argument("--seed", type=int, default=1)
    given = parser.parse_args()
    texts = [text for text in texts_of(given.squad, given.text) if WORDS[0] <= len(text.split()) <= WORDS[1]]
    parts: dict[str, list[dict[str, Any]]] = {"train": [], "dev": []}
    for number, text in enumerate(texts):
        one = article(number, text, given.seed)
        if one["paragraphs"][0]["qas"]:
            parts["train" if number % 50 else "dev"].append(one)
    given.out.mkdir(parents=True, exist_ok=True)
    for name, articles in parts.items():
        (given.out / f"{name}.json").write_text(json.dumps({"version": "1.1", "data": articles}), "utf-8")
        count = sum(len(one["paragraphs"][0]["qas"]) for one in articles)
        print(f"{given.out / name}.json: {count:,} questions about {len(articles):,} texts")


if __name__ == "__main__":
    main()
