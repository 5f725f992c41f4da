"""What every test gets: no network, one thread, the same random state; and the largest differences in the summary."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator

import pytest

os.environ.setdefault("HF_HUB_OFFLINE", "1")
os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")


@pytest.fixture(autouse=True)
def repeatable() -> Iterator[None]:
    """torch, where a test uses it, starts from one seed on one thread; what a test changes is put back."""
    torch = sys.modules.get("torch")
    if torch is None:
        yield
        return
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    torch.manual_seed(0)
    yield
    torch.set_num_threads(threads)


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """With -v: how near to its tolerance each equality came, largest first."""
    measured = getattr(sys.modules.get("laws.closeness"), "LARGEST", {})
    if measured and terminalreporter.verbosity > 0:
        terminalreporter.section("largest differences (relative to the larger of 1 and the largest reference value)")
        for (law, limit), difference in sorted(measured.items(), key=lambda item: -item[1] / max(item[0][1], 1e-30)):
            terminalreporter.write_line(f"{difference:10.2e} of {limit:.0e}  {law}")
