"""How far attention explains an answer: what a translator looked at against what its words hang on.

    python benchmarks/explains.py RUN multi30k/val.en [--sentences 100] [--data DIR] [--name multi30k]

The model translates the sentences. For each word that it wrote, every source word gets a number by each measure:
cross-attention (the mean of all heads, of the last layer, of the layer whose mean tells most about who asks, and the
sharpest head), the same by what values add (Kobayashi et al. 2020), attention rollout (Abnar & Zuidema 2020),
integrated gradients (Sundararajan et al. 2017). The yardstick is occlusion: by how much the log-probability of the
written word falls when the source word is hidden from the model.

"first": how often the measure's first word is also the one without which the written word loses most; "rank":
Spearman's correlation with the losses, the mean over written words; "flips": how often hiding the measure's first word
makes another token likelier than one that was written. Ends of sentences and tags are no words here: how much of the
attention they take is told. Words of source sentences with fewer than four words are left out.
"""

from __future__ import annotations

import argparse
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from record import write

from heedful.data.readers import read_lines
from heedful.inside.alignment import Words, words_of
from heedful.inside.attribution import blank, integrated_gradients, occlusion
from heedful.inside.measures import value_weighted
from heedful.inside.probing import Seen, capture, hidden
from heedful.inside.record import Kind, Layer, Line
from heedful.inside.rollout import rollouts
from heedful.inside.scores import token_scores
from heedful.model.attention import Attention
from heedful.model.embeddings import TokenInput
from heedful.model.layout import Layout
from heedful.model.model import Model
from heedful.tasks.translate import Translator, load

KINDS = ("source.source", "target.target", "target.source")
HEAD = "next_token"
FEWEST = 4  # source words
Array = np.ndarray


def inputs_of(source: Sequence[int], target: Sequence[int]) -> dict[str, TokenInput]:
    return {
        name: TokenInput(torch.tensor(ids), Layout.packed(np.array([len(ids)])))
        for name, ids in (("source", source), ("target", target))
    }


def attentions(model: Model, inputs: Mapping[str, TokenInput]) -> dict[str, Array]:
    """What each measure of attention makes of [target tokens, source tokens]."""
    looked = capture(model, inputs, ["*.weights", "target.*.source.value"])
    layers: dict[str, list[Layer]] = {kind: [] for kind in KINDS}
    for address in (one for one in looked.addresses if one.endswith(".weights")):
        where = address.removesuffix(".weights")
        stream, _, attended = where.split(".")
        weighted = _weighted(model, looked, where) if (stream, attended) == ("target", "source") else None
        layers[f"{stream}.{attended}"].append(Layer(where, looked.row(address).numpy(), weighted))
    kinds = [Kind(name, name, *name.split("."), name == KINDS[1], tuple(own)) for name, own in layers.items()]
    lines = {name: _line(name, given.layout.tokens) for name, given in inputs.items()}
    cross = kinds[2].layers
    weighted = [layer.weighted for layer in cross if layer.weighted is not None]
    every = np.concatenate([layer.weights for layer in cross])
    return {
        "attention, all heads": every.mean(0),
        "attention, last layer": cross[-1].weights.mean(0),
        "attention, most telling layer": max((layer.weights.mean(0) for layer in cross), key=information),
        "attention, sharpest head": every[int(every.max(-1).mean(-1).argmax())],
        "attention by values, all heads": np.concatenate(weighted).mean(0),
        "attention by values, last layer": weighted[-1].mean(0),
        "rollout": next(view.weights for view in rollouts(kinds, lines) if view.kind == KINDS[2]),
    }


def information(weights: Array) -> float:
    """How many bits it tells what is attended to to know who asks, all that ask being equally likely."""
    bits = lambda rows: -(rows * np.log2(np.maximum(rows, 1e-12))).sum(-1)
    return float(bits(weights.mean(0)) - bits(weights).mean())


def _weighted(model: Model, looked: Seen, where: str) -> Array:
    module = model.get_submodule(where)
    assert isinstance(module, Attention)
    return value_weighted(module, looked.row(f"{where}.value"), looked.row(f"{where}.weights")).numpy()


def _line(name: str, size: int) -> Line:
    return Line(name, name, ("",) * size, ("",) * size, np.arange(size), (False,) * size)


def grouped(values: Array, written: Words, read: Words, count: int) -> Array:
    """Numbers by token [target, source] by words [written, read]: mean over tokens that ask, sum over those asked."""
    found = np.zeros((count, len(read.texts)))
    np.add.at(found, (written.index[:, None], read.index[None, :]), values)
    return found / np.bincount(written.index, minlength=count)[:, None]


def examined(translator: Translator, sentence: str, tag: str | None) -> dict[str, Any] | None:
    """Of one sentence, by measure, numbers [written words, source words]; what hiding does; None for a short one."""
    own, model = translator.tokenizers["target"], translator.model
    source = translator.encode(sentence, tag)
    target = own.encode(translator.translate([sentence], tag)[0])
    read, written = words_of(translator.tokenizers["source"], source), words_of(own, target)
    text = [place for place, first in enumerate(read.first) if translator.tokenizers["source"].is_text(first)]
    if len(text) < FEWEST or not target:
        return None
    inputs = inputs_of(source, [own.start, *target])
    score = token_scores(model, HEAD, range(len(target)), target)
    groups = [[int(token) for token in np.flatnonzero(read.index == word)] for word in text]
    keep = [place for place, token in enumerate(source) if not translator.tokenizers["source"].is_text(token)]
    measures = {name: grouped(found[: len(target)], written, read, len(written.texts))
                for name, found in attentions(model, inputs).items()}  # fmt: skip
    baseline = blank(inputs["source"], translator.tokenizers["source"].unknown, keep)
    made = integrated_gradients(model, inputs, score, "source", baseline=baseline).values
    measures["integrated gradients"] = grouped(made, written, read, len(written.texts))
    losses = occlusion(model, inputs, score, "source", groups)  # [target tokens, words of text]
    sums = np.zeros((len(written.texts), len(text)))
    np.add.at(sums, written.index, losses)
    controls = {name: 1 - found[:, text].sum(-1) for name, found in measures.items() if "gradients" not in name}
    return {
        "measures": {name: found[:, text] for name, found in measures.items()},
        "losses": sums,
        "controls": controls,
        "flips": _flips(model, inputs, target, groups, written),
    }


def _flips(model: Model, inputs: Mapping[str, TokenInput], target: Sequence[int], groups: Any, written: Words) -> Array:
    """Whether, with a source word hidden, another token is likeliest where one of the word was written
    [written words, source words]; only where the token was likeliest before."""

    def likeliest(*edits: Any) -> Array:
        looked = capture(model, inputs, ["target.embedding.output"], *edits)
        places = torch.arange(len(target))
        return model.logits(HEAD, looked.states, looked.layouts, places).argmax(-1).numpy() == np.array(target)

    with torch.no_grad():
        before = likeliest()
        changed = np.stack([before & ~likeliest(hidden("source", group)) for group in groups], 1)
    found = np.zeros((len(written.texts), len(groups)), bool)
    np.logical_or.at(found, written.index, changed)
    return found


def spearman(one: Array, other: Array) -> float:
    """Of two rows; equal numbers share the mean of their ranks."""
    ranks = []
    for values in (one, other):
        _, inverse, counts = np.unique(values, return_inverse=True, return_counts=True)
        ends = np.cumsum(counts)
        ranks.append(((ends - counts + ends - 1) / 2)[inverse])
    return float(np.corrcoef(*ranks)[0, 1]) if all(np.ptp(rank) for rank in ranks) else 0.0


def summed(found: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """The table: over all written words."""
    names = list(found[0]["measures"])
    rows: dict[str, Any] = {}
    for name in [*names, "occlusion"]:
        first, rank, flips = [], [], []
        for one in found:
            values = one["losses"] if name == "occlusion" else one["measures"][name]
            best, most = values.argmax(-1), one["losses"].argmax(-1)
            first += (best == most).tolist()
            flips += one["flips"][np.arange(len(best)), best].tolist()
            rank += [spearman(*pair) for pair in zip(values, one["losses"], strict=True)]
        rows[name] = {
            "first": round(float(np.mean(first)), 4),
            "rank": round(float(np.mean(rank)), 4),
            "flips": round(float(np.mean(flips)), 4),
        }
        if name in found[0]["controls"]:
            given = np.concatenate([one["controls"][name] for one in found])
            rows[name]["to ends and tags"] = round(float(given.mean()), 4)
    chance = [1 / one["losses"].shape[1] for one in found for _ in one["losses"]]
    anywhere = [share for one in found for share in one["flips"].mean(-1)]
    rows["a word at random"] = {"first": round(float(np.mean(chance)), 4), "rank": 0.0,
                                "flips": round(float(np.mean(anywhere)), 4)}  # fmt: skip
    return rows


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run", type=Path)
    parser.add_argument("source")
    parser.add_argument("--data", type=Path, default=Path(os.environ.get("HEEDFUL_DATA", "")))
    parser.add_argument("--sentences", type=int, default=100)
    parser.add_argument("--tag")
    parser.add_argument("--name", default="multi30k")
    given = parser.parse_args()
    torch.set_num_threads(1)
    translator = load(given.run)
    lines = list(read_lines(given.data / given.source))[: given.sentences]
    found = [one for line in lines if (one := examined(translator, line, given.tag)) is not None]
    rows = summed(found)
    for name, row in rows.items():
        print(f"{name:40}", row)
    words = sum(len(one["losses"]) for one in found)
    print(f"{words} written words of {len(found)} sentences")
    figures = {"source": given.source, "sentences": len(found), "written words": words, "rows": rows}
    print(write(f"explains-{given.name}", figures))


if __name__ == "__main__":
    main()
