"""Heads that read rows: two rows as one, a vector with nothing after it, the last token wherever padding stands."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from laws import cases
from laws.closeness import assert_close
from msgspec import structs

from heedful.model.embeddings import TokenInput
from heedful.model.families import FAMILIES
from heedful.model.heads import Labels
from heedful.model.initialization import initial
from heedful.model.layout import Layout
from heedful.model.model import Model
from heedful.model.plan import Head, Plan, Pool
from heedful.show import describe

LENGTHS = [3, 1, 4, 2]


def encoder(*heads: Head, **pool: Any) -> Plan:
    made = FAMILIES["encoder"](vocab=13, width=6, layers=1, heads=2, feedforward=5, capacity=9, dropout=0.0)
    stream = structs.replace(made.streams[0], pool=Pool(**pool)) if pool else made.streams[0]
    return structs.replace(made.with_heads(*heads), streams=(stream,))


def given(lengths: list[int] = LENGTHS) -> TokenInput:
    rows = Layout.packed(np.array(lengths))
    return TokenInput(torch.arange(rows.tokens) % 13, rows)


def test_rows_that_are_read_together() -> None:
    """Side by side, in order (ViLBERT's two pictures); the layer before the output is as wide as is said."""
    head = Head(name="two", streams=("text",), outputs=2, reads="pooled", together=2, transform="gelu", hidden=7)
    model = cases.noisy_model(encoder(head))
    shapes = model.plan.shapes()
    assert shapes["heads.two.transform.weight"] == (7, 12)
    assert shapes["heads.two.norm.weight"] == (7,)
    assert shapes["heads.two.output.weight"] == (2, 7)
    states, layouts = model.encode({"text": given()})
    pooled = model.pooled("text", states, layouts)
    wanted = torch.cat([pooled[0::2], pooled[1::2]], 1)
    part = model.heads["two"]
    hidden = part.norm(torch.nn.functional.gelu(part.transform(wanted)))
    assert_close("two rows as one", model.logits("two", states, layouts), part.output(hidden))
    sums = model({"text": given()}, {"two": Labels(torch.tensor([0, 1]))})["two"]
    assert sums.count == 2
    assert_close("two rows as one: loss", sums.loss, torch.nn.functional.cross_entropy(
        model.logits("two", states, layouts), torch.tensor([0, 1]), reduction="sum"
    ))  # fmt: skip


@pytest.mark.parametrize("side", ["left", "right"])
def test_last_tokens_of_padded_rows(side: str) -> None:
    real = torch.arange(6) < torch.tensor(LENGTHS)[:, None]
    keep = real if side == "right" else real.flip(1)
    rows = Layout.padded(keep)
    slots = torch.arange(24).view(4, 6)
    assert rows.last_tokens.tolist() == [int(row[kept][-1]) for row, kept in zip(slots, keep, strict=True)]
    assert given().layout.last_tokens.tolist() == [2, 3, 7, 9]
    with pytest.raises(ValueError, match="without tokens"):
        assert Layout.packed(np.array([2, 0])).last_tokens.numel()


def test_pool_of_the_last_token() -> None:
    """Packed, padded and alone, under a projection without activation and bias."""
    model = cases.noisy_model(encoder(width=5, activation="none", bias=False, reads="last"))
    assert model.plan.shapes()["text.pool.weight"] == (5, 6)
    assert "text.pool.bias" not in model.plan.shapes()
    packed = given()
    states, layouts = model.encode({"text": packed})
    pooled = model.pooled("text", states, layouts)
    assert_close(
        "last pool", pooled, states["text"][layouts["text"].last_tokens] @ model.tensors()["text.pool.weight"].T
    )
    keep = torch.arange(6) < torch.tensor(LENGTHS)[:, None]
    ids = torch.zeros(4, 6, dtype=torch.long).masked_scatter(keep, packed.ids)
    padded = model.encode({"text": TokenInput(ids.view(-1), Layout.padded(keep))})
    assert_close("last pool: padded", model.pooled("text", *padded), pooled)


def test_a_head_without_outputs_is_what_it_reads() -> None:
    """Of two streams under "contrast": the first's vectors, then the second's."""
    made = FAMILIES["two-streams"](**{**cases.SMALL, "picture_width": 24})
    head = Head(name="alike", streams=("text", "picture"), outputs=0, reads="pooled", objective="contrast", norm=None)
    model = cases.noisy_model(made.with_heads(head))
    assert not [name for name in model.plan.shapes() if name.startswith("heads.")]
    inputs = cases.packed(cases.draw(model.plan, [3, 1, 2]))
    states, layouts = model.encode(inputs)
    both = torch.cat([model.pooled(stream, states, layouts) for stream in ("text", "picture")])
    assert torch.equal(model.logits("alike", states, layouts), both)
    likeness = torch.nn.functional.normalize(both, dim=-1)
    scores = 20.0 * likeness[:3] @ likeness[3:].T
    entropy = torch.nn.functional.cross_entropy
    wanted = (entropy(scores, torch.arange(3)) + entropy(scores.T, torch.arange(3))) / 2
    assert_close("contrast", model(inputs, {"alike": Labels(torch.arange(3))})["alike"].loss / 3, wanted)


def test_what_is_borrowed_begins_and_is_shown_like_the_rest() -> None:
    """Norms at 1, vectors small and random; a description names every part."""
    made, generator = cases.borrowed(), torch.Generator().manual_seed(0)
    begun = {name: initial(made, name, shape, generator) for name, shape in made.shapes().items()}
    assert torch.equal(begun["picture.embedding.box_norm.weight"], torch.ones(12))
    assert torch.equal(begun["picture.embedding.box_norm.bias"], torch.zeros(12))
    assert 0.005 < float(begun["scene.embedding.first"].std()) < 0.05
    assert float(begun["text.embedding.tasks.weight"].std()) > 0.1
    assert {name: tuple(tensor.shape) for name, tensor in Model(made).tensors().items()} == made.shapes()
    said = describe(made, "borrowed")
    assert all(head.name in said for head in made.heads)
