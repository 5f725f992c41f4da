"""Heads that read their streams before the last step, and where streams meet."""

from __future__ import annotations

import pytest
import torch
from laws import cases

from heedful.model.heads import Labels
from heedful.model.model import Model
from heedful.model.plan import Head, Plan


def plan_of(before: int | None) -> Plan:
    built = cases.small_plan("two-streams", edge=2, picture_width=24)
    likeness = Head(
        name="likeness", streams=("text", "picture"), outputs=6, reads="mean", objective="contrast", before=before
    )
    return built.with_heads(likeness, Head(name="label", streams=("text",), outputs=3, reads="first", bias=True))


def test_where_streams_meet() -> None:
    assert cases.small_plan("two-streams", text_before=(1, 2), picture_before=(0, 1)).apart == 1
    assert cases.small_plan("two-streams", text_before=(1, 2), picture_before=(1, 2)).apart == 2
    assert cases.small_plan("encoder", layers=2, place="post").apart == 2
    assert cases.small_plan("encoder-decoder", layers=2, place="post").apart == 2


@pytest.mark.parametrize("before", [0, 1, 2, None])
def test_a_head_reads_what_the_steps_before_it_made(before: int | None) -> None:
    made = plan_of(before)
    model, given = cases.noisy_model(made), cases.packed(cases.draw(made, [3, 2, 4]))
    wanted = {"likeness": Labels(torch.arange(3)), "label": Labels(torch.tensor([0, 2, 1]))}
    sums = model(given, wanted)
    layouts = {name: one.layout for name, one in given.items()}
    states = {name: model.streams[name].embedding(one) for name, one in given.items()}
    for name, last in (("likeness", before), ("label", None)):
        alone = model.head_loss(name, model.run(states, layouts, last=last), layouts, wanted[name], 0.0)
        torch.testing.assert_close(sums[name].loss, alone.loss)


def test_no_step_runs_that_nothing_reads(monkeypatch: pytest.MonkeyPatch) -> None:
    made = plan_of(2)
    model, given = Model(made), cases.packed(cases.draw(made, [3, 2, 4]))
    ran: list[int | None] = []
    run = Model.run

    def counted(self: Model, *args: object, first: int = 0, last: int | None = None, **named: object) -> object:
        ran.append(last)
        return run(self, *args, first=first, last=last, **named)  # type: ignore[arg-type]

    monkeypatch.setattr(Model, "run", counted)
    model(given, {"likeness": Labels(torch.arange(3))})
    assert ran == [2]
