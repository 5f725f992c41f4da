"""Cleaning: each rule by example, counts that are exact, little memory, and no text that it trips over."""

from __future__ import annotations

import random
import tracemalloc
from collections.abc import Iterable
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from heedful.config import Cleaning
from heedful.data.cleaning import (
    EXAMPLES,
    SAID,
    SHOWN,
    SUGGESTED,
    Characters,
    Cleaner,
    Dropped,
    Memory,
    Norms,
    Seen,
    canonical,
    enabled,
    gather,
    hash_of,
    limit_of,
)
from heedful.data.readers import Pair

OFF = Cleaning(duplicates=False, leaks=False)
ENGLISH = "The cat sat on the warm mat by the door."
GERMAN = "Die Katze saß auf der warmen Matte an der Tür."


def pairs_of(*texts: tuple[str, str]) -> list[Pair]:
    return [Pair(source, target, f"a:{number}") for number, (source, target) in enumerate(texts, 1)]


def memory(known: Iterable[tuple[str, str]] = ()) -> Memory:
    seen = Seen()
    for source, target in known:
        seen.add(hash_of(canonical(source), canonical(target)))
    return Memory(seen, Seen(), Seen())


def clean(pairs: list[Pair], known: Iterable[tuple[str, str]] = (), **rules: Any) -> tuple[list[int], dict[str, int]]:
    """The numbers of the pairs that stay, and the counts of rules that left out any."""
    cleaner = Cleaner(msgspec.structs.replace(OFF, **rules), gather(pairs), memory(known))
    kept = [number for number, pair in enumerate(pairs) if cleaner.keeps(pair)]
    return kept, {dropped.rule: dropped.count for dropped in cleaner.dropped if dropped.count}


# rule, its setting, a pair that goes, pairs that stay
RULES: list[tuple[str, Any, tuple[str, str], list[tuple[str, str]]]] = [
    ("empty", None, ("word", " \t\u2028 "), [("word", "."), ("\u200b", "x")]),
    ("characters", 10, ("a", "abcdefghijk"), [("abcdefghij", "abcdefghij"), ("  abcdefghij  ", "x")]),
    ("words", 3, ("one two three four", "x"), [("one two three", " one  two   three ")]),
    ("copies", True, ("Open  File", "Open File "), [("Open File", "open file"), ("a", "b")]),
    ("numbers", True, ("page 12", "Seite 21 1"), [("1,000.50 in 3", "3 x 1.000,50"), ("٣ a", "b 3"), ("a", "b")]),
    ("leaks", True, ("Known one.", "Bekannter."), [("Known one.", "Anderer."), ("Known", "one. Bekannter.")]),
]


@pytest.mark.parametrize(("rule", "setting", "goes", "stay"), RULES, ids=[rule[0] for rule in RULES])
def test_each_rule_by_example(rule: str, setting: Any, goes: tuple[str, str], stay: list[tuple[str, str]]) -> None:
    pairs = pairs_of(goes, *stay)
    known = [("Known  one.", "Bekannter.\n")]
    rules = {} if setting is None else {rule: setting}
    assert clean(pairs, known, **rules) == (list(range(1, len(pairs))), {rule: 1})
    if rules:
        assert clean(pairs, known) == (list(range(len(pairs))), {})


def test_duplicates_keep_the_first() -> None:
    pairs = pairs_of(("a b", "c"), ("a  b", "c "), ("a b", "d"), ("a", "b c"), ("caf\u00e9", "x"), ("cafe\u0301", "x"))
    assert clean(pairs, duplicates=True) == ([0, 2, 3, 4], {"duplicates": 2})
    assert clean(pairs, same_source=True) == ([0, 3, 4], {"same_source": 3})
    assert clean(pairs, duplicates=True, same_source=True) == ([0, 3, 4], {"duplicates": 2, "same_source": 1})


def test_a_pair_that_another_rule_left_out_is_no_first() -> None:
    """The only good translation of a source stays, though a bad one came before."""
    pairs = pairs_of(("Open 1", "Oeffnen 2"), ("Open 1", "Oeffnen 1"), ("Open 1", "Oeffne 1"))
    assert clean(pairs, same_source=True, numbers=True) == ([1], {"numbers": 1, "same_source": 1})


@pytest.mark.parametrize(
    ("usual", "foreign", "stay"),
    [
        (GERMAN, "Это кошка.", ["Ωmega ist ein Wort", "123 — !", "１２ Ｋａｔｚｅ", "Nº ª µ", "𝐊𝐚𝐭𝐳𝐞"]),
        ("Кошка сидит.", "Die Katze", ["Кошка USB", "42"]),
        ("猫が座った。", "The cat", ["座", "ネコ", "ネコ USB です", "ㄅㄆ"]),
        ("고양이가 앉았다", "猫猫猫", ["고양이 A"]),
    ],
)
def test_another_script(usual: str, foreign: str, stay: list[str]) -> None:
    pairs = pairs_of(*[(ENGLISH, usual)] * 9, (ENGLISH, foreign), *[(ENGLISH, text) for text in stay])
    kept, counts = clean(pairs, script=True)
    assert counts == {"script": 1}
    assert 9 not in kept
    turned = [Pair(pair.target, pair.source, pair.where) for pair in pairs]
    assert clean(turned, script=True) == (kept, counts)


def test_a_ratio_is_to_what_is_usual() -> None:
    chinese = "猫坐在门边的暖垫上。"
    usual = [(ENGLISH, chinese)] * 9
    pairs = pairs_of(*usual, (ENGLISH, ENGLISH[: len(chinese)] * 12), ("Yes, certainly.", "是"), (ENGLISH * 3, "是"))
    kept, counts = clean(pairs, ratio=3.0)
    assert counts == {"ratio": 2}
    assert kept == [*range(9), 10]
    assert clean(pairs_of(("Hi.", "Grüß Gott!"), ("Go!", "Los jetzt aber!"), (ENGLISH, GERMAN)), ratio=3.0)[1] == {}


def test_the_usual_ratio_is_the_median() -> None:
    norms = gather(pairs_of(("aaaa", "bb"), ("aaaaaaaa", "bbbb"), ("a" * 100, "b" * 5000), ("", "x")))
    assert norms.ratio() == pytest.approx(0.5)
    assert Norms().ratio() == 1.0
    assert Norms().scripts() == (None, None)


def test_counts_are_exact_on_a_dirty_corpus() -> None:
    """A corpus made dirty by known numbers of pairs, shuffled: every rule finds just its own."""
    words, chance = [f"word{chr(97 + n % 26)}{chr(97 + n // 26)}" for n in range(400)], random.Random(1)

    def text(count: int) -> str:
        return " ".join(chance.choice(words) for _ in range(count))

    good = [(text(8) + f" n{n // 26}", text(8) + f" n{n // 26}") for n in range(2000)]
    dirt = {
        "empty": [(text(3), " ") for _ in range(11)],
        "characters": [("x" * 1001, text(100)) for _ in range(7)],
        "words": [(" ".join("abcd"[n % 4] for n in range(201)), text(25) + str(k)) for k in range(5)],
        "copies": [(copy, copy) for copy in (text(9) for _ in range(13))],
        "script": [(text(6), "кошка сидит на ковре у двери дома") for _ in range(17)],
        "numbers": [(text(8) + " 7", text(8) + " 8") for _ in range(19)],
        "ratio": [(text(30), text(2)) for _ in range(23)],
        "leaks": chance.sample(good, 29),
        "duplicates": [],
        "same_source": [],
    }
    known = dirt["leaks"]
    rest = [pair for pair in good if pair not in known]
    dirt["duplicates"] = [(f" {source}", target) for source, target in chance.sample(rest, 31)]
    dirt["same_source"] = [(source, text(8) + source[-2:]) for source, _ in chance.sample(rest, 37)]
    dirty = rest + [pair for pairs in dirt.values() for pair in pairs]
    pairs = pairs_of(*dirty)
    kept, counts = clean(pairs, known, **{name: getattr(SUGGESTED, name) for name in enabled(SUGGESTED)[1:]})
    assert counts == {rule: len(found) for rule, found in dirt.items()}
    assert kept == list(range(len(rest)))
    chance.shuffle(dirty)
    again = clean(pairs_of(*dirty), known, **{name: getattr(SUGGESTED, name) for name in enabled(SUGGESTED)[1:]})
    assert (len(again[0]), again[1]) == (len(kept), counts)


def test_rules_that_are_off_are_tried_on_what_stays() -> None:
    pairs = pairs_of(("a 1", "b 2"), ("a 1", "b 2"), ("same", "same"), (ENGLISH, GERMAN))
    cleaner = Cleaner(Cleaning(), gather(pairs), memory(), all_rules=True)
    assert [cleaner.keeps(pair) for pair in pairs] == [True, False, True, True]
    others = {dropped.rule: dropped for dropped in cleaner.others}
    assert list(others) == ["characters", "words", "copies", "script", "numbers", "ratio", "same_source"]
    assert {rule: dropped.count for rule, dropped in others.items() if dropped.count} == {"copies": 1, "numbers": 1}
    assert others["ratio"].limit == 3.0


def test_examples_are_the_first_ten_and_cut() -> None:
    pairs = pairs_of(*[("x" * 1000, "") for _ in range(25)])
    cleaner = Cleaner(OFF, Norms(), memory())
    assert not any(map(cleaner.keeps, pairs))
    (dropped,) = cleaner.dropped
    assert (dropped.count, len(dropped.examples)) == (25, EXAMPLES)
    assert [example.where for example in dropped.examples] == [f"a:{number}" for number in range(1, 11)]
    assert dropped.examples[0].source == "x" * SHOWN + "…"


def test_every_rule_says_what_it_left_out() -> None:
    assert {"empty", "long", *Cleaning.__struct_fields__} == set(SAID)
    everything = msgspec.structs.replace(SUGGESTED, ratio=2.5)
    said = [str(Dropped(name, limit_of(everything, name), 3)) for name in enabled(everything)]
    assert said[:3] == ["3 with an empty side", "3 longer than 1000 characters", "3 longer than 200 words"]
    assert "3 with a side 2.5 times as long as the other" in said


def test_hashes_are_remembered_in_little_memory() -> None:
    chance = random.Random(1)
    numbers = [chance.getrandbits(64) for _ in range(100_000)] + [0, 1, 2**64 - 1]
    tracemalloc.start()
    seen = Seen()
    assert all(seen.add(number) for number in numbers[:-2])
    used, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert used < 24 * len(numbers)
    assert not seen.add(1)  # zero and one are one
    assert seen.add(numbers[-1])
    assert len(seen) == 100_002
    assert all(number in seen for number in numbers)
    assert not any(chance.getrandbits(64) in seen for _ in range(1000))


def test_memory_does_not_grow_with_the_text() -> None:
    def stream() -> Iterable[Pair]:
        for number in range(4_000):
            yield Pair(f"{number} {'x' * 5000}", f"{number} {'y' * 5000}", "a:1")

    rules = msgspec.structs.replace(SUGGESTED, characters=None)
    tracemalloc.start()
    cleaner = Cleaner(rules, gather(stream()), memory(), all_rules=True)
    assert sum(map(cleaner.keeps, stream())) == 4_000
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 16 * 2**20  # of 40 MB of text


def test_characters_are_counted_as_one_by_one() -> None:
    counts = Characters()
    texts = ["aä" * 5, "\U0001f600\x00\ud800", "", "x" * (1 << 20), "\U0010ffff"]
    for text in texts:
        counts.add(text)
    assert counts.counts() == {
        character: sum(text.count(character) for text in texts) for character in "\x00axä\ud800\U0001f600\U0010ffff"
    }
    assert counts.counts() == counts.counts()


HOSTILE = [
    "", "\x00", "\ufeff", "\u2028\u2029\x85", "\u202e abc \u202c", "a" * 100_000, "\u0301" * 5000, "e\u0301\u0327",
    "\ud800", "\U0010ffff", "9" * 5000, "٣" * 40, "²³¹", "\u1160\u11a2", "ﷺ", "\u00ad", " " * 3000, "\x1b[31m", "K",
]  # fmt: skip


@pytest.mark.parametrize("text", HOSTILE, ids=range(len(HOSTILE)))
def test_hostile_text_is_judged(text: str) -> None:
    pairs = pairs_of((text, ENGLISH), (ENGLISH, text), (text, text), (text, text))
    clean(pairs, **{name: getattr(SUGGESTED, name) for name in enabled(SUGGESTED)[1:]})


def check_any(texts: list[tuple[str, str]]) -> None:
    pairs = pairs_of(*texts)
    every = {name: getattr(SUGGESTED, name) for name in enabled(SUGGESTED)[1:]}
    kept, counts = clean(pairs, **every)
    assert len(kept) + sum(counts.values()) == len(pairs)
    # What is clean stays clean: judged again by the same norms, nothing goes.
    cleaner = Cleaner(msgspec.structs.replace(OFF, **every), gather(pairs), memory())
    assert all(cleaner.keeps(pairs[number]) for number in kept)


TEXTS = st.lists(st.tuples(st.text(), st.text()), max_size=12)


@settings(max_examples=150, deadline=None)
@given(TEXTS)
def test_any_text_is_judged(texts: list[tuple[str, str]]) -> None:
    check_any(texts)


@pytest.mark.slow
@settings(max_examples=10_000, deadline=None)
@given(TEXTS)
def test_any_text_is_judged_at_length(texts: list[tuple[str, str]]) -> None:
    check_any(texts)
