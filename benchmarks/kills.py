"""Kill a real training run (-9) again and again, also in the middle of saves, and compare it with one left in peace.

    python benchmarks/kills.py [--kills 50] [--inside 15] [--steps 1200] [--keep FOLDER]
    python benchmarks/kills.py --with ema,patience,distillation,r-drop
    python benchmarks/kills.py --start 'heedful train translate --recipe R --out {run}' --resume 'heedful resume {run}'

The killed run is resumed by the same command each time, with nothing repaired in between. A kill counts as inside a
save if a folder that was being written lay beside the checkpoints afterwards. At the end the finished weights, the
files of tensors of the last checkpoint and every line of the journal (but for clocks) must equal, bit for bit, those of
the run that was not killed. The default run has dropout and subword sampling; its text is generated. `--with` adds to
it a running average, early stopping on chrF (the run must end by it), a teacher trained before, R-drop.
"""

from __future__ import annotations

import argparse
import os
import random
import re
import shlex
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from record import write

from heedful.train import checkpoint
from heedful.train.journal import exact, read

HALF_SAVED = re.compile(r"\.tmp-\d+-\d+")
# "anywhere" also hits starting, loading and preparing; the others come after a new checkpoint, so that the run gets on.
MOMENTS = ("anywhere", "save", "step", "save", "step", "anywhere", "save", "step", "save")
STUCK = 300.0  # seconds without a new checkpoint after which a run is taken for hanging


# What `--with` adds. The rate rises until the run learns no more: then its patience ends it, after some 700 steps.
FEATURES = {
    "ema": {"training.ema": 0.99},
    "patience": {"training.metric": "chrf", "training.patience": 32, "training.validation_sentences": 20,
                 "training.warmup": 2000, "training.rate": 0.1},
    "distillation": {"training.teacher": "{teacher}", "training.distillation": 0.5},
    "r-drop": {"training.r_drop": 1.0},
}  # fmt: skip


def default_start(folder: Path, steps: int, features: list[str]) -> str:
    """A small translator of generated sentences, saved every 5 steps; words and sampling give it something to learn."""
    draw = random.Random(0)
    syllable = lambda: draw.choice("aeiou") + draw.choice("bdklmnrst")
    words = ["".join(syllable() for _ in range(draw.randint(1, 4))) for _ in range(400)]
    lines = [[draw.choice(words) for _ in range(draw.randint(3, 12))] for _ in range(3000)]
    (folder / "text.a").write_bytes("".join(" ".join(line) + "\n" for line in lines).encode())
    (folder / "text.b").write_bytes("".join(" ".join(word[::-1] for word in line) + "\n" for line in lines).encode())
    settings: dict[str, object] = {
        "model.preset": "transformer-tiny", "tokenizer.size": 500, "tokenizer.sampling": 0.1, "data.hold_out": 50,
        "training.batch_tokens": 256, "training.save_every": 5, "training.validate_every": 20, "training.warmup": 50,
        "training.threads": 1, "training.average": 3,
    }  # fmt: skip
    files = f"--source {folder / 'text.a'} --target {folder / 'text.b'}"
    command = f"{sys.executable} -m heedful.cli train translate {files} --processes 1"

    def started(out: str, steps: int, settings: dict[str, object]) -> str:
        chosen = " ".join(f"--set {key}={value}" for key, value in settings.items())
        return f"{command} --steps {steps} {chosen} --out {out}"

    teacher = folder / "teacher"
    if "distillation" in features and not teacher.exists():
        subprocess.run(shlex.split(started(str(teacher), 200, settings)), check=True, capture_output=True)
    for feature in features:
        settings |= FEATURES[feature]
    return started("{run}", steps, settings).replace("{teacher}", str(teacher))


class Victim:
    """A run that is started, killed and resumed."""

    def __init__(self, run: Path, start: str, resume: str, log: Path) -> None:
        self.run, self.log = run, log
        self.start, self.resume = (shlex.split(command.replace("{run}", str(run))) for command in (start, resume))
        self.process: subprocess.Popen[bytes] | None = None

    def go(self) -> subprocess.Popen[bytes]:
        """Start, or resume what was started; a group of its own, so that a kill takes all processes of it."""
        command = self.resume if (self.run / "run.json").exists() else self.start
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(command, stdout=log, stderr=log, start_new_session=True)
        return self.process

    def finish(self) -> None:
        code = self.go().wait()
        if code:
            sys.exit(f"{shlex.join(self.resume)} ended with {code}:\n{self.log.read_text()[-2000:]}")

    def newest(self) -> int:
        return max(checkpoint.published(self.run), default=0)

    def saving(self) -> bool:
        """Whether a save is half done."""
        try:
            return any(HALF_SAVED.fullmatch(name) for name in os.listdir(self.run / "checkpoints"))
        except FileNotFoundError:
            return False

    def kill(self, moment: str, draw: random.Random, startup: float, save: float) -> bool:
        """One life: start or resume, kill at the moment named; whether the kill hit a save."""
        process, before = self.go(), self.newest()
        if moment == "anywhere":
            time.sleep(draw.uniform(0, startup))
        else:
            self.wait(lambda: self.newest() > before)
            if moment == "step":
                time.sleep(draw.uniform(0, 0.5))
            else:
                self.wait(self.saving)
                time.sleep(draw.uniform(0, save))
        if process.poll() is not None:
            sys.exit(f"the run ended ({process.returncode}) before it could be killed: raise --steps; {self.log}")
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        return self.saving()

    def wait(self, until: object) -> None:
        assert callable(until)
        deadline = time.monotonic() + STUCK
        while not until():
            assert self.process is not None
            if self.process.poll() is not None or time.monotonic() > deadline:
                sys.exit(f"the run ended ({self.process.returncode}) or hangs; raise --steps? {self.log}")
            time.sleep(0.0003)


def differences(whole: Path, killed: Path) -> list[str]:
    """What is not the same, bit for bit."""
    found = []
    one, other = (exact(read(run / "journal.jsonl")) for run in (whole, killed))
    if one != other:
        first = next((a for a, b in zip(one, other, strict=False) if a != b), None)
        found.append(f"journal: {len(one)} and {len(other)} lines, first difference {first}")
    last = [checkpoint.newest(run, sweep=False) for run in (whole, killed)]
    assert last[0]
    assert last[1]
    files = [("last checkpoint", path, last[1].folder / path.name)
             for path in sorted(last[0].folder.glob("*.safetensors"))]  # fmt: skip
    # The card, README.md, tells how long the run took.
    kept = [path for path in sorted((whole / "model").iterdir()) if path.name != "README.md"]
    files += [("finished", path, killed / "model" / path.name) for path in kept]
    found += [f"{what}: {a.name}" for what, a, b in files if not b.exists() or a.read_bytes() != b.read_bytes()]
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kills", type=int, default=50)
    parser.add_argument("--inside", type=int, default=15, help="kills that must hit a save")
    parser.add_argument("--steps", type=int, default=1200, help="of the default run")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--with", dest="features", default="", help=f"comma-separated: {', '.join(FEATURES)}")
    parser.add_argument("--start", help="command that begins a run in {run}")
    parser.add_argument("--resume", default=f"{sys.executable} -m heedful.cli resume {{run}}")
    parser.add_argument("--keep", type=Path, help="where to work; kept")
    arguments = parser.parse_args()
    folder = arguments.keep or Path(tempfile.mkdtemp(prefix="kills-"))
    folder.mkdir(parents=True, exist_ok=True)
    features = arguments.features.split(",") if arguments.features else []
    if unknown := set(features) - set(FEATURES):
        parser.error(f"--with {', '.join(sorted(unknown))}: known: {', '.join(FEATURES)}")
    start = arguments.start or default_start(folder, arguments.steps, features)

    whole = Victim(folder / "whole", start, arguments.resume, folder / "whole.log")
    began = time.monotonic()
    whole.finish()
    seconds = time.monotonic() - began
    lines = read(whole.run / "journal.jsonl")
    clock = [line["elapsed"] for line in lines if line["kind"] == "step"]
    startup = seconds - (clock[-1] - clock[0])
    saves = sorted(line["time"] for line in lines if line["kind"] == "saved")
    print(f"left in peace: {seconds:.0f} s, {len(saves)} saves of {saves[len(saves) // 2] * 1000:.0f} ms", flush=True)

    killed = Victim(folder / "killed", start, arguments.resume, folder / "killed.log")
    draw, inside, moments = random.Random(arguments.seed), 0, []
    for number in range(arguments.kills):
        moment = MOMENTS[number % len(MOMENTS)]
        if arguments.kills - number <= arguments.inside - inside:
            moment = "save"
        hit = killed.kill(moment, draw, startup, saves[len(saves) // 2])
        inside += hit
        moments.append(moment)
        print(f"kill {number + 1}: {moment}{', inside a save' * hit}, newest checkpoint {killed.newest()}", flush=True)
    killed.finish()

    found = differences(whole.run, killed.run)
    over = next(line["over"] for line in lines if line["kind"] == "finished")
    if "patience" in features and over != "patience":
        found.append(f"the run ended by its {over}: lower the patience")
    resumes = sum(line["kind"] == "resume" for line in read(killed.run / "journal.jsonl"))
    verdict = "; ".join(found) or "the same bits"
    with_ = f" with {', '.join(features)}, ended by its {over} after step {lines[-1]['step']}" if features else ""
    print(f"{arguments.kills} kills{with_}, {inside} inside a save, {resumes} resumes from a checkpoint: {verdict}")
    figures = {
        "kills": arguments.kills, "with": features, "ended_by": over, "inside_a_save": inside, "resumes": resumes,
        "seed": arguments.seed,
        "moments": {name: moments.count(name) for name in sorted(set(moments))}, "differences": found,
    }  # fmt: skip
    print(write("-".join(["kills", *features]), figures))
    if not arguments.keep:
        shutil.rmtree(folder)
    if found or inside < arguments.inside:
        sys.exit(1)


if __name__ == "__main__":
    main()
