"""The demo from phrases to page, small; and what it tells when something is in the way."""

import re
from itertools import pairwise
from pathlib import Path

import pytest

from heedful.config import read_recipe
from heedful.demo import run
from heedful.demo.corpus import KINDS, TARGETS, examples
from heedful.demo.draw import split_of
from heedful.demo.report import share
from heedful.demo.run import Scored, held_out, run_demo, write_data
from heedful.errors import UserError


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    folder = tmp_path_factory.mktemp("demo") / "out"
    page = run_demo(folder, seed=2, seconds=0.0, phrases=270, per_kind=2)
    return folder, page


def test_demo_leaves_a_page_and_all_it_was_made_from(made):
    folder, page = made
    assert page == folder / "report.html"
    text = page.read_bytes().decode()
    assert text.startswith("<!doctype html>")
    assert text.count("<section>") == 4
    assert "Content-Security-Policy" in text
    for name in ("recipe.toml", "data/train.en-de.tsv", "run/journal.jsonl", "run/model/model.safetensors"):
        assert (folder / name).stat().st_size > 0
    assert {kind for kind in KINDS if f"<td>{kind}</td>" in text} == set(KINDS)
    assert len(re.findall(r"<figure>", text)) == 4


def test_what_is_there_is_not_overwritten(tmp_path):
    (tmp_path / "demo").mkdir()
    assert run._fresh(tmp_path / "demo") == tmp_path / "demo"
    (tmp_path / "demo" / "letter.txt").write_text("dear")
    (tmp_path / "demo-2").write_text("a file")
    assert run._fresh(tmp_path / "demo") == tmp_path / "demo-3"


def test_a_folder_that_cannot_be_made_is_one_line(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(UserError, match="cannot be written: Not a directory"):
        write_data(tmp_path / "file" / "demo", 1, 9, 1.0)


def test_training_files_hold_no_test_value(tmp_path):
    path = write_data(tmp_path / "demo", 1, 900, 10.0)
    recipe = read_recipe(path)
    lines = [line for file in recipe.data.pairs for line in Path(file).read_bytes().decode().split("\n") if line]
    assert len(lines) == 900
    assert {line.split("\t")[0] for line in lines} == {one.source for one in examples(1, 900, "train")}
    assert all(split_of(value) == "test" for one in held_out(1, 3) for value in one.values)


def test_held_out_phrases_are_different_and_even():
    found = held_out(1, 40)
    assert len({(one.target_language, one.source) for one in found}) == len(found) == 40 * len(KINDS) * len(TARGETS)
    assert 40 * len(KINDS) >= 300
    groups = [(one.kind, one.target_language) for one in found]
    assert all(groups.count(group) == 40 for group in set(groups))
    assert held_out(1, 40) == found


def test_share_counts_exact_matches():
    some = [Scored(one, one.target if number % 4 else "") for number, one in enumerate(held_out(1, 4))]
    assert share(some) == 0.75
    assert share(some, target="fr") == 0.75
    assert not any(one.exact for one, _ in pairwise(some[::4]))


def test_a_failed_training_is_one_line(tmp_path):
    with pytest.raises(UserError, match="exit code 2"):
        run.train(tmp_path / "missing.toml", tmp_path / "run", 1.0)
