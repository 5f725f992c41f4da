"""Translation: from parallel text to a trained encoder-decoder."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import msgspec
import numpy as np
import torch
from torch import nn

from ..config import Data, Recipe
from ..data.batches import Batches
from ..data.corpora import Corpora, Part
from ..data.readers import Pair, paths, read_pairs, resolve
from ..data.shards import Counts, Sampling, Shards, build_shards, key_of
from ..errors import UserError
from ..model import hardware
from ..model.embeddings import TokenInput
from ..model.families import plan
from ..model.heads import Labels
from ..model.layout import Layout
from ..model.model import Model
from ..text.tokenizer import Tokenizer, train_tokenizer
from ..train import distributed, loop
from ..train.run import Run, choose

SIDES = ("source", "target")
READ_FOR_TOKENIZER = 1_000_000  # pairs; more change a vocabulary little and cost memory
VALIDATION_TOKENS = 4096


@dataclass
class Batch:
    """One micro-batch on the model's device; `tokens` counts real target tokens, the end token included."""

    tokens: int
    inputs: dict[str, TokenInput]
    labels: dict[str, Labels]


class Translation:
    """The task as the training loop sees it."""

    def __init__(self, recipe: Recipe, folder: Path, device: torch.device) -> None:
        self.recipe = recipe
        self.tokenizers = load_tokenizers(folder)
        self.corpus, self.dev = (self._corpus(folder, name) for name in ("train", "dev"))
        self.batches = Batches(self.corpus, recipe.training.batch_tokens, recipe.seed)
        self.dev_batches = Batches(self.dev, VALIDATION_TOKENS, recipe.seed).in_order()
        self.device = device
        self.model = Model(build_plan(recipe, self.tokenizers), recipe.seed).to(device)
        self.width = self.model.plan.stream("target").width

    def _corpus(self, folder: Path, name: str) -> Corpora:
        tags = self.recipe.data.tags
        before = [(self.tokenizers["source"].tag(tag),) for tag in tags] if tags else [()]
        return Corpora([Part(Shards.open(folder / f"{name}-{number}"), ids) for number, ids in enumerate(before)])

    def micro_batches(self, epoch: int) -> Sequence[Any]:
        return self.batches.epoch(epoch)

    def collate(self, micro_batch: Any, epoch: int) -> Batch:
        return self._batch(self.corpus, micro_batch, epoch)

    def _batch(self, corpus: Corpora, examples: Any, epoch: int | None) -> Batch:
        source, source_lengths = corpus.rows("source", examples, epoch)
        target, target_lengths = corpus.rows("target", examples, epoch)
        source_ends, target_ends = np.cumsum(source_lengths), np.cumsum(target_lengths)
        layouts = [Layout.packed(lengths + 1, self.device) for lengths in (source_lengths, target_lengths)]
        move = lambda ids: torch.from_numpy(ids).to(self.device)
        return Batch(
            tokens=layouts[1].tokens,
            inputs={
                "source": TokenInput(move(np.insert(source, source_ends, Tokenizer.end)), layouts[0]),
                "target": TokenInput(move(np.insert(target, target_ends - target_lengths, Tokenizer.start)), layouts[1]),
            },
            labels={"next_token": Labels(move(np.insert(target, target_ends, Tokenizer.end)))},
        )

    def validate(self, model: nn.Module) -> dict[str, float]:
        """Mean negative log-likelihood of the dev tokens in nats, and the share of them ranked first."""
        nll, correct, count = 0.0, 0, 0
        for examples in self.dev_batches:
            batch = self._batch(self.dev, examples, None)
            sums = model(batch.inputs, batch.labels)["next_token"]
            nll, correct, count = nll + float(sums.nll), correct + int(sums.correct), count + sums.count
        return {"loss": nll / count, "accuracy": correct / count}

    def finish(self, run: Path, model: nn.Module) -> None:
        """RUN/model: weights, config.json with what decoding needs to know, tokenizers."""
        assert isinstance(model, Model)
        extra = {"task": "translate", "tags": self.recipe.data.tags, "decoding": msgspec.to_builtins(self.recipe.decoding)}
        model.save(run / "model", extra)
        save_tokenizers(run / "model", self.tokenizers)


# ---- from a recipe to data on disk ------------------------------------------------------------------------------------


def prepare(recipe: Recipe, folder: Path) -> list[Counts]:
    """Tokenizers and shards in `folder`, from the recipe's files; what is there and still right is used again.

    Returns the counts of every training part. Without dev files some examples, drawn by seed, are held out.
    """
    folder.mkdir(parents=True, exist_ok=True)
    parts = parts_of(recipe.data)
    files = [path for data in parts for dev in (False, True) for path in paths(data, dev=dev)]
    options = msgspec.to_builtins((recipe.tokenizer, recipe.seed, recipe.data.longest, recipe.data.hold_out))
    tokenizers = _tokenizers(recipe, folder, key_of(files, [], {"of": "tokenizer", "options": options}))
    counts = []
    for number, data in enumerate(parts):
        sampling = None
        if recipe.tokenizer.sampling:
            sampling = Sampling(recipe.tokenizer.sampling, recipe.tokenizer.segmentations, recipe.seed + number)
        held = _held_out(recipe, data, number)
        for name in ("train", "dev"):
            key = key_of(files, list(tokenizers.values()), {"part": number, "name": name, "options": options})
            shards = Shards.reuse(folder / f"{name}-{number}", key)
            if shards is None:
                pairs = ((pair.source, pair.target) for pair in _pairs(data, name, held))
                shards = build_shards(
                    folder / f"{name}-{number}", pairs, tokenizers, key=key, longest=recipe.data.longest,
                    sampling=sampling if name == "train" else None,
                )  # fmt: skip
            if name == "train":
                counts.append(shards.counts)
    return counts


def parts_of(data: Data) -> list[Data]:
    """The corpora that get a tag each: one per file (or pair of files); a single one where there are no tags."""
    if not data.tags:
        return [data]
    train, dev = [len(data.source) + len(data.pairs), len(data.target) + len(data.pairs)], len(data.dev_source + data.dev_pairs)
    if train != [len(data.tags)] * 2 or dev not in (0, len(data.tags)):
        raise UserError(
            f"data.tags names {len(data.tags)} languages for {train[0]} training and {dev} dev corpora; name one for each"
        )
    split = []
    for number in range(len(data.tags)):
        one = slice(number, number + 1)
        if number < len(data.source):
            kept = {"source": data.source[one], "target": data.target[one], "pairs": ()}
        else:
            kept = {"source": (), "target": (), "pairs": data.pairs[number - len(data.source) :][:1]}
        if number < len(data.dev_source):
            kept |= {"dev_source": data.dev_source[one], "dev_target": data.dev_target[one], "dev_pairs": ()}
        else:
            kept |= {"dev_source": (), "dev_target": (), "dev_pairs": data.dev_pairs[number - len(data.dev_source) :][:1]}
        split.append(msgspec.structs.replace(data, tags=data.tags[one], **kept))
    return split


def _has_dev(data: Data) -> bool:
    return bool(data.dev_source or data.dev_pairs)


def _pairs(data: Data, name: str, held: frozenset[int]) -> Iterator[Pair]:
    if _has_dev(data):
        yield from read_pairs(data, dev=name == "dev")
        return
    for number, pair in enumerate(read_pairs(data)):
        if (number in held) == (name == "dev"):
            yield pair


def _held_out(recipe: Recipe, data: Data, number: int) -> frozenset[int]:
    if _has_dev(data):
        return frozenset()
    total = sum(1 for _ in read_pairs(data))
    if total < 2:
        raise UserError(f"{total} pairs are too few: one for training and one held out are needed")
    wanted = recipe.data.hold_out or min(1000, max(1, total // 20))
    drawn = np.random.default_rng((recipe.seed, number)).choice(total, size=min(wanted, total // 2), replace=False)
    return frozenset(drawn.tolist())


def _tokenizers(recipe: Recipe, folder: Path, key: str) -> dict[str, Tokenizer]:
    """Those in `folder` if they were made from the same; else trained and saved there."""
    stamp = folder / "tokenizers.key"
    if stamp.exists() and stamp.read_text("ascii") == key:
        return load_tokenizers(folder)
    chosen, sides = recipe.tokenizer, {}
    if chosen.size is None:
        raise UserError("tokenizer.size is not chosen yet; complete the recipe first")
    for side in ("joint",) if chosen.joint else SIDES:
        tags = recipe.data.tags if side != "target" else ()
        lines = _training_text(recipe.data, side)
        sides[side] = train_tokenizer(lines, chosen.kind, chosen.size, chosen.lowercase, chosen.digits, list(dict.fromkeys(tags)))
    tokenizers = {side: sides.get(side) or sides["joint"] for side in SIDES}
    save_tokenizers(folder, tokenizers)
    stamp.write_text(key, "ascii")
    return tokenizers


def _training_text(data: Data, side: str) -> Iterator[str]:
    for number, pair in enumerate(read_pairs(data)):
        if number == READ_FOR_TOKENIZER:
            return
        if side != "target":
            yield pair.source
        if side != "source":
            yield pair.target


def save_tokenizers(folder: Path, tokenizers: dict[str, Tokenizer]) -> None:
    """tokenizer.json where both sides share one, else one file a side."""
    if tokenizers["source"] is tokenizers["target"]:
        tokenizers["source"].save(folder / "tokenizer.json")
    else:
        for side, tokenizer in tokenizers.items():
            tokenizer.save(folder / f"tokenizer.{side}.json")


def load_tokenizers(folder: Path) -> dict[str, Tokenizer]:
    """What `save_tokenizers` wrote."""
    if (folder / "tokenizer.source.json").exists():
        return {side: Tokenizer.load(folder / f"tokenizer.{side}.json") for side in SIDES}
    joint = Tokenizer.load(folder / "tokenizer.json")
    return {"source": joint, "target": joint}


# ---- sizes ------------------------------------------------------------------------------------------------------------


def complete(recipe: Recipe, root: Path | None = None) -> Recipe:
    """The recipe with files resolved, and what it leaves open chosen from the number of pairs and the machine."""
    if recipe.task != "translate":
        raise UserError(f"the recipe's task is {recipe.task!r}, not 'translate'")
    data = recipe.data
    if not (data.source or data.pairs):
        raise UserError("no training data: give --source and --target, or --pairs")
    names = [name for name in data.__struct_fields__ if name.endswith(("source", "target", "pairs"))]
    located = {name: tuple(str(resolve(file, root).absolute()) for file in getattr(data, name)) for name in names}
    data = msgspec.structs.replace(data, **located)
    pairs = sum(1 for _ in read_pairs(data))
    model, training, tokenizer = dict(recipe.model), recipe.training, recipe.tokenizer
    if "preset" not in model:
        sizes = ((5_000, "transformer-tiny"), (100_000, "transformer-mini"), (1_000_000, "transformer-small"))
        model["preset"] = next((name for most, name in sizes if pairs <= most), "transformer-base")
    if tokenizer.size is None:
        sizes_ = ((5_000, 2000), (100_000, 8000), (1_000_000, 16000))
        tokenizer = msgspec.structs.replace(tokenizer, size=next((size for most, size in sizes_ if pairs <= most), 32000))
    if training.steps is None and training.limit is None:
        training = msgspec.structs.replace(training, limit="60m")
    return msgspec.structs.replace(recipe, data=data, model=model, training=training, tokenizer=tokenizer)


def build_plan(recipe: Recipe, tokenizers: dict[str, Tokenizer]) -> Any:
    """The recipe's plan with the vocabularies' true sizes."""
    options = dict(recipe.model)
    name = options.pop("preset", "transformer-mini")
    if {"vocab", "target_vocab"} & options.keys():
        raise UserError("model.vocab is the tokenizer's to say; set tokenizer.size")
    joint = tokenizers["source"] is tokenizers["target"]
    vocab = {"vocab": tokenizers["source"].vocab_size}
    if not joint:
        vocab["target_vocab"] = tokenizers["target"].vocab_size
    built = plan(name, **options, **vocab)
    if {stream.name for stream in built.streams} != set(SIDES):
        raise UserError(f"model.preset {name!r} is not an encoder-decoder; try transformer-mini")
    return built


# ---- runs -------------------------------------------------------------------------------------------------------------


def train(recipe: Recipe, out: Path, root: Path | None = None, launch: bool = False) -> int:
    """A new run in `out`, to its end; returns the exit code (0, or 128 + the signal that stopped it).

    `launch` lets this process start copies of its own command where the recipe wants several; else it trains alone.
    """
    began = time.monotonic()
    processes = recipe.training.processes
    if launch and not distributed.inside_group():
        if (out / "run.json").exists():
            raise UserError(f"{out}: holds a run already; continue it with: heedful resume {out}")
        recipe_ = complete(recipe, root)  # mistakes in it are told once, by the parent
        count = choose(recipe_.training, distributed.choose_device(recipe.training.device).type).processes
        if count > 1:
            return distributed.launch(count, _threads(recipe.training.threads, count))
    elif not distributed.inside_group():
        processes = 1
    world = distributed.connect(recipe.training.device, recipe.training.threads)
    if world.leader:
        recipe = complete(recipe, root)
        training = msgspec.structs.replace(recipe.training, processes=world.size if processes != 1 else 1)
        chosen = choose(training, world.device.type, msgspec.to_builtins(hardware.probe()))
        Run.create(out, recipe, chosen)
    world.barrier()
    return _go_on(Run.open(out), world, began)


def resume(out: Path, launch: bool = False) -> int:
    """Continue a run exactly where it stopped, with the processes and threads it began with; returns the exit code."""
    began = time.monotonic()
    run = Run.open(out)
    if run.choices.processes > 1 and not distributed.inside_group():
        if not launch:
            raise UserError(f"{out}: began with {run.choices.processes} processes; continue it with: heedful resume {out}")
        return distributed.launch(run.choices.processes, run.choices.threads)
    world = distributed.connect(run.choices.device, run.choices.threads)
    if world.leader and (note := run.changed_versions()):
        print(note)
    return _go_on(run, world, began)


def _go_on(run: Run, world: distributed.World, began: float) -> int:
    kernels = msgspec.convert(run.choices.kernels, hardware.Choices)
    hardware.apply(msgspec.structs.replace(kernels, threads=run.choices.threads))
    if world.leader:
        for counts in prepare(run.recipe, run.data):
            print(f"data: {counts.kept} pairs of {counts.read} ({counts.empty} with an empty side, {counts.long} too long)")
    world.barrier()
    task = Translation(run.recipe, run.data, world.device)
    outcome = loop.train(task, run, world, spent=time.monotonic() - began)
    world.leave()
    return outcome.exit_code


def _threads(asked: int | Literal["auto"], processes: int) -> int:
    return max(1, distributed.cores() // processes) if asked == "auto" else asked
