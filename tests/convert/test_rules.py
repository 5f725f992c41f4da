"""The table of a layout: which tensor holds which parameters, both ways; what is told where they do not fit."""

from __future__ import annotations

import pytest
import torch
from msgspec import structs
from torch import Tensor

from heedful.convert.agreement import Outline, agree
from heedful.convert.rules import Known, Pair, Rule, Rules, layer, matrix, numbered
from heedful.errors import UserError
from heedful.model.families import FAMILIES
from heedful.model.plan import Attend, Block, Plan, Stream, Tokens


@pytest.mark.parametrize(
    ("ours", "name", "theirs"),
    [
        ("text.{i}.norm", "text.1.norm.weight", "layers.1.ln.weight"),
        ("text.{i}.norm", "text.12.norm.bias", "layers.12.ln.bias"),
        ("text.{i}.norm", "text.1.norms.weight", None),
        ("text.{i}.norm", "text.x.norm.weight", None),
        ("text.{i}.norm", "picture.text.1.norm.weight", None),
        ("text.1", "text.1.norm.weight", "layers.{i}.ln.norm.weight"),
        ("text.1", "text.12.norm.weight", None),
        ("text.1", "text.1", "layers.{i}.ln"),
        ("text.1.norm.weight", "text.1.norm.weight", "layers.{i}.ln"),
    ],
)
def test_names(ours: str, name: str, theirs: str | None) -> None:
    """A rule is about whole words, and carries one number over."""
    pair = Rule(ours, "layers.{i}.ln").read(name)
    if theirs is None:
        assert pair is None
    else:
        assert pair is not None
        assert pair.theirs == theirs.replace("{i}", "")
        assert pair.ours == (name,)


def both_ways(pair: Pair, ours: dict[str, Tensor], theirs: Tensor) -> None:
    shapes = {name: tuple(tensor.shape) for name, tensor in ours.items()}
    assert pair.shape(shapes) == tuple(theirs.shape)
    made = pair.given(ours.__getitem__, shapes)
    assert made.is_contiguous()
    assert torch.equal(made, theirs)
    taken = dict(pair.taken(theirs, shapes))
    assert taken.keys() == ours.keys()
    assert all(torch.equal(taken[name], ours[name]) for name in ours)


def test_tensors() -> None:
    """As it is; three of ours one below the other; turned; of another shape."""
    weight, bias = torch.randn(5, 3), torch.randn(5)
    both_ways(read(Rule("a", "b"), "a.weight"), {"a.weight": weight}, weight)
    both_ways(read(Rule("a", "b", turned=True), "a.weight"), {"a.weight": weight}, weight.t())
    both_ways(read(Rule("a", "b", turned=True), "a.bias"), {"a.bias": bias}, bias)
    both_ways(read(Rule("a.bias", "b", shape=(1, 5)), "a.bias"), {"a.bias": bias}, bias[None])
    parts = Rule(("0.{i}.q", "0.{i}.k"), "h.{i}.qk", turned=True)
    several = {"0.7.q.weight": weight, "0.7.k.weight": torch.randn(2, 3)}
    both_ways(read(parts, "0.7.k.weight"), several, torch.cat(list(several.values())).t())
    assert read(parts, "0.7.q.weight") == read(parts, "0.7.k.weight")


def read(rule: Rule, name: str) -> Pair:
    pair = rule.read(name)
    assert pair is not None
    return pair


def plan(**more: int) -> Plan:
    return FAMILIES["decoder"](vocab=11, width=4, layers=1, heads=2, feedforward=6, capacity=5, **more)  # type: ignore[arg-type]


TABLE = Rules(
    (Rule("text.embedding.tokens", "words"), Rule("text", "trunk")),
    copies={"output": "words.weight"},
    known={"table": Known((7,), lambda: torch.linspace(-1, 1, 7))},
    left=(r"\d+\.mask",),
    dead={"never.read": (2,)},
)


def held(**more: Tensor) -> dict[str, Tensor]:
    """The tensors of the table for the plan."""
    return {name: torch.zeros(pair.shape(plan().shapes())) for name, pair in TABLE.pairs(plan()).items()} | more


def test_the_first_rule_counts() -> None:
    names = list(TABLE.pairs(plan()))
    assert names[:2] == ["words.weight", "trunk.embedding.positions.weight"]
    assert len(names) == len(plan().shapes())


def test_what_fits() -> None:
    more = {"output": torch.zeros(11, 4), "table": torch.linspace(-1, 1, 7).half(), "3.mask": torch.ones(1).bool()}
    tensors = Outline({}, {**held(**more), "never.read": torch.ones(2)})
    pairs = TABLE.check(plan(), tensors, "FILE")
    assert pairs == TABLE.pairs(plan())
    assert TABLE.unread(tensors) == ["never.read"]


def test_a_copy_stands_in() -> None:
    tensors = held(output=torch.ones(11, 4))
    del tensors["words.weight"]
    pair = TABLE.check(plan(), Outline({}, tensors), "FILE")["output"]
    assert pair.ours == ("text.embedding.tokens.weight",)


def without(name: str) -> dict[str, Tensor]:
    return {one: tensor for one, tensor in held().items() if one != name}


WRONG: list[tuple[dict[str, Tensor], str]] = [
    (without("words.weight"), "'words.weight' is not there, though config.json asks for it"),
    ({}, "'words.weight' and 19 more are not there"),
    (held(odd=torch.zeros(1)), "'odd' is unknown to this layout"),
    (held(odd=torch.zeros(1), even=torch.zeros(1)), "'odd' and 1 more are unknown"),
    (held(**{"a\n\x1b[2J": torch.zeros(1)}), r"'a\n\x1b[2J' is unknown"),
    (held(**{"x" * 300: torch.zeros(1)}), "'" + "x" * 97 + "...' is unknown"),
    (held(**{"words.weight": torch.zeros(4, 11)}), "'words.weight' has shape (4, 11); by config.json it is (11, 4)"),
    (held(**{"words.weight": torch.zeros(11, 4).int()}), "'words.weight' holds torch.int32"),
    (held(output=torch.ones(11, 4)), "'output' is not the same as 'words.weight'"),
    (held(output=torch.zeros(44)), "'output' is not the same as 'words.weight'"),
    (held(table=torch.linspace(-1, 1.01, 7)), "'table' does not hold what it should"),
    (held(table=torch.zeros(8)), "'table' does not hold what it should"),
    (held(table=torch.full((7,), torch.nan)), "'table' does not hold what it should"),
]  # fmt: skip


@pytest.mark.parametrize(("tensors", "message"), WRONG, ids=range(len(WRONG)))
def test_what_does_not_fit(tensors: dict[str, Tensor], message: str) -> None:
    with pytest.raises(UserError) as caught:
        TABLE.check(plan(), Outline({}, tensors), "FILE")
    assert str(caught.value).startswith(f"FILE: {message}")
    assert str(caught.value).isprintable()


def test_parameters_without_a_place() -> None:
    with pytest.raises(UserError, match=r"no place for text\.embedding\.tokens\.weight"):
        Rules((Rule("picture", "p"),)).pairs(plan())


@pytest.mark.parametrize("shape", [(), (3,), (2, 3, 4), (0, 3)])
def test_sizes_are_taken_of_matrices(shape: tuple[int, ...]) -> None:
    assert matrix(Outline({"a": (2, 3)}, {}), "a", "FILE") == (2, 3)
    with pytest.raises(UserError, match=r"^FILE: 'a' has shape .*; it is a matrix$"):
        matrix(Outline({"a": shape}, {}), "a", "FILE")


def test_layer() -> None:
    assert layer("a.{i}", "b.{i}", {"x": "y"}, turned=True) == [Rule("a.{i}.x", "b.{i}.y", turned=True)]


def test_own_blocks_are_numbered_apart() -> None:
    made = FAMILIES["two-streams"](vocab=11, text_before=(1, 2), picture_before=(0, 1), layers=3, picture_layers=1)
    found = [(address, own, number) for address, _, own, number in numbered(made) if address.startswith("text")]
    assert found == [
        ("text.0", True, 0), ("text.1", False, 0), ("text.2", True, 1), ("text.3", False, 1), ("text.4", True, 2)
    ]  # fmt: skip
    blocks = (
        Block(stream="text", attends=()),
        Block(stream="text", attends=(Attend(stream="b", heads=1, head_width=2),)),
    )
    bare = Plan(
        streams=(Stream(name="text", width=2, embedding=Tokens(vocab=3)),),
        steps=tuple(structs.replace(plan().steps[0], blocks=(block,)) for block in blocks),  # type: ignore[type-var]
    )
    assert [own for _, _, own, _ in numbered(bare)] == [False, False]


def test_what_computes_the_same() -> None:
    """Dropout and how training begins, the order of heads and ties, sizes that have no effect."""
    made = FAMILIES["encoder"](vocab=11, width=4, layers=1, heads=2, feedforward=6, capacity=5)
    turned = structs.replace(made, heads=made.heads[::-1], ties=made.ties[::-1], initialization="gpt2")
    agree(made.with_dropout(0.3, 0.4), turned, "here")
    translator = FAMILIES["encoder-decoder"]
    agree(translator(capacity=7), translator(capacity=9), "here")  # sines have no end
    agree(translator(bias=False, norm="rms"), translator(norm="rms"), "here")
    learned = {"positions": "learned", "capacity": 7}
    agree(translator(**learned), translator(**learned, offset=2), "here")


@pytest.mark.parametrize(
    ("ours", "theirs", "message"),
    [
        ({"positions": "learned", "capacity": 7}, {"positions": "learned", "capacity": 9}, "capacity = 7"),
        ({"positions": "learned", "offset": 2}, {"positions": "learned"}, "positions below 0 = 2; it computes 0"),
        ({}, {"offset": 2}, "offset = 0; it computes 2"),
        ({"layers": 3}, {"layers": 2}, "steps, their number = 6; it computes 4"),
        ({}, {"bias": False}, "bias = true; it computes false"),
        ({}, {"tie": "target"}, "ties.source.embedding.tokens.weight"),
        ({"eps": 1e-6}, {}, "norm.eps = 1e-06"),
        ({"scaled": False}, {}, "scaled = false"),
    ],
)
def test_what_does_not(ours: dict[str, object], theirs: dict[str, object], message: str) -> None:
    made = FAMILIES["encoder-decoder"]
    with pytest.raises(UserError) as caught:
        agree(made(**ours), made(**theirs), "here")
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)
