"""A graph of ONNX nodes in the making: values by name, each weight once, large ones in a file beside it.

The standard is that of opset 20: the oldest that has Gelu in both forms and LayerNormalization, so that every
onnxruntime since 1.17 runs what is written. Nodes of later opsets (Attention, RMSNormalization: 23) are no faster.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import xxhash

from ...errors import UserError
from ...model.plan import Norm, Plan
from ..weights import Weights

OPSET, IR_VERSION = 20, 9
PAGE = 4096  # a runtime maps weights of a file into memory from such places on
Array = npt.NDArray[Any]


def library() -> Any:
    """The package onnx."""
    try:
        import onnx
    except ImportError:
        raise UserError("writing ONNX needs the package onnx: pip install 'heedful[exchange]'") from None
    return onnx


class Parameters:
    """The parameters of a model's folder, read one at a time by any of their names."""

    def __init__(self, folder: Path, plan: Plan, digest: object) -> None:
        path, self.shapes = folder / "model.safetensors", plan.shapes()
        self.ties = [(tie.share, tie.keep) for tie in plan.ties]
        self.weights = Weights.open(path)
        for name in {**self.shapes, **dict.fromkeys(self.weights)}:
            held = self.weights.shape(name) if name in self.weights else None
            if held != self.shapes.get(name):
                raise UserError(f"{path}: {name!r} has shape {held}; the plan says {self.shapes.get(name)}")
        state = xxhash.xxh3_128()
        with path.open("rb") as file:
            while block := file.read(1 << 20):
                state.update(block)
        if state.hexdigest() != digest:
            raise UserError(f"{path}: damaged: its hash is {state.hexdigest()}, config.json says {digest}")

    def kept(self, name: str) -> str:
        """The name under which the file holds a parameter that may be tied to another."""
        while name not in self.shapes:
            share, keep = next(tie for tie in self.ties if name == tie[0] or name.startswith(tie[0] + "."))
            name = keep + name[len(share) :]
        return name

    def read(self, name: str) -> Array:
        """The values, in fp32."""
        return self.weights[name].float().numpy()

    @property
    def size(self) -> int:
        """Bytes of all of them in fp32."""
        return sum(4 * math.prod(shape) for shape in self.shapes.values())


class Graph:
    """`at` is put before the names of nodes that are added. Weights go to `data` where it is given."""

    def __init__(self, parameters: Parameters, data: Path | None = None) -> None:
        self.onnx = library()
        self.parameters, self.data, self.at = parameters, data, ""
        self.model = self.onnx.ModelProto(ir_version=IR_VERSION, producer_name="heedful")
        self.model.opset_import.add(domain="", version=OPSET)
        self.graph = self.model.graph
        self.graph.name = "heedful"
        self._constants: dict[tuple[str, tuple[int, ...], bytes], str] = {}
        self._outputs: dict[str, str] = {}  # names of values that are given out
        self._turned: dict[str, bool] = {}  # weights that are there, and whether turned

    # ---- values ---------------------------------------------------------------------------------------------------

    def input(self, name: str, kind: str, *shape: int | str) -> str:
        """An input of type "int64" or "float32"."""
        self._declare(self.graph.input, name, kind, shape)
        return name

    def output(self, name: str, value: str, *shape: int | str) -> None:
        """Gives a value, of type float32, out under a name: it has no other from then on (one more would be a copy)."""
        self._declare(self.graph.output, name, "float32", shape)
        if value in self._outputs:
            self.graph.node.append(self.onnx.helper.make_node("Identity", [self._outputs[value]], [name], name=name))
            return
        self._outputs[value] = name
        for node in self.graph.node:
            for names in (node.input, node.output):
                for place, one in enumerate(names):
                    if one == value:
                        names[place] = name

    def _declare(self, where: Any, name: str, kind: str, shape: tuple[int | str, ...]) -> None:
        if name in (one.name for one in (*self.graph.input, *self.graph.output)):
            raise UserError(f"an ONNX graph cannot have two inputs or outputs called {name!r}: rename the plan's head")
        where.append(self.onnx.helper.make_tensor_value_info(name, self._number(kind), shape))

    def _number(self, kind: Any) -> int:
        """What ONNX calls a type."""
        return self.onnx.helper.np_dtype_to_tensor_dtype(np.dtype(kind))  # type: ignore[no-any-return]

    def op(self, kind: str, *inputs: str, **attributes: Any) -> str:
        """A node with one output."""
        name = f"{self.at}/{kind}.{len(self.graph.node)}"
        inputs = tuple(self._outputs.get(one, one) for one in inputs)
        self.graph.node.append(self.onnx.helper.make_node(kind, inputs, [name], name=name, **attributes))
        return name

    def constant(self, value: Any, kind: Any = np.float32) -> str:
        """A small array, the same one once."""
        array = np.asarray(value, kind)
        key = (array.dtype.str, array.shape, array.tobytes())
        if key not in self._constants:
            self._constants[key] = f"constant.{len(self._constants)}"
            self.graph.initializer.append(self.onnx.numpy_helper.from_array(array, self._constants[key]))
        return self._constants[key]

    def ints(self, *values: int) -> str:
        """A list of whole numbers."""
        return self.constant(values, np.int64)

    def cast(self, value: str, kind: type) -> str:
        return self.op("Cast", value, to=self._number(kind))

    def weight(self, name: str, turned: bool = False) -> str:
        """A parameter; `turned`, a matrix [inputs, outputs]: so it lies in the file, unless it is read both ways."""
        kept = self.parameters.kept(name)
        if kept not in self._turned:
            array = self.parameters.read(kept)
            self._add(kept, np.ascontiguousarray(array.T) if turned else array)
            self._turned[kept] = turned
        return kept if self._turned[kept] == turned else self.op("Transpose", kept, perm=[1, 0])

    def _add(self, name: str, array: Array) -> None:
        tensor = self.graph.initializer.add(name=name, dims=array.shape, data_type=self._number(np.float32))
        little = array.astype("<f4", copy=False)
        if self.data is None:
            tensor.raw_data = little.tobytes()
            return
        with self.data.open("ab") as file:
            file.write(bytes(-file.tell() % PAGE))
            place = {"location": self.data.name, "offset": file.tell(), "length": little.nbytes}
            file.write(little.data)
        tensor.data_location = self.onnx.TensorProto.EXTERNAL
        for key, value in place.items():
            tensor.external_data.add(key=key, value=str(value))

    # ---- layers ---------------------------------------------------------------------------------------------------

    def linear(self, address: str, value: str, bias: bool) -> str:
        """value @ weight.T + bias."""
        product = self.op("MatMul", value, self.weight(f"{address}.weight", turned=True))
        return self.op("Add", product, self.weight(f"{address}.bias")) if bias else product

    def norm(self, address: str, norm: Norm | None, value: str) -> str:
        """Normalised over the last axis."""
        if norm is None:
            return value
        weight = self.weight(f"{address}.weight")
        if norm.kind == "layer":
            return self.op(
                "LayerNormalization", value, weight, self.weight(f"{address}.bias"), axis=-1, epsilon=norm.eps
            )
        if norm.kind != "rms":
            raise refusal(f"{address}: kind", norm.kind)
        mean = self.op("ReduceMean", self.op("Mul", value, value), self.ints(-1), keepdims=1)
        root = self.op("Sqrt", self.op("Add", mean, self.constant(norm.eps)))
        return self.op("Mul", self.op("Div", value, root), weight)

    def activation(self, name: str, value: str) -> str:
        """One of `plan.Activation`."""
        match name:
            case "none":
                return value
            case "relu" | "tanh":
                return self.op(name.capitalize(), value)
            case "gelu" | "gelu_tanh":
                return self.op("Gelu", value, approximate="tanh" if name == "gelu_tanh" else "none")
            case "gelu_quick":
                return self.op("Mul", value, self.op("Sigmoid", self.op("Mul", value, self.constant(1.702))))
            case "silu":
                return self.op("Mul", value, self.op("Sigmoid", value))
        raise refusal(f"{self.at}: activation", name)

    # ---- the file -------------------------------------------------------------------------------------------------

    def save(self, path: Path) -> None:
        """The graph, checked by the library."""
        path.write_bytes(self.model.SerializeToString())
        self.onnx.checker.check_model(str(path))

    def signature(self) -> Mapping[str, Mapping[str, Any]]:
        """Inputs and outputs: name -> [type, *shape]."""
        return {"inputs": _told(self.graph.input), "outputs": _told(self.graph.output)}


def _told(values: Collection[Any]) -> dict[str, list[Any]]:
    names = {1: "float32", 7: "int64"}
    return {
        one.name: [names[one.type.tensor_type.elem_type]]
        + [axis.dim_param or axis.dim_value for axis in one.type.tensor_type.shape.dim]
        for one in values
    }


def refusal(what: str, value: object) -> UserError:
    """For a value of a plan that has no form in ONNX here."""
    return UserError(f"{what} = {value!r} cannot be written as ONNX")
