"""What each mask lets be seen, against loops, and through a model."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from heedful.model.embeddings import TokenInput
from heedful.model.families import FAMILIES
from heedful.model.layout import Layout
from heedful.model.masks import NEVER, OPEN, Mask, additive, causal, prefix
from heedful.model.model import Model

ALLOWED = {
    "causal": (causal(), lambda q, k: k <= q),
    "window": (causal(3), lambda q, k: 0 <= q - k < 3),
    "prefix": (prefix(4), lambda q, k: k <= q or k < 4),
    "prefix and window": (prefix(4) & causal(2), lambda q, k: 0 <= q - k < 2),
    "open and causal": (OPEN & causal(), lambda q, k: k <= q),
    "causal and open": (causal() & OPEN, lambda q, k: k <= q),
}


@pytest.mark.parametrize("name", ALLOWED)
def test_visible(name: str) -> None:
    """True means may attend; positions need not begin at 0 or follow one another."""
    mask, allowed = ALLOWED[name]
    query, key = torch.tensor([5, 0, 9, 2]), torch.tensor([0, 9, 4, 5, 3, 1])
    seen = mask.visible(query[:, None], key[None, :])
    assert seen is not None
    assert seen.tolist() == [[bool(allowed(q, k)) for k in key.tolist()] for q in query.tolist()]


def test_everything_is_visible() -> None:
    assert OPEN.visible(torch.arange(3)[:, None], torch.arange(3)[None]) is None
    assert (OPEN & OPEN) == OPEN


@pytest.mark.parametrize("window", [0, -1])
def test_a_window_sees_at_least_the_query_itself(window: int) -> None:
    with pytest.raises(ValueError, match=f"window of {window}"):
        causal(window)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_what_may_not_be_seen_has_weight_zero(dtype: torch.dtype) -> None:
    """Exactly, next to any real score; and alone it is still finite."""
    bias = additive(torch.tensor([True, False]), dtype)
    assert torch.tensor([-1e4, 1e4], dtype=dtype).add(bias).softmax(-1).tolist() == [1.0, 0.0]
    assert torch.isfinite(torch.tensor([NEVER, NEVER], dtype=dtype).softmax(-1)).all()


def encode(model: Model, ids: torch.Tensor, lengths: list[int], mask: Mask | None = None) -> torch.Tensor:
    given = {"text": TokenInput(ids, Layout.packed(np.array(lengths)))}
    with torch.no_grad():
        return model.encode(given, masks=None if mask is None else {"text": mask})[0]["text"]


@pytest.fixture
def model() -> Model:
    made = FAMILIES["decoder"](vocab=20, width=16, layers=2, heads=2, feedforward=8, positions="none", capacity=16)
    return Model(made).eval()


def test_masks_given_to_a_model(model: Model) -> None:
    """A mask replaces the stream's own: the same weights encode openly, from a prefix, or through a window."""
    ids, lengths = torch.randint(0, 20, (12,)), [7, 5]
    own = encode(model, ids, lengths)
    assert torch.equal(encode(model, ids, lengths, causal()), own)
    assert torch.equal(encode(model, ids, lengths, prefix(0)), own)
    assert torch.equal(encode(model, ids, lengths, causal(7)), own)
    openly = encode(model, ids, lengths, OPEN)
    torch.testing.assert_close(encode(model, ids, lengths, prefix(7)), openly)
    assert not torch.allclose(openly, own)
    # Through a window of one, each token is a row by itself.
    lonely = torch.cat([encode(model, one, [1]) for one in ids.split(1)])
    torch.testing.assert_close(encode(model, ids, lengths, causal(1)), lonely)


def test_the_prefix_is_open_and_the_rest_causal(model: Model) -> None:
    ids = torch.randint(0, 20, (8,))
    whole = encode(model, ids, [8], prefix(3))
    torch.testing.assert_close(encode(model, ids[:3], [3], OPEN), whole[:3])
    torch.testing.assert_close(encode(model, ids[:6], [6], prefix(3)), whole[:6])
