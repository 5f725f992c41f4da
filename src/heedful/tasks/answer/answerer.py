"""Finding answers: a model's logits over windows to the best spans of a context, and whether there is an answer."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import msgspec
import numpy as np
import numpy.typing as npt
import torch

from ...data.windows import Context, Ids, Reading, Window, contexts_of, most_context, windows_of
from ...errors import UserError
from ...model.embeddings import TokenInput
from ...model.layout import Layout
from ...model.model import Model
from ...text.tokenizer import Tokenizer
from ..finding import find, load_for
from ..learning import segmented

TOKENS = 8192  # of windows that are read together
QUESTIONS = 512  # answered together: their windows are sorted by length
BEST = 20  # candidates that share the probability (Devlin et al.'s n_best_size)

Logits = npt.NDArray[np.float32]


@dataclass(frozen=True)
class Candidate:
    """context[start:end] as an answer. `score` is the sum of its two logits, `probability` its share among the
    candidates and no answer; `window` are the first character and the end of what was read when it was found."""

    text: str
    start: int
    end: int
    score: float
    probability: float
    window: tuple[int, int]


@dataclass(frozen=True)
class Answer:
    """`text` is "" where there is no answer (then start and end are None); it is `best[0]`'s otherwise.

    `null_odds` is how much higher the score of no answer is than that of the best candidate: the answer is given where
    it is not above the threshold. None where there are no candidates: an empty context. `probability` is of what is
    said; `best` are the candidates whatever was said, best first.
    """

    text: str
    start: int | None
    end: int | None
    score: float | None
    probability: float
    null_odds: float | None
    window: tuple[int, int] | None
    best: tuple[Candidate, ...]


class Answerer:
    """A model that answers questions about texts in the texts' own words.

    `threshold` is the highest null odds at which an answer is still given; None: it always gives one.
    """

    def __init__(
        self, model: Model, tokenizer: Tokenizer, reading: Reading, threshold: float | None = None, path: Path = Path()
    ) -> None:
        self.model, self.tokenizer, self.reading = model, tokenizer, reading
        self.threshold, self.path = threshold, path
        self.device = next(model.parameters()).device

    def answer(self, question: str, context: str, best: int = 1) -> Answer:
        """The answer to one question, and the `best` candidates."""
        return self.answers([(question, context)], best)[0]

    def answers(self, pairs: Sequence[tuple[str, str]], best: int = 1) -> list[Answer]:
        """The answers to questions, each with its context, in order."""
        found: list[Answer] = []
        for first in range(0, len(pairs), QUESTIONS):
            some = pairs[first : first + QUESTIONS]
            contexts = contexts_of(self.tokenizer, (context for _, context in some))
            asked = self.tokenizer.encode_many([question for question, _ in some])
            read = [contexts[context] for _, context in some]
            windows = [
                list(windows_of(self.tokenizer, ids, context, self.reading))
                for ids, context in zip(asked, read, strict=True)
            ]
            logits = iter(read_windows(self.model, [window for own in windows for window in own], self.device))
            for context, own in zip(read, windows, strict=True):
                found.append(self.choose(context, own, [next(logits) for _ in own], best))
        return found

    def choose(self, context: Context, windows: Sequence[Window], logits: Sequence[Logits], best: int = 1) -> Answer:
        """The answer that the logits [row, 2] of a question's windows say."""
        null = min((float(one[0].sum()) for one in logits), default=0.0)
        ranked = list(_candidates(context, windows, logits, self.reading.longest_answer, max(best, BEST)))
        if not ranked:
            return Answer("", None, None, None, 1.0, None, None, ())
        scores = np.array([null, *(score for score, *_ in ranked)])
        chances = np.exp(scores - scores.max())
        chances /= chances.sum()
        candidates = tuple(
            Candidate(context.text[start:end], start, end, score, float(chance), window)
            for (score, start, end, window), chance in zip(ranked[:best], chances[1:], strict=False)
        )
        first, odds = candidates[0], null - ranked[0][0]
        if self.threshold is not None and odds > self.threshold:
            return Answer("", None, None, null, float(chances[0]), odds, None, candidates)
        said = (first.text, first.start, first.end, first.score, first.probability)
        return Answer(*said, odds, first.window, candidates)


def load(path: str | Path) -> Answerer:
    """The answerer in a folder of a run or a model."""
    model, extra, tokenizer = load_for(path, "answer")
    try:
        reading = msgspec.convert(extra.get("reading"), Reading)
        threshold = msgspec.convert(extra.get("threshold"), float | None)
    except msgspec.ValidationError as error:
        raise UserError(f"{find(path) / 'config.json'}: {error}; copy the model again") from None
    if min(reading) < 1 or reading.stride >= reading.room(reading.longest_question, tokenizer.between):
        raise UserError(f"{find(path) / 'config.json'}: reading = {list(reading)} makes no windows; copy it again")
    return Answerer(model, tokenizer, reading, threshold, find(path))


def given(model: Model, rows: Ids, lengths: Ids, heads: Ids, device: torch.device) -> TokenInput:
    """Rows end to end as the model reads them; a row's first `heads` tokens are the question's segment."""
    place = np.arange(len(rows)) - np.repeat(np.cumsum(lengths) - lengths, lengths)
    segments = (place >= np.repeat(heads, lengths)).astype(np.int64)
    move = lambda ids: torch.from_numpy(ids).to(device)
    return TokenInput(move(rows), Layout.packed(lengths, device), segmented(model, move(segments)))


def read_windows(model: Model, windows: Sequence[Window], device: torch.device) -> list[Logits]:
    """The logits [row, 2] of a first and of a last token, for each window."""
    lengths = np.array([len(window.ids) for window in windows], np.int64)
    order, found = np.argsort(lengths, kind="stable"), [np.zeros((0, 2), np.float32)] * len(windows)
    first = 0
    with torch.inference_mode():
        while first < len(order):
            end = first + 1
            while end < len(order) and lengths[order[end]] * (end + 1 - first) <= TOKENS:
                end += 1
            some = order[first:end]
            heads = np.array([windows[number].head for number in some], np.int64)
            rows = np.concatenate([windows[number].ids for number in some])
            inputs = {"text": given(model, rows, lengths[some], heads, device)}
            logits = model.logits("span", *model.encode(inputs)).float().cpu().numpy()
            for number, own in zip(some, np.split(logits, np.cumsum(lengths[some])[:-1]), strict=True):
                found[number] = own
            first = end
    return found


Ranked = tuple[float, int, int, tuple[int, int]]  # score, first character, end, and the window's


def _candidates(
    context: Context, windows: Sequence[Window], logits: Sequence[Logits], longest: int, count: int
) -> Iterator[Ranked]:
    """The `count` best spans of at most `longest` tokens over all windows, best first, each text once."""
    spans: list[tuple[float, int, int, int]] = []
    for number, (window, allowed, own) in enumerate(zip(windows, most_context(windows), logits, strict=True)):
        inside = own[window.head : window.head + window.end - window.first].astype(np.float64)
        spans += [
            (score, window.first + first, window.first + last, number)
            for score, first, last in _best_spans(inside, allowed, longest, count)
        ]
    spans.sort(key=lambda one: (-one[0], one[1], one[2]))
    seen: set[str] = set()
    for score, first, last, number in spans:
        start, end = _trimmed(context.text, int(context.starts[first]), int(context.ends[last]))
        text = context.text[start:end]
        if text and text not in seen:
            seen.add(text)
            read = windows[number]
            yield score, start, end, (int(context.starts[read.first]), int(context.ends[read.end - 1]))
            if len(seen) == count:
                return


def _best_spans(
    logits: npt.NDArray[np.float64], allowed: npt.NDArray[np.bool_], longest: int, count: int
) -> list[tuple[float, int, int]]:
    """The best (score, first, last) of a window: of all spans that are not too long, not only of likely ends.

    More than `count` are given, for some may turn out to be the same text.
    """
    tokens = len(logits)
    reach = min(longest, tokens)
    last = np.arange(tokens)[:, None] + np.arange(reach)
    ends = np.append(logits[:, 1], -np.inf)[np.minimum(last, tokens)]
    scores = (logits[:, :1] + ends)[allowed].reshape(-1)
    firsts = np.flatnonzero(allowed)
    most = min(4 * count, len(scores))
    if not most:
        return []
    picked = np.argpartition(-scores, most - 1)[:most]
    picked = picked[np.isfinite(scores[picked])]
    return [(float(scores[one]), int(firsts[one // reach]), int(firsts[one // reach] + one % reach)) for one in picked]


def _trimmed(text: str, start: int, end: int) -> tuple[int, int]:
    """Without white space at either end."""
    while start < end and text[start].isspace():
        start += 1
    while end > start and text[end - 1].isspace():
        end -= 1
    return start, end
