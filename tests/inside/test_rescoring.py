"""The same answer under changes: held to weights that are zero, and to inputs that are shorter."""

from __future__ import annotations

from contextlib import AbstractContextManager

import numpy as np
import pytest
import torch
from laws import cases
from laws.looking import unread

from heedful.inside.rescoring import Without, repeated, rescored
from heedful.inside.scores import token_scores
from heedful.model.model import Model
from heedful.model.pruning import attentions

# Families and kinds of positions; not where attentions are tied, which cannot lose a head alone.
NAMES = [name for name in cases.PLANS if name.endswith(("-pre", "pruned", "patches"))]


def without_head(model: Model, address: str, head: int) -> AbstractContextManager[None]:
    """Inside, nothing that leaves a head is read."""
    width = dict(attentions(model.plan))[address].head_width
    return unread(model, address, slice(head * width, (head + 1) * width))


def plainly(model: Model, inputs: dict, head: str, tokens: list[int], ids: list[int]) -> np.ndarray:
    """Log-probabilities of a single row, by hand."""
    with torch.no_grad():
        logits = model.logits(head, *model.encode(inputs)).double().numpy()[tokens]
    return logits[np.arange(len(ids)), ids] - np.log(np.exp(logits).sum(-1))


@pytest.mark.parametrize("name", NAMES)
def test_a_head_is_off_where_its_output_is_not_read(name: str) -> None:
    made, model = cases.PLANS[name], cases.fresh_model(name)
    inputs, head = cases.packed(cases.draw(made, [5])), next(head for head in made.heads if head.reads == "tokens")
    tokens, ids = [4, 0, 2], [1, 0, 2]
    every = [(address, head) for address, attend in attentions(made) for head in (0, attend.heads - 1)]
    changes = [Without(), *(Without(heads={address: [head]}) for address, head in every)]
    score = token_scores(model, head.name, tokens, ids)
    for room in (1, 2048):
        found = rescored(model, inputs, score, changes, room=room)
        assert found.dtype == np.float32
        np.testing.assert_allclose(found[0], plainly(model, inputs, head.name, tokens, ids), atol=1e-5)
        for (address, off), scores in zip(every, found[1:], strict=True):
            with without_head(model, address, off):
                expected = plainly(model, inputs, head.name, tokens, ids)
            np.testing.assert_allclose(scores, expected, atol=1e-5)


@pytest.mark.parametrize("name", NAMES)
def test_a_last_word_is_hidden_where_it_is_not_given(name: str) -> None:
    made, model = cases.PLANS[name], cases.fresh_model(name)
    rows, head = cases.draw(made, [6]), next(head for head in made.heads if head.reads == "tokens")
    tokens, ids = [0, 3], [2, 1]
    score = token_scores(model, head.name, tokens, ids)
    changes = [Without(tokens={stream: [4, 5]}) for stream in rows]
    changes.append(Without(tokens={stream: [5] for stream in rows}))
    shorter = [
        {s: [{k: v[:4] for k, v in some[0].items()}] if s == stream else some for s, some in rows.items()}
        for stream in rows
    ]
    shorter.append({s: [{k: v[:5] for k, v in some[0].items()}] for s, some in rows.items()})
    for found, fewer in zip(rescored(model, cases.packed(rows), score, changes), shorter, strict=True):
        np.testing.assert_allclose(found, plainly(model, cases.packed(fewer), head.name, tokens, ids), atol=1e-5)


def test_changes_come_together() -> None:
    """Two heads and a word; and a change has the same scores whatever is asked beside it, in whatever order."""
    name = "encoder-decoder-alibi-pre"
    made, model = cases.PLANS[name], cases.fresh_model(name)
    inputs, tokens, ids = cases.packed(cases.draw(made, [6])), [1, 2], [3, 4]
    score = token_scores(model, "next_token", tokens, ids)
    changes = [
        Without(heads={"target.0.source": [0, 2]}), Without(tokens={"source": [5]}), Without(),
        Without(heads={"source.1.source": [1], "target.0.source": [3]}, tokens={"source": [5]}),
        Without(heads={"target.0.target": [2]}), Without(tokens={"target": [0]}),
    ]  # fmt: skip
    found = rescored(model, inputs, score, changes)
    for change, scores in zip(changes, found, strict=True):
        np.testing.assert_allclose(rescored(model, inputs, score, [change])[0], scores, atol=1e-5)
    assert len(np.unique(found.round(4), axis=0)) == len(changes)
    short = {"source": [{k: v[:5] for k, v in cases.draw(made, [6])["source"][0].items()}]}
    given = {**inputs, **cases.packed(short)}
    with without_head(model, "source.1.source", 1), without_head(model, "target.0.source", 3):
        np.testing.assert_allclose(found[3], plainly(model, given, "next_token", tokens, ids), atol=1e-5)


def test_the_model_is_left_as_it_was() -> None:
    made = cases.small_plan("decoder", dropout=0.5)
    model = cases.noisy_model(made).train()
    score = token_scores(model, "next_token", [1, 2], [3, 4])
    inputs = cases.packed(cases.draw(made, [5]))
    one, same = (rescored(model, inputs, score, [Without()] * 2) for _ in range(2))
    assert model.training
    assert np.array_equal(one, same)
    assert rescored(model, inputs, score, []).size == 0


@pytest.mark.parametrize("name", ["two-streams-pre", "two-streams-pre-patches"])
def test_rows_are_repeated(name: str) -> None:
    rows = cases.draw(cases.PLANS[name], {"text": [4], "picture": [6]})
    three = repeated(cases.packed(rows), 3)
    expected = cases.packed({stream: some * 3 for stream, some in rows.items()})
    for stream, given in expected.items():
        for field, value in vars(given).items():
            if torch.is_tensor(value):
                assert torch.equal(getattr(three[stream], field), value)
        assert three[stream].layout.lengths.tolist() == given.layout.lengths.tolist()
