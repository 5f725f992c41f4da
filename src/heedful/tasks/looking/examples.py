"""Examples with their right answers, as every task's `evaluate` reads them: what a report on heads is made of."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

from ...config import Data, Pictures
from ...data.captioned import read_captioned
from ...data.gallery import look_at
from ...data.labelled import read_examples
from ...data.masking import Masking
from ...data.pairs import groups_of
from ...data.pairs import read_pairs as read_alike
from ...data.passages import Encoded, Passages
from ...data.questions import read_questions
from ...data.readers import read_pairs, read_parallel
from ...data.spelled import Spelled, Words
from ...data.tagged import read_sentences
from ...data.texts import read_documents
from ...data.windows import contexts_of, wanted, windows_of
from ...errors import UserError
from ...inside.importance import Batch
from ...inside.record import Line
from ...model.embeddings import Input
from ...model.heads import Labels
from ...model.layout import Layout
from ..answer.answerer import Answerer, given
from ..ask.asker import Asker
from ..ask.batching import inputs_of, labels_of
from ..ask.examples import pictures_of
from ..ask.examples import read_examples as read_asked
from ..ask.prepared import table_of as table_of_questions
from ..caption import Captioner
from ..classify import Classifier
from ..classify import preparing as labelled
from ..classify.training import input_of
from ..embed.embedder import Embedder
from ..embed.task import HEAD as VECTOR
from ..fill import Filler
from ..fill.task import FIXED
from ..match import Matcher
from ..tag import Tagger
from ..tag import preparing as tags
from ..tag.training import input_of as tag_input
from ..translate import Translator
from ..write import Writer
from .lines import line_of
from .pictures import pictured
from .reading import Row, tokens, written_over

TOKENS = 2048  # of all streams, that are in a batch
PAIRS = 16  # of a batch in which each is told from the others


@dataclass(frozen=True)
class Gold:
    """An example: what is read, teacher-forced where something is written, and what the heads should say of it (none:
    it can only be told from others, see `batches`). `second` is the other text of a pair; `groups` are numbers of what
    it says: pairs that share one belong together, whatever else is theirs. `plain` is the text, where it is read with
    words hidden."""

    row: Row
    labels: Mapping[str, Labels]
    second: Row | None = None
    groups: tuple[int, ...] = ()
    plain: Line | None = None


def some(count: int, items: Sequence[Any]) -> list[Any]:
    """So many of them at most, evenly spread."""
    return [items[place] for place in np.unique(np.linspace(0, len(items) - 1, min(count, len(items)), dtype=np.int64))]


@dataclass(frozen=True)
class Files:
    """Where examples are: `target` has translations, `features` those of pictures; `most` are taken."""

    files: Sequence[Path]
    most: int
    target: Path | None = None
    tag: str | None = None
    features: Path | None = None
    root: Path | None = None

    @property
    def named(self) -> str:
        return ", ".join(file.name for file in self.files)


def translations(translator: Translator, files: Files) -> list[Gold]:
    """Sources with their right translations."""
    if files.target is not None:
        if len(files.files) != 1:
            raise UserError("--target is of one file of --heads; or give pairs in one TSV or JSONL")
        pairs = list(read_parallel(files.files[0], files.target))
    else:
        pairs = list(read_pairs(Data(pairs=tuple(str(file) for file in files.files)), files.root))
    frame = translator.frame(files.tag)
    options = frame.decoding(translator.options())
    reader, writer = (translator.tokenizers[side] for side in ("source", "target"))
    found = []
    for pair in some(files.most, [pair for pair in pairs if pair.source.strip() and pair.target.strip()]):
        source, said = translator.encode(pair.source, files.tag), [*frame.said, *writer.encode(pair.target), writer.end]
        row = Row(
            {"source": tokens(source, translator.model)},
            {"source": line_of("source", "source", reader, source)},
            ("source",),
        )
        found.append(_said(translator.model, row, writer, options.start or 0, said, "translation"))
    return found


def _said(model: Any, row: Row, writer: Any, start: int, said: Sequence[int], label: str) -> Gold:
    labels = {"next_token": Labels(torch.tensor(said))}
    return Gold(written_over(model, row, writer, start, said, label), labels)


def captions(captioner: Captioner, files: Files) -> list[Gold]:
    """Pictures with their captions."""
    pairs = [pair for file in files.files for pair in read_captioned(file, captioner.fields)]
    found = []
    for pair in some(files.most, pairs):
        picture = [pair.picture.found(files.root)]
        shown = look_at(captioner.sight, picture).input(np.array([0]), _device(captioner))
        row = Row({"source": shown}, {"source": pictured("source", captioner.sight, picture, shown)}, ("source",))
        own = captioner.tokenizer
        said = [*own.encode(pair.caption), own.end]
        found.append(_said(captioner.model, row, own, own.start, said, "caption"))
    return found


def documents(writer: Writer, files: Files) -> list[Gold]:
    """Texts, from their beginnings on, as long as the model reads."""
    own = writer.tokenizer
    texts = [text for file in files.files for text in read_documents(file, writer.documents, prose=True)]
    found = []
    for text in some(files.most, [text for text in texts if text.strip()]):
        every = [own.start, *own.encode(text), own.end][: writer.context + 1]
        read, said = every[:-1], every[1:]
        row = Row(
            {"text": tokens(read, writer.model)},
            {"text": line_of("text", "text", own, read)},
            ("text",),
            {"text": line_of("written", "what comes next", own, said)},
        )
        found.append(Gold(row, {"next_token": Labels(torch.tensor(said))}))
    return found


def masked(filler: Filler, files: Files) -> list[Gold]:
    """Passages with words hidden, always the same."""
    settings, own = filler.settings, filler.tokenizer
    texts = [text for file in files.files for text in read_documents(file, settings.documents, False, settings.fields)]
    passages = Passages(Encoded(own, texts), own, settings.longest, FIXED)
    hiding = Masking(own, settings.masking.share, settings.masking.whole_words, FIXED)
    found = []
    for number in some(files.most, range(len(passages))):
        rows = passages.rows(np.array([number]))
        hidden = hiding.hide(rows.ids, rows.lengths, np.array([number]), 0)
        labels = Labels(torch.from_numpy(hidden.wanted), torch.from_numpy(hidden.places))
        row = _text(tokens(hidden.ids.tolist(), filler.model), own)
        plain = line_of("text", "text", own, rows.ids.tolist())
        found.append(Gold(row, {"masked_token": labels}, plain=plain))
    return found


def texts_with_labels(classifier: Classifier, files: Files) -> list[Gold]:
    """Texts, or pairs, with labels."""
    kept, own = classifier.kept, classifier.tokenizer
    every = [example for file in files.files for example in read_examples(file, kept.data)]
    found = []
    for example in some(files.most, every):
        words = Words(own)
        table, _ = labelled.table_of([example], words, classifier.longest, kept)
        rows = Spelled(table, words.spellings(), own, classifier.longest)
        label = torch.from_numpy(table.rows("label", np.array([0]))[0])
        shape = (1,) if kept.kind == "one" else (1, -1)
        read = input_of(classifier.model, rows, np.array([0]), None, _device(classifier))
        found.append(Gold(_text(read, own), {"label": Labels(label.view(*shape))}))
    return found


def words_with_labels(tagger: Tagger, files: Files) -> list[Gold]:
    """Sentences with a label for each word."""
    kept, own = tagger.kept, tagger.tokenizer
    every = [one for file in files.files for one in read_sentences(file, kept.fields)]
    found = []
    for sentence in some(files.most, every):
        words = Words(own)
        written = [kept.written(sentence)]
        table, _ = tags.table_of([sentence.words], words, tagger.longest, written, kept.labels)
        rows = Spelled(table, words.spellings(), own, tagger.longest)
        read, places = tag_input(rows, np.array([0]), None, _device(tagger))
        labels = Labels(torch.from_numpy(table.rows("label", np.array([0]))[0]), places)
        found.append(Gold(_text(read, own), {"label": labels}))
    return found


def questions(answerer: Answerer, files: Files) -> list[Gold]:
    """Questions about texts: the first window that the answer is in."""
    own = answerer.tokenizer
    every = [one for file in files.files for one in read_questions(file) if not one.wrong]
    found = []
    for question in some(files.most, every):
        context = contexts_of(own, [question.context])[question.context]
        windows = list(windows_of(own, own.encode(question.question), context, answerer.reading))
        places = [wanted(question, context, window) for window in windows]
        at = next((number for number, place in enumerate(places) if place != (0, 0)), 0)
        if not windows:
            continue
        ids, head = windows[at].ids, np.array([windows[at].head])
        read = given(answerer.model, ids, np.array([len(ids)], np.int64), head, _device(answerer))
        found.append(Gold(_text(read, own, "question and text"), {"span": Labels(torch.tensor([places[at]]))}))
    return found


def alike(embedder: Embedder, files: Files) -> list[Gold]:
    """Pairs of texts that mean the same."""
    own, longest = embedder.tokenizer, embedder.settings.longest - 2
    every = [pair for file in files.files for pair in read_alike(file, embedder.settings.fields)]
    chosen, found = some(files.most, every), []
    for pair, groups in zip(chosen, groups_of(chosen).tolist(), strict=True):
        rows = [
            _text(tokens([own.start, *own.encode(text)[:longest], own.end], embedder.model), own) for text in pair[:2]
        ]
        found.append(Gold(rows[0], {}, rows[1], tuple(groups)))
    return found


def matching(matcher: Matcher, files: Files) -> list[Gold]:
    """Pictures with captions."""
    pairs = [pair for file in files.files for pair in read_captioned(file, matcher.fields)]
    chosen = some(files.most, pairs)
    known: dict[str, int] = {}
    found = []
    for pair, ids in zip(chosen, matcher.rows([pair.caption for pair in chosen]), strict=True):
        shown = matcher.look([pair.picture], files.features).input(np.array([0]), _device(matcher))
        lines = {
            "text": line_of("text", "caption", matcher.tokenizer, ids),
            "picture": pictured("picture", matcher.sight, [pair.picture], shown),
        }
        row = Row({"text": tokens(ids, matcher.model), "picture": shown}, lines, ("text", "picture"))
        found.append(Gold(row, {}, groups=(known.setdefault(pair.group, len(known)),)))
    return found


def pictures_asked(asker: Asker, files: Files) -> list[Gold]:
    """Questions about pictures."""
    several = asker.answers.several
    every = [one for file in files.files for one in read_asked(file, asker.fields, several)]
    seen = Pictures() if files.features is None else Pictures(features=str(files.features))
    found = []
    for one in some(files.most, every):
        shown, numbers = pictures_of([one], seen, files.root)
        gallery = look_at(asker.sight, shown, files.features)
        table = table_of_questions([one], numbers, asker.tokenizer, asker.answers, asker.longest, asker.task)
        inputs = inputs_of(table, gallery, np.array([0]), "cpu")
        labels = labels_of(table, np.array([0]), len(asker.answers), several, "cpu")
        if labels.rows is not None:
            continue  # its answer is none that the model knows
        ids = table.rows("text", np.array([0]))[0].tolist()
        picture: Any = inputs["picture"]
        lines = {
            "text": line_of("text", "question", asker.tokenizer, ids),
            "picture": pictured("picture", asker.sight, shown, picture),
        }
        found.append(Gold(Row(inputs, lines, ("text", "picture")), {"label": labels}))
    return found


def _device(loaded: Any) -> torch.device:
    """Where a loaded model's weights are."""
    found: torch.device = next(loaded.model.parameters()).device
    return found


def _text(read: Any, tokenizer: Any, label: str = "text") -> Row:
    return Row({"text": read}, {"text": line_of("text", label, tokenizer, read.ids.tolist())}, ("text",))


GOLD: dict[type, Callable[[Any, Files], list[Gold]]] = {
    Translator: translations, Captioner: captions, Writer: documents, Filler: masked, Classifier: texts_with_labels,
    Tagger: words_with_labels, Answerer: questions, Embedder: alike, Matcher: matching, Asker: pictures_asked,
}  # fmt: skip


# ---- batches ---------------------------------------------------------------------------------------------------------


def batches(model: Any, golds: Sequence[Gold]) -> Iterator[Batch]:
    """The examples as batches with labels, near lengths together."""
    if golds and not golds[0].labels:
        for first in range(0, len(golds) - 1, PAIRS):
            group = list(golds[first : first + PAIRS])
            if len(group) > 1:
                yield _apart(model, group)
        return
    order = sorted(golds, key=_size)
    batch: list[Gold] = []
    for gold in order:
        if batch and sum(map(_size, batch)) + _size(gold) > TOKENS:
            yield _together(model, batch)
            batch = []
        batch.append(gold)
    if batch:
        yield _together(model, batch)


def _size(gold: Gold) -> int:
    return sum(part.layout.tokens for part in gold.row.inputs.values())


def _together(model: Any, golds: Sequence[Gold]) -> Batch:
    inputs = {name: merged([gold.row.inputs[name] for gold in golds]) for name in golds[0].row.inputs}
    labels = {}
    for name in golds[0].labels:
        head = next(head for head in model.plan.heads if head.name == name)
        starts = inputs[head.streams[0]].layout.starts.tolist()
        own = [gold.labels[name] for gold in golds]
        offset = starts if head.reads == "tokens" else range(len(golds))
        # What a span says are places, counted over all rows.
        ids = [one.ids + start if head.objective == "span" else one.ids for one, start in zip(own, starts, strict=True)]
        rows = [one.rows + place for one, place in zip(own, offset, strict=True) if one.rows is not None]
        device = next(model.parameters()).device
        labels[name] = Labels(torch.cat(ids).to(device), torch.cat(rows).to(device) if rows else None)
    return inputs, labels


def _apart(model: Any, golds: Sequence[Gold]) -> Batch:
    """Pairs that are told from the other pairs of the batch: by likeness, or, where there is a head for it, each beside
    the same text with the next picture of another group, if there is one."""
    count, groups = len(golds), torch.tensor([gold.groups for gold in golds], device=next(model.parameters()).device)
    if golds[0].second is not None:
        rows = [gold.row.inputs["text"] for gold in golds] + [
            gold.second.inputs["text"] for gold in golds if gold.second
        ]
        return {"text": merged(rows)}, {VECTOR: Labels(groups)}
    texts, shown = ([gold.row.inputs[name] for gold in golds] for name in ("text", "picture"))
    if "alignment" not in model.heads:
        return {"text": merged(texts), "picture": merged(shown)}, {"likeness": Labels(groups)}
    others = [(one, other) for one in range(count) if (other := _stranger(golds, one)) is not None]
    wrong = torch.tensor([0] * count + [1] * len(others), device=groups.device)
    read = merged(texts + [texts[one] for one, _ in others])
    seen = merged(shown + [shown[other] for _, other in others])
    return {"text": read, "picture": seen}, {"alignment": Labels(wrong)}


def _stranger(golds: Sequence[Gold], one: int) -> int | None:
    """The next that belongs to another group."""
    after = [*range(one + 1, len(golds)), *range(one)]
    return next((other for other in after if golds[other].groups != golds[one].groups), None)


def merged(inputs: Sequence[Input]) -> Input:
    """Rows end to end."""
    lengths = np.concatenate([one.layout.lengths for one in inputs])
    parts: dict[str, Any] = {
        part.name: torch.cat([getattr(one, part.name) for one in inputs])
        for part in fields(inputs[0])
        if torch.is_tensor(getattr(inputs[0], part.name))
    }
    return replace(inputs[0], layout=Layout.packed(lengths), **parts)


def line_read(gold: Gold) -> Line:
    """The line of the text that was given."""
    return gold.row.lines[next(name for name in gold.row.told if gold.row.lines[name].picture is None)]
