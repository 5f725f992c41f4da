"""How large the page of a look is and how fast, beside BertViz on the very same weights; and what looking costs.

    python benchmarks/looking.py page [--only NAME ...] [--turns 3] [--no-peer]
    python benchmarks/looking.py capture RUN FILE [--sentences 40] [--turns 5]

"page" makes records of random softmax weights, which are the worst case for packing, and their pages. Of each: bytes,
processor time to make it; in headless Chromium, the page's own milliseconds from its start until everything is drawn,
and from a click on a word until its code is done and until it is painted (medians over turns and words). BertViz,
where it is installed, makes its head view of the same weights (html_action="return"): bytes of its HTML and processor
time. Chromium is Debian's, driven by Playwright.

"capture" translates sentences with beam 5, one by one, with and without a look at each (one probed pass over the
winner, all weights of all layers and heads kept), in turn, and compares processor times: of each sentence the least of
all turns. That nothing is added where nobody looks is measured as well: the calls to a probe are counted, and there
must be none.
"""

from __future__ import annotations

import argparse
import json
import shutil
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
from record import write

from heedful.inside.measures import measure
from heedful.inside.record import Kind, Layer, Line, Record, Said
from heedful.page.look import page

Array = np.ndarray
# name: layers, heads, tokens, kinds
SIZES: dict[str, tuple[int, int, int, tuple[str, ...]]] = {
    "6x8, 30 tokens, three kinds": (6, 8, 30, ("source.source", "target.target", "target.source")),
    "12x12, 128 tokens, three kinds": (12, 12, 128, ("source.source", "target.target", "target.source")),
    "12x12, 512 tokens, one kind": (12, 12, 512, ("text.text",)),
}
GOALS: dict[str, dict[str, float]] = {
    "6x8, 30 tokens, three kinds": {"MB": 0.2},
    "12x12, 128 tokens, three kinds": {"MB": 6.0, "ready ms": 2000.0, "click ms": 20.0},
    "12x12, 512 tokens, one kind": {"MB": 30.0},
}
CLICKS = 12
QUIET = ["--no-sandbox", "--disable-gpu", "--disable-background-networking"]


# ---- the page --------------------------------------------------------------------------------------------------------


def random_record(layers: int, heads: int, tokens: int, kinds: tuple[str, ...]) -> Record:
    """Softmax of normal scores; what a causal mask hides is 0."""
    draw = np.random.default_rng(0)

    def weights(causal: bool) -> Array:
        scores = draw.standard_normal((heads, tokens, tokens), np.float32)
        shown = np.exp(scores) * (np.tril(np.ones((tokens, tokens), np.float32)) if causal else 1)
        return shown / shown.sum(-1, keepdims=True)

    words = tuple(f"word{number}" for number in range(tokens))
    line = lambda name: Line(name, name, words, words, np.arange(tokens), (False,) * tokens)
    names = {part for kind in kinds for part in kind.split(".")}
    made = []
    for name in kinds:
        stream, attended = name.split(".")
        causal = name == "target.target"
        own = tuple(Layer(f"{stream}.{layer}.{attended}", weights(causal)) for layer in range(layers))
        made.append(Kind(name, name, stream, attended, causal, own))
    lines = {name: line(name) for name in sorted(names)}
    said = tuple(Said(word, -0.1) for word in words) if "target" in names else ()
    measures = {kind.name: measure(kind, lines) for kind in made}
    text = " ".join(words)
    return Record("random", "translate", text, text, lines, tuple(made), measures=measures, said=said)


def spent(work: Callable[[], Any]) -> tuple[Any, float]:
    began = time.process_time()
    made = work()
    return made, time.process_time() - began


def bertviz_html(record: Record) -> str | None:
    """BertViz's head view of the record's weights; None where it is not installed."""
    try:
        import torch
        from bertviz import head_view
    except ImportError:
        return None
    tensors = {kind.name: [torch.from_numpy(layer.weights)[None] for layer in kind.layers] for kind in record.kinds}
    words = {name: list(line.words) for name, line in record.lines.items()}
    if "text.text" in tensors:
        return str(head_view(tensors["text.text"], words["text"], html_action="return").data)
    return str(
        head_view(
            encoder_attention=tensors["source.source"], decoder_attention=tensors["target.target"],
            cross_attention=tensors["target.source"], encoder_tokens=words["source"], decoder_tokens=words["target"],
            html_action="return",
        ).data
    )  # fmt: skip


def seen_in_browser(file: Path, turns: int) -> dict[str, float]:
    """The page's own times in milliseconds."""
    from playwright.sync_api import sync_playwright

    chromium = shutil.which("chromium") or shutil.which("chromium-browser")
    if chromium is None:
        raise SystemExit("there is no chromium on this machine: apt-get install chromium")
    ready, click, painted, told = [], [], [], list[str]()
    with sync_playwright() as running:
        for _ in range(turns):
            browser = running.chromium.launch(executable_path=chromium, args=QUIET)
            tab = browser.new_page(viewport={"width": 1100, "height": 900})
            tab.on("console", lambda message: told.append(message.text))
            tab.on("pageerror", lambda error: told.append(str(error)))
            tab.goto(file.as_uri())
            tab.wait_for_selector("html[data-ready]", state="attached", timeout=120_000)
            ready.append(float(tab.evaluate("document.documentElement.dataset.ready")))
            for name, milliseconds in _clicks(tab):
                (click if name == "click" else painted).append(milliseconds)
            browser.close()
    assert not told, told
    return {
        "ready ms": round(statistics.median(ready)), "click ms": round(statistics.median(click), 1),
        "slowest click ms": round(max(click), 1), "painted ms": round(statistics.median(painted), 1),
    }  # fmt: skip


def _clicks(tab: Any) -> Iterator[tuple[str, float]]:
    """Clicks on words of the text panel, one after the other."""
    words = tab.query_selector_all("#words button.chip")
    assert words, "the page has no words to click"
    step = max(1, len(words) // CLICKS)
    for word in words[::step][:CLICKS]:
        word.scroll_into_view_if_needed()
        word.hover()  # which shows the word's ties already; a hand takes longer from there to the click
        tab.wait_for_timeout(150)
        tab.evaluate("delete document.documentElement.dataset.painted")
        word.click()
        tab.wait_for_selector("html[data-painted]", state="attached", timeout=30_000)
        for name in ("click", "painted"):
            yield name, float(tab.evaluate(f"document.documentElement.dataset.{name}"))


def pages(only: list[str], turns: int, peer: bool) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for name, (layers, heads, tokens, kinds) in SIZES.items():
        if name not in only:
            continue
        record = random_record(layers, heads, tokens, kinds)
        html, seconds = spent(lambda record=record: page(record))
        with tempfile.TemporaryDirectory() as folder:
            file = Path(folder) / "look.html"
            file.write_text(html, "utf-8")
            row: dict[str, Any] = {"MB": round(file.stat().st_size / 1e6, 3), "CPU seconds": round(seconds, 2)}
            row |= seen_in_browser(file, turns)
        row["weights"] = sum(layer.weights.size for kind in record.kinds for layer in kind.layers)
        row["reached"] = {goal: row[goal] <= most for goal, most in GOALS[name].items()}
        if peer:
            bertviz_html(random_record(1, 1, 4, kinds))  # its libraries are loaded, as ours are
            theirs, seconds = spent(lambda record=record: bertviz_html(record))
            if theirs is not None:
                size = len(theirs.encode()) / 1e6
                row["BertViz"] = {"MB": round(size, 2), "CPU seconds": round(seconds, 2)}
                row["times smaller"] = round(size / row["MB"], 1)
        print(name, json.dumps(row), flush=True)
        found[name] = row
    return found


# ---- capture ---------------------------------------------------------------------------------------------------------


def captured(run: Path, file: Path, count: int, turns: int) -> dict[str, Any]:
    import torch

    from heedful.data.readers import read_lines
    from heedful.tasks.looking.kinds import patterns
    from heedful.tasks.looking.opening import read
    from heedful.tasks.looking.passing import passed
    from heedful.tasks.looking.reading import Asked
    from heedful.tasks.translate import load

    torch.set_num_threads(1)
    translator = load(run)
    translator.decoding = msgspec.structs.replace(translator.decoding, beam=5)
    lines = list(read_lines(file))[:count]

    def plain(line: str) -> None:
        translator.translate([line], split="never")

    def looking(line: str) -> None:
        (row,) = read(translator, Asked((line,))).rows
        passed(translator.model, row, patterns(translator.model.plan))

    calls = counted_calls(translator, lines[:5])
    least: dict[str, dict[str, float]] = {"plain": {}, "looking": {}}
    for _ in range(turns):
        for line in lines:
            for name, work in (("plain", plain), ("looking", looking)):
                least[name][line] = min(least[name].get(line, 1e9), spent(lambda work=work, line=line: work(line))[1])
    sums = {name: sum(own.values()) for name, own in least.items()}
    return {
        "sentences": len(lines), "turns": turns,
        "milliseconds of CPU a sentence": {name: round(1000 * own / len(lines), 2) for name, own in sums.items()},
        "ratio": round(sums["looking"] / sums["plain"], 3), "calls to a probe where nobody looks": calls,
    }  # fmt: skip


def counted_calls(translator: Any, lines: list[str]) -> int:
    """How often a probe was asked or told anything while these were translated without one."""
    from heedful.model import attention, block, feedforward, probe

    seen: list[object] = []

    def see(given: Any, where: str, point: str, value: Any, rows: Any = None) -> Any:
        seen.extend([] if given is None else [given])
        return probe.see(given, where, point, value, rows)

    modules = [module for module in (attention, block, feedforward) if getattr(module, "see", None) is probe.see]
    assert modules, "nobody tells probes anything any more: count where it is done now"
    try:
        for module in modules:
            module.see = see  # type: ignore[attr-defined]
        translator.translate(lines)
    finally:
        for module in modules:
            module.see = probe.see  # type: ignore[attr-defined]
    return len(seen)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    kinds = parser.add_subparsers(dest="kind", required=True)
    one = kinds.add_parser("page")
    one.add_argument("--only", nargs="*", choices=SIZES, default=[*SIZES])
    one.add_argument("--turns", type=int, default=3)
    one.add_argument("--no-peer", dest="peer", action="store_false")
    one = kinds.add_parser("capture")
    one.add_argument("run", type=Path)
    one.add_argument("file", type=Path)
    one.add_argument("--sentences", type=int, default=40)
    one.add_argument("--turns", type=int, default=5)
    given = parser.parse_args()
    if given.kind == "page":
        found = pages(given.only, given.turns, given.peer)
    else:
        found = captured(given.run, given.file, given.sentences, given.turns)
        print(json.dumps(found))
    print(write(f"looking-{given.kind}", found))


if __name__ == "__main__":
    main()
