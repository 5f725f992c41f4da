"""Position schemes against the code that made them known."""

from __future__ import annotations

import pytest
import torch

from heedful.model.positions import alibi_slopes, bucket, rotate, rotation, sinusoids

pytest.importorskip("transformers")


@pytest.mark.parametrize("two_sided", [True, False])
@pytest.mark.parametrize(("buckets", "furthest"), [(32, 128), (16, 20), (8, 300), (64, 1000)])
def test_buckets_are_those_of_t5(two_sided: bool, buckets: int, furthest: int) -> None:
    from transformers.models.t5.modeling_t5 import T5Attention

    distance = torch.arange(-3000, 3001)
    wanted = T5Attention._relative_position_bucket(distance, two_sided, buckets, furthest)
    assert torch.equal(bucket(distance, buckets, furthest, two_sided), wanted)


@pytest.mark.parametrize("width", [8, 64, 512])
def test_sinusoids_in_halves_are_those_of_marian(width: int) -> None:
    from transformers.models.marian.modeling_marian import MarianSinusoidalPositionalEmbedding

    wanted = MarianSinusoidalPositionalEmbedding(600, width).create_weight()
    torch.testing.assert_close(sinusoids(600, width, "halves"), wanted, rtol=0, atol=1e-6)


@pytest.mark.parametrize("heads", [1, 2, 4, 6, 8, 12, 16, 20])
def test_slopes_are_those_of_bloom(heads: int) -> None:
    from transformers.models.bloom.modeling_bloom import build_alibi_tensor

    wanted = build_alibi_tensor(torch.ones(1, 2, dtype=torch.long), heads, torch.float32)[:, 0, 1]
    torch.testing.assert_close(alibi_slopes(heads), wanted, rtol=1e-6, atol=0)


def test_rotation_is_that_of_gpt_neox() -> None:
    from transformers.models.gpt_neox.modeling_gpt_neox import apply_rotary_pos_emb

    states = torch.randn(2, 3, 50, 16)
    cosine, sine = rotation(torch.arange(50), 16, 10000.0)
    frequency = 1.0 / 10000 ** (torch.arange(0, 16, 2).float() / 16)
    angle = torch.arange(50).float()[:, None] * frequency
    angle = torch.cat([angle, angle], -1)[None]
    wanted, _ = apply_rotary_pos_emb(states, states, angle.cos(), angle.sin())
    torch.testing.assert_close(rotate(states, (cosine, sine)), wanted, rtol=0, atol=2e-5)


@pytest.mark.parametrize(("buckets", "furthest", "two_sided"), [(2, 128, True), (1, 9, False), (4, 2, False)])
def test_too_few_buckets_are_refused(buckets: int, furthest: int, two_sided: bool) -> None:
    with pytest.raises(ValueError, match="buckets a side"):
        bucket(torch.arange(3), buckets, furthest, two_sided)
