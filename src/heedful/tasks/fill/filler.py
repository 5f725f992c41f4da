"""A pretrained encoder at work: what may stand where a text has [MASK], and how well it says hidden words."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from msgspec import Struct, ValidationError, convert
from torch import Tensor

from ...config import Masking as MaskingKeys
from ...data.masking import Masking, word_marks
from ...data.passages import Encoded, Passages
from ...errors import UserError
from ...model.embeddings import TokenInput
from ...model.layout import Layout
from ...model.model import Model
from ...model.plan import Tokens
from ...text.tokenizer import Tokenizer
from ..finding import find, load_for
from .task import AT_A_TIME, FIXED, Masked, Sums

WORD = "[MASK]"  # what a prompt says for a hidden word
MOST_ALONE = 2000  # tokens that are hidden one by one for the pseudo-perplexity: each costs a row


class Settings(Struct, frozen=True):
    """What config.json says of how the model was trained; other keys are not for us."""

    longest: int
    masking: MaskingKeys
    documents: str = "line"
    fields: tuple[str, ...] = ()


@dataclass(frozen=True)
class Guess:
    """What may stand at a mask, how likely it is, and the entry of the vocabulary that says it."""

    text: str
    probability: float
    token: int = -1


@dataclass(frozen=True)
class Filled:
    """A text with the likeliest guess at each mask, and the guesses for each, best first."""

    text: str
    masks: tuple[tuple[Guess, ...], ...]


class Prompt(NamedTuple):
    """A text as ids, and the places of its masks."""

    parts: list[str]  # the text between the masks
    ids: list[int]
    places: list[int]
    begins: list[bool]  # whether what a mask hides begins a word


class Row(NamedTuple):
    """What the model reads at once, start and end included, and the places of the masks in it."""

    ids: list[int]
    places: list[int]


class Filler:
    """Fills in words that are hidden in a text.

    A mask stands for one entry of the vocabulary: after a space (or at the beginning) one that begins a word, else one
    that goes on. With several masks each is guessed for itself.
    """

    def __init__(self, model: Model, tokenizer: Tokenizer, settings: Settings) -> None:
        self.model, self.tokenizer, self.settings = model.eval(), tokenizer, settings
        assert tokenizer.mask is not None
        self.mask, self.room = tokenizer.mask, settings.longest - 2
        marks, vocab = word_marks(tokenizer), range(tokenizer.vocab_size)
        self._texts = [tokenizer.decode([token]) if tokenizer.is_text(token) else "" for token in vocab]
        shown = np.array([bool(text.strip()) and "\ufffd" not in text for text in self._texts])
        # Characters come after a space that is a token of its own.
        self._words = tokenizer.kind != "characters"
        self._fits = {True: marks & shown if self._words else shown, False: ~marks & shown if self._words else shown}

    def fill(self, text: str, best: int = 5, word: str = WORD) -> Filled:
        """The `best` guesses for each [MASK] of a text (or another `word` that says what is hidden; or as the tokenizer
        writes its mask)."""
        if self.hidden(text, word) not in text:
            raise UserError(f"there is no {word} in the text; write it where a word is to be filled in")
        return self.fill_many([text], best, word)[0]

    def fill_many(self, texts: Sequence[str], best: int = 5, word: str = WORD) -> list[Filled]:
        """`fill` for many texts; one without a mask stays as it is."""
        prompts = [self.read(text, self.hidden(text, word)) for text in texts]
        answers = iter(self._answers([row for prompt in prompts for row in self.rows(prompt)]))
        found = []
        for prompt in prompts:
            ways = [chances for _ in self.rows(prompt) for chances in next(answers)]
            guesses = [self._best(*one, best) for one in zip(ways, prompt.begins, strict=True)]
            said = [few[0].text for few in guesses]
            text = "".join(part + one for part, one in zip(prompt.parts, [*said, ""], strict=True))
            found.append(Filled(text, tuple(guesses)))
        return found

    def measure(self, texts: Sequence[str]) -> tuple[Sums, float, int]:
        """The losses of `texts` with fixed words hidden; the loss of up to 2,000 tokens, spread evenly over them, each
        hidden alone (Salazar et al. 2020, 2.1), and how many there are."""
        masks, encoded = self.settings.masking, Encoded(self.tokenizer, texts)
        if not len(encoded.tokens("text")):
            raise UserError("there is no text to evaluate on")
        parting = masks.next_sentence and "next_sentence" in self.model.heads
        passages = Passages(encoded, self.tokenizer, self.settings.longest, FIXED, parting)
        hiding = Masking(self.tokenizer, masks.share, masks.whole_words, FIXED)
        with torch.no_grad():
            sums = Masked(passages, hiding, torch.device("cpu")).look(self.model)
        rows, wanted = self._alone(Passages(encoded, self.tokenizer, self.settings.longest, FIXED))
        nll = -sum(float(chances[0, token].log()) for chances, token in zip(self._answers(rows), wanted, strict=True))
        return sums, nll, len(wanted)

    def _alone(self, passages: Passages) -> tuple[list[Row], list[int]]:
        """Rows with one token hidden, and those tokens."""
        lengths = passages.lengths("text") - 1  # of text: it counts an end token less
        ends = np.cumsum(lengths)
        places = np.unique(np.linspace(0, ends[-1] - 1, min(int(ends[-1]), MOST_ALONE), dtype=np.int64))
        rows, wanted = [], []
        for place, number in zip(places, np.searchsorted(ends, places, side="right"), strict=True):
            ids = passages.rows(np.array([number])).ids.tolist()
            at = int(place - (ends[number] - lengths[number])) + 1
            wanted.append(ids[at])
            ids[at] = self.mask
            rows.append(Row(ids, [at]))
        return rows, wanted

    def hidden(self, text: str, word: str = WORD) -> str:
        """What of the text stands for a hidden word: `word`, or the mask as the tokenizer writes it."""
        own = self.tokenizer.pieces([self.mask])[0]  # "<mask>", where it is RoBERTa's
        return own if word == WORD and word not in text and own in text else word

    def read(self, text: str, word: str) -> Prompt:
        """Here alone the word becomes the mask's id."""
        if not word:
            raise UserError("the word that says what is hidden is empty")
        parts = text.split(word)
        ids: list[int] = []
        places, begins = [], []
        for number, part in enumerate(parts):
            masked = number < len(parts) - 1
            # The space before a word is a part of it, so of what the mask hides.
            spaced = masked and self._words and (part.endswith(" ") or (number == 0 and not part))
            own = part[:-1] if spaced and part else part
            if own:
                ids += self.tokenizer.encode_inside(own) if number else self.tokenizer.encode(own)
            if masked:
                places.append(len(ids))
                begins.append(spaced)
                ids.append(self.mask)
        return Prompt(parts, ids, places, begins)

    def rows(self, prompt: Prompt) -> list[Row]:
        """A row with all masks, or around each as much of a longer text as the model reads."""
        if not prompt.places:
            return []
        start, end = self.tokenizer.start, self.tokenizer.end
        if len(prompt.ids) <= self.room:
            return [Row([start, *prompt.ids, end], [place + 1 for place in prompt.places])]
        rows = []
        for place in prompt.places:
            first = min(max(0, place - self.room // 2), len(prompt.ids) - self.room)
            ids = [start, *prompt.ids[first : first + self.room], end]
            rows.append(Row(ids, [place - first + 1]))
        return rows

    def _answers(self, rows: Sequence[Row]) -> Iterator[Tensor]:
        """The probabilities [places, vocab] of each row."""
        for some in _chunks(rows):
            layout = Layout.packed(np.array([len(row.ids) for row in some], np.int64))
            ids = torch.tensor([token for row in some for token in row.ids])
            places = [start + place for row, start in zip(some, layout.starts, strict=True) for place in row.places]
            with torch.no_grad():
                states, layouts = self.model.encode({"text": TokenInput(ids, layout)})
                logits = self.model.logits("masked_token", states, layouts, torch.tensor(places))
            yield from logits.float().softmax(-1).split([len(row.places) for row in some])

    def _best(self, chances: Tensor, begins: bool, best: int) -> tuple[Guess, ...]:
        chances = chances.masked_fill(~torch.from_numpy(self._fits[begins]), -1.0)
        found = chances.topk(min(best, int(self._fits[begins].sum())))
        return tuple(
            Guess(self._texts[token].strip(" "), chance, token)
            for chance, token in zip(found.values.tolist(), found.indices.tolist(), strict=True)
        )


def _chunks(rows: Sequence[Row]) -> Iterator[list[Row]]:
    """Rows in their order, a batch's tokens at a time."""
    gathered: list[Row] = []
    for row in rows:
        if gathered and sum(len(one.ids) for one in gathered) + len(row.ids) > AT_A_TIME:
            yield gathered
            gathered = []
        gathered.append(row)
    if gathered:
        yield gathered


def load(path: str | Path) -> Filler:
    """The masked language model in a folder of a run or a model; UserError if config.json is not ours."""
    model, extra, tokenizer = load_for(path, "fill")
    try:
        settings = convert(extra, Settings)
    except ValidationError as error:
        raise UserError(f"{find(path)}: config.json: {error}; copy the model again") from None
    embedding = model.plan.streams[0].embedding
    most = embedding.capacity if isinstance(embedding, Tokens) and embedding.positions == "learned" else 10**6
    if not 3 <= settings.longest <= most or tokenizer.mask is None or "masked_token" not in model.heads:
        raise UserError(f"{find(path)}: config.json: not a masked language model, or edited; copy the model again")
    return Filler(model, tokenizer, settings)


def as_plain(filled: Filled) -> dict[str, Any]:
    """For JSON."""
    masks: Iterable[tuple[Guess, ...]] = filled.masks
    return {
        "text": filled.text,
        "masks": [[{"text": one.text, "probability": round(one.probability, 6)} for one in few] for few in masks],
    }
