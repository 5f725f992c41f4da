"""The opcodes of a pickle read as inert data: nothing is imported, called or built, whatever the pickle asks for.

`pickled` runs this file by itself, in a child process with limits and the standard library only:

    python -I -S opcodes.py zip|legacy < PICKLE        one JSON object on standard output

The values on the stack are numbers, text, tuples, lists, dicts, the tensors and storages below as they are told of, and
`OPAQUE` for everything that is read past. Tuples and lists are never hashed, compared or printed: those recurse.
"""

from __future__ import annotations

import gc
import io
import json
import pickletools
import sys
from collections.abc import Callable

MOST_BYTES = 16 << 20  # of pickle; 1,000 tensors are about 100 kB
MOST_OPCODES = 500_000  # half a second; 1,000 tensors are about 40,000
MOST_TENSORS = 20_000
MOST_DIMENSIONS = 8
LONGEST_NAME = 500
MEMORY = 192 << 20  # bytes of the child process
SECONDS = 5  # of its processor time

# The type of a storage, and of a tensor in an untyped storage, as safetensors calls it.
STORAGES = {
    "DoubleStorage": "F64", "FloatStorage": "F32", "HalfStorage": "F16", "BFloat16Storage": "BF16",
    "LongStorage": "I64", "IntStorage": "I32", "ShortStorage": "I16", "CharStorage": "I8", "ByteStorage": "U8",
    "BoolStorage": "BOOL", "ComplexFloatStorage": "C64",
    "storage.UntypedStorage": "", "storage._UntypedStorage": "",
}  # fmt: skip
DTYPES = {
    "float64": "F64", "float32": "F32", "float16": "F16", "bfloat16": "BF16",
    "int64": "I64", "int32": "I32", "int16": "I16", "int8": "I8", "uint8": "U8", "bool": "BOOL", "complex64": "C64",
    "uint16": "U16", "uint32": "U32", "uint64": "U64",
    "float8_e4m3fn": "F8_E4M3", "float8_e5m2": "F8_E5M2", "float8_e8m0fnu": "F8_E8M0",
}  # fmt: skip
REBUILD = "torch._utils._rebuild_"
# Calls that give a tensor: the fewest arguments, and the most; then the last is metadata (conjugated, negated).
TENSORS = {f"{REBUILD}tensor": (4, 4), f"{REBUILD}tensor_v2": (6, 7), f"{REBUILD}tensor_v3": (7, 8)}
PARAMETERS = {f"{REBUILD}parameter", f"{REBUILD}parameter_with_state"}
DICTS = {"collections.OrderedDict", "collections.defaultdict", "builtins.dict", "__builtin__.dict"}

# What training archives keep beside the weights. Safe whatever these do elsewhere, because here they are names: objects
# of them are never built, their arguments and their state are dropped. The last four are the ViLBERT repository's.
INERT = {
    "argparse.Namespace", "collections.Counter", "builtins.set", "__builtin__.set", "_codecs.encode",
    "torch.Size", "torch.device", "numpy.dtype", "numpy.ndarray",
    "numpy.core.multiarray.scalar", "numpy._core.multiarray.scalar",
    "numpy.core.multiarray._reconstruct", "numpy._core.multiarray._reconstruct",
    "vilbert.utils.tbLogger", "vilbert.utils.MultiTaskStopOnPlateau", "functools.partial",
}  # fmt: skip
# Its stop controllers hold bound methods, which are pickled as getattr(controller, "_cmp"); no other is read past.
GETATTR, METHOD = {"builtins.getattr", "__builtin__.getattr"}, "_cmp"

WRAPPERS = ("model_state_dict", "state_dict", "model")

MAGIC, PROTOCOL = 0x1950A86A20F9469CFC6C, 1001  # what the format from before torch 1.6 begins with


class Refused(Exception):
    """What is wrong with a pickle and what to do: the end of an error message."""


class Name:
    """A global that the pickle asks for: one of NAMES, and no more than its name."""

    def __init__(self, text: str) -> None:
        self.text = text


KNOWN = (*TENSORS, *PARAMETERS, *DICTS, *INERT, *GETATTR, *(f"torch.{name}" for name in (*STORAGES, *DTYPES)))
NAMES = {text: Name(text) for text in KNOWN}


class Storage:
    """`size` counts elements of `dtype`; bytes where it is untyped ("")."""

    def __init__(self, number: int, key: str, dtype: str, size: int) -> None:
        self.number, self.key, self.dtype, self.size = number, key, dtype, size


class Tensor:
    """A view of a storage; `offset` and `stride` count elements."""

    def __init__(self, storage: Storage, dtype: str, offset: int, shape: list[int], stride: list[int]) -> None:
        self.storage, self.dtype, self.offset, self.shape, self.stride = storage, dtype, offset, shape, stride


OPAQUE = object()  # in the place of an object that is read past


class Machine:
    """The stack, the memo and the storages seen while pickles of one file are walked."""

    def __init__(self) -> None:
        self.stack: list[object] = []
        self.below: list[list[object]] = []  # the stacks under each open mark
        self.memo: dict[int, object] = {}
        self.storages: dict[str, Storage] = {}
        self.opcodes = 0

    def run(self, file: io.BytesIO) -> object:
        """The value of the pickle that begins here; the file is left behind its end."""
        self.stack, self.below, self.memo = [], [], {}
        try:
            for opcode, argument, _ in pickletools.genops(file):
                self.opcodes += 1
                if self.opcodes > MOST_OPCODES:
                    raise Refused(f"its pickle has more than {MOST_OPCODES:,} instructions; no weights need so many")
                act = ACTS.get(opcode.name)
                if act is None:
                    raise Refused(f"its pickle has the instruction {opcode.name}, which weights do not need")
                act(self, argument)
        except (ValueError, IndexError, KeyError) as error:
            raise Refused(f"its pickle is damaged ({shown(str(error))}); copy or download the file again") from None
        if len(self.stack) != 1 or self.below:
            raise Refused("its pickle is damaged (values are left over); copy or download the file again")
        return self.stack.pop()

    def marked(self) -> list[object]:
        """Everything above the last mark, which goes."""
        items, self.stack = self.stack, self.below.pop()
        return items


def shown(text: str) -> str:
    """Text of the file on one line of plain letters, not too long."""
    return ascii(text[:120])[1:-1]


def is_name(name: str) -> bool:
    """Whether a tensor may be called so."""
    return name.isprintable() and 0 < len(name) <= LONGEST_NAME


def _damaged(what: str) -> Refused:
    return Refused(f"its pickle is damaged ({what}); copy or download the file again")


def _push(machine: Machine, argument: object) -> None:
    machine.stack.append(argument)


def _mark(machine: Machine, _: object) -> None:
    machine.below.append(machine.stack)
    machine.stack = []


def _tuple(count: int) -> Callable[[Machine, object], None]:
    def act(machine: Machine, _: object) -> None:
        if len(machine.stack) < count:
            raise IndexError("too few values for a tuple")
        machine.stack[-count:] = [tuple(machine.stack[-count:])]

    return act


def _memoize(machine: Machine, argument: int | None) -> None:
    machine.memo[len(machine.memo) if argument is None else argument] = machine.stack[-1]


def _append(machine: Machine, items: list[object]) -> None:
    target = machine.stack[-1]
    if isinstance(target, list):
        target.extend(items)
    elif target is not OPAQUE:
        raise _damaged("it appends to what is no list")


def _set(machine: Machine, items: list[object]) -> None:
    target = machine.stack[-1]
    if isinstance(target, dict):
        _fill(target, items[::2], items[1::2])
    elif target is not OPAQUE:
        raise _damaged("it sets entries of what is no dict")


def _fill(target: dict[object, object], keys: list[object], values: list[object]) -> None:
    if len(keys) != len(values):
        raise _damaged("a key without a value")
    for key, value in zip(keys, values, strict=True):
        # Hashing a tuple recurses, and large numbers can be chosen to collide: no weights are under such keys.
        if isinstance(key, str) or (type(key) is int and abs(key) < 2**31):
            if key in target:
                raise Refused(f"it holds '{shown(str(key))}' twice; copy or download the file again")
            target[key] = value


def _named(text: str) -> Name:
    if text in NAMES:
        return NAMES[text]
    if text.startswith(("torch._", "torch.storage", "torch.q")) or (text[:6] == "torch." and text.endswith("Storage")):
        raise Refused(f"asks for {shown(text)}, which heedful does not read; save plain tensors: model.state_dict()")
    raise Refused(
        f"asks for {shown(text)}, so this file runs code when other tools open it; get the model as safetensors, or, "
        "if you made it, save model.state_dict() alone"
    )


def _global(machine: Machine, argument: str) -> None:
    machine.stack.append(_named(argument.replace(" ", ".", 1)))


def _stack_global(machine: Machine, _: object) -> None:
    name, module = machine.stack.pop(), machine.stack.pop()
    if not isinstance(name, str) or not isinstance(module, str):
        raise _damaged("a name that is no text")
    machine.stack.append(_named(f"{module}.{name}"))


def _instance(machine: Machine, argument: str) -> None:
    raise Refused(f"its pickle builds {_named(argument.replace(' ', '.', 1)).text} by INST, which weights do not need")


def _reduce(machine: Machine, _: object) -> None:
    arguments, called = machine.stack.pop(), machine.stack.pop()
    if not isinstance(called, Name) or not isinstance(arguments, tuple):
        raise _damaged("it calls what is no name")
    machine.stack.append(_result(machine, called.text, arguments))


def _result(machine: Machine, name: str, arguments: tuple[object, ...]) -> object:
    if name in TENSORS:
        return _tensor(name, arguments)
    if name in PARAMETERS and arguments and isinstance(arguments[0], Tensor):
        return arguments[0]
    if name in DICTS:
        return _dict(machine, arguments)
    if name in INERT or (name in GETATTR and arguments == (OPAQUE, METHOD)):
        return OPAQUE
    raise Refused(f"calls {name} as no weights do; save model.state_dict() alone")


def _dict(machine: Machine, arguments: tuple[object, ...]) -> dict[object, object]:
    """Python 2 gives the entries of an OrderedDict as pairs, a defaultdict comes with what makes its values."""
    made: dict[object, object] = {}
    pairs = arguments[0] if len(arguments) == 1 and isinstance(arguments[0], list) else []
    machine.opcodes += len(pairs)  # one list may be given many times
    for pair in pairs:
        if not isinstance(pair, (list, tuple)) or len(pair) != 2:
            raise _damaged("an entry that is no pair")
        _fill(made, [pair[0]], [pair[1]])
    return made


def _new(machine: Machine, _: object) -> None:
    arguments, called = machine.stack.pop(), machine.stack.pop()
    if not isinstance(called, Name) or called.text not in INERT or not isinstance(arguments, tuple):
        raise _damaged("it makes an object of what is no class")
    machine.stack.append(OPAQUE)


def _build(machine: Machine, _: object) -> None:
    """The state is dropped: of a state dict it is the versions of its modules."""
    machine.stack.pop()
    target = machine.stack[-1]
    if not isinstance(target, dict) and target is not OPAQUE:
        raise _damaged("it sets the state of what has none")


def _persistent(machine: Machine, _: object) -> None:
    told = machine.stack.pop()
    if not isinstance(told, tuple) or len(told) not in (5, 6) or told[0] != "storage" or told[5:] not in ((), (None,)):
        raise Refused("it refers to something other than a storage; save model.state_dict() alone")
    _, kind, key, _, size = told[:5]
    if not isinstance(kind, Name) or kind.text.removeprefix("torch.") not in STORAGES or not isinstance(key, str):
        raise _damaged("a storage that is none")
    dtype = STORAGES[kind.text.removeprefix("torch.")]
    storage = machine.storages.setdefault(key, Storage(len(machine.storages), key, dtype, _counted([size])[0]))
    if (storage.dtype, storage.size) != (dtype, size):
        raise _damaged(f"storage {shown(key)} is told of in two ways")
    machine.stack.append(storage)


def _counted(numbers: object) -> list[int]:
    if not isinstance(numbers, (tuple, list)) or len(numbers) > MOST_DIMENSIONS:
        raise Refused(f"a tensor has no shape, or one of more than {MOST_DIMENSIONS} dimensions; it is not read")
    if not all(type(number) is int and 0 <= number < 2**63 for number in numbers):
        raise _damaged("a size that is no count")
    return list(numbers)


def _tensor(name: str, arguments: tuple[object, ...]) -> Tensor:
    fewest, most = TENSORS[name]
    if not fewest <= len(arguments) <= most or not isinstance(arguments[0], Storage):
        raise _damaged("a tensor that is none")
    storage, (offset,), shape, stride = arguments[0], _counted(arguments[1:2]), *map(_counted, arguments[2:4])
    if len(arguments) == most > 4 and arguments[-1]:
        raise Refused("a tensor is kept as conjugated or negated; save it again after .resolve_conj().resolve_neg()")
    dtype = storage.dtype
    if name == f"{REBUILD}tensor_v3":
        given = arguments[6]
        dtype = DTYPES.get(given.text.removeprefix("torch."), "") if isinstance(given, Name) else ""
    if not dtype or len(shape) != len(stride):
        raise _damaged("a tensor without a type, or whose shape and stride differ in length")
    return Tensor(storage, dtype, offset, shape, stride)


ACTS: dict[str, Callable[[Machine, object], None]] = {
    **dict.fromkeys(("PROTO", "FRAME", "STOP"), lambda machine, _: None),
    **dict.fromkeys(("BININT", "BININT1", "BININT2", "LONG1", "BINFLOAT", "BINUNICODE", "SHORT_BINUNICODE"), _push),
    **dict.fromkeys(("BINSTRING", "SHORT_BINSTRING"),  # bytes of Python 2, as a rule text
                    lambda machine, told: _push(machine, told if told.isascii() else OPAQUE)),
    **dict.fromkeys(("BINBYTES", "SHORT_BINBYTES"), lambda machine, _: _push(machine, OPAQUE)),
    "NONE": lambda machine, _: _push(machine, None),
    "NEWTRUE": lambda machine, _: _push(machine, True),
    "NEWFALSE": lambda machine, _: _push(machine, False),
    "EMPTY_TUPLE": lambda machine, _: _push(machine, ()),
    "EMPTY_LIST": lambda machine, _: _push(machine, []),
    "EMPTY_DICT": lambda machine, _: _push(machine, {}),
    "MARK": _mark, "TUPLE1": _tuple(1), "TUPLE2": _tuple(2), "TUPLE3": _tuple(3),
    "TUPLE": lambda machine, _: _push(machine, tuple(machine.marked())),
    "APPEND": lambda machine, _: _append(machine, [machine.stack.pop()]),
    "APPENDS": lambda machine, _: _append(machine, machine.marked()),
    "SETITEM": lambda machine, _: _set(machine, [machine.stack.pop(), machine.stack.pop()][::-1]),
    "SETITEMS": lambda machine, _: _set(machine, machine.marked()),
    **dict.fromkeys(("BINPUT", "LONG_BINPUT", "MEMOIZE"), _memoize),
    **dict.fromkeys(("BINGET", "LONG_BINGET"), lambda machine, number: _push(machine, machine.memo[number])),
    "GLOBAL": _global, "STACK_GLOBAL": _stack_global, "INST": _instance, "REDUCE": _reduce, "NEWOBJ": _new,
    "BUILD": _build, "BINPERSID": _persistent,
}  # fmt: skip


def weights(value: object) -> dict[str, Tensor]:
    """The tensors by name in what a file holds: a state dict, or a training archive with one under a known key."""
    wrapped = [value.get(key) for key in WRAPPERS] if isinstance(value, dict) else []
    for found in (*wrapped, value):
        if isinstance(found, dict) and any(isinstance(one, Tensor) for one in found.values()):
            break
    else:
        raise Refused(f"it holds no dict of tensors, also not under {', '.join(WRAPPERS)}; save model.state_dict()")
    if len(found) > MOST_TENSORS:
        raise Refused(f"it holds {len(found):,} tensors; at most {MOST_TENSORS:,} are read")
    for name, tensor in found.items():
        if not isinstance(name, str) or not is_name(name):
            raise Refused(f"a tensor is called '{shown(str(name))}'; a name is text of 1 to {LONGEST_NAME} letters")
        if not isinstance(tensor, Tensor):
            raise Refused(f"'{shown(name)}' among its tensors is none; save model.state_dict() alone")
    return found


def answer(form: str, data: bytes) -> dict[str, object]:
    """What a pickle says: its storages, its tensors in them, and for a legacy file what follows the pickles.

    `data` is the whole pickle for the form "zip", the beginning of the file for "legacy". Raises Refused.
    """
    machine, file = Machine(), io.BytesIO(data)
    if form == "zip":
        value, order = machine.run(file), None
    else:
        if machine.run(file) != MAGIC or machine.run(file) != PROTOCOL:
            raise Refused("a pickle, but not one of torch.save; save model.state_dict() with torch.save")
        system = machine.run(file)
        if not isinstance(system, dict) or system.get("little_endian") is not True:
            raise Refused("written by a big-endian computer; save it again on a little-endian one")
        value, order = machine.run(file), machine.run(file)
        if not isinstance(order, list) or {type(key) for key in order} - {str} or len(set(order)) < len(order):
            raise _damaged("its list of storages")
        if set(order) != machine.storages.keys():
            raise _damaged("its list of storages names others than its tensors have")
    tensors = [
        [name, one.storage.number, one.dtype, one.offset, one.shape, one.stride]
        for name, one in weights(value).items()
    ]  # fmt: skip
    storages = [[one.key, one.dtype, one.size] for one in machine.storages.values()]
    ordered = order and [machine.storages[key].number for key in order]
    return {"storages": storages, "tensors": tensors, "order": ordered or [], "end": file.tell()}


def _limit() -> None:
    try:
        import resource
    except ImportError:  # Windows has the parent's clock only
        return
    for kind, most in ((resource.RLIMIT_AS, MEMORY), (resource.RLIMIT_CPU, SECONDS)):
        try:
            resource.setrlimit(kind, (most, most))
        except (ValueError, OSError):  # macOS does not limit addresses
            continue


def main() -> None:
    """Standard input to standard output."""
    _limit()
    gc.disable()  # what refers to itself lives as long as the process
    try:
        told = answer(sys.argv[1], sys.stdin.buffer.read(MOST_BYTES))
    except Refused as refused:
        told = {"refused": str(refused)}
    except MemoryError:
        told = {"refused": f"its pickle needs more than {MEMORY >> 20} MB to be read; no weights need so much"}
    sys.stdout.write(json.dumps(told))


if __name__ == "__main__":
    main()
