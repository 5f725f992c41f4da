"""What the layouts of BERT and its relatives have in common: which heads a checkpoint has and what they are for."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from msgspec import structs

from ..errors import UserError
from ..model.plan import Head, Plan, Tie, Tokens
from .settings import Settings

MASKED = Tie(keep="text.embedding.tokens.weight", share="heads.masked_token.output.weight")
# How BERT's released code reads questions: longest row, stride, longest question, longest answer. With fewer positions
# all is shorter.
READING = (384, 128, 64, 30)
PROBLEMS = {"single_label_classification": "one", "multi_label_classification": "several", "regression": "number"}
OBJECTIVES = {"one": "classes", "several": "several", "number": "values"}


class Purpose(NamedTuple):
    """Heads, heedful's task that runs them (None: a trunk to start from), and its keys of config.json."""

    heads: tuple[Head, ...] = ()
    task: str | None = None
    extra: Mapping[str, Any] = {}


def headed(
    plan: Plan, config: Settings, masked: tuple[Head, ...], dropout: float, **label: Any
) -> tuple[Plan, Purpose]:
    """A trunk under the heads of its checkpoint: those that `masked` found, or of labels or spans, if it was trained
    for them. `dropout` and `label` say how the head of a row's label reads (fields of `Head`)."""
    tokens = plan.streams[0].embedding
    assert isinstance(tokens, Tokens)
    purpose = _labelled(config, tokens.capacity, dropout, label) or filling(masked, tokens.capacity)
    tied = has_masked(purpose.heads) and config.take("tie_word_embeddings", bool, True)
    return structs.replace(plan, heads=purpose.heads, ties=(MASKED,) if tied else ()), purpose


def filling(heads: tuple[Head, ...], longest: int) -> Purpose:
    """The purpose of a masked language model, or of a trunk where `heads` has no head for masked tokens."""
    return Purpose(heads, "fill", {"longest": longest, "masking": {}}) if has_masked(heads) else Purpose(heads)


def has_masked(heads: tuple[Head, ...]) -> bool:
    """Whether one of the heads fills in masked tokens."""
    return any(head.name == "masked_token" for head in heads)


def _labelled(config: Settings, longest: int, dropout: float, label: Mapping[str, Any]) -> Purpose | None:
    """The purpose of a model that was trained for labels of rows, labels of tokens, or spans; None: of another."""
    name = config.architecture
    if name.endswith("ForQuestionAnswering"):
        row = min(longest, READING[0])
        reading = (row, *(max(1, part * row // READING[0]) for part in READING[1:]))
        return Purpose((_head("span", 2, objective="span"),), "answer", {"reading": reading, "threshold": None})
    labels = config.labels() or ["LABEL_0", "LABEL_1"]
    if name.endswith("ForTokenClassification"):
        answers = {"labels": labels, "entities": any(one[:2] in ("B-", "I-") for one in labels)}
        return Purpose((_head("label", len(labels), dropout=dropout),), "tag", {"answers": answers, "longest": longest})
    if name.endswith("ForSequenceClassification"):
        kind = _kind(config, len(labels))
        head = _head("label", len(labels), objective=OBJECTIVES[kind], dropout=dropout, **label)
        answers = {"kind": kind, "pairs": None, "labels": [] if kind == "number" else labels}
        return Purpose((head,), "classify", {"answers": answers, "longest": longest})
    return None


def _kind(config: Settings, labels: int) -> str:
    """What the labels of rows are: one of them holds, several, or there is one number."""
    problem = config.take("problem_type", str, "regression" if labels == 1 else "single_label_classification")
    if problem not in PROBLEMS or (problem == "regression" and labels > 1):
        raise UserError(f"{config.where}: 'problem_type' is {problem!r} for {labels} labels, which we lack")
    return PROBLEMS[problem]


def _head(name: str, outputs: int, **fields: Any) -> Head:
    return Head(name=name, streams=("text",), outputs=outputs, bias=True, **fields)


def needed(plan: Plan, extra: Mapping[str, Any]) -> Plan:
    """A plan without a pool that none of its heads reads: their classes with heads have one only where it is read. The
    pool of a file of that very class, as older ones have it, goes back with it."""
    came = Settings(extra.get("origin", {}).get("config", {}), "its origin").architecture
    same = came.endswith(_ending({head.name: head for head in plan.heads}))
    if not plan.heads or same or any(head.reads == "pooled" for head in plan.heads):
        return plan
    return structs.replace(plan, streams=tuple(structs.replace(stream, pool=None) for stream in plan.streams))


def heads_told(plan: Plan, extra: Mapping[str, Any], prefix: str) -> dict[str, Any]:
    """The keys of config.json that say what a plan's heads are; their classes begin with `prefix` ("Bert")."""
    heads = {head.name: head for head in plan.heads}
    told: dict[str, Any] = {"architectures": [prefix + _ending(heads)]}
    if "masked_token" in heads:
        told["tie_word_embeddings"] = MASKED in plan.ties
    if "label" in heads:
        answers = extra.get("answers", {})
        told |= labels_told(heads["label"].outputs, answers.get("labels", ()), extra)
        if heads["label"].reads != "tokens":
            kind = answers.get("kind", "one")
            told["problem_type"] = next(theirs for theirs, ours in PROBLEMS.items() if ours == kind)
    return told


def labels_told(outputs: int, labels: Sequence[str], extra: Mapping[str, Any]) -> dict[str, Any]:
    """The keys of config.json that name labels: those that a task knows, or of the config.json it came with."""
    came = extra.get("origin", {}).get("config", {})
    found = next(
        names for names in (labels, Settings(came, "its origin").labels(), [f"LABEL_{n}" for n in range(outputs)])
        if len(names) == outputs
    )  # fmt: skip
    return {
        "id2label": {str(number): label for number, label in enumerate(found)},
        "label2id": {label: number for number, label in enumerate(found)},
    }


def notes_of(extra: Mapping[str, Any]) -> tuple[str, ...]:
    """What is to be known of labels that are numbers: the layouts of transformers cannot say it."""
    answers = extra.get("answers", {})
    if answers.get("kind") != "number" or (answers.get("mean", 0.0), answers.get("deviation", 1.0)) == (0.0, 1.0):
        return ()
    return (f"answers are numbers less {answers['mean']}, divided by {answers['deviation']}",)


def _ending(heads: Mapping[str, Head]) -> str:
    """What their class with these heads is called; UserError where there is none."""
    match list(heads):
        case []:
            return "Model"
        case ["masked_token"]:
            return "ForMaskedLM"
        case ["masked_token", "next_sentence"]:
            return "ForPreTraining"
        case ["span"]:
            return "ForQuestionAnswering"
        case ["label"]:
            return "ForTokenClassification" if heads["label"].reads == "tokens" else "ForSequenceClassification"
    raise UserError(f"this layout has no class with the heads {', '.join(heads)}")
