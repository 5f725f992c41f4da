"""A finished model that answers questions about pictures."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import torch

from ...config import Pictures
from ...data.gallery import Sight, look_at, sight_from
from ...data.pictures import Reference
from ...errors import UserError
from ...model.model import Model
from ...text.tokenizer import Tokenizer
from ..beginning import task_token
from ..finding import load_for
from .batching import HEAD, inputs_of
from .examples import Answers, Example, pictures_of
from .prepared import table_of

AT_A_TIME = 128  # questions
Picture = str | Path


class Answered(NamedTuple):
    """The likeliest answer, its probability, and those of the best answers, likeliest first."""

    answer: str
    probability: float
    best: dict[str, float]


class Asker:
    """Answers questions about pictures; what `heedful.load` gives for a model of the task ask.

    `fields` are the columns or keys of files of questions, as in training; `task` is the number of its task, where the
    model reads one (see `beginning.task_token`).
    """

    def __init__(
        self,
        model: Model,
        tokenizer: Tokenizer,
        answers: Answers,
        sight: Sight,
        longest: int,
        fields: Sequence[str] = (),
        task: int | None = None,
    ) -> None:
        self.model, self.tokenizer, self.answers, self.sight, self.longest = model, tokenizer, answers, sight, longest
        self.fields, self.task = tuple(fields), task

    def ask(self, picture: Picture | tuple[Picture, Picture], question: str, best: int = 5) -> Answered:
        """The answer to a question about a picture, or about two; with the `best` answers' probabilities."""
        return self.ask_many([(picture, question)], best)[0]

    def ask_many(
        self,
        asked: Sequence[tuple[Picture | tuple[Picture, Picture], str]],
        best: int = 5,
        features: Path | None = None,
        root: Path | None = None,
    ) -> list[Answered]:
        """An answer to each (picture, question). `features` is the file of them that a model of regions reads."""
        examples = []
        for picture, question in asked:
            pictures = picture if isinstance(picture, tuple) else (picture,)
            examples.append(Example(tuple(Reference(str(one), "picture") for one in pictures), question, (), ""))
        return [self.answered(row, best) for row in self.chances(examples, features, root)]

    def answered(self, chances: npt.NDArray[np.float32], best: int = 5) -> Answered:
        """Probabilities [answers] in words."""
        order = np.argsort(-chances, kind="stable")[:best]
        named = {self.answers.words[number]: float(chances[number]) for number in order}
        return Answered(self.answers.words[order[0]], float(chances[order[0]]), named)

    def chances(
        self, examples: Sequence[Example], features: Path | None = None, root: Path | None = None
    ) -> npt.NDArray[np.float32]:
        """The probability of every answer [examples, answers]; with several annotators each is a yes or no alone."""
        if not examples:
            return np.zeros((0, len(self.answers)), np.float32)
        for one in examples:
            if not one.question.strip():
                raise UserError(f"{one.where or 'question'}: the question is empty")
        # In a file of features nothing is looked for but the names that records give.
        seen = Pictures() if features is None else Pictures(features=str(features))
        pictures, numbers = pictures_of(examples, seen, root)
        gallery = look_at(self.sight, pictures, features)
        table = table_of(examples, numbers, self.tokenizer, self.answers, self.longest, self.task)
        device, found = next(self.model.parameters()).device, []
        with torch.no_grad():
            for first in range(0, len(examples), AT_A_TIME):
                some = np.arange(first, min(first + AT_A_TIME, len(examples)))
                states, layouts = self.model.encode(inputs_of(table, gallery, some, device))
                logits = self.model.logits(HEAD, states, layouts).float()
                found.append((logits.sigmoid() if self.answers.several else logits.softmax(-1)).cpu().numpy())
        return np.concatenate(found)


def load(path: str | Path) -> Asker:
    """The model in the folder of a run or a model; UserError if it is missing, damaged, or of another task."""
    model, extra, tokenizer = load_for(path, "ask")
    answers, longest, fields = extra.get("answers"), extra.get("longest"), extra.get("fields", [])
    lists = all(isinstance(some, list) and all(isinstance(one, str) for one in some) for some in (answers, fields))
    fits = lists and isinstance(longest, int)
    head = next((head for head in model.plan.heads if head.name == HEAD), None)
    if not fits or head is None or len(answers) != head.outputs:
        raise UserError(f"{path}: its config.json does not name the model's answers; copy the model again")
    several = head.objective == "several"
    sight = sight_from(extra.get("pictures"), path)
    return Asker(model, tokenizer, Answers(answers, several), sight, longest, fields, task_token(model.plan, extra))
