"""Scores are sacreBLEU's, to the last digit that its command prints; and what a user does wrong is told."""

import json
import subprocess
import sys
import time
from importlib.metadata import version
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from sacrebleu.metrics import BLEU, CHRF, TER

from heedful.errors import UserError
from heedful.measure import metrics
from heedful.measure.metrics import MOSES, TOKENIZERS, Options, bleu, chrf, ter
from heedful.measure.translation import Scorer

from .examples import references, spoiled

REFERENCE = [*references(60), "", "Niemand weiß das.", "", "京都の秋は美しい。", "   ", "Ende"]
OTHER = [*spoiled(REFERENCE[:60], 0.2, 3), "x", "Das weiß keiner.", "", "京都の秋はとても美しい", "", "Schluss"]
HYPOTHESES = [*spoiled(REFERENCE[:60], 0.4, 1), "nicht leer", "Das weiß niemand .", "", "京都の秋が美しい。", " ", ""]


def command(folder: Path, hypotheses: list[str], sets: list[list[str]], *options: str) -> dict[str, tuple[str, str]]:
    """Score and signature by metric, as sacreBLEU's own command prints them, with 12 digits."""
    for number, lines in enumerate([hypotheses, *sets]):
        (folder / str(number)).write_bytes("".join(line + "\n" for line in lines).encode())
    files = [str(folder / str(number)) for number in range(1, len(sets) + 1)]
    call = [sys.executable, "-m", "sacrebleu", *files, "-i", str(folder / "0"), "-f", "json", "-w", "12", *options]
    answer = json.loads(subprocess.run(call, check=True, capture_output=True, timeout=60).stdout)
    answers = answer if isinstance(answer, list) else [answer]
    return {one["name"]: (f"{one['score']:.12f}", one["signature"]) for one in answers}


def ours(hypotheses: list[str], sets: list[list[str]], **options: object) -> dict[str, tuple[str, str]]:
    scores = Scorer(sets, Options(**options))(hypotheses)
    return {name: (f"{value:.12f}", scores.signatures[name]) for name, value in scores.values.items()}


@pytest.mark.parametrize("sets", [[REFERENCE], [REFERENCE, OTHER]], ids=["one reference", "two references"])
def test_equal_to_the_command(tmp_path, sets):
    found = ours(HYPOTHESES, sets, ter=True)
    theirs = command(tmp_path, HYPOTHESES, sets, "-m", "bleu", "chrf", "ter")
    theirs |= command(tmp_path, HYPOTHESES, sets, "-m", "chrf", "--chrf-word-order", "2")
    assert found == theirs
    assert sorted(found) == ["BLEU", "TER", "chrF2", "chrF2++"]


@pytest.mark.parametrize("tokenize", [name for name in TOKENIZERS if "mecab" not in name])
def test_equal_to_the_command_lower_cased_and_by_tokenizer(tmp_path, tokenize):
    options = ["-m", "bleu", "chrf", "-lc", "--chrf-lowercase", "-tok", tokenize, "--force"]
    theirs = command(tmp_path, HYPOTHESES, [REFERENCE], *options)
    found = ours(HYPOTHESES, [REFERENCE], lowercase=True, tokenize=tokenize)
    assert {name: found[name] for name in theirs} == theirs
    assert "case:lc" in found["chrF2++"][1]


def test_moses_is_tokenised_then_lower_cased(tmp_path):
    sacremoses = pytest.importorskip("sacremoses")
    tokenizer = sacremoses.MosesTokenizer(lang="de")
    split = [
        [tokenizer.tokenize(line, return_str=True, escape=False) for line in lines] for lines in (HYPOTHESES, REFERENCE)
    ]
    assert "weiß niemand ." in split[0][61]
    theirs = command(tmp_path, split[0], [split[1]], "-m", "bleu", "-lc", "-tok", "none", "--force")
    score, signature = ours(HYPOTHESES, [REFERENCE], moses="de")[MOSES]
    assert score == theirs["BLEU"][0]
    assert f"|tok:sacremoses-{version('sacremoses')}[lang=de,escape=no,dashes=whole],then-lower-cased|" in signature
    assert "case:lc" in signature


def test_the_same_in_any_portions(monkeypatch):
    whole = ours(HYPOTHESES, [REFERENCE, OTHER], ter=True, moses="de")
    monkeypatch.setattr(metrics, "LINES_AT_ONCE", 7)
    assert ours(HYPOTHESES, [REFERENCE, OTHER], ter=True, moses="de") == whole


def test_text_that_looks_tokenised_is_no_reason_to_print(caplog):
    Scorer([["Ein Haus ."] * 200])(["Ein Haus ."] * 200)
    assert caplog.records == []


def test_exact_match_is_any_reference_as_written():
    sets = [["Ein Haus.", "Zwei", ""], ["ein Haus", "zwei ", "drei"]]
    assert Scorer(sets)(["ein Haus", "zwei", ""]).exact == 2 / 3
    assert Scorer(sets, Options(lowercase=True))(["EIN HAUS", "ZWEI", "vier"]).exact == 2 / 3


def test_sentences_are_those_of_sacrebleu():
    scorer = Scorer([REFERENCE, OTHER])
    alone = [
        CHRF().sentence_score(line, list(pair)).score
        for line, *pair in zip(HYPOTHESES, REFERENCE, OTHER, strict=True)
    ]  # fmt: skip
    assert scorer.sentences(scorer(HYPOTHESES)) == pytest.approx(alone, abs=1e-9)


COUNTS = st.integers(0, 6) | st.integers(0, 10**6)


@given(arrays(np.int64, (3, 10), elements=COUNTS))
def test_formula_of_bleu(sums):
    # No more matches than n-grams, and no n-gram of four words without one of three.
    sums[:, 6:10] = np.minimum.accumulate(sums[:, 6:10], axis=1)
    sums[:, 2:6] = np.minimum(sums[:, 2:6], sums[:, 6:10])
    sums[:, 0] = np.maximum(sums[:, 0], sums[:, 6])
    theirs = [BLEU()._compute_score_from_stats(row).score for row in sums.tolist()]
    assert bleu(sums) == pytest.approx(theirs, rel=1e-9, abs=1e-9)


@given(arrays(np.int64, (3, 24), elements=COUNTS))
def test_formula_of_chrf(sums):
    sums[:, 2::3] = np.minimum(sums[:, 2::3], np.minimum(sums[:, 0::3], sums[:, 1::3]))
    plus = CHRF(word_order=2)
    theirs = [plus._compute_score_from_stats(row).score for row in sums.tolist()]
    assert chrf(sums) == pytest.approx(theirs, rel=1e-9, abs=1e-9)


@given(arrays(np.float64, (3, 2), elements=COUNTS))
def test_formula_of_ter(sums):
    theirs = [TER()._compute_score_from_stats(row).score for row in sums.tolist()]
    assert ter(sums) == pytest.approx(theirs)


@pytest.mark.parametrize("hypotheses", [["", "", ""], [" ", "\t", "\u3000"]])
def test_empty_hypotheses_score_nothing(hypotheses):
    scores = Scorer([["Ein Haus.", "Zwei", "Drei"]], Options(ter=True))(hypotheses)
    assert scores.values == {"BLEU": 0.0, "chrF2": 0.0, "chrF2++": 0.0, "TER": 100.0}
    assert scores.exact == 0


def test_empty_references_are_scored():
    scores = Scorer([["", ""]], Options(ter=True))(["a", ""])
    assert scores.values == {"BLEU": 0.0, "chrF2": 0.0, "chrF2++": 0.0, "TER": 100.0}
    assert scores.exact == 0.5


def test_unequal_counts_are_both_named():
    with pytest.raises(UserError, match=r"^small: 1 line, but the reference has 1,200 lines; each line needs"):
        Scorer([["a"] * 1200])(["a"], "small")
    with pytest.raises(UserError, match=r"^reference 2: 3 lines, but reference 1 has 2 lines;"):
        Scorer([["a", "b"], ["a", "b", "c"]])


@pytest.mark.parametrize("sets", [[], [[]]])
def test_no_lines(sets):
    with pytest.raises(UserError, match="no lines"):
        Scorer(sets)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"tokenize": "13"}, "did you mean '13a'"),
        ({"tokenize": "flores200"}, "choose one of 13a, intl"),
        ({"tokenize": ""}, "choose one of"),
        ({"moses": "German"}, "not a language"),
    ],
)
def test_what_there_is_not(options, message):
    with pytest.raises(UserError, match=message):
        Scorer([["a"]], Options(**options))


def test_what_is_not_installed(monkeypatch):
    monkeypatch.setitem(sys.modules, "sacremoses", None)
    with pytest.raises(UserError, match=r"pip install 'heedful\[evaluate\]'"):
        Scorer([["a"]], Options(moses="de"))
    for name, language in (("ja-mecab", "ja"), ("ko-mecab", "ko")):
        module = __import__(f"sacrebleu.tokenizers.tokenizer_{language}_mecab", fromlist=["MeCab"])
        monkeypatch.setattr(module, "MeCab", None)
        with pytest.raises(UserError, match=rf"pip install 'sacrebleu\[{language}\]'"):
            Scorer([["a"]], Options(tokenize=name))


@given(st.lists(st.tuples(st.text(), st.text()), min_size=1, max_size=5))
def test_any_text_is_scored(pairs):
    hypotheses, reference = map(list, zip(*pairs, strict=True))
    scores = Scorer([reference], Options(ter=True))(hypotheses)
    assert all(0 <= scores.values[name] <= 100 + 1e-9 for name in ("BLEU", "chrF2", "chrF2++"))
    assert scores.values["TER"] >= 0
    assert 0 <= scores.exact <= 1


def test_a_thousand_lines_in_seconds():
    lines = references(1000)
    began = time.process_time()
    Scorer([lines], Options(ter=True))(spoiled(lines, 0.3, 1))
    assert time.process_time() - began < 5
