"""Every command, held to every hostile text: an answer for each line, or one line that says what is wrong."""

from __future__ import annotations

import io
import json
import re
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest

from heedful.cli import main
from heedful.tasks.translate import Translator

from .hostile import BYTES, FILE_NAMES, TEXTS

ALL = {**{name: text.encode() for name, text in TEXTS.items()}, **BYTES}
LONG = 10_000  # bytes; longer texts are translated in one form always, with everything else by the slow marker
EACH = [pytest.param(name, marks=pytest.mark.slow) if len(text) > LONG else name for name, text in ALL.items()]
OBEYED = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069\ufeff]")  # by a terminal
SLOWEST = 20.0  # seconds of CPU for any one of them


@dataclass
class Ended:
    code: int
    out: bytes
    err: str


@pytest.fixture
def call(monkeypatch: pytest.MonkeyPatch, finished: Path, tmp_path: Path) -> Callable[..., Ended]:
    """A command in this process: exit code, output, errors. Whatever happens, no trace, and no more than SLOWEST."""
    monkeypatch.chdir(tmp_path)

    def run(*arguments: str | Path, given: bytes = b"") -> Ended:
        out, err = io.BytesIO(), io.BytesIO()
        monkeypatch.setattr(sys, "argv", ["heedful", *map(str, arguments)])
        monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(given), "utf-8"))
        monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(out, "utf-8", newline="\n", write_through=True))
        monkeypatch.setattr(
            sys, "stderr", io.TextIOWrapper(err, "utf-8", "backslashreplace", newline="\n", write_through=True)
        )
        began = time.process_time()
        with pytest.raises(SystemExit) as ended:
            main()
        assert time.process_time() - began < SLOWEST
        told = Ended(int(ended.value.code or 0), out.getvalue(), err.getvalue().decode())
        assert "Traceback" not in told.err
        assert not OBEYED.search(told.err)
        if told.code:
            assert told.code in (1, 2)
            assert len([line for line in told.err.split("\n") if line.startswith("heedful: ")]) == (told.code == 2)
        return told

    return run


def around(line: bytes) -> bytes:
    return b"alpha beta\n" + line + b"\ngamma\n"


def pairs(line: bytes) -> bytes:
    """Tab-separated pairs: good ones, and the line on either side."""
    good = b"".join(b"alpha %d\tbeta %d\n" % (number, number) for number in range(20))
    return good + line + b"\talpha\n" + b"alpha\t" + line + b"\n" + good


FAST = ("--beam", "1", "--max-length", "8", "--no-protect")


@pytest.mark.parametrize("name", EACH)
@pytest.mark.parametrize(
    ("options", "lines"),
    [((), 1), (("--beam", "2", "--best", "2"), 2), (("--json", "--alignment"), 1), (("--scores",), 1)],
    ids=["text", "best", "json", "scores"],
)
def test_translate_gives_a_line_for_a_line(
    call: Callable[..., Ended], finished: Path, name: str, options: tuple[str, ...], lines: int
) -> None:
    ended = call("translate", "-m", finished, *FAST, *options, given=around(ALL[name]))
    assert ended.code == 0
    found = ended.out.split(b"\n")
    if lines == 1:
        assert len(found) == 4  # three lines, each with its end
    else:
        numbers = [int(line.split(b"\t")[0]) for line in found[:-1]]
        assert numbers == sorted(numbers)
        assert set(numbers) == {1, 2, 3}
    if "--json" in options:
        assert all(json.loads(line)["text"] is not None for line in found[:-1])


@pytest.mark.parametrize("name", ALL)
def test_translate_files(call: Callable[..., Ended], finished: Path, tmp_path: Path, name: str) -> None:
    (tmp_path / "a.txt").write_bytes(around(ALL[name]))
    ended = call("translate", "-m", finished, *FAST, "-o", "b.txt", "a.txt")
    assert ended.code == 0
    assert (tmp_path / "b.txt").read_bytes().count(b"\n") == 3


@pytest.mark.parametrize("name", EACH)
@pytest.mark.parametrize("suffix", ["tsv", "jsonl", "srt", "vtt", "po", "xlf", "tmx"])
def test_translate_documents(
    call: Callable[..., Ended], finished: Path, tmp_path: Path, name: str, suffix: str
) -> None:
    """Filled, or refused with file and line; whatever stood around the text stands there still."""
    text = ALL[name]
    before, after = {
        "tsv": (b"alpha\n", b"\nbeta\n"),
        "jsonl": (b'{"source": "', b'"}\n{"source": "alpha"}\n'),
        "srt": (b"1\n00:00:01,000 --> 00:00:02,000\n", b"\n\n2\n00:00:03,000 --> 00:00:04,000\nalpha\n"),
        "vtt": (b"WEBVTT\n\n00:01.000 --> 00:02.000\n", b"\n\n00:03.000 --> 00:04.000\nalpha\n"),
        "po": (b'msgid "', b'"\nmsgstr ""\n\nmsgid "alpha"\nmsgstr ""\n'),
        "xlf": (
            b'<xliff version="1.2"><file source-language="en" target-language="de"><body><trans-unit id="1"><source>',
            b"</source></trans-unit></body></file></xliff>",
        ),
        "tmx": (
            b'<tmx version="1.4"><header srclang="en"/><body><tu><tuv xml:lang="en"><seg>',
            b'</seg></tuv><tuv xml:lang="de"><seg></seg></tuv></tu></body></tmx>',
        ),
    }[suffix]
    (tmp_path / f"a.{suffix}").write_bytes(before + text + after)
    ended = call("translate", "-m", finished, *FAST, "-o", f"b.{suffix}", f"a.{suffix}")
    if ended.code:
        assert ended.code == 2
        assert f"a.{suffix}" in ended.err
        assert not (tmp_path / f"b.{suffix}").exists()
    else:  # subtitles and lines are written over or added to; elsewhere the source stands as it was
        stays = {"srt": before, "vtt": before, "tsv": before.rstrip()}.get(suffix, before + text)
        assert (tmp_path / f"b.{suffix}").read_bytes().startswith(stays)


@pytest.mark.parametrize("name", EACH)
def test_score(call: Callable[..., Ended], finished: Path, tmp_path: Path, name: str) -> None:
    (tmp_path / "a").write_bytes(around(ALL[name]))
    (tmp_path / "b").write_bytes(b"alpha\nbeta\ngamma\n")
    for source, target in (("a", "b"), ("b", "a")):
        for form in ((), ("--json",)):
            ended = call("score", "-m", finished, "--source", source, "--target", target, *form)
            if ended.code == 0:
                assert ended.out.count(b"\n") == 3
            else:
                assert re.search(r"a:2: ", ended.err), ended.err


@pytest.mark.parametrize("name", EACH)
def test_evaluate(call: Callable[..., Ended], tmp_path: Path, name: str) -> None:
    (tmp_path / "a").write_bytes(around(ALL[name]))
    (tmp_path / "b").write_bytes(b"alpha\nbeta\ngamma\n")
    files = ("--source", "a", "--output", "a", "--output", "b", "--reference", "b")
    ended = call("evaluate", *files, "--resamples", "20", "--page", "page.html")
    if ended.code == 0:
        assert not OBEYED.search(ended.out.decode())
        page = (tmp_path / "page.html").read_bytes().decode()
        assert not OBEYED.search(page)
        assert not re.search("<script>alert|<b onclick", page)
    else:
        assert "a:2: " in ended.err
    ended = call("evaluate", "--output", "b", "--reference", "a", "--resamples", "20", "--json")
    assert ended.code or json.loads(ended.out)["systems"]


SMALL = [
    "model.preset=transformer-tiny", "model.width=16", "model.feedforward=16", "tokenizer.size=400", "training.steps=2",
    "training.processes=1", "training.threads=1", "training.batch_tokens=256", "training.warmup=1",
]  # fmt: skip
SETTINGS = [word for setting in SMALL for word in ("--set", setting)]


@pytest.mark.parametrize("name", EACH)
def test_check(call: Callable[..., Ended], tmp_path: Path, name: str) -> None:
    (tmp_path / "a.tsv").write_bytes(pairs(ALL[name]))
    ended = call("check", "--pairs", "a.tsv", *SETTINGS)
    assert not OBEYED.search(ended.out.decode())
    if ended.code == 2:
        assert "a.tsv:21: " in ended.err
    else:
        assert b"a.tsv" in ended.out


@pytest.mark.parametrize("name", EACH)
def test_corpora_made_by_a_model(call: Callable[..., Ended], finished: Path, tmp_path: Path, name: str) -> None:
    (tmp_path / "a.txt").write_bytes(around(ALL[name]))
    for command, out in (("distill", "b.tsv"), ("back-translate", "c.jsonl")):
        ended = call("corpus", command, "a.txt", "-m", finished, "-o", out, "--beam", "1")
        if ended.code == 0:
            rows = (tmp_path / out).read_bytes().split(b"\n")
            assert len(rows) == 4
            assert out != "b.tsv" or all(row.count(b"\t") == 1 for row in rows[:-1])
        else:
            assert "a.txt:2: " in ended.err


def test_train_on_all_of_it(call: Callable[..., Ended], tmp_path: Path) -> None:
    """Training, its report and its model card; then the model translates."""
    lines = [text.encode() for text in TEXTS.values() if "\t" not in text and len(text) < 70_000]
    (tmp_path / "a.tsv").write_bytes(b"".join(map(pairs, lines)))
    short = [line for line in lines if len(line) < 3_000]  # others are left out of training, but dev is translated
    (tmp_path / "d.tsv").write_bytes(b"".join(line + b"\t" + line + b"\n" for line in short))
    settings = [*SETTINGS, "--set", "training.validate_every=1", "--set", "training.validation_sentences=50"]
    ended = call("train", "translate", "--pairs", "a.tsv", "--dev-pairs", "d.tsv", "--out", "run", *settings)
    assert ended.code == 0, ended.err
    assert call("report", "run").code == 0
    for page in ("report.html", "model/README.md"):
        text = (tmp_path / "run" / page).read_bytes().decode()
        assert not OBEYED.search(text)
        assert not re.search("<script>alert|<b onclick", text)
    ended = call("translate", *FAST, given=b"alpha\n")
    assert (ended.code, ended.out.count(b"\n")) == (0, 1)


@pytest.mark.parametrize("name", BYTES)
def test_training_text_that_is_no_utf_8_is_told_by_its_line(
    call: Callable[..., Ended], tmp_path: Path, name: str
) -> None:
    (tmp_path / "a.tsv").write_bytes(pairs(BYTES[name]))
    ended = call("train", "translate", "--pairs", "a.tsv", "--out", "run", *SETTINGS)
    assert ended.code == 2
    assert "a.tsv:21: " in ended.err
    assert not (tmp_path / "run" / "model").exists()


@pytest.mark.parametrize("name", TEXTS)
def test_text_never_becomes_a_control(translator: Translator, name: str) -> None:
    """Ids that text can have begin after all controls, tags and placeholders; and a megabyte takes a second at most."""
    began = time.process_time()
    for tokenizer in translator.tokenizers.values():
        reserved = {tokenizer.pad, tokenizer.start, tokenizer.end, tokenizer.unknown, *tokenizer.placeholders}
        assert not reserved & set(tokenizer.encode(TEXTS[name]))
    assert time.process_time() - began < 2.0  # both sides


@pytest.mark.parametrize("name", FILE_NAMES)
def test_file_names_that_cannot_be_read(call: Callable[..., Ended], finished: Path, name: str) -> None:
    text = "b"
    Path(text).write_bytes(b"alpha\n")
    for command in (
        ["translate", "-m", finished, "--", name],
        ["translate", "-m", name, "b"],
        ["score", "-m", finished, "--source", name, "--target", text],
        ["evaluate", "--output", name, "--reference", text],
        ["check", "--pairs", name],
        ["corpus", "distill", "-m", finished, "-o", "c.tsv", "--", name],
        ["train", "translate", "--pairs", name, "--out", "run"],
        ["report", "--", name],
        ["resume", "--", name],
        ["show", "--", name],
    ):
        assert call(*command).code == 2, command
