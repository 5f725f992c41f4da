"""`heedful show`: the table is right for every preset, and no config.json can do more than be refused."""

from __future__ import annotations

import contextlib
import json
import tempfile
from pathlib import Path
from typing import Any

import msgspec
import pytest
from against.checkpoints import CASES
from hypothesis import given, settings
from hypothesis import strategies as st
from tasks import theirs

from heedful.convert.importing import convert_in
from heedful.errors import UserError
from heedful.model.families import FAMILIES
from heedful.model.files import LARGEST_CONFIG
from heedful.model.plan import Plan
from heedful.model.presets import PRESETS, plan
from heedful.model.shapes import count
from heedful.show import describe, parameters, read_plan, show, table


def save(folder: Path, plan: Plan, **extra: Any) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "config.json").write_bytes(msgspec.json.encode({"format": 1, "plan": plan, **extra}))
    return folder


@pytest.mark.parametrize("name", [*PRESETS, *FAMILIES])
def test_every_preset_is_shown_with_all_its_parameters(name: str) -> None:
    chosen = plan(name)
    total = sum(count(shape) for shape in chosen.shapes().values())
    assert sum(parameters(chosen).values()) == total
    text = show(name)
    assert text.startswith(f"{name}: {total:,} parameters\n")
    assert text.endswith("\n")
    for word in [*(s.name for s in chosen.streams), *(h.name for h in chosen.heads), *(t.keep for t in chosen.ties)]:
        assert word in text
    assert max(map(len, text.split("\n"))) <= 120


def test_repeats_are_grouped() -> None:
    text = show("transformer-base")
    assert " 0-5  source  itself (8 x 64)" in text
    assert "6-11  target  itself causally (8 x 64), then source (8 x 64)" in text
    vilbert = show("vilbert")
    assert " 6, 9 .. 18  picture  text (as it was) (8 x 128)" in vilbert
    steps = vilbert.split("\n\n")[2].split("\n")[2:]
    assert len(steps) == 1 + 4 + 2 + 1 + 1  # text alone; the cycle; the last co-attention; one layer of each


def test_what_a_block_does_is_readable() -> None:
    options = {"heads": 8, "key_heads": 2, "gated": True, "activation": "silu", "norm": "rms", "positions": "rotary"}
    text = describe(plan("decoder", window=64, **options), "mine")
    assert "itself causally 64 back (8 x 96, 2 key heads, rotary)" in text
    assert "3072 silu gated" in text
    assert "pre rms" in text
    assert "final rms" in text


def test_a_table_lines_up() -> None:
    assert table(("a", "bb"), [("xxx", "1")], right=(1,)) == "a    bb\n---  --\nxxx   1"


def test_a_model_folder_and_a_run_folder_are_read(tmp_path: Path) -> None:
    chosen = plan("transformer-tiny")
    save(tmp_path / "run" / "model", chosen, task="translate", tokenizer={"joint": True})
    for folder in (tmp_path / "run" / "model", tmp_path / "run"):
        assert read_plan(folder) == chosen
    assert f"{tmp_path / 'run'}: 1,437,696 parameters" in show(str(tmp_path / "run"))


KINDS = {"pre-norm": "roberta", "xlm-r": "roberta", "camembert": "roberta", "pegasus": "marian", "mt5": "t5"}


@pytest.mark.parametrize("name", CASES)
def test_checkpoints_of_other_libraries(name: str, tmp_path: Path) -> None:
    """As what they become, and what that is for."""
    CASES[name].made().save_pretrained(tmp_path / "theirs")
    convert_in(tmp_path / "theirs", tmp_path / "ours")
    told, last = show(str(tmp_path / "theirs")).rsplit("\n\n", 1)
    assert f"{told}\n" == show(str(tmp_path / "ours")).replace(f"{tmp_path}/ours", f"{tmp_path}/theirs")
    layout = next((kind for start, kind in KINDS.items() if name.startswith(start)), name.partition("-")[0])
    assert last.startswith(f"A checkpoint of the layout {layout}, ")
    assert last.endswith(f"; to use it: heedful convert {tmp_path / 'theirs'} NEW_FOLDER\n")


def test_folders_of_other_kinds(tmp_path: Path) -> None:
    theirs.sentence_transformers(tmp_path / "vectors", dense="Tanh")
    text = show(str(tmp_path / "vectors"))
    assert "embedding  the mean of text  what is read\n" in text
    assert "the layout sentence_transformers, for the task embed;" in text
    text = show(str(theirs.vilbert(tmp_path / "vilbert", answers=6, tasks=20)))
    assert "2 segments, 20 tasks" in text
    assert "label          the pooled row of text x picture        6\n" in text
    assert "the layout vilbert, for the task ask;" in text


def test_a_folder_of_a_presets_name_counts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert show("gpt2").startswith("gpt2: 124,439,808 parameters")
    save(Path("gpt2"), plan("gpt2-tiny"))
    assert not show("gpt2").startswith("gpt2: 124,439,808 parameters")


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (b"", "not valid JSON"),
        (b"{", "not valid JSON"),
        (b"[]", "not a heedful model"),
        (b"\xff\xfe", "not valid JSON"),
        (b'{"plan": {}}', "format"),
        (b'{"format": "1", "plan": {}}', "format '1'"),
        (b'{"format": 2, "plan": {"anything": 1}}', "format 2; this version reads 1"),
        (b'{"format": 1, "plan": {"streams": []}}', "steps"),
        (b'{"format": 1, "plan": ' + b"[" * 100_000, "not valid JSON"),
        (b" " * (LARGEST_CONFIG + 1), "larger than"),
        (b'{"model_type": "bert"}', "not a heedful model"),
    ],
)
def test_a_damaged_config_is_one_clear_error(tmp_path: Path, text: bytes, words: str) -> None:
    (tmp_path / "config.json").write_bytes(text)
    with pytest.raises(UserError) as error:
        read_plan(tmp_path)
    assert words in str(error.value)
    assert "config.json" in str(error.value)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("path", "value"),
    [
        (("steps", 0, "blocks", 0, "stream"), "nowhere"),
        (("steps", 0, "blocks", 0, "attends", 0, "stream"), "nowhere"),
        (("streams", 0, "width"), -1),
        (("streams", 0, "width"), 0),
        (("streams", 0, "name"), "\x1b[31m"),
        (("heads", 0, "reads"), "pooled"),
        (("heads", 0, "streams"), []),
        (("heads", 0, "surprise"), 1),
    ],
)
def test_a_plan_that_does_not_fit_together_is_refused(tmp_path: Path, path: tuple[Any, ...], value: Any) -> None:
    tree = msgspec.to_builtins(plan("transformer-tiny"))
    inner = tree = json.loads(json.dumps(tree))
    for key in path[:-1]:
        inner = inner[key]
    inner[path[-1]] = value
    (tmp_path / "config.json").write_text(json.dumps({"format": 1, "plan": tree}), "utf-8")
    with pytest.raises(UserError, match=r"config\.json"):
        show(str(tmp_path))


def test_folders_without_a_model_say_what_they_lack(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"no config\.json"):
        show(str(tmp_path))
    (tmp_path / "recipe.toml").touch()
    with pytest.raises(UserError, match="heedful resume"):
        show(str(tmp_path))
    with pytest.raises(UserError, match="did you mean 'bert-base'"):
        show("bert-bsae")
    with pytest.raises(UserError):
        show("nul\0")


@settings(max_examples=150, deadline=None)
@given(st.data())
def test_any_change_to_a_config_is_shown_or_refused(data: st.DataObject) -> None:
    tree: Any = json.loads(msgspec.json.encode({"format": 1, "plan": plan("vilbert-tiny")}))
    inner, holder, key = tree, None, None
    while isinstance(inner, (dict, list)) and inner:
        holder, key = inner, data.draw(st.sampled_from(sorted(inner)) if isinstance(inner, dict) else _index(inner))
        inner = holder[key]
        if data.draw(st.integers(0, 5)) == 0:
            break
    holder[key] = data.draw(st.none() | st.booleans() | st.integers() | st.text(max_size=3) | st.just([]) | st.just({}))
    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / "config.json").write_text(json.dumps(tree), "utf-8")
        with contextlib.suppress(UserError):
            assert "parameters" in show(folder)


def _index(items: list[Any]) -> st.SearchStrategy[int]:
    return st.integers(0, len(items) - 1)
