"""One call of `heedful translate`: which models, what to do with each text, and how files are gone through."""

from __future__ import annotations

import dataclasses
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, BinaryIO

from ...data.documents import open_document
from ...decode.sampling import Sampling
from ...errors import UserError
from ...text.terms import Terms
from ..streams import Readable, opened
from .documents import is_document, translate_document
from .lines import translate_lines
from .partial import Partial, job, skipped
from .shown import Show
from .translator import Translator

SAMPLING = ("temperature", "top_k", "top_p", "seed")
ASKED = ("protect", "split", "language", "best", "prefix", "require", "ban", "mbr")


class Request:
    """A translator and what is asked of it.

    `models` are the folders it comes from, to know an interrupted translation again. `given` are fields of
    `decode.Options` and of `decode.Sampling`, `sample` to turn sampling on, `tag`, `terms` (a file) and what
    `Translator.answer` takes. UserError for what does not go together.
    """

    def __init__(
        self, translator: Translator, given: Mapping[str, Any], show: Show | None = None, models: Sequence[Path] = ()
    ) -> None:
        chosen = dict(given)
        self.translator, self.show, self.models = translator, show or Show(), models
        self.told = {**chosen, "show": dataclasses.astuple(self.show)}
        self.tag, self.terms = chosen.pop("tag", None), chosen.pop("terms", None)
        self.asked = {key: chosen.pop(key) for key in ASKED if key in chosen}
        if self.terms is not None:
            self.asked["terms"] = Terms.load(self.terms)
        sampling = {key: chosen.pop(key) for key in SAMPLING if key in chosen}
        if chosen.pop("sample", False) or self.asked.get("mbr"):
            chosen["sampling"] = Sampling(**sampling)
        elif sampling:
            raise UserError(f"only sampling has {', '.join(sampling)}: add --sample")
        if self.show.alignment and self.show.form == "best":
            raise UserError("--alignment is of one translation; leave --best out, or see --json")
        self.options = translator.options(**chosen)

    def require_tag(self) -> None:
        """UserError for a wrong tag, before any work."""
        self.translator.encode("", self.tag)

    def stream(
        self, lines: Readable, out: BinaryIO, before: int = 0, watch: Callable[[str], None] | None = None
    ) -> bool:
        """Line by line, as lines come; see `translate_lines`."""
        return translate_lines(
            self.translator, lines, out, self.tag, self.options, self.asked, self.show, before, watch
        )

    def files(self, sources: Sequence[Path], output: Path | None, out: BinaryIO | None) -> None:
        """Files one after another into `output`, which may be begun already, or to `out`.

        A document is filled; it goes alone. UserError where that cannot be.
        """
        documents = [path for path in sources if is_document(path)]
        if documents and len(sources) > 1:
            raise UserError(f"{documents[0]}: a document is translated alone; give one file at a time")
        if documents and (self.show.form != "text" or self.show.alignment):
            alone = "leave --json, --scores, --best and --alignment out"
            raise UserError(f"{documents[0]}: a document holds translations only; {alone}")
        if not documents or self.translator.tagged:
            self.require_tag()
        if output is None:
            assert out is not None
            if documents:
                out.write(self._filled(documents[0], None))
            else:
                self._in_turn(sources, out, 0)
            return
        # Several lines for each of the input do not tell how many of those are done.
        read = [*sources, *([self.terms] if self.terms is not None else [])]
        with Partial(output, job(self.models, self.told, read), anew=self.show.form == "best") as partial:
            if partial.lines:
                print(f"{output}: going on after {partial.lines:,} lines", file=sys.stderr)
            if documents:
                partial.finish_with(self._filled(documents[0], partial))
                return
            self._in_turn(sources, partial.file, partial.lines)
            partial.finish()

    def _in_turn(self, sources: Sequence[Path], out: BinaryIO, done: int) -> None:
        """Files one after another, but for the first `done` lines; each begins on a line of its own."""
        open_end = False
        for path in sources:
            out.write(b"\n" if open_end else b"")
            with opened(path) as lines:
                before = skipped(lines, done)
                done -= before
                open_end = self.stream(lines, out, before)

    def _filled(self, path: Path, partial: Partial | None) -> bytes:
        # The languages choose among those of a TMX file: also for a model that has one target language only.
        document = open_document(path, source_language=self.asked.get("language"), target_language=self.tag)
        tag = self.tag if self.translator.tagged else None
        content, count = translate_document(
            self.translator, document, partial, tag=tag, options=self.options, asked=self.asked
        )
        print(f"{path}: {count:,} of {len(document.units):,} entries were filled", file=sys.stderr)
        return content
