"""Every model equals the papers' formulas, computed row by row in double precision."""

from __future__ import annotations

import pytest
import torch

from heedful.model.families import FAMILIES
from heedful.model.model import Model

from . import cases, reference
from .closeness import assert_all_close, assert_close


def compare(law: str, model: Model, rows: cases.Rows) -> None:
    """States and logits of every stream and head, of each row."""
    made = model.plan
    with torch.no_grad():
        states, layouts = model.encode(cases.packed(rows))
        logits = {head.name: model.logits(head.name, states, layouts) for head in made.heads}
    for number in range(len(next(iter(rows.values())))):
        row = {stream: some[number] for stream, some in rows.items()}
        wanted = reference.forward(made, model.tensors(), row)
        found = {}
        for stream in wanted:
            start = int(layouts[stream].starts[number])
            found[stream] = states[stream][start : start + cases.length(row[stream])]
        assert_all_close(f"{law}: states", found, wanted)
        for head in made.heads:
            start = int(layouts[head.streams[0]].starts[number]) if head.reads == "tokens" else number
            expected = reference.logits(made, model.tensors(), wanted)[head.name]
            assert_close(f"{law}: logits", logits[head.name][start : start + len(expected)], expected)


@pytest.mark.parametrize("which", ["explicit", "fused"])
@pytest.mark.parametrize("name", cases.names())
def test_states_and_logits(name: str, which: str, monkeypatch: pytest.MonkeyPatch) -> None:
    cases.kernel(monkeypatch, which)
    made = cases.PLANS[name]
    compare("model == the papers' formulas", cases.model_of(name), cases.draw(made, [6, 1, 3]))


@pytest.mark.parametrize("seed", range(8))
@pytest.mark.parametrize("family", FAMILIES)
def test_random_plans(family: str, seed: int) -> None:
    made = cases.random_plan(family, seed)
    compare("random plans == the papers' formulas", cases.noisy_model(made), cases.draw(made, [5, 2], seed))


def test_co_attention_is_two_swapped_attentions() -> None:
    """Both blocks of a co-attention step read the other stream as it was before the step."""
    found = 0
    for name in cases.names(lambda made: any(len(getattr(step, "blocks", ())) > 1 for step in made.steps)):
        model, made = cases.model_of(name), cases.PLANS[name]
        rows = cases.draw(made, [4])
        with torch.no_grad():
            states, layouts = model.encode(cases.packed(rows))
            states = {stream: model.streams[stream].embedding(given) for stream, given in cases.packed(rows).items()}
            weighed = reference.Weighed(made, model.tensors())
            for number, step in enumerate(made.steps):
                after = model.run(states, layouts, first=number, last=number + 1)
                blocks = [(address, block) for at, address, block in made.blocks() if at == number]
                if len(blocks) > 1:
                    found += 1
                    before = {stream: some.double() for stream, some in states.items()}
                    wanted = {
                        block.stream: reference.run_block(weighed, block, address, before[block.stream], before)
                        for address, block in blocks
                    }
                    assert_all_close("co-attention == two swapped attentions", after, wanted)
                states = after
    assert found >= 2
