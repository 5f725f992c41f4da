"""What-ifs of a reading: its answer without each word and without each head, and what is answered then."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch

from ...inside.attribution import blank, integrated_gradients
from ...inside.probing import Edit, Once, Together, hidden, patched
from ...inside.probing import heads_off as probing_heads_off
from ...inside.record import Line, Reals, Record, Said, View, WhatIf, layer_number
from ...inside.rescoring import Without, evaluating, rescored
from ...model.probe import Probe
from ...model.pruning import attentions
from .reading import Reading, Row

FEW_SECONDS = 6e10  # multiplications and additions: what is done unasked
MOST_WORDS, MOST_HEADS = 256, 768
REDONE = 8  # of the changes that matter most, what is answered then
LEAST = 0.01  # nats, or cosine: changes below that are not worth answering anew


@dataclass(frozen=True)
class Change:
    """One change: of a row (None: of all), in words. `what` and `where` are those of `record.WhatIf`."""

    what: str
    where: tuple[str, int]
    label: str
    without: Without
    row: int | None = None


def words_hidden(reading: Reading) -> list[Change]:
    """Every word, region and mask of what was given."""
    found = []
    for number, row in enumerate(reading.rows):
        for stream in row.told:
            line = row.lines[stream]
            for word, places in told_words(reading, row, stream):
                if not line.control[word]:
                    change = Without(tokens={stream: places})
                    found.append(Change("word", (line.name, word), f"without {called(line, word)}", change, number))
    return found


def called(line: Line, word: int) -> str:
    """A word as it is told from others: “the” (2 of 3)."""
    text = line.words[word]
    alike = [number for number, other in enumerate(line.words) if other == text]
    return f"“{text}”" + (f" ({alike.index(word) + 1} of {len(alike)})" if len(alike) > 1 else "")


def told_of(reading: Reading, row: Row, stream: str) -> int:
    """How many tokens of a stream were given: of a text that goes on, those of the prompt."""
    if stream in row.asks and reading.scored is not None:
        return int(min(reading.scored.at[stream])) + 1
    return len(row.lines[stream])


def told_words(reading: Reading, row: Row, stream: str) -> list[tuple[int, list[int]]]:
    """The words of which something was given, each with its tokens that were."""
    line, told = row.lines[stream], told_of(reading, row, stream)
    places = [np.flatnonzero(line.word[:told] == word).tolist() for word in range(len(line.words))]
    return [(word, own) for word, own in enumerate(places) if own]


def heads_off(reading: Reading) -> list[Change]:
    """Every head."""
    return [
        head_off(address, head) for address, attend in attentions(reading.model.plan) for head in range(attend.heads)
    ]


def head_off(address: str, head: int) -> Change:
    stream, _, attended = address.split(".")
    to = "itself" if attended == stream else attended
    label = f"without head {head + 1} of layer {layer_number(address)}, {stream} to {to}"
    return Change("head", (address, head), label, Without(heads={address: [head]}))


def work(reading: Reading, changes: int) -> float:
    """Multiplications and additions of so many runs, about."""
    tokens = sum(given.layout.tokens for row in reading.rows for given in row.inputs.values())
    held = sum(parameter.numel() for name, parameter in reading.model.named_parameters() if ".embedding." not in name)
    return 2.0 * changes * tokens * held


def with_what_ifs(record: Record, reading: Reading, asked: bool) -> Record:
    """The record with what-ifs, and a note where some were left out.

    `asked`: they may take their time; else only as many heads are switched off as a few seconds allow, those that
    matter most by gradient.
    """
    if reading.scored is None:
        return noted(record, "There are no what-ifs: there is no answer to hold changes against.") if asked else record
    words, heads, notes = words_hidden(reading), heads_off(reading), []
    if len(words) > MOST_WORDS:
        notes.append(f"What-ifs: of {len(words)} words the first {MOST_WORDS} are hidden.")
        words = words[:MOST_WORDS]
    if reading.windows:
        notes.append("What is answered without a word is left out: of several windows that are read, one is shown.")
    room = MOST_HEADS if asked else int(FEW_SECONDS / max(1.0, work(reading, 1))) - len(words)
    if room < min(8, len(heads)):
        return noted(record, "What-ifs would take more than a few seconds; ask for them: --what-if.")
    if len(heads) > room:
        notes.append(f"What-ifs: of {len(heads)} heads those {room} are switched off that matter most by gradient.")
        heads = likeliest_to_matter(reading, heads, room)
    runs, changes = judged(reading, [*words, *heads])
    views = hidden_words(record, reading, words, changes[: len(words)])
    return noted(replace(record, what_if=tuple(runs), views=(*record.views, *views)), *notes)


def judged(reading: Reading, changes: Sequence[Change], redone: int = REDONE) -> tuple[list[WhatIf], Reals]:
    """All changes as runs, and by how much each changes each number of the score [changes, n]; of the `redone` that
    matter most the answer is given anew."""
    first, *rest = scores_of(reading, [[change] for change in changes])
    each = np.array(rest, np.float32).reshape(-1, len(first)) - first
    total = each.sum(1)
    worst = np.argsort(-np.abs(total), kind="stable")[:redone]
    again = {int(n): _again(reading, changes[n]) for n in worst if abs(total[n]) >= LEAST}
    runs = [run_of(reading, change, first, now, *again.get(n, ("", ()))) for n, (change, now) in
            enumerate(zip(changes, rest, strict=True))]  # fmt: skip
    return runs, each


def run_of(
    reading: Reading, change: Change, first: Reals, now: Reals, text: str = "", said: tuple[Said, ...] = ()
) -> WhatIf:
    """A changed run, whose score was `first` [n], is `now` [n]."""
    apart = tuple(map(float, now - first)) if len(reading.said) == len(now) else ()
    less = float((now - first).sum())
    return WhatIf(change.what, change.where, change.label, text, float(now.sum()), less, said, apart)


def scores_of(reading: Reading, changes: Sequence[Sequence[Change]]) -> Reals:
    """The numbers of the score [1 + changes, n]: as it was, then under some changes together, and others, ..."""
    scored = reading.scored
    assert scored is not None
    found = []
    for number, row in enumerate(reading.rows):
        own = [without(some, number) for some in changes]
        found.append(rescored(reading.model, row.inputs, scored.score, [Without(), *own], last=scored.last))
    return scored.combine(found)


def without(changes: Sequence[Change], row: int) -> Without:
    """What a row goes without under all of some changes."""
    heads: dict[str, list[int]] = {}
    tokens: dict[str, list[int]] = {}
    states: dict[str, tuple[list[int], torch.Tensor]] = {}
    for change in changes:
        if change.row in (None, row):
            for address, (places, given) in change.without.states.items():
                before = states.get(address, ([], given[:0]))
                states[address] = ([*before[0], *places], torch.cat([before[1], given]))
            for address, numbers in change.without.heads.items():
                heads.setdefault(address, []).extend(numbers)
            for stream, places in change.without.tokens.items():
                tokens.setdefault(stream, []).extend(places)
    return Without(heads, tokens, states)


def answers_anew(reading: Reading, changes: Sequence[Change]) -> bool:
    """Whether it can be told what is answered then: a hidden token is named by its place in one row, and the answer may
    be made of more, a text of two or several windows."""
    return all(change.row is None for change in changes) or (len(reading.rows) == 1 and not reading.windows)


def _again(reading: Reading, change: Change) -> tuple[str, tuple[Said, ...]]:
    """What is answered then; nothing, where it cannot be told."""
    if not answers_anew(reading, [change]):
        return "", ()
    with reading.model.watched(edit_everywhere(change.without, anew=True)):
        found = reading.again()
    return found.answer, found.said


def edit_everywhere(change: Without, anew: bool = False) -> Probe:
    """The change as a probe that is felt in every row of whatever is read; `anew`: while one text is answered anew,
    else in passes over one."""
    states = Together(*(patched(address, *given) for address, given in change.states.items()))
    edits = [hidden(stream, tokens) for stream, tokens in change.tokens.items()]
    return Together(Once(states) if anew else states, *edits, probing_heads_off(change.heads))


def likeliest_to_matter(reading: Reading, heads: Sequence[Change], count: int) -> list[Change]:
    """The heads whose weights the score depends on most: by the size of its gradient along them."""
    scores = sensitivity(reading)
    ranked = sorted(range(len(heads)), key=lambda n: -scores[heads[n].where[0]][heads[n].where[1]])
    return [heads[n] for n in sorted(ranked[:count])]


def sensitivity(reading: Reading) -> dict[str, Reals]:
    """|d score / d gate| [heads] by attention, a gate of 1 on the weights of each head, for the total of the score
    (Michel et al. 2019, section 4, equation 2, on one example); where that is several numbers, their length."""
    model, scored = reading.model, reading.scored
    assert scored is not None
    attends = dict(attentions(model.plan))
    gates = {address: torch.ones(attend.heads, requires_grad=True) for address, attend in attends.items()}
    squares = {address: np.zeros(attend.heads, np.float32) for address, attend in attends.items()}

    def gated(address: str, weights: torch.Tensor, rows: object) -> torch.Tensor:
        return weights * gates[address.removesuffix(".weights")].to(weights)[None, :, None, None]

    with evaluating(model), torch.enable_grad():
        found = []
        for row in reading.rows:
            states = {name: model.embedded(name, given) for name, given in row.inputs.items()}
            layouts = {name: given.layout for name, given in row.inputs.items()}
            ends = model.run(states, layouts, probe=Edit(("*.weights",), gated), last=scored.last)
            found.append(scored.score(ends, layouts))
        for one in scored.total(found):
            slopes = torch.autograd.grad(
                one, list(gates.values()), retain_graph=True, allow_unused=True, materialize_grads=True
            )
            for address, slope in zip(gates, slopes, strict=True):
                squares[address] += slope.cpu().numpy() ** 2
    return {address: np.sqrt(square) for address, square in squares.items()}


# ---- attributions ----------------------------------------------------------------------------------------------------


def hidden_words(record: Record, reading: Reading, words: Sequence[Change], changes: Reals) -> list[View]:
    """Occlusion as views: what each word adds to each number of the score, spread over its tokens."""
    added: dict[tuple[int, str], Reals] = {}
    for change, lost in zip(words, -changes, strict=True):
        assert change.row is not None
        ((stream, places),) = change.without.tokens.items()
        line = reading.rows[change.row].lines[stream]
        values = added.setdefault((change.row, stream), np.zeros((len(lost), len(line)), np.float32))
        values[:, list(places)] = lost[:, None] / len(places)
    note = "What the answer loses when a word is hidden from all attention (occlusion, Zeiler and Fergus 2014, 4.2)."
    return [
        view
        for (row, stream), values in added.items()
        for view in _attributed(record, reading, row, stream, values, "occlusion", "hidden words", note)
    ]


def integrated(record: Record, reading: Reading) -> Record:
    """The record with integrated gradients as views."""
    scored, views = reading.scored, list(record.views)
    if scored is None or len(reading.rows) > 1:
        return noted(record, "There are no integrated gradients: they are of one text and its answer.")
    (row,) = reading.rows
    for stream in row.told:
        line, told, given = row.lines[stream], told_of(reading, row, stream), row.inputs[stream]
        keep = [n for n in range(len(line)) if n >= told or line.control[line.word[n]]]
        baseline = blank(given, row.blank, keep)
        found = integrated_gradients(
            reading.model, row.inputs, scored.score, stream, baseline=baseline, last=scored.last
        )
        gap = float(np.abs(found.gap).sum() / max(1e-9, float(np.abs(found.change).sum())))
        note = (
            "What each token adds to the answer on the way from a text of masks or unknown words, or an empty picture "
            f"(integrated gradients, Sundararajan et al. 2017, equation 1); {gap:.0%} of the change is not explained."
        )
        views += _attributed(record, reading, 0, stream, found.values, "ig", "integrated gradients", note)
    return replace(record, views=tuple(views))


def _attributed(
    record: Record, reading: Reading, row: int, stream: str, values: Reals, name: str, label: str, note: str
) -> list[View]:
    """Values [numbers of the score, tokens] as a view of the kind that the score is read by; none where there is no
    such kind."""
    scored, lines = reading.scored, reading.rows[row].lines
    assert scored is not None
    kinds = {kind.name: kind for kind in record.kinds}
    for asking in (*scored.at, stream):
        kind = kinds.get(f"{lines[asking].name}.{lines[stream].name}")
        if kind is not None:
            weights = np.zeros((len(record.lines[kind.queries]), values.shape[1]), np.float32)
            np.add.at(weights, list(scored.at.get(asking, [0] * len(values))), values)
            return [View(kind.name, name, label, note, weights, signed=True)]
    return []


def noted(record: Record, *notes: str) -> Record:
    """With more notes."""
    return replace(record, notes=(*record.notes, *notes))
