"""Data-parallel processes: gloo on CPUs, NCCL on GPUs, by torchrun's environment or started by `heedful` itself.

`--processes N` starts N copies of the same command with RANK, WORLD_SIZE, MASTER_ADDR and MASTER_PORT set, as torchrun
does; under torchrun the same command finds them set. Over several machines the run folder must be a shared one.
The parent only waits: it passes signals on, and no rank outlives it.
"""

from __future__ import annotations

import ctypes
import os
import signal
import socket
import subprocess
import sys
import time
from dataclasses import dataclass
from datetime import timedelta
from types import FrameType
from typing import TYPE_CHECKING, Literal

from ..errors import UserError
from ..model.hardware import available_threads

if TYPE_CHECKING:
    import torch

SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP) if os.name == "posix" else (signal.SIGINT, signal.SIGTERM)
PATIENCE = timedelta(hours=6)  # others wait this long for a validation or a data preparation on rank 0
GRACE = 20.0  # seconds that the other ranks get to end when one has ended badly


@dataclass(frozen=True)
class World:
    """This process among all that train together."""

    rank: int
    size: int
    device: torch.device

    @property
    def leader(self) -> bool:
        """The one that saves, validates and talks."""
        return self.rank == 0

    def add_up(self, tensor: torch.Tensor) -> None:
        """Sum over all ranks, in place; every rank ends with the same bits."""
        if self.size > 1:
            import torch.distributed as dist

            dist.all_reduce(tensor)

    def agree(self, numbers: list[float]) -> list[float]:
        """The sums of some numbers over all ranks, the same on each."""
        if self.size == 1:
            return numbers
        import torch

        ballot = torch.tensor(numbers, dtype=torch.float64, device=self.device if self.device.type == "cuda" else "cpu")
        self.add_up(ballot)
        return ballot.tolist()  # type: ignore[no-any-return]

    def barrier(self) -> None:
        """Wait for all ranks."""
        if self.size > 1:
            import torch.distributed as dist

            dist.barrier()

    def leave(self) -> None:
        """Part from the others, in order."""
        if self.size > 1:
            import torch.distributed as dist

            dist.barrier()
            dist.destroy_process_group()


def cores() -> int:
    """Cores this process may use, which in a container or under taskset are fewer than the machine has."""
    # A rank's OMP_NUM_THREADS is its share; what there is to share is what its parent counted.
    return int(os.environ.get("HEEDFUL_CORES") or available_threads()[0])


def inside_group() -> bool:
    """Whether torchrun or `launch` has given this process a rank."""
    return "RANK" in os.environ and "WORLD_SIZE" in os.environ


def leads() -> bool:
    """Whether this process is the leader, or alone, as its environment says."""
    return os.environ.get("RANK", "0") == "0"


def group_size() -> int:
    """How many processes the environment says there are."""
    return int(os.environ.get("WORLD_SIZE", "1"))


def heard() -> list[signal.Signals]:
    """The signals that ask for an end, but for those that whoever started this process had it ignore."""
    return [number for number in SIGNALS if signal.getsignal(number) is not signal.SIG_IGN]


def launch(processes: int, threads: int) -> int:
    """Start this very command `processes` times as ranks of one group, and wait; returns the exit code to end with.

    The first signal is passed on (every rank finishes its step, rank 0 saves), the second ends all at once. When one
    rank ends badly the others are ended too.
    """
    environment = os.environ | {
        "WORLD_SIZE": str(processes),
        "MASTER_ADDR": "127.0.0.1",
        "MASTER_PORT": str(_free_port()),
        "OMP_NUM_THREADS": str(threads),
        "HEEDFUL_CORES": str(cores()),
        "HEEDFUL_PARENT": str(os.getpid()),
    }
    if sys.platform == "linux":
        environment.setdefault("GLOO_SOCKET_IFNAME", "lo")
    children: list[subprocess.Popen[bytes]] = []

    def pass_on(number: int, frame: FrameType | None) -> None:
        for child in children:
            if child.poll() is None:
                child.send_signal(number)

    before = {number: signal.signal(number, pass_on) for number in heard()}
    try:
        for rank in range(processes):
            ranks = {"RANK": str(rank), "LOCAL_RANK": str(rank)}
            # A group of their own (0): a Ctrl-C on the terminal then reaches them once, through us.
            group = 0 if os.name == "posix" else None
            command = [sys.executable, *sys.orig_argv[1:]]
            children.append(subprocess.Popen(command, env=environment | ranks, process_group=group))
        return _wait(children)
    finally:
        for child in children:
            if child.poll() is None:
                child.kill()
        for number, handler in before.items():
            signal.signal(number, handler)


def connect(device: str = "auto", threads: int | Literal["auto"] = "auto") -> World:
    """Join the group the environment names, or stand alone; sets the thread count and dies with the parent."""
    import torch

    die_with_parent()
    size, rank = int(os.environ.get("WORLD_SIZE", "1")), int(os.environ.get("RANK", "0"))
    local = int(os.environ.get("LOCAL_RANK", "0"))
    neighbours = int(os.environ.get("LOCAL_WORLD_SIZE", str(size)))
    torch.set_num_threads(max(1, cores() // neighbours) if threads == "auto" else threads)
    chosen = choose_device(device, local)
    if size > 1:
        import torch.distributed as dist

        backend = "nccl" if chosen.type == "cuda" else "gloo"
        dist.init_process_group(backend, rank=rank, world_size=size, timeout=PATIENCE)
    return World(rank=rank, size=size, device=chosen)


def choose_device(name: str, local: int = 0) -> torch.device:
    """ "auto": a CUDA device if there is one, else Apple's, else the CPU. `local` numbers the ranks of a machine."""
    import torch

    if name == "auto":
        name = "cuda" if torch.cuda.is_available() else "mps" if torch.backends.mps.is_available() else "cpu"
    there = {"cuda": torch.cuda.is_available(), "mps": torch.backends.mps.is_available()}
    if not there.get(name.partition(":")[0], True):
        raise UserError(
            f"training.device = {name!r}, but torch {torch.__version__} finds none here; see heedful doctor"
        )
    if name == "cuda":
        torch.cuda.set_device(local)
        return torch.device("cuda", local)
    return torch.device(name)


def die_with_parent() -> None:
    """On Linux, have the kernel kill this rank when its `launch` parent dies, however it dies: no orphans."""
    parent = os.environ.get("HEEDFUL_PARENT")
    if parent is None or sys.platform != "linux":
        return
    set_parent_death_signal = 1  # PR_SET_PDEATHSIG, linux/prctl.h
    ctypes.CDLL(None, use_errno=True).prctl(set_parent_death_signal, signal.SIGKILL, 0, 0, 0)
    if os.getppid() != int(parent):  # it died before the line above
        os._exit(1)


def _wait(children: list[subprocess.Popen[bytes]]) -> int:
    """The first bad exit code, or 0, once all have ended."""
    deadline = None
    code = 0
    while True:
        codes = [child.poll() for child in children]
        bad = [c for c in codes if c]
        if bad and deadline is None:
            code = bad[0] if bad[0] > 0 else 128 - bad[0]
            # After a signal all ranks end by themselves; after a crash the others wait for the dead one.
            deadline = time.monotonic() + (GRACE if code in {128 + s for s in SIGNALS} else 1.0)
        if all(c is not None for c in codes):
            return code
        if deadline is not None and time.monotonic() > deadline:
            for child in children:
                child.kill()
            deadline = float("inf")
        time.sleep(0.02)


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
