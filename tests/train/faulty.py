"""A disk that fails or dies at the N-th call, and tells what a power cut would have left of it."""

from __future__ import annotations

import itertools
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

CALLS = ("open", "write", "fsync", "close", "mkdir", "rename", "unlink", "rmdir", "scandir", "listdir")


class Died(BaseException):
    """The process is gone: nothing after this runs (no `except OSError` sees it)."""


class Disk:
    """Counts the system calls below a folder and lets the N-th one fail: `error` None kills, else that errno is raised.

    Synced content and synced names are remembered, so `after_power_cut` can rebuild what a machine that lost its power
    at that moment would find, under three models of a file system, all of which keep data only if synced: "names" (all
    names are there), "nothing" (names are as they were synced) and "losses" (what is gone is gone, but what is new is
    there only if synced).
    """

    def __init__(self, root: Path, patch: pytest.MonkeyPatch, at: int = 0, error: int | None = None) -> None:
        self.root, self.at, self.error, self.count = root, at, error, 0
        self._handles: dict[int, Path] = {}
        self._identity: dict[Path, int] = {}
        self._fresh = itertools.count()
        self._data: dict[int, bytes] = {}
        self._names: dict[int, dict[str, int]] = {}
        self._folders: set[int] = set()
        self._real = {name: getattr(os, name) for name in CALLS}
        self._stopped = False
        self._remember(root)
        for name in CALLS:
            patch.setattr(os, name, self._wrapped(name, self._real[name]))

    def _remember(self, path: Path) -> int:
        identity = self._identity[path] = next(self._fresh)
        if path.is_dir():
            self._folders.add(identity)
            self._names[identity] = {child.name: self._remember(child) for child in path.iterdir()}
        else:
            self._data[identity] = path.read_bytes()
        return identity

    def _wrapped(self, name: str, real: Callable[..., Any]) -> Callable[..., Any]:
        def call(*arguments: Any, **options: Any) -> Any:
            path = self._path(arguments[0] if arguments else ".", options.get("dir_fd"))
            if path is None or self._stopped:
                return real(*arguments, **options)
            self.count += 1
            if self.count == self.at:
                if self.error is None:
                    self._stopped = True
                    raise Died
                if name == "write":  # a full disk takes some of it first
                    real(arguments[0], bytes(arguments[1])[: len(arguments[1]) // 2])
                raise OSError(self.error, os.strerror(self.error), str(path))
            return self._perform(name, real, path, arguments, options)

        return call

    def _perform(self, name: str, real: Callable[..., Any], path: Path, arguments: Any, options: Any) -> Any:
        if name == "fsync":  # the real one is slow, and here only its meaning counts
            self._sync(path)
            return None
        new = name in ("open", "mkdir") and not os.path.lexists(path)
        result = real(*arguments, **options)
        if name == "open":
            self._handles[result] = path
        if name == "close":
            self._handles.pop(arguments[0], None)
        if new and os.path.lexists(path):
            identity = self._identity[path] = next(self._fresh)
            if name == "mkdir":
                self._folders.add(identity)
        if name == "rename":
            self._move(path, Path(arguments[1]))
        return result

    def _move(self, old: Path, new: Path) -> None:
        for path in [p for p in self._identity if p == old or old in p.parents]:
            self._identity[new / path.relative_to(old)] = self._identity.pop(path)

    def _sync(self, path: Path) -> None:
        identity = self._identity[path]
        if path.is_dir():
            self._names[identity] = {name: self._identity[path / name] for name in self._real["listdir"](path)}
        else:
            self._data[identity] = path.read_bytes()

    def _path(self, target: Any, folder: int | None) -> Path | None:
        if isinstance(target, int):
            return self._handles.get(target)
        if folder is not None and folder in self._handles:
            return self._handles[folder] / target
        path = Path(target)
        return path if path.is_absolute() and (path == self.root or self.root in path.parents) else None

    def after_power_cut(self, model: str, into: Path) -> Path:
        """The folder as it would be found, built anew at `into`."""
        self._rebuild(self._identity[self.root], self.root, into, model)
        return into

    def _rebuild(self, identity: int, path: Path | None, into: Path, model: str) -> None:
        if identity not in self._folders:
            size = path.stat().st_size if path is not None else 0
            into.write_bytes(self._data.get(identity, b"\0" * size))
            return
        into.mkdir(parents=True)
        synced = self._names.get(identity, {})
        if model == "nothing" or path is None:
            names, path = synced, None
        else:
            names = {child.name: self._identity[child] for child in path.iterdir()}
            if model == "losses":
                names = {name: child for name, child in names.items() if synced.get(name) == child}
        for name, child in names.items():
            self._rebuild(child, path / name if path else None, into / name, model)
