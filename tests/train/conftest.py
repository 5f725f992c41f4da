"""Syncing to the disk is slow, and means something only to a power cut, which tests/train/faulty.py plays itself."""

from __future__ import annotations

import os

import pytest


@pytest.fixture(autouse=True)
def _no_real_sync(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "fsync", lambda handle: None)
