"""`heedful translate`: streams, files, documents, what is asked of translations, and interruptions."""

from __future__ import annotations

import gzip
import io
import json
import os
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from heedful.decode.options import Hypothesis
from heedful.decode.sampling import Sampling
from heedful.errors import UserError
from heedful.tasks.translate import Translator, calling
from heedful.tasks.translate.answers import Alternative, Answer, Draft
from heedful.tasks.translate.demands import least_risky
from heedful.tasks.translate.request import Request
from heedful.tasks.translate.shown import Aligned, Show

TEXT = b"alpha beta\n\ngamma delta epsilon\nzeta\n"


def call(
    run: Path | None, files: list[Path] = [], output: Path | None = None, stdin: bytes = b"", **asked: Any
) -> list[str]:
    """The command; what it writes to standard output, by lines."""
    out = io.BytesIO()
    named = {"form": "text", "alignment": False, "marks": "stderr", "watch": False, "terminal": False}
    named |= {name: asked.pop(name) for name in list(asked) if name in named}
    calling.call(
        files, [] if run is None else [run], output, asked, lines=io.BytesIO(stdin),
        out=None if output else out, **named,
    )  # type: ignore[arg-type]  # fmt: skip
    return out.getvalue().decode().split("\n")


def interrupted(monkeypatch: pytest.MonkeyPatch, at: int) -> list[int]:
    """A translator is interrupted the `at`-th time it is asked; how often that was, as the only number of a list."""
    answer, calls = Translator.answer, [0]

    def stopping(self: Translator, *given: Any, **named: Any) -> Any:
        calls[0] += 1
        if calls[0] == at:
            raise KeyboardInterrupt
        return answer(self, *given, **named)

    monkeypatch.setattr(Translator, "answer", stopping)
    return calls


@pytest.fixture
def text(tmp_path: Path) -> Path:
    file = tmp_path / "text"
    file.write_bytes(TEXT)
    return file


def test_a_stream_and_files_give_the_same_lines(finished: Path, text: Path, tmp_path: Path) -> None:
    lines = call(finished, stdin=TEXT)
    assert len(lines) == 5
    assert lines[1] == lines[4] == ""
    assert call(finished, [text]) == lines
    call(finished, [text, text], tmp_path / "out")
    assert (tmp_path / "out").read_text("utf-8").split("\n") == lines[:-1] * 2 + [""]
    call(finished, output=tmp_path / "piped", stdin=TEXT)
    assert (tmp_path / "piped").read_text("utf-8").split("\n") == lines


def test_mistakes_are_told_before_a_model_is_loaded(
    tmp_path: Path, text: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(calling, "together", lambda models: pytest.fail("a model was loaded"))
    with pytest.raises(UserError, match="cannot be opened"):
        call(tmp_path, [tmp_path / "none"])
    with pytest.raises(UserError, match="exists already"):
        call(tmp_path, [text], text)
    assert text.read_bytes() == TEXT


def test_without_a_model_the_last_run_here_is_taken(
    finished: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    monkeypatch.chdir(finished.parent)
    assert call(None, stdin=TEXT) == call(finished, stdin=TEXT)
    assert "using run" in capsys.readouterr().err
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UserError, match="no finished run"):
        call(None, stdin=TEXT)


def test_an_interrupted_translation_goes_on(
    finished: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    many = tmp_path / "many"
    many.write_bytes(TEXT * 300)
    whole = call(finished, [many])
    asked: list[int] = []
    answer = Translator.answer

    def counting(self: Translator, texts: list[str], *given: Any, **named: Any) -> Any:
        asked.append(len(texts))
        if sum(asked) > 700 and len(asked) < 3:
            raise KeyboardInterrupt
        return answer(self, texts, *given, **named)

    monkeypatch.setattr(Translator, "answer", counting)
    with pytest.raises(KeyboardInterrupt):
        call(finished, [many], tmp_path / "out")
    assert not (tmp_path / "out").exists()
    with pytest.raises(UserError, match="another translation"):
        call(finished, [many], tmp_path / "out", beam=1)
    asked[:] = [0, 0, 0]
    call(finished, [many], tmp_path / "out")
    assert (tmp_path / "out").read_text("utf-8").split("\n") == whole
    assert sum(asked) < 1200
    assert "going on after 512 lines" in capsys.readouterr().err
    assert sorted(os.listdir(tmp_path)) == ["many", "out"]


def test_alternatives_are_begun_anew(finished: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Some lines of output for each of the input: how many there are does not tell how far it came."""
    many = tmp_path / "many"
    many.write_bytes(TEXT * 200)
    whole = call(finished, [many], form="best", best=2)
    interrupted(monkeypatch, at=2)
    with pytest.raises(KeyboardInterrupt):
        call(finished, [many], tmp_path / "out", form="best", best=2)
    call(finished, [many], tmp_path / "out", form="best", best=2)
    assert (tmp_path / "out").read_text("utf-8").split("\n") == whole


def test_a_file_whose_last_line_has_no_end_does_not_run_into_the_next(finished: Path, tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"alpha\nbeta")
    (tmp_path / "b").write_bytes(b"gamma\n")
    lines = call(finished, [tmp_path / "a", tmp_path / "b"])
    assert lines == [*call(finished, [tmp_path / "a"]), *call(finished, [tmp_path / "b"])]
    assert len(lines) == 4


def test_a_place_that_cannot_be_written_is_told_in_one_line(finished: Path, text: Path, tmp_path: Path) -> None:
    for files in ([], [text]):
        with pytest.raises(UserError, match=r"nowhere/out: cannot be opened"):
            call(finished, files, tmp_path / "nowhere" / "out", stdin=TEXT)


def test_lines_keep_their_numbers_after_an_interruption(
    translator: Translator, monkeypatch: pytest.MonkeyPatch
) -> None:
    told: list[int] = []
    monkeypatch.setattr(Show, "lines", lambda self, translator, number, *rest: told.append(number) or ["x"])
    Request(translator, {}).stream(io.BytesIO(b"alpha\nbeta\n"), io.BytesIO(), before=7)
    assert told == [8, 9]


def test_forms(finished: Path) -> None:
    plain = call(finished, stdin=TEXT)
    scored = [line.split("\t") for line in call(finished, stdin=TEXT, form="scores")]
    assert [one[-1] for one in scored] == plain
    assert all(float(one[0]) <= 0 for one in scored[:-1])
    objects = [json.loads(line) for line in call(finished, stdin=TEXT, form="json", alignment=True, best=3)[:-1]]
    assert [one["text"] for one in objects] == plain[:-1]
    assert [one["source"] for one in objects] == TEXT.decode().split("\n")[:-1]
    first = objects[0]
    assert first["logprob"] == pytest.approx(sum(score for _, score in first["tokens"]), abs=1e-5)
    texts = [first["text"], *(other["text"] for other in first["alternatives"])]
    assert len(texts) == len(set(texts)) <= 3
    assert all(0 <= s < len(first["alignment"]["source"]) for s, _ in first["alignment"]["links"])
    rows = [line.split("\t") for line in call(finished, stdin=b"alpha beta\n", form="best", best=3)[:-1]]
    assert {row[0] for row in rows} == {"1"}
    assert [row[2] for row in rows] == texts


def test_alignment_links_every_word_that_is_written(translator: Translator) -> None:
    answer = translator.answer(["alpha beta gamma"])[0]
    aligned = Aligned.of(translator, answer)
    assert aligned.source == ["alpha", "beta", "gamma"]
    assert aligned.target == answer.text.split()
    assert [t for _, t in aligned.links] == list(range(len(aligned.target)))


def test_demands(translator: Translator) -> None:
    plain = translator.answer(["alpha beta gamma"])[0].text
    begun = translator.answer(["alpha beta gamma"], prefix="kappa")[0]
    assert begun.text.startswith("kappa")
    held = translator.answer(["alpha beta gamma", "zeta"], require=["iota kappa"])
    assert all("iota kappa" in answer.text and not answer.problems for answer in held)
    word = plain.split()[0]
    without = translator.answer(["alpha beta gamma"], ban=[word])[0]
    assert word not in without.text or without.problems
    with pytest.raises(UserError, match="empty"):
        translator.answer(["alpha"], require=[" "])


def test_what_is_demanded_may_hold_numbers_and_be_long(translator: Translator) -> None:
    """The search that may say no other digit than the source's leaves what is demanded alone."""
    assert translator.answer(["alpha beta"], prefix="kappa 3: ")[0].text.startswith("kappa 3:")
    assert "24 iota" in translator.answer(["alpha 7"], require=["24 iota "])[0].text
    long = " ".join(["kappa"] * 90)
    assert translator.answer(["alpha"], prefix=long)[0].text.startswith(long)


def test_a_short_text_has_a_long_answer_where_that_is_asked(translator: Translator) -> None:
    answer = translator.answer(["alpha"], None, translator.options(min_length=70))[0]
    assert len(answer.tokens) >= 70
    with pytest.raises(UserError, match="min_length = 9 is above max_length = 5"):
        translator.options(min_length=9, max_length=5)


def test_the_least_risk_is_one_of_the_answers(translator: Translator) -> None:
    options = translator.options(beam=6, best=6)
    answer = translator.answer(["alpha beta gamma"], None, options)[0]
    texts = {answer.text, *(other.text for other in answer.alternatives)}
    least = translator.answer(["alpha beta gamma"], None, translator.options(beam=6), mbr=6)[0]
    assert least.text in texts
    assert not least.alternatives
    assert least.text == "".join(translator.tokenizers["target"].decode(least.pieces[0].hypothesis.ids))


def test_samples_count_as_often_as_they_are_drawn() -> None:
    """The likeliest of all is one of five; three are alike."""
    drafts = [
        Draft(text, ((([], Hypothesis([], score, True, [score]))),))
        for text, score in (("xyz", -1.0), ("alpha beta", -9.0), ("alpha beta", -9.0), ("alpha bet", -9.5), ("q", -9.9))
    ]
    assert least_risky(drafts, drawn=True)[0].text == "alpha beta"
    assert least_risky(drafts, drawn=False)[0].text == "xyz"
    marred = [draft._replace(problems=("7 is missing",)) if draft.text == "alpha beta" else draft for draft in drafts]
    assert least_risky(marred, drawn=True)[0].text == "alpha bet"


def test_samples_of_sentences_make_samples_of_the_text(translator: Translator) -> None:
    sampled = translator.options(sampling=Sampling(seed=3, temperature=2.0))
    answer = translator.answer(["Alpha beta. Gamma delta."], None, sampled, best=4, split="always")[0]
    texts = [answer.text, *(other.text for other in answer.alternatives)]
    assert len(texts) == len(set(texts)) > 1
    scores = [answer.score, *(other.score for other in answer.alternatives)]
    assert scores == sorted(scores, reverse=True)


def test_the_same_model_twice_is_that_model(finished: Path) -> None:
    alone = call(finished, stdin=TEXT)
    out = io.BytesIO()
    calling.call([], [finished, finished], None, {}, form="text", alignment=False, marks="stderr", watch=False,
                 terminal=False, lines=io.BytesIO(TEXT), out=out)  # fmt: skip
    assert out.getvalue().decode().split("\n") == alone


def test_a_text_is_sampled_alike_wherever_it_stands(finished: Path) -> None:
    asked: dict[str, Any] = {"sample": True, "temperature": 2.0, "seed": 5}
    lines = call(finished, stdin=TEXT, **asked)
    turned = b"".join(line + b"\n" for line in TEXT.split(b"\n")[:-1][::-1])
    assert call(finished, stdin=turned, **asked)[:-1] == lines[:-1][::-1]
    assert call(finished, stdin=TEXT, watch=True, **asked) == lines
    assert call(finished, stdin=TEXT, **(asked | {"seed": 6})) != lines


def test_every_alternative_tells_what_it_lacks(
    translator: Translator, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    other = Alternative("zwei", -1.0, -2.0, ("7 is missing",))
    monkeypatch.setattr(Translator, "answer", lambda *given, **named: [Answer("eins", -0.5, alternatives=[other])])
    out = io.BytesIO()
    Request(translator, {}, Show("best", marks="text")).stream(io.BytesIO(b"a\n"), out)
    assert out.getvalue() == b"1\t-0.5000\teins\n1\t-1.0000\t[check: 7 is missing] zwei\n"
    Request(translator, {}, Show("best")).stream(io.BytesIO(b"a\n"), io.BytesIO())
    assert "line 1, alternative 2: check the translation: 7 is missing" in capsys.readouterr().err


def test_what_does_not_go_together_is_told(finished: Path, text: Path, tmp_path: Path) -> None:
    with pytest.raises(UserError, match="--watch shows"):
        call(finished, [text], watch=True)
    with pytest.raises(UserError, match="leave --best out"):
        call(finished, stdin=TEXT, form="best", best=2, alignment=True)
    os.mkfifo(tmp_path / "pipe")
    writer = os.open(tmp_path / "pipe", os.O_RDWR)  # so that nobody waits
    with pytest.raises(UserError, match="pipe: not a regular file"):
        call(finished, [tmp_path / "pipe"], tmp_path / "out")
    os.close(writer)
    (tmp_path / "a.po.gz").write_bytes(gzip.compress(PO))
    with pytest.raises(UserError, match="unpack it first"):
        call(finished, [tmp_path / "a.po.gz"])


def test_packed_files_and_byte_order_marks(finished: Path, tmp_path: Path) -> None:
    lines = call(finished, stdin=TEXT)
    assert call(finished, stdin=b"\xef\xbb\xbf" + TEXT) == lines
    (tmp_path / "text.gz").write_bytes(gzip.compress(b"\xef\xbb\xbf" + TEXT))
    assert call(finished, [tmp_path / "text.gz"]) == lines
    (tmp_path / "text.gz").write_bytes(gzip.compress(TEXT)[:-9])
    with pytest.raises(UserError, match=r"text\.gz: damaged gzip file"):
        call(finished, [tmp_path / "text.gz"])


def test_standard_input_is_written_whole_or_not_at_all(
    finished: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    interrupted(monkeypatch, at=2)
    with pytest.raises(KeyboardInterrupt):
        call(finished, output=tmp_path / "out", stdin=TEXT * 200)
    assert not (tmp_path / "out").exists()
    call(finished, output=tmp_path / "out", stdin=TEXT)
    assert (tmp_path / "out").read_bytes().count(b"\n") == 4
    assert os.listdir(tmp_path) == ["out"]


def test_a_resumed_translation_has_the_same_terminology(
    finished: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    many, terms = tmp_path / "many", tmp_path / "terms.tsv"
    many.write_bytes(TEXT)
    terms.write_text("alpha\tomega\n", "utf-8")
    with monkeypatch.context() as stopped:
        stopped.setattr(Translator, "answer", lambda *given, **named: (_ for _ in ()).throw(KeyboardInterrupt))
        with pytest.raises(KeyboardInterrupt):
            call(finished, [many], tmp_path / "out", terms=terms)
    terms.write_text("alpha\tpsi\n", "utf-8")
    with pytest.raises(UserError, match="another translation"):
        call(finished, [many], tmp_path / "out", terms=terms)


TMX = b"""<?xml version="1.0" encoding="UTF-8"?>
<tmx version="1.4"><header srclang="en"/><body>
<tu><tuv xml:lang="en"><seg>alpha beta</seg></tuv><tuv xml:lang="fr"><seg>bonjour</seg></tuv></tu>
<tu><tuv xml:lang="en"><seg>gamma</seg></tuv><tuv xml:lang="de"><seg>drei</seg></tuv></tu>
</body></tmx>
"""


def test_of_a_memory_with_several_languages_one_is_named(finished: Path, tmp_path: Path) -> None:
    """Also to a model that has one target language, and so no tags."""
    file = tmp_path / "memory.tmx"
    file.write_bytes(TMX)
    with pytest.raises(UserError, match="name source and target language"):
        call(finished, [file])
    filled = "\n".join(call(finished, [file], tag="de"))
    assert filled.count('xml:lang="de"') == 2
    assert "bonjour" in filled
    with pytest.raises(UserError, match="one target language"):
        call(finished, stdin=TEXT, tag="de")


PO = b"""msgid ""
msgstr "Content-Type: text/plain; charset=UTF-8\\n"

# kept
msgid "alpha beta"
msgstr ""

msgid "done"
msgstr "ready"

msgid "gamma %s"
msgstr ""
"""


def test_a_document_is_filled_and_nothing_else_changes(
    finished: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "a.po"
    file.write_bytes(PO)
    call(finished, [file], tmp_path / "b.po")
    filled = (tmp_path / "b.po").read_bytes()
    assert "2 of 3 entries were filled" in capsys.readouterr().err
    assert b'msgid "alpha beta"\nmsgstr "' in filled
    assert filled.count(b'msgstr ""') == 0
    assert b'# kept\nmsgid "alpha beta"' in filled
    assert b'msgstr "ready"' in filled
    assert filled.split(b'msgid "gamma %s"\n')[1].count(b"%s") == 1
    assert "\n".join(call(finished, [file])).encode() == filled
    with pytest.raises(UserError, match="translated alone"):
        call(finished, [file, file])
    with pytest.raises(UserError, match="translations only"):
        call(finished, [file], form="json")


def test_white_space_around_an_entry_stays(finished: Path, tmp_path: Path) -> None:
    """A program puts such texts together with others."""
    file = tmp_path / "a.po"
    file.write_bytes(PO.replace(b'"alpha beta"', b'"  alpha beta: "').replace(b'"gamma %s"', b'"gamma\\n"'))
    filled = "\n".join(call(finished, [file]))
    assert re.search(r'msgstr "  \S.*\S "', filled)
    assert re.search(r'msgstr "\S.*\S\\n"', filled)


def test_lines_of_a_text_are_translated_one_by_one(translator: Translator) -> None:
    """No model has seen a line end: texts to train on are lines."""
    lines = translator.translate(["alpha beta", "gamma {x}", "delta"])
    assert translator.translate(["alpha beta\n\n  gamma {x}\ndelta\n"]) == [f"{lines[0]}\n\n  {lines[1]}\n{lines[2]}"]
    assert "\n" in translator.translate(["alpha <a\nb> beta"])[0]  # a tag may go on over a line end
    whole, joined = (translator.answer([text], split="never")[0].pieces[0] for text in ("alpha \n  beta", "alpha beta"))
    assert whole.source == joined.source


def test_an_interrupted_document_goes_on(finished: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "a.tsv"
    file.write_bytes(b"alpha beta\t\n" * 300)
    whole = call(finished, [file])
    calls = interrupted(monkeypatch, at=3)
    with pytest.raises(KeyboardInterrupt):
        call(finished, [file], tmp_path / "b.tsv")
    call(finished, [file], tmp_path / "b.tsv")
    assert calls[0] == 4
    assert (tmp_path / "b.tsv").read_text("utf-8").split("\n") == whole


def test_problems_are_marked(translator: Translator, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:  # fmt: skip  # noqa: E501
    import dataclasses

    answer: Callable[..., Any] = Translator.answer
    broken = lambda self, *given, **named: [dataclasses.replace(one, problems=("7 is missing",)) for one in answer(self, *given, **named)]  # fmt: skip  # noqa: E501
    monkeypatch.setattr(Translator, "answer", broken)
    out = io.BytesIO()
    Request(translator, {}).stream(io.BytesIO(b"alpha\n"), out)
    assert b"missing" not in out.getvalue()
    assert "line 1: check the translation: 7 is missing" in capsys.readouterr().err
    out = io.BytesIO()
    Request(translator, {}, Show(marks="text")).stream(io.BytesIO(b"alpha\n"), out)
    assert out.getvalue().startswith(b"[check: 7 is missing] ")


def test_words_are_shown_as_they_are_decoded(translator: Translator) -> None:
    from heedful.tasks.translate.watching import so_far

    seen = list(so_far(translator, "alpha beta gamma", None, translator.options(), {}))
    assert seen
    assert seen[-1] == translator.translate(["alpha beta gamma"])[0]
    assert list(so_far(translator, "call 7", None, translator.options(), {})) == []
    assert list(so_far(translator, "alpha", None, translator.options(), {"prefix": "x"})) == []


def test_a_prompt_is_no_part_of_the_output(
    finished: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    typed = iter(["alpha beta", "gamma"])

    def typing(prompt: str) -> str:
        assert prompt == "", "standard output is no terminal here"
        line = next(typed, None)
        if line is None:
            raise EOFError
        return line

    monkeypatch.setattr("builtins.input", typing)
    lines = call(finished, terminal=True)
    assert lines == call(finished, stdin=b"alpha beta\ngamma\n")
    assert capsys.readouterr().err.count("> ") == 3


def test_watching_gives_the_same_lines(finished: Path) -> None:
    assert call(finished, stdin=TEXT, watch=True) == call(finished, stdin=TEXT)


def test_a_recipe_may_leave_numbers_to_the_model(translator: Translator) -> None:
    import msgspec

    given = msgspec.structs.replace(translator.decoding, protect=False)
    free = Translator(translator.model, translator.tokenizers, translator.tags, given, translator.choices)
    asked = ["alpha 7 {x}"]
    assert "{x}" in translator.translate(asked)[0]
    assert free.translate(asked) == translator.translate(asked, protect=False) != translator.translate(asked)
    assert free.translate(asked, protect=True) == translator.translate(asked)
