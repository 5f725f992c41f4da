"""`heedful match`."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

from ..errors import UserError


def match(
    queries: Annotated[list[str], typer.Argument(metavar="TEXT|PICTURE", help="Captions; with --texts, pictures.")],
    model: Annotated[
        Path | None, typer.Option("-m", "--model", metavar="RUN", help="Of a run or a model. Default: the last run.")
    ] = None,
    pictures: Annotated[
        Path | None,
        typer.Option(metavar="DIR|FILE", help="Where to look: a folder, a .npz or .npy, or names, one a line."),
    ] = None,
    texts: Annotated[Path | None, typer.Option(metavar="FILE", help="Captions to choose from, one a line.")] = None,
    features: Annotated[
        Path | None, typer.Option(metavar="FILE", help="The pictures' features, for models that read these.")
    ] = None,
    best: Annotated[int, typer.Option(metavar="N", min=1, help="So many for each.")] = 5,
    looked: Annotated[
        int, typer.Option(metavar="N", min=0, help="So many of the likeliest are looked at by co-attention again.")
    ] = 0,
    as_json: Annotated[bool, typer.Option("--json", help="An object a line.")] = False,
) -> None:
    """Find the pictures that fit a text, or (--texts) the texts that fit a picture; best first."""
    if (pictures is None) == (texts is None):
        raise UserError("say where to look: --pictures DIR for texts, or --texts FILE for pictures")
    from ..tasks.finding import last_run
    from ..tasks.match import load
    from ..tasks.match.matcher import lines_in, pictures_in

    matcher = load(model or last_run(task="match"))
    if pictures is not None:
        own = features is not None or matcher.features is not None
        candidates = matcher.pictures(pictures_in(pictures, own), features)
        given = matcher.captions(queries)
    else:
        assert texts is not None
        candidates, given = matcher.captions(lines_in(texts)), matcher.pictures(queries, features)
    for query, found in zip(queries, matcher.match(given, candidates, best, looked), strict=True):
        if as_json:
            told = [{"name": one.name, "score": one.score, "looked": one.looked} for one in found]
            print(json.dumps({"query": query, "found": told}, ensure_ascii=False))
            continue
        if len(queries) > 1:
            print(f"# {query}")
        for one in found:
            print(f"{one.score:8.3f}\t{one.name}")
