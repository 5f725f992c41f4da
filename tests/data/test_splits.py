"""Which files are which corpus."""

from __future__ import annotations

from pathlib import Path

import pytest

from heedful.config import parse_recipe, read_recipe
from heedful.data.splits import Splits, splits
from heedful.errors import UserError

RECIPES = Path(__file__).parents[2] / "recipes"
FILES = ['data.source=["a"]', 'data.target=["b"]', 'data.pairs=["c.tsv"]']


def found(*settings: str) -> Splits:
    return splits(parse_recipe({}, [*FILES, *settings]).data)


def test_files_are_one_corpus_where_nothing_sets_them_apart() -> None:
    one = found('data.test_pairs=["t.tsv", "u.tsv"]')
    assert [(corpus.name, corpus.tag) for corpus in one.train] == [("train-0", None)]
    assert (one.train[0].data.source, one.train[0].data.pairs, one.train[0].data.test_pairs) == (("a",), ("c.tsv",), ())
    assert one.held_out
    assert [(corpus.name, corpus.data) for corpus in one.dev] == [("dev-0", one.train[0].data)]
    assert [(corpus.name, corpus.data.pairs) for corpus in one.test] == [("test-0", ("t.tsv", "u.tsv"))]


def test_each_language_is_a_corpus() -> None:
    one = found('data.tags=["de", "fr"]', 'data.dev_pairs=["d.tsv", "e.tsv"]')
    assert [(corpus.tag, corpus.data.source, corpus.data.target, corpus.data.pairs) for corpus in one.train] == [
        ("de", ("a",), ("b",), ()),
        ("fr", (), (), ("c.tsv",)),
    ]
    assert [(corpus.tag, corpus.data.pairs) for corpus in one.dev] == [("de", ("d.tsv",)), ("fr", ("e.tsv",))]
    assert not one.held_out
    assert [corpus.tag for corpus in found('data.tags=["de", "fr"]').dev] == ["de", "fr"]


def test_dev_files_may_have_tags_of_their_own() -> None:
    one = found('data.tags=["de", "de"]', 'data.dev_tags=["de"]', 'data.dev_pairs=["d.tsv"]')
    assert [corpus.tag for corpus in one.train] == ["de", "de"]
    assert [corpus.tag for corpus in one.dev] == ["de"]


def test_weighted_files_are_corpora_with_one_dev() -> None:
    one = found("data.weights=[1, 0.5]", 'data.dev_pairs=["d.tsv", "e.tsv"]')
    assert [corpus.name for corpus in one.train] == ["train-0", "train-1"]
    assert [corpus.data.pairs for corpus in one.dev] == [("d.tsv", "e.tsv")]
    assert len(found("data.temperature=5.0").train) == 2


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        (['data.tags=["de"]'], "data.tags names 1 languages for 2 training corpora; one for each"),
        (['data.tags=["de", "fr"]', 'data.dev_pairs=["d.tsv"]'], "data.tags names 2 languages for 1 dev corpora"),
        (
            ['data.tags=["de", "fr"]', 'data.dev_tags=["de"]', 'data.dev_pairs=["d.tsv", "e.tsv"]'],
            "data.dev_tags names",
        ),
        (['data.tags=["de", "fr"]', 'data.dev_tags=["es"]'], "'es', which no training corpus has"),
        (["data.weights=[1.0]"], "data.weights has 1 numbers for 2 training corpora"),
        (["data.weights=[1.0, 2.0]", "data.temperature=2.0"], "two ways to say the same"),
        (['data.dev_source=["d"]'], "data.dev_source names 1 file"),
        (['data.test_target=["d"]'], "data.test_source names 0 file"),
    ],
)
def test_what_does_not_go_together_is_told(settings: list[str], words: str) -> None:
    with pytest.raises(UserError, match=words):
        found(*settings)


TRANSLATING = [path for path in sorted(RECIPES.glob("*.toml")) if read_recipe(path).task == "translate"]


@pytest.mark.parametrize("recipe", TRANSLATING, ids=lambda path: path.stem)
def test_the_recipes_name_files_that_go_together(recipe: Path) -> None:
    one = splits(read_recipe(recipe).data)
    assert {corpus.tag for corpus in one.dev} == {corpus.tag for corpus in one.train}
    assert not one.held_out
