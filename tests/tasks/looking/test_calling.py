"""`heedful look` and `heedful.look`: what is written where, and what is said of mistakes."""

from __future__ import annotations

import html
import json
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import heedful
from heedful.cli import main
from heedful.page.recording import from_json
from heedful.tasks.looking import calling, looked

from . import tiny
from .tiny import SENTENCE


def call(monkeypatch: pytest.MonkeyPatch, *arguments: object) -> int:
    monkeypatch.setattr(sys, "argv", ["heedful", "look", *map(str, arguments)])
    with pytest.raises(SystemExit) as ended:
        main()
    return int(ended.value.code or 0)


def test_the_last_run_here_is_looked_at_in_the_terminal(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(folder)
    monkeypatch.setenv("COLUMNS", "70")
    assert call(monkeypatch, "the red fox", "--length", 3) == 0
    out, err = capfd.readouterr()
    assert err == "using writes\n"
    assert "the red fox" in out
    assert "\x1b" not in out, "no colour where nobody looks"
    assert max(map(len, out.split("\n"))) <= 70


def test_colour_is_for_people_who_want_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("NO_COLOR", raising=False)
    monkeypatch.setenv("TERM", "xterm")
    assert calling.Shown(None, True).colour
    assert not calling.Shown(None, False).colour
    monkeypatch.setenv("NO_COLOR", "1")
    assert not calling.Shown(None, True).colour
    monkeypatch.delenv("NO_COLOR")
    monkeypatch.setenv("TERM", "dumb")
    assert not calling.Shown(None, True).colour


@pytest.mark.parametrize("suffix", looked.SUFFIXES)
def test_every_kind_of_file(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str], suffix: str
) -> None:
    path = tmp_path / f"a{suffix}"
    path.write_text("old")
    picture = tiny.picture(tmp_path)
    code = call(monkeypatch, "where is the fox ?", "-m", folder / "asks", "--picture", picture, "-o", path)
    assert (code, capfd.readouterr().out) == (0, "")
    content = path.read_bytes()
    assert sorted(one.name for one in tmp_path.iterdir()) == sorted([path.name, picture.name]), "nothing else is left"
    record = heedful.look(folder / "asks", "where is the fox ?", picture=picture).record
    if suffix == ".html":
        assert b'id="record"' in content
        assert b'"what":"head"' in content, "what-ifs of a small model are done unasked"
    elif suffix == ".svg":
        assert content.startswith(b"<svg") or b"<svg" in content[:200]
    elif suffix == ".png":
        assert content.startswith(b"\x89PNG")
    elif suffix == ".json":
        found = from_json(content.decode())
        assert (found.answer, found.what_if) == (record.answer, ())
        assert np.array_equal(found.kinds[0].layers[0].weights, record.kinds[0].layers[0].weights)
    else:
        with np.load(path) as arrays:
            assert np.array_equal(arrays["weights/text.1.picture"], record.kind("text.picture").layers[0].weights)


MISTAKES: dict[str, tuple[list[str], str]] = {
    "unknown suffix": (["the fox", "-m", "{runs}/writes", "-o", "{here}/a.gif"], "known: .html, .svg"),
    "no suffix": (["the fox", "-m", "{runs}/writes", "-o", "{here}/a"], "known: .html, .svg"),
    "no folder": (["the fox", "-m", "{runs}/writes", "-o", "{here}/no/a.html"], "there is no folder"),
    "a folder": (["the fox", "-m", "{runs}/writes", "-o", "{here}/d.html"], "is a folder"),
    "no text": (["-m", "{runs}/fills"], "takes one text; 0 given"),
    "empty": (["", "-m", "{runs}/fills"], "the text is empty"),
    "spaces": (["  ", "-m", "{runs}/fills"], "the text is empty"),
    "no mask": (["the fox", "-m", "{runs}/fills"], "there is no [MASK]"),
    "no picture": (["who?", "-m", "{runs}/asks"], "--picture FILE"),
    "missing picture": (["who?", "-m", "{runs}/asks", "--picture", "{here}/no.png"], "no such picture"),
    "not a picture": (["who?", "-m", "{runs}/asks", "--picture", "{here}/d.html/a.png"], "not a picture"),
    "unknown head": (["a [MASK]", "-m", "{runs}/fills", "--head-off", "text.9.text:0"], "did you mean"),
    "unknown word": (["a [MASK]", "-m", "{runs}/fills", "--hide", "wolf"], "no such word"),
    "unknown kind": (["a [MASK]", "-m", "{runs}/fills", "--kind", "text.source"], "it has text.text"),
    "layers without end": (
        ["a [MASK]", "-m", "{runs}/fills", "--layers", "1-9999999999"], "from the lower to the higher, up to 1000"
    ),
    "layers backwards": (["a [MASK]", "-m", "{runs}/fills", "--layers", "2-1"], "from the lower to the higher"),
    "a layer of no model": (["a [MASK]", "-m", "{runs}/fills", "--layers", "3"], "what is shown has 1, 2"),
    "changed and compared": (
        ["a [MASK]", "-m", "{runs}/fills", "--against", "{runs}/fills", "--hide", "a"], "two models as they are"
    ),
    "bad layers": (["a [MASK]", "-m", "{runs}/fills", "--layers", "x"], "1,2 or 1-6"),
    "no such model": (["a", "-m", "{here}/none"], "no such folder"),
    "no features": (["a", "-m", "{runs}/asks", "--picture", "{here}/p.png", "--features", "{here}/f.npz"], "patches"),
    "text and heads": (["a", "-m", "{runs}/writes", "--heads", "{here}/a.txt"], "leave the text out"),
    "target alone": (["a", "-m", "{runs}/writes", "--target", "{here}/a.txt"], "add --heads"),
    "feature alone": (["a", "-m", "{runs}/writes", "--feature", "{here}/a.txt"], "add --heads"),
    "report as a picture": (["-m", "{runs}/writes", "--heads", "{here}/a.txt", "-o", "{here}/a.png"], ".html, .json"),
    "no examples": (["-m", "{runs}/writes", "--heads", "{here}/none.txt"], "no such file"),
    "no runs": (["a"], "no finished run in this folder"),
}  # fmt: skip


@pytest.mark.parametrize("name", MISTAKES)
def test_a_mistake_is_one_line(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str], name: str
) -> None:
    arguments, told = MISTAKES[name]
    monkeypatch.chdir(tmp_path)
    (tmp_path / "d.html").mkdir()
    (tmp_path / "d.html" / "a.png").write_text("none")
    tiny.picture(tmp_path).rename(tmp_path / "p.png")
    (tmp_path / "a.txt").write_text("the fox\n")
    before = sorted(tmp_path.rglob("*"))
    assert call(monkeypatch, *(one.format(runs=folder, here=tmp_path) for one in arguments)) == 2
    out, err = capfd.readouterr()
    assert (out, err.count("\n")) == ("", 1), err
    assert told in err
    assert sorted(tmp_path.rglob("*")) == before


def test_a_file_that_cannot_be_replaced_stays(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    found = heedful.look(tiny.of("write"), "the fox", length=2, what_if=False)
    path = tmp_path / "a.json"
    path.write_text("old")

    def full(self: Path, content: bytes) -> int:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "write_bytes", full)
    with pytest.raises(heedful.UserError, match="No space left"):
        found.save(path)
    assert [one.name for one in tmp_path.iterdir()] == ["a.json"]
    assert path.read_text() == "old"


def test_a_notebook_shows_the_page_in_a_box() -> None:
    hostile = '"></iframe><script>alert(1)</script> the fox'
    found = heedful.look(tiny.of("write"), hostile, length=2, what_if=False)
    shown = found._repr_html_()
    box = re.fullmatch(r'<iframe sandbox="allow-scripts" srcdoc="([^"]*)"([^<>]*)></iframe>', shown)
    assert box is not None
    assert html.unescape(box[1]) == found.page()
    assert "allow-same-origin" not in shown
    assert str(found) == repr(found)
    assert "the fox" in str(found)


def test_json_is_of_the_record() -> None:
    found = heedful.look(tiny.of("translate"), SENTENCE, what_if=False)
    told = json.loads(found.json())
    assert (told["task"], told["text"], told["answer"]) == ("translate", SENTENCE, found.record.answer)


def test_importing_heedful_does_not_import_torch() -> None:
    code = "import sys, heedful; assert 'look' in heedful.__all__; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


@pytest.mark.parametrize(("given", "wanted"), [(None, []), ("2", [2]), ("1,3-5, 7", [1, 3, 4, 5, 7])])
def test_layers_are_numbers_and_ranges(given: str | None, wanted: list[int]) -> None:
    assert calling.numbers(given) == wanted
