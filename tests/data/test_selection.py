"""From files to what is trained on: held-out pairs, leaks, and an account of all that was left out."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from heedful.config import parse_recipe
from heedful.data.parallel import load_tokenizers, prepare
from heedful.data.selection import Chosen, read_accounts, select
from heedful.data.shards import Shards
from heedful.data.splits import splits
from heedful.errors import UserError

WORDS = ["alpha", "beta", "gamma", "delta", "epsilon", "zeta", "eta", "theta", "iota", "kappa"]


def write(path: Path, pairs: list[tuple[str, str]]) -> str:
    path.write_text("".join(f"{source}\t{target}\n" for source, target in pairs), "utf-8")
    return str(path)


def good(count: int, first: int = 0) -> list[tuple[str, str]]:
    names = [f"{a} {b} {c}" for a in WORDS for b in WORDS for c in WORDS][first : first + count]
    return [(name, " ".join(reversed(name.split(" ")))) for name in names]


def select_from(*settings: str) -> dict[str, Chosen]:
    recipe = parse_recipe({}, list(settings))
    return select(recipe, splits(recipe.data))


def texts(chosen: Chosen) -> list[tuple[str, str]]:
    return [(pair.source, pair.target) for pair in chosen.pairs()]


def test_pairs_of_dev_and_test_are_not_trained_on(tmp_path: Path) -> None:
    pairs = good(30)
    settings = [
        f'data.{name}pairs=["{write(tmp_path / f"{name}x.tsv", some)}"]'
        for name, some in (("", pairs), ("dev_", pairs[3:5]), ("test_", pairs[7:8]))
    ]
    chosen = select_from(*settings)
    assert texts(chosen["train-0"]) == pairs[:3] + pairs[5:7] + pairs[8:]
    assert {dropped.rule: dropped.count for dropped in chosen["train-0"].dropped}["leaks"] == 3
    assert texts(chosen["dev-0"]) == pairs[3:5]
    assert texts(select_from(*settings, "cleaning.leaks=false")["train-0"]) == pairs


@pytest.mark.parametrize("duplicates", [True, False])
def test_no_held_out_pair_is_trained_on(tmp_path: Path, duplicates: bool) -> None:
    pairs = good(30) * 3
    file = write(tmp_path / "a.tsv", pairs)
    chosen = select_from(f'data.pairs=["{file}"]', f"cleaning.duplicates={str(duplicates).lower()}", "data.hold_out=7")
    train, dev = texts(chosen["train-0"]), texts(chosen["dev-0"])
    assert len(dev) == 7
    assert not set(train) & set(dev)
    assert set(train) | set(dev) == set(pairs)
    lost = sum(dropped.count for dropped in chosen["train-0"].dropped)
    assert len(train) + len(dev) + lost == 90


def test_no_held_out_pair_is_trained_on_from_another_corpus(tmp_path: Path) -> None:
    files = [write(tmp_path / name, some) for name, some in (("a.tsv", good(30)), ("b.tsv", good(40, 10)))]
    settings = [f"data.pairs={json.dumps(files)}", "data.weights=[1.0, 1.0]", "cleaning.duplicates=false"]
    chosen = select_from(*settings, "data.hold_out=9")
    held = {pair for name in ("dev-0", "dev-1") for pair in texts(chosen[name])}
    assert len(held) > 9
    for name in ("train-0", "train-1"):
        assert not held & set(texts(chosen[name]))


def test_the_vocabulary_is_of_all_corpora(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("heedful.data.parallel.READ_FOR_TOKENIZER", 50)
    others = [(f"{source} {number}", "ж" * 9) for number, (source, _) in enumerate(good(60))]
    files = [write(tmp_path / name, some) for name, some in (("a.tsv", good(300)), ("b.tsv", others))]
    settings = [f"data.pairs={json.dumps(files)}", 'data.tags=["de", "ru"]', "tokenizer.size=330", "data.hold_out=5"]
    prepare(parse_recipe({}, [*settings, "tokenizer.placeholders=0"]), tmp_path / "data")
    assert "ж" in load_tokenizers(tmp_path / "data")["target"].ids


def test_what_is_held_out_of_a_clean_corpus_does_not_depend_on_the_rules(tmp_path: Path) -> None:
    file = write(tmp_path / "a.tsv", good(100))
    on, off = (
        select_from(f'data.pairs=["{file}"]', f"cleaning.duplicates={value}", f"cleaning.numbers={value}")
        for value in ("true", "false")
    )
    assert texts(on["dev-0"]) == texts(off["dev-0"])


def test_the_same_pair_in_two_languages_is_two_pairs(tmp_path: Path) -> None:
    one, other = (write(tmp_path / name, [("OK", "OK"), *good(20)]) for name in ("de.tsv", "fr.tsv"))
    twice = f'data.pairs=["{one}", "{other}"]'
    tagged = select_from(twice, 'data.tags=["de", "fr"]', "data.hold_out=1")
    assert [tagged[name].kept for name in ("train-0", "train-1")] == [20, 20]
    weighted = select_from(
        twice, "data.weights=[1.0, 2.0]", f'data.dev_pairs=["{write(tmp_path / "d.tsv", good(2, 500))}"]'
    )
    assert [weighted[name].kept for name in ("train-0", "train-1")] == [21, 0]


def test_dropped_json_is_the_account(tmp_path: Path) -> None:
    pairs = [*good(40), ("", "x"), *good(3), ("y", " "), ("long " * 300, "kurz"), ("Page 1", "Seite 2")]
    file = write(tmp_path / "a.tsv", pairs)
    dev = write(tmp_path / "d.tsv", [*good(5, 900), ("", "")])
    recipe = parse_recipe(
        {}, [f'data.pairs=["{file}"]', f'data.dev_pairs=["{dev}"]', "cleaning.numbers=true", "tokenizer.size=320"]
    )
    lines = prepare(recipe, tmp_path / "data")
    assert lines == [
        "data: 40 pairs to train on; left out: 2 with an empty side, 1 with other digits, 0 also in dev or test, "
        "3 duplicates, 1 longer than 256 tokens",
        "data: 5 pairs to validate with; left out: 1 with an empty side, 0 longer than 256 tokens",
    ]
    told = json.loads((tmp_path / "data" / "dropped.json").read_bytes())
    train, held = told["corpora"]
    assert (train["name"], train["read"], train["kept"], train["files"]) == ("train-0", 47, 40, [file])
    assert (held["name"], held["read"], held["kept"]) == ("dev-0", 6, 5)
    rules = {rule["rule"]: rule for rule in train["rules"]}
    assert rules["empty"]["examples"][0] == {"where": f"{file}:41", "source": "", "target": "x"}
    assert rules["numbers"]["examples"] == [{"where": f"{file}:47", "source": "Page 1", "target": "Seite 2"}]
    assert [example["where"] for example in rules["duplicates"]["examples"]] == [f"{file}:{n}" for n in (42, 43, 44)]
    assert (rules["long"]["limit"], rules["long"]["count"]) == (256.0, 1)
    assert rules["long"]["examples"][0]["where"] == f"{file}:46"
    assert len(Shards.open(tmp_path / "data" / "train-0")) == 40
    assert prepare(recipe, tmp_path / "data") == lines


@pytest.mark.parametrize(
    "change",
    ["cleaning.duplicates=false", "cleaning.copies=true", "data.columns=[2,1]", "data.weights=[1.0]"],
)
def test_other_rules_make_other_data(tmp_path: Path, change: str) -> None:
    file = write(tmp_path / "a.tsv", [*good(40), *good(5), ("same", "same"), ("a b", "b")])
    settings = [f'data.pairs=["{file}"]', "tokenizer.size=320", "data.hold_out=2"]
    prepare(parse_recipe({}, settings), tmp_path / "data")
    prepare(parse_recipe({}, [*settings, change]), tmp_path / "data")
    prepare(parse_recipe({}, [*settings, change]), tmp_path / "fresh")
    for name in ("train-0", "dev-0"):
        found, fresh = (Shards.open(tmp_path / folder / name) for folder in ("data", "fresh"))
        assert len(found) == len(fresh)
        assert (found.folder / "source.tokens").read_bytes() == (fresh.folder / "source.tokens").read_bytes()
    accounts = [read_accounts(tmp_path / folder) for folder in ("data", "fresh")]
    assert accounts[0] == accounts[1] != []


@pytest.mark.parametrize("damage", [None, b"", b"{}", b"\xff", b'{"format": 2, "key": "", "corpora": []}'])
def test_a_damaged_account_is_made_anew(tmp_path: Path, damage: bytes | None) -> None:
    file = write(tmp_path / "a.tsv", [*good(40), *good(5)])
    recipe = parse_recipe({}, [f'data.pairs=["{file}"]', "tokenizer.size=320"])
    lines = prepare(recipe, tmp_path / "data")
    account = tmp_path / "data" / "dropped.json"
    before = account.read_bytes()
    if damage is None:
        account.unlink()
    else:
        account.write_bytes(damage)
    assert prepare(recipe, tmp_path / "data") == lines
    assert account.read_bytes() == before


@pytest.mark.parametrize(
    ("pairs", "words"),
    [
        ([("a", "")] * 3, "nothing is left to train on: 3 pairs read, 0 held out for validation; left out: 3 with an"),
        ([("a", "b")] * 3, "3 pairs read, 1 held out for validation; left out: 0 with an empty side, .* 2 duplicates"),
    ],
)
def test_nothing_left_is_told(tmp_path: Path, pairs: list[tuple[str, str]], words: str) -> None:
    file = write(tmp_path / "a.tsv", pairs)
    with pytest.raises(UserError, match=words):
        prepare(parse_recipe({}, [f'data.pairs=["{file}"]', "tokenizer.size=320"]), tmp_path / "data")


def test_a_file_that_grows_meanwhile_is_told(tmp_path: Path) -> None:
    file = write(tmp_path / "a.tsv", good(10))
    chosen = select_from(f'data.pairs=["{file}"]')
    write(tmp_path / "a.tsv", good(11))
    with pytest.raises(UserError, match=r"a\.tsv:11: the file has grown"):
        texts(chosen["train-0"])
