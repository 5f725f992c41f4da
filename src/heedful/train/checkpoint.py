"""Checkpoints that survive a kill at any moment: a folder published by one rename, with a hash of every file.

    checkpoints/.tmp-1200-4711/   model.safetensors, optimizer.safetensors, state.json, manifest.json   (being written)
    checkpoints/step-00001200/    the same, once all of it is on the disk

Nothing else counts as a checkpoint: there is no pointer to the latest one, the newest folder that verifies is it.
Order is by step, never by a clock. No file holds code: tensors are safetensors, the rest is JSON.
"""

from __future__ import annotations

import contextlib
import errno
import os
import re
import shutil
import stat
import sys
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec
import torch
import xxhash
from msgspec import Struct

from ..errors import UserError
from .tensors import CHUNK, Digest, read_tensors, serialise, write_file

FOLDER = re.compile(r"step-(\d{8,})")
LARGEST_JSON = 64 * 2**20  # a manifest or state beyond this is not ours

Warn = Callable[[str], None]


class Damaged(Exception):
    """A checkpoint folder that is not what was published; the message names the file."""


@dataclass(frozen=True)
class Checkpoint:
    """A published folder whose every byte has been verified."""

    folder: Path
    step: int
    state: dict[str, Any]

    def tensors(self, stem: str, names: list[str] | None = None) -> dict[str, torch.Tensor]:
        """The tensors of `stem`.safetensors (all, or those named); UserError where the run keeps no such file."""
        path = self.folder / f"{stem}.safetensors"
        if not path.exists():
            raise UserError(f"{path}: is not in this checkpoint: the run was made from another recipe; start anew")
        return read_tensors(path, names)


def publish(
    run: Path,
    step: int,
    tensors: dict[str, dict[str, torch.Tensor]],
    state: dict[str, Any],
) -> Path:
    """Save a checkpoint: write aside, sync, rename, sync the parent. Either all of it is published or none.

    `tensors` maps a file stem to named tensors; `state` is JSON. OSError if the disk refuses (what was written is
    removed and older checkpoints are untouched). A good checkpoint of the same step is left as it is.
    """
    parent = run / "checkpoints"
    final = parent / f"step-{step:08d}"
    if final.exists():
        try:
            verify(final)
            return final
        except Damaged:
            pass
    parent.mkdir(parents=True, exist_ok=True)
    aside = parent / f".tmp-{step}-{os.getpid()}"
    try:
        if aside.exists():
            _remove(aside)
        os.mkdir(aside)
        files = {f"{stem}.safetensors": write_file(aside / f"{stem}.safetensors", serialise(named))
                 for stem, named in tensors.items()}  # fmt: skip
        files["state.json"] = write_file(aside / "state.json", iter([msgspec.json.encode(state)]))
        write_file(aside / "manifest.json", iter([Sealed.over(Manifest(1, step, files)).encoded()]))
        _sync_folder(aside)
        if final.exists():  # damaged, or we would not be here
            os.rename(final, parent / f".tmp-damaged-{step}-{os.getpid()}")
        os.rename(aside, final)
        _sync_folder(parent)
    except OSError:
        _remove(aside)
        raise
    return final


def newest(run: Path, warn: Warn = lambda line: print(line, file=sys.stderr), sweep: bool = True) -> Checkpoint | None:
    """The newest checkpoint that verifies, or None. Falls back to an older one with a warning that names the file.

    `sweep` also removes what interrupted saves left behind, and damaged checkpoints that are newer than the good one:
    only for who holds the run's lock. If folders exist and none verifies, UserError.
    """
    parent = run / "checkpoints"
    if sweep:
        for entry in parent.glob(".tmp-*"):
            _remove(entry)
    complaints = []
    steps = published(run)
    for step in reversed(steps):
        folder = parent / f"step-{step:08d}"
        try:
            state = verify(folder)
        except Damaged as damage:
            complaints.append(str(damage))
            if step != steps[0]:
                warn(f"warning: {damage}; falling back to an older checkpoint")
            continue
        for newer in steps[steps.index(step) + 1 :] if sweep else ():  # else they would count as the newest
            os.rename(parent / f"step-{newer:08d}", parent / f".tmp-damaged-{newer}-{os.getpid()}")
        return Checkpoint(folder=folder, step=step, state=state)
    if complaints:
        raise UserError(f"{complaints[0]}; no older checkpoint is good: restore the folder from a copy, or start anew")
    return None


def published(run: Path) -> list[int]:
    """The steps of all checkpoint folders, ascending, good or damaged."""
    try:
        names = os.listdir(run / "checkpoints")
    except FileNotFoundError:
        return []
    return sorted(int(match[1]) for match in map(FOLDER.fullmatch, names) if match)


def load(run: Path, step: int) -> Checkpoint:
    """The checkpoint of one step, verified; Damaged if it is not good."""
    folder = run / "checkpoints" / f"step-{step:08d}"
    return Checkpoint(folder=folder, step=step, state=verify(folder))


def verify(folder: Path) -> dict[str, Any]:
    """The state of a checkpoint whose every file has the size and hash that its manifest tells; Damaged otherwise.

    Also refused: a file too many or too few, anything that is not a regular file, a folder under another step's name.
    """
    body = _read_manifest(folder)
    if folder.name != f"step-{body.step:08d}":
        raise Damaged(f"{folder / 'manifest.json'}: is that of step {body.step}")
    found = set(os.listdir(folder)) - {"manifest.json"}
    for name in sorted(found ^ set(body.files)):
        raise Damaged(f"{folder / name}: {'is not in the manifest' if name in found else 'is missing'}")
    for name, digest in body.files.items():
        _check_file(folder / name, digest)
    state: dict[str, Any] = msgspec.json.decode(_read_small(folder / "state.json"))
    return state


def prune(run: Path, keep: int, protect: Collection[int] = ()) -> None:
    """Remove all but the newest `keep` checkpoints and those of the steps to `protect`.

    A folder is renamed before its files go, so that a kill in between leaves no half of a checkpoint behind.
    """
    parent = run / "checkpoints"
    for step in published(run)[:-keep]:
        if step not in protect:
            going = parent / f".tmp-pruned-{step}-{os.getpid()}"
            with contextlib.suppress(OSError):  # it is only space; the next prune tries again
                os.rename(parent / f"step-{step:08d}", going)
            _remove(going)


def require_space(run: Path, checkpoint: int) -> None:
    """Refuse to begin (UserError) where two checkpoints of so many bytes would not fit."""
    free = shutil.disk_usage(run).free
    if free < 2 * checkpoint:
        raise UserError(
            f"{run}: {megabytes(free)} free, two checkpoints of {megabytes(checkpoint)} each need "
            f"{megabytes(2 * checkpoint)}; free some space or choose another folder with --out"
        )


def explain(run: Path, step: int, error: OSError, needed: int) -> str:
    """One line for a save that failed: what the disk said, bytes needed and free, and what still stands."""
    steps = published(run)
    stands = f"the checkpoint of step {steps[-1]} is intact" if steps else "there is no older checkpoint"
    full = error.errno in (errno.ENOSPC, errno.EDQUOT)
    return (
        f"warning: {run / 'checkpoints'}: step {step} could not be saved: {os.strerror(error.errno or errno.EIO)}; "
        f"{needed} bytes needed, {shutil.disk_usage(run).free} free; {stands}; training goes on"
        + (": free some space" if full else "")
    )


def require_same(found: Mapping[str, torch.Tensor], wanted: Mapping[str, torch.Tensor]) -> None:
    """UserError unless the weights of a checkpoint are, by name and shape, those of the model."""
    for name in sorted(set(found) ^ set(wanted)):
        whose = "the checkpoint" if name in found else "the model"
        raise UserError(f"weight {name!r} is only in {whose}: the run was made from another recipe; start anew")
    for name, weight in wanted.items():
        if found[name].shape != weight.shape:
            shapes = f"{list(found[name].shape)} in the checkpoint, {list(weight.shape)} in the model"
            raise UserError(f"weight {name!r} is {shapes}: the run was made from another recipe")


def megabytes(size: int) -> str:
    return f"{size / 1e6:,.1f} MB"


class Manifest(Struct, frozen=True, forbid_unknown_fields=True):
    format: int
    step: int
    files: dict[str, Digest]


class Sealed(Struct, frozen=True, forbid_unknown_fields=True):
    """A manifest and its own hash, in canonical JSON: any changed byte makes it another text, and so is found."""

    body: Manifest
    seal: str

    @classmethod
    def over(cls, body: Manifest) -> Sealed:
        return cls(body=body, seal=xxhash.xxh3_128_hexdigest(msgspec.json.encode(body, order="deterministic")))

    def encoded(self) -> bytes:
        return msgspec.json.encode(self, order="deterministic")


def _read_manifest(folder: Path) -> Manifest:
    path = folder / "manifest.json"
    text = _read_small(path)
    try:
        body = msgspec.json.decode(text, type=Sealed).body
        genuine = text == Sealed.over(body).encoded()
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        genuine = False
    if not genuine:
        raise Damaged(f"{path}: is not the manifest that was written")
    if body.format != 1:
        raise Damaged(f"{path}: format {body.format} is not known to this version, which reads format 1")
    return body


def _read_small(path: Path) -> bytes:
    with _regular(path) as file:
        return file.read(LARGEST_JSON)  # type: ignore[no-any-return]


def _check_file(path: Path, digest: Digest) -> None:
    with _regular(path) as file:
        actual = os.fstat(file.fileno()).st_size
        if actual != digest.size:
            raise Damaged(f"{path}: has {actual} bytes, {digest.size} were written")
        running = xxhash.xxh3_128()
        try:
            while piece := file.read(CHUNK):
                running.update(piece)
        except OSError as error:
            raise Damaged(f"{path}: cannot be read: {error.strerror}") from None
    if running.hexdigest() != digest.xxh3_128:
        raise Damaged(f"{path}: its content is not what was written (hash differs)")


def _regular(path: Path) -> Any:
    """The file opened for reading in binary; Damaged if it is a link, a device, a pipe or not there."""
    flags = os.O_RDONLY | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0)
    try:
        handle = os.open(path, flags)
    except OSError as error:
        raise Damaged(f"{path}: cannot be opened: {error.strerror}") from None
    if not stat.S_ISREG(os.fstat(handle).st_mode):
        os.close(handle)
        raise Damaged(f"{path}: is not a regular file")
    return os.fdopen(handle, "rb", buffering=0)


def _sync_folder(folder: Path) -> None:
    """Make the names in a folder durable."""
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def _remove(folder: Path) -> None:
    """Remove a folder that nobody will miss; what cannot be removed now is swept at the next start."""
    shutil.rmtree(folder, ignore_errors=True)
