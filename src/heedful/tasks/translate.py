"""Translation: from parallel text to a trained encoder-decoder, and from lines to their translations."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

import msgspec
import numpy as np
import torch
from torch import nn

from ..config import Decoding, Recipe
from ..data.batches import Batches
from ..data.corpora import Corpora, Part
from ..data.parallel import SIDES, load_tokenizers, prepare, save_tokenizers
from ..data.readers import read_pairs, resolve
from ..data.shards import Shards
from ..decode.engine import decode
from ..decode.options import Hypothesis, Options
from ..decode.sampling import Sampling
from ..errors import UserError
from ..model import hardware
from ..model.embeddings import TokenInput
from ..model.heads import Labels
from ..model.layout import Layout
from ..model.model import Model
from ..model.model import load as load_model
from ..model.presets import plan
from ..text.tokenizer import Tokenizer
from ..train import distributed, loop
from ..train.run import Run, choose

VALIDATION_TOKENS = 4096
LONGEST_LINE = 65_536  # bytes; a longer line is not a sentence, and would hold up all the others
LINES_AT_A_TIME = 512


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
                "target": TokenInput(
                    move(np.insert(target, target_ends - target_lengths, Tokenizer.start)), layouts[1]
                ),
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
        extra = {
            "task": "translate",
            "tags": self.recipe.data.tags,
            "decoding": msgspec.to_builtins(self.recipe.decoding),
        }
        model.save(run / "model", extra)
        save_tokenizers(run / "model", self.tokenizers)


# ---- sizes ----------------------------------------------------------------------------------------------------------


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
        tokenizer = msgspec.structs.replace(
            tokenizer, size=next((size for most, size in sizes_ if pairs <= most), 32000)
        )
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


# ---- runs -----------------------------------------------------------------------------------------------------------


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
        chosen = choose(recipe_.training, distributed.choose_device(recipe.training.device).type)
        if chosen.processes > 1:
            return distributed.launch(chosen.processes, chosen.threads)
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
            raise UserError(
                f"{out}: began with {run.choices.processes} processes; continue it with: heedful resume {out}"
            )
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
            print(f"data: {counts.kept} pairs of {counts.read}; {counts.empty} empty on a side, {counts.long} too long")
    world.barrier()
    task = Translation(run.recipe, run.data, world.device)
    outcome = loop.train(task, run, world, spent=time.monotonic() - began)
    world.leave()
    return outcome.exit_code


# ---- translating ----------------------------------------------------------------------------------------------------


class Translator:
    """A finished model with its tokenizers. `tags` are the target languages to choose from (none: there is one)."""

    def __init__(
        self, model: Model, tokenizers: Mapping[str, Tokenizer], tags: Sequence[str], decoding: Decoding
    ) -> None:
        self.model, self.tokenizers, self.tags, self.decoding = model, dict(tokenizers), tuple(tags), decoding

    def translate(self, texts: Iterable[str], tag: str | None = None, options: Options | None = None) -> list[str]:
        """One translation for each text, in order; an empty text stays empty. `tag` is the target language.

        Texts of more tokens than the model was trained on are translated in pieces, joined by a space.
        """
        pieces = [self._pieces(text, tag) for text in texts]
        found = self.search([piece for parts in pieces for piece in parts], options or self.options())
        answers = iter([self.tokenizers["target"].decode(best.ids) for best, *_ in found])
        return [" ".join(next(answers) for _ in parts) for parts in pieces]

    def search(self, sources: list[list[int]], options: Options) -> list[list[Hypothesis]]:
        """The best hypotheses for each list of source ids (tag and end token included)."""
        return decode(self.model, sources, options)

    def options(self, **given: Any) -> Options:
        """The model's own way of decoding, with what is given put in its place (fields of `decode.Options`)."""
        own = self.decoding
        known = {
            "beam": own.beam, "length_penalty": own.length_penalty, "alpha": own.alpha, "max_ratio": own.max_ratio,
            "max_extra": own.max_extra,
        }  # fmt: skip
        return Options(**{**known, **given})

    def encode(self, text: str, tag: str | None = None) -> list[int]:
        """The source ids that the model reads: tag, text, end."""
        if (tag is None) != (not self.tags):
            wanted = (
                f"choose a target language with tag: {', '.join(self.tags)}" if self.tags else "it has no languages"
            )
            raise UserError(f"this model {'needs' if self.tags else 'takes'} no tag {tag!r}; {wanted}")
        before = [] if tag is None else [self.tokenizers["source"].tag(tag)]
        return [*before, *self.tokenizers["source"].encode(text), Tokenizer.end]

    def _pieces(self, text: str, tag: str | None) -> list[list[int]]:
        if not text.strip():
            return []
        ids = self.encode(text, tag)
        before, content, most = ids[: int(tag is not None)], ids[int(tag is not None) : -1], self.decoding.longest
        return [[*before, *content[first : first + most], Tokenizer.end] for first in range(0, len(content), most)]


def load(path: str | Path) -> Translator:
    """The translator in a model folder, or the finished model in a run's folder."""
    folder = Path(path)
    if not (folder / "config.json").exists() and (folder / "run.json").exists():
        folder = folder / "model"
        if not folder.exists():
            raise UserError(
                f"{path}: the run is not finished, so it holds no model; continue it: heedful resume {path}"
            )
    model, extra = load_model(folder)
    if extra.get("task") != "translate":
        raise UserError(f"{folder}: a model for the task {extra.get('task')!r}, not for translation")
    try:
        decoding = msgspec.convert(extra.get("decoding", {}), Decoding)
        tags = msgspec.convert(extra.get("tags", ()), tuple[str, ...])
    except msgspec.ValidationError as error:
        raise UserError(f"{folder / 'config.json'}: {error}") from None
    return Translator(model, load_tokenizers(folder), tags, decoding)


def translate_stream(translator: Translator, lines: BinaryIO, out: BinaryIO, options: Mapping[str, Any]) -> None:
    """Translate line by line, as lines come: as many lines out as in, in order, whatever bytes they hold.

    Bytes that are not UTF-8 are read as U+FFFD; a line of more than LONGEST_LINE bytes is answered by a mark. `options`
    are fields of `decode.Options` and of `decode.Sampling`, `sample` to turn sampling on, and `tag`.
    """
    chosen = dict(options)
    tag = chosen.pop("tag", None)
    sampling = {key: chosen.pop(key) for key in ("temperature", "top_k", "top_p", "seed") if key in chosen}
    if chosen.pop("sample", False) or sampling:
        chosen["sampling"] = Sampling(**sampling)
    translator.encode("", tag)  # a wrong tag is told before any work
    decoding = translator.options(**chosen)
    for some in _arriving(lines):
        short = [line for line in some if len(line) <= LONGEST_LINE]
        texts = [line.rstrip(b"\r\n").decode("utf-8", "replace") for line in short]
        answers = iter(translator.translate(texts, tag, decoding))
        for line in some:
            fits = len(line) <= LONGEST_LINE
            answer = next(answers) if fits else f"[not translated: the line is longer than {LONGEST_LINE} bytes]"
            out.write(" ".join(answer.split("\n")).encode("utf-8") + (b"\n" if line.endswith(b"\n") else b""))
        out.flush()


def _arriving(lines: BinaryIO) -> Iterator[list[bytes]]:
    """Lines in groups of those that are there already, so that a slow writer is answered line by line."""
    rest = b""
    while block := getattr(lines, "read1", lines.read)(1 << 16):
        found = (rest + block).split(b"\n")
        rest = found.pop()[: LONGEST_LINE + 1]  # enough to know that a line without an end is too long
        complete_ = [line + b"\n" for line in found]
        for first in range(0, len(complete_), LINES_AT_A_TIME):
            yield complete_[first : first + LINES_AT_A_TIME]
    if rest:
        yield [rest]
