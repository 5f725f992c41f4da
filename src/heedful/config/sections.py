"""What a recipe holds: strict, immutable sections with their defaults. One place for every key and its meaning."""

from __future__ import annotations

import typing
from typing import Any, Literal

from msgspec import Struct, field


class Section(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A table of a recipe."""


class Data(Section, frozen=True):
    """Where the examples are. Paths are taken as given or, failing that, under the data root.

    Either `source` and `target` (parallel text, one line each) or `pairs` (TSV with two columns, or JSONL with the
    keys "source" and "target"); each may be .gz. Without dev files, `hold_out` examples are kept from training.
    Test files are only looked at, so that none of their pairs is trained on. `columns` are the two columns of TSV files
    to take, counted from 1; not set, there must be two.
    `tags` names each file's target language, in the order source files, then pairs; dev files follow the same order, or
    have `dev_tags`. `weights` says how often a corpus is seen in an epoch, in the order of the files; `temperature` T
    has corpora (with tags: languages) of n examples seen in proportion to n^(1/T) (Arivazhagan et al. 2019, 4.1).
    `prefix` is put before every source, in training and in use: what is to be done ("summarise:", Raffel et al. 2020).
    `placeholders` is the share of pairs, others in every epoch, that teach the tokenizer's placeholders though there is
    nothing to protect in them.

    Tasks other than translation have `train`, `dev` and `test` files; without dev files a share `dev_share` of training
    is held out. Each task's guide says which formats it reads; `fields` names the columns (by header, or counted from
    1) or keys to take, in the order the task wants them.
    """

    source: tuple[str, ...] = ()
    target: tuple[str, ...] = ()
    pairs: tuple[str, ...] = ()
    dev_source: tuple[str, ...] = ()
    dev_target: tuple[str, ...] = ()
    dev_pairs: tuple[str, ...] = ()
    test_source: tuple[str, ...] = ()
    test_target: tuple[str, ...] = ()
    test_pairs: tuple[str, ...] = ()
    columns: tuple[int, int] | None = None
    tags: tuple[str, ...] = ()
    dev_tags: tuple[str, ...] = ()
    weights: tuple[float, ...] = ()
    temperature: float | None = None
    prefix: str = ""
    hold_out: int | None = None
    longest: int = 256
    placeholders: float = 0.1
    train: tuple[str, ...] = ()
    dev: tuple[str, ...] = ()
    test: tuple[str, ...] = ()
    dev_share: float = 0.1
    documents: Literal["file", "paragraph", "line"] = "line"
    fields: tuple[str, ...] = ()
    labels: Literal["one", "several", "number"] = "one"
    label_until: str = ""
    answers: int = 3129
    stride: int = 128
    longest_question: int = 64
    longest_answer: int = 30


class Cleaning(Section, frozen=True):
    """Which pairs are left out of training, besides those with an empty side or more than `data.longest` tokens.

    Two texts are the same if they differ in white space and Unicode form (NFC) at most. `ratio` compares characters,
    after scaling by what is usual in the corpus; `script` looks at letters, `numbers` at digits. See data/cleaning.py.
    """

    duplicates: bool = True
    same_source: bool = False
    leaks: bool = True
    copies: bool = False
    script: bool = False
    numbers: bool = False
    ratio: float | None = None
    characters: int | None = None
    words: int | None = None


class Tokenizer(Section, frozen=True):
    """Trained by the tool on the training data. `size` None: chosen from the data. `sampling` is the probability of
    leaving out a merge (Provilkov et al. 2020, 3) when a word's `segmentations` are drawn; 0 turns sampling off.
    So many `placeholders` stand for tags, variables, addresses and the like, which a translation must keep."""

    kind: Literal["bpe", "unigram", "bytes", "characters"] = "bpe"
    size: int | None = None
    joint: bool = True
    lowercase: bool = False
    cut: Literal["classes", "digits", "spaces"] = "classes"
    sampling: float = 0.0
    segmentations: int = 16
    placeholders: int = 16


class Masking(Section, frozen=True):
    """What masked pretraining hides: a `share` of the text's tokens (Devlin et al. 2019, 3.1) and of the picture's
    `regions` (Lu et al. 2019, 3.2)."""

    share: float = 0.15
    whole_words: bool = True
    next_sentence: bool = False
    regions: float = 0.15


class Matching(Section, frozen=True):
    """What matching learns, and how much each counts (0: not at all): likeness of whole captions and pictures before
    the streams meet (`contrast`); whether a pair belongs together after it (`alignment`), beside as many `negatives`
    for each pair, of which a share is `hard` (they share a word); hidden words (`text`) and patches (`regions`)."""

    contrast: float = 1.0
    alignment: float = 1.0
    text: float = 1.0
    regions: float = 1.0
    negatives: int = 1
    hard: float = 0.5
    sharpness: float = 20.0


class Pictures(Section, frozen=True):
    """How pictures become patches: scaled to `size` [height, width], cut into squares of `edge` pixels; or a file of
    `features`. Of a pixel's brightness, 0 to 255, `zero` counts as nothing. In training pictures are moved by up to
    `shift` pixels and mirrored, if that changes no answer."""

    size: tuple[int, int] = (32, 32)
    edge: int = 4
    zero: float = 127.5
    features: str | None = None
    shift: int = 0
    mirror: bool = False


class Training(Section, frozen=True):
    """One loop for all tasks. `batch_tokens` counts real target tokens of one micro-batch; a step sums `accumulate`.

    `limit` bounds wall time ("20m", "90s", "2h"); `steps` bounds steps; at least one is set, the first reached ends.
    `warmup` counts the steps of a rising rate (None: chosen by the run's length).
    `rate` is the peak learning rate (for "noam": the factor of Vaswani et al. 2017, equation 3).

    `metric` decides which validation is the best: "loss" (lower is better), chrF2 or BLEU (higher) of greedy
    translations of `validation_sentences` dev pairs, or another score of the task's. `patience` ends the run after so
    many validations in a row without a better one (0: never). `final` is what becomes the finished model: the "best"
    validation's weights, the "last", or the "average" of the last `average` validations' (None: "average" if `average`
    is more than 1, else "best").
    `ema` is the decay of a running average of the weights, which is then what is validated and finished (0: off).

    `start` is a finished translator (RUN or MODEL folder) to begin from, with its tokenizers. `teacher` is one to learn
    from: `distillation` is its share of the loss, `temperature` softens both distributions (Hinton et al. 2015, 2).
    `r_drop` weighs the divergence of two passes under different dropout (alpha in Liang et al. 2021; 0: one pass).
    `token_dropout` is the share of tokens that are read as unknown in training, others in every epoch.

    `reads`: a text's vector is made from the mean of its tokens' states, or from its first token's (None: as the model
    to start from does, else the mean); `sharpness` multiplies cosines where vectors are compared (1 / temperature).
    """

    steps: int | None = None
    limit: str | None = None
    batch_tokens: int = 2048
    accumulate: int = 1
    rate: float = 1e-3
    schedule: Literal["noam", "inverse-sqrt", "cosine", "linear", "constant"] = "inverse-sqrt"
    warmup: int | None = None
    betas: tuple[float, float] = (0.9, 0.98)
    eps: float = 1e-9
    weight_decay: float = 0.0
    clip: float = 1.0
    label_smoothing: float = 0.1
    precision: Literal["fp32", "bf16", "auto"] = "fp32"
    device: str = "auto"
    processes: int | Literal["auto"] = "auto"
    threads: int | Literal["auto"] = "auto"
    validate_every: int = 500
    save_every: int = 500
    save_seconds: float = 600.0
    validation_sentences: int = 500
    metric: Literal["loss", "chrf", "bleu", "accuracy", "f1", "exact", "recall", "correlation"] = "loss"
    patience: int = 0
    keep: int = 3
    final: Literal["best", "last", "average"] | None = None
    average: int = 1
    ema: float = 0.0
    start: str | None = None
    teacher: str | None = None
    distillation: float = 0.5
    temperature: float = 1.0
    r_drop: float = 0.0
    token_dropout: float = 0.0
    reads: Literal["mean", "first"] | None = None
    sharpness: float = 20.0


class Decoding(Section, frozen=True):
    """Defaults that a finished model decodes with. A text of more than `longest` tokens is translated in pieces.

    `protect` keeps tags, variables, addresses and numbers; off for a model that is to change them (7 p.m. to 19 Uhr).
    """

    beam: int = 4
    length_penalty: Literal["average", "gnmt", "hf"] = "average"
    alpha: float = 1.0
    max_ratio: float = 2.0
    max_extra: int = 30
    longest: int = 256
    protect: bool = True


class Card(Section, frozen=True):
    """What the model card (README.md in the model's folder) says beside what is measured."""

    name: str = ""
    license: str = ""
    cite: str = ""


class Recipe(Section, frozen=True):
    """Everything a run is made from. `model` holds a family's options, and `preset`. Which keys there are is the task's
    to say (tasks.py)."""

    task: str = "translate"
    seed: int = 1
    data: Data = field(default_factory=Data)
    cleaning: Cleaning = field(default_factory=Cleaning)
    tokenizer: Tokenizer = field(default_factory=Tokenizer)
    masking: Masking = field(default_factory=Masking)
    pictures: Pictures = field(default_factory=Pictures)
    matching: Matching = field(default_factory=Matching)
    model: dict[str, Any] = field(default_factory=dict)
    training: Training = field(default_factory=Training)
    decoding: Decoding = field(default_factory=Decoding)
    card: Card = field(default_factory=Card)


def named_choices(hint: Any) -> tuple[str, ...]:
    """The words that a key's type allows, where it is one of a few; none where it may be something else."""
    options = [hint, *typing.get_args(hint)]
    choices = next((typing.get_args(one) for one in options if typing.get_origin(one) is Literal), ())
    return () if choices == ("auto",) else choices


# The tables of a recipe but [model], whose keys are its family's.
SECTIONS = {
    "data": Data,
    "cleaning": Cleaning,
    "tokenizer": Tokenizer,
    "masking": Masking,
    "pictures": Pictures,
    "matching": Matching,
    "training": Training,
    "decoding": Decoding,
    "card": Card,
}
