"""Several corpora read as one are the corpora one after another, with their tags in front."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from heedful.config import parse_recipe
from heedful.data.batches import Batches
from heedful.data.corpora import Corpora, Part
from heedful.data.parallel import prepare
from heedful.data.shards import Sampling, Shards, build_shards
from heedful.text.tokenizer import train_tokenizer

TEXTS = [
    [(f"one {n}", f"eins {n} {'x ' * n}") for n in range(5)],
    [(f"two {n} and more", f"deux {n}") for n in range(7)],
]


@pytest.fixture(params=[None, Sampling(0.5, 4, 1)], ids=["plain", "sampled"])
def parts(request: pytest.FixtureRequest, tmp_path: Path) -> list[Part]:
    tokenizer = train_tokenizer([side for pairs in TEXTS for pair in pairs for side in pair], "bpe", 320)
    tokenizers = {"source": tokenizer, "target": tokenizer}
    return [
        Part(build_shards(tmp_path / str(number), pairs, tokenizers, sampling=request.param), {"source": (number + 4,)})
        for number, pairs in enumerate(TEXTS)
    ]


def rows_of(corpus: Corpora | Shards, stream: str, examples: list[int], epoch: int) -> list[list[int]]:
    ids, lengths = corpus.rows(stream, np.array(examples), epoch)
    assert lengths.sum() == len(ids)
    return [row.tolist() for row in np.split(ids, np.cumsum(lengths)[:-1])]


@pytest.mark.parametrize("order", [[0, 1, 5, 11], [11, 0, 6, 4, 5], [3], [8, 7]])
def test_rows_come_in_the_order_asked_for(parts: list[Part], order: list[int]) -> None:
    corpus = Corpora(parts)
    assert len(corpus) == 12
    for stream, tagged in (("source", True), ("target", False)):
        expected = []
        for number in order:
            part, inside = (0, number) if number < 5 else (1, number - 5)
            tag = list(parts[part].before["source"]) if tagged else []
            expected.append(tag + rows_of(parts[part].shards, stream, [inside], 3)[0])
        assert rows_of(corpus, stream, order, 3) == expected


def test_lengths_count_the_tag(parts: list[Part]) -> None:
    corpus = Corpora(parts)
    for stream in ("source", "target"):
        rows = rows_of(corpus, stream, list(range(12)), 1)
        assert corpus.lengths(stream, 1).tolist() == [len(row) for row in rows]


def test_batches_take_a_corpus_of_several(parts: list[Part]) -> None:
    batches = Batches(Corpora(parts), 20, seed=1).epoch(0)
    assert sorted(np.concatenate(batches).tolist()) == list(range(12))


def test_prepared_data_are_used_again_and_made_anew_when_they_change(tmp_path: Path) -> None:
    for name in ("src", "tgt"):
        (tmp_path / name).write_text("".join(f"{name} {n}\n" for n in range(40)), "utf-8")
    settings = [f'data.source=["{tmp_path}/src"]', f'data.target=["{tmp_path}/tgt"]', "tokenizer.size=320"]
    recipe = parse_recipe({}, settings)
    first = prepare(recipe, tmp_path / "data")
    assert first == ["data: 38 pairs to train on; left out: 0 with an empty side, 0 also in dev or test, 0 duplicates, "
                     "0 longer than 256 tokens; held out for validation: 2"]  # fmt: skip
    files = sorted(path for path in (tmp_path / "data").rglob("*") if path.is_file())
    before = [path.stat().st_mtime_ns for path in files]
    assert prepare(recipe, tmp_path / "data") == first
    assert [path.stat().st_mtime_ns for path in files] == before
    (tmp_path / "src").write_text("".join(f"other {n}\n" for n in range(40)), "utf-8")
    prepare(recipe, tmp_path / "data")
    assert [path.stat().st_mtime_ns for path in files] != before
