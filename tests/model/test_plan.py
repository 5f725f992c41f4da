"""Plans and presets: the sizes of the papers, and plans as values that survive a file."""

from __future__ import annotations

import math

import msgspec
import pytest

from heedful.errors import UserError
from heedful.model.families import FAMILIES
from heedful.model.plan import Attend, FinalNorm, Plan, Step, attention_scale
from heedful.model.presets import PRESETS, nearest, plan
from heedful.model.shapes import count, flops_per_token


def size(chosen: Plan) -> int:
    return sum(count(shape) for shape in chosen.shapes().values())


# Parameters as transformers counts them (GPT2LMHeadModel; BertForPreTraining), or by hand from the paper's sizes.
@pytest.mark.parametrize(
    ("name", "parameters"),
    [
        ("gpt2", 124_439_808),
        ("gpt2-medium", 354_823_168),
        ("gpt2-large", 774_030_080),
        ("gpt2-xl", 1_557_611_200),
        ("bert-base", 110_106_428),
        ("bert-large", 336_226_108),
        ("transformer-base", 32_000 * 512 + 6 * 3_152_384 + 6 * 4_204_032),
    ],
)
def test_presets_have_the_published_size(name: str, parameters: int) -> None:
    assert size(plan(name)) == parameters


@pytest.mark.parametrize("name", [*PRESETS, *FAMILIES])
def test_every_preset_is_a_sound_plan(name: str) -> None:
    chosen = plan(name)
    addresses = [address for _, address, _ in chosen.blocks()]
    assert len(addresses) == len(set(addresses))
    assert all(shape and min(shape) > 0 for shape in chosen.shapes().values())
    assert all(cost > 0 for cost in flops_per_token(chosen).values())
    hash(chosen)
    for tie in chosen.ties:
        assert not any(key == tie.share or key.startswith(tie.share + ".") for key in chosen.shapes())
        assert any(key == tie.keep or key.startswith(tie.keep + ".") for key in chosen.shapes())


@pytest.mark.parametrize("name", [*PRESETS, *FAMILIES])
def test_a_plan_survives_json(name: str) -> None:
    assert msgspec.json.decode(msgspec.json.encode(plan(name)), type=Plan) == plan(name)


def test_a_file_with_a_field_we_lack_is_refused() -> None:
    tree = msgspec.to_builtins(plan("gpt2-tiny"))
    tree["streams"][0]["surprise"] = 1
    with pytest.raises(msgspec.ValidationError, match="surprise"):
        msgspec.convert(tree, Plan)


def test_gpt2_is_bert_under_another_mask() -> None:
    options = {"vocab": 99, "width": 32, "layers": 3, "heads": 4, "feedforward": 64, "capacity": 16}
    same = {"activation": "gelu", "place": "pre", "eps": 1e-5}
    encoder = plan("encoder", segments=0, pool=False, **options, **same)
    decoder = plan("decoder", **options, activation="gelu")
    for (_, one, left), (_, two, right) in zip(encoder.blocks(), decoder.blocks(), strict=True):
        assert one == two
        assert left.attends[0].mask == "open"
        assert msgspec.structs.replace(left.attends[0], mask="causal") == right.attends[0]
        assert msgspec.structs.replace(left, attends=right.attends) == right


def test_an_encoder_decoder_attends_to_itself_and_then_to_the_source() -> None:
    chosen = plan("transformer-base")
    blocks = {address: block for _, address, block in chosen.blocks()}
    assert [(attend.stream, attend.mask) for attend in blocks["target.5"].attends] == [
        ("target", "causal"),
        ("source", "open"),
    ]
    assert [(attend.stream, attend.mask) for attend in blocks["source.5"].attends] == [("source", "open")]
    assert len(blocks) == 12


def test_pre_norm_ends_each_stream_with_a_norm() -> None:
    ends = [step.stream for step in plan("transformer-base", place="pre").steps if isinstance(step, FinalNorm)]
    assert ends == ["source", "target"]
    assert not any(isinstance(step, FinalNorm) for step in plan("transformer-base").steps)


def test_vilbert_runs_as_published() -> None:
    """Lu et al. 2019: 12 text, 6 picture, 6 co-attention layers, co-attention before text layers 6 to 11."""
    chosen = plan("vilbert")
    order = ["+".join(block.stream[0] for block in step.blocks) for step in chosen.steps if isinstance(step, Step)]
    assert (order.count("t"), order.count("p"), order.count("p+t")) == (12, 6, 6)
    text_done = 0
    before = []
    for step in order:
        if step == "p+t":
            before.append(text_done)
        text_done += step == "t"
    assert before == [6, 7, 8, 9, 10, 11]
    co = next(step for step in chosen.steps if isinstance(step, Step) and len(step.blocks) == 2)
    assert {(block.stream, block.attends[0].stream) for block in co.blocks} == {
        ("picture", "text"),
        ("text", "picture"),
    }
    shapes = chosen.shapes()
    assert shapes["text.6.picture.query.weight"] == (1024, 768)
    assert shapes["text.6.picture.output.weight"] == (768, 1024)
    assert shapes["picture.0.text.key.weight"] == (1024, 768)


def test_ties_and_separate_vocabularies() -> None:
    joint = plan("transformer-tiny").shapes()
    assert "source.embedding.tokens.weight" not in joint
    apart = plan("transformer-tiny", target_vocab=3000).shapes()
    assert apart["source.embedding.tokens.weight"] == (4000, 128)
    assert apart["target.embedding.tokens.weight"] == (3000, 128)
    assert "heads.next_token.output.weight" not in apart
    untied = plan("transformer-tiny", tie="none").shapes()
    assert untied["heads.next_token.output.weight"] == (4000, 128)


def test_buckets_are_one_table_a_stack() -> None:
    shapes = plan("transformer-tiny", positions="buckets").shapes()
    assert [name for name in shapes if "buckets" in name] == ["source.0.source.buckets", "target.0.target.buckets"]


def test_flops_count_two_per_weight_that_a_token_passes() -> None:
    chosen = plan("decoder", vocab=100, width=16, layers=2, heads=2, feedforward=64, bias=False)
    weights = sum(count(shape) for name, shape in chosen.shapes().items() if ".0." in name or ".1." in name)
    matrices = weights - sum(count(s) for n, s in chosen.shapes().items() if ".norm." in n and n.count(".") > 2)
    assert flops_per_token(chosen) == {"text": 2 * (matrices + 100 * 16)}


def test_options_are_checked_by_name() -> None:
    with pytest.raises(UserError, match="did you mean 'layers'"):
        plan("transformer-base", layer=3)
    with pytest.raises(UserError, match="did you mean 'gpt2-medium'"):
        plan("gpt2-medum")
    with pytest.raises(UserError, match="choose a divisor"):
        plan("gpt2", key_heads=5)
    assert nearest("zzzzzz", ["a", "b"]) == "known: a, b"


def test_head_sizes_are_explicit() -> None:
    attend = Attend(stream="text", heads=6, head_width=10, key_heads=2)
    assert (attend.inner, attend.kv_inner, attend.kv_heads) == (60, 20, 2)
    assert math.isclose(attention_scale(attend), 10**-0.5)
    assert attention_scale(Attend(stream="text", heads=1, head_width=4, scale=1.0)) == 1.0


def test_an_unknown_stream_is_named() -> None:
    with pytest.raises(ValueError, match="'nowhere'; it has source, target"):
        plan("transformer-tiny").stream("nowhere")


def test_another_dropout_changes_nothing_else() -> None:
    given = plan("bert-tiny")
    other = given.with_dropout(0.4, 0.25)
    assert {block.dropout for _, _, block in other.blocks()} == {0.4}
    assert {attend.dropout for _, _, block in other.blocks() for attend in block.attends} == {0.25}
    assert other.stream("text").embedding.dropout == 0.4
    assert other.with_dropout(0.1, 0.1) == given
    assert given.with_dropout() == given
    assert other.shapes() == given.shapes()
