"""The contrastive loss: against cross-entropy written out; what says the same is no negative, by any of its groups."""

from __future__ import annotations

import pytest
import torch
from torch.nn import functional

from heedful.model.initialization import initial
from heedful.model.objectives import contrast
from heedful.model.presets import plan


def written_out(vectors: torch.Tensor, same: torch.Tensor, scale: float) -> torch.Tensor:
    first, second = functional.normalize(vectors, dim=-1).chunk(2)
    total, count = torch.zeros(()), len(first)
    for one, other in ((first, second), (second, first)):
        for row in range(count):
            kept = [column for column in range(count) if column == row or not same[row, column]]
            logits = torch.stack([scale * one[row] @ other[column] for column in kept])
            total = total + logits.logsumexp(0) - logits[kept.index(row)]
    return total / 2


@pytest.mark.parametrize("groups", [[0, 1, 2, 3], [0, 1, 0, 3], [[0, 9], [1, 8], [2, 9], [1, 7]]])
def test_against_cross_entropy(groups: list[int] | list[list[int]]) -> None:
    vectors, given = torch.randn(8, 5), torch.tensor(groups)
    same = (given.reshape(4, -1)[:, None] == given.reshape(4, -1)[None]).any(-1)
    loss, nll, _ = contrast(vectors, given, 7.0)
    assert torch.allclose(loss, written_out(vectors, same, 7.0), atol=1e-4)
    assert not nll.requires_grad


@pytest.mark.parametrize(("preset", "deviation"), [("bert-tiny", 0.049), ("bert-base", 0.02), ("vilbert", 0.02)])
def test_bert_begins_as_wide_as_bert_base(preset: str, deviation: float) -> None:
    """Logits of attention and of words begin as large in a narrow model as in BERT-base."""
    generator = torch.Generator().manual_seed(0)
    built = plan(preset)
    name = "text.0.text.query.weight"
    drawn = initial(built, name, built.shapes()[name], generator)
    assert float(drawn.std()) == pytest.approx(0.88 * deviation, rel=0.03)  # cut off at two deviations
