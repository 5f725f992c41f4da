"""Linear layers of a decoding step: the same product by the kernel that is fastest for few rows.

A step multiplies few rows by large weights, which F.linear was not made for: on the processors measured it reaches a
half of what memory or arithmetic give. One row reads the weights once, and torch's BLAS or NumPy's over the turned
weight ([inputs, outputs]) reads fastest; several rows are small matrix products, and there oneDNN's own order of the
weight is ahead. So there is a kernel for one row and one for several, the probe's choice (`Choices.row`, `.step`).
"""

from __future__ import annotations

import ctypes
import functools
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from .hardware import Choices, Kind

KINDS: tuple[Kind, ...] = ("torch", "numpy", "packed")
SMALL = 2**16  # numbers of a weight below which a call of oneDNN's costs more than its product gains
Action = Callable[[], object]

_copying = threading.Lock()  # batches decoded side by side share one copy of a weight


class Linear:
    """`inputs @ weight.t() + bias`, written into a given place. Has no gradient.

    `choices.row` is the kernel for one row of inputs, `choices.step` that for several; "torch" where one is not to be
    had. The weight is copied into the order a kernel wants when rows first come to it; another weight needs another
    Linear.
    """

    def __init__(self, weight: Tensor, bias: Tensor | None, choices: Choices) -> None:
        self.inputs, self.outputs = weight.shape[1], weight.shape[0]
        self.weight = weight.detach()
        self.bias = None if bias is None or not bool(bias.any()) else bias.detach()
        self.choices = choices
        self._turned: Tensor | None = None
        self._packed: Tensor | None = None
        self._refused = False

    def kind(self, rows: int) -> Kind:
        """The kernel that so many rows take."""
        kind = self.choices.row if rows == 1 else self.choices.step
        if kind == "packed" and self.weight.numel() < SMALL:
            return "torch"
        lacking = self.packed is None if kind == "packed" else kind == "numpy" and not numpy_is_ours()
        return "torch" if lacking else kind

    @property
    def turned(self) -> Tensor:
        """[inputs, outputs], its own rows end to end."""
        with _copying:
            if self._turned is None:
                self._turned = self.weight.t().contiguous()
            return self._turned

    @property
    def packed(self) -> Tensor | None:
        """The weight in oneDNN's own order; None without the operators, private to torch, or if they refuse it."""
        with _copying:
            if self._packed is None and not self._refused:
                self._packed = _pack(self.weight)
                self._refused = self._packed is None
            return self._packed

    def giving(self, inputs: Tensor) -> Callable[[], Tensor]:
        """The product of `inputs` [rows, inputs] as an action that returns it, wherever that costs no copy."""
        packed, bias = self.packed if self.kind(inputs.shape[0]) == "packed" else None, self.bias
        if packed is not None:
            return lambda: _multiply_packed(inputs, packed, bias)
        outputs = inputs.new_empty(inputs.shape[0], self.outputs)
        action = self.into(inputs, outputs)

        def run() -> Tensor:
            action()
            return outputs

        return run

    def into(self, inputs: Tensor, outputs: Tensor) -> Action:
        """The product as an action: from `inputs` [rows, inputs] into `outputs` [rows, outputs], both contiguous."""
        rows, bias = inputs.shape[0], self.bias
        kind = self.kind(rows)
        if kind == "packed":
            packed = self.packed
            assert packed is not None, "kind() has looked"
            return lambda: outputs.copy_(_multiply_packed(inputs, packed, bias))
        # A long sum is better read along its weight's own rows if there is one row of inputs.
        along = rows == 1 and self.inputs > 2 * self.outputs
        turned = self.weight.t() if along else self.turned
        if kind == "torch":
            if bias is None:
                return lambda: torch.mm(inputs, turned, out=outputs)
            return lambda: torch.addmm(bias, inputs, turned, out=outputs)
        left, right, product, multiply = inputs.numpy(), turned.numpy(), outputs.numpy(), np.matmul
        if bias is None:
            return lambda: multiply(left, right, product)
        add = outputs.add_

        def run() -> None:
            multiply(left, right, product)
            add(bias)

        return run


def _pack(weight: Tensor) -> Tensor | None:
    """See `Linear.packed`."""
    if weight.device.type != "cpu" or not torch.backends.mkldnn.is_available():
        return None
    try:
        packed: Tensor = torch.ops.mkldnn._reorder_linear_weight(weight.contiguous(), None)
        _multiply_packed(weight.new_zeros(1, weight.shape[1]), packed, None)
    except (AttributeError, RuntimeError, NotImplementedError):
        return None
    return packed


def _multiply_packed(inputs: Tensor, packed: Tensor, bias: Tensor | None) -> Tensor:
    product: Tensor = torch.ops.mkldnn._linear_pointwise(inputs, packed, bias, "none", [], "")
    return product


def multiply(left: Tensor, right: Tensor, product: Tensor) -> None:
    """Batches of small products, [n, a, b] by [n, b, c], written into `product`; the last axes may be turned."""
    if numpy_is_ours():
        np.matmul(left.numpy(), right.numpy(), product.numpy())
    else:
        torch.bmm(left, right, out=product)


@functools.cache
def _openblas() -> tuple[Callable[[], int], Callable[[int], object]] | None:
    """Reads and sets the threads of NumPy's own OpenBLAS; None where NumPy has another BLAS, or hides it."""
    for folder in (Path(np.__file__).parent.parent / "numpy.libs", Path(np.__file__).parent / ".dylibs"):
        for path in sorted(folder.glob("*openblas*")):
            try:
                library = ctypes.CDLL(str(path))
            except OSError:
                continue
            for ending in ("64_", ""):
                names = [f"scipy_openblas_{verb}_num_threads{ending}" for verb in ("get", "set")]
                if all(hasattr(library, name) for name in names):
                    read, write = (getattr(library, name) for name in names)
                    read.argtypes, read.restype = [], ctypes.c_int
                    write.argtypes, write.restype = [ctypes.c_int], None
                    return read, write
    return None


@functools.cache
def numpy_is_ours() -> bool:
    """Whether NumPy multiplies here: only if it can be told how many threads to use."""
    return _openblas() is not None


@contextmanager
def threads(count: int) -> Iterator[None]:
    """NumPy's products on `count` threads, and as many as before when it ends. They are the whole process's."""
    found = _openblas()
    if found is None:
        yield
        return
    read, write = found
    before = read()
    write(count)
    try:
        yield
    finally:
        write(before)
