"""Parallel text from a recipe's files to tokenizers and shards on disk."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping
from functools import cache
from itertools import islice
from pathlib import Path

import msgspec
import xxhash

from ..config import Recipe
from ..errors import UserError
from ..text.tokenizer import Tokenizer
from .cleaning import Dropped
from .lexicon import learn_lexicon
from .placing import SECOND, Placing
from .readers import Pair, read_jsonl
from .selection import Account, Chosen, read_accounts, require_pairs, select, write_accounts
from .shards import Sampling, Shards, build_shards, key_of
from .splits import splits
from .texts import trained_as

SIDES = ("source", "target")
READ_FOR_TOKENIZER = 1_000_000  # pairs, from all corpora alike; more change a vocabulary little and cost memory


def prepare(recipe: Recipe, folder: Path, given: dict[str, Tokenizer] | None = None) -> list[str]:
    """Tokenizers and shards in `folder`, from the recipe's files; what is there and still right is used again.

    `given` tokenizers are taken instead of trained.

    Returns a line for each training corpus that says what became of it, and for each dev corpus that lost something;
    dropped.json has examples. Without dev files some examples, drawn by seed, are held out.
    """
    folder.mkdir(parents=True, exist_ok=True)
    found = splits(recipe.data)
    corpora = [*found.train, *found.dev]
    shape = [(corpus.name, corpus.tag, len(corpus.paths()), recipe.data.columns) for corpus in corpora]
    options = (
        recipe.tokenizer,
        recipe.seed,
        recipe.data.longest,
        recipe.data.hold_out,
        recipe.cleaning,
        shape,
    )
    files = dict.fromkeys(path for corpus in (*corpora, *found.test) for path in corpus.paths())
    key = key_of(files, [], {"of": "tokenizer", "options": msgspec.to_builtins(options)})

    @cache  # and done only if something has to be made
    def selected() -> dict[str, Chosen]:
        chosen = select(recipe, found)
        require_pairs(chosen, found)
        return chosen

    if given is not None:
        save_tokenizers(folder, given)
    tokenizers = given or _tokenizers(recipe, folder, key, lambda: [selected()[corpus.name] for corpus in found.train])
    told = {account.name: account for account in read_accounts(folder, key)}
    before = dict(told)
    for number, corpus in enumerate(corpora):
        teaches = corpus in found.train and recipe.data.placeholders > 0
        shards_key = key_of([], tokenizers.values(), {"name": corpus.name, "placing": teaches, "from": key})
        if corpus.name not in told or Shards.reuse(folder / corpus.name, shards_key) is None:
            sampling, learn = None, recipe.tokenizer
            if learn.sampling and corpus in found.train:
                sampling = Sampling(learn.sampling, learn.segmentations, recipe.seed + number)
            chosen = selected()[corpus.name]
            if found.held_out and corpus in found.dev:
                _keep_texts(folder, chosen)
            placing, streams = _placing(tokenizers, recipe.seed + number, chosen.pairs if teaches else None)
            told[corpus.name] = _build(recipe, folder, chosen, streams, shards_key, sampling, placing)
    if found.held_out:
        for train, dev in zip(found.train, found.dev, strict=True):
            told[train.name].held_out = told[dev.name].read
    accounts = [told[corpus.name] for corpus in corpora]
    if told != before:
        write_accounts(folder, key, accounts)
    return [str(account) for account in accounts if account.name.startswith("train") or account.lost]


def texts_of(folder: Path, name: str) -> list[Pair]:
    """The pairs of a held-out corpus, as they were before anything was done to them."""
    return list(read_jsonl(folder / f"{name}.jsonl"))


def _keep_texts(folder: Path, chosen: Chosen) -> None:
    file = folder / f"{chosen.corpus.name}.jsonl"
    aside = file.with_name(f".tmp-{file.name}")
    lines = (msgspec.json.encode({"source": pair.source, "target": pair.target}) + b"\n" for pair in chosen.pairs())
    try:
        with aside.open("wb") as out:
            out.writelines(lines)
        aside.replace(file)
    except OSError as error:
        raise UserError(f"{file}: cannot be written: {error.strerror}; free some space") from None


def _placing(
    tokenizers: dict[str, Tokenizer], seed: int, taught: Callable[[], Iterator[Pair]] | None
) -> tuple[Placing | None, dict[str, Tokenizer]]:
    """Where placeholders go in a corpus, and its streams: twice as many where invented placeholders are `taught`."""
    count = min(len(tokenizer.placeholders) for tokenizer in tokenizers.values())
    if not count:
        return None, tokenizers
    if taught is None:
        return Placing(count, seed), tokenizers
    lexicon = learn_lexicon((pair.source, pair.target) for pair in taught())
    return Placing(count, seed, lexicon), tokenizers | {side + SECOND: tokenizers[side] for side in SIDES}


def _build(
    recipe: Recipe,
    folder: Path,
    chosen: Chosen,
    tokenizers: dict[str, Tokenizer],
    key: str,
    sampling: Sampling | None,
    placing: Placing | None,
) -> Account:
    """The shards of a corpus, and what became of its pairs."""
    rules = {dropped.rule: dropped for dropped in chosen.dropped} | {"long": Dropped("long", recipe.data.longest)}
    rules = {"empty": Dropped("empty")} | rules  # of dev pairs too
    shards = build_shards(
        folder / chosen.corpus.name, chosen.pairs(), tokenizers, key=key, longest=recipe.data.longest,
        sampling=sampling, placing=placing, left_out=lambda why, pair: rules[why].add(pair),
    )  # fmt: skip
    return Account(
        name=chosen.corpus.name,
        tag=chosen.corpus.tag,
        files=[str(path) for path in chosen.corpus.paths()],
        read=chosen.read or shards.counts.read,
        kept=shards.counts.kept,
        held_out=0,
        rules=list(rules.values()),
    )


def _tokenizers(recipe: Recipe, folder: Path, key: str, corpora: Callable[[], list[Chosen]]) -> dict[str, Tokenizer]:
    """Those in `folder` if they were made from the same; else trained and saved there."""
    stamp = folder / "tokenizers.key"
    if stamp.exists() and stamp.read_text("ascii") == key:
        return load_tokenizers(folder)
    chosen, sides = recipe.tokenizer, {}
    if chosen.size is None:
        raise UserError("tokenizer.size is not chosen yet; complete the recipe first")
    for side in ("joint",) if chosen.joint else SIDES:
        tags = recipe.data.tags if side != "target" else ()
        lines = _training_text(corpora(), side)
        sides[side] = trained_as(chosen, lines, list(dict.fromkeys(tags)), chosen.placeholders)
    tokenizers = {side: sides.get(side) or sides["joint"] for side in SIDES}
    save_tokenizers(folder, tokenizers)
    stamp.write_text(key, "ascii")
    return tokenizers


def _training_text(corpora: list[Chosen], side: str) -> Iterator[str]:
    pairs = (pair for chosen in corpora for pair in chosen.pairs())
    every = max(1, math.ceil(sum(chosen.kept for chosen in corpora) / READ_FOR_TOKENIZER))
    for pair in islice(pairs, 0, None, every):
        if side != "target":
            yield pair.source
        if side != "source":
            yield pair.target


def save_tokenizers(folder: Path, tokenizers: dict[str, Tokenizer]) -> None:
    """tokenizer.json where both sides share one, else one file a side; those of the other form go."""
    shared = tokenizers["source"] is tokenizers["target"]
    files = {"tokenizer.json": tokenizers["source"]} if shared else {_file(side): tokenizers[side] for side in SIDES}
    for name in {"tokenizer.json", *map(_file, SIDES)} - files.keys():
        (folder / name).unlink(missing_ok=True)
    for name, tokenizer in files.items():
        tokenizer.save(folder / name)


def _file(side: str) -> str:
    return f"tokenizer.{side}.json"


def load_tokenizers(folder: Path, fingerprints: Mapping[str, str] | None = None) -> dict[str, Tokenizer]:
    """What `save_tokenizers` wrote; with `fingerprints` by side, UserError unless the files are those."""
    apart = (folder / _file("source")).exists()
    files = {side: folder / (_file(side) if apart else "tokenizer.json") for side in SIDES}
    loaded = {file: Tokenizer.load(file) for file in set(files.values())}
    for side, file in files.items():
        if fingerprints is not None and fingerprints.get(side) != xxhash.xxh3_128_hexdigest(file.read_bytes()):
            raise UserError(f"{file}: damaged, or not the tokenizer the model was trained with; copy the model again")
    return {side: loaded[file] for side, file in files.items()}
