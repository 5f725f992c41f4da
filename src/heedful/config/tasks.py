"""Which keys of a recipe each task has, and the defaults that are its own. One place for what tasks differ in."""

from __future__ import annotations

from typing import Any

from msgspec import Struct, field

from ..errors import UserError
from ..model.presets import nearest


class TaskKeys(Struct, frozen=True, kw_only=True):
    """A task's sections with their keys, its family, the sizes it has where a recipe names none, and its defaults.

    `counted` is what a step's loss is a mean over. `defaults` are those that differ from the sections', by section.
    """

    family: str
    preset: str
    counted: str
    keys: dict[str, tuple[str, ...]]
    defaults: dict[str, dict[str, Any]] = field(default_factory=dict)


PAIRS = (
    "source", "target", "pairs", "dev_source", "dev_target", "dev_pairs", "test_source", "test_target", "test_pairs",
    "columns", "tags", "dev_tags", "weights", "temperature", "prefix", "hold_out", "longest", "placeholders",
)  # fmt: skip
FILES = ("train", "dev", "test", "dev_share", "longest")
LOOP = (
    "steps", "limit", "batch_tokens", "accumulate", "rate", "schedule", "warmup", "betas", "eps", "weight_decay",
    "clip", "label_smoothing", "precision", "device", "processes", "threads", "validate_every", "save_every",
    "save_seconds", "metric", "patience", "keep", "final", "average", "ema", "start",
)  # fmt: skip
WORDS = ("kind", "size", "lowercase", "cut")
SAMPLED = (*WORDS, "sampling", "segmentations")
CARD = ("name", "license", "cite")
# BERT's way of training (Devlin et al. 2019, A.2), at a rate for models of a laptop's size.
ENCODER: dict[str, Any] = {
    "rate": 1e-3, "schedule": "linear", "betas": (0.9, 0.98), "eps": 1e-8, "weight_decay": 0.01, "label_smoothing": 0.0,
    "precision": "auto", "validate_every": 200, "save_every": 200,
}  # fmt: skip


def _task(
    preset: str,
    family: str,
    counted: str,
    data: tuple[str, ...],
    words: tuple[str, ...] = WORDS,
    loop: tuple[str, ...] = LOOP,
    others: dict[str, tuple[str, ...]] | None = None,
    /,
    **defaults: dict[str, Any],
) -> TaskKeys:
    keys = {"data": data, "tokenizer": words, **(others or {}), "training": loop, "card": CARD}
    return TaskKeys(
        family=family, preset=preset, counted=counted, keys=keys, defaults={"training": ENCODER, **defaults}
    )


PICTURES = {"pictures": ("size", "edge", "zero", "features", "shift", "mirror")}
TASKS: dict[str, TaskKeys] = {
    "translate": TaskKeys(
        family="encoder-decoder",
        preset="transformer-mini",
        counted="target tokens",
        keys={
            "data": PAIRS,
            "cleaning": (
                "duplicates",
                "same_source",
                "leaks",
                "copies",
                "script",
                "numbers",
                "ratio",
                "characters",
                "words",
            ),
            "tokenizer": (*WORDS, "joint", "sampling", "segmentations", "placeholders"),
            "training": (
                *LOOP,
                "validation_sentences",
                "teacher",
                "distillation",
                "temperature",
                "r_drop",
            ),
            "decoding": ("beam", "length_penalty", "alpha", "max_ratio", "max_extra", "longest", "protect"),
            "card": CARD,
        },
    ),
    "write": _task(
        "gpt2-tiny",
        "decoder",
        "tokens",
        (*FILES, "documents"),
        training={
            "rate": 1e-3,
            "schedule": "cosine",
            "betas": (0.9, 0.99),
            "eps": 1e-8,
            "weight_decay": 0.1,
            "label_smoothing": 0.0,
            "precision": "auto",
            "validate_every": 250,
            "save_every": 250,
        },
        data={"documents": "file", "longest": 256},
    ),
    "fill": _task(
        "bert-tiny",
        "encoder",
        "hidden tokens",
        (*FILES, "documents", "fields"),
        WORDS,
        LOOP,
        {"masking": ("share", "whole_words", "next_sentence")},
        data={"documents": "line", "longest": 128},
    ),
    "classify": _task(
        "bert-tiny",
        "encoder",
        "examples",
        (*FILES, "fields", "labels", "label_until"),
        SAMPLED,
        (*LOOP, "r_drop", "token_dropout", "reads"),
        training={**ENCODER, "metric": "accuracy"},
        data={"longest": 128},
    ),
    "tag": _task(
        "bert-tiny",
        "encoder",
        "words",
        (*FILES, "fields"),
        SAMPLED,
        (*LOOP, "token_dropout"),
        training={**ENCODER, "metric": "f1"},
        data={"longest": 256},
    ),
    "answer": _task(
        "bert-tiny",
        "encoder",
        "windows",
        (*FILES, "stride", "longest_question", "longest_answer"),
        training={**ENCODER, "metric": "f1"},
        data={"longest": 384},
    ),
    "embed": _task(
        "bert-tiny",
        "encoder",
        "pairs",
        (*FILES, "fields"),
        WORDS,
        (*LOOP, "reads", "sharpness"),
        training={**ENCODER, "metric": "recall"},
        data={"longest": 128},
    ),
    "match": _task(
        "two-streams-tiny",
        "two-streams",
        "pairs",
        (*FILES, "fields"),
        WORDS,
        LOOP,
        {
            **PICTURES,
            "masking": ("share", "whole_words", "regions"),
            "matching": ("contrast", "alignment", "text", "regions", "negatives", "hard", "sharpness"),
        },
        training={**ENCODER, "metric": "recall"},
        data={"longest": 64},
    ),
    "ask": _task(
        "two-streams-tiny",
        "two-streams",
        "questions",
        (*FILES, "fields", "labels", "answers"),
        WORDS,
        LOOP,
        PICTURES,
        training={**ENCODER, "metric": "accuracy"},
        data={"longest": 64},
    ),
    "caption": _task(
        "transformer-tiny",
        "encoder-decoder",
        "tokens",
        (*FILES, "fields"),
        WORDS,
        LOOP,
        {**PICTURES, "decoding": ("beam", "length_penalty", "alpha", "max_extra")},
        training={**ENCODER, "label_smoothing": 0.1},
        data={"longest": 64},
    ),
}


def keys_of(task: object, where: str) -> TaskKeys:
    """What a task's recipe holds; UserError for a task that is not known."""
    if not isinstance(task, str) or task not in TASKS:
        raise UserError(f"{where}: task = {task!r}; {nearest(str(task), list(TASKS))}")
    return TASKS[task]
