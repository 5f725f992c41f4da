"""What `heedful write` does: a prompt, a prompt on a terminal, prompts from a file."""

from __future__ import annotations

import json
import sys
import unicodedata
from collections.abc import Iterator, Mapping
from contextlib import nullcontext
from itertools import chain, islice
from pathlib import Path
from typing import Any, BinaryIO

from ...data.readers import read_lines
from ...data.records import read_records, suffix_of
from ...errors import UserError
from ..finding import last_run
from ..translate.partial import require_new
from ..typed import Typed
from .writer import Writer, Written, load

AT_A_TIME = 64  # prompts of a file
BETWEEN = "---"  # samples


def call(
    prompt: str | None,
    prompts: Path | None,
    model: Path | None,
    output: Path | None,
    given: Mapping[str, Any],
    *,
    as_json: bool,
    lines: BinaryIO | None,
    typing: bool,
    out: BinaryIO | None,
    shown: bool,
) -> None:
    """Go on with `prompt`, or every prompt in the file `prompts`, or what is typed (`typing`), or all of `lines`.

    Texts go into the new file `output`, or to `out`, which is a terminal if `shown`. `given` are fields of `Wishes`.
    """
    if prompt is not None and prompts is not None:
        raise UserError("give one PROMPT, or many with --prompts FILE, not both")
    found = None if prompts is None else _prompts(prompts)
    first = [] if found is None else list(islice(found, 1))  # what is wrong there is told before a model is loaded
    if output is not None:
        require_new(output)
    if model is None:
        model = last_run(task="write")
        print(f"using {model}", file=sys.stderr)
    writer = load(model)
    writer.wishes(**given)
    with _opened(output) if output is not None else nullcontext(out) as stream:
        assert stream is not None
        show = Show(writer, given, as_json, stream, shown)
        if found is not None:
            show.many(chain(first, found))
        elif prompt is not None:
            show.one(prompt)
        elif typing:
            typed = Typed("the beginning of a text")
            while line := typed.read():
                show.one(line.decode("utf-8").removesuffix("\n"))
        else:
            assert lines is not None
            show.one(lines.read().decode("utf-8", "replace").removeprefix("\ufeff").removesuffix("\n"))


def _opened(output: Path) -> BinaryIO:
    try:
        return output.open("xb")
    except (OSError, ValueError) as error:
        raise UserError(f"{output}: cannot be opened: {getattr(error, 'strerror', None) or error}") from None


def _prompts(path: Path) -> Iterator[str]:
    """A prompt a line; in JSONL the "prompt" of a record."""
    if not path.is_file():
        raise UserError(f"{path}: no such file; prompts are in a text file, one a line, or a .jsonl")
    if suffix_of(path) != ".jsonl":
        yield from read_lines(path)
        return
    for (text,), where in read_records(path, ("prompt",)):
        if not isinstance(text, str):
            raise UserError(f'{where}: "prompt" is {text!r}, not a text')
        yield text


class Show:
    """A writer, what is asked of it, and where its texts go."""

    def __init__(self, writer: Writer, given: Mapping[str, Any], as_json: bool, out: BinaryIO, terminal: bool) -> None:
        self.writer, self.given, self.as_json, self.out, self.terminal = writer, given, as_json, out, terminal
        self.wishes = writer.wishes(**given)

    def one(self, prompt: str) -> None:
        """A text, prompt first, as it grows; several samples with a line between them."""
        if self.as_json:
            return self._lines([prompt])
        if self.wishes.samples > 1:
            (found,) = self.writer.answer([prompt], **self.given)
            return self._say(f"\n{BETWEEN}\n".join(prompt + one.text for one in found) + "\n")
        self._say(prompt)
        for part in self.writer.stream(prompt, **self.given):
            self._say(part)
        self._say("\n")

    def many(self, prompts: Iterator[str]) -> None:
        """A line for each sample of each prompt, in order; line ends inside a text are written \\n."""
        while some := list(islice(prompts, AT_A_TIME)):
            self._lines(some)

    def _lines(self, prompts: list[str]) -> None:
        for found in self.writer.answer(prompts, **self.given):
            for one in found:
                self._say((self._object(one) if self.as_json else _one_line(one.prompt + one.text)) + "\n")

    def _object(self, one: Written) -> str:
        told = {
            "prompt": one.prompt, "text": one.text, "finished": one.finished, "stop": one.stop,
            "tokens": len(one.ids), "logprob": sum(one.logprobs),
        }  # fmt: skip
        return json.dumps(told, ensure_ascii=False)

    def _say(self, text: str) -> None:
        text = "".join(map(_seen, text)) if self.terminal else text
        self.out.write(text.encode("utf-8", "replace"))
        self.out.flush()


def _one_line(text: str) -> str:
    return text.replace("\\", "\\\\").replace("\n", "\\n").replace("\r", "\\r")


def _seen(character: str) -> str:
    """No model moves the cursor of a terminal, or worse."""
    hidden = unicodedata.category(character) == "Cc" and character not in "\n\t"
    return f"\\x{ord(character):02x}" if hidden else character
