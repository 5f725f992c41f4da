"""Linear layers of a decoding step: the same product by the kernel that is fastest for few rows.

A step multiplies few rows by large weights, which F.linear was not made for: on the processors measured it reaches a
half of what the memory gives. The weights are kept a second time, turned ([inputs, outputs]), for torch's BLAS or
NumPy's, or in oneDNN's own order; which one is the probe's choice (`Choices.step`).
"""

from __future__ import annotations

import ctypes
import functools
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from .hardware import Kind

KINDS: tuple[Kind, ...] = ("torch", "numpy", "packed")
Action = Callable[[], object]


class Linear:
    """`inputs @ weight.t() + bias`, written into a given place; the weight is copied. Has no gradient.

    `kind` is the kernel asked for, or "torch" where this one is not to be had.
    """

    def __init__(self, weight: Tensor, bias: Tensor | None, kind: Kind) -> None:
        self.inputs, self.outputs = weight.shape[1], weight.shape[0]
        self.weight = weight.detach()
        self.bias = None if bias is None or not bool(bias.any()) else bias.detach()
        self.packed = _pack(self.weight) if kind == "packed" else None
        lacking = self.packed is None if kind == "packed" else kind == "numpy" and not numpy_is_ours()
        self.kind: Kind = "torch" if lacking else kind
        self.turned = self.weight.t().contiguous() if self.packed is None else self.weight.t()

    def into(self, inputs: Tensor, outputs: Tensor) -> Action:
        """The product as an action: from `inputs` [rows, inputs] into `outputs` [rows, outputs], both contiguous."""
        if self.packed is not None:
            packed = self.packed
            return lambda: outputs.copy_(_multiply_packed(inputs, packed, self.bias))
        turned, bias = self.turned, self.bias
        # A long sum is better read along its weight's own rows if there is one row of inputs.
        if inputs.shape[0] == 1 and self.inputs > 2 * self.outputs:
            turned = self.weight.t()
        if self.kind == "torch":
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
    """The weight in oneDNN's own order; None without the operators, private to torch, or if they refuse it."""
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
def _threads() -> Callable[[int], object] | None:
    """Sets the threads of NumPy's own OpenBLAS; None where NumPy has another BLAS, or hides it."""
    for folder in (Path(np.__file__).parent.parent / "numpy.libs", Path(np.__file__).parent / ".dylibs"):
        for path in sorted(folder.glob("*openblas*")):
            try:
                library = ctypes.CDLL(str(path))
            except OSError:
                continue
            for name in ("scipy_openblas_set_num_threads64_", "scipy_openblas_set_num_threads"):
                if hasattr(library, name):
                    function = getattr(library, name)
                    function.argtypes, function.restype = [ctypes.c_int], None
                    return function  # type: ignore[no-any-return]
    return None


@functools.cache
def numpy_is_ours() -> bool:
    """Whether NumPy multiplies here: only if it can be told to use as many threads as torch."""
    return _threads() is not None


def share_threads() -> None:
    """Give NumPy's products as many threads as torch's."""
    setter = _threads()
    if setter is not None:
        setter(torch.get_num_threads())
