"""The demo's corpus: exactly Babel's output, a function of its seed, and held-out values that are really held out."""

import builtins
import datetime
import re
from decimal import Decimal

import pytest
from babel.dates import format_date, format_time, format_timedelta
from babel.lists import format_list
from babel.numbers import format_currency, format_decimal, format_percent, get_currency_precision
from babel.units import format_unit

from heedful.demo import cldr
from heedful.demo.cldr import speaker
from heedful.demo.corpus import KINDS, TARGETS, TURNS, combinations, examples, names
from heedful.demo.draw import Draw, split_of
from heedful.demo.frames import FRAMES
from heedful.demo.phrases import CURRENCIES, Names, Number
from heedful.errors import UserError


@pytest.fixture(scope="module")
def splits():
    return {split: examples(3, count, split) for split, count in (("train", 12_000), ("dev", 2_000), ("test", 3_000))}


def plain(text):
    return re.sub("[\u00a0\u202f\u2009]", " ", text)


def test_size_of_what_can_be_said():
    counts = combinations()
    assert len(counts) == len(KINDS) >= 7
    assert min(counts.values()) > 1_000
    assert sum(counts.values()) > 1_000_000
    assert sum(count for kind, count in counts.items() if kind != "numbers") > 1_000_000
    every = [name for sort in names().values() for name in sort]
    assert len(every) >= 150
    assert all(len(set(sort)) == len(sort) for sort in names().values())


def test_currencies_are_written_with_their_hundredths():
    """One that is written rounded would write a held-out amount as another one; CLDR changes its mind about some."""
    assert {code: get_currency_precision(code) for code in CURRENCIES} == dict.fromkeys(CURRENCIES, 2)


def test_a_function_of_seed_and_split():
    assert examples(1, 50) == examples(1, 200)[:50]
    assert examples(1, 50) != examples(2, 50)
    assert examples(1, 50, "dev") != examples(1, 50, "test")


def test_kinds_and_languages_take_turns(splits):
    for split in splits.values():
        turn = split[: len(TURNS) * len(TARGETS)]
        assert {(one.kind, one.target_language) for one in turn} == {(k, t) for k in KINDS for t in TARGETS}


def test_no_value_of_a_split_occurs_in_another(splits):
    values = {split: {value for one in some for value in one.values} for split, some in splits.items()}
    assert all(len(one) > 1_000 for one in values.values())
    assert not values["train"] & values["test"]
    assert not values["train"] & values["dev"]
    assert not values["dev"] & values["test"]
    for split, some in splits.items():
        assert all(split_of(value) == split for one in some for value in one.values)
        assert all(one.values for one in some)


def test_no_number_written_in_a_test_phrase_is_written_in_training(splits):
    """The same from the text alone, for the kinds whose numbers stand in the text as they are."""

    def written(some):
        kinds = ("durations", "units", "prices", "numbers", "percents")
        texts = [one.source for one in some if one.kind in kinds]
        return {
            Decimal(number.replace(",", ""))
            for text in texts
            for number in re.findall(r"\d[\d,]*\.?\d*(?<![,.])", text)
        }

    def days(some):
        return {value[1] for one in some for value in one.values if value[0] == "date"}

    def moments(some):
        return {found for one in some for found in re.findall(r"\d+:\d\d [AP]M", one.source)}

    def listed(some):
        return {
            frozenset(re.split(r", and |, | and ", one.source.split(": ")[-1])) for one in some if one.kind == "lists"
        }

    for extract in (written, days, moments, listed):
        assert len(extract(splits["test"])) > 30
        assert not extract(splits["train"]) & extract(splits["test"]), extract
    assert not {one.source for one in splits["train"]} & {one.source for one in splits["test"]}
    assert not {one.target for one in splits["train"]} & {one.target for one in splits["test"]}


def test_a_phrase_has_one_translation(splits):
    seen = {}
    for some in splits.values():
        for one in some:
            assert seen.setdefault((one.source, one.target_language), one.target) == one.target


def test_spaces_and_lines_are_plain(splits):
    for one in splits["train"]:
        for text in (one.source, one.target):
            assert text == text.strip()
            assert not re.search(r"[^\S ]|  |[\u00a0\u202f\u2009{}]", text)


def test_singulars_are_taught(splits):
    assert split_of(("number", 100)) == split_of(("number", 200)) == "train"


def test_every_range_has_values_in_every_split():
    for frame in FRAMES:
        for split in ("train", "dev", "test"):
            for slot in frame.slots:
                draw = Draw(5, split)
                assert len({slot.fill(draw)[0] for _ in range(60)}) >= 4, (frame, split)


def test_numbers_of_all_lengths_are_likely():
    draw = Draw(1, "train")
    lengths = [len(str(Number(1, 99_999).draw_number(draw)[1])) for _ in range(500)]
    assert all(60 < lengths.count(length) < 140 for length in range(1, 6))


@pytest.mark.parametrize("code", ["en", "de", "fr", "es"])
def test_written_as_babel_writes_it(code):
    language = speaker(code)
    day, moment, value = datetime.date(2024, 5, 9), datetime.time(15, 5), Decimal("1234.5")
    for form in ("short", "medium", "long", "full"):
        assert language.date(day, form) == plain(format_date(day, form, locale=code))
    assert language.time(moment, "short") == plain(format_time(moment, "short", locale=code))
    assert language.number(value) == plain(format_decimal(value, locale=code))
    assert language.percent(Decimal("12.5")) == plain(format_percent(0.125, locale=code, decimal_quantization=False))
    assert language.price(value, "CHF", "name") == plain(format_currency(value, "CHF", locale=code, format_type="name"))
    assert language.price(value, "EUR", "standard") == plain(format_currency(value, "EUR", locale=code))
    assert language.measure(value, "mass-pound") == plain(format_unit(value, "mass-pound", locale=code))
    days = datetime.timedelta(days=-3)
    assert language.relative(-3, "day") == plain(format_timedelta(days, add_direction=True, locale=code))
    assert language.join(["A", "B", "C"]) == format_list(["A", "B", "C"], locale=code)


def test_known_phrases():
    german, french, spanish = (speaker(code) for code in TARGETS)
    day = datetime.date(2024, 3, 5)
    assert german.date(day, "full") == "Dienstag, 5. März 2024"
    assert french.measure(Decimal("1.5"), "length-kilometer") == "1,5 kilomètre"
    assert german.relative(-37, "day") == "vor 37 Tagen"
    assert spanish.join([spanish.language(code) for code in ("de", "en")]) == "alemán e inglés"
    assert spanish.join([spanish.country(code) for code in ("IT", "DE")]) == "Italia y Alemania"


def test_a_set_of_names_is_one_value_in_any_order():
    slot, draw = Names("country", 2, 2), Draw(1, "train")
    for _ in range(200):
        ((_, bits),), write = slot.fill(draw)
        assert bits.bit_count() == 2
        assert " and " in write(speaker("en"))


def test_without_babel_there_is_one_line(monkeypatch):
    real = builtins.__import__

    def missing(name, *rest, **more):
        if name.partition(".")[0] == "babel":
            raise ImportError(name)
        return real(name, *rest, **more)

    monkeypatch.setattr(builtins, "__import__", missing)
    with pytest.raises(UserError, match=r"pip install 'heedful\[demo\]'"):
        cldr.Language("en")
