"""What attributions and what-ifs are about: how much a model makes of an answer, as numbers one can differentiate.

A score is asked about a finished pass whose rows are one example over and over, each changed in its own way, and gives
[rows, n]. Heads that read the streams early (`plan.Head.before`) need the states of there: see `last` where scores are
used.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import torch
from torch import Tensor
from torch.nn import functional

from ..model.layout import Layout
from ..model.model import Model
from ..model.plan import Head

Score = Callable[[Mapping[str, Tensor], Mapping[str, Layout]], Tensor]
CHUNK = 256  # tokens whose logits exist at a time, where no gradient needs them all


def head_of(model: Model, name: str) -> Head:
    """The plan of a head; ValueError if there is none of this name."""
    for head in model.plan.heads:
        if head.name == name:
            return head
    raise ValueError(f"the model has no head {name!r}; it has {', '.join(model.heads)}")


def token_scores(model: Model, head: str, tokens: Sequence[int], ids: Sequence[int]) -> Score:
    """The log-probabilities in nats with which a head of tokens says `ids` [n] at `tokens` [n], numbered in their row:
    next tokens, masked tokens, tags."""
    stream = head_of(model, head).streams[0]
    asked, wanted = torch.tensor(list(tokens)), torch.tensor(list(ids))

    def score(states: Mapping[str, Tensor], layouts: Mapping[str, Layout]) -> Tensor:
        layout = layouts[stream]
        places = (torch.from_numpy(layout.starts)[:, None] + asked).flatten().to(layout.device)
        said = wanted.repeat(layout.rows).to(layout.device)
        found = [
            model.logits(head, states, layouts, some).float().log_softmax(-1).gather(1, own[:, None])[:, 0]
            for some, own in zip(torch.split(places, CHUNK), torch.split(said, CHUNK), strict=True)
        ]
        return torch.cat(found).view(layout.rows, len(asked))

    return score


def label_scores(model: Model, head: str, labels: Sequence[int]) -> Score:
    """The log-probabilities in nats with which a head of rows says each of `labels` [n]; of one whose outputs are a yes
    or no each, that of yes."""
    several = head_of(model, head).objective == "several"

    def score(states: Mapping[str, Tensor], layouts: Mapping[str, Layout]) -> Tensor:
        logits = model.logits(head, states, layouts).float()
        return (functional.logsigmoid(logits) if several else logits.log_softmax(-1))[:, list(labels)]

    return score


def odds(model: Model, head: str, this: int = 0, other: int = 1) -> Score:
    """How much likelier a head of rows finds one label than another: log-odds in nats [rows, 1]. By default those that
    an alignment head finds a text and a picture to belong together."""

    def score(states: Mapping[str, Tensor], layouts: Mapping[str, Layout]) -> Tensor:
        logits = model.logits(head, states, layouts).float()
        return logits[:, [this]] - logits[:, [other]]

    return score


def span_scores(model: Model, head: str, first: int, last: int) -> Score:
    """The log-probabilities in nats [rows, 2] that an answer begins at the token `first` of its row, and that it ends
    at `last`, among all tokens of the row (Devlin et al. 2019, 4.2)."""
    stream = head_of(model, head).streams[0]

    def score(states: Mapping[str, Tensor], layouts: Mapping[str, Layout]) -> Tensor:
        logits = model.logits(head, states, layouts).float()
        rows = [own.log_softmax(0) for own in torch.split(logits, layouts[stream].lengths.tolist())]
        return torch.stack([torch.stack([own[first, 0], own[last, 1]]) for own in rows])

    return score


def likeness(model: Model, head: str = "likeness") -> Score:
    """The cosines [rows, 1] of the vectors that a contrast head makes of two streams. It reads them before they meet:
    use with `last=head_of(model, head).before`."""

    def score(states: Mapping[str, Tensor], layouts: Mapping[str, Layout]) -> Tensor:
        one, other = functional.normalize(model.logits(head, states, layouts).float(), dim=-1).chunk(2)
        return (one * other).sum(-1, keepdim=True)

    return score
