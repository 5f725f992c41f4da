"""Foreign tokenizers from folders: which files there are, what their tokens are for, and whether they can be trusted.

The libraries that read such files may crash on malformed ones instead of saying so, or take memory without end. So the
files are first read in a process of their own, within limits; only what that survives is read here.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Literal

import msgspec

from ..errors import UserError, visible
from .foreign import Foreign, Reader, Roles, Way, backend, needed
from .library import Library
from .originals import LISTS as LISTS
from .originals import MOST_IDS, PIECES, Files, Unfit, belongs, named, settings
from .sentencepieces import FRONTS, Pieces

Side = Literal["source", "target"]

MODELS = ("spiece.model", "sentencepiece.bpe.model", "sentencepiece.model", "tokenizer.model")
LARGEST = 2**28  # bytes of a file; what is longer belongs to something else
MEMORY, SECONDS = 2**31, 60  # of the process that tries the files; memory also grows with them
# By what a token is for: what files call it, and its usual names where they do not say.
NAMES = {
    "start": (("cls", "bos"), ("[CLS]", "<s>", "<|startoftext|>", "<|endoftext|>")),
    "end": (("sep", "eos"), ("[SEP]", "</s>", "<|endoftext|>")),
    "pad": (("pad",), ("[PAD]", "<pad>")),
    "unknown": (("unk",), ("[UNK]", "<unk>")),
    "mask": (("mask",), ("[MASK]", "<mask>")),
}
# What is encoded to try them: letters of many kinds, and what no vocabulary knows.
TRIED = "It's 1,234.5 e\u0301\uff21\ufb01 \u65e5\u1100\u1161\u05d0 \U0001f600\u200d\ue000\x00\t\n  <unk>[MASK]\u2581"


class Asked(msgspec.Struct, frozen=True, kw_only=True):
    """What the caller of `read` knows of the roles."""

    start: int | str | None = None
    end: int | str | None = None
    pad: int | str | None = None
    unknown: int | str | None = None
    mask: int | str | None = None
    between: int | None = None
    opens: bool | None = None
    tags: dict[str, int] | list[str] = []
    size: int | None = None


def read(
    folder: Path,
    *,
    start: int | str | None = None,
    end: int | str | None = None,
    pad: int | str | None = None,
    unknown: int | str | None = None,
    mask: int | str | None = None,
    between: int | None = None,
    opens: bool | None = None,
    tags: Mapping[str, int] | Sequence[str] = (),
    size: int | None = None,
    reader: Reader | None = None,
    side: Side = "source",
    mapping: str | None = None,
    lowercase: bool | None = None,
) -> Foreign:
    """The tokenizer of a folder; UserError where there is none, or it is malformed.

    What its tokens are for (`foreign.Roles`) is found out where it is not given; tokens are given by id or as they are
    written. Of `tags` in a list, those that are no entries get the ids after the last.

    Of several kinds of files the first of tokenizer.json, vocab.txt, vocab.json with merges.txt, and SentencePiece
    models is read, or the `reader`'s. For the latter `mapping` says where ids come from: its "own", a `Numbering`, or a
    file that lists the pieces (None: vocab.json if there is one); where each `side` has files, its are taken.
    `lowercase` is for a vocab.txt without tokenizer_config.json.
    """
    given = dict(tags) if isinstance(tags, Mapping) else list(tags)
    asked = Asked(
        start=start, end=end, pad=pad, unknown=unknown, mask=mask, between=between, opens=opens, tags=given, size=size
    )
    try:
        files = files_of(folder)
        way = way_of(files, reader, side, mapping, lowercase)
        if missing := [name for name in needed(way) if name not in files]:
            raise Unfit(f"{missing[0]} is missing")
        return Foreign(files, way, try_out(files, way, asked))
    except Unfit as error:
        raise UserError(f"{folder}: its tokenizer: {visible(str(error), 400)}") from None


def files_of(folder: Path) -> dict[str, bytes]:
    """The files of a folder that belong to a tokenizer."""
    files = {}
    try:
        for path in sorted(folder.iterdir()):
            if not belongs(path.name) or not path.is_file():
                continue
            if path.stat().st_size > LARGEST:
                raise UserError(f"{path}: larger than {LARGEST:,} bytes; that is no file of a tokenizer")
            files[path.name] = path.read_bytes()
    except (OSError, ValueError) as error:
        raise UserError(f"{folder}: cannot be read: {getattr(error, 'strerror', None) or error}") from None
    return files


def way_of(files: Files, reader: Reader | None, side: Side, mapping: str | None, lowercase: bool | None) -> Way:
    """How to read them."""
    others = sorted(name for name in files if name.endswith(PIECES))
    models = [name for name in (f"{side}.spm", *MODELS, *others) if name in files]
    there: dict[Reader, bool] = {
        "tokenizers": "tokenizer.json" in files, "wordpiece": "vocab.txt" in files,
        "byte-bpe": {"vocab.json", "merges.txt"} <= files.keys(), "sentencepiece": bool(models),
    }  # fmt: skip
    reader = reader or next((name for name, found in there.items() if found), None)
    if reader is None:
        raise Unfit("there is no tokenizer.json, vocab.txt, vocab.json with merges.txt, or SentencePiece model")
    if reader != "sentencepiece":
        return Way(reader=reader, lowercase=lowercase)
    if not models:
        raise Unfit("there is no SentencePiece model (.spm or .model)")
    lists = ("target_vocab.json", "vocab.json") if side == "target" else ("vocab.json",)
    listed = next((name for name in lists if name in files), None)
    numbering = next((known for known in FRONTS if known == mapping), None)
    if mapping not in (None, "vocab.json"):
        listed = None if mapping == "own" or numbering else mapping
    return Way(reader=reader, model=models[0], vocabulary=listed, numbering=numbering)


# ---- what the tokens are for ----------------------------------------------------------------------------------------


def roles_of(files: Files, bare: Library | Pieces, asked: Asked) -> Roles:
    """What the caller says, then what the files say, then what is usual; Unfit where that does not fit together."""
    tags = _tags(bare, asked)
    said = {name: token.content for name, token in named(files).items()}

    def number(entry: str) -> int | None:
        return tags.get(entry, bare.number(entry))

    def found(role: str) -> int | None:
        wanted = getattr(asked, role)
        if isinstance(wanted, str) and number(wanted) is None:
            raise Unfit(f"its {role} token was to be {wanted!r}, which is no entry")
        if wanted is not None:
            return number(wanted) if isinstance(wanted, str) else wanted
        if role == "unknown" and isinstance(bare, Pieces):
            return bare.unknown
        keys, usual = NAMES[role]
        entries = [*(said[key] for key in keys if key in said), *usual]
        return next((one for entry in entries if (one := number(entry)) is not None), None)

    start, end, pad, unknown, mask = map(found, NAMES)
    if end is None:
        raise Unfit("nothing says which token ends a text")
    start, pad, unknown = (end if one is None else one for one in (start, pad, unknown))
    taken = {start, end, pad, unknown, mask}
    others = {entry: one for one, entry in sorted(bare.controls.items()) if one not in taken}
    tags = {entry: one for entry, one in others.items() if entry not in tags} | tags
    ids = [len(bare.entries) - 1, *tags.values(), *(one for one in taken if one is not None)]
    size = max(ids) + 1 if asked.size is None else asked.size
    if min(ids) < 0 or not max(ids) < size <= MOST_IDS:
        raise Unfit(f"it has ids from {min(ids)} to {max(ids):,}, and the model {size:,} rows")
    opens, between = _frame(bare)
    opens = settings(files, add_bos_token=False)["add_bos_token"] if opens is None else opens
    return Roles(
        start=start, end=end, pad=pad, unknown=unknown, mask=mask, tags=tags, size=size,
        between=asked.between or between, opens=opens if asked.opens is None else asked.opens,
    )  # fmt: skip


def _tags(bare: Library | Pieces, asked: Asked) -> dict[str, int]:
    if isinstance(asked.tags, dict):
        return dict(asked.tags)
    new = [name for name in asked.tags if bare.number(name) is None]
    after = {name: len(bare.entries) + place for place, name in enumerate(new)}
    return {name: after.get(name, bare.number(name) or 0) for name in asked.tags}


def _frame(bare: Library | Pieces) -> tuple[bool | None, int]:
    """Whether something comes before a text (None: nothing is said), and how many tokens part two."""
    for step in bare.frame:
        if step["type"] in ("RobertaProcessing", "BertProcessing"):
            return True, 1 + (step["type"] == "RobertaProcessing")
        if step["type"] == "TemplateProcessing":
            single, pair = ([next(iter(part)) for part in step[key]] for key in ("single", "pair"))
            texts = [place for place, part in enumerate(pair) if part == "Sequence"]
            parting = texts[1] - texts[0] - 1 if len(texts) > 1 else 1
            return single[:1] == ["SpecialToken"], max(1, parting)
    return None, 1


# ---- trying them out ------------------------------------------------------------------------------------------------


class _Answer(msgspec.Struct):
    roles: Roles | None = None
    unfit: str = ""


def try_out(files: Files, way: Way, asked: Asked) -> Roles:
    """The roles, found out in a process of its own; Unfit where that fails, however it fails."""
    size = sum(map(len, files.values()))
    given = msgspec.msgpack.encode((dict(files), way, asked))
    program = f"from {__name__} import answer; answer({MEMORY + 64 * size})"
    few = {"RAYON_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1"}
    try:
        done = subprocess.run(
            [sys.executable, "-c", program], input=given, capture_output=True, timeout=SECONDS,
            env={**os.environ, **few}, check=False,
        )  # fmt: skip
    except subprocess.TimeoutExpired:
        raise Unfit(f"reading it takes more than {SECONDS} seconds") from None
    try:
        found = msgspec.json.decode(done.stdout, type=_Answer)
    except (msgspec.DecodeError, UnicodeDecodeError):
        raise Unfit(f"the library that reads it fails ({_end(done)})") from None
    if found.roles is None:
        raise Unfit(found.unfit)
    return found.roles


def _end(done: subprocess.CompletedProcess[bytes]) -> str:
    """How a process came to its end."""
    if done.returncode < 0:
        return signal.Signals(-done.returncode).name
    *_, last = done.stderr.decode("utf-8", "replace").strip().split("\n")
    return last or f"exit code {done.returncode}"


def answer(memory: int) -> None:
    """What that process does: from standard input to standard output."""
    limit(memory)
    files, way, asked = msgspec.msgpack.decode(sys.stdin.buffer.read(), type=tuple[dict[str, bytes], Way, Asked])
    try:
        found = _Answer(roles=tried(files, way, asked))
    except Unfit as error:
        found = _Answer(unfit=str(error))
    sys.stdout.buffer.write(msgspec.json.encode(found))


def tried(files: Files, way: Way, asked: Asked) -> Roles:
    """The roles, where the libraries can encode what is hard on them."""
    bare = backend(files, way)
    roles = roles_of(files, bare, asked)
    try:
        ids = bare.encode(TRIED)
        bare.encode_many([TRIED, ""])
        bare.decode(ids, inside=True)
        bare.offsets(TRIED)
    except Exception as error:  # the libraries raise nothing narrower
        raise Unfit(f"it cannot encode every text ({error})") from None
    return roles


def limit(memory: int) -> None:
    """This process's, in bytes and seconds."""
    try:
        import resource
    except ImportError:  # Windows has no such limits; the time is watched from outside
        return
    for kind, most in ((resource.RLIMIT_AS, memory), (resource.RLIMIT_CPU, SECONDS), (resource.RLIMIT_CORE, 0)):
        resource.setrlimit(kind, (most, most))
