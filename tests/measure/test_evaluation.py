"""One evaluation holds every figure, ready for JSON, and says what to be wary of."""

import json

import pytest

from heedful.errors import UserError
from heedful.measure.evaluation import evaluate
from heedful.measure.metrics import Options
from heedful.measure.words import count_words

from .examples import references, spoiled

LINES = references(150)


def test_every_figure_is_json():
    systems = {"a": spoiled(LINES, 0.5, 1), "b": spoiled(LINES, 0.2, 2), "c": list(LINES)}
    counts = count_words(references(400, seed=9)[:50])
    found = evaluate([LINES], systems, source=LINES, counts=counts, options=Options(ter=True), resamples=200)
    figures = json.loads(json.dumps(found.as_dict(), allow_nan=False))
    assert figures["lines"] == 150
    assert figures["bootstrap"] == {"resamples": 200, "seed": 12345, "interval": 0.95}
    assert figures["signatures"]["BLEU"].startswith("nrefs:1|case:mixed|eff:no|tok:13a")
    assert [one["name"] for one in figures["systems"]] == ["a", "b", "c"]
    assert figures["systems"][2]["scores"]["BLEU"] == {
        "score": pytest.approx(100),
        "low": pytest.approx(100),
        "high": pytest.approx(100),
    }
    assert figures["systems"][2]["exact_match"] == 1
    assert [one["recall"] for one in figures["systems"][2]["by_training_frequency"] if one["words"]] == [1.0] * 5
    assert sum(one["lines"] for one in figures["systems"][0]["by_length"]) == 150
    pairs = [(one["first"], one["second"], one["metric"], one["verdict"]) for one in figures["comparisons"]]
    assert pairs == [("a", other, metric, "better") for other in "bc" for metric in ("BLEU", "chrF2", "chrF2++", "TER")]
    assert figures["notes"] == []


def test_one_system_alone():
    found = evaluate([LINES], {"a": LINES})
    assert found.comparisons == []
    assert found.length_of == "reference"
    assert found.as_dict()["systems"][0]["by_training_frequency"] == []


def test_notes_say_what_to_be_wary_of():
    apart = [line[:-1] + " ." for line in LINES[:40]]
    notes = evaluate([[*LINES[:38], "", " "]], {"apart": apart, "gaps": [*LINES[:39], ""]}).notes
    assert notes == [
        "only 40 lines: intervals and p-values need some hundreds to mean much",
        "reference 1: 2 of 40 lines empty",
        "apart: in 40 lines the full stop is set apart; sacreBLEU wants text that is not tokenised",
        "gaps: 1 of 40 lines empty",
    ]


def test_mistakes_are_told():
    with pytest.raises(UserError, match="0 systems"):
        evaluate([LINES], {})
    with pytest.raises(UserError, match="7 systems to evaluate; give 1 to 6"):
        evaluate([LINES], {str(number): LINES for number in range(7)})
    with pytest.raises(UserError, match="the source: 1 line, but the reference has 150 lines"):
        evaluate([LINES], {"a": LINES}, source=["x"])
    with pytest.raises(UserError, match=r"b\.txt: 149 lines, but the reference has 150 lines"):
        evaluate([LINES], {"a": LINES, "b.txt": LINES[1:]})
    with pytest.raises(UserError, match="0 resamples"):
        evaluate([LINES], {"a": LINES}, resamples=0)
