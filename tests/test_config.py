"""Recipes: every mistake is one clear UserError, every recipe survives a round trip through TOML."""

from __future__ import annotations

import contextlib
import string
import tomllib
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from heedful.config import LIMITS, SECTIONS, TASKS, Recipe, override, parse_recipe, read_recipe, seconds, write_toml
from heedful.errors import UserError


def write(folder: Path, text: str | bytes) -> Path:
    file = folder / "recipe.toml"
    file.write_bytes(text if isinstance(text, bytes) else text.encode())
    return file


def test_what_an_option_set_is_told_of_the_option(tmp_path: Path) -> None:
    file = write(tmp_path, "[training]\nrate = 1e-3")
    with pytest.raises(UserError, match=r"^--set: training\.rate: expected float, got str"):
        read_recipe(file, ["training.rate=abc"])
    assert read_recipe(file, ["training.limit=90"]).training.limit == "90"


def test_an_empty_recipe_is_the_defaults(tmp_path: Path) -> None:
    assert read_recipe(write(tmp_path, "")) == Recipe()


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("sead = 1", "did you mean 'seed'?"),
        ("[data]\ntags = ['a\\nb']", "up to 64 letters"),
        ('[data]\ntags = ["a\\nb"]', "up to 64 letters"),
        ('[data]\ntags = ["de", ""]', "data.tags has ''"),
        ("[data]\nhold_out = 0", "data.hold_out = 0 is outside 1"),
        ("[decoding]\nlongest = 0", "decoding.longest = 0 is outside 1"),
        ("[trainin]", "did you mean 'training'?"),
        ("[training]\nwarm = 3", "did you mean 'warmup'?"),
        ("[training]\nbatchtokens = 3", "unknown key 'training.batchtokens'; did you mean 'batch_tokens'?"),
        ("[decoding]\nzzzz = 3", "known: beam, "),
        ("[model]\nlayer = 3", "did you mean 'layers'?"),
        ("[model]\npreset = 'transformer-bse'", "did you mean 'transformer-base'?"),
        ("[model]\npreset = 3", "model.preset"),
        ("[model]\nlayers = 'three'", "model.layers"),
        ("[model]\nlayers = 0", "outside 1 to 1000"),
        ("[model]\nheads = 0", "outside"),
        ("[model]\ndropout = 1.0", "outside"),
        ("[model]\nheads = 8\nkey_heads = 3", "choose a divisor"),
        ("task = 'match'\n[model]\npreset = 'vilbert'\ntext_before = [1]", "does not make a plan"),
        ("[model]\npreset = 'vilbert'", "family two-streams, not encoder-decoder"),
        ("task = 'wriet'", "did you mean 'write'"),
        ("task = 'write'\n[data]\nsource = ['a']", "'data.source' is not for this task, which has: train, dev"),
        ("task = 'write'\n[cleaning]\ncopies = true", "'cleaning' is not for this task"),
        ("training = 3", "training"),
        ("[training]\nsteps = 'many'", "training.steps"),
        ("[training]\nschedule = 'nom'", "'nom'; one of: noam, inverse-sqrt, cosine, linear, constant"),
        ("[training]\nlimit = '20 minutes'", "write 90s, 20m or 2h"),
        ("[training]\ndevice = 'gpu'", "known: auto"),
        ("[training]\nbetas = [0.9, 1.0]", "training.betas"),
        ("[training]\nrate = nan", "outside"),
        ("[training]\nprocesses = 0", "outside"),
        ("[data]\nsource = 'a.en'", "data.source"),
        ("seed = 1\nseed = 2", "recipe.toml"),
        ("seed = \n", "line 1"),
        ("seed = " + "9" * 5000, "recipe.toml"),
        ("seed = " + "9" * 30, "seed"),
        ("seed = " + "[" * 5000 + "]" * 5000, "recipe.toml"),
        ("seed = 1\x00", "recipe.toml"),
        (b"seed = 1 # \xff", "byte 11 is not UTF-8"),
        ("#" * 1_000_001, "longer than 1,000,000 bytes"),
    ],
)
def test_a_mistake_is_named(tmp_path: Path, text: str | bytes, words: str) -> None:
    file = write(tmp_path, text)
    with pytest.raises(UserError) as error:
        read_recipe(file)
    assert words in str(error.value)
    assert str(file) in str(error.value)
    assert len(str(error.value)) < 2000


@pytest.mark.parametrize("name", ["missing.toml", "nul\0.toml", "."])
def test_a_file_that_cannot_be_read_is_named(tmp_path: Path, name: str) -> None:
    with pytest.raises(UserError):
        read_recipe(f"{tmp_path}/{name}")


@pytest.mark.parametrize(("name", "limits"), LIMITS.items())
def test_limits_hold_on_both_sides(name: str, limits: tuple[float, float]) -> None:
    section, _, key = name.partition(".")
    task = next((task for task, one in TASKS.items() if key in one.keys.get(section, ())), "translate")
    for value in limits:
        parse_recipe({"task": task}, [f"{name}={value!r}"])
    low, high = limits
    integral = isinstance(low, int) and isinstance(high, int)
    for value in (low - 1, high + 1 if integral else high * 1.01 + 1):
        with pytest.raises(UserError, match=name.split(".")[-1]):
            parse_recipe({"task": task}, [f"{name}={value!r}"])


def test_a_byte_order_mark_is_dropped(tmp_path: Path) -> None:
    assert read_recipe(write(tmp_path, b"\xef\xbb\xbfseed = 4")).seed == 4


def test_overrides_reach_every_depth_and_the_last_one_wins() -> None:
    given = ["seed=3", "training.schedule=noam", "data.source=['a', 'b']", "model.layers = 2", "seed=4"]
    recipe = parse_recipe({"training": {"warmup": 5}}, given)
    assert (recipe.seed, recipe.training.schedule, recipe.training.warmup) == (4, "noam", 5)
    assert (recipe.data.source, recipe.model) == (("a", "b"), {"layers": 2})


@pytest.mark.parametrize(
    "text", ["seed", "=3", "", "seed.x=3", "training.limit.x=1", "a..b=1", "seed=1\nx=2", "seed=" + "[" * 5000]
)
def test_a_wrong_override_is_a_user_error(text: str) -> None:
    with pytest.raises(UserError):
        parse_recipe({"seed": 1, "training": {"limit": "2h"}}, [text])


def test_overrides_leave_the_given_tree_alone() -> None:
    tree: dict[str, Any] = {"training": {"warmup": 5}}
    parse_recipe(tree, ["training.warmup=6"])
    assert tree == {"training": {"warmup": 5}}


@pytest.mark.parametrize(("text", "value"), [("90s", 90), ("20m", 1200), ("1.5h", 5400), ("7", 7)])
def test_durations(text: str, value: float) -> None:
    assert seconds(text) == value


@pytest.mark.parametrize("text", ["", "m", "-1s", "0", "nan", "inf", "infh", "1d", "1 2s", "1m30s"])
def test_wrong_durations(text: str) -> None:
    with pytest.raises(UserError, match="write 90s"):
        seconds(text)


def test_a_full_recipe_survives_the_round_trip(tmp_path: Path) -> None:
    recipe = parse_recipe(
        {
            "seed": 9,
            "data": {"source": ['a\x7f\n"\\', "日本 😀"], "target": ["x", "y"], "hold_out": 7},
            "tokenizer": {"kind": "unigram", "size": 500, "sampling": 0.1, "joint": False},
            "model": {"preset": "transformer-mini", "dropout": 0.2, "norm": "rms", "bias": False},
            "training": {"limit": "20m", "processes": "auto", "betas": [0.9, 0.95], "eps": 1e-8, "device": "cuda:1"},
            "decoding": {"beam": 5},
        }
    )
    assert read_recipe(write(tmp_path, write_toml(recipe))) == recipe


keys = st.sampled_from([*Recipe.__struct_fields__, *(k for s in SECTIONS.values() for k in s.__struct_fields__)])
model_keys = st.sampled_from(["preset", "layers", "heads", "key_heads", "width", "dropout", "tie", "place", "capacity"])
scalars = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text(max_size=8)
    | st.sampled_from(["auto", "noam", "cpu", "2h", "gpt2", "vilbert", "all", "pre"])
)
values = st.recursive(scalars, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(keys, inner, max_size=3))
trees = st.dictionaries(
    keys | st.text(max_size=5),
    values | st.dictionaries(keys | model_keys | st.text(max_size=5), values, max_size=4),
    max_size=4,
)
override_texts = st.builds(lambda key, value: f"{key}={value}", st.text(max_size=10) | keys, st.text(max_size=10))


@settings(max_examples=300, deadline=None)
@given(trees, st.lists(override_texts | st.text(max_size=12), max_size=2))
def test_any_tree_is_a_recipe_or_a_user_error(tree: dict[str, Any], overrides: list[str]) -> None:
    try:
        recipe = parse_recipe(tree, overrides)
    except UserError:
        return
    assert parse_recipe(tomllib.loads(write_toml(recipe))) == recipe


@settings(max_examples=200, deadline=None)
@given(st.binary(max_size=60) | st.text(alphabet=string.printable, max_size=60).map(str.encode))
def test_any_bytes_are_a_recipe_or_a_user_error(tmp_path_factory: pytest.TempPathFactory, raw: bytes) -> None:
    file = tmp_path_factory.getbasetemp() / "fuzzed.toml"
    file.write_bytes(raw)
    with contextlib.suppress(UserError):
        assert isinstance(read_recipe(file), Recipe)


@settings(max_examples=200, deadline=None)
@given(st.text(max_size=20))
def test_any_name_survives_an_override(name: str) -> None:
    assert parse_recipe({}, [override("data.source", [name])]).data.source == (name,)
