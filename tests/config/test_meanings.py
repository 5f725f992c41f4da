"""`heedful init`'s recipe: every key is there, and read back it is the recipe it was made from."""

from __future__ import annotations

import re
import tomllib
from itertools import pairwise

import pytest

from heedful.config import SECTIONS, TASKS, Recipe, parse_recipe, write_toml
from heedful.config.meanings import EXAMPLES, MEANINGS, commented, model_keys

TOP = {name for name in Recipe.__struct_fields__ if name not in SECTIONS and name != "model"}


def keys_of(task: str) -> set[str]:
    own = {f"{name}.{key}" for name, keys in TASKS[task].keys.items() for key in keys}
    return TOP | own | {f"model.{key}" for key in model_keys(task)}


def test_every_key_has_a_meaning_and_every_meaning_a_key() -> None:
    assert set(MEANINGS) == set().union(*map(keys_of, TASKS))
    assert set(EXAMPLES) <= set(MEANINGS)
    assert all(meaning.endswith((".", "...")) and len(meaning) < 118 for meaning in MEANINGS.values())


@pytest.mark.parametrize(
    "settings",
    [
        [],
        ['data.source=["a \\"b\\".en"]', "cleaning.ratio=2.5", "training.limit=20m", "tokenizer.size=4000", "seed=7"],
        ["model.preset=transformer-small", "model.place=pre", "model.dropout=0.2", "data.columns=[2,1]"],
    ],
)
def test_read_back_it_is_the_same_recipe(settings: list[str]) -> None:
    recipe = parse_recipe({}, settings)
    assert parse_recipe(tomllib.loads(commented(recipe))) == recipe


def test_every_key_of_a_section_is_some_tasks_and_no_task_has_others() -> None:
    named = {f"{name}.{key}" for task in TASKS.values() for name, keys in task.keys.items() for key in keys}
    assert named == {f"{name}.{key}" for name, section in SECTIONS.items() for key in section.__struct_fields__}
    for task in TASKS.values():
        for name, values in task.defaults.items():
            assert set(values) <= set(task.keys[name])


@pytest.mark.parametrize("task", TASKS)
def test_read_back_it_is_the_same_recipe_for_every_task(task: str) -> None:
    recipe = parse_recipe({"task": task})
    assert parse_recipe(tomllib.loads(commented(recipe))) == recipe
    assert parse_recipe(tomllib.loads(write_toml(recipe))) == recipe


@pytest.mark.parametrize("task", TASKS)
def test_every_key_stands_there_with_its_meaning_above(task: str) -> None:
    lines = commented(parse_recipe({"task": task})).split("\n")
    section, found = "", set()
    for above, line in pairwise(lines):
        if line.startswith("["):
            section = line.strip("[]") + "."
        if match := re.fullmatch(r"(?:# )?(\w+) = .+", line):
            found.add(section + match[1])
            assert above.startswith(f"# {MEANINGS[section + match[1]]}")
    assert found == keys_of(task)


def test_what_is_commented_out_may_be_taken_as_it_stands() -> None:
    text = re.sub(r"^# (\w+ = )", r"\1", commented(Recipe()), flags=re.MULTILINE)
    recipe = parse_recipe(tomllib.loads(text), ["data.temperature=1.0"])
    assert (recipe.cleaning.ratio, recipe.tokenizer.size, recipe.model["preset"]) == (3.0, 8000, "transformer-mini")


def test_choices_are_named() -> None:
    assert "One of: bpe, unigram, bytes, characters." in commented(Recipe())
    assert "One of: sinusoidal, learned, rotary," in commented(Recipe())
