"""How well a language model foretells texts: perplexity, bits for each byte, by a window that slides over them."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from ...data.texts import read_documents
from ...errors import UserError
from ...model.embeddings import TokenInput
from ...model.heads import Labels
from ...model.layout import Layout
from ..evaluated import Evaluated
from .writer import Writer

HEAD, STREAM = "next_token", "text"
BATCH_TOKENS = 8192


@dataclass(frozen=True)
class Foretold:
    """The negative log-likelihood (nats) of some texts, and what they consist of.

    `predictions` are all tokens and an end for each text; `words` are what white space separates; `lines` those ended
    by a line end, and what follows the last. `correct` counts the tokens that were the likeliest.
    """

    nll: float
    correct: int
    predictions: int
    texts: int
    words: int
    lines: int
    characters: int
    bytes: int
    context: int
    stride: int

    @property
    def perplexity(self) -> float:
        """Of a token of this tokenizer's."""
        return math.exp(self.nll / self.predictions)

    @property
    def word_perplexity(self) -> float:
        """Of a word or the end of a line: as for corpora of words, whatever the tokenizer."""
        return math.exp(self.nll / (self.words + self.lines))

    @property
    def bits_per_byte(self) -> float:
        return self.nll / self.bytes / math.log(2)

    @property
    def bits_per_character(self) -> float:
        return self.nll / self.characters / math.log(2)


def foretell(writer: Writer, texts: Sequence[str], stride: int | None = None) -> Foretold:
    """Score texts to the end, each alone.

    The window moves on by `stride` tokens (None: half of it), and what is new in it is scored: every token is foretold
    from at least `context - stride` before it, or all there are. A stride as long as the window cuts the text in
    pieces; one of 1 is the fairest, and that many times slower.
    """
    context = writer.context
    stride = max(1, context // 2) if stride is None else stride
    if not 1 <= stride <= context:
        raise UserError(f"stride = {stride}; it must be from 1 to the model's context, {context} tokens")
    if not any(texts):
        raise UserError("there is no text to score")
    own = writer.tokenizer
    rows = [np.array([own.start, *ids, own.end], np.int64) for ids in own.encode_many(texts)]
    nll, correct, count = 0.0, 0, 0
    training = writer.model.training
    with torch.inference_mode():
        writer.model.eval()
        for read, said, new in _batches(rows, context, stride):
            sums = _sums(writer, read, said, new)
            nll, correct, count = nll + sums[0], correct + sums[1], count + sums[2]
        writer.model.train(training)
    whole = [text.count("\n") + (not text.endswith("\n")) for text in texts]
    return Foretold(
        nll, correct, count, len(texts), sum(len(text.split()) for text in texts), sum(whole), sum(map(len, texts)),
        sum(len(text.encode()) for text in texts), context, stride,
    )  # fmt: skip


Window = tuple[np.ndarray, np.ndarray, int]  # ids read [n], ids to be said [n], how many of the last are scored


def _windows(ids: np.ndarray, context: int, stride: int) -> Iterator[Window]:
    """Of a text between its start and its end."""
    read, said = ids[:-1], ids[1:]
    done = 0
    while done < len(said):
        end = min(len(said), done + (stride if done else context))
        first = max(0, end - context)
        yield read[first:end], said[first:end], end - done
        done = end


def _batches(rows: Sequence[np.ndarray], context: int, stride: int) -> Iterator[tuple[list[np.ndarray], ...]]:
    """Windows of about BATCH_TOKENS together; all that they hold, apart."""
    batch: list[Window] = []
    tokens = 0
    for window in (window for ids in rows for window in _windows(ids, context, stride)):
        if batch and tokens + len(window[0]) > BATCH_TOKENS:
            yield _apart(batch)
            batch, tokens = [], 0
        batch.append(window)
        tokens += len(window[0])
    if batch:
        yield _apart(batch)


def _apart(batch: Sequence[Window]) -> tuple[list[np.ndarray], ...]:
    read, said, new = zip(*batch, strict=True)
    return list(read), list(said), [np.array(number) for number in new]


def _sums(
    writer: Writer, read: list[np.ndarray], said: list[np.ndarray], new: list[np.ndarray]
) -> tuple[float, int, int]:
    device = next(writer.model.parameters()).device
    lengths = np.array([len(row) for row in read], np.int64)
    scored = np.concatenate([np.arange(length) >= length - number for length, number in zip(lengths, new, strict=True)])
    move = lambda numbers: torch.from_numpy(numbers).to(device)
    given = TokenInput(move(np.concatenate(read)), Layout.packed(lengths, device))
    rows = np.flatnonzero(scored)
    labels = Labels(move(np.concatenate(said)[rows]), move(rows))
    sums = writer.model({STREAM: given}, {HEAD: labels})[HEAD]
    return float(sums.nll), int(sums.correct), sums.count


def evaluate(writer: Writer, files: Sequence[Path], stride: int | None = None) -> Evaluated:
    """Perplexity and bits of files of text; documents are what they were in training."""
    texts = [text for file in files for text in read_documents(file, writer.documents, prose=True)]
    if not texts:
        raise UserError(f"{', '.join(map(str, files))}: there is no text in it")
    return told(foretell(writer, texts, stride), ", ".join(file.name for file in files))


def told(found: Foretold, of: str) -> Evaluated:
    """The figures for people and programs."""
    rows = rows_of(found)
    figures = {
        "of": of, "nll": found.nll, "predictions": found.predictions, "texts": found.texts, "words": found.words,
        "lines": found.lines, "characters": found.characters, "bytes": found.bytes, "context": found.context,
        "stride": found.stride, "loss": found.nll / found.predictions, "perplexity": found.perplexity,
        "word_perplexity": found.word_perplexity, "bits_per_byte": found.bits_per_byte,
        "bits_per_character": found.bits_per_character, "loss_per_character": found.nll / found.characters,
        "accuracy": found.correct / found.predictions,
    }  # fmt: skip
    return Evaluated("How well a language model foretells texts", scored_on(found, of), rows, figures)


def scored_on(found: Foretold, of: str) -> str:
    """What was scored, and how."""
    before = found.context - found.stride
    return (
        f"On {of}: {found.characters:,} characters in {found.texts:,} documents. A window of {found.context} tokens, "
        f"moved by {found.stride}: each token was foretold from at least {before} before it, or all there are."
    )


def rows_of(found: Foretold) -> list[tuple[str, str, str]]:
    """(metric, score, what it means)."""
    return [
        ("loss", f"{found.nll / found.predictions:.4f}", f"nats a token; {found.predictions:,} tokens, ends included"),
        ("perplexity, token", f"{found.perplexity:.2f}", "depends on the tokenizer: compare with the same one only"),
        (
            "perplexity, word", f"{found.word_perplexity:.2f}",
            f"{found.words:,} words between white space and {found.lines:,} line ends",
        ),
        ("loss, character", f"{found.nll / found.characters:.4f}", f"nats; {found.characters:,} characters"),
        ("bits, character", f"{found.bits_per_character:.4f}", ""),
        ("bits, byte", f"{found.bits_per_byte:.4f}", f"{found.bytes:,} bytes of UTF-8"),
        ("accuracy", f"{100 * found.correct / found.predictions:.1f} %", "tokens that were the likeliest"),
    ]  # fmt: skip
