"""The rules of the house that a machine can check: what src may not contain, who imports whom, how long things get."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
SOURCE = ROOT / "src" / "heedful"
FILES = sorted(SOURCE.rglob("*.py"))
LONGEST_FILE, LONGEST_FUNCTION = 400, 60

# room: the rooms it may import. errors and config are open to everyone; the top row are the ways in.
ROOMS = {
    "model": set[str](),
    "text": {"model"},
    "data": {"text", "model"},
    "convert": {"data", "text", "model"},
    "decode": {"data", "text", "model"},
    "measure": set[str](),
    "inside": {"decode", "data", "text", "model"},
    "page": {"inside", "measure", "decode", "data", "text", "model"},
    "train": {"measure", "decode", "data", "text", "model"},
    "tasks": {"convert", "train", "inside", "page", "measure", "decode", "data", "text", "model"},
    "demo": {"tasks", "train", "inside", "page", "measure", "decode", "data", "text", "model"},
    "show": {"convert", "model"},
    "doctor": {"model", "show"},
    "cli": {"demo", "doctor", "show", "tasks", "inside", "page", "measure"},
    "__init__": {"tasks", "text", "model"},
    "config": {"model"},
    "errors": set[str](),
}
EVERYONE = {"errors", "config"}

# A name that appears in the code (not in text): why it may not.
FORBIDDEN_NAMES = {
    "pickle": "files are safetensors, JSON and numpy; unpickling runs code",
    "eval": "data is not code",
    "exec": "data is not code",
    "splitlines": "lines end at \\n and nowhere else",
    "innerHTML": "text goes into a page as text",
}
FORBIDDEN_TEXT = {
    r"torch\.load\(": "it unpickles",
    r"allow_pickle\s*=\s*True": "it unpickles",
    r"shell\s*=\s*True": "file names are not commands",
    r"innerHTML": "text goes into a page as text",
    r"(?<![\w.])(?:TODO|FIXME|XXX)\b(?!\(#?\w+\))": "name who or what it waits for: TODO(#12)",
    r"/(?:home|Users)/\w+|/tmp/venv|/work/\w+|/root/": "a path of somebody's machine",
}


def tree(file: Path) -> ast.Module:
    return ast.parse(file.read_text("utf-8"), str(file))


def name_of(file: Path) -> str:
    return str(file.relative_to(ROOT))


def room_of(file: Path) -> str:
    inside = file.relative_to(SOURCE)
    return inside.parts[0] if len(inside.parts) > 1 else inside.stem


def names(module: ast.Module) -> Iterator[tuple[int, str]]:
    """Every identifier, attribute and imported module with its line."""
    for node in ast.walk(module):
        if isinstance(node, ast.Name):
            yield node.lineno, node.id
        elif isinstance(node, ast.Attribute):
            # model.eval() and re.compile() are somebody else's methods of that name
            if node.attr not in ("eval", "exec"):
                yield node.lineno, node.attr
        elif isinstance(node, (ast.Import, ast.ImportFrom)):
            for alias in node.names:
                yield node.lineno, alias.name.split(".")[0]
            if isinstance(node, ast.ImportFrom) and node.module:
                yield node.lineno, node.module.split(".")[0]


def imported_rooms(file: Path, module: ast.Module) -> Iterator[tuple[int, str]]:
    """Rooms of heedful that a file imports anywhere, also inside functions and for types only."""
    package = ["heedful", *file.relative_to(SOURCE).parts[:-1]]
    for node in ast.walk(module):
        targets: list[list[str]] = []
        if isinstance(node, ast.ImportFrom):
            base = package[: len(package) - node.level + 1] if node.level else []
            path = base + (node.module.split(".") if node.module else [])
            targets = [[*path, alias.name] for alias in node.names] if len(path) == 1 else [path]
        elif isinstance(node, ast.Import):
            targets = [alias.name.split(".") for alias in node.names]
        for target in targets:
            if target[0] == "heedful":
                yield node.lineno, target[1] if len(target) > 1 and target[1] in ROOMS else "__init__"


def forbidden(source: str) -> list[str]:
    found = [
        f"{line}: {name}: {FORBIDDEN_NAMES[name]}" for line, name in names(ast.parse(source)) if name in FORBIDDEN_NAMES
    ]
    for number, line in enumerate(source.split("\n"), 1):
        found += [f"{number}: {why}: {line.strip()}" for rule, why in FORBIDDEN_TEXT.items() if re.search(rule, line)]
    return found


def functions(module: ast.Module) -> Iterator[ast.FunctionDef | ast.AsyncFunctionDef]:
    for node in ast.walk(module):
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)):
            yield node


@pytest.mark.parametrize("file", FILES, ids=name_of)
def test_nothing_forbidden(file: Path) -> None:
    assert forbidden(file.read_text("utf-8")) == []


@pytest.mark.parametrize(
    "line",
    [
        "import pickle",
        "from pickle import loads",
        "import pickle as p",
        "eval('1')",
        "x = text.splitlines()",
        "torch.load(path)",
        "run(x, shell=True)",
        "page = 'a.innerHTML = b'",
        "# TODO later",
        "path = '/home/me/x'",
        "path = '/root/x'",
    ],
)
def test_the_forbidden_is_found(line: str) -> None:
    assert forbidden(line)


def test_what_only_looks_forbidden_is_not() -> None:
    assert not forbidden(
        "model.eval()\nretrieval = 1\ntext.split('\\n')\n# TODO(#12): wider rows\n'a page, /proc/cpuinfo'"
    )


@pytest.mark.parametrize("file", FILES, ids=name_of)
def test_imports_run_one_way(file: Path) -> None:
    room = room_of(file)
    assert room in ROOMS, f"{room} is a new room: say in tests/house what it may import"
    allowed = ROOMS[room] | {room} | (EVERYONE if room != "errors" else set())
    if room == "cli":
        allowed.add("__init__")  # the version
    wrong = [f"{line}: {other}" for line, other in imported_rooms(file, tree(file)) if other not in allowed]
    assert wrong == []


def test_rooms_have_no_circle() -> None:
    """Each room may only import rooms that cannot, by any way, import it."""

    def below(room: str) -> set[str]:
        return ROOMS[room].union(*(below(other) for other in ROOMS[room]))

    assert all(room not in below(room) for room in ROOMS)


def test_relative_imports_are_understood() -> None:
    module = ast.parse(
        "from ..errors import A\nfrom .plan import B\nfrom .. import text\nimport heedful.train.loop\nimport os"
    )
    assert [room for _, room in imported_rooms(SOURCE / "model" / "x.py", module)] == [
        "errors",
        "model",
        "text",
        "train",
    ]


@pytest.mark.parametrize("file", FILES, ids=name_of)
def test_files_and_functions_stay_readable(file: Path) -> None:
    lines = file.read_text("utf-8").count("\n")
    assert lines <= LONGEST_FILE, f"{lines} lines; a file past {LONGEST_FILE} wants to be two"
    for function in functions(tree(file)):
        assert function.end_lineno is not None
        # A signature may be a long list of options, and a docstring may explain; the limit is for what it does.
        body = function.body[1:] if ast.get_docstring(function) and len(function.body) > 1 else function.body
        length = function.end_lineno - body[0].lineno + 1
        assert length <= LONGEST_FUNCTION, f"{function.name}: {length} lines"


@pytest.mark.parametrize("file", FILES, ids=name_of)
def test_no_class_is_named_for_what_it_is_not(file: Path) -> None:
    for node in ast.walk(tree(file)):
        if isinstance(node, ast.ClassDef):
            assert not re.search(r"^(Base|Standard|Abstract)[A-Z]|(Mixin|Manager|Helper|Utils?)$", node.name), node.name
    assert file.stem not in ("utils", "util", "helpers", "common", "misc")


@pytest.mark.parametrize("file", sorted((SOURCE / "model").glob("*.py")), ids=name_of)
def test_the_model_swallows_no_options(file: Path) -> None:
    """`**options` hides misspelt names. `presets.plan` alone takes any, and checks each against the family."""
    swallowing = {node.name for node in functions(tree(file)) if node.args.kwarg}
    assert swallowing <= ({"plan"} if file.name == "presets.py" else set())


@pytest.mark.parametrize("file", FILES, ids=name_of)
def test_every_module_and_public_name_says_what_it_is_for(file: Path) -> None:
    module = tree(file)
    if not module.body:
        return
    assert ast.get_docstring(module), "a module begins with what it is for"
    for node in module.body:
        if isinstance(node, (ast.FunctionDef, ast.ClassDef)) and not node.name.startswith("_"):
            short = node.end_lineno is not None and node.end_lineno - node.lineno < 8
            assert ast.get_docstring(node) or short, f"{node.name} has no docstring"


def test_readme_holds_exactly_the_two_commands() -> None:
    text = (ROOT / "README.md").read_text("utf-8")
    commands = [line.strip() for line in text.split("\n") if "python3 -m venv" in line]
    assert commands == [
        "python3 -m venv .venv && .venv/bin/pip install -e '.[demo]' && .venv/bin/heedful demo",
        "python3 -m venv .venv && .venv/bin/pip install -e '.[test]' && .venv/bin/python -m pytest -q -n 2",
    ]


def test_ci_takes_the_command_from_the_readme() -> None:
    script = (ROOT / ".ci" / "run").read_text("utf-8")
    assert "set -euo pipefail" in script
    assert "README.md" in script
    assert "pytest" not in script, "the test command is README's, not a copy"


def test_no_file_names_a_developers_machine() -> None:
    rule = re.compile(r"/(?:home|Users)/\w+/|/tmp/venv|/work/\w+/|/root/\w+")
    kinds = {".py", ".md", ".toml", ".json", ".html", ".svg", ".yml", ""}
    for folder in ("docs", "recipes", "benchmarks", "tests", ".ci", "."):
        for file in (ROOT / folder).glob("*" if folder == "." else "**/*"):
            if file.is_file() and file.suffix in kinds and file != Path(__file__) and "__pycache__" not in file.parts:
                assert not rule.search(file.read_text("utf-8", errors="replace")), name_of(file)


def test_tests_sit_where_the_source_does() -> None:
    """tests/ mirrors src/: a folder of tests that is no room would never be found by who changes the room."""
    folders = {
        path.name for path in (ROOT / "tests").iterdir() if path.is_dir() and not path.name.startswith(("_", "."))
    }
    rooms = {path.name for path in SOURCE.iterdir() if path.is_dir()}
    assert folders - rooms <= {"house", "laws", "against", "benchmarks", "docs"}
