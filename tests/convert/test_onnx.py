"""ONNX graphs say, in onnxruntime, what heedful says: over all that a plan can hold, however rows are padded."""

from __future__ import annotations

import itertools
import typing
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
import torch
from decode import peers
from laws import cases
from laws.closeness import assert_close
from torch import Tensor

from convert.onnx_runs import PADDINGS, Feeds, Written, assert_decoding, assert_whole, padded, slots
from heedful.decode import Options, decode
from heedful.model import plan
from heedful.model.model import Model
from heedful.model.plan import Head, Plan, Pool


@pytest.mark.parametrize("name", cases.PLANS)
def test_every_family(name: str, tmp_path: Path) -> None:
    written = Written(cases.model_of(name), tmp_path)
    rows = cases.draw(written.plan)
    with torch.inference_mode():
        for how in PADDINGS:
            (assert_whole if written.config["form"] == "whole" else assert_decoding)(written, rows, how)


# ---- all that a plan can say ----------------------------------------------------------------------------------------


def pick(rng: np.random.Generator, part: Any, **given: Any) -> Any:
    """A part of a plan whose closed values (Literal, bool) are drawn, so that new ones join."""
    drawn = {}
    for name, hint in typing.get_type_hints(part).items():
        values = typing.get_args(hint) if typing.get_origin(hint) is typing.Literal else (True, False)
        if typing.get_origin(hint) is typing.Literal or hint is bool:
            drawn[name] = values[rng.integers(len(values))]
    return part(**{**drawn, **given})


class Drawn:
    """Parts of a plan at random; sizes are small and odd."""

    def __init__(self, seed: int) -> None:
        self.rng = np.random.default_rng(seed)

    def one(self, *values: Any) -> Any:
        return values[self.rng.integers(len(values))]

    def norm(self) -> plan.Norm:
        return pick(self.rng, plan.Norm, eps=self.one(1e-6, 1e-3))

    def tokens(self) -> plan.Tokens:
        return pick(self.rng, plan.Tokens, vocab=17, capacity=20, offset=self.one(0, 2), segments=self.one(0, 2),
                    tasks=self.one(0, 0, 5), norm=self.one(None, self.norm()))  # fmt: skip

    def embedding(self) -> Any:
        norm = self.one(None, self.norm())
        return self.one(
            self.tokens(),
            pick(self.rng, plan.Regions, features=7, box=self.one(4, 5), norm=norm),
            pick(self.rng, plan.Patches, edge=2, box=self.one(0, 5), capacity=self.one(0, 20), norm=norm),
        )

    def attend(self, stream: str, own: bool, mask: str) -> plan.Attend:
        fixed = {} if own else {"positions": "none"}
        return pick(
            self.rng, plan.Attend, stream=stream, heads=4, key_heads=self.one(None, 1, 2, 4), head_width=6, mask=mask,
            window=self.one(None, 3), buckets=8, bucket_distance=9, rotary_base=self.one(50.0, 10000.0),
            scale=self.one(None, 1.0, 0.3), **fixed,
        )  # fmt: skip

    def block(self, stream: str, reads: Sequence[str], mask: str) -> plan.Block:
        attends = tuple(self.attend(one, one == stream, mask if one == stream else "open") for one in reads)
        feed = self.one(None, pick(self.rng, plan.FeedForward, width=9), pick(self.rng, plan.FeedForward, width=10))
        return pick(self.rng, plan.Block, stream=stream, attends=attends, feedforward=feed, norm=self.norm())

    def head(self, number: int, streams: Sequence[str], steps: int) -> Head:
        reads = self.one(*typing.get_args(typing.get_type_hints(Head)["reads"]))
        read = (streams[0],) if reads == "tokens" else self.one(tuple(streams), (streams[-1],))
        return pick(
            self.rng, Head, name=f"head{number}", streams=read, outputs=self.one(0, 3), reads=reads,
            together=1 if reads == "tokens" else self.one(1, 2), hidden=self.one(None, 11),
            transform=self.one(None, *typing.get_args(plan.Activation)), norm=self.one(None, self.norm()),
            scale=self.one(1.0, 0.5), before=self.one(None, *range(steps)),
        )  # fmt: skip

    def whole(self) -> Plan:
        """Of one stream or two, which may read each other in any step."""
        names = self.one(("text",), ("text", "picture"))
        streams = [
            plan.Stream(name=name, width=12, embedding=self.embedding(), pool=pick(self.rng, Pool, width=10))
            for name in names
        ]
        steps: list[Any] = []
        for _ in range(3):
            chosen = self.one(names[:1], names[-1:], names)
            orders = [self.one(*itertools.permutations(names), (name,), names[-1:]) for name in chosen]
            mask = self.one("open", "causal")
            steps.append(plan.Step(blocks=tuple(map(self.block, chosen, orders, [mask] * len(chosen)))))
        steps.insert(self.one(1, 3), plan.FinalNorm(stream=names[-1], norm=self.norm()))
        heads = tuple(self.head(number, names, len(steps)) for number in range(3))
        return Plan(streams=tuple(streams), steps=tuple(steps), heads=heads)

    def decodable(self) -> Plan:
        """A causal stream, alone or over a source; the output is tied or not."""
        names = self.one(("target",), ("source", "target"))
        streams = {"target": plan.Stream(name="target", width=12, embedding=self.tokens())}
        steps = [plan.Step(blocks=(self.block("target", self.one(*itertools.permutations(names)), "causal"),))
                 for _ in range(2)]  # fmt: skip
        if len(names) > 1:
            streams = {"source": plan.Stream(name="source", width=10, embedding=self.embedding()), **streams}
            steps.insert(0, plan.Step(blocks=(self.block("source", ("source",), self.one("open", "causal")),)))
        head = pick(
            self.rng, Head, name="next_token", streams=("target",), outputs=17, reads="tokens", objective="classes",
            transform=self.one(None, "gelu"), scale=self.one(1.0, 0.5), norm=self.one(None, self.norm()),
        )  # fmt: skip
        tie = plan.Tie(keep="target.embedding.tokens.weight", share="heads.next_token.output.weight")
        return Plan(streams=tuple(streams.values()), steps=tuple(steps), heads=(head,), ties=self.one((), (tie,)))


@pytest.mark.parametrize("seed", range(40))
def test_any_plan(seed: int, tmp_path: Path) -> None:
    """Parts drawn from all that plan.py knows, met in ways that no family meets them."""
    drawn = Drawn(seed)
    made = drawn.whole() if seed % 2 else drawn.decodable()
    written = Written(cases.noisy_model(made), tmp_path)
    assert written.config["form"] == (
        "whole" if seed % 2 else "decoder" if len(made.streams) == 1 else "encoder-decoder"
    )
    rows = cases.draw(made, {stream.name: [6, 1, 4, 9] for stream in made.streams}, seed)
    with torch.inference_mode():
        (assert_whole if seed % 2 else assert_decoding)(written, rows, PADDINGS[seed % 3])


# ---- decoding -------------------------------------------------------------------------------------------------------

MOST = 14
OPTIONS = Options(start=peers.START, end=peers.END, max_ratio=0.0, max_extra=MOST)


def greedy(written: Written, file: str, feeds: Feeds, ids: npt.NDArray[np.int64]) -> list[list[int]]:
    """The likeliest next ids of each row, up to its end, with what config.json's `use` says and nothing else."""
    said: list[npt.NDArray[np.int64]] = []
    mask = feeds.pop("attention_mask", None)
    past = written.empty(len(ids))
    for _ in range(MOST):
        own = {} if mask is None else {"attention_mask": mask}
        given = written.run({"input_ids": ids, **own, **feeds, **past}, file)
        ids = given["logits"][:, -1].argmax(-1, keepdim=True).numpy()
        said.append(ids)
        past = {
            n.replace("present", "past_key_values"): v.numpy() for n, v in given.items() if n.startswith("present.")
        }
        mask = None if mask is None else np.concatenate([mask, np.ones_like(mask[:, :1])], 1)
    rows = np.concatenate(said, 1).tolist()
    return [row[: row.index(peers.END)] if peers.END in row else row for row in rows]


def varied(family: str, **options: Any) -> Model:
    """A small model with weights so large that its answers differ."""
    model, generator = Model(cases.small_plan(family, **options)).eval(), torch.Generator().manual_seed(6)
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if "norm" not in name:
                spread = 0.3 if parameter.dim() < 2 else 3 * parameter.shape[1] ** -0.5
                parameter.normal_(0, spread, generator=generator)
    return model


VARIETIES: list[dict[str, Any]] = [
    {}, {"positions": "learned", "place": "pre", "offset": 2, "output_bias": True, "capacity": 40},
    {"positions": "rotary", "norm": "rms", "gated": True, "activation": "silu", "bias": False, "place": "pre"},
    {"positions": "buckets", "key_heads": 2}, {"positions": "alibi", "key_heads": 1, "head_width": 10},
]  # fmt: skip


@pytest.mark.parametrize("options", VARIETIES, ids=lambda one: one.get("positions", "sinusoidal"))
def test_greedy_translation(options: dict[str, Any], tmp_path: Path) -> None:
    """Token for token what heedful's engine says."""
    written = Written(varied("encoder-decoder", tie="none", **options), tmp_path)
    rows = peers.sources(12)
    mask = slots([len(row) for row in rows], "left")
    ids = np.zeros(mask.shape, np.int64)
    ids[mask] = np.concatenate(rows)
    encoded = written.run({"input_ids": ids, "attention_mask": mask.astype(np.int64)}, "encoder_model")
    feeds = {name: value.numpy() for name, value in encoded.items() if name.startswith("cross.")}
    feeds["encoder_attention_mask"] = mask.astype(np.int64)
    said = greedy(written, "decoder_model", feeds, np.full((len(rows), 1), peers.START))
    wanted = [answer.ids for (answer,) in decode(written.model, rows, OPTIONS)]
    assert said == wanted
    assert len({tuple(row) for row in wanted}) >= 6


@pytest.mark.parametrize("options", VARIETIES, ids=lambda one: one.get("positions", "sinusoidal"))
@pytest.mark.parametrize("window", [None, 3])
def test_greedy_continuation(options: dict[str, Any], window: int | None, tmp_path: Path) -> None:
    """The same for prompts of unequal length."""
    known = {name: value for name, value in options.items() if name not in ("offset", "output_bias")}
    given = {"positions": "sinusoidal", "tie": False, "window": window, **known}
    written = Written(varied("decoder", **given), tmp_path)
    rows = peers.sources(12)
    prompts = [[peers.START, *row] for row in rows]
    mask = slots([len(row) for row in prompts], "left", more=0)
    ids = np.zeros(mask.shape, np.int64)
    ids[mask] = np.concatenate(prompts)
    said = greedy(written, "model", {"attention_mask": mask.astype(np.int64)}, ids)
    wanted = [answer.ids for (answer,) in decode(written.model, rows, OPTIONS)]
    assert said == wanted
    assert len({tuple(row) for row in wanted}) >= 6


# ---- rows of nothing ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("mask", ["open", "causal"])
@pytest.mark.parametrize("positions", ["none", "buckets"])
def test_a_row_without_tokens(mask: Any, positions: Any, tmp_path: Path) -> None:
    """Attention gives it exact zeros: without biases, its states are its tokens' vectors; no other row is disturbed."""
    attend = plan.Attend(
        stream="text", heads=2, head_width=5, mask=mask, positions=positions, buckets=8, bucket_distance=9, bias=False
    )
    block = plan.Block(stream="text", attends=(attend,), place="pre")
    embedding = plan.Tokens(vocab=11, positions="none")
    made = Plan(
        streams=(plan.Stream(name="text", width=8, embedding=embedding),), steps=(plan.Step(blocks=(block,)),),
        heads=(Head(name="mean", streams=("text",), outputs=3, reads="mean"),),
    )  # fmt: skip
    written = Written(cases.noisy_model(made), tmp_path)
    ids = np.arange(12).reshape(3, 4) % 11
    real = np.array([[1, 1, 0, 0], [0, 0, 0, 0], [1, 1, 1, 1]])
    given = written.run({"input_ids": ids, "attention_mask": real})
    table = written.model.tensors()["text.embedding.tokens.weight"]
    assert torch.equal(given["last_hidden_state"][1], table[torch.from_numpy(ids[1])])
    assert torch.equal(given["mean"][1], torch.zeros(3))
    for row, length in ((0, 2), (2, 4)):
        alone = written.run({"input_ids": ids[row : row + 1, :length], "attention_mask": real[row : row + 1, :length]})
        assert_close("with a blind row", given["last_hidden_state"][row, :length], alone["last_hidden_state"][0])
    if mask == "causal":  # what pads in front reads the first token, as that reads itself, and nothing that pads
        left = written.run({"input_ids": ids[:1], "attention_mask": np.array([[0, 0, 1, 1]])})["last_hidden_state"][0]
        read = left - table[torch.from_numpy(ids[0])]
        assert_close("padding in front", read[:2], read[2:3].expand(2, -1))


@pytest.mark.parametrize("lengths", [[3, 0, 5, 0], [0, 0, 0, 0]])
@pytest.mark.parametrize("name", ["encoder-decoder-sinusoidal-post", "encoder-decoder-pre-patches"])
def test_a_source_without_tokens(name: str, lengths: list[int], tmp_path: Path) -> None:
    """Decodes as heedful does it, whether the mask hides all or there is no slot."""
    written = Written(cases.model_of(name), tmp_path)
    rows = cases.draw(written.plan, {"source": lengths, "target": [4, 1, 3, 2]})
    wanted = expected_over(written.model, rows)
    for more in (0, 2):
        mask = slots(lengths, "right", more)
        given = {}
        for one in written.sessions["encoder_model"].get_inputs():
            kind = np.int64 if "int64" in one.type else np.float32
            given[one.name] = np.zeros((*mask.shape, *one.shape[2:]), kind)
        for ours, theirs in (("ids", "input_ids"), ("pixels", "pixels"), ("boxes", "boxes")):
            if theirs in given:
                given[theirs][mask] = torch.cat([row[ours] for row in rows["source"]]).numpy()
        given["attention_mask"] = mask.astype(np.int64)
        settled = {n: v.numpy() for n, v in written.run(given, "encoder_model").items() if n.startswith("cross.")}
        feeds, masks = padded(written.plan, rows, "right", ["target"])
        feeds = {"input_ids": feeds["input_ids"], "encoder_attention_mask": mask.astype(np.int64), **settled}
        said = written.run({**feeds, **written.empty(4)}, "decoder_model")
        assert_close("onnx, empty source", said["logits"][torch.from_numpy(masks["target"])], wanted)


def expected_over(model: Model, rows: cases.Rows) -> Tensor:
    """heedful's logits of the target."""
    with torch.inference_mode():
        states, layouts = model.encode(cases.packed(rows))
        return model.logits("next_token", states, layouts)
