"""What of the input an answer rests on: integrated gradients and occlusion. Both are signed: above 0, a token or word
speaks for the answer; below 0, against it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor

from ..model.embeddings import Input, PatchInput, RegionInput, TokenInput
from ..model.model import Model
from .probing import Edit
from .record import Reals
from .rescoring import ROOM, Without, evaluating, repeated, rescored
from .scores import Score

STEPS = 32


@dataclass(frozen=True)
class Attributed:
    """`values` [n scores, tokens]; `change` [n] is by how much each score is above that of the baseline, and `gap` [n]
    what of it the values do not add up to: 0, were the path followed in infinitely many steps. At the usual number it
    is held to 5 % of the change (of 1, where the change is smaller)."""

    values: Reals
    change: Reals
    gap: Reals


def integrated_gradients(
    model: Model,
    inputs: Mapping[str, Input],
    score: Score,
    stream: str,
    *,
    baseline: Input,
    steps: int = STEPS,
    last: int | None = None,
    room: int = ROOM,
) -> Attributed:
    """How much each token of a stream adds to each score, from a baseline to what was read (Sundararajan et al. 2017).

    The gradient is integrated over the straight path from the baseline's first states to the stream's own (equation 1),
    at the `steps` points of Gauss and Legendre, and multiplied with the way. `inputs` hold one row. `baseline` is an
    input of as many tokens, such as `blank` makes, whose positions cancel out. It is not states of zeros, which the
    paper has for words: layer normalisation takes the length from the states, so that between zeros and a text nearly
    all happens at the very beginning of the path (small pre-norm models: gaps as large as the change at 128 steps).

    It takes `steps` rows forward once and back n times.
    """
    tokens, width = inputs[stream].layout.tokens, model.plan.stream(stream).width
    points, weights = np.polynomial.legendre.leggauss(steps)
    points, weights = (points + 1) / 2, weights / 2
    size = max(1, room // max(1, sum(given.layout.tokens for given in inputs.values())))
    with evaluating(model):
        with torch.no_grad():
            there = model.embedded(stream, inputs[stream])
            begin = model.embedded(stream, baseline)
            ends = _along(model, inputs, score, stream, torch.stack([begin, there]), last).double().cpu()
        total = torch.zeros(ends.shape[1], tokens, width, dtype=torch.float64)
        for at in range(0, steps, size):
            share = torch.from_numpy(points[at : at + size]).to(there)[:, None, None]
            path = (begin + share * (there - begin)).requires_grad_()
            with torch.enable_grad():
                found = _along(model, inputs, score, stream, path, last).sum(0)
            for number, one in enumerate(found):
                more = number + 1 < len(found)
                (slopes,) = torch.autograd.grad(one, path, retain_graph=more, allow_unused=True, materialize_grads=True)
                total[number] += torch.einsum(
                    "s,stw->tw", torch.from_numpy(weights[at : at + size]), slopes.double().cpu()
                )
    values = (total * (there - begin).double().cpu()).sum(-1)
    change = ends[1] - ends[0]
    gap = change - values.sum(-1)
    return Attributed(*(part.float().numpy() for part in (values, change, gap)))


def _along(
    model: Model, inputs: Mapping[str, Input], score: Score, stream: str, path: Tensor, last: int | None
) -> Tensor:
    """Scores [points, n] of a row whose stream begins with other states, `path` [points, tokens, width]."""
    instead = Edit((f"{stream}.embedding.output",), lambda address, value, rows: path.flatten(0, 1))
    given = repeated(inputs, len(path))
    states = {name: model.embedded(name, one, instead) for name, one in given.items()}
    layouts = {name: one.layout for name, one in given.items()}
    return score(model.run(states, layouts, last=last), layouts)


def blank(given: Input, token: int, keep: Sequence[int] = ()) -> Input:
    """A baseline that says nothing and is laid out alike: every token is `token` (a mask, the unknown) but those in
    their places in `keep` (starts, ends, tags), which get nothing; of a picture, features or pixels are 0 and boxes
    stay."""
    if isinstance(given, TokenInput):
        ids = torch.full_like(given.ids, token)
        ids[list(keep)] = given.ids[list(keep)]
        return replace(given, ids=ids)
    if isinstance(given, RegionInput):
        return replace(given, features=torch.zeros_like(given.features))
    assert isinstance(given, PatchInput)
    return replace(given, pixels=torch.zeros_like(given.pixels))


def occlusion(
    model: Model,
    inputs: Mapping[str, Input],
    score: Score,
    stream: str,
    groups: Sequence[Sequence[int]],
    *,
    last: int | None = None,
    room: int = ROOM,
) -> Reals:
    """What each score loses when a word is hidden [n scores, groups] (Zeiler & Fergus 2014, 4.2; of words: Li et al.
    2016, "erasure"). `groups` are the tokens of each word.

    No attention sees a hidden word, as if it were not there; see `probing.hidden`. It is not replaced by another, which
    would say something, too. What is read off a hidden token itself still rests on it.
    """
    changes = [Without(), *(Without(tokens={stream: group}) for group in groups)]
    found = rescored(model, inputs, score, changes, last=last, room=room)
    return np.ascontiguousarray((found[:1] - found[1:]).T)
