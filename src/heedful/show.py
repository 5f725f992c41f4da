"""`heedful show`: a plan as a table, with its parameters and its cost, from a preset's name or a model folder.

The functions return text and print nothing; none needs torch.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

from .errors import UserError
from .model.families import FAMILIES
from .model.files import is_foreign, read_config
from .model.plan import Attend, Block, FinalNorm, Patches, Plan, Regions, Step, Stream, Tokens
from .model.presets import PRESETS, nearest
from .model.presets import plan as preset_plan
from .model.shapes import count, flops_per_token

READS = {"tokens": "each token", "pooled": "the pooled row", "first": "the first token", "mean": "the mean"}


def show(what: str) -> str:
    """The description of a preset, a family with its defaults, or the model in a folder: one of ours, of a run, or of
    another library. A folder of a preset's name counts, if there is one."""
    folder = Path(what)
    if (what in PRESETS or what in FAMILIES) and not (folder / "config.json").exists():
        return describe(preset_plan(what), what)
    if "\0" not in what and folder.exists():
        return _foreign(folder) if is_foreign(folder) else describe(read_plan(folder), what)
    raise UserError(f"{what!r} is neither a preset nor a folder; {nearest(what, [*PRESETS, *FAMILIES])}")


def _foreign(folder: Path) -> str:
    """The same of a checkpoint of another library, which is opened, not converted."""
    from .convert.importing import opened  # loads torch

    found = opened(folder)
    for_task = f"for the task {found.reading.task}" if found.reading.task else "which no task runs as it is"
    read = f"A checkpoint of the layout {found.layout}, {for_task}; to use it: heedful convert {folder} NEW_FOLDER\n"
    return f"{describe(found.plan, str(folder))}\n{read}"


def read_plan(folder: Path) -> Plan:
    """The plan of a model folder, or of the finished model in a run's folder; UserError for anything else."""
    inside = folder / "model"
    if (inside / "config.json").exists():
        folder = inside
    elif (folder / "recipe.toml").exists():
        raise UserError(
            f"{folder}: the run is not finished, so it holds no model; continue it with: heedful resume {folder}"
        )
    return read_config(folder)[0]


def describe(plan: Plan, title: str) -> str:
    """Streams, steps (repeats together), heads, ties, parameters per part and operations per token."""
    cost = flops_per_token(plan)
    parts = parameters(plan)
    total = sum(parts.values())
    streams = [
        (stream.name, str(stream.width), _embedding(stream), f"{_short(cost[stream.name])}FLOP")
        for stream in plan.streams
    ]
    shares = [(part, f"{size:,}", f"{100 * size / max(total, 1):.1f} %") for part, size in parts.items()]
    sections = [
        f"{title}: {total:,} parameters",
        table(("stream", "width", "embedding", "per token"), streams, right=(1, 3)),
        table(("steps", "stream", "attends to", "feed-forward", "norm"), list(_steps(plan)), right=(0,)),
        table(("head", "reads", "outputs"), [_head_row(plan, number) for number in range(len(plan.heads))], right=(2,)),
        table(("part", "parameters", "share"), [*shares, ("all", f"{total:,}", "")], right=(1, 2)),
    ]
    if plan.ties:
        sections.append(table(("kept", "shared with"), [(tie.keep, tie.share) for tie in plan.ties]))
    sections.append(
        f"forward {_short(sum(cost.values()))}FLOP for one token of every stream, three times that to train; without\n"
        "the query-key products, which grow with the length. Tied parameters are counted once, where they are kept."
    )
    return "\n\n".join(sections) + "\n"


def parameters(plan: Plan) -> dict[str, int]:
    """Part -> how many numbers it holds; a tied parameter counts where it is kept. The values sum to the model's."""
    inputs = {address: block for _, address, block in plan.blocks()}
    parts: dict[str, int] = {}
    for name, shape in plan.shapes().items():
        words = name.split(".")
        block = inputs.get(".".join(words[:2]))
        if words[0] == "heads":
            part = f"head {words[1]}"
        elif block is None:
            part = f"{words[0]} {'final norm' if words[1] == 'norm' else words[1]}"
        elif words[2] == "feedforward":
            part = f"{block.stream} feed-forward"
        else:
            part = f"{block.stream} attention to {'itself' if words[2] == block.stream else words[2]}"
        parts[part] = parts.get(part, 0) + count(shape)
    return parts


def table(header: Sequence[str], rows: Sequence[Sequence[str]], right: Sequence[int] = ()) -> str:
    """Columns as plain text, two spaces apart, with a rule under the header; `right` names right-aligned columns."""
    widths = [max(len(row[column]) for row in (header, *rows)) for column in range(len(header))]
    lines = [
        "  ".join(
            cell.rjust(width) if column in right else cell.ljust(width)
            for column, (cell, width) in enumerate(zip(row, widths, strict=True))
        ).rstrip()
        for row in (header, ["-" * width for width in widths], *rows)
    ]
    return "\n".join(lines)


def _steps(plan: Plan) -> Iterator[tuple[str, ...]]:
    """A row per block. Steps that repeat, alone or as a cycle, are shown once with the numbers they stand for."""
    number = 0
    while number < len(plan.steps):
        period, repeats = _cycle(plan.steps, number)
        for offset in range(period):
            step, first = plan.steps[number + offset], number + offset
            label = _label(first, period, repeats)
            if isinstance(step, FinalNorm):
                yield label, step.stream, "", "", f"final {step.norm.kind}"
            else:
                for block in step.blocks:
                    yield label, block.stream, *_block_cells(block, len(step.blocks) > 1)
                    label = ""
        number += period * repeats


def _cycle(steps: Sequence[Step | FinalNorm], start: int, longest: int = 6) -> tuple[int, int]:
    """(period, repeats) of the cycle from `start` that covers most steps; the shorter period if equal."""
    best = (1, 1)
    for period in range(1, longest + 1):
        cycle, repeats = steps[start : start + period], 1
        while len(cycle) == period and steps[start + repeats * period : start + (repeats + 1) * period] == cycle:
            repeats += 1
        if repeats > 1 and period * repeats > best[0] * best[1]:
            best = (period, repeats)
    return best


def _label(first: int, period: int, repeats: int) -> str:
    last = first + period * (repeats - 1)
    if repeats == 1:
        return f"{first}"
    if period == 1:
        return f"{first}-{last}"
    return f"{first}, {last}" if repeats == 2 else f"{first}, {first + period} .. {last}"


def _block_cells(block: Block, together: bool) -> tuple[str, str, str]:
    attends = ", then ".join(_attend(block, attend, together) for attend in block.attends)
    feed = block.feedforward
    network = "" if feed is None else f"{feed.width} {feed.activation}{' gated' if feed.gated else ''}"
    return attends, network, f"{block.place} {block.norm.kind}"


def _attend(block: Block, attend: Attend, together: bool) -> str:
    name = "itself" if attend.stream == block.stream else f"{attend.stream}{' (as it was)' if together else ''}"
    if attend.mask == "causal":
        name += " causally" + (f" {attend.window} back" if attend.window else "")
    sizes = f"{attend.heads} x {attend.head_width}"
    if attend.kv_heads != attend.heads:
        sizes += f", {attend.kv_heads} key heads"
    if attend.positions != "none":
        sizes += f", {attend.positions}"
    return f"{name} ({sizes})"


def _embedding(stream: Stream) -> str:
    embedding = stream.embedding
    match embedding:
        case Tokens():
            extras = [] if embedding.positions == "none" else [f"{embedding.positions} positions"]
            if embedding.positions == "learned":
                extras[0] += f" to {embedding.capacity}"
            extras += [f"{embedding.segments} segments"] if embedding.segments else []
            extras += [f"{embedding.tasks} tasks"] if embedding.tasks else []
            return ", ".join([f"{embedding.vocab:,} tokens", *extras])
        case Regions():
            return f"regions of {embedding.features} features, box of {embedding.box}"
        case Patches():
            extras = [f"box of {embedding.box}"] if embedding.box else []
            extras += [f"learned positions to {embedding.capacity}"] if embedding.capacity else []
            extras += ["the first a vector of its own"] if embedding.first else []
            return ", ".join([f"patches of {embedding.edge} x {embedding.edge} x {embedding.channels}", *extras])


def _head_row(plan: Plan, number: int) -> tuple[str, str, str]:
    head = plan.heads[number]
    joined = (" x " if head.join == "product" else " + ").join(head.streams)
    return head.name, f"{READS[head.reads]} of {joined}", f"{head.outputs:,}" if head.outputs else "what is read"


def _short(value: float) -> str:
    """1234567 -> `1.23 M`, with the unit to be joined on."""
    for unit in ("", "k", "M", "G", "T"):
        if value < 1000:
            return f"{value:.3g} {unit}"
        value /= 1000
    return f"{value:.3g} P"
