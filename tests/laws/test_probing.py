"""What probes see agrees with itself and with the papers' formulas; looking changes nothing; edits are felt everywhere
alike, in one pass and in decoding."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from heedful.decode import Options, decode
from heedful.decode.lowered import LoweredStepper
from heedful.decode.stepper import ModelStepper, stepper
from heedful.inside.probing import Capture, capture, heads_off, hidden, patched
from heedful.inside.rescoring import Without, edit
from heedful.model import kernels
from heedful.model.embeddings import Input, TokenInput
from heedful.model.layout import Layout
from heedful.model.model import Model
from heedful.model.plan import Attend, Plan, attention_scale
from heedful.model.pruning import attentions

from . import cases, reference
from .closeness import assert_all_close, assert_close, assert_same_bits, gradients

NAMES = pytest.mark.parametrize("name", cases.names())
UNEQUAL = [2, 40, 1, 0, 39, 3, 1, 38, 5]  # so unequal that attention runs in groups of rows


def unequal(made: Plan, lengths: list[int]) -> cases.Rows:
    """Rows of these lengths, in another order for each stream."""
    return cases.draw(made, {one.name: np.roll(lengths, n).tolist() for n, one in enumerate(made.streams)})


# ---- what is seen agrees with itself --------------------------------------------------------------------------------


@NAMES
def test_points_agree(name: str) -> None:
    """Scores are scaled products and what positions add; weights their softmax; mixed, the weights over the values;
    output, the last projection: all worked out again in NumPy, row by row."""
    made, model = cases.PLANS[name], cases.model_of(name)
    rows = unequal(made, [7, 1, 4, 0, 9])
    seen = capture(
        model, cases.packed(rows), ["*.query", "*.key", "*.value", "*.scores", "*.weights", "*.mixed", "*.*.*.output"]
    )
    weighed = reference.Weighed(made, model.tensors())
    for address, attend in attentions(made):
        for row in range(5):
            at = {
                point: seen.row(f"{address}.{point}", row).double().numpy()
                for point in ("query", "key", "value", "scores", "weights", "mixed", "output")
            }
            share = attend.heads // attend.kv_heads
            key, value = at["key"].repeat(share, 0), at["value"].repeat(share, 0)
            queries, keys = at["query"].shape[1], key.shape[1]
            assert at["scores"].shape == at["weights"].shape == (attend.heads, queries, keys)
            assert all(np.isfinite(values).all() for values in at.values())
            sees, bias = added(weighed, attend, address, queries, keys)
            products = attention_scale(attend) * at["query"] @ key.transpose(0, 2, 1) + bias
            np.testing.assert_allclose(at["scores"][:, sees], products[:, sees], rtol=1e-4, atol=1e-5)
            assert not keys or (at["scores"][:, ~sees] < -1e8).all()
            exponents = np.exp(at["scores"] - at["scores"].max(-1, keepdims=True, initial=-1e9)) * sees
            total = exponents.sum(-1, keepdims=True)
            weights = np.divide(exponents, total, out=np.zeros_like(exponents), where=total > 0)
            np.testing.assert_allclose(at["weights"], weights, atol=1e-6)
            assert (at["weights"][:, ~sees] == 0).all()
            np.testing.assert_allclose(
                at["weights"].sum(-1), np.full((attend.heads, queries), float(keys > 0)), atol=1e-6
            )
            mixed = (at["weights"] @ value).transpose(1, 0, 2).reshape(queries, attend.inner)
            np.testing.assert_allclose(at["mixed"], mixed, atol=1e-5)
            projected = weighed.linear(f"{address}.output", torch.from_numpy(at["mixed"])).numpy()
            np.testing.assert_allclose(at["output"], projected, rtol=1e-4, atol=1e-5)


def added(weighed: reference.Weighed, attend: Attend, address: str, queries: int, keys: int) -> tuple[Any, Any]:
    """Which keys each query may see [queries, keys], and what positions add to its scores [heads, queries, keys]."""
    grid = [(query, key) for query in range(queries) for key in range(keys)]
    sees = np.array([reference.visible(attend, query, key) for query, key in grid], bool).reshape(queries, keys)
    bias = [
        [reference.position_score(weighed, attend, address, head, query, key) for query, key in grid]
        for head in range(attend.heads)
    ]
    return sees, np.array(bias).reshape(attend.heads, queries, keys)


@NAMES
def test_a_row_among_others_is_seen_as_alone(name: str) -> None:
    made, model = cases.PLANS[name], cases.model_of(name)
    rows = unequal(made, UNEQUAL)
    together = capture(model, cases.packed(rows), ["*"])
    assert max(len(together.captured.seen[f"{address}.weights"]) for address, _ in attentions(made)) > 1
    for number in (1, 3, 8):
        alone = capture(model, cases.packed({stream: [some[number]] for stream, some in rows.items()}), ["*"])
        assert alone.addresses == together.addresses
        seen = {address: together.row(address, number).clamp(-1e4) for address in alone.addresses}
        assert_all_close("seen among others == alone", seen, {a: alone.row(a).clamp(-1e4) for a in alone.addresses})


# ---- looking changes nothing ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("family", sorted(cases.FAMILIES))
@pytest.mark.parametrize("place", ["pre", "post"])
def test_looking_at_training_changes_no_bit(family: str, place: str) -> None:
    """Of losses and gradients, under dropout; and weights are seen before it."""
    made = cases.small_plan(family, place=place, dropout=0.2, attention_dropout=0.3)
    rows, found, kept = cases.draw(made), [], Capture("*")
    for probe in (None, kept):
        model = cases.noisy_model(made).train()
        torch.manual_seed(3)
        if probe is None:
            loss = cases.total_loss(model, cases.packed(rows), cases.labels(made, rows))
        else:
            with model.watched(probe):
                loss = cases.total_loss(model, cases.packed(rows), cases.labels(made, rows))
        loss.backward()
        found.append((loss.detach(), gradients(model)))
    assert torch.equal(found[1][0], found[0][0])
    assert_same_bits(found[1][1], found[0][1])
    layouts = {stream: given.layout for stream, given in cases.packed(rows).items()}
    for address, _ in attentions(made):
        for row in range(5):
            total = kept.row(f"{address}.weights", row, layouts).sum(-1)
            torch.testing.assert_close(total, torch.ones_like(total))


@NAMES
def test_only_the_probed_attention_leaves_its_kernel(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    made, model = cases.PLANS[name], cases.model_of(name)
    given, every = cases.packed(cases.draw(made)), [address for address, _ in attentions(made)]
    cases.kernel(monkeypatch, "fused")
    calls: list[str] = []

    def counted(which: str) -> Callable[..., Tensor]:
        plain = getattr(kernels, which)

        def call(*given: Any) -> Tensor:
            calls.append(which)
            return plain(*given)  # type: ignore[no-any-return]

        return call

    for which in ("explicit", "fused"):
        monkeypatch.setattr(kernels, which, counted(which))
    for patterns, explicit in (
        ([], 0),
        (["*.query", "*.key", "*.value", "*.mixed", "*.output", "*.before", "*.after", "*.inner"], 0),
        ([f"{every[1]}.weights"], 1),
        ([f"{every[0]}.scores", f"{every[1]}.weights"], 2),
        (["*.weights"], len(every)),
    ):
        calls.clear()
        capture(model, given, patterns)
        assert (calls.count("explicit"), len(calls)) == (explicit, len(every)), patterns


# ---- decoding -------------------------------------------------------------------------------------------------------

WRITERS = pytest.mark.parametrize(
    "name", cases.names(lambda made: cases.decodable(made) and any(head.name == "next_token" for head in made.heads))
)
START, END = 1, 2


@dataclass
class Writer:
    """What it takes to decode a case: its stream, the other stream (or none), one input, and how it is read."""

    stream: str
    other: str | None
    ids: list[int]
    given: dict[str, Input]
    reader: Any

    def decoded(self, model: Model, options: Options, times: int = 1) -> list[Any]:
        return [found[0] for found in decode(model, [self.ids] * times, options, reader=self.reader)]

    def inputs(self, answer: list[int]) -> dict[str, Input]:
        """What is read while an answer is written: all of it but its last token."""
        ids = [START, *([] if self.other else self.ids), *answer[:-1]]
        return {**self.given, self.stream: TokenInput(torch.tensor(ids), Layout.packed(np.array([len(ids)])))}

    def read(self, answer: list[int]) -> int:
        """Tokens read before the answer's first is written."""
        return 1 if self.other else 1 + len(self.ids)


def writer_of(name: str) -> Writer:
    made = cases.PLANS[name]
    head = next(head for head in made.heads if head.name == "next_token")
    (stream,), rows = head.streams, cases.draw(made, [6])
    others = {other for at, other in cases.crossings(made) if at.startswith(f"{stream}.")}
    other = others.pop() if others else None
    given = cases.packed({other: rows[other]}) if other else {}
    if other and "ids" not in rows[other][0]:
        reader = lambda some: cases.packed({other: rows[other] * len(some)})[other]
        return Writer(stream, other, [0], given, reader)
    ids = rows[other or stream][0]["ids"].tolist()
    return Writer(
        stream, other, ids, {other: cases.packed({other: [{"ids": torch.tensor(ids)}]})[other]} if other else {}, None
    )


@dataclass
class Link:
    """A token of a hypothesis, the cell of the cache it is in, and the weights [heads, keys] it asked with."""

    token: int
    cell: int
    weights: dict[str, Tensor]


class Followed:
    """All hypotheses of a row that were ever alive, as the search made them, each with what its tokens saw."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, kept: Capture) -> None:
        self.alive: list[list[Link]] = [[]]
        self.ever: list[list[Link]] = []
        step, prefill = ModelStepper.step, ModelStepper.prefill

        def stepping(steps: ModelStepper, tokens: Tensor, parents: Tensor | None = None) -> Tensor:
            kept.clear()
            logits = step(steps, tokens, parents)
            slots = len(tokens)
            before = self.alive * (slots if len(self.alive) < slots else 1)
            whose = range(slots) if parents is None else parents[0].tolist()
            seen = {address: value[0] for address, ((value, _),) in kept.seen.items()}
            self.alive = [
                [
                    *before[parent],
                    Link(token, steps.cache.cells - slots + slot, {a: w[:, slot] for a, w in seen.items()}),
                ]
                for slot, (parent, token) in enumerate(zip(whose, tokens.tolist(), strict=True))
            ]
            self.ever += self.alive
            return logits

        def prefilling(steps: ModelStepper, prompt: TokenInput) -> Tensor:
            kept.clear()
            logits = prefill(steps, prompt)
            seen = {address: value[0] for address, ((value, _),) in kept.seen.items()}
            self.alive = [
                [
                    Link(token, at, {a: w[:, at] for a, w in seen.items()})
                    for at, token in enumerate(prompt.ids.tolist())
                ]
            ]
            self.ever += self.alive
            return logits

        monkeypatch.setattr(ModelStepper, "step", stepping)
        monkeypatch.setattr(ModelStepper, "prefill", prefilling)

    def chain(self, tokens: list[int]) -> list[Link]:
        """The hypothesis that reads these tokens."""
        return next(chain for chain in self.ever if [link.token for link in chain] == tokens)


@WRITERS
@pytest.mark.parametrize("beam", [1, 4])
def test_decoding_sees_what_one_pass_over_the_winner_sees(
    name: str, beam: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Step by step and along the winner's ancestry; nothing else is seen. And the pass gives it the log-probabilities
    that it was found by."""
    model, writer = cases.model_of(name), writer_of(name)
    options = Options(start=START, end=END, beam=beam, max_ratio=0.0, max_extra=8, logprobs=True)
    fast = writer.decoded(model, options)[0]
    kept = Capture("*.weights")
    followed = Followed(monkeypatch, kept)
    with model.watched(kept):
        winner = writer.decoded(model, options)[0]
    assert winner.ids == fast.ids
    answer = [*winner.ids, END] if winner.finished else winner.ids
    inputs = writer.inputs(answer)
    seen = capture(model, inputs, [f"{writer.stream}.*.weights"])
    chain = followed.chain(inputs[writer.stream].ids.tolist())
    cells = [link.cell for link in chain]
    assert len(cells) == len(answer) - 1 + writer.read(answer)
    for address in seen.addresses:
        expected = seen.row(address)
        for at, link in enumerate(chain):
            found = link.weights[address]
            if address.split(".")[2] == writer.stream:
                own = found[:, cells[: at + 1]]
                assert_close("decoding's weights == one pass", own, expected[:, at, : at + 1])
                others = np.delete(found.numpy(), cells[: at + 1], 1)
                assert (others == 0).all()
            else:
                assert_close("decoding's weights == one pass", found, expected[:, at])
    with torch.no_grad():
        chances = model.logits("next_token", seen.states, seen.layouts).log_softmax(-1).numpy()
    told = chances[np.arange(writer.read(answer) - 1, len(cells)), answer]
    np.testing.assert_allclose(winner.logprobs, told, atol=1e-5)
    np.testing.assert_allclose(fast.logprobs, told, atol=1e-5)


@WRITERS
def test_only_who_is_watched_decodes_step_by_step_in_torch(name: str) -> None:
    made, model, writer = cases.PLANS[name], cases.model_of(name), writer_of(name)
    head = next(head for head in made.heads if head.name == "next_token")
    kinds = []
    with torch.inference_mode():
        states, layouts = model.encode(writer.given) if writer.given else ({}, {})
        kinds.append(type(stepper(model, head, 1, states, layouts)))
        for watched in ("no address", "source.*"):
            with model.watched(Capture(watched)):
                kinds.append(type(stepper(model, head, 1, states, layouts)))
        with model.watched(Capture(f"{writer.stream}.0.*.weights")):
            kinds.append(type(stepper(model, head, 1, states, layouts)))
        kinds.append(type(stepper(model, head, 1, states, layouts)))
    usual = LoweredStepper if name.startswith((*cases.FAMILIES, "pruned")) else ModelStepper
    assert kinds == [usual, usual, usual, ModelStepper, usual]


@pytest.fixture
def one_batch() -> Iterator[None]:
    """One thread decodes all inputs in one batch."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@WRITERS
@pytest.mark.parametrize("beam", [1, 4])
def test_edits_by_row_are_those_of_separate_runs(name: str, beam: int, one_batch: None) -> None:
    """A batch of equal inputs, each without something else: as each decoded alone. Rows that finish leave."""
    made, model, writer = cases.PLANS[name], cases.model_of(name), writer_of(name)
    read = writer.other or writer.stream
    changes = [Without(), Without(tokens={read: [1]}), Without(tokens={read: [3, 4]})]
    for number, (address, attend) in enumerate(attentions(made)):
        if address.split(".")[0] in (writer.stream, writer.other) and number % 2 == 0:
            changes.append(Without(heads={address: [number % attend.heads]}))
    changes.append(Without(heads={address: [0]}, tokens={read: [0, 2]}))
    options = Options(start=START, end=END, beam=beam, max_ratio=0.0, max_extra=8, logit_bias={END: 1.5}, logprobs=True)
    with model.watched(edit(changes)):
        together = writer.decoded(model, options, len(changes))
    for change, found in zip(changes, together, strict=True):
        with model.watched(edit([change])):
            (alone,) = writer.decoded(model, options)
        assert found.ids == alone.ids, change
        np.testing.assert_allclose(found.logprobs, alone.logprobs, atol=1e-5)
        assert found.score == pytest.approx(alone.score, abs=1e-4)
    assert len({tuple(found.logprobs) for found in together}) > len(changes) // 2
    LENGTHS.update(len(found.ids) for found in together)


LENGTHS: set[int] = set()


def test_rows_did_leave_at_different_times() -> None:
    """Else the law above would say less than it seems to."""
    if not LENGTHS:
        pytest.skip("the law above was not run")
    assert len(LENGTHS) > 3


# ---- edits ----------------------------------------------------------------------------------------------------------


@NAMES
def test_the_states_of_another_run_go_on_as_there(name: str) -> None:
    """All streams patched where the first steps end: from there on it is that other run."""
    made, model = cases.PLANS[name], cases.model_of(name)
    here, there = (cases.packed(cases.draw(made, [5], seed=seed)) for seed in (1, 2))
    other = capture(model, there, ["*.after", "*.embedding.output"])
    last = {stream.name: f"{stream.name}.embedding.output" for stream in made.streams}
    ends = {0: dict(last)}
    for number, where, block in made.blocks():
        layer = "feedforward" if block.feedforward else block.attends[-1].stream
        last[block.stream] = f"{where}.{layer}.after"
        ends[number + 1] = dict(last)
    for at in ends.values():
        edits = [patched(address, range(5), other.row(address)) for address in at.values()]
        assert_same_bits(capture(model, here, ["*.weights"], *edits).states, other.states)
    assert not torch.equal(
        capture(model, here, ["*.weights"]).states[made.streams[0].name], other.states[made.streams[0].name]
    )


@pytest.mark.parametrize("name", cases.names(cases.decodable))
def test_a_patched_token_changes_only_what_can_see_it(name: str) -> None:
    """Later tokens of its stream, as far as windows reach, and streams that attend to it."""
    made, model = cases.PLANS[name], cases.model_of(name)
    given, token = cases.packed(cases.draw(made, [9])), 4
    plain = capture(model, given, ["*.weights"])
    for stream in cases.decodable(made):
        new = torch.randn(1, made.stream(stream).width, generator=torch.Generator().manual_seed(0))
        states = capture(model, given, ["*.weights"], patched(f"{stream}.embedding.output", [token], new)).states
        own = [attend for at, attend in attentions(made) if at.startswith(f"{stream}.") and at.endswith(f".{stream}")]
        reach = token + sum(8 if attend.window is None else attend.window - 1 for attend in own)
        changed = (states[stream] != plain.states[stream]).any(-1)
        assert changed.tolist() == [token <= at <= reach for at in range(9)]
        for other in states.keys() - {stream}:
            reads = any(at.startswith(f"{other}.") and seen == stream for at, seen in cases.crossings(made))
            assert torch.equal(states[other], plain.states[other]) != reads


@NAMES
def test_what_is_hidden_is_as_if_it_were_not_there(name: str) -> None:
    """The last tokens of a row hidden: all others have the states that they have without them; other rows theirs."""
    made, model, lengths = cases.PLANS[name], cases.model_of(name), [6, 5, 8]
    rows = cases.draw(made, lengths)
    plain = capture(model, cases.packed(rows), ["*.weights"])
    for stream in rows:
        gone = {0: [5], 2: [6, 7]}
        seen = capture(model, cases.packed(rows), ["*.weights"], hidden(stream, gone))
        short = {key: value[: -len(gone[2])] for key, value in rows[stream][2].items()}
        fewer = capture(model, cases.packed({**rows, stream: [*rows[stream][:2], short]}), ["*.weights"])
        for one in rows:
            mine = [states.split(lengths) for states in (seen.states[one], plain.states[one])]
            expected = fewer.states[one][11:]
            assert_close("hidden == not there", mine[0][2][: len(expected)], expected)
            assert_close("hidden elsewhere", mine[0][1], mine[1][1], 1e-6)


@NAMES
def test_heads_off_is_their_part_of_the_mix_at_zero(name: str) -> None:
    """And to no other row does anything happen."""
    made, model = cases.PLANS[name], cases.model_of(name)
    given = cases.packed(cases.draw(made, [4, 6]))
    plain = capture(model, given, ["*.mixed"])
    for address, attend in attentions(made):
        head = attend.heads - 1
        seen = capture(model, given, [f"{address}.mixed", f"{address}.weights"], heads_off({address: {1: [head]}}))
        mixed = plain.row(f"{address}.mixed", 1).clone()
        mixed[:, head * attend.head_width :] = 0.0
        assert_close("head off == mixed at 0", seen.row(f"{address}.mixed", 1), mixed)
        assert torch.equal(seen.row(f"{address}.mixed", 0), plain.row(f"{address}.mixed", 0))
        assert (seen.row(f"{address}.weights", 1)[head] == 0).all()
