"""What `heedful write` prints, for a prompt, for files of them, and for what cannot be done."""

from __future__ import annotations

import io
import json
import re
import sys
from pathlib import Path
from typing import Any

import pytest

from heedful.cli import main
from heedful.errors import UserError
from heedful.tasks import finding
from heedful.tasks.write import calling
from heedful.tasks.write.calling import call

from .test_writer import writer


@pytest.fixture
def told(monkeypatch: pytest.MonkeyPatch) -> Any:
    """`call` with a small writer; returns what was printed."""
    one = writer()
    monkeypatch.setattr(calling, "load", lambda path: one)

    def tell(prompt: str | None = None, prompts: Path | None = None, output: Path | None = None, **given: Any) -> str:
        out = io.BytesIO()
        named: dict[str, Any] = {"as_json": False, "lines": None, "typing": False, "shown": False}
        named |= {name: given.pop(name) for name in list(given) if name in named}
        call(prompt, prompts, Path("run"), output, given, out=out, **named)
        return out.getvalue().decode("utf-8")

    tell.writer = one  # type: ignore[attr-defined]
    return tell


def test_a_prompt_and_what_follows(told: Any) -> None:
    assert told("Anna", length=20) == "Anna" + told.writer.write("Anna", length=20) + "\n"
    piped = told(lines=io.BytesIO(b"\xef\xbb\xbfAnna\n"), length=20)
    assert piped == told("Anna", length=20)
    found = told("Anna", length=20, samples=3)
    texts = [one.text for one in told.writer.answer(["Anna"], length=20, samples=3)[0]]
    assert found == "\n---\n".join("Anna" + text for text in texts) + "\n"


def test_as_many_lines_as_prompts_and_samples(told: Any, tmp_path: Path) -> None:
    file = tmp_path / "p.txt"
    prompts = ["Anna", "", "Carl\u2028sees", "a\\b"] * 20
    file.write_text("".join(prompt + "\n" for prompt in prompts), "utf-8")
    plain = told(prompts=file, length=15, temperature=1.5)
    lines = plain.removesuffix("\n").split("\n")
    assert len(lines) == len(prompts)
    meant = {"\\\\": "\\", "\\n": "\n", "\\r": "\r"}
    back = [re.sub(r"\\.", lambda found: meant[found[0]], line) for line in lines]
    answers = told.writer.answer(prompts, length=15, temperature=1.5)
    assert back == [prompt + one.text for prompt, (one,) in zip(prompts, answers, strict=True)]
    assert told(prompts=file, length=5, samples=2).count("\n") == 2 * len(prompts)


def test_objects(told: Any, tmp_path: Path) -> None:
    file = tmp_path / "p.jsonl"
    file.write_text('{"prompt": "Anna\\n", "id": 3}\n{"prompt": ""}\n', "utf-8")
    rows = [json.loads(line) for line in told(prompts=file, as_json=True, length=9).split("\n") if line]
    assert [row["prompt"] for row in rows] == ["Anna\n", ""]
    assert rows[0]["text"] == told.writer.write("Anna\n", length=9)
    assert rows[0]["tokens"] <= 9
    assert rows[0]["logprob"] < 0


def test_no_control_character_reaches_a_terminal(told: Any) -> None:
    assert told("a\x1b[2J\tb\n\x07", length=3, shown=True).startswith("a\\x1b[2J\tb\n\\x07")
    assert told("a\x1b[2J", length=3).startswith("a\x1b[2J")


def test_what_cannot_be_done_is_told(told: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, content, words in (
        ("a.jsonl", '{"text": "x"}\n', r'a\.jsonl:1: there is no "prompt"'),
        ("b.jsonl", '{"prompt": 3}\n', r'b\.jsonl:1: "prompt" is 3'),
        ("c.txt", b"\xff\xfe", r"c\.txt:1: not UTF-8"),
    ):
        file = tmp_path / name
        file.write_bytes(content if isinstance(content, bytes) else content.encode())
        with pytest.raises(UserError, match=words):
            told(prompts=file)
    with pytest.raises(UserError, match="no such file"):
        told(prompts=tmp_path / "none.txt")
    with pytest.raises(UserError, match="not both"):
        told("a", tmp_path / "c.txt")
    (tmp_path / "e.txt").write_text("")
    assert told(prompts=tmp_path / "e.txt") == ""
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UserError, match="heedful train write"):
        call("a", None, None, None, {}, as_json=False, lines=None, typing=False, out=io.BytesIO(), shown=False)


def test_typed_beginnings(told: Any, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    typed = iter(["Anna", "Carl"])

    def give(prompt: str = "") -> str:
        try:
            return next(typed)
        except StopIteration:
            raise EOFError from None

    monkeypatch.setattr("builtins.input", give)
    assert told(typing=True, length=5) == told("Anna", length=5) + told("Carl", length=5)
    assert "Type the beginning of a text" in capsys.readouterr().err


def test_evaluating_takes_what_the_task_takes(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(finding, "task_of", lambda path: "write")
    with pytest.raises(UserError, match="takes no --beam"):
        finding.evaluate("run", [], beam=3)


def test_the_command_passes_on_what_was_given(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    got: list[Any] = []
    monkeypatch.setattr(calling, "call", lambda *given, **named: got.append((given, named)))
    line = f"write Anna -m run --greedy --length 7 --stop x --stop y --top-k 3 --json -o {tmp_path}/out.txt"
    monkeypatch.setattr(sys, "argv", ["heedful", *line.split()])
    with pytest.raises(SystemExit) as ended:
        main()
    assert not ended.value.code
    ((given, named),) = got
    asked = {"length": 7, "temperature": 0.0, "top_k": 3, "stop": ["x", "y"]}
    assert given == ("Anna", None, Path("run"), tmp_path / "out.txt", asked)
    assert (named["as_json"], named["typing"], named["shown"]) == (True, False, False)


def test_a_new_file_only_and_none_for_a_mistake(told: Any, tmp_path: Path) -> None:
    file = tmp_path / "out.txt"
    with pytest.raises(UserError, match="length"):
        told("Anna", output=file, length=0)
    assert told("Anna", output=file, length=9) == ""
    assert file.read_text("utf-8") == told("Anna", length=9)
    with pytest.raises(UserError, match="exists"):
        told("Anna", output=file, length=9)
