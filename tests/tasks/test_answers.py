"""What a translator guarantees, on models that have learnt next to nothing: spans and numbers are kept or told of."""

from __future__ import annotations

import dataclasses
import io
import json
import math
import time
from pathlib import Path

import pytest

from heedful.config import parse_recipe
from heedful.decode.options import Hypothesis
from heedful.errors import UserError
from heedful.tasks.runs import train
from heedful.tasks.translate import Answer, Terms, Translator, load
from heedful.tasks.translate.answers import Draft, best_joined
from heedful.tasks.translate.request import Request
from heedful.tasks.translate.shown import Show
from heedful.tasks.translate.translator import Seen
from heedful.text.numbers import changed_numbers
from heedful.text.placeholders import lost

from .markup import generate, kept
from .test_translate import write_corpus


def trained(folder: Path, *settings: str) -> Translator:
    chosen = [*write_corpus(folder), "training.steps=30", *settings]
    assert train(parse_recipe({}, chosen), folder / "run") == 0
    return load(folder / "run")


@pytest.fixture(scope="module")
def translator(tmp_path_factory: pytest.TempPathFactory) -> Translator:
    return trained(tmp_path_factory.mktemp("with"), "data.placeholders=0.5")


@pytest.fixture(scope="module")
def older(tmp_path_factory: pytest.TempPathFactory) -> Translator:
    """A model without placeholders."""
    return trained(tmp_path_factory.mktemp("without"), "tokenizer.placeholders=0")


@pytest.fixture(params=["translator", "older"])
def either(request: pytest.FixtureRequest) -> Translator:
    found: Translator = request.getfixturevalue(request.param)
    return found


def ask(translator: Translator, texts: list[str], **given: object) -> list[Answer]:
    return translator.answer(texts, options=translator.options(beam=2), **given)  # type: ignore[arg-type]


@pytest.mark.parametrize("count", [250, pytest.param(2000, marks=pytest.mark.slow)])
def test_generated_strings_are_kept_or_marked(either: Translator, count: int) -> None:
    strings = generate(count, seed=1)
    answers = ask(either, [one.text for one in strings])
    for one, answer in zip(strings, answers, strict=True):
        assert kept(one, answer.text) or answer.problems, (one.text, answer.text)
    good = sum(kept(one, answer.text) for one, answer in zip(strings, answers, strict=True))
    assert good > 0.9 * count


HOSTILE = [
    "<b>alpha beta</b>", "{x}", "{x} alpha", "alpha {x}", "<b><i>alpha</b></i>", "literal <ph1> and <ph16>", "",
    " ".join(f"alpha {{x{n}}}" for n in range(1000)), "{x}" * 1000, "%s" * 40 + " alpha", "\u202e<b>שלום</b> {x}\u202c",
    "<b>" * 500, "alpha " * 300 + "{x} " * 20, "<a title='" * 200, "{" * 2000, "alpha\x00{x}\x10_▁", "\ud800{x} alpha",
]  # fmt: skip


@pytest.mark.parametrize("number", range(len(HOSTILE)))
def test_hostile_strings(either: Translator, number: int) -> None:
    began = time.process_time()
    [answer] = either.answer([HOSTILE[number]], options=either.options(beam=1))
    assert time.process_time() - began < 60.0
    assert lost(HOSTILE[number], answer.text) == []
    assert answer.problems == ()


def test_plain_text_is_translated_as_without_protection(translator: Translator) -> None:
    texts = ["alpha beta", "gamma", "delta epsilon zeta eta"]
    assert translator.translate(texts) == translator.translate(texts, protect=False)


def test_what_has_no_letters_is_copied(either: Translator) -> None:
    texts = ["...", "12:30", "<b></b>", "{x} / {y} - 5%", "\U0001f600"]
    answers = ask(either, texts)
    assert [answer.text for answer in answers] == texts
    assert all(answer.pieces == [] and answer.score == 0.0 for answer in answers)


def test_numbers_are_kept_by_placeholders(translator: Translator) -> None:
    """The toy language has no digits: the model has to be made to say them."""
    texts = ["alpha 12 beta", "3,5 alpha", "18:45", "alpha 1 1 1", "1 " * 40 + "alpha"]
    answers = ask(translator, texts)
    for text, answer in zip(texts, answers, strict=True):
        assert changed_numbers(text, answer.text) == ([], [])
        assert answer.problems == ()


def test_a_number_that_cannot_be_kept_is_marked(older: Translator) -> None:
    [answer] = ask(older, ["alpha 12 beta"])
    assert answer.problems == ("number 12 is missing",)
    [answer] = ask(older, ["alpha " + "7" * 500])
    assert answer.problems == ("number " + "7" * 60 + "… is missing",)
    [answer] = ask(older, ["alpha " + " ".join(map(str, range(30)))])
    assert answer.problems == ("number of numbers that are missing or new: 30",)
    [unchecked] = ask(older, ["alpha 12 beta"], protect=False)
    assert unchecked.problems == ()


def test_room_for_placeholders_is_made(translator: Translator) -> None:
    """Where the longest answer is shorter than what must stand in it."""
    text = "{a} alpha {b} beta {c}"
    [answer] = translator.answer([text], options=translator.options(beam=2, max_length=2))
    assert lost(text, answer.text) == []


def test_given_spans(either: Translator) -> None:
    text = "alpha beta  gamma delta"
    [answer] = ask(either, [text], spans=[[(6, 12)]], protect=False)
    assert "beta" in answer.text
    assert ask(either, ["alpha"], spans=[[]])[0].text == ask(either, ["alpha"])[0].text
    for wrong in ([(3, 2)], [(0, 99)], [(-1, 2)], [(4, 6), (2, 3)]):
        with pytest.raises(UserError, match=r"text 0: the span"):
            ask(either, [text], spans=[wrong])
    with pytest.raises(UserError, match="spans are given for 0 of 1 texts"):
        ask(either, [text], spans=[])


def test_terms(either: Translator) -> None:
    terms = Terms([("beta", "BETA"), ("gamma delta", "GD <&>")])
    for protect in (True, False):
        [answer] = ask(either, ["alpha Beta, gamma delta {x}"], terms=terms, protect=protect)
        assert "BETA" in answer.text
        assert "GD <&>" in answer.text
        assert answer.problems == ()


def test_sampling_keeps_spans_too(translator: Translator) -> None:
    lines = b"alpha <b>beta</b> {x}\n" * 20
    answers = stream(translator, lines, sample=True, temperature=2.0, seed=1, top_k=50).decode().split("\n")[:-1]
    assert len(answers) == 20
    assert all(lost("alpha <b>beta</b> {x}", answer) == [] for answer in answers)


def test_tags_of_languages_go_with_placeholders(tmp_path: Path) -> None:
    twice = [
        f'data.{side}=["{tmp_path}/a.{end}", "{tmp_path}/a.{end}"]'
        for side, end in (("source", "src"), ("target", "tgt"))
    ]
    found = trained(tmp_path, *twice, 'data.tags=["de", "fr"]', "tokenizer.joint=false", "model.tie=target")
    [answer] = found.answer(["alpha {x}"], "fr")
    assert "{x}" in answer.text
    assert answer.pieces[0].source[0] == found.tokenizers["source"].tag("fr")


def test_an_answer_says_how_it_came_about(translator: Translator) -> None:
    options = translator.options(beam=4, max_length=6)
    [answer] = translator.answer(["alpha {x} beta"], options=options, best=4)
    [piece] = answer.pieces
    assert piece.source[-1] == 2
    assert len(answer.tokens) == len(piece.hypothesis.ids) + piece.hypothesis.finished
    assert answer.logprob == pytest.approx(sum(token.logprob for token in answer.tokens))
    assert answer.score == pytest.approx(answer.logprob / len(answer.tokens))
    assert "<ph1>" in [token.piece for token in answer.tokens]
    assert all("{x}" in other.text for other in answer.alternatives)
    assert translator.translate(["alpha {x} beta"], options=options) == [answer.text]
    [answer] = translator.answer(["alpha beta gamma"], options=translator.options(beam=16), best=16)
    texts = [answer.text, *(other.text for other in answer.alternatives)]
    assert len(texts) == len(set(texts)) > 1
    scores = [answer.score, *(other.score for other in answer.alternatives)]
    assert scores == sorted(scores, reverse=True)


def test_equal_texts_are_one_and_parts_are_put_together_best_first(translator: Translator) -> None:
    def draft(text: str, logprob: float) -> Draft:
        return Draft(text, (([1], Hypothesis([5], logprob / 2, True, [logprob, 0.0])),))

    options = dataclasses.replace(translator.options(beam=4), best=3)
    first = [draft("a", -1.0), draft("b", -2.0), draft("a", -3.0)]
    assert [one.text for one in best_joined([first], options)] == ["a", "b"]
    second = [draft("x", -1.0), draft("y", -1.5)]
    joined = best_joined([first, [Draft(" ")], second], options)
    assert [(one.text, one.logprob) for one in joined] == [("a x", -2.0), ("a y", -2.5), ("b x", -3.0)]
    assert joined[0].score(options) == pytest.approx(-0.5)


def test_nothing_is_an_answer_of_nothing(either: Translator) -> None:
    assert ask(either, []) == []
    assert ask(either, ["", "  \n"]) == [Answer(""), Answer("")]
    assert Answer("").finished
    assert math.isfinite(ask(either, ["alpha"])[0].score)


def test_sentences_are_translated_alone(either: Translator) -> None:
    text = "Alpha beta.  Gamma {x}.\n\nDelta."
    whole = ask(either, [text], split="never")[0]
    assert len(whole.pieces) == 1 or either.tokenizers["source"].placeholders == ()
    alone = [answer.text for answer in ask(either, ["Alpha beta.", "Gamma {x}.", "Delta."])]
    assert ask(either, [text], split="always")[0].text == f"{alone[0]}  {alone[1]}\n\n{alone[2]}"
    assert ask(either, [text])[0].text == ask(either, [text], split="always")[0].text
    with pytest.raises(UserError, match="split = 'often'"):
        ask(either, [text], split="often")


def test_what_a_model_saw_decides_what_is_split(translator: Translator) -> None:
    def pieces(seen: Seen, text: str) -> int:
        knowing = Translator(translator.model, translator.tokenizers, (), translator.decoding, seen=seen)
        [answer] = knowing.answer([text], options=knowing.options(beam=1))
        return len(answer.pieces)

    assert pieces(Seen(30, 0.01), "Alpha beta. Gamma.") == pieces(Seen(), "Alpha beta. Gamma.") == 2
    assert pieces(Seen(30, 0.5), "Alpha beta. Gamma.") == 1
    assert pieces(Seen(3, 0.5), "Alpha beta. Gamma.") == 2
    assert pieces(Seen(None, 0.5), "Alpha beta. Gamma.") == 1
    assert pieces(Seen(3, 0.5), "Alpha beta gamma delta alpha.") == 1


def test_long_texts_are_cut_between_words(translator: Translator) -> None:
    decoding = type(translator.decoding)(longest=8)
    short = Translator(translator.model, translator.tokenizers, (), decoding)
    text = "alpha {x} beta " * 12
    [answer] = short.answer([text], options=short.options(beam=1), split="never")
    assert len(answer.pieces) > 3
    assert all(len(piece.source) <= 9 for piece in answer.pieces)
    assert lost(text, answer.text) == []
    [answer] = short.answer(["q" * 50], options=short.options(beam=1))
    assert max(len(piece.source) for piece in answer.pieces) <= 9


# -- lines ------------------------------------------------------------------------------------------------------------


def stream(translator: Translator, lines: bytes, show: Show | None = None, **given: object) -> bytes:
    out = io.BytesIO()
    Request(translator, {"beam": 1, **given}, show).stream(io.BytesIO(lines), out)
    return out.getvalue()


def test_problems_are_told_with_their_line(older: Translator, capsys: pytest.CaptureFixture[str]) -> None:
    lines = b"alpha\nalpha 12\n" + b"x" * 100_000 + b"\n{x} beta 7\n"
    plain = stream(older, lines, protect=False)
    assert capsys.readouterr().err == ""
    told = stream(older, lines)
    assert capsys.readouterr().err == "line 2: check the translation: number 12 is missing\n"
    assert plain.count(b"\n") == told.count(b"\n") == 4
    marked = stream(older, lines, Show(marks="text")).split(b"\n")
    assert marked[1].startswith(b"[check: number 12 is missing] ")
    assert capsys.readouterr().err == ""
    assert b"{x}" in marked[3]
    assert b"7" in marked[3]


def test_lines_with_a_terminology_file(translator: Translator, tmp_path: Path) -> None:
    path = tmp_path / "terms.tsv"
    path.write_text("beta\tBETA\n", "utf-8")
    assert b"BETA" in stream(translator, b"alpha beta\n", terms=path)
    path.write_text("beta\n", "utf-8")
    with pytest.raises(UserError, match=r"terms\.tsv:1"):
        stream(translator, b"alpha beta\n", terms=path)


def test_a_folder_says_what_was_seen(tmp_path: Path) -> None:
    """A fifth of the training texts have two sentences."""
    settings = write_corpus(tmp_path)
    for name in ("src", "tgt"):
        (tmp_path / f"a.{name}").write_text("Alpha beta gamma.\n" * 160 + "Alpha beta. Gamma.\n" * 40, "utf-8")
    assert train(parse_recipe({}, [*settings, "training.steps=1"]), tmp_path / "run") == 0
    seen = load(tmp_path / "run").seen
    assert seen.several_sentences == pytest.approx(0.2, abs=0.05)
    assert seen.usual_tokens == len(load(tmp_path / "run").tokenizers["source"].encode("Alpha beta. Gamma."))
    config = tmp_path / "run" / "model" / "config.json"
    tree = json.loads(config.read_bytes())
    del tree["seal"]
    tree["seen"] = {"usual_tokens": "many"}
    config.write_text(json.dumps(tree), "utf-8")
    with pytest.raises(UserError, match=r"config\.json: .*usual_tokens"):
        load(tmp_path / "run")
