"""The task as the training loop sees it: rows of question and context, where the answer is, validation."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import torch

from ...config import Recipe
from ...data.batches import Batches
from ...data.questions import Question, hold_out, read_questions
from ...data.shards import key_of
from ...data.table import Table
from ...data.texts import READ_FOR_TOKENIZER, kept_tokenizer, trained_as
from ...data.windows import Context, Ids, Reading, contexts_of, tokens_of, wanted, windows_of
from ...errors import UserError
from ...measure.answers import normalise
from ...model.heads import Labels
from ...model.model import Model
from ...model.plan import Head
from ...text.tokenizer import Tokenizer
from ...train.run import require_memory
from ...train.task import Task
from ..beginning import came, keep_start, located, look, plan_of_start, planned, settled, start_with
from ..closing import write
from ..finding import save_model
from ..learning import Batch, Learning
from .answerer import given
from .judging import Heldout

SIZE = 8000  # of the vocabulary; a small corpus gives fewer
SHOWN = 10  # answers that were dropped, for each reason
HEAD = Head(name="span", streams=("text",), outputs=2, bias=True, objective="span")


class Account(msgspec.Struct, kw_only=True):
    """RUN/data/account.json: what was read. `key` is of what it was made from; `dropped` is as the page shows it."""

    key: str
    lines: list[str]
    rows: list[tuple[str, str]]
    dropped: list[dict[str, Any]]


# ---- beginning ------------------------------------------------------------------------------------------------------


def complete(recipe: Recipe, root: Path | None = None) -> Recipe:
    """The recipe with files found and sizes chosen; UserError for windows that would leave tokens out."""
    start = recipe.training.start
    Reading.of(recipe.data, between=1 if start is None else look(start).tokenizer.between)
    return settled(located(recipe, root), SIZE)


def prepare(recipe: Recipe, folder: Path) -> list[str]:
    """Tokenizer, the rows of training and the questions held out in `folder`, made or found there; lines about them."""
    lines, tokenizer = keep_start(recipe, folder)
    data = recipe.data
    settings = {
        "tokenizer": str(recipe.tokenizer), "share": data.dev_share, "dev": len(data.dev),
        "reading": Reading.of(data), "given": tokenizer.fingerprint if tokenizer else "",
    }  # fmt: skip
    key = key_of([Path(file) for file in (*data.train, *data.dev)], [], settings)
    account = read_account(folder)
    if account is None or account.key != key or Table.reuse(folder / "train.safetensors", key) is None:
        account = _prepare(recipe, folder, key, tokenizer)
    return lines + account.lines


def read_account(folder: Path) -> Account | None:
    """What was read for a run; None where there is no account yet."""
    try:
        return msgspec.json.decode((folder / "account.json").read_bytes(), type=Account)
    except (OSError, msgspec.DecodeError, UnicodeDecodeError):
        return None


def _prepare(recipe: Recipe, folder: Path, key: str, tokenizer: Tokenizer | None) -> Account:
    reading, dropped = Reading.of(recipe.data), dict[str, list[dict[str, str]]]()

    def drop(why: str, where: str, what: str) -> None:
        dropped.setdefault(why, []).append({"where": where, "source": what, "target": ""})

    train, dev = _questions(recipe, drop)
    folder.mkdir(parents=True, exist_ok=True)
    if tokenizer is None:
        tokenizer = kept_tokenizer(folder, key, lambda: _trained(recipe, train))
    else:
        tokenizer.save(folder / "tokenizer.json")
    contexts = contexts_of(tokenizer, (one.context for one in train))
    table = _table(tokenizer, [one for one in train if not one.wrong], contexts, reading)
    if not len(table):
        raise UserError(f"{', '.join(recipe.data.train)}: no question is left to train on")
    table.save(folder / "train.safetensors", key)
    write(folder / "dev.jsonl", b"".join(msgspec.json.encode(one) + b"\n" for one in dev))
    rows = [row for name, some in (("train", train), ("dev", dev)) for row in _counts(name, some)]
    rows.append(("rows of training", f"{len(table):,}"))
    rows.append(("tokens in them", f"{int(table.lengths('text').sum()):,}"))
    rows.append(("answers that end inside a token", f"{_inexact(train, contexts):,}"))
    lines = [
        f"{name}: {len(some):,} questions in {len({one.context for one in some}):,} contexts, "
        f"{sum(not one.answers for one in some):,} without an answer"
        for name, some in (("train", train), ("dev", dev))
    ]
    lines.append(f"rows: {len(table):,}, of {int(table.lengths('text').sum()):,} tokens")
    lines += [
        f"left out: {why}: {len(told):,}; the first: {told[0]['where']}: {told[0]['source']}"
        for why, told in dropped.items()
    ]
    rules = [{"rule": why, "count": len(told), "examples": told[:SHOWN]} for why, told in dropped.items()]
    account = Account(key=key, lines=lines, rows=rows, dropped=rules)
    write(folder / "account.json", msgspec.json.encode(account))
    return account


def _questions(recipe: Recipe, drop: Any) -> tuple[list[Question], list[Question]]:
    """Those to train on and those held out; UserError where either are none."""
    data = recipe.data
    train = [one for file in data.train for one in read_questions(Path(file), drop)]
    if not any(one.placed for one in train):
        raise UserError(f"{', '.join(data.train)}: no question has an answer at its answer_start")
    if data.dev:
        dev = [one for file in data.dev for one in read_questions(Path(file), drop)]
    else:
        train, dev = hold_out(train, data.dev_share)
    if not dev:
        named = ", ".join(data.dev) or f"{', '.join(data.train)}: all about one context"
        raise UserError(f"{named}: no questions are left for validation; give others with --dev")
    return train, dev


def _trained(recipe: Recipe, questions: Sequence[Question]) -> Tokenizer:
    texts = [*dict.fromkeys(one.context for one in questions), *(one.question for one in questions)]
    lines = texts[:READ_FOR_TOKENIZER]
    return trained_as(recipe.tokenizer, lines)


def _table(
    tokenizer: Tokenizer, questions: Sequence[Question], contexts: dict[str, Context], reading: Reading
) -> Table:
    """A row for each window of each question: its ids, the length of its first segment, and what is wanted of it."""
    asked = tokenizer.encode_many([one.question for one in questions])
    rows = [
        (window.ids, window.head, wanted(one, contexts[one.context], window))
        for one, ids in zip(questions, asked, strict=True)
        for window in windows_of(tokenizer, ids, contexts[one.context], reading)
    ]
    columns = {
        "text": (ids for ids, _, _ in rows),
        "head": ([head] for _, head, _ in rows),
        "wanted": (places for _, _, places in rows),
    }
    return Table.of(("text",), columns)


def _counts(name: str, questions: Sequence[Question]) -> Iterator[tuple[str, str]]:
    """How many questions there are, and in how many contexts."""
    contexts, none = len({one.context for one in questions}), sum(not one.answers for one in questions)
    yield f"{name}: questions", f"{len(questions):,}"
    yield f"{name}: without an answer", f"{none:,}"
    yield f"{name}: contexts", f"{contexts:,}"


def _inexact(questions: Sequence[Question], contexts: dict[str, Context]) -> int:
    """Answers that tokens cannot give exactly: the nearest are worth no exact match."""
    count = 0
    for one in questions:
        context = contexts[one.context]
        for answer in one.placed:
            first, last = tokens_of(answer, context)
            text = context.text[int(context.starts[first]) : int(context.ends[last])]
            count += normalise(text) != normalise(answer.text)
    return count


# ---- the loop -------------------------------------------------------------------------------------------------------


def build(recipe: Recipe, folder: Path, device: torch.device) -> Task:
    """Model and data as the training loop wants them."""
    tokenizer, reading = Tokenizer.load(folder / "tokenizer.json"), Reading.of(recipe.data)
    plan = planned(recipe, tokenizer.vocab_size, plan_of_start(recipe, folder))
    # Nothing reads the pooled vector: without it every parameter is trained.
    streams = tuple(msgspec.structs.replace(stream, pool=None) for stream in plan.streams)
    plan = msgspec.structs.replace(plan, streams=streams).with_heads(HEAD)
    require_memory(plan, averaged=bool(recipe.training.ema))
    model = Model(plan, recipe.seed)
    start_with(model, recipe, folder)
    table = Table.open(folder / "train.safetensors")
    heldout = Heldout(read_dev(folder), tokenizer, reading, model.to(device))

    def save(path: Path, finished: Model) -> None:
        """Whether to answer at all is decided by what was best on the questions held out."""
        extra = {"reading": reading, "threshold": heldout.threshold(), **came(recipe, folder)}
        save_model(path, finished, "answer", tokenizer, extra)

    return Learning(
        model=model,
        epoch=Batches(table, recipe.training.batch_tokens, recipe.seed).epoch,
        batch=lambda examples, epoch: _batch(model, table, examples, device),
        scores=lambda model: heldout.validation(),
        save=save,
    )


def read_dev(folder: Path) -> list[Question]:
    """The questions held out, from a run's data."""
    path = folder / "dev.jsonl"
    try:
        return msgspec.json.Decoder(Question).decode_lines(path.read_bytes())
    except (OSError, msgspec.DecodeError, UnicodeDecodeError) as error:
        raise UserError(f"{path}: {error}; delete the run's data and prepare it again") from None


def _batch(model: Model, table: Table, examples: Ids, device: torch.device) -> Batch:
    """Each row's loss counts once: `tokens` is the number of rows."""
    ids, lengths = table.rows("text", examples)
    heads, _ = table.rows("head", examples)
    places, _ = table.rows("wanted", examples)
    starts = (np.cumsum(lengths) - lengths)[:, None]
    labels = Labels(torch.from_numpy(places.reshape(-1, 2) + starts).to(device))
    return Batch(len(examples), {"text": given(model, ids, lengths, heads, device)}, {"span": labels})
