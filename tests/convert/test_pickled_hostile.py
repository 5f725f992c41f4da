"""Files that are made to run code, to fill the memory or to be read in two ways: refused fast and in little memory."""

from __future__ import annotations

import ast
import os
import struct
import subprocess
import sys
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from convert.pickles import (
    FORMATS,
    NOTHING,
    P,
    archive,
    ask_here,
    entries,
    legacy,
    refused,
    save,
    spent,
    stored,
    tensor,
    text,
)
from heedful.convert import opcodes, pickled
from heedful.convert.weights import Weights

MARK = b"X\x06\x00\x00\x00canary\x85"


@pytest.mark.parametrize(
    ("pickle", "named"),
    [
        (b"cos\nsystem\n" + MARK + b"R.", "os.system"),
        (b"cposix\nsystem\n" + MARK + b"R.", "posix.system"),
        (text("os") + text("system") + b"\x93" + MARK + b"R.", "os.system"),
        (b"(" + text("touch canary") + b"ios\nsystem\n.", "os.system"),
        (b"(cos\nsystem\n" + text("touch canary") + b"o.", "os.system"),
        (b"csubprocess\nPopen\n" + MARK + b"\x81.", "subprocess.Popen"),
        (b"csubprocess\nPopen\n" + MARK + b"}\x92.", "subprocess.Popen"),
        (b"c__builtin__\neval\n" + MARK + b"R.", "__builtin__.eval"),
        (b"cbuiltins\ngetattr\ncos\npath\n" + text("join") + b"\x86R.", "os.path"),
        (b"cbuiltins\ngetattr\ncargparse\nNamespace\n" + text("__init__") + b"\x86R.", "builtins.getattr"),
        (b"cbuiltins\ngetattr\ncargparse\nNamespace\n)\x81" + text("__class__") + b"\x86R.", "builtins.getattr"),
        (b"ctorch\nhub\n.", "torch.hub"),
        (b"ctorch.storage\n_load_from_bytes\n" + MARK + b"R.", "torch.storage._load_from_bytes"),
        (b"ctorch._utils\n_rebuild_sparse_tensor\n)R.", "torch._utils._rebuild_sparse_tensor"),
        (b"c__main__\nNet\n)\x81}b.", "__main__.Net"),
        (b"ctorch\nfloat32\n)R.", "torch.float32"),
        (b"ctorch\nFloatStorage\n)R.", "torch.FloatStorage"),
        (b"carg\\x70arse\nN\nR.", "argparse.N"),
        (b"ccollections\nOrderedDict\n)\x81.", "damaged"),
        (b"\x82\x01.", "EXT1"),
        (b"\x83\x01\x00.", "EXT2"),
        (b"\x84\x01\x00\x00\x00.", "EXT4"),
        (b"Pmodule\n.", "PERSID"),
        (text("module") + b"\x85Q.", "other than a storage"),
        (b"(" + text("module") + b"N" * 4 + b"tQ.", "other than a storage"),
        (b"N}b.", "state of what has none"),
        (b"cargparse\nNamespace\n}b.", "state of what has none"),
        (tensor() + text("x") + b"b.", "state of what has none"),
        (b"}cos\nsystem\nb.", "os.system"),
        (b"I1\n.", "INT"),
        (b"0.", "POP"),
        (b"2.", "DUP"),
        (b"\x97.", "NEXT_BUFFER"),
        (b"\x96" + bytes(8) + b".", "BYTEARRAY8"),
    ],
)  # fmt: skip
@FORMATS
def test_code_is_refused_by_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, zipped: bool, pickle: bytes, named: str
) -> None:
    """Where the object is pickled, and in the zip also as the value of an entry beside weights."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(pickled, "ask", ask_here)
    if zipped:
        path = archive(tmp_path / "a.bin", P + pickle)
        beside = P + b"}(" + text("model") + b"}" + text("a") + tensor() + b"s" + text("x") + pickle[:-1] + b"u."
        refused(archive(tmp_path / "b.bin", beside))
    else:
        path = tmp_path / "a.bin"
        path.write_bytes(legacy(P + pickle, [], b""))
    assert named in refused(path)
    assert not (tmp_path / "canary").exists()


@FORMATS
def test_code_is_refused_by_the_child_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, zipped: bool) -> None:
    class Code:
        def __reduce__(self) -> tuple[object, ...]:
            return os.system, ("touch canary",)

    monkeypatch.chdir(tmp_path)
    path = save({"a": torch.ones(2), "b": Code()}, tmp_path / "a.bin", zipped)
    assert "asks for posix.system, so this file runs code when other tools open it" in refused(path)
    assert not (tmp_path / "canary").exists()


def test_the_child_can_do_nothing_but_read() -> None:
    """It imports what it needs to read and to answer, and names nothing that imports, calls or builds by name."""
    module = ast.parse(Path(opcodes.__file__).read_text("utf-8"))
    imported, named = set(), set()
    for node in ast.walk(module):
        if isinstance(node, ast.Import):
            imported |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            imported.add(node.module)
        elif isinstance(node, (ast.Name, ast.Attribute)):
            named.add(node.id if isinstance(node, ast.Name) else node.attr)
    assert imported == {"__future__", "collections.abc", "gc", "io", "json", "pickletools", "resource", "sys"}
    assert not named & {"getattr", "setattr", "__import__", "import_module", "globals", "loads", "load", "Unpickler",
                        "find_class", "compile", "open", "modules", "pickle"}  # fmt: skip


# -- bombs

MEASURED = """
import runpy, sys
path = sys.argv.pop(1)
runpy.run_path(path, run_name="__main__")
with open("/proc/self/status") as told:
    print(next(line.split()[1] for line in told if line.startswith("VmHWM")), file=sys.stderr)
"""


@pytest.fixture
def peak(monkeypatch: pytest.MonkeyPatch) -> Callable[[], int]:
    """The most memory that child processes had, in bytes, after they are done."""
    seen = [0]

    def ask(form: str, data: bytes) -> bytes:
        command = [sys.executable, "-I", "-S", "-c", MEASURED, opcodes.__file__, form]
        done = subprocess.run(command, input=data, capture_output=True, timeout=20, check=True)
        seen.append(int(done.stderr) << 10)
        return done.stdout

    monkeypatch.setattr(pickled, "ask", ask)
    return lambda: max(seen)


MANY, FEW = opcodes.MOST_OPCODES + 1000, opcodes.MOST_OPCODES - 1000
LONG = 15 << 20  # bytes, near the most that are read
BOMBS = {
    "two of the one before": (lambda: b"K\x00" + b"q\x00h\x00\x86" * (FEW // 3) + b".", "no dict of tensors"),
    "deeper than allowed": (lambda: b")" + b"\x85" * MANY + b".", "more than 500,000 instructions"),
    "deep key": (lambda: b"})" + b"\x85" * FEW + b"K\x01s.", "no dict of tensors"),
    "deep reference": (lambda: b"(" + b")" + b"\x85" * FEW + b"NNNNtQ.", "other than a storage"),
    "one list for many dicts": (
        lambda: (
            b"ccollections\nOrderedDict\n]("
            + b"".join(b"]" + b"(" + short(str(n)) + b"Ne" for n in range(50_000))
            + b"e\x85q\x01R"
            + b"ccollections\nOrderedDict\nh\x01R" * 10_000
            + b"."
        ),
        "more than 500,000 instructions",
    ),
    "marks": (lambda: b"(" * MANY, "more than 500,000 instructions"),
    "dicts kept": (lambda: b"}\x94" * MANY, "more than 500,000 instructions"),
    "long": (lambda: b"]" + b"(K\x01e" * (5 << 20) + b".", "has 20,971,524 bytes; at most 16,777,216"),
    "appends": (lambda: b"]" + b"(K\x01e" * MANY + b".", "more than 500,000 instructions"),
    "letters": (lambda: b"](" + b"".join(short(chr(0x4E00 + n % 20000)) for n in range(FEW)) + b"e.", "no dict"),
    "wide letters": (lambda: b"X" + struct.pack("<I", LONG) + "😀".encode() + b"a" * (LONG - 4) + b".", "no dict"),
    "keys that collide": (lambda: b"}(" + b"".join(colliding(n) + b"N" for n in range(FEW // 2)) + b"u.", "no dict"),
    "memo far apart": (lambda: b"K\x01" + b"".join(b"r" + spread(n) for n in range(FEW)) + b".", "no dict"),
    "number of 2 GB": (lambda: b"\x8b\xff\xff\xff\x7f" + bytes(100), "long4"),
    "number of 15 MB": (lambda: b"\x8b" + struct.pack("<i", LONG) + bytes(LONG) + b".", "LONG4"),
    "number in digits": (lambda: b"L" + b"1" * LONG + b"L\n.", "damaged"),
    "text of 2**60": (lambda: b"\x8d" + struct.pack("<Q", 2**60) + b"a", "unicodestring8"),
    "text of 2**32": (lambda: b"X\xff\xff\xff\xffa", "unicodestring4"),
    "bytes of 2**60": (lambda: b"\x8e" + struct.pack("<Q", 2**60) + b"a", "bytes8"),
    "no end of line": (lambda: b"c" + b"a" * LONG, "damaged"),
    "frame of 2**62": (lambda: b"\x95" + struct.pack("<Q", 2**62) + b"N.", "no dict|damaged"),
    "names": (lambda: entries(*((f"n{n}", b"N") for n in range(30_000)), ("a", tensor()))[2:], "holds 30,001 tensors"),
}


def short(value: str) -> bytes:
    return b"\x8c" + bytes([len(value.encode())]) + value.encode()


def colliding(which: int) -> bytes:
    """A whole number with the hash 0."""
    return b"\x8a\x0b" + (which * (2**61 - 1)).to_bytes(11, "little")


def spread(which: int) -> bytes:
    """Numbers that differ in their upper bits first."""
    return struct.pack("<I", (which << 20 | which >> 12) & 2**32 - 1)


@pytest.mark.parametrize("name", BOMBS)
@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="reads memory from /proc")
def test_bombs_are_refused_in_2_seconds_and_200_mb(tmp_path: Path, peak: Callable[[], int], name: str) -> None:
    made, why = BOMBS[name]
    path = archive(tmp_path / "a.bin", P + made())
    before = spent()
    refused(path, why)
    assert spent() - before < 2
    assert peak() < 200 << 20


def test_the_child_is_stopped_at_its_limits(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = save({"a": torch.ones(2)}, tmp_path / "a.bin", True)
    begin = f"import runpy\nown = runpy.run_path({opcodes.__file__!r})\nlimit = own['_limit']\n"
    child = tmp_path / "child.py"
    monkeypatch.setattr(opcodes, "__file__", str(child))
    for what in ("limit(); bytearray(1 << 30)", "limit.__globals__['SECONDS'] = 1; limit()\nwhile True: pass",
                 "print('{')", "print('{\"tensors\": 3}')"):  # fmt: skip
        child.write_text(begin + what)
        refused(path, "cannot be read within the limits")
    monkeypatch.setattr(pickled, "TIMEOUT", 0.3)
    child.write_text("import time\ntime.sleep(60)")
    refused(path, "cannot be read within the limits")


# -- archives that are not what they seem


def test_compressed_entries_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "a.bin"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as made:
        made.writestr("archive/data.pkl", entries(("a", tensor(size=1 << 23))))
        made.writestr("archive/data/0", bytes(1 << 25))
    assert path.stat().st_size < 1 << 20
    before = spent()
    refused(path, "is compressed")
    assert spent() - before < 2


def patched(path: Path, old: bytes, new: bytes, which: int = 0) -> Path:
    """The file with one of the places that hold `old` changed."""
    data, at = path.read_bytes(), -1
    for _ in range(which + 1):
        at = data.index(old, at + 1)
    path.write_bytes(data[:at] + new + data[at + len(old) :])
    return path


def test_entries_that_lie_one_over_the_other_are_refused(tmp_path: Path) -> None:
    """As in David Fifield's bombs: many entries of the directory share the bytes of one."""
    path = stored(tmp_path / "a.bin")
    with zipfile.ZipFile(path) as made:
        first, second = made.infolist()[:2]
    central = path.read_bytes().index(b"PK\1\2")
    assert struct.unpack_from("<L", path.read_bytes(), central + 42)[0] == first.header_offset == 0
    data = bytearray(path.read_bytes())
    behind = data.index(b"PK\1\2", central + 4)
    struct.pack_into("<L", data, behind + 42, 0)
    path.write_bytes(data)
    refused(path, "two things about its entry")
    data[behind : behind + 46 + len(second.filename)] = data[central : central + 46 + len(second.filename)]
    path.write_bytes(data)
    refused(path, "two entries of one name|damaged|two things")


def quoted(path: Path) -> Path:
    """The second entry begins inside the data of the first, each with a header of its own."""
    inner = b"archive/data/0"
    body = struct.pack("<4s5H3L2H", b"PK\3\4", 20, 0, 0, 0, 0, 0, 24, 24, len(inner), 0) + inner + NOTHING
    first = b"archive/data.pkl"
    outer = struct.pack("<4s5H3L2H", b"PK\3\4", 20, 0, 0, 0, 0, 0, len(body), len(body), len(first), 0) + first
    places = [(first, len(body), 0), (inner, 24, len(outer))]
    central = b"".join(
        struct.pack("<4s6H3L5H2L", b"PK\1\2", 20, 20, 0, 0, 0, 0, 0, size, size, len(name), 0, 0, 0, 0, 0, at) + name
        for name, size, at in places
    )
    end = struct.pack("<4s4H2LH", b"PK\5\6", 0, 0, 2, 2, len(central), len(outer) + len(body), 0)
    path.write_bytes(outer + body + central + end)
    return path


def test_quoted_entries_are_refused(tmp_path: Path) -> None:
    refused(quoted(tmp_path / "a.bin"), "one over the other")


@pytest.mark.parametrize(
    ("change", "why"),
    [
        (lambda path: patched(path, b"archive/data/0", b"archive/data/1"), "two things about its entry"),
        (lambda path: patched(path, b"archive/data/0", b"archive/data/1", 1), "two things about its entry"),
        (lambda path: patched(path, b"PK\3\4", b"PK\3\5", 1), "two things about its entry"),
        (lambda path: patched(path, b"PK\1\2", b"PK\1\3"), "damaged in its directory"),
        (lambda path: patched(path, b"PK\5\6", b"PK\5\7"), "cut off or has something appended"),
        (lambda path: path.write_bytes(path.read_bytes()[:-1]), "cut off or has something appended"),
        (lambda path: path.write_bytes(path.read_bytes() + b"x"), "cut off or has something appended"),
        (lambda path: path.write_bytes(b"PK\3\4" + path.read_bytes()), "before or after its directory"),
        (lambda path: path.write_bytes(b"PK\3\4"), "cut off or damaged"),
        (lambda path: patched(path, b"little", b"bigbig"), "big-endian"),
        (lambda path: patched(path, b"}(", b"}X"), "the checksum differs"),
    ],
)  # fmt: skip
def test_an_archive_that_says_two_things_is_refused(tmp_path: Path, change: Callable[[Path], object], why: str) -> None:
    path = stored(tmp_path / "a.bin")
    assert Weights.open(path)["a"].tolist() == [[0] * 3] * 2
    change(path)
    refused(path, why)


@pytest.mark.parametrize("name", ["../data.pkl", "/etc/x", "a/../b", "a\\b", "a\nb", "\u202ea", "a" * 501])
def test_hostile_names_of_entries_are_refused(tmp_path: Path, name: str) -> None:
    info = zipfile.ZipInfo("x")
    info.filename = name
    path = tmp_path / "a.bin"
    with zipfile.ZipFile(path, "w") as made:
        made.writestr("archive/data.pkl", entries(("a", tensor())))
        made.writestr("archive/data/0", NOTHING)
        made.writestr(info, b"")
    refused(path, "a name that is none")


@pytest.mark.filterwarnings("ignore:Duplicate name")
def test_two_entries_of_one_name_are_refused(tmp_path: Path) -> None:
    path = stored(tmp_path / "a.bin")
    with zipfile.ZipFile(path, "a") as made:
        made.writestr("archive/data/0", NOTHING)
    refused(path, "two entries of one name")


def test_an_encrypted_entry_is_refused(tmp_path: Path) -> None:
    path = stored(tmp_path / "a.bin")
    data = bytearray(path.read_bytes())
    for at in (data.index(b"PK\3\4") + 6, data.index(b"PK\1\2") + 8):
        data[at] |= 1
    path.write_bytes(data)
    refused(path, "encrypted")


def test_numbers_of_64_bits(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What archives over 4 GB have, as zipfile writes it where it is told that 20 bytes are too many for 32 bits."""
    monkeypatch.setattr(zipfile, "ZIP64_LIMIT", 20)
    path = stored(tmp_path / "a.bin")
    assert b"PK\6\6" in path.read_bytes()
    assert Weights.open(path)["a"].tolist() == [[0] * 3] * 2
    refused(patched(path, b"PK\6\6", b"PK\6\5"), "damaged at its end")


@pytest.mark.parametrize(
    "data", [b"", b"x", b"PK\5\6" + bytes(18), b"\x1f\x8b" + bytes(30), b"\x80", b"\x80\x02.", b"\x93NUMPY" + bytes(99)]
)  # fmt: skip
def test_what_is_no_checkpoint_is_refused(tmp_path: Path, data: bytes) -> None:
    (tmp_path / "a.bin").write_bytes(data)
    refused(tmp_path / "a.bin", "not a file of torch.save|damaged")


def test_other_archives_are_refused(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "a.pt", "w") as made:
        made.writestr("model/weights.bin", bytes(10))
    refused(tmp_path / "a.pt", "no data.pkl")
