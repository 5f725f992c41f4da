"""Finding a model when none is named: the run in this folder whose model was finished last."""

from __future__ import annotations

from pathlib import Path

from ..errors import UserError


def last_run(where: Path = Path()) -> Path:
    """The newest finished run in a folder, or in its `runs`; UserError if there is none."""
    found = [
        config for pattern in ("*/model/config.json", "runs/*/model/config.json") for config in where.glob(pattern)
        if (config.parent.parent / "run.json").is_file()
    ]  # fmt: skip
    if not found:
        raise UserError("no finished run in this folder; name one with -m RUN, or train one: heedful train translate")
    return max(found, key=lambda config: (config.stat().st_mtime_ns, str(config))).parent.parent
