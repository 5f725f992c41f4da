"""The command line: quick to answer, one line for a mistake, exit codes a script can rely on."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import types
from pathlib import Path
from typing import Any

import pytest

import heedful
from heedful import cli
from heedful.cli import COMMANDS, app, main
from heedful.errors import UserError

resource = pytest.importorskip("resource", reason="CPU time of a child process is asked for the Unix way")
HELP_BUDGET = 0.3  # seconds of CPU, of this program and of everything it imports


def run(*arguments: str, **options: Any) -> subprocess.CompletedProcess[bytes]:
    return subprocess.run(
        [sys.executable, "-m", "heedful.cli", *arguments], capture_output=True, timeout=60, check=False, **options
    )


def call(monkeypatch: pytest.MonkeyPatch, *arguments: str) -> int:
    """The command in this process, with whatever was put in place of its parts."""
    monkeypatch.setattr(sys, "argv", ["heedful", *arguments])
    with pytest.raises(SystemExit) as ended:
        main()
    return int(ended.value.code or 0)


@pytest.fixture
def task(monkeypatch: pytest.MonkeyPatch) -> Any:
    """A stand-in for the tasks that notes what it is called with."""
    calls: list[tuple[Any, ...]] = []
    module = types.ModuleType("heedful.tasks.translate")
    module.calls = calls
    runs = types.ModuleType("heedful.tasks.runs")
    runs.train = lambda *given, launch: calls.append(given) or 0
    runs.resume = lambda *given, launch: calls.append(given) or 0
    module.runs = runs
    monkeypatch.setitem(sys.modules, "heedful.tasks.runs", runs)
    calling = types.ModuleType("heedful.tasks.translate.calling")
    calling.call = lambda *given, **named: calls.append((*given, named))
    monkeypatch.setitem(sys.modules, "heedful.tasks.translate.calling", calling)
    monkeypatch.setitem(sys.modules, "heedful.tasks.translate", module)
    return module


@pytest.mark.parametrize("arguments", [["--help"], ["train", "translate", "--help"], ["show", "gpt2"]])
def test_answers_quickly_and_without_torch(arguments: list[str]) -> None:
    code = (
        "import sys, resource\n"
        f"sys.argv = ['heedful', *{arguments!r}]\n"
        "from heedful.cli import main\n"
        "try: main()\n"
        "except SystemExit as end: assert not end.code, end.code\n"
        "used = resource.getrusage(resource.RUSAGE_SELF)\n"
        "import json\n"
        "print(json.dumps([used.ru_utime + used.ru_stime, sorted(sys.modules)]))"
    )
    best = 9.0
    for _ in range(3):  # a busy machine slows CPU time too: the best of three is the program's own
        done = subprocess.run([sys.executable, "-c", code], capture_output=True, timeout=60, check=True)
        seconds, modules = json.loads(done.stdout.strip().split(b"\n")[-1])
        assert not {"torch", "numpy", "rich", "tokenizers"} & set(modules)
        best = min(best, seconds)
    assert best < HELP_BUDGET


def test_version_is_the_packages() -> None:
    assert run("--version").stdout.decode().strip() == f"heedful {heedful.__version__}"


def test_every_command_and_option_has_help() -> None:
    from typer.main import get_command

    def check(command: Any) -> None:
        assert command.help or command.callback is None
        for parameter in command.params:
            assert getattr(parameter, "help", "documented"), f"{command.name} {parameter.name}"
        for child in getattr(command, "commands", {}).values():
            check(child)

    check(get_command(app))


def test_the_overview_has_each_command_on_a_line_of_its_own() -> None:
    listed = run("--help", env={**os.environ, "COLUMNS": "80"}).stdout.decode().split("Commands:\n")[1].splitlines()
    assert [line.split(maxsplit=1) for line in listed] == [[name, summary] for name, summary in COMMANDS.items()]
    assert listed[0].startswith("  init ")
    parts = {"__init__", "__main__", "building", "endings", "options"}
    assert {path.stem for path in Path(cli.__file__).parent.glob("*.py")} - parts == set(COMMANDS)


def test_user_error_is_one_line_and_exit_code_2() -> None:
    done = run("show", "gtp2")
    assert done.returncode == 2
    assert done.stdout == b""
    assert done.stderr == b"heedful: 'gtp2' is neither a preset nor a folder; did you mean 'gpt2'?\n"


def test_a_message_of_many_lines_is_printed_as_one(
    monkeypatch: pytest.MonkeyPatch, task: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    def fail(run: Path, launch: bool) -> int:
        raise UserError("a\nb\r\n c")

    task.runs.resume = fail
    assert call(monkeypatch, "resume", "x") == 2
    assert capsys.readouterr().err == "heedful: a b c\n"


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["shw"], "show"),
        (["translate", "--beams", "2", "-m", "x"], "--beam"),
        (["translate", "--beam", "0", "-m", "x"], "1"),
        (["translate"], "-m RUN"),
        (["train", "translate"], "--out"),
        (["train", "translate", "--out", "x", "--device", "gpu"], "cuda"),
    ],
)
def test_wrong_options_name_the_right_ones(arguments: list[str], words: str) -> None:
    done = run(*arguments)
    assert done.returncode == 2
    assert words in done.stderr.decode()
    assert b"Traceback" not in done.stderr


@pytest.mark.parametrize("arguments", [["shw"], ["translate", "--beam", "0", "-m", "x"], ["train", "translate"]])
def test_wrong_options_are_told_in_one_line(arguments: list[str]) -> None:
    told = run(*arguments).stderr.decode()
    assert told.count("\n") == 1
    assert told.startswith("heedful: ")
    assert "--help)" in told


def test_no_arguments_print_the_help() -> None:
    done = run("train")
    assert "translate" in done.stdout.decode() + done.stderr.decode()
    assert b"Traceback" not in done.stderr


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="a device that is always full is Linux's")
def test_a_full_output_is_one_line_and_exit_code_2() -> None:
    with open("/dev/full", "wb") as full:
        done = subprocess.run(
            [sys.executable, "-m", "heedful.cli", "show", "vilbert"], stdout=full, stderr=subprocess.PIPE, timeout=60
        )
    assert done.returncode == 2
    assert done.stderr.startswith(b"heedful: the output cannot be written: No space left on device")
    assert done.stderr.count(b"\n") == 1


@pytest.mark.parametrize(("closed", "name"), [("<&-", "input"), (">&-", "output")])
def test_a_closed_stream_is_named(closed: str, name: str) -> None:
    use = "s(sys.stdin, 'input', ''); s(sys.stdout, 'output', '')"
    code = f"import sys; from heedful.cli.endings import stream_of as s; {use}"
    command = f'{sys.executable} -c "{code}" {closed}'
    done = subprocess.run(["bash", "-c", command], stderr=subprocess.PIPE, timeout=60, check=False)
    assert f"UserError: standard {name} is closed".encode() in done.stderr


def test_interruption_ends_with_130(
    monkeypatch: pytest.MonkeyPatch, task: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    def interrupt(run: Path, launch: bool) -> int:
        raise KeyboardInterrupt

    task.runs.resume = interrupt
    monkeypatch.setattr(signal, "signal", lambda *given: None)  # this process stays interruptible
    assert call(monkeypatch, "resume", "x") == 130
    assert "Traceback" not in capsys.readouterr().err


def test_a_reader_that_goes_away_is_not_an_error_message() -> None:
    process = subprocess.Popen(
        [sys.executable, "-m", "heedful.cli", "show", "vilbert"], stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )
    assert process.stdout is not None
    assert process.stderr is not None
    process.stdout.close()
    errors = process.stderr.read()
    process.stderr.close()
    assert process.wait(60) == 141
    assert errors == b""


@pytest.mark.parametrize("code", [0, 143])
def test_a_run_that_was_stopped_says_so_by_its_code(monkeypatch: pytest.MonkeyPatch, task: Any, code: int) -> None:
    task.runs.resume = lambda run, launch: code
    task.runs.train = lambda recipe, out, root, launch: code
    assert call(monkeypatch, "resume", "x") == code
    assert call(monkeypatch, "train", "translate", "--out", "x") == code


def test_a_bug_of_ours_keeps_its_trace(monkeypatch: pytest.MonkeyPatch, task: Any) -> None:
    def fail(run: Path, launch: bool) -> int:
        raise RuntimeError("ours")

    task.runs.resume = fail
    monkeypatch.setattr(sys, "argv", ["heedful", "resume", "x"])
    with pytest.raises(RuntimeError, match="ours"):
        main()


def test_options_of_training_become_the_recipe(monkeypatch: pytest.MonkeyPatch, task: Any) -> None:
    given = "--source a.en --source b.en --target a.de --target b.de --out run --for 20m --steps 7 --seed 3 --from old"
    more = "--device cpu --processes 2 --precision bf16 --preset transformer-tiny --set training.warmup=9 --data /d"
    assert call(monkeypatch, "train", "translate", *given.split(), *more.split()) == 0
    (recipe, out, root) = task.calls[0]
    assert recipe.data.source == ("a.en", "b.en")
    assert recipe.data.target == ("a.de", "b.de")
    training = recipe.training
    assert (training.limit, training.steps, training.processes, training.warmup) == ("20m", 7, 2, 9)
    assert (training.device, training.precision, recipe.seed, training.start) == ("cpu", "bf16", 3, "old")
    assert recipe.model == {"preset": "transformer-tiny"}
    assert (out, root) == (Path("run"), Path("/d"))


def test_options_win_over_the_recipe_and_set_over_both(
    monkeypatch: pytest.MonkeyPatch, task: Any, tmp_path: Path
) -> None:
    file = tmp_path / "recipe.toml"
    file.write_text("seed = 1\n[training]\nsteps = 1\nwarmup = 1\n", "utf-8")
    arguments = ["--recipe", str(file), "--steps", "2", "--seed", "5", "--set", "seed=6", "--out", "run"]
    assert call(monkeypatch, "train", "translate", *arguments) == 0
    recipe = task.calls[0][0]
    assert (recipe.seed, recipe.training.steps, recipe.training.warmup) == (6, 2, 1)


@pytest.mark.parametrize("name", ["a b.en", 'q"uote', "new\nline", "back\\slash", "del\x7f", "日本", "[x]", "a=b"])
def test_any_file_name_reaches_the_recipe_whole(monkeypatch: pytest.MonkeyPatch, task: Any, name: str) -> None:
    assert call(monkeypatch, "train", "translate", "--out", "run", "--source", name) == 0
    assert task.calls[0][0].data.source == (name,)


def test_a_misspelt_setting_is_found_before_torch_loads(tmp_path: Path) -> None:
    done = run("train", "translate", "--out", str(tmp_path / "run"), "--set", "training.warmpu=3")
    assert done.returncode == 2
    assert b"did you mean 'warmup'?" in done.stderr
    assert not (tmp_path / "run").exists()


def test_translate_passes_on_what_was_asked(monkeypatch: pytest.MonkeyPatch, task: Any) -> None:
    options = ["--beam", "2", "--sample", "--top-p", "0.5", "--length-penalty", "hf", "--no-protect", "--json"]
    assert call(monkeypatch, "translate", "a", "b", "-m", "run", "-m", "other", "-o", "out", *options) == 0
    files, models, output, given, named = task.calls[0]
    assert (files, models, output) == ([Path("a"), Path("b")], [Path("run"), Path("other")], Path("out"))
    assert given == {"beam": 2, "length_penalty": "hf", "sample": True, "top_p": 0.5, "protect": False}
    assert (named["form"], named["marks"], named["watch"], named["lines"]) == ("json", "stderr", False, None)


def test_importing_the_package_loads_nothing_heavy() -> None:
    code = (
        "import sys, heedful\n"
        "assert not {'torch', 'numpy', 'msgspec', 'typer'} & set(sys.modules), 'too early'\n"
        "heedful.plan('gpt2'), heedful.Plan, heedful.UserError, heedful.read_recipe, heedful.Recipe, heedful.PRESETS\n"
        "assert 'torch' not in sys.modules\n"
        "assert set(heedful.__all__) <= set(dir(heedful))\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr.decode()


def test_openmp_threads_sleep_unless_the_user_decided() -> None:
    code = "import os, heedful.config; print(os.environ['OMP_WAIT_POLICY'])"
    environment = {key: value for key, value in os.environ.items() if key != "OMP_WAIT_POLICY"}
    for given, expected in (({}, "PASSIVE"), ({"OMP_WAIT_POLICY": "ACTIVE"}, "ACTIVE")):
        done = subprocess.run(
            [sys.executable, "-c", code], env=environment | given, capture_output=True, timeout=60, check=True
        )
        assert done.stdout.decode().strip() == expected


@pytest.mark.parametrize("name", [name for name in heedful.__all__ if name != "__version__"])
def test_every_public_name_is_there(name: str) -> None:
    assert getattr(heedful, name) is not None


def test_a_name_that_is_not_there_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="laod"):
        _ = heedful.laod
