"""What a tagger learns from: sentences with labels, from files to tables of word numbers in the run's folder."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path

import msgspec

from ...config import Recipe
from ...data.holding import Parts, parts
from ...data.spelled import END, START, UNKNOWN, Words
from ...data.table import Table
from ...data.tagged import Sentence, read_sentences
from ...errors import UserError
from ...measure.entities import is_scheme, to_bio
from ...model.plan import Plan
from ...text.foreign import Foreign
from ...text.tokenizer import Tokenizer
from ...train.run import require_memory
from ..beginning import keep_start, located, look, planned, settled, vocabulary
from ..closing import write
from ..examples import finish, key_for, made, ordered, read_kept, tokenizer_for, told

METRICS = ("loss", "accuracy", "f1")
# How a word is written, which lower-casing and cutting into pieces would hide: the segment of all of its pieces.
SHAPES = ("other", "lower", "Title", "UPPER", "Initial.", "miXed", "123", "a1")


def shape_of(word: str) -> int:
    """The number of a word's shape."""
    letters = [character for character in word if character.isalpha()]
    if any(character.isdigit() for character in word):
        return SHAPES.index("a1" if letters else "123")
    if not letters:
        return SHAPES.index("other")
    if all(not character.isupper() for character in letters):
        return SHAPES.index("lower")
    if all(character.isupper() for character in letters):
        return SHAPES.index("UPPER" if len(letters) > 1 else "Initial.")
    return SHAPES.index("Title" if letters[0].isupper() and not any(map(str.isupper, letters[1:])) else "miXed")


class Kept(msgspec.Struct, kw_only=True):
    """What is known of a run's sentences beside their tables, and by the finished model.

    `labels` are in the BIO scheme where they name `entities`, as they are where not. `counts` are of entities by type,
    or of labels; `notes` are rows about the data.
    """

    labels: list[str]
    entities: bool
    fields: tuple[str, ...] = ()
    counts: dict[str, int] = {}
    notes: list[tuple[str, str]] = []

    def written(self, sentence: Sentence) -> list[str]:
        """The labels of a sentence as the model has them; UserError for one that training does not have."""
        found = to_bio(sentence.labels) if self.entities else list(sentence.labels)
        known = set(self.labels)
        for place, label in enumerate(found):
            if label not in known:
                shown = ", ".join(self.labels[:8]) + (" ..." if len(self.labels) > 8 else "")
                own = sentence.labels[place]
                raise UserError(f"{sentence.where(place)}: the label {own!r} is not one of training's: {shown}")
        return found


def complete(recipe: Recipe, root: Path | None = None) -> Recipe:
    """The recipe with files found and sizes chosen; UserError for what could only fail later."""
    recipe = located(recipe, root)
    recipe = settled(recipe, vocabulary(recipe))
    training = recipe.training
    if training.metric not in METRICS:
        raise UserError(f"training.metric = {training.metric!r}; a tagger is scored by {', '.join(METRICS)}")
    start = look(training.start) if training.start is not None else None
    assert recipe.tokenizer.size is not None
    shaped = start is None or tells_shapes(start.tokenizer)
    require_memory(trunk(recipe, recipe.tokenizer.size, start and start.plan, shaped), averaged=training.ema > 0)
    return recipe


def tells_shapes(tokenizer: Tokenizer) -> bool:
    """Whether a model is told the shapes of words: one of another library keeps the segments that it came with."""
    return not isinstance(tokenizer, Foreign)


def trunk(recipe: Recipe, vocab: int, start: Plan | None, shaped: bool = True) -> Plan:
    """An encoder that is told the shapes of words in the place of segments (unless not `shaped`), and has no pool."""
    built = planned(recipe, vocab, start).with_heads()
    stream = built.stream("text")
    embedding = msgspec.structs.replace(stream.embedding, segments=len(SHAPES)) if shaped else stream.embedding
    return msgspec.structs.replace(built, streams=(msgspec.structs.replace(stream, embedding=embedding, pool=None),))


def prepare(recipe: Recipe, folder: Path) -> list[str]:
    """Tokenizer, tables "train" and "dev", spellings and `Kept`, made in `folder` or found there."""
    said, start = keep_start(recipe, folder)
    data = recipe.data
    key = key_for(recipe, start, fields=data.fields)
    if made(folder, key):
        return [*said, *told(read_kept(folder, Kept).notes)]
    read = lambda files: [sentence for file in files for sentence in read_sentences(Path(file), data.fields)]
    # Short sentences recur in any news text ("RESULTS"): those of the dev files stay in training, as is the custom.
    where = ", ".join(data.train)
    found = parts(
        read(data.train), read(data.dev), [], lambda one: one.words, recipe.seed, data.dev_share, where, leaks=True
    )
    texts = (" ".join(sentence.words) for sentence in found.train)
    words, kept = Words(tokenizer_for(recipe, folder, key, start, texts)), kept_of(recipe, found, folder)
    windows = 0
    for name, sentences in (("train", found.train), ("dev", found.dev)):
        table, more = table_of(
            [one.words for one in sentences], words, data.longest, [*map(kept.written, sentences)], kept.labels
        )
        table.save(folder / f"{name}.safetensors", key)
        windows += more
    if windows:
        kept.notes.append((f"cut in windows of data.longest = {data.longest} tokens", f"{windows:,}"))
    write_sentences(folder / "dev.jsonl", found.dev)
    finish(recipe, folder, key, words, kept)
    return [*said, *told(kept.notes)]


def kept_of(recipe: Recipe, found: Parts[Sentence], folder: Path) -> Kept:
    """The labels of training, which validation must not go beyond."""
    given = {label for sentence in found.train for label in sentence.labels}
    kept = Kept(labels=sorted(given), entities=is_scheme(given), fields=recipe.data.fields, notes=found.notes)
    if kept.entities:
        types = sorted({label[2:] for label in given - {"O"}})
        kept.labels = ["O", *(f"{prefix}-{name}" for name in types for prefix in "BI")]
    if len(kept.labels) < 2:
        raise UserError(f"{', '.join(recipe.data.train)}: the only label is {kept.labels[0]}")
    kept.labels = ordered(kept.labels, recipe, folder)
    counts = Counter(label for sentence in found.train for label in kept.written(sentence))
    chosen = [label for label in kept.labels if not kept.entities or label.startswith("B-")]
    kept.counts = {label.removeprefix("B-") if kept.entities else label: counts[label] for label in chosen}
    kept.notes.append(("words trained on", f"{counts.total():,}"))
    for sentence in found.dev:
        kept.written(sentence)
    return kept


def table_of(
    sentences: Sequence[Sequence[str]],
    words: Words,
    longest: int,
    written: Sequence[Sequence[str]] = (),
    labels: Sequence[str] = (),
) -> tuple[Table, int]:
    """Rows [start] words [end] as numbers of the tokenizer's words; how many sentences became several rows.

    "first" has the place in the row of each word's first piece, "shape" the shape of every piece's word. Sentences are
    cut into windows between words, as few as can be; a word alone beyond `longest` loses its end.
    """
    start, end, numbers = words.number(START), words.number(END), {label: n for n, label in enumerate(labels)}
    columns: dict[str, list[list[int]]] = {"word": [], "first": [], "shape": [], "label": []}
    several = 0
    for place, sentence in enumerate(sentences):
        pieces = [
            words.fitting(words.of(word) or [words.number(UNKNOWN)], longest - 2) or [words.number(UNKNOWN)]
            for word in _spaced(sentence, words.tokenizer)
        ]
        windows = _windows([words.count(one) for one in pieces], longest - 2)
        several += len(windows) > 1
        for first, last in windows:
            row, begins, shapes = [start], [], [0]
            for word in range(first, last):
                begins.append(len(row))
                row += pieces[word]
                shapes += [shape_of(sentence[word])] * len(pieces[word])
            columns["word"].append([*row, end])
            columns["first"].append(begins)
            columns["shape"].append([*shapes, 0])
            columns["label"].append([numbers[label] for label in written[place][first:last]] if written else [])
    return Table.of(("word",), columns), several


def _spaced(sentence: Sequence[str], tokenizer: Tokenizer) -> Sequence[str]:
    """The words as they stand in a text, with a space before all but the first where the tokenizer puts none."""
    return sentence if tokenizer.spaced else [*sentence[:1], *(f" {word}" for word in sentence[1:])]


def _windows(sizes: Sequence[int], most: int) -> list[tuple[int, int]]:
    """From which word to which, with at most `most` ids each; about equally long, so that none lacks context."""
    total = sum(sizes)
    if total <= most:
        return [(0, len(sizes))]
    room = -(-total // -(-total // most))  # of the mean window; words are whole, so another may be needed
    found, begin, used = [], 0, 0
    for place, size in enumerate(sizes):
        if used and used + size > min(most, room + max(sizes) - 1):
            found.append((begin, place))
            begin, used = place, 0
        used += size
    return [*found, (begin, len(sizes))]


# ---- what is kept of it in the run's folder --------------------------------------------------------------------------


def write_sentences(path: Path, sentences: Iterable[Sentence]) -> None:
    """Sentences as JSONL, to be scored when the run is finished."""
    lines = (msgspec.json.encode({"words": one.words, "labels": one.labels}) + b"\n" for one in sentences)
    write(path, b"".join(lines))
