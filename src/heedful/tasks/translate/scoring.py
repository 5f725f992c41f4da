"""How likely a translator holds translations that are given."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import islice
from pathlib import Path

import msgspec

from ...data.readers import read_parallel, resolve
from ...decode.scoring import score
from ...errors import UserError
from ..finding import last_run
from .several import together

PAIRS_AT_A_TIME = 512
MOST_TOKENS = 4096  # of either side: attention takes memory and time by their square


def score_files(models: Sequence[Path], source: Path, target: Path, tag: str | None, as_json: bool) -> Iterator[str]:
    """A line for each pair: mean log-probability of the target's tokens (the end included), their sum and number, with
    tabs between; or an object with every token's. UserError where the files are not equally long, or a line has more
    than MOST_TOKENS."""
    files = resolve(source), resolve(target)  # a misspelt name is told before a model is loaded
    translator = together(models or [last_run()])
    tokenizer, pairs, options = (
        translator.tokenizers["target"],
        read_parallel(*files),
        translator.frame(tag).decoding(translator.options()),
    )
    said, done = translator.frame(tag).said, 0
    while some := list(islice(pairs, PAIRS_AT_A_TIME)):
        asked = [(translator.encode(pair.source, tag), [*said, *tokenizer.encode(pair.target)]) for pair in some]
        for number, sides in enumerate(asked, done + 1):
            for file, ids in zip(files, sides, strict=True):
                if len(ids) > MOST_TOKENS:
                    raise UserError(f"{file}:{number}: {len(ids):,} tokens; at most {MOST_TOKENS:,} are scored at once")
        done += len(some)
        for pair, (_, ids), found in zip(some, asked, score(translator.models, asked, options), strict=True):
            mean = found.total / len(found.logprobs)
            if as_json:
                tokens = zip(tokenizer.pieces([*ids, tokenizer.end]), found.logprobs, strict=True)
                row = {"source": pair.source, "target": pair.target, "mean": mean, "sum": found.total}
                yield msgspec.json.encode(row | {"tokens": list(tokens)}).decode()
            else:
                yield f"{mean:.4f}\t{found.total:.4f}\t{len(found.logprobs)}"
