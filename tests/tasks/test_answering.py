"""`answer`: training from SQuAD's files, finding spans, the command; bad input is told in a line."""

from __future__ import annotations

import io
import json
import random
import shutil
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from heedful import load
from heedful.config import parse_recipe
from heedful.data.questions import Answer as Right
from heedful.data.questions import Question
from heedful.data.windows import Context, Reading, contexts_of, windows_of
from heedful.errors import UserError
from heedful.model.families import encoder
from heedful.model.model import Model
from heedful.tasks.answer.answerer import Answer, Answerer, Candidate
from heedful.tasks.answer.calling import Form, call
from heedful.tasks.answer.judging import best_with, judge, threshold_of
from heedful.tasks.answer.task import HEAD
from heedful.tasks.answer.telling import figures, kind_of, length_of, sections
from heedful.tasks.finding import evaluate
from heedful.tasks.learning import Learning
from heedful.tasks.runs import report, train
from heedful.text.tokenizer import train_tokenizer

from .stopping import same_bits_after_a_stop

NAMES, TOWNS = ["Ada", "Bo", "Cy", "Di"], ["Oslo", "Lima", "Rome", "Kyiv"]
TEXT = "Ada lives in Oslo. Bo lives in Rome, by the sea.\r\nCy, 🙂 lives in Kyiv."


def write_questions(path: Path, count: int, seed: int, impossible: bool = True) -> Path:
    """Who lives where, in the form of SQuAD; of some nothing is told."""
    drawn = random.Random(seed)
    paragraphs = []
    for number in range(count):
        names = drawn.sample(NAMES, 2)
        towns = drawn.sample(TOWNS, 2)
        context = " ".join(f"{name} lives in {town}." for name, town in zip(names, towns, strict=True))
        who = drawn.choice(NAMES if impossible else names)
        answers = (
            [{"text": towns[names.index(who)], "answer_start": context.index(towns[names.index(who)])}]
            if who in names
            else []
        )
        asked = {"id": f"{path.stem}-{number}", "question": f"Where does {who} live?", "answers": answers}
        paragraphs.append({"context": context, "qas": [asked]})
    path.write_text(json.dumps({"version": "2.0", "data": [{"title": "towns", "paragraphs": paragraphs}]}), "utf-8")
    return path


def settings_of(folder: Path, *others: str) -> list[str]:
    for name, count, seed in (("train", 120, 1), ("dev", 30, 2)):
        write_questions(folder / f"{name}.json", count, seed)
    return [
        f'data.train=["{folder}/train.json"]', f'data.dev=["{folder}/dev.json"]', "data.longest=48", "data.stride=12",
        "data.longest_question=16", "data.longest_answer=4", "tokenizer.size=400", "model.width=32", "model.layers=2",
        "model.feedforward=64", "model.capacity=64", "training.processes=1", "training.threads=1",
        "training.precision=fp32", "training.batch_tokens=512", "training.warmup=10", "training.rate=3e-3",
        "training.validate_every=20", "training.save_every=5", *others,
    ]  # fmt: skip


def run(out: Path, settings: list[str], steps: int = 20) -> Path:
    assert train(parse_recipe({"task": "answer"}, [*settings, f"training.steps={steps}"]), out) == 0
    return out


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("answer")
    return run(folder / "run", settings_of(folder), steps=40)


@pytest.fixture(scope="module")
def answerer(finished: Path) -> Answerer:
    found = load(finished)
    assert isinstance(found, Answerer)
    return found


# ---- spans ----------------------------------------------------------------------------------------------------------

TOKENIZER = train_tokenizer([TEXT] * 3, "bpe", size=400)
READING = Reading(20, 6, 4, 3)


def untrained(threshold: float | None = None, reading: Reading = READING) -> Answerer:
    plan = encoder(vocab=TOKENIZER.vocab_size, width=16, layers=1, heads=2, feedforward=16, pool=False)
    return Answerer(Model(plan.with_heads(HEAD)).eval(), TOKENIZER, reading, threshold)


def read(text: str, reading: Reading = READING) -> tuple[Context, list[Any]]:
    context = contexts_of(TOKENIZER, [text])[text]
    return context, list(windows_of(TOKENIZER, TOKENIZER.encode("where is it"), context, reading))


def test_the_best_spans_are_those_of_an_exhaustive_search() -> None:
    wide = Reading(200, 6, 4, 3)
    context, (window,) = read(TEXT, wide)
    drawn = np.random.default_rng(1)
    for _ in range(20):
        logits = drawn.normal(size=(len(window.ids), 2)).astype(np.float32)
        found = untrained(reading=wide).choose(context, [window], [logits], best=5)
        every: dict[str, float] = {}
        for first, last in product(range(len(context.ids)), repeat=2):
            text = TEXT[context.starts[first] : context.ends[last]].strip()
            if first <= last < first + 3 and text:
                score = float(logits[window.head + first, 0]) + float(logits[window.head + last, 1])
                every[text] = max(score, every.get(text, -np.inf))
        best = sorted(every.items(), key=lambda one: -one[1])
        assert [one.text for one in found.best] == [text for text, _ in best[:5]]
        null = float(logits[0].sum())
        assert found.null_odds == pytest.approx(null - best[0][1], abs=1e-5)
        total = np.exp([null, *(score for _, score in best[:20])]).sum()
        assert [one.probability for one in found.best] == pytest.approx(
            [np.exp(score) / total for _, score in best[:5]]
        )


def test_offsets_are_of_the_text_as_given() -> None:
    context, windows = read(TEXT)
    assert len(windows) > 2
    drawn = np.random.default_rng(2)
    for _ in range(20):
        logits = [drawn.normal(size=(len(window.ids), 2)).astype(np.float32) for window in windows]
        found = untrained().choose(context, windows, logits, best=30)
        assert found.text == TEXT[found.start : found.end]
        assert len({one.text for one in found.best}) == len(found.best) == 30, "each text once"
        for one in found.best:
            assert one.text == TEXT[one.start : one.end] == one.text.strip()
            assert one.window[0] <= one.start < one.end <= one.window[1]


def test_a_threshold_decides_whether_there_is_an_answer() -> None:
    context, windows = read(TEXT)
    logits = [np.zeros((len(window.ids), 2), np.float32) for window in windows]
    for one in logits:
        one[0] = 1.0
    logits[1][0] = 0.25  # the window that is least sure that there is none decides
    always, never = untrained().choose(context, windows, logits), untrained(0.4).choose(context, windows, logits)
    assert always.null_odds == never.null_odds == pytest.approx(0.5)
    assert always.text
    assert (never.text, never.start, never.end, never.window) == ("", None, None, None)
    assert never.best == always.best, "the candidates are told whatever was said"
    assert untrained(0.6).choose(context, windows, logits).text


@pytest.mark.parametrize("context", ["", " ", "\n\t ", "\u2028"])
def test_a_context_without_words_has_no_answer(context: str) -> None:
    assert untrained().answer("Where?", context) == Answer("", None, None, None, 1.0, None, None, ())


@pytest.mark.parametrize("question", ["", " ", "Where " * 500, "</s> <s>", "▁\x10"])
def test_questions_of_any_kind_are_read(question: str) -> None:
    assert untrained().answer(question, TEXT).text in TEXT


def test_together_as_alone() -> None:
    pairs = [("Where is Ada?", TEXT), ("Who?", "Bo."), ("", ""), ("Where is Ada?", TEXT * 5)]
    alone = [untrained().answer(*pair, best=3) for pair in pairs]
    for one, other in zip(untrained().answers(pairs, best=3), alone, strict=True):
        assert (one.text, one.start, one.end, one.window) == (other.text, other.start, other.end, other.window)
        assert [found.score for found in one.best] == pytest.approx([found.score for found in other.best], abs=1e-4)


# ---- judging --------------------------------------------------------------------------------------------------------


def said(text: str, odds: float | None = None, candidate: str = "") -> Answer:
    best = (Candidate(candidate or text, 0, 1, 1.0, 0.5, (0, 1)),) if candidate or text else ()
    return Answer(text, None, None, None, 0.5, odds, None, best)


def test_figures_are_those_of_the_official_script() -> None:
    towns = [
        Question("1", "Where?", "c", (Right("in Oslo", 0), Right("Oslo", 3))),
        Question("2", "How many?", "c", (Right("two red hens", 0),)),
        Question("3", "Who?", "c"),
        Question("4", "Why?", "c"),
    ]
    judged = judge(towns, [said("the Oslo", -2.0), said("red hens", 1.0), said("", 3.0, "Bo"), said("Bo", 0.0)])
    told = figures(judged, 2.0)
    assert told["exact"] == 50.0
    assert told["f1"] == pytest.approx(100 * (1 + 0.8 + 1 + 0) / 4)
    assert (told["HasAns_exact"], told["NoAns_exact"], told["NoAns_total"]) == (50.0, 50.0, 2)
    assert threshold_of(judged) == -2.0  # to answer "Bo" costs 1, more than the 0.8 of "red hens" gains
    assert best_with(judged).score == pytest.approx(3 / 4)
    assert threshold_of(judged[:2]) is None
    assert [kind_of(one) for one in judged] == ["where", "how many", "who", "why"]
    assert [length_of(one) for one in judged] == ["1", "3", "no answer", "no answer"]
    assert [section.title for section in sections(judged)][-1] == "Worst errors"


@pytest.mark.parametrize(
    ("question", "kind"),
    [("In what year was it?", "when"), ("Name the town.", "other"), ("To whom?", "who"), ("HOW MUCH?", "how many"),
     ("What somehow is it?", "what"), ("However it is, which?", "which")],
)  # fmt: skip
def test_kinds_of_questions(question: str, kind: str) -> None:
    (one,) = judge([Question("1", question, "c")], [said("")])
    assert kind_of(one) == kind


# ---- runs -----------------------------------------------------------------------------------------------------------


def test_a_finished_run(finished: Path, answerer: Answerer, capsys: pytest.CaptureFixture[str]) -> None:
    assert answerer.threshold is not None, "tuned, for some questions have no answer"
    assert answerer.reading == Reading(48, 12, 16, 4)
    scores = json.loads((finished / "scores.json").read_bytes())
    assert scores["dev"]["total"] == 30
    page, card = (finished / "report.html").read_text("utf-8"), (finished / "model" / "README.md").read_text("utf-8")
    assert "By kind of question" in page
    assert "Exact match" in card
    found = evaluate(finished, [finished.parent / "dev.json"])
    assert found.figures["exact"] == pytest.approx(scores["dev"]["exact"])
    assert found.figures["best_f1"] >= found.figures["f1"] - 1e-6
    assert "without one were left unanswered" in found.text
    assert "Worst errors" in found.page or found.figures["exact"] == 100
    (finished / "report.html").unlink()
    assert "report.html" in report(finished)[0]


def test_what_was_trained_on_is_what_is_evaluated(finished: Path) -> None:
    """The validation of the last step and the finished model say the same."""
    lines = [json.loads(line) for line in (finished / "journal.jsonl").read_text("utf-8").split("\n") if line]
    best = next(line for line in lines if line["kind"] == "finished")
    scores = json.loads((finished / "scores.json").read_bytes())["dev"]
    assert (100 * best["exact"], 100 * best["f1"]) == pytest.approx((scores["exact"], scores["f1"]))


def test_a_stopped_run_is_the_same_run(tmp_path: Path) -> None:
    settings = settings_of(tmp_path)
    same_bits_after_a_stop(lambda out: run(out, settings), tmp_path, Learning, "collate", 13)
    one, other = (load(tmp_path / name) for name in ("whole", "broken"))
    assert one.threshold == other.threshold


def test_from_a_finished_model_with_its_words(finished: Path, tmp_path: Path) -> None:
    settings = [one for one in settings_of(tmp_path) if not one.startswith(("model.", "tokenizer."))]
    with pytest.raises(UserError, match=r"the model has 64 learned positions, fewer than data.longest = 384"):
        run(tmp_path / "run", [*settings, f"training.start={finished}", "data.longest=384"])
    begun = load(run(tmp_path / "run", [*settings, f"training.start={finished}", "training.rate=0.0"], steps=1))
    given = load(finished)
    assert begun.tokenizer.fingerprint == given.tokenizer.fingerprint
    assert torch.equal(*(one.model.tensors()["text.1.text.query.weight"] for one in (begun, given)))


def test_without_dev_files_and_with_squad_1(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = write_questions(tmp_path / "train.json", 40, 3, impossible=False)
    tree = json.loads(path.read_bytes())
    first = tree["data"][0]["paragraphs"][0]["qas"][0]
    first["answers"] = [{"text": "Nowhere", "answer_start": 0}]
    tree["data"] = [{"title": str(n), "paragraphs": tree["data"][0]["paragraphs"][10 * n :][:10]} for n in range(4)]
    path.write_text(json.dumps(tree), "utf-8")
    settings = settings_of(tmp_path)
    path.write_text(json.dumps(tree), "utf-8")
    done = run(tmp_path / "run", [*settings, "data.dev=[]", "data.dev_share=0.25", f'data.test=["{path}"]'], steps=2)
    told = capsys.readouterr().err
    assert "dev: 10 questions in " in told
    assert "not at its answer_start: 1; the first: " in told
    assert "train.json: data[0].paragraphs[0].qas[0]" in told
    assert load(done).threshold is None, "every question has an answer, so one is always given"
    assert json.loads((done / "scores.json").read_bytes())["test"]["total"] == 40
    assert "Nowhere" in (done / "report.html").read_text("utf-8")


def test_nothing_can_be_held_out_of_one_context(tmp_path: Path) -> None:
    path = write_questions(tmp_path / "one.json", 1, 1, impossible=False)
    with pytest.raises(UserError, match=r"one.json: all about one context: no questions are left for validation"):
        run(tmp_path / "run", settings_of(tmp_path, f'data.train=["{path}"]', "data.dev=[]"), steps=1)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        (["data.stride=30"], "windows must overlap"),
        (["data.train=[]"], "no training data"),
        (['data.train=["none.json"]'], "none.json: no such file"),
        (["model.capacity=47"], "47 learned positions"),
        (["training.metric=bleu"], "this task is scored by: loss, exact, f1"),
    ],
)
def test_what_cannot_be_trained_is_told(tmp_path: Path, changes: list[str], words: str) -> None:
    with pytest.raises(UserError, match=words):
        run(tmp_path / "run", settings_of(tmp_path, *changes), steps=1)


# ---- the command ----------------------------------------------------------------------------------------------------


def asked(run: Path | None, *questions: str, stdin: bytes = b"", form: Form = Form(), **given: Any) -> list[str]:
    out = io.BytesIO()
    named = {"context": None, "text": None, "files": [], "threshold": None, "root": None} | given
    call(run, questions, form=form, lines=io.BytesIO(stdin), out=out, **named)
    return out.getvalue().decode().split("\n")[:-1]


def test_questions_about_a_text(finished: Path, tmp_path: Path) -> None:
    context = tmp_path / "text.txt"
    context.write_bytes(b"\xef\xbb\xbf" + TEXT.encode())
    (line,) = asked(finished, "Where does Ada live?", context=context, threshold=1e9, form=Form(json=True))
    found = json.loads(line)
    assert found["text"] == TEXT[found["start"] : found["end"]] != ""
    assert set(found) == {"question", "text", "start", "end", "score", "probability", "null_odds", "window", "best"}
    assert asked(finished, "Where?", "Who?", text=TEXT, threshold=-1e9) == ["", ""]
    assert len(asked(finished, text=TEXT, stdin=b"Where?\n\xff\r\n\nWho?")) == 4, "lines out are lines in"
    assert asked(finished, "Where?", context=Path("-"), stdin=TEXT.encode()) == asked(finished, "Where?", text=TEXT)
    assert asked(finished, "Where?", text="") == [""]
    best = asked(finished, "Where?", text=TEXT, form=Form(best=4))
    assert len(best) == 4
    assert all("\r" not in line and 0 <= float(line.split("\t")[0]) <= 1 for line in best)


def test_files_of_questions_give_squads_predictions(finished: Path, answerer: Answerer) -> None:
    dev = finished.parent / "dev.json"
    found = json.loads("\n".join(asked(finished, files=[dev])))
    questions = json.loads(dev.read_bytes())["data"][0]["paragraphs"]
    assert list(found) == [one["qas"][0]["id"] for one in questions]
    pairs = [(one["qas"][0]["question"], one["context"]) for one in questions]
    assert list(found.values()) == [answer.text for answer in answerer.answers(pairs)]
    lines = asked(finished, files=[dev], form=Form(json=True))
    assert [json.loads(line)["id"] for line in lines] == list(found)
    assert asked(finished, files=[dev], form=Form(scores=True))[0].startswith("dev-0\t0.")


def test_lines_of_json(finished: Path) -> None:
    lines = [{"question": "Where does Bo live?", "context": TEXT, "more": 1}, {"question": "", "context": ""}]
    stdin = "\n".join(map(json.dumps, lines)).encode()
    assert len(asked(finished, stdin=stdin)) == 2


@pytest.mark.parametrize(
    ("questions", "given", "words"),
    [
        (["Where?"], {}, "a question needs a text to look in"),
        (["Where?"], {"context": Path("none.txt")}, "none.txt: cannot be read"),
        (["Where?"], {"context": Path("x"), "text": "x"}, "leave one of them out"),
        ([], {"context": Path("-")}, "give them as arguments"),
        (["Where?"], {"text": TEXT, "threshold": float("nan")}, "--threshold is not a number"),
        (["Where?"], {"files": [Path("q.json")]}, "has its own contexts"),
        ([], {"files": [Path("none.json")]}, "none.json: no such file"),
        ([], {"stdin": b"\n"}, "standard input:1: the line is empty; without --context each line is"),
        ([], {"stdin": b'{"question": "a"}\n'}, "standard input:1: .*context"),
        ([], {"stdin": b"[[["}, "standard input:1: "),
    ],
)
def test_bad_input_is_told(finished: Path, questions: list[str], given: dict[str, Any], words: str) -> None:
    with pytest.raises(UserError, match=words):
        asked(finished, *questions, **given)


def test_bytes_that_are_no_text(finished: Path, tmp_path: Path) -> None:
    path = tmp_path / "latin.txt"
    path.write_bytes("Köln".encode("latin-1"))
    with pytest.raises(UserError, match=r"latin.txt: byte 1 is not UTF-8"):
        asked(finished, "Where?", context=path)


def test_a_model_whose_settings_were_edited(finished: Path, tmp_path: Path) -> None:
    shutil.copytree(finished / "model", tmp_path / "model")
    config = tmp_path / "model" / "config.json"
    tree = json.loads(config.read_bytes())
    del tree["seal"]
    for reading, words in (([48, 40, 16, 4], "makes no windows"), ("x", "copy the model again"), ([1, 2], "copy")):
        config.write_text(json.dumps(tree | {"reading": reading}), "utf-8")
        with pytest.raises(UserError, match=words):
            load(tmp_path / "model")
