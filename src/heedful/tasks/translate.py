"""Translation: from parallel text to a trained encoder-decoder, and from lines to their translations."""

from __future__ import annotations

import shutil
import sys
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

import msgspec
import numpy as np
import torch
from torch import nn

from ..config import Decoding, Recipe, Training, check_decoding, seconds
from ..data.batches import Batches
from ..data.corpora import Corpora, Part
from ..data.parallel import SIDES, load_tokenizers, parts_of, prepare, save_tokenizers
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
from ..model.plan import Plan, Tokens
from ..model.presets import plan
from ..text.tokenizer import Tokenizer
from ..train import distributed, loop
from ..train.run import Run, choose, require_memory

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
        """RUN/model, whole or not at all: weights, tokenizers, config.json with what decoding needs to know."""
        assert isinstance(model, Model)
        extra = {
            "task": "translate",
            "tags": self.recipe.data.tags,
            "decoding": msgspec.to_builtins(self.recipe.decoding),
            "tokenizers": {side: tokenizer.fingerprint for side, tokenizer in self.tokenizers.items()},
        }
        partial = run / ".tmp-model"
        shutil.rmtree(partial, ignore_errors=True)
        model.save(partial, extra)
        save_tokenizers(partial, self.tokenizers)
        shutil.rmtree(run / "model", ignore_errors=True)
        partial.rename(run / "model")


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
    if training.warmup is None:
        training = msgspec.structs.replace(training, warmup=_warmup(training))
    recipe = msgspec.structs.replace(recipe, data=data, model=model, training=training, tokenizer=tokenizer)
    parts_of(data)
    require_memory(_planned(recipe, {"vocab": tokenizer.size or 0}))  # refuse sizes before anything is written
    return recipe


def _warmup(training: Training) -> int:
    """A tenth of the steps, or what fits a third of the seconds at a step a second; 1,000 for long runs."""
    expected = training.steps / 10 if training.steps else seconds(training.limit or "60m") / 3
    return int(min(1000, max(10, expected)))


def build_plan(recipe: Recipe, tokenizers: dict[str, Tokenizer]) -> Plan:
    """The recipe's plan with the vocabularies' true sizes."""
    vocab = {"vocab": tokenizers["source"].vocab_size}
    if tokenizers["source"] is not tokenizers["target"]:
        vocab["target_vocab"] = tokenizers["target"].vocab_size
    return _planned(recipe, vocab)


def _planned(recipe: Recipe, vocab: dict[str, int]) -> Plan:
    options = dict(recipe.model)
    name = options.pop("preset", "transformer-mini")
    if {"vocab", "target_vocab"} & options.keys():
        raise UserError("model.vocab is the tokenizer's to say; set tokenizer.size")
    built = plan(name, **options, **vocab)
    if {stream.name for stream in built.streams} != set(SIDES):
        raise UserError(f"model.preset {name!r} is not an encoder-decoder; try transformer-mini")
    for stream in built.streams:
        embedding, longest = stream.embedding, recipe.data.longest + 2  # a tag and the end token
        if isinstance(embedding, Tokens) and embedding.positions == "learned" and embedding.capacity < longest:
            raise UserError(
                f"model.capacity = {embedding.capacity} learned positions are fewer than data.longest = "
                f"{recipe.data.longest} tokens and 2 more; raise one or lower the other"
            )
    return built


# ---- runs -----------------------------------------------------------------------------------------------------------


def train(recipe: Recipe, out: Path, root: Path | None = None, launch: bool = False) -> int:
    """A new run in `out`, to its end; returns the exit code (0, or 128 + the signal that stopped it).

    `launch` lets this process start copies of its own command where the recipe wants several; else it trains alone.
    """
    began = time.monotonic()
    if out == Path():
        raise UserError("--out is empty; name a folder for the run")
    grouped = distributed.inside_group()
    if not grouped and (out / "run.json").exists():
        raise UserError(f"{out}: holds a run already; continue it with: heedful resume {out}")
    if launch and not grouped:
        device = distributed.choose_device(recipe.training.device).type
        chosen = choose(complete(recipe, root).training, device)  # mistakes are told once, by the parent
        if chosen.processes > 1:
            return distributed.launch(chosen.processes, chosen.threads)
    if distributed.leads():
        recipe = complete(recipe, root)
        device = distributed.choose_device(recipe.training.device).type
        training = msgspec.structs.replace(recipe.training, processes=distributed.group_size())
        run = Run.create(out, recipe, choose(training, device, msgspec.to_builtins(hardware.probe())))
        try:
            return _go_on(run, recipe.training.device, began)
        except UserError:
            run.withdraw()  # a run refused before its first step leaves the folder free for a better one
            raise
    return _go_on(None, recipe.training.device, began, out)


def resume(out: Path, launch: bool = False) -> int:
    """Continue a run exactly where it stopped, with the processes and threads it began with; returns the exit code."""
    began = time.monotonic()
    run = Run.open(out)
    if (run.model / "config.json").exists():
        _say(f"{out}: the run is finished; its model is in {run.model}")
        return 0
    if run.choices.processes > 1 and not distributed.inside_group():
        if not launch:
            raise UserError(
                f"{out}: began with {run.choices.processes} processes; continue it with: heedful resume {out}"
            )
        return distributed.launch(run.choices.processes, run.choices.threads)
    if distributed.leads() and (note := run.changed_versions()):
        _say(note)
    return _go_on(run, run.choices.device, began)


def _go_on(run: Run | None, device: str, began: float, folder: Path | None = None) -> int:
    """Prepare the data on the leader, then train. The others join when it is done: `connect` waits for all."""
    with run.lock if run and distributed.leads() else nullcontext():
        if run and distributed.leads():
            for line in prepare(run.recipe, run.data):
                _say(line)
        world = distributed.connect(device, run.choices.threads if run else "auto")
        if run is None:
            assert folder is not None
            run = Run.open(folder)
        kernels = msgspec.convert(run.choices.kernels, hardware.Choices)
        hardware.apply(msgspec.structs.replace(kernels, threads=run.choices.threads))
        task = Translation(run.recipe, run.data, world.device)
        outcome = loop.train(task, run, world, spent=time.monotonic() - began)
        world.leave()
    if world.leader and outcome.exit_code:
        _say(f"stopped after step {outcome.step}; continue with: heedful resume {run.folder}")
    elif world.leader:
        _say(f"translate with: heedful translate -m {run.folder}")
    return outcome.exit_code


def _say(line: str) -> None:
    """Where progress goes, too: in order with it."""
    print(line, file=sys.stderr, flush=True)


# ---- translating ----------------------------------------------------------------------------------------------------


class Translator:
    """A finished model with its tokenizers. `tags` are the target languages to choose from (none: there is one).

    `choices` are the fast paths of this machine, as `load` probes for them.
    """

    def __init__(
        self,
        model: Model,
        tokenizers: Mapping[str, Tokenizer],
        tags: Sequence[str],
        decoding: Decoding,
        choices: hardware.Choices | None = None,
    ) -> None:
        self.model, self.tokenizers, self.tags, self.decoding = model, dict(tokenizers), tuple(tags), decoding
        self.choices = choices or hardware.Choices()

    def translate(self, texts: Iterable[str], tag: str | None = None, options: Options | None = None) -> list[str]:
        """One translation for each text, in order; an empty text stays empty. `tag` is the target language.

        Texts of more tokens than the model was trained on are translated in pieces, joined by a space.
        """
        if isinstance(texts, str) or not isinstance(texts, Iterable):
            raise UserError("translate takes a list of texts: translate([text])")
        texts = list(texts)
        for number, text in enumerate(texts):
            if not isinstance(text, str):
                raise UserError(f"translate: text {number} is {text!r}, of type {type(text).__name__}, not a text")
        if not isinstance(options, Options | None):
            raise UserError("translate: options come from model.options(...), for example model.options(beam=1)")
        pieces = [self._pieces(text, tag) for text in texts]
        found = self.search([piece for parts in pieces for piece in parts], options or self.options())
        answers = iter([self.tokenizers["target"].decode(best.ids) for best, *_ in found])
        return [" ".join(next(answers) for _ in parts) for parts in pieces]

    def search(self, sources: list[list[int]], options: Options) -> list[list[Hypothesis]]:
        """The best hypotheses for each list of source ids (tag and end token included)."""
        choices = msgspec.structs.replace(self.choices, threads=torch.get_num_threads())  # the caller's to say
        with hardware.applied(choices):
            return decode(self.model, sources, options, self.choices)

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
        if tag is None and self.tags:
            raise UserError(f"this model has several target languages; choose one as tag: {', '.join(self.tags)}")
        if tag is not None and not self.tags:
            raise UserError(f"this model has one target language and takes no tag; leave {tag!r} out")
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
    if not folder.is_dir():
        raise UserError(f"{path}: no such folder; -m takes the folder of a run or of a model")
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
        fingerprints = msgspec.convert(extra.get("tokenizers", {}), dict[str, str])
        check_decoding(decoding, str(folder / "config.json"))
    except msgspec.ValidationError as error:
        raise UserError(f"{folder / 'config.json'}: {error}") from None
    return Translator(model, load_tokenizers(folder, fingerprints), tags, decoding, hardware.probe())


def translate_stream(translator: Translator, lines: BinaryIO, out: BinaryIO, options: Mapping[str, Any]) -> None:
    """Translate line by line, as lines come: as many lines out as in, in order, whatever bytes they hold.

    Bytes that are not UTF-8 are read as U+FFFD; a line of more than LONGEST_LINE bytes is answered by a mark. `options`
    are fields of `decode.Options` and of `decode.Sampling`, `sample` to turn sampling on, and `tag`.
    """
    chosen = dict(options)
    tag = chosen.pop("tag", None)
    sampling = {key: chosen.pop(key) for key in ("temperature", "top_k", "top_p", "seed") if key in chosen}
    if chosen.pop("sample", False):
        chosen["sampling"] = Sampling(**sampling)
    elif sampling:
        raise UserError(f"only sampling has {', '.join(sampling)}: add --sample")
    translator.encode("", tag)  # a wrong tag is told before any work
    decoding = translator.options(**chosen)
    for some in _arriving(lines):
        short = [line for line in some if _fits(line)]
        texts = [line.rstrip(b"\r\n").decode("utf-8", "replace") for line in short]
        answers = iter(translator.translate(texts, tag, decoding))
        for line in some:
            answer = next(answers) if _fits(line) else f"[not translated: the line is longer than {LONGEST_LINE} bytes]"
            out.write(" ".join(answer.split("\n")).encode("utf-8") + (b"\n" if line.endswith(b"\n") else b""))
        out.flush()


def _fits(line: bytes) -> bool:
    return len(line.removesuffix(b"\n")) <= LONGEST_LINE


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
