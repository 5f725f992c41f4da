"""A folder of sentence-transformers (Reimers & Gurevych 2019): an encoder, how a text's vector is read off it, and
sometimes a dense layer after that."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from itertools import product
from pathlib import Path
from typing import Any

import msgspec
from msgspec import structs

from ...errors import UserError
from ...model.files import content
from ...model.plan import Head, Plan, Pool, Tokens
from ...text.tokenizer import Tokenizer
from ..agreement import agree
from ..layout import Reading, Writing, layout, layout_of
from ..named import Named
from ..rules import Rule, Rules, Tensors
from ..settings import Settings, read_settings, written_json
from ..weights import Weights

KINDS = ()
MODULES, OWN = "modules.json", "sentence_bert_config.json"
HEAD = "embedding"
INNER = ("bert", "roberta", "distilbert")
DENSE = "2_Dense"  # the folder of the dense layer
AFTER: tuple[list[str], ...] = ([], ["Normalize"], ["Dense"], ["Dense", "Normalize"])  # what may follow the pooling

# What heedful reads a text's vector from, by their "pooling mode".
POOLING = {"pooling_mode_mean_tokens": "mean", "pooling_mode_cls_token": "first"}
ACTIVATIONS = {"Tanh": "tanh", "Identity": "none", "ReLU": "relu", "GELU": "gelu"}
SHARPNESS = 20.0  # theirs in training with in-batch negatives (MultipleNegativesRankingLoss)


class Module(msgspec.Struct):
    """One of modules.json."""

    path: str
    type: str

    @property
    def kind(self) -> str:
        return self.type.rpartition(".")[2]


def opened(path: Path) -> tuple[Settings, Named, Reading]:
    """The encoder's settings, all weights, and what they are."""
    modules = _modules(path / MODULES)
    kinds = [module.kind for module in modules]
    if kinds[:2] != ["Transformer", "Pooling"] or kinds[2:] not in AFTER:
        raise UserError(f"{path / MODULES}: {', '.join(kinds)}; known are Transformer, Pooling, then Dense, Normalize")
    inner = path / modules[0].path
    config, parts = read_settings(inner / "config.json"), {"": Weights.open(inner)}
    dense = next((path / module.path for module in modules if module.kind == "Dense"), None)
    if dense is not None:
        parts[f"{DENSE}/"] = Weights.open(dense)
    weights = Named(parts)
    reading = layout(layout_of(config, weights)).reading(config, weights)
    head = _head(read_settings(path / modules[1].path / "config.json"))
    if dense is not None:
        head = _through(head, read_settings(dense / "config.json"))
    plan = structs.replace(reading.plan, heads=(head,), ties=())
    notes, scaled = tuple(_prompts(path / "config_sentence_transformers.json")), kinds[-1] == "Normalize"
    if not scaled:
        notes = (*notes, "its vectors are of any length there; here they are scaled to length 1, for cosines")
    extra = {"longest": _longest(inner, plan), "normalize": scaled}
    return config, weights, Reading(plan, _with_dense(reading.rules, head), "embed", extra, notes)


def _modules(path: Path) -> list[Module]:
    try:
        modules = msgspec.json.decode(content(path), type=list[Module])
    except OSError as error:
        raise UserError(f"{path}: cannot be read: {error.strerror}") from None
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise UserError(f"{path}: not a list of modules: {error}") from None
    for module in modules:
        if not module.path.replace("_", "").replace("-", "").isalnum() and module.path:
            raise UserError(f"{path}: {module.path!r} is not the name of a folder beside it")
    return modules


def _head(pooling: Settings) -> Head:
    """How a text's vector is read."""
    chosen = [key for key, value in pooling.tree.items() if key.startswith("pooling_mode_") and value is True]
    mode = pooling.take("pooling_mode", str, "")
    chosen = chosen or [f"pooling_mode_{mode}_tokens" if mode == "mean" else f"pooling_mode_{mode}_token"]
    if len(chosen) != 1 or chosen[0] not in POOLING:
        raise UserError(f"{pooling.where}: {', '.join(chosen)}; known are {' and '.join(POOLING)}, one of them")
    pooling.must(include_prompt=True)
    return _bare(POOLING[chosen[0]])


def _bare(reads: Any) -> Head:
    """What is read is the vector."""
    return Head(
        name=HEAD, streams=("text",), outputs=0, reads=reads, objective="contrast", sharpness=SHARPNESS, norm=None
    )


def _through(head: Head, dense: Settings) -> Head:
    """The same with a dense layer, and its activation, after it."""
    name = dense.take("activation_function", str, "torch.nn.modules.activation.Tanh").rpartition(".")[2]
    if name not in ACTIVATIONS:
        raise UserError(f"{dense.where}: 'activation_function' is {name!r}; known are {', '.join(ACTIVATIONS)}")
    width, bias = dense.size("out_features"), dense.take("bias", bool, True)
    if name == "Identity":
        return structs.replace(head, outputs=width, bias=bias)
    dense.must(bias=True)
    activation: Any = ACTIVATIONS[name]
    return structs.replace(head, transform=activation, hidden=width)


def _longest(inner: Path, plan: Plan) -> int:
    """Tokens of a text that are read, controls included."""
    embedding, own = plan.streams[0].embedding, inner / OWN
    assert isinstance(embedding, Tokens)
    most = embedding.capacity
    return min(most, read_settings(own).size("max_seq_length", most)) if own.exists() else most


def _prompts(path: Path) -> list[str]:
    """A line where texts are to begin with a prompt."""
    if not path.exists():
        return []
    settings = read_settings(path)
    name, prompts = settings.take("default_prompt_name", str, ""), settings.take("prompts", dict, {})
    if prompts.get(name):
        raise UserError(f"{path}: every text is to begin with {prompts[name]!r}; put it before yours, and remove "
                        f"'default_prompt_name'")  # fmt: skip
    known = [repr(prompt) for prompt in prompts.values() if prompt]
    return [f"texts may begin with: {', '.join(known)}"] if known else []


def reading(config: Settings, names: Tensors) -> Reading:
    """Not by config.json alone; see `opened`."""
    raise UserError(f"{config.where}: a folder of sentence-transformers is known by its {MODULES}, which is missing")


def tokenizers(folder: Path, config: Settings) -> dict[str, Tokenizer]:
    """Those of the encoder."""
    inner = folder / _modules(folder / MODULES)[0].path
    found = layout(layout_of(config, ())).tokenizers(inner, config)
    lowers = (inner / OWN).exists() and read_settings(inner / OWN).take("do_lower_case", bool, False)
    if lowers and not all(one.lowercase for one in found.values()):
        raise UserError(f"{inner / OWN}: 'do_lower_case' is true, over a tokenizer that keeps case; that is not built")
    return found


def writing(plan: Plan, extra: Mapping[str, Any]) -> Writing:
    """Encoders that one of `INNER` can say, under a head that reads the mean of all states or the first, with at most
    one dense layer."""
    if [head.name for head in plan.heads] != [HEAD] or plan.heads[0].reads not in POOLING.values():
        reads = " or ".join(POOLING.values())
        raise UserError(f"the layout sentence_transformers has one head, {HEAD!r}, that reads {reads}")
    head = plan.heads[0]
    written = _inner(structs.replace(plan, heads=(), ties=()), extra)
    made = structs.replace(
        _bare(head.reads), outputs=head.outputs, bias=head.bias, transform=head.transform, hidden=head.hidden
    )  # fmt: skip
    files = {name: written_json(tree) for name, tree in _files(head, plan.streams[0].width, extra).items()}
    nearest, rules = structs.replace(written.plan, heads=(made,)), _with_dense(written.rules, head)
    return replace(written, plan=nearest, rules=rules, files={**written.files, **files})


def _files(head: Head, width: int, extra: Mapping[str, Any]) -> dict[str, Any]:
    """The files beside the encoder's."""
    dense, longest = bool(head.outputs or head.transform), extra["longest"]
    after = [*(["Dense"] if dense else []), *(["Normalize"] if extra.get("normalize", True) else [])]
    kinds = ["Transformer", "Pooling", *after]
    paths = ["", *(f"{number}_{kind}" for number, kind in enumerate(kinds) if number)]
    modules = [
        {"idx": number, "name": str(number), "path": path, "type": f"sentence_transformers.models.{kind}"}
        for number, (path, kind) in enumerate(zip(paths, kinds, strict=True))
    ]
    modes = {key: reads == head.reads for key, reads in POOLING.items()}
    found: dict[str, Any] = {
        MODULES: modules, OWN: {"max_seq_length": longest, "do_lower_case": False},
        "1_Pooling/config.json": {"word_embedding_dimension": width, **modes},
        **({f"{paths[-1]}/config.json": {}} if kinds[-1] == "Normalize" else {}),
    }  # fmt: skip
    if dense:
        name = next(theirs for theirs, ours in ACTIVATIONS.items() if ours == (head.transform or "none"))
        found[f"{DENSE}/config.json"] = {
            "in_features": width, "out_features": head.outputs or head.hidden or width,
            "bias": bool(head.bias or head.transform),
            "activation_function": f"torch.nn.modules.{'linear' if name == 'Identity' else 'activation'}.{name}",
        }  # fmt: skip
    return found


def _with_dense(inner: Rules, head: Head) -> Rules:
    """The encoder's table, and where the dense layer is, if there is one."""
    part = "transform" if head.transform else "output"
    return replace(inner, rules=(Rule(f"heads.{HEAD}.{part}", f"{DENSE}/linear"), *inner.rules))


def _inner(plan: Plan, extra: Mapping[str, Any]) -> Writing:
    """The first layout that can say the encoder; that it came from, if it came from one. Theirs has a pool, which
    nothing reads here; where ours has none it is written as zeros, unless it came without."""
    reasons, origin = [], extra.get("origin", {})
    kind, stream = origin.get("config", {}).get("model_type"), plan.streams[0]
    trunks = [plan]
    if stream.pool is None and origin.get("layout") != "sentence_transformers":
        pooled = structs.replace(stream, pool=Pool(width=stream.width))
        trunks = [structs.replace(plan, streams=(pooled,)), plan]
    for name, trunk in product(sorted(INNER, key=lambda one: kind not in layout(one).KINDS), trunks):
        try:
            written: Writing = layout(name).writing(trunk, extra)  # type: ignore[attr-defined]
            agree(trunk, written.plan, name)
        except UserError as error:
            reasons.append(str(error))
            continue
        return written
    raise UserError("no layout can say what this encoder computes: " + "; ".join(reasons))
