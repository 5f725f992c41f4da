"""Models on disk: finding one where none is named, loading one of any task, saving one whole or not at all."""

from __future__ import annotations

import importlib
import inspect
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import msgspec
import xxhash

from ..config import TASKS
from ..data.readers import resolve
from ..errors import UserError
from ..model.files import read_config
from ..model.model import Model
from ..model.model import load as load_model
from ..model.presets import nearest
from ..text.tokenizer import Tokenizer
from .evaluated import Evaluated


def last_run(where: Path = Path(), task: str = "translate") -> Path:
    """The newest finished run of a task in a folder, or in its `runs`; UserError if there is none."""
    found = _newest(where, (task,))
    if found is None:
        raise UserError(
            f"no finished run of {task} in this folder; name one with -m RUN, or train one: heedful train {task}"
        )
    return found


def last_run_of_any(where: Path = Path()) -> Path:
    """The newest finished run of whatever task; UserError if there is none."""
    found = _newest(where, tuple(TASKS))
    if found is None:
        raise UserError("no finished run in this folder; name one with -m RUN, or train one: heedful train")
    return found


def _newest(where: Path, tasks: Sequence[str]) -> Path | None:
    found = [
        config for pattern in ("*/model/config.json", "runs/*/model/config.json") for config in where.glob(pattern)
        if (config.parent.parent / "run.json").is_file() and _task_of(config.parent) in tasks
    ]  # fmt: skip
    return max(found, key=lambda config: (config.stat().st_mtime_ns, str(config))).parent.parent if found else None


def _task_of(folder: Path) -> object:
    try:
        return msgspec.json.decode((folder / "config.json").read_bytes(), type=_Named).task
    except (OSError, msgspec.DecodeError, UnicodeDecodeError):
        return None


class _Named(msgspec.Struct):
    task: str


def find(path: str | Path) -> Path:
    """The folder of a model: itself, or that of the finished model in a run's folder."""
    folder = Path(path)
    if not folder.is_dir():
        raise UserError(f"{path}: no such folder; a model is in the folder of a run or of a model")
    if not (folder / "config.json").exists() and (folder / "run.json").exists():
        folder = folder / "model"
        if not folder.exists():
            raise UserError(
                f"{path}: the run is not finished, so it holds no model; continue it: heedful resume {path}"
            )
    return folder


def task_of(path: str | Path) -> str:
    """The task of a model's or run's folder."""
    folder = find(path)
    task = read_config(folder)[1].get("task")
    if task is None:
        raise UserError(f"{folder}: no task runs this model as it is; see what it is: heedful show {folder}")
    if task not in TASKS:
        raise UserError(f"{folder}: a model for the task {task!r}; {nearest(str(task), list(TASKS))}")
    return str(task)


def load(path: str | Path) -> Any:
    """The model in a folder of a run or a model, ready for its task: a `Translator`, a `Writer`, a `Classifier` ..."""
    return importlib.import_module(f".{task_of(path)}", __package__).load(path)


def evaluate(path: str | Path, files: Sequence[Path], root: Path | None = None, **given: Any) -> Evaluated:
    """A model's scores on files with examples and their answers; UserError for a translator's, which has two sides.

    `given` are further arguments of the task's own `evaluate`.
    """
    task = task_of(path)
    if task == "translate":
        raise UserError(f"{path}: a translator; evaluate it with --source FILE --reference FILE")
    module = importlib.import_module(f".{task}", __package__)
    if unknown := given.keys() - inspect.signature(module.evaluate).parameters.keys():
        raise UserError(f"{path}: evaluating a model for the task {task} takes no --{min(unknown)}")
    own = {name: resolve(one, root) if isinstance(one, Path) else one for name, one in given.items()}
    return module.evaluate(module.load(path), [resolve(file, root) for file in files], **own)  # type: ignore[no-any-return]


def load_for(path: str | Path, task: str) -> tuple[Model, dict[str, Any], Tokenizer]:
    """A model of one task with the other keys of its config.json and its tokenizer; UserError for another task's."""
    folder = find(path)
    model, extra = load_model(folder)
    if extra.get("task") != task:
        raise UserError(f"{folder}: a model for the task {extra.get('task')!r}, not for {task}")
    return model, extra, load_tokenizer(folder, extra)


def require_tokenizer(folder: Path, extra: Mapping[str, Any]) -> None:
    """UserError for a model of another library that came without its tokenizer."""
    if "origin" in extra and not {"tokenizer", "tokenizers"} & extra.keys():
        raise UserError(
            f"{folder}: came without a tokenizer, so it reads no texts; add the tokenizer's files to the checkpoint's "
            "folder and convert that again"
        )


def load_tokenizer(folder: Path, extra: Mapping[str, Any]) -> Tokenizer:
    """The one tokenizer of a model, if it is the one that config.json names."""
    require_tokenizer(folder, extra)
    file, wanted = folder / "tokenizer.json", extra.get("tokenizer")
    if not isinstance(wanted, str):
        raise UserError(f"{folder}: its config.json names no tokenizer; is it a translator? those have --from theirs")
    tokenizer = Tokenizer.load(file)
    if wanted != xxhash.xxh3_128_hexdigest(file.read_bytes()):
        raise UserError(f"{file}: damaged, or not the tokenizer the model was trained with; copy the model again")
    return tokenizer


def keep_copy(original: Path, copy: Path) -> None:
    """Copy a model into a run's data (`copy` is a folder in it), unless it is there.

    What was copied once is kept from the first checkpoint on, whatever has become of the original.
    """
    if copy.exists() and ((copy.parent.parent / "checkpoints").exists() or _same(original, copy)):
        return
    partial = copy.with_name(f".tmp-{copy.name}")
    shutil.rmtree(partial, ignore_errors=True)
    try:
        partial.mkdir(parents=True)
        for file in ("config.json", "model.safetensors", *(one.name for one in original.glob("tokenizer*.json"))):
            shutil.copyfile(original / file, partial / file)
        shutil.rmtree(copy, ignore_errors=True)
        partial.rename(copy)
    except OSError as error:
        raise UserError(f"{original}: cannot be copied to {copy}: {error.strerror}") from None


def _same(original: Path, copy: Path) -> bool:
    """Whether a copy is good for the original: config.json has the weights' hash. One that is gone cannot be asked."""
    if not (original / "config.json").exists():
        return True
    return (original / "config.json").read_bytes() == (copy / "config.json").read_bytes()


def save_model(folder: Path, model: Model, task: str, tokenizer: Tokenizer, extra: Mapping[str, Any]) -> None:
    """A model's folder, in the place of what was there, whole or not at all."""
    partial = folder.with_name(f".tmp-{folder.name}")
    shutil.rmtree(partial, ignore_errors=True)
    model.save(partial, {"task": task, **extra, "tokenizer": tokenizer.fingerprint})
    tokenizer.save(partial / "tokenizer.json")
    shutil.rmtree(folder, ignore_errors=True)
    partial.rename(folder)
