"""Paired bootstrap: what sacreBLEU's own test says, except that a system does not differ from itself."""

import time

import numpy as np
import pytest
from sacrebleu.metrics import BLEU, CHRF, TER
from sacrebleu.significance import PairedTest

from heedful.measure import bootstrap
from heedful.measure.bootstrap import compare, interval, resample
from heedful.measure.metrics import Options
from heedful.measure.translation import Scorer

from .examples import references, spoiled

LINES = references(300)
SCORER = Scorer([LINES], Options(ter=True))
SYSTEMS = {"weak": spoiled(LINES, 0.5, 1), "good": spoiled(LINES, 0.2, 2), "like weak": spoiled(LINES, 0.5, 3)}
SCORES = {name: SCORER(lines) for name, lines in SYSTEMS.items()}


def compared(first, second, metric="BLEU", resamples=1000, seed=bootstrap.SEED):
    one, other = SCORES[first], SCORES[second]
    drawn = resample(SCORER.metrics[metric], [one.statistics[metric], other.statistics[metric]], resamples, seed)
    values = one.values[metric], other.values[metric]
    return compare(SCORER.metrics[metric], (first, second), values, (drawn[0], drawn[1]))


@pytest.mark.parametrize("second", ["good", "like weak"])
def test_agrees_with_sacrebleu(second):
    theirs = PairedTest(
        [("weak", SYSTEMS["weak"]), (second, SYSTEMS[second])],
        {"BLEU": BLEU(references=[LINES]), "chrF2": CHRF(references=[LINES]), "TER": TER(references=[LINES])},
        None,
        test_type="bs",
        n_samples=1000,
    )()[1]
    for metric in ("BLEU", "chrF2", "TER"):
        drawn = resample(SCORER.metrics[metric], [SCORES["weak"].statistics[metric], SCORES[second].statistics[metric]])
        result = theirs[metric][1]
        assert SCORES[second].values[metric] == result.score
        assert drawn[1].mean() == pytest.approx(result.mean, abs=1e-4)  # it adds up in float32
        middle = interval(drawn[1])
        assert (middle.high - middle.low) / 2 == pytest.approx(result.ci, abs=1e-4)
        assert compared("weak", second, metric).p == pytest.approx(result.p_value, abs=2e-3)


def test_a_system_does_not_differ_from_itself():
    one = compared("weak", "weak")
    assert (one.p, one.difference, one.mean, one.wins) == (1.0, 0.0, 0.0, 0.5)
    assert one.verdict == "not told apart"


@pytest.mark.parametrize("metric", ["BLEU", "chrF2", "chrF2++", "TER"])
def test_a_much_better_system_is_better(metric):
    one = compared("weak", "good", metric)
    assert one.p < 0.01
    assert one.wins == 1.0
    assert one.verdict == "better"
    assert one.interval.low < one.difference < one.interval.high
    assert (one.interval.high < 0) == (metric == "TER")
    assert compared("good", "weak", metric).verdict == "worse"


def test_equally_bad_systems_are_not_told_apart():
    assert compared("weak", "like weak").p > 0.05


def test_seeded_and_the_same_in_any_portions(monkeypatch):
    statistics = [SCORES["weak"].statistics["BLEU"]]
    one = resample(SCORER.metrics["BLEU"], statistics, 100, 7)
    assert (one == resample(SCORER.metrics["BLEU"], statistics, 100, 7)).all()
    assert (one != resample(SCORER.metrics["BLEU"], statistics, 100, 8)).any()
    monkeypatch.setattr(bootstrap, "DRAWN_AT_ONCE", 1000)
    assert (one == resample(SCORER.metrics["BLEU"], statistics, 100, 7)).all()


def test_resamples_are_the_scores_of_the_drawn_lines():
    """One resample by hand: draw lines, score their text."""
    drawn = np.random.default_rng(5).integers(0, len(LINES), size=(3, len(LINES)))[2]
    chosen = [SYSTEMS["good"][line] for line in drawn]
    by_hand = Scorer([[LINES[line] for line in drawn]])(chosen).values["BLEU"]
    assert resample(SCORER.metrics["BLEU"], [SCORES["good"].statistics["BLEU"]], 3, 5)[0, 2] == pytest.approx(by_hand)


def test_a_single_line_and_a_single_resample():
    scorer = Scorer([["Ein Haus steht am See."]])
    statistics = scorer(["Ein Haus am See."]).statistics["chrF2"]
    drawn = resample(scorer.metrics["chrF2"], [statistics], 1)
    assert drawn.shape == (1, 1)
    assert interval(drawn[0]).low == interval(drawn[0]).high == drawn[0, 0]


def test_a_thousand_resamples_of_a_thousand_lines_in_seconds():
    lines = references(1000)
    scorer = Scorer([lines])
    tables = [scorer(spoiled(lines, rate, 1)).statistics for rate in (0.2, 0.3)]
    began = time.process_time()
    for metric in ("BLEU", "chrF2"):
        resample(scorer.metrics[metric], [table[metric] for table in tables], 1000)
    assert time.process_time() - began < 2
