"""What is known of every head of a model over some texts: the one thing that pages of heads are made of.

Nothing here knows of torch or of tasks.
"""

from __future__ import annotations

from dataclasses import dataclass, field

Scores = list[list[float]]  # [layer][head]; layers of a pruned model differ in heads


@dataclass(frozen=True)
class Followed:
    """A head and a feature of words that it follows, or does not (`following.Share`).

    `share` of its attention goes to words of `value` ("same": of the query's own value), where places alone explain
    `placed`; `lift` is how many times that is, `error` the standard error of share - placed. `queries` words of `texts`
    texts had a choice: the support.
    """

    feature: str
    value: str
    layer: int
    head: int
    share: float
    placed: float
    lift: float
    error: float
    queries: int
    texts: int


@dataclass(frozen=True)
class Aligned:
    """A head by how well its strongest source words are links, scored without true ones: `agreement` 0..1, higher is
    better."""

    layer: int
    head: int
    agreement: float


@dataclass(frozen=True)
class HeadKind:
    """All heads of one kind of attention, by layer in order of execution.

    `addresses` are the layers' (`target.3.source`). `measures` [measure][layer][head] are means over the texts, named
    as in `measures.MEASURES`. `importance` is by gradient, `ablation` by how many nats per label the loss grows without
    the head; None where it was not asked for. Heads that share keys and values (grouped heads) are judged together and
    have the same number. `best` are the (layer, head) to show first. `followed` and `aligned` come best first.
    """

    name: str
    label: str
    addresses: tuple[str, ...]
    measures: dict[str, Scores] = field(default_factory=dict)
    importance: Scores | None = None
    ablation: Scores | None = None
    best: tuple[tuple[int, int], ...] = ()
    followed: tuple[Followed, ...] = ()
    aligned: tuple[Aligned, ...] = ()


@dataclass(frozen=True)
class HeadReport:
    """Every head of a model over `examples` texts of `data`; `loss` is that of the whole model in nats per label.
    `notes` are sentences for the reader: what was cut, what is missing and why."""

    model: str
    task: str
    data: str
    examples: int
    kinds: tuple[HeadKind, ...]
    loss: float | None = None
    notes: tuple[str, ...] = ()

    def kind(self, name: str) -> HeadKind:
        return next(kind for kind in self.kinds if kind.name == name)
