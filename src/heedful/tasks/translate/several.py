"""Several translators of the same words, to decode together: finished ones, and checkpoints of a run."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from ...data.parallel import load_tokenizers
from ...errors import UserError
from ...model import hardware
from ...model.model import Model
from ...train import checkpoint
from ...train.run import Run
from .framing import Framing
from .given import framing_of_start, plan_of_start
from .sizes import build_plan
from .translator import Translator, load


def load_all(paths: Sequence[str | Path]) -> list[Translator]:
    """The translators in some folders: of runs, of models, or of checkpoints (RUN/checkpoints/step-00001200).

    UserError unless all read and write the same tokens and tags: only then can their chances be averaged.
    """
    found = [_load_one(Path(path)) for path in paths]
    for path, one in zip(paths, found, strict=True):
        for side, tokenizer in one.tokenizers.items():
            if tokenizer.fingerprint != found[0].tokenizers[side].fingerprint:
                raise UserError(f"{path}: has another {side} tokenizer than {paths[0]}; they cannot decode together")
        if (one.tags, one.framing) != (found[0].tags, found[0].framing):
            raise UserError(f"{path}: has other tags than {paths[0]}; they cannot decode together")
        if one.task != found[0].task:
            raise UserError(
                f"{path}: puts {one.task!r} before a text, {paths[0]} {found[0].task!r}; take one at a time"
            )
    return found


def together(paths: Sequence[str | Path]) -> Translator:
    """The translators in some folders as one: the mean of their chances decides (see `decode.ensemble`)."""
    first, *others = load_all(paths)
    if not others:
        return first
    models = [one.model for one in others]
    return Translator(
        first.model, first.tokenizers, first.tags, first.decoding, first.choices, first.seen, models, first.task,
        first.framing,
    )  # fmt: skip


def load_checkpoint(run: str | Path, step: int) -> Model:
    """The model of one checkpoint of a run, in fp32 and evaluation mode: its running average, if the run keeps one."""
    opened = Run.open(Path(run))
    if step not in (steps := checkpoint.published(opened.folder)):
        raise UserError(f"{run}: has no checkpoint of step {step}; it has {', '.join(map(str, steps)) or 'none'}")
    try:
        found = checkpoint.load(opened.folder, step)
    except checkpoint.Damaged as damage:
        raise UserError(str(damage)) from None
    training = opened.recipe.training
    start = plan_of_start(opened.data) if training.start is not None else None
    model = Model(build_plan(opened.recipe, load_tokenizers(opened.data), start), seed=None)
    weights, wanted = found.tensors("ema" if training.ema else "model"), dict(model.named_parameters())
    checkpoint.require_same(weights, wanted)
    for name, parameter in wanted.items():
        parameter.data.copy_(weights[name])
    return model.eval()


def _load_one(path: Path) -> Translator:
    step = checkpoint.FOLDER.fullmatch(path.name)
    if step is None or path.parent.name != "checkpoints":
        return load(path)
    run = path.parent.parent
    model, opened = load_checkpoint(run, int(step[1])), Run.open(run)
    recipe = opened.recipe
    tags = tuple(dict.fromkeys(recipe.data.tags))
    framing = framing_of_start(opened.data) if recipe.training.start is not None else Framing()
    return Translator(
        model, load_tokenizers(opened.data), () if framing.names_languages else tags, recipe.decoding, hardware.probe(),
        task=recipe.data.prefix, framing=framing,
    )  # fmt: skip
