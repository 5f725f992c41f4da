"""A translator as a package that Argos Translate and LibreTranslate install: one .argosmodel file.

It is a zip archive with CTranslate2's model, a SentencePiece model for both sides, and metadata.json. There a text is
cut into sentences by a model of that program (MiniSBD, which it fetches when it first translates) and decoded with a
beam of 4 and our alpha = 0.2, in the numbers that are fastest on the machine (int8 as a rule; the same as here with
ARGOS_COMPUTE_TYPE=float32). "_" in a translation becomes a space.
"""

from __future__ import annotations

import json
import re
import zipfile
from pathlib import Path
from typing import Any

from ..errors import UserError
from ..model.files import read_config
from . import ctranslate2
from .ctranslate2 import Quantization
from .scratch import scratch
from .sentencepiece_model import model_of

VERSION = "1.0"
ARGOS_VERSION = "1.11"  # the one it was tried with
CODE = r"[a-z]{2,3}(-[A-Za-z0-9]{2,8})*"

# What Argos Translate calls its languages; of another the code is shown.
NAMES = {
    "ar": "Arabic", "az": "Azerbaijani", "bg": "Bulgarian", "bn": "Bengali", "ca": "Catalan", "cs": "Czech",
    "da": "Danish", "de": "German", "el": "Greek", "en": "English", "eo": "Esperanto", "es": "Spanish",
    "et": "Estonian", "eu": "Basque", "fa": "Persian", "fi": "Finnish", "fr": "French", "ga": "Irish",
    "gl": "Galician", "he": "Hebrew", "hi": "Hindi", "hu": "Hungarian", "id": "Indonesian", "it": "Italian",
    "ja": "Japanese", "ko": "Korean", "ky": "Kyrgyz", "lt": "Lithuanian", "lv": "Latvian", "ms": "Malay",
    "nb": "Norwegian", "nl": "Dutch", "pl": "Polish", "pt": "Portuguese", "ro": "Romanian", "ru": "Russian",
    "sk": "Slovak", "sl": "Slovenian", "sq": "Albanian", "sr": "Serbian", "sv": "Swedish", "th": "Thai",
    "tl": "Tagalog", "tr": "Turkish", "uk": "Ukrainian", "ur": "Urdu", "vi": "Vietnamese", "zh": "Chinese",
}  # fmt: skip


def write(
    folder: Path,
    out: Path,
    source: str,
    target: str,
    quantization: Quantization | None = None,
    tag: str | None = None,
) -> list[str]:
    """Write the translator in a folder to the new file `out`, whole or not at all; what there is to know, in lines.

    `source` and `target` are codes of languages ("en", "de"); `tag` is the target language of a model with several.
    """
    _check(out, source, target)
    plan, extra = read_config(folder)
    if [stream.name for stream in plan.streams] != ["source", "target"]:
        raise UserError(f"{folder}: no translator, and Argos Translate takes nothing else")
    known, tokenizers = ctranslate2.words_of(folder, extra)
    if known.tags and tag is None:
        raise UserError(f"{folder}: has several target languages, a package one; choose a tag: {', '.join(known.tags)}")
    if known.prefix.strip():
        raise UserError(f"{folder}: reads {known.prefix!r} before every source, which Argos Translate cannot be told")
    words = ctranslate2.vocabularies(tokenizers)
    pieces = model_of(tokenizers["source"], words["source"])
    if tokenizers["target"] is not tokenizers["source"]:
        model_of(tokenizers["target"], words["target"])  # refused if it is none: the source's puts its pieces together
    name = f"translate-{source}_{target}-{VERSION.replace('.', '_')}"
    with scratch(out) as partial:
        (partial / name).mkdir(parents=True)
        ctranslate2.write(folder, partial / name / "model", quantization, tag, texts=False)
        (partial / name / "sentencepiece.model").write_bytes(pieces)
        (partial / name / "metadata.json").write_text(json.dumps(_metadata(source, target), indent=1) + "\n", "utf-8")
        (partial / name / "README.md").write_bytes(_readme(folder, source, target))
        _pack(partial / name, partial / "package.zip")
        (partial / "package.zip").rename(out)
    return [
        f"{out}: {out.stat().st_size / 1e6:,.1f} MB, for Argos Translate",
        f'install it: python -c "from argostranslate import package; package.install_from_path({str(out)!r})"',
    ]


def _check(out: Path, source: str, target: str) -> None:
    for code in (source, target):
        if not re.fullmatch(CODE, code):
            raise UserError(f"{code!r} is no code of a language; those are written 'en' or 'pt-BR'")
    if source == target:
        raise UserError(f"a package from {source!r} to itself: source and target must differ")
    if out.suffix != ".argosmodel":
        raise UserError(f"{out}: Argos Translate takes files that end in .argosmodel")
    if out.exists():
        raise UserError(f"{out}: is there already; choose another name, or remove it")


def _metadata(source: str, target: str) -> dict[str, Any]:
    return {
        "package_version": VERSION, "argos_version": ARGOS_VERSION, "type": "translate",
        "from_code": source, "from_name": NAMES.get(source, source),
        "to_code": target, "to_name": NAMES.get(target, target),
    }  # fmt: skip


def _readme(folder: Path, source: str, target: str) -> bytes:
    """The model's own card, where it has one."""
    card = folder / "README.md"
    if card.is_file():
        return card.read_bytes()
    return (
        f"# {NAMES.get(source, source)} to {NAMES.get(target, target)}\n\nA translator trained with heedful.\n".encode()
    )


def _pack(folder: Path, archive: Path) -> None:
    """A folder as a zip archive; the same content gives the same bytes."""
    with zipfile.ZipFile(archive, "w", zipfile.ZIP_DEFLATED) as packed:
        for path in sorted(folder.rglob("*")):
            if path.is_file():
                entry = zipfile.ZipInfo(path.relative_to(folder.parent).as_posix())  # of 1980, as zip's clock begins
                entry.compress_type, entry.external_attr = zipfile.ZIP_DEFLATED, 0o644 << 16
                packed.writestr(entry, path.read_bytes())
