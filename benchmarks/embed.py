"""Recall at 10 of emoji names against keywords: a Transformer beside averaged word vectors, both trained on the same
pairs with the same contrastive loss, batches and steps. The averages are the same model without its blocks: token
vectors, their mean, one linear map.

python benchmarks/embed.py recipes/emoji-embed.toml --pairs emoji-texts (made by recipes/emoji_texts.py)
    [--run RUN: of the recipe, finished; else it is trained] [--rates 1e-3,3e-3,1e-2: tried for the averages; the best
    on dev.tsv is told] [--set KEY=VALUE ...]
"""

from __future__ import annotations

import argparse
import json
import tempfile
import time
from pathlib import Path
from typing import Any

import msgspec
import torch
from record import write

from heedful.config import Recipe, read_recipe
from heedful.data.pairs import read_pairs
from heedful.measure.retrieval import scores
from heedful.model.model import Model
from heedful.model.plan import Plan, Tokens
from heedful.tasks import runs
from heedful.tasks.embed import Embedder, load
from heedful.tasks.embed.closing import groups_of
from heedful.tasks.embed.embedder import Settings
from heedful.tasks.embed.task import learning
from heedful.text.tokenizer import Tokenizer
from heedful.train.schedule import rate


def without_blocks(plan: Plan) -> Plan:
    """Token vectors alone: no positions, no segments, no norm, no steps."""
    stream = plan.streams[0]
    assert isinstance(stream.embedding, Tokens)
    bare = {"positions": "none", "segments": 0, "norm": None}
    embedding = msgspec.structs.replace(stream.embedding, **bare)
    streams = (msgspec.structs.replace(stream, embedding=embedding, pool=None),)
    return msgspec.structs.replace(plan, streams=streams, steps=(), ties=())


def averages(recipe: Recipe, run: Path, plan: Plan, peak: float) -> tuple[Embedder, float]:
    """Averaged vectors, trained on the run's data as long as the run; and the CPU seconds."""
    tokenizer, began = Tokenizer.load(run / "data" / "tokenizer.json"), time.process_time()
    model = Model(without_blocks(plan), recipe.seed)
    task = learning(recipe, run / "data", model, tokenizer, torch.device("cpu"))
    training = msgspec.structs.replace(recipe.training, rate=peak)
    optimizer = torch.optim.AdamW(model.parameters(), betas=training.betas, eps=training.eps, weight_decay=0.01)
    step, epoch, steps = 0, 0, training.steps or 0
    while step < steps:
        for numbers in task.micro_batches(epoch)[: steps - step]:
            step += 1
            torch.manual_seed(step)
            batch = task.collate(numbers, epoch)
            (model(batch.inputs, batch.labels)["embedding"].loss / batch.tokens).backward()
            torch.nn.utils.clip_grad_norm_(model.parameters(), training.clip)
            for group in optimizer.param_groups:
                group["lr"] = rate(training, 1, step, steps)
            optimizer.step()
            optimizer.zero_grad()
        epoch += 1
    return Embedder(model, tokenizer, Settings(recipe.data.longest)), time.process_time() - began


def measured(embedder: Embedder, pairs: Path) -> dict[str, Any]:
    """Recall on every dev file: of the keywords by the name, and of the name by the keywords."""
    found = {}
    for file in sorted(pairs.glob("dev*.tsv")):
        rows = list(read_pairs(file))
        first, second = (embedder.embed([row[side] for row in rows]) for side in (0, 1))
        of = scores(first, second, groups_of(rows))
        names = ("recall", "recall10_there", "recall10_back", "recall1_there", "recall1_back")
        found[file.stem] = {name: round(100 * of[name], 1) for name in names} | {"pairs": len(rows)}
    ways = [one["recall"] for name, one in found.items() if name != "dev"]
    return {"mean of all languages": round(sum(ways) / max(len(ways), 1), 1), **found}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("recipe", type=Path)
    parser.add_argument("--pairs", type=Path, default=Path("emoji-texts"))
    parser.add_argument("--run", type=Path)
    parser.add_argument("--rates", default="1e-3,3e-3,1e-2")
    parser.add_argument("--set", dest="settings", action="append", default=[])
    given = parser.parse_args()
    run = given.run or Path(tempfile.mkdtemp()) / "run"
    if not (run / "model").exists():
        began = time.process_time()
        runs.train(read_recipe(given.recipe, given.settings), run, given.pairs.absolute().parent)
        print(f"{time.process_time() - began:.0f} CPU seconds")
    torch.set_num_threads(1)
    recipe, transformer = read_recipe(run / "recipe.toml"), load(run)
    figures: dict[str, Any] = {"recipe": given.recipe.name, "steps": recipe.training.steps}
    figures["chance"] = round(1000 / len(list(read_pairs(given.pairs / "dev.tsv"))), 1)
    figures["transformer"] = measured(transformer, given.pairs)
    tried = {}
    for peak in map(float, given.rates.split(",")):
        embedder, seconds = averages(recipe, run, transformer.model.plan, peak)
        tried[peak] = {"rate": peak, "CPU seconds": round(seconds, 1), **measured(embedder, given.pairs)}
    figures["averages"] = max(tried.values(), key=lambda one: one["dev"]["recall"])
    print(json.dumps(figures, indent=1))
    print(write("embed", figures))


if __name__ == "__main__":
    main()
