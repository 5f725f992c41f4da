"""Files of several target languages as the command line gives them: `--languages de,fr --pairs de=en-de.tsv ...`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from ..errors import UserError


def by_language(languages: str, given: Mapping[str, Any]) -> dict[str, Any]:
    """Settings of a recipe ("data.source": its files) with languages taken from the files' names to data.tags.

    Target and pair files are written LANGUAGE=FILE, or all of them plainly, in the order of the languages. One source
    file serves all target files. UserError where a file has no language, or a language no file.
    """
    names = [name for part in languages.split(",") if (name := part.strip())]
    if not names:
        raise UserError("--languages names none; write --languages de,fr")
    found = dict(given)
    for which, tags in (("data.", "data.tags"), ("data.dev_", "data.dev_tags"), ("data.test_", None)):
        targets, pairs = (list(given.get(which + kind) or ()) for kind in ("target", "pairs"))
        sources = list(given.get(which + "source") or ())
        if len(sources) == 1:
            found[which + "source"] = sources * max(1, len(targets))
        if not targets and not pairs:
            continue
        if tags is None and not any("=" in file for file in targets + pairs):
            continue  # of a test it does not matter which language is which
        option = "--" + which.removeprefix("data.").replace("_", "-")
        said, files = _languages(names, targets + pairs, option)
        for kind, part in (("target", files[: len(targets)]), ("pairs", files[len(targets) :])):
            if part:
                found[which + kind] = part
        if tags is not None:
            found[tags] = said
        if missing := [name for name in names if name not in said and which == "data."]:
            raise UserError(f"--languages names {missing[0]!r}, but no file: give --pairs {missing[0]}=FILE")
    found.setdefault("data.tags", names)
    return found


def _languages(names: Sequence[str], files: list[str], option: str) -> tuple[list[str], list[str]]:
    """The language of each file, and the files without it."""
    parts = [file.partition("=") for file in files]
    said = [language for language, equals, _ in parts if equals and language in names]
    if not said:
        if len(files) != len(names):
            raise UserError(
                f"--languages names {len(names)} languages for {len(files)} files; give {option}pairs "
                f"{names[0]}=FILE, or one file for each language, in that order"
            )
        return list(names), files
    for file, (language, equals, _) in zip(files, parts, strict=True):
        if not equals or language not in names:
            raise UserError(
                f"{file}: of which language is it? write {said[0]}={file}, or another of {', '.join(names)}"
            )
    return said, [file for _, _, file in parts]
