"""Corpora that a model makes: as many lines as were given, in order, the same bytes however often it was stopped."""

from __future__ import annotations

import gzip
import random
from collections.abc import Callable, Iterable
from pathlib import Path

import msgspec
import pytest

from heedful.config import parse_recipe
from heedful.data.readers import read_jsonl, read_tsv
from heedful.decode.options import Options
from heedful.decode.sampling import Sampling
from heedful.errors import UserError
from heedful.model import hardware
from heedful.tasks.runs import train
from heedful.tasks.translate import Translator, load, make_corpus
from heedful.tasks.translate.distill import write_corpus
from heedful.tasks.translate.lines import LONGEST_LINE

from . import test_translate

LINES = ["alpha beta", "", "gamma\tdelta", "zeta \u2028eta", "</s>", "theta " * 3, "\U0001f600 é", "iota kappa"]


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("model")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv(hardware.SWITCH, "off")
        settings = [*test_translate.write_corpus(folder), "training.steps=10"]
        assert train(parse_recipe({}, settings), folder / "run") == 0
    return folder / "run"


@pytest.fixture(scope="module")
def translator(model: Path) -> Translator:
    return load(model)


@pytest.fixture(autouse=True)
def _small_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("heedful.tasks.translate.distill.BLOCK", 3)


@pytest.fixture
def given(tmp_path: Path) -> Path:
    path = tmp_path / "given.txt"
    path.write_bytes("".join(line + "\n" for line in LINES).encode())
    return path


def varied(translator: Translator) -> Options:
    """Drawn at random, for the model has hardly learnt anything; what is drawn depends on the place in a block."""
    return translator.options(sampling=Sampling(seed=3, temperature=3.0), min_length=3, max_length=12)


def expected(translator: Translator) -> list[str]:
    blocks = [
        translator.translate(LINES[first : first + 3], None, varied(translator)) for first in range(0, len(LINES), 3)
    ]
    answers = [answer for block in blocks for answer in block]
    assert len(set(answers)) > 4
    return answers


def test_a_source_becomes_pairs(translator: Translator, given: Path, tmp_path: Path) -> None:
    answers = expected(translator)
    assert write_corpus(translator, given, tmp_path / "out.tsv", options=varied(translator)) == len(LINES)
    pairs = [(pair.source, pair.target) for pair in read_tsv(tmp_path / "out.tsv")]
    assert pairs == [(line.replace("\t", " "), answer) for line, answer in zip(LINES, answers, strict=True)]
    write_corpus(translator, given, tmp_path / "out.jsonl", options=varied(translator))
    pairs = [(pair.source, pair.target) for pair in read_jsonl(tmp_path / "out.jsonl")]
    assert pairs == list(zip(LINES, answers, strict=True))
    write_corpus(translator, given, tmp_path / "out.txt", options=varied(translator))
    assert (tmp_path / "out.txt").read_bytes() == "".join(answer + "\n" for answer in answers).encode()
    assert sorted(path.name for path in tmp_path.glob("out*")) == ["out.jsonl", "out.tsv", "out.txt"]


def test_a_target_becomes_pairs_with_a_mark(translator: Translator, given: Path, tmp_path: Path) -> None:
    """The given text is the target; where there is no source there is nothing to mark."""
    answers = expected(translator)
    write_corpus(translator, given, tmp_path / "out.jsonl", side="target", mark="<bt>", options=varied(translator))
    pairs = [(pair.source, pair.target) for pair in read_jsonl(tmp_path / "out.jsonl")]
    assert pairs == [(answer and f"<bt> {answer}", line) for line, answer in zip(LINES, answers, strict=True)]
    assert ("", "") in pairs
    write_corpus(translator, given, tmp_path / "out.txt", side="target", mark="<bt>", options=varied(translator))
    made = (tmp_path / "out.txt").read_text("utf-8").split("\n")
    assert made == [*(answer and f"<bt> {answer}" for answer in answers), ""]


def test_what_may_be_given(translator: Translator, given: Path, tmp_path: Path) -> None:
    """Text in .gz, and either side of pairs."""
    (tmp_path / "given.txt.gz").write_bytes(gzip.compress(given.read_bytes()))
    pairs = [{"source": "x", "target": line} for line in LINES]
    (tmp_path / "given.jsonl").write_bytes(b"".join(msgspec.json.encode(pair) + b"\n" for pair in pairs))
    write_corpus(translator, given, tmp_path / "plain", side="target")
    write_corpus(translator, tmp_path / "given.txt.gz", tmp_path / "packed", side="target")
    write_corpus(translator, tmp_path / "given.jsonl", tmp_path / "pairs", side="target")
    assert (tmp_path / "plain").read_bytes() == (tmp_path / "packed").read_bytes() == (tmp_path / "pairs").read_bytes()


def test_no_lines_and_endless_ones(translator: Translator, tmp_path: Path) -> None:
    (tmp_path / "none").write_bytes(b"")
    assert write_corpus(translator, tmp_path / "none", tmp_path / "out") == 0
    assert (tmp_path / "out").read_bytes() == b""
    (tmp_path / "long").write_bytes(b"alpha\n" + b"x" * (LONGEST_LINE + 1) + b"\nbeta")
    assert write_corpus(translator, tmp_path / "long", tmp_path / "long.out", options=varied(translator)) == 3
    made = (tmp_path / "long.out").read_bytes().split(b"\n")
    assert [bool(line) for line in made] == [True, False, True, False]


class Stop(BaseException):
    pass


def stopping(translator: Translator, at: int) -> Translator:
    """A translator of the same weights that is killed at its `at`-th block."""
    other = Translator(translator.model, translator.tokenizers, translator.tags, translator.decoding)
    translate: Callable[..., list[str]] = other.translate
    calls = 0

    def counting(texts: Iterable[str], *more: object) -> list[str]:
        nonlocal calls
        calls += 1
        if calls == at:
            raise Stop
        return translate(texts, *more)

    other.translate = counting  # type: ignore[method-assign]
    return other


@pytest.mark.parametrize("at", [1, 2, 3])
@pytest.mark.parametrize("torn", [b"", b"half a li", b"one line\nhalf a li"])
def test_interrupted_it_goes_on_to_the_same_bytes(
    translator: Translator, given: Path, tmp_path: Path, at: int, torn: bytes
) -> None:
    """What a kill left of a block is thrown away."""
    options = varied(translator)
    write_corpus(translator, given, tmp_path / "whole.tsv", options=options)
    with pytest.raises(Stop):
        write_corpus(stopping(translator, at), given, tmp_path / "out.tsv", options=options)
    assert not (tmp_path / "out.tsv").exists()
    partial = tmp_path / "out.tsv.part"
    assert partial.read_bytes().count(b"\n") == 3 * (at - 1)
    with partial.open("ab") as file:
        file.write(torn)
    asked: list[int] = []
    write_corpus(translator, given, tmp_path / "out.tsv", options=options, say=lambda done, total: asked.append(done))
    assert asked == [3, 6, 8][at - 1 :]
    assert (tmp_path / "out.tsv").read_bytes() == (tmp_path / "whole.tsv").read_bytes()
    assert not list(tmp_path.glob("out.tsv.*"))


def test_what_was_begun_otherwise_is_not_gone_on_with(translator: Translator, given: Path, tmp_path: Path) -> None:
    options = varied(translator)
    with pytest.raises(Stop):
        write_corpus(stopping(translator, 2), given, tmp_path / "out.tsv", options=options)
    with pytest.raises(UserError, match=r"out\.tsv\.part: is the beginning of another translation"):
        write_corpus(translator, given, tmp_path / "out.tsv", options=translator.options(beam=2))
    write_corpus(translator, given, tmp_path / "out.tsv", options=options)


def test_mistakes_are_told_before_any_work(translator: Translator, given: Path, tmp_path: Path) -> None:
    other = stopping(translator, 1)
    (tmp_path / "there").write_bytes(b"x")
    (tmp_path / "bad").write_bytes(b"alpha\n\xff\n")
    out = tmp_path / "out"
    for wrong, message in (
        (lambda: write_corpus(other, given, tmp_path / "there"), "exists already"),
        (lambda: write_corpus(other, tmp_path / "bad", out), "bad:2: not UTF-8"),
        (lambda: write_corpus(other, tmp_path / "nothing", out), "cannot be read"),
        (lambda: write_corpus(other, given, out, tag="de"), "takes no tag"),
        (lambda: write_corpus(other, given, out, mark="<bt>"), r"no sources to mark; name it \.tsv"),
        (lambda: write_corpus(other, given, given / "out"), "cannot be written"),
    ):
        with pytest.raises(UserError, match=message) as told:
            wrong()
        assert "\n" not in str(told.value)
    assert (tmp_path / "there").read_bytes() == b"x"


def test_the_command(model: Path, given: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    make_corpus(model, given, tmp_path / "out.tsv", options={"beam": 1})
    assert len(list(read_tsv(tmp_path / "out.tsv"))) == len(LINES)
    make_corpus(model, given, tmp_path / "back.tsv", back=True, mark="<bt>", options={"beam": 1})
    assert next(read_tsv(tmp_path / "back.tsv")).target == LINES[0]
    assert "8 of 8 lines" in capfd.readouterr().err


@pytest.mark.parametrize("seed", range(20))
def test_lines_in_are_lines_out(translator: Translator, tmp_path: Path, seed: int) -> None:
    """Of whatever text: control characters, separators, markup."""
    draw = random.Random(seed)
    signs = [
        "\t",
        "\r",
        "\x00",
        "\x0b",
        "\x85",
        "\u2028",
        "\ufeff",
        "\u202e",
        "a",
        " ",
        "</s>",
        "\x1b[0m",
        "ä",
        "\U0001f600",
    ]
    lines = ["".join(draw.choices(signs, k=draw.randint(0, 6))) for _ in range(draw.randint(1, 9))]
    (tmp_path / "given").write_bytes("\n".join(lines).encode())
    suffix = draw.choice([".tsv", ".jsonl", ".txt"])
    count = write_corpus(translator, tmp_path / "given", tmp_path / f"out{suffix}", options=translator.options(beam=1))
    assert count == len(lines) - (lines[-1] == "")
    assert (tmp_path / f"out{suffix}").read_bytes().count(b"\n") == count
    reader = {".tsv": read_tsv, ".jsonl": read_jsonl}.get(suffix)
    assert reader is None or len(list(reader(tmp_path / f"out{suffix}"))) == count
