"""`--languages`: friendly forms of files with languages become data.tags; every mistake is one line."""

from __future__ import annotations

from typing import Any

import pytest

from heedful.config import by_language
from heedful.errors import UserError


def given(**files: list[str]) -> dict[str, Any]:
    return {f"data.{name}": value for name, value in files.items()}


def test_pairs_with_languages() -> None:
    found = by_language("de, fr", given(pairs=["fr=x/en-fr.tsv", "de=en=de.tsv"]))
    assert (found["data.pairs"], found["data.tags"]) == (["x/en-fr.tsv", "en=de.tsv"], ["fr", "de"])


def test_one_source_serves_all_targets() -> None:
    found = by_language(
        "de,fr",
        given(source=["t.en"], target=["de=t.de", "fr=t.fr"], dev_source=["d.en"], dev_target=["fr=d.fr", "de=d.de"]),
    )
    assert (found["data.source"], found["data.target"]) == (["t.en", "t.en"], ["t.de", "t.fr"])
    assert (found["data.tags"], found["data.dev_tags"]) == (["de", "fr"], ["fr", "de"])
    assert (found["data.dev_source"], found["data.dev_target"]) == (["d.en", "d.en"], ["d.fr", "d.de"])


def test_one_source_serves_all_tests() -> None:
    files = given(target=["de=a", "fr=b"], source=["s"], test_source=["t.en"], test_target=["de=t.de", "fr=t.fr"])
    found = by_language("de,fr", files)
    assert (found["data.test_source"], found["data.test_target"]) == (["t.en", "t.en"], ["t.de", "t.fr"])
    assert by_language("de,fr", given(test_pairs=["a.tsv"]))["data.test_pairs"] == ["a.tsv"]


def test_targets_come_before_pairs() -> None:
    found = by_language("de,fr", given(source=["a"], target=["fr=b"], pairs=["de=c.tsv", "fr=d.tsv"]))
    assert (found["data.target"], found["data.pairs"]) == (["b"], ["c.tsv", "d.tsv"])
    assert found["data.tags"] == ["fr", "de", "fr"]


def test_plain_files_come_in_the_order_of_the_languages() -> None:
    found = by_language("de,fr", given(pairs=["a.tsv", "b=1.tsv"]))
    assert (found["data.pairs"], found["data.tags"]) == (["a.tsv", "b=1.tsv"], ["de", "fr"])
    assert by_language("de,fr", given())["data.tags"] == ["de", "fr"]  # the recipe's files


@pytest.mark.parametrize(
    ("languages", "files", "words"),
    [
        (" , ", {"pairs": ["a.tsv"]}, "names none"),
        ("de,fr", {"pairs": ["de=a.tsv", "b.tsv"]}, "b.tsv: of which language is it"),
        ("de,fr", {"pairs": ["de=a.tsv", "es=b.tsv"]}, "es=b.tsv: of which language"),
        ("de,fr", {"pairs": ["de=a.tsv", "de=b.tsv"]}, "names 'fr', but no file"),
        ("de,fr", {"pairs": ["a.tsv"]}, "2 languages for 1 files; give --pairs de=FILE"),
        ("de,fr", {"pairs": ["de=a.tsv", "fr=b"], "dev_pairs": ["a.tsv"]}, "give --dev-pairs de=FILE"),
    ],
)
def test_a_mistake_is_one_line(languages: str, files: dict[str, list[str]], words: str) -> None:
    with pytest.raises(UserError, match=words) as told:
        by_language(languages, given(**files))
    assert "\n" not in str(told.value)
