"""`heedful convert`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer


def convert(
    source: Annotated[Path, typer.Argument(metavar="IN", help="A run, a model, or a checkpoint's folder.")],
    out: Annotated[Path, typer.Argument(metavar="OUT", help="The new folder (of an .argosmodel: the file).")],
    to: Annotated[
        str | None,
        typer.Option(metavar="LAYOUT", help="bert, gpt2, marian ... ctranslate2, onnx, argos; else what fits."),
    ] = None,
    languages: Annotated[
        str | None, typer.Option(metavar="FROM,TO", help="Codes of an .argosmodel's languages: en,de.")
    ] = None,
    tag: Annotated[
        str | None, typer.Option(metavar="LANGUAGE", help="Of several target languages, an .argosmodel's.")
    ] = None,
    quantization: Annotated[str | None, typer.Option(metavar="KIND", help="Of ctranslate2: int8, float16 ...")] = None,
) -> None:
    """Read the checkpoint of another library, or write a model for one."""
    from ..errors import UserError, visible
    from ..tasks.converting import convert

    pair = None
    if languages is not None:
        parts = [part.strip() for part in languages.split(",")]
        if len(parts) != 2 or not all(parts):
            raise UserError(f"--languages {languages}: two codes with a comma between: en,de")
        pair = (parts[0], parts[1])
    for line in convert(source, out, to, languages=pair, tag=tag, quantization=quantization):
        print(visible(line))
