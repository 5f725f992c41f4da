"""Small models of every family and batches for them. No family or position scheme is named here, so new ones join.

A batch is kept as separate rows, so that the same rows can be laid out in every form.
"""

from __future__ import annotations

import functools
import inspect
import itertools
import typing
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from heedful.model import plan
from heedful.model.embeddings import Input, PatchInput, RegionInput, TokenInput
from heedful.model.families import FAMILIES
from heedful.model.heads import Labels
from heedful.model.layout import Layout
from heedful.model.model import Model
from heedful.model.plan import Attend, Block, FeedForward, FinalNorm, Head, Norm, Plan, Step, Stream, Tie, Tokens
from heedful.model.pruning import without_heads

# Options a family may have, small. Sizes differ where they can, so that mixing two up cannot go unseen.
SMALL: dict[str, Any] = {
    "vocab": 31, "width": 24, "layers": 2, "heads": 4, "feedforward": 20, "capacity": 40, "dropout": 0.0,
    "attention_dropout": 0.0, "picture_width": 20, "picture_layers": 2, "picture_heads": 2, "picture_feedforward": 18,
    "features": 7, "regions": 5, "co_width": 16, "co_heads": 2, "text_before": (1, 2), "picture_before": (0, 1),
}  # fmt: skip

# What else may differ between two models of a family; the cases take turns.
VARIED: tuple[dict[str, Any], ...] = (
    {},
    {"key_heads": 2, "activation": "gelu_quick"},
    {"norm": "rms", "gated": True, "activation": "silu", "bias": False},
    {"key_heads": 1, "head_width": 10, "embedding_norm": True, "sinusoid": "halves", "outputs": 3},
    {"target_vocab": 19, "decoder_layers": 1, "output_bias": True, "offset": 2, "scaled": False, "segments": 0},
)
MOST_PARAMETERS = 100_000
WINDOW = 3

Row = dict[str, Tensor]  # ids and segments, or features and boxes, or pixels and boxes, of one row
Rows = dict[str, list[Row]]


def options_of(family: str) -> dict[str, tuple[Any, ...]]:
    """The options of a family that have a closed list of values (Literal or bool), with these values."""
    found: dict[str, tuple[Any, ...]] = {}
    for name, kind in typing.get_type_hints(FAMILIES[family]).items():
        if typing.get_origin(kind) is typing.Literal:
            found[name] = typing.get_args(kind)
        elif kind is bool:
            found[name] = (True, False)
    return found


def small_plan(family: str, **options: Any) -> Plan:
    """A plan of the family with small sizes; options that the family has not are dropped."""
    known = inspect.signature(FAMILIES[family]).parameters
    made = FAMILIES[family](**{name: value for name, value in {**SMALL, **options}.items() if name in known})
    size = sum(int(np.prod(shape)) for shape in made.shapes().values())
    assert size < MOST_PARAMETERS, f"{family} has {size} parameters: give its new sizes a small value in SMALL"
    return made


def random_plan(family: str, seed: int) -> Plan:
    """A plan of the family with each closed option drawn at random, and shared or odd-sized heads."""
    rng = np.random.default_rng(seed)
    drawn = {name: values[rng.integers(len(values))] for name, values in options_of(family).items()}
    drawn["key_heads"] = (None, 1, 2, 4)[rng.integers(4)]
    drawn["head_width"] = (None, 4, 10)[rng.integers(3)]
    drawn["window"] = (None, WINDOW)[rng.integers(2)]
    return small_plan(family, **drawn)


def hand_made() -> Plan:
    """What no family uses yet: shared attention both ways, other stream first, a norm for reading it, pixel patches."""
    cross = {"heads": 3, "head_width": 4, "own_norm": True}
    own = {"heads": 2, "head_width": 6, "positions": "buckets", "buckets": 8, "bucket_distance": 9, "scale": 1.0}
    around = {
        "feedforward": FeedForward(width=14, activation="gelu_tanh"), "place": "pre", "norm": Norm(eps=1e-6)
    }  # fmt: skip
    both = Step(
        blocks=(
            Block(stream="text", attends=(Attend(stream="picture", **cross), Attend(stream="text", **own)), **around),
            Block(
                stream="picture", attends=(Attend(stream="text", **cross), Attend(stream="picture", **own)), **around
            ),
        )
    )
    return Plan(
        streams=(
            Stream(name="text", width=12, embedding=Tokens(vocab=31, positions="none")),
            Stream(name="picture", width=12, embedding=plan.Patches(edge=2, capacity=40)),
        ),
        steps=(both, both, FinalNorm(stream="text"), FinalNorm(stream="picture")),
        heads=(Head(name="token_label", streams=("text",), outputs=3, bias=True, scale=0.3),),
        ties=(
            Tie(keep="text.0.picture", share="picture.0.text"),
            Tie(keep="text.0.text.buckets", share="text.1.text.buckets"),
        ),
    )


def borrowed() -> Plan:
    """What no family has and models of other libraries do: task tokens, the sines of fairseq, boxes that are normalised
    apart or left out, a vector in the place of the first patch, pools of the last token; heads over a sum, with a layer
    of another width and no norm."""
    own = {"heads": 2, "head_width": 6}
    around = {"feedforward": FeedForward(width=14, activation="gelu_quick"), "norm": Norm(eps=1e-6)}

    def step(stream: str, *attended: str, mask: Any = "open") -> Step:
        attends = tuple(Attend(stream=one, mask=mask if one == stream else "open", **own) for one in attended)
        return Step(blocks=(Block(stream=stream, attends=attends, **around),))

    text = Tokens(vocab=31, sinusoid="fairseq", offset=2, tasks=3)
    last, first = plan.Pool(width=10, activation="none", bias=False, reads="last"), plan.Pool(width=10)
    over = {"bias": True, "norm": None, "hidden": 9}
    return Plan(
        streams=(
            Stream(name="text", width=11, embedding=text, pool=last),
            Stream(name="picture", width=12, embedding=plan.Regions(features=7, box=4, apart=True), pool=first),
            Stream(name="scene", width=12, embedding=plan.Patches(
                edge=2, box=0, capacity=40, first=True, bias=False, norm=None,
            )),
        ),
        steps=(
            step("text", "text", mask="causal"), step("scene", "scene"), step("picture", "picture", "scene"),
            step("text", "text", mask="causal"),
        ),
        heads=(
            Head(name="next_token", streams=("text",), outputs=31, transform="silu", **over),
            Head(name="alike", streams=("text", "picture"), outputs=3, reads="pooled", join="sum", transform="tanh",
                 **over),
            Head(name="seen", streams=("scene",), outputs=4, reads="first", transform="none", bias=True),
            Head(name="shown", streams=("picture",), outputs=5, reads="mean"),
        ),
    )  # fmt: skip


def pruned() -> Plan:
    """An encoder-decoder whose attentions have lost different numbers of heads, as pruning leaves it."""
    keep = {"source.0.source": [1, 3], "source.1.source": [0], "target.0.target": [0, 1, 2], "target.1.source": [2]}
    return without_heads(Model(small_plan("encoder-decoder", place="pre")), keep).plan


def _plans() -> dict[str, Plan]:
    made: dict[str, Plan] = {}
    turn = itertools.cycle(VARIED)
    for family, build in FAMILIES.items():
        closed, known = options_of(family), inspect.signature(build).parameters
        windows = (None, WINDOW) if "window" in known else (None,)
        choices = [[(name, value) for value in closed.get(name, (None,))] for name in ("positions", "place")]
        for (_, positions), (_, place), window in itertools.product(*choices, windows):
            given = {"positions": positions, "place": place, "window": window}
            name = "-".join(str(part) for part in (family, positions, place, window and "window") if part)
            made[name] = small_plan(family, **{k: v for k, v in given.items() if v is not None}, **next(turn))
    for family, build in FAMILIES.items():  # patches have boxes, not positions: once for each place of the norms
        if "edge" in inspect.signature(build).parameters:
            for place in options_of(family).get("place", (None,)):
                given = {"place": place} if place else {}
                made[f"{family}-{place}-patches"] = small_plan(family, edge=2, **given, **next(turn))
    return {**made, "hand-made": hand_made(), "borrowed": borrowed(), "pruned": pruned()}


PLANS = _plans()


@functools.cache
def _noisy(name: str) -> dict[str, Tensor]:
    generator = torch.Generator().manual_seed(1)
    noisy = {}
    for address, value in Model(PLANS[name]).tensors().items():
        strength = 1.0 if address.endswith(".buckets") else 0.1
        noisy[address] = value + strength * torch.randn(value.shape, generator=generator)
    return noisy


def noisy_model(made: Plan, tensors: Mapping[str, Tensor] | None = None) -> Model:
    """A model in evaluation mode whose biases, norms and bucket tables are not what initialisation makes them."""
    if tensors is None:
        generator = torch.Generator().manual_seed(1)
        tensors = {
            address: value + 0.1 * torch.randn(value.shape, generator=generator)
            for address, value in Model(made).tensors().items()
        }
    model = Model(made, seed=None)
    model.load_tensors(tensors)
    return model.eval()


def fresh_model(name: str, dtype: torch.dtype = torch.float32) -> Model:
    """A new model of a case."""
    return noisy_model(PLANS[name], _noisy(name)).to(dtype)


@functools.cache
def _shared_model(name: str, dtype: torch.dtype) -> Model:
    return fresh_model(name, dtype)


def model_of(name: str, dtype: torch.dtype = torch.float32) -> Model:
    """The model of a case, without gradients; shared by all tests, which must not change it."""
    model = _shared_model(name, dtype)
    model.zero_grad()
    return model


# ---- what a plan is made of -----------------------------------------------------------------------------------------


def decodable(made: Plan) -> list[str]:
    """Streams that can be decoded step by step: whatever they attend to in themselves is causal."""
    return [
        stream.name
        for stream in made.streams
        if (own := [a for _, _, block in made.blocks() if block.stream == stream.name
                    for a in block.attends if a.stream == stream.name])
        and all(attend.mask == "causal" for attend in own)
    ]  # fmt: skip


def crossings(made: Plan) -> list[tuple[str, str]]:
    """(address of the block, stream it attends to) wherever a block attends to another stream."""
    return [(at, a.stream) for _, at, block in made.blocks() for a in block.attends if a.stream != block.stream]


def names(wanted: Callable[[Plan], Any] = lambda made: True) -> list[str]:
    """The cases whose plan is as wanted."""
    return [name for name, made in PLANS.items() if wanted(made)]


# ---- batches --------------------------------------------------------------------------------------------------------


def draw_row(stream: Stream, length: int, rng: np.random.Generator) -> Row:
    """One random row of a stream."""
    sizes = stream.embedding
    if isinstance(sizes, Tokens):
        row = {"ids": torch.from_numpy(rng.integers(0, sizes.vocab, length))}
        row["ids"][1:2] %= sizes.tasks or sizes.vocab
        if sizes.segments:
            row["segments"] = torch.from_numpy(rng.integers(0, sizes.segments, length))
        return row
    boxes = torch.from_numpy(rng.random((length, sizes.box), np.float32))
    if isinstance(sizes, plan.Patches):
        return {
            "pixels": torch.from_numpy(rng.random((length, sizes.channels * sizes.edge**2), np.float32)),
            "boxes": boxes,
        }
    return {"features": torch.from_numpy(rng.standard_normal((length, sizes.features), np.float32)), "boxes": boxes}


def draw(made: Plan, lengths: Mapping[str, Sequence[int]] | Sequence[int] | None = None, seed: int = 0) -> Rows:
    """Random rows of every stream; `lengths` for all streams alike, by stream, or None: five unequal rows each."""
    rng = np.random.default_rng(seed)
    rows: Rows = {}
    for number, stream in enumerate(made.streams):
        if lengths is None:
            own: Sequence[int] = np.roll([7, 1, 4, 9, 2], number).tolist()
        else:
            own = lengths[stream.name] if isinstance(lengths, Mapping) else lengths
        rows[stream.name] = [draw_row(stream, length, rng) for length in own]
    return rows


def length(row: Row) -> int:
    return len(next(iter(row.values())))


def _input(row: Row, layout: Layout, dtype: torch.dtype) -> Input:
    real = {name: value if value.dtype == torch.int64 else value.to(dtype) for name, value in row.items()}
    if "ids" in real:
        return TokenInput(real["ids"], layout, real.get("segments"))
    if "pixels" in real:
        return PatchInput(real["pixels"], real["boxes"], layout)
    return RegionInput(real["features"], real["boxes"], layout)


def packed(rows: Rows, dtype: torch.dtype = torch.float32) -> dict[str, Input]:
    """The rows end to end."""
    made = {}
    for stream, some in rows.items():
        layout = Layout.packed(np.array([length(row) for row in some], np.int64))
        made[stream] = _input({name: torch.cat([row[name] for row in some]) for name in some[0]}, layout, dtype)
    return made


def padded(rows: Rows, dtype: torch.dtype = torch.float32, more: int = 2) -> tuple[dict[str, Input], dict[str, Tensor]]:
    """The rows padded with noise, `more` longer than the longest; and which slots hold each stream's tokens."""
    made, places = {}, {}
    for stream, some in rows.items():
        longest = max(length(row) for row in some) + more
        keep = torch.tensor([[i < length(row) for i in range(longest)] for row in some])
        noise = lambda value, missing: (
            torch.randint(0, 2, (missing,)) if value.ndim == 1 else torch.randn(missing, value.shape[1])
        )
        filled = {
            name: torch.cat([torch.cat([row[name], noise(row[name], longest - length(row))]) for row in some])
            for name in some[0]
        }
        made[stream] = _input(filled, Layout.padded(keep), dtype)
        places[stream] = keep.view(-1).nonzero().view(-1)
    return made, places


def labels(made: Plan, rows: Rows, seed: int = 0) -> dict[str, Labels]:
    """Random labels of every token (or every row, for pooled heads) for every head."""
    generator = torch.Generator().manual_seed(seed)
    wanted = {}
    for head in made.heads:
        some = rows[head.streams[0]]
        count = sum(length(row) for row in some) if head.reads == "tokens" else len(some)
        if head.objective == "distribution":
            ids = torch.randn(count, head.outputs, generator=generator).softmax(-1)
        else:
            ids = torch.randint(0, head.outputs, (count,), generator=generator)
        wanted[head.name] = Labels(ids)
    return wanted


def total_loss(model: Model, inputs: dict[str, Input], wanted: dict[str, Labels], smoothing: float = 0.1) -> Tensor:
    """The sum of all heads' losses."""
    return torch.stack([sums.loss for sums in model(inputs, wanted, smoothing).values()]).sum()


def kernel(monkeypatch: Any, which: str) -> None:
    """Make every attention take this kernel."""
    monkeypatch.setattr("heedful.model.kernels.choose", lambda device, queries, keys: which)
