"""What a finished run leaves for its readers: scores on the questions held out, the page, the card."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import msgspec

from ...data.questions import Question, read_questions
from ...errors import UserError
from ...train.run import Run
from ..closing import Told, finished, kept_scores, leave, write_page
from ..evaluated import Evaluated
from . import telling
from .answerer import Answerer, load
from .judging import Judged, judge
from .task import read_account, read_dev


class Scored(msgspec.Struct, kw_only=True):
    """RUN/scores.json: figures on the questions held out, and on the test's."""

    dev: dict[str, Any]
    test: dict[str, Any] | None = None


def evaluate(answerer: Answerer, files: Sequence[Path]) -> Evaluated:
    """Exact match and F1 on files of questions with their answers, and where the errors are."""
    questions = [question for file in files for question in read_questions(file)]
    if not questions:
        raise UserError(f"{', '.join(map(str, files))}: no questions")
    judged = answered(answerer, questions)
    told = telling.figures(judged, answerer.threshold)
    contexts = len({one.context for one in questions})
    scored = f"{len(questions):,} questions in {contexts:,} contexts of {', '.join(file.name for file in files)}."
    return Evaluated("Answers", scored, telling.rows(told), told, telling.sections(judged))


def answered(answerer: Answerer, questions: Sequence[Question]) -> list[Judged]:
    """The answers to questions, judged."""
    return judge(questions, answerer.answers([(one.question, one.context) for one in questions]))


def farewell(run: Path) -> str:
    """A line that says what to do with the finished run."""
    return f'ask with: heedful answer -m {run} --context FILE "Who ...?"'


def close(run: Run) -> list[str]:
    """Score the finished model, write the page and, last, the card."""
    answerer = load(run.model)
    dev = answered(answerer, read_dev(run.data))
    files = [Path(file) for file in run.recipe.data.test]
    test = [question for file in files for question in read_questions(file)]
    scored = Scored(
        dev=telling.figures(dev, answerer.threshold),
        test=telling.figures(answered(answerer, test), answerer.threshold) if test else None,
    )
    page = leave(run, scored, lambda: _told(run, scored, dev), answerer.model)
    said = [
        f"{name}: exact match {one['exact']:.1f}, F1 {one['f1']:.1f}"
        for name, one in (("validation", scored.dev), ("test", scored.test)) if one
    ]  # fmt: skip
    return [*said, page]


def write_report(run: Run) -> Path:
    """RUN/report.html, at any time of the run: with scores and errors once it is finished."""
    if not finished(run):
        return write_page(run, _told(run, None, []))
    answerer = load(run.model)
    return write_page(run, _told(run, kept_scores(run.folder, Scored), answered(answerer, read_dev(run.data))))


def _told(run: Run, scored: Scored | None, judged: Sequence[Judged]) -> Told:
    account, data = read_account(run.data), run.recipe.data
    scores = [] if scored is None else telling.rows(scored.dev)
    if scored is not None and scored.test is not None:
        scores += [(f"{metric} (test)", score, note) for metric, score, note in telling.rows(scored.test)]
    return Told(
        lead="It finds answers in texts." if finished(run) else "A model in training, to find answers in texts.",
        what="An encoder of {parameters} parameters that answers questions about a text with a passage of it.",
        use='heedful answer -m MODEL --context FILE "Who ...?"',
        limits=[
            "It answers in the words of the text or not at all; it does not reason, count or combine.",
            f"Answers have at most {data.longest_answer} tokens; contexts of more than {data.longest} tokens are read "
            f"in windows, and nothing is seen that does not stand in one of them.",
            "It knows the kind of text and question it was trained on; elsewhere it may be sure and wrong.",
        ],
        facts=[(metric, score, note) for metric, score, note in scores[:2]],
        data=account.rows if account else (),
        sources=[f"{name}: {', '.join(Path(file).name for file in files)}"
                 for name, files in (("training", data.train), ("validation", data.dev), ("test", data.test)) if files],
        dropped=account.dropped if account else (),
        scores=scores,
        scored=f"On {scored.dev['total']:,} questions held out of training." if scored else "",
        sections=telling.sections(judged) if judged else (),
    )  # fmt: skip
