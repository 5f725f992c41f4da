"""ViLBERT (Lu et al. 2019) and 12-in-1 (Lu et al. 2020) as their official code keeps them.

Their stream 1 is the picture. `query2`, `key1` and `value1` make what the text sees of the picture, and `dense2` brings
it back to the text (Lu et al. 2019, figure 2). `q_dense1` and `q_dense2` are made for every co-attention layer and
never used: they are left out, and written as zeros.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from pathlib import Path
from typing import Any

from msgspec import structs

from ...errors import UserError
from ...model.families import masked_token, two_streams
from ...model.plan import Head, Norm, Plan, Regions
from ...text.tokenizer import Tokenizer
from ..agreement import nearest
from ..encoders import MASKED, has_masked
from ..layout import Reading, Writing
from ..rules import Rule, Rules, Shape, Tensors, layer, matrix, numbered
from ..settings import Settings
from ..sizes import Table, read, sizes_of, told
from ..tokenizers import read_one
from . import bert

KINDS = ("vilbert",)

EPS = 1e-12
DROP = 0.1  # of the fused vector, whatever the settings say
# Theirs has sizes of its own where a file leaves some out, and every file says them; dropouts it may.
TEXT: Table = {
    option: (key, default if isinstance(default, float) else type(default))
    for option, (key, default) in bert.SIZES.items()
    if option != "eps"
}
PICTURE: Table = {
    "width": ("v_hidden_size", int), "layers": ("v_num_hidden_layers", int), "heads": ("v_num_attention_heads", int),
    "feedforward": ("v_intermediate_size", int),
}  # fmt: skip
# Of both streams: kept once, and written for both.
SHARED: Table = {
    "activation": ("v_hidden_act", str), "dropout": ("v_hidden_dropout_prob", float),
    "attention_dropout": ("v_attention_probs_dropout_prob", float),
}  # fmt: skip
REGIONS: Table = {"features": ("v_feature_size", int), "regions": ("v_target_size", 1601)}
CO: Table = {"co_width": ("bi_hidden_size", int), "co_heads": ("bi_num_attention_heads", int)}
BEFORE = {"text": "t_biattention_id", "picture": "v_biattention_id"}
FUSION = {"mul": "product", "sum": "sum"}
REGION_TARGETS = {0: "distribution", 1: "values"}  # `visual_target`: the detector's classes, the region's vector

# The task heads of 12-in-1 that are a perceptron over the fused vector: theirs, ours, rows read together.
FUSED = (("vil_prediction", "label", 1), ("vil_prediction_gqa", "gqa", 1), ("vil_binary_prediction", "two_pictures", 2))
PERCEPTRON = {"transform": "logit_fc.0", "norm": "logit_fc.2", "output": "logit_fc.3"}
# Those that are one matrix: over the fused vector, theirs, ours, and how they are scored; over each token of a stream.
PLAIN = (("vil_logit", "fits", "values"), ("vil_tri_prediction", "entailment", "classes"))
SCORED = (("vision_logit", "region_score", "picture"), ("linguisic_logit", "token_score", "text"))
# Of a stream: the other one, the numbers of both in theirs, and what its feed-forwards and its own layers are called.
SIDES = {"text": ("picture", 2, 1, "t", "layer"), "picture": ("text", 1, 2, "v", "v_layer")}


def recognises(config: Settings, names: Collection[str]) -> bool:
    """Their config.json names no model type."""
    return "bi_hidden_size" in config and "bert.embeddings.word_embeddings.weight" in names


def reading(config: Settings, names: Tensors) -> Reading:
    """Of BertForMultiModalPreTraining and VILBertForVLTasks."""
    if any(".main.0.weight_g" in name for name in names):
        raise UserError(
            f"{config.where}: task heads of vilbert_beta (weight-normalised) are another network; take them out"
        )
    plan = trunk(config, names, "bert.")
    heads = (*pretraining(config, names), *_tasks(config, names))
    plan = structs.replace(plan, heads=heads, ties=(MASKED,) if has_masked(heads) else ())
    return Reading(plan, rules(plan), *purpose(config, plan))


def trunk(config: Settings, names: Tensors, stem: str) -> Plan:
    """The plan of both streams under no heads; tensors begin with `stem`."""
    config.must(
        dynamic_attention=False, with_coattention=True, in_batch_pairs=False, model="bert", use_co_attention_mask=False
    )
    sizes, picture = read(config, TEXT), read(config, PICTURE)
    if config.activation("v_hidden_act", config.tree["hidden_act"]) != sizes["activation"]:
        raise UserError(f"{config.where}: 'v_hidden_act' is another than 'hidden_act'; one for both can be read")
    before: dict[str, Any] = {
        "text_before": _before(config, BEFORE["text"], sizes["layers"]),
        "picture_before": _before(config, BEFORE["picture"], picture["layers"]),
    }
    if len({len(layers) for layers in before.values()}) > 1:
        raise UserError(f"{config.where}: {' and '.join(map(repr, BEFORE.values()))} are not of one length")
    plan = two_streams(
        **sizes, **{f"picture_{option}": size for option, size in picture.items()}, **read(config, REGIONS),
        **read(config, CO), **before, eps=EPS,
    )  # fmt: skip
    tasks = f"{stem}embeddings.task_embeddings.weight"
    if tasks not in names:
        if config.take("task_specific_tokens", bool, False):
            raise UserError(f"{config.where}: 'task_specific_tokens' is true, and no tensor is {tasks!r}")
        return plan.with_heads()
    text, seen = plan.streams
    text = structs.replace(text, embedding=structs.replace(text.embedding, tasks=matrix(names, tasks, config.where)[0]))
    return structs.replace(plan, streams=(text, seen)).with_heads()


def _before(config: Settings, key: str, layers: int) -> tuple[int, ...]:
    """The layers of a stream before which it reads the other one."""
    found = config.take(key, list[int])
    if found != sorted(set(found)) or not all(0 <= layer <= layers for layer in found):
        raise UserError(f"{config.where}: {key!r} is {found}; it is of rising numbers from 0 to {layers}")
    return tuple(found)


def fused(config: Settings, name: str, outputs: int, dropout: float = DROP, **more: Any) -> Head:
    """A head that reads both pooled vectors."""
    method = config.take("fusion_method", str, "mul")
    if method not in FUSION:
        raise UserError(f"{config.where}: 'fusion_method' is {method!r}; known are {' and '.join(FUSION)}")
    both: dict[str, Any] = {"streams": ("text", "picture"), "reads": "pooled", "join": FUSION[method], "bias": True}
    return Head(name=name, outputs=outputs, dropout=dropout, **both, **more)


def pretraining(config: Settings, names: Tensors, stem: str = "") -> Iterator[Head]:
    """The heads of ViLBERT's own tasks that are there; their tensors begin with `stem`."""
    activation, norm = config.activation("hidden_act"), Norm(eps=EPS)
    if f"{stem}cls.predictions.bias" in names:
        yield masked_token("text", config.size("vocab_size"), norm, activation)
    if (classes := f"{stem}cls.imagePredictions.decoder.weight") in names:
        target = config.take("visual_target", int, 0)
        if target not in REGION_TARGETS:
            raise UserError(f"{config.where}: 'visual_target' is {target}; known are 0 (classes) and 1 (vectors)")
        head = masked_token("picture", matrix(names, classes, config.where)[0], norm, activation)
        yield structs.replace(head, name="masked_region", objective=REGION_TARGETS[target])
    if f"{stem}cls.bi_seq_relationship.weight" in names:
        yield fused(config, "alignment", 2)


def _tasks(config: Settings, names: Tensors) -> Iterator[Head]:
    """The heads of 12-in-1 that are there."""
    for theirs, ours, together in FUSED:
        if (output := f"{theirs}.logit_fc.3.weight") in names:
            outputs, hidden = matrix(names, output, config.where)
            yield fused(config, ours, outputs, dropout=0.0, transform="gelu", hidden=hidden, norm=Norm(eps=EPS),
                        together=together, objective="several" if ours == "label" else "classes")  # fmt: skip
    for theirs, ours, objective in PLAIN:
        if (output := f"{theirs}.weight") in names:
            yield fused(config, ours, matrix(names, output, config.where)[0], objective=objective)
    for theirs, ours, stream in SCORED:
        if (output := f"{theirs}.weight") in names:
            outputs = matrix(names, output, config.where)[0]
            yield Head(name=ours, streams=(stream,), outputs=outputs, bias=True, dropout=DROP, objective="several")


def purpose(config: Settings, plan: Plan) -> tuple[str | None, dict[str, Any]]:
    """heedful's task, and its keys: ask, where answers are known by number; match, where pairs are judged."""
    heads = {head.name: head for head in plan.heads}
    sizes = read(config, REGIONS)
    sight = {"encoder": "regions", "features": sizes["features"], "classes": sizes["regions"]}
    extra: dict[str, Any] = {"pictures": sight, "longest": 36}
    if "label" in heads:
        return "ask", {**extra, "answers": [str(number) for number in range(heads["label"].outputs)]}
    return ("match", extra) if "alignment" in heads else (None, extra)


def rules(plan: Plan, stem: str = "bert.", head: str = "") -> Rules:
    """The table of a plan; `stem` is put before the trunk, `head` before the heads."""
    regions = {"features": "image_embeddings", "box": "image_location_embeddings", "norm": "LayerNorm"}
    decoder = f"{head}cls.predictions.decoder"
    table = [
        *layer("text.embedding", f"{stem}embeddings", {**bert.EMBEDDING, "tasks": "task_embeddings"}),
        *layer("picture.embedding", f"{stem}v_embeddings", regions),
        Rule("text.pool", f"{stem}t_pooler.dense"),
        Rule("picture.pool", f"{stem}v_pooler.dense"),
        *layer("heads.masked_token", f"{head}cls.predictions", bert.MASKED_HEAD),
        Rule("heads.masked_token.output", decoder),
        Rule("heads.masked_region.transform", f"{head}cls.imagePredictions.transform.dense"),
        Rule("heads.masked_region.norm", f"{head}cls.imagePredictions.transform.LayerNorm"),
        Rule("heads.masked_region.output", f"{head}cls.imagePredictions.decoder"),
        Rule("heads.alignment.output", f"{head}cls.bi_seq_relationship"),
        *(rule for theirs, ours, _ in FUSED for rule in layer(f"heads.{ours}", theirs, PERCEPTRON)),
        *(Rule(f"heads.{ours}.output", theirs) for theirs, ours, _ in (*PLAIN, *SCORED)),
    ]
    dead: dict[str, Shape] = {}
    for address, block, own, number in numbered(plan):
        other, mine, others, feed, layers = SIDES[block.stream]
        if own:
            table += layer(address, f"{stem}encoder.{layers}.{number}", bert.layer_of(block.stream))
            continue
        here, width = f"{stem}encoder.c_layer.{number}", plan.stream(block.stream).width
        table += layer(address, here, {
            f"{other}.query": f"biattention.query{mine}", f"{other}.key": f"biattention.key{others}",
            f"{other}.value": f"biattention.value{others}", f"{other}.output": f"biOutput.dense{mine}",
            f"{other}.norm": f"biOutput.LayerNorm{mine}", "feedforward.inner": f"{feed}_intermediate.dense",
            "feedforward.output": f"{feed}_output.dense", "feedforward.norm": f"{feed}_output.LayerNorm",
        })  # fmt: skip
        dead[f"{here}.biOutput.q_dense{mine}.weight"] = (width, block.attends[0].inner)
        dead[f"{here}.biOutput.q_dense{mine}.bias"] = (width,)
    copies = {f"{decoder}.bias": f"{head}cls.predictions.bias"} if has_masked(plan.heads) else {}
    if MASKED in plan.ties:
        copies[f"{decoder}.weight"] = f"{stem}embeddings.word_embeddings.weight"
    return Rules(tuple(table), copies, left=(rf"{stem}embeddings\.position_ids",), dead=dead)


def tokenizers(folder: Path, config: Settings) -> dict[str, Tokenizer]:
    """BERT's WordPiece."""
    return read_one(folder, config)


def writing(plan: Plan, extra: Mapping[str, Any]) -> Writing:
    """Two streams of tokens and regions, post-norm."""
    config = config_of(plan)
    return nearest(reading, rules(plan), plan, config)


def config_of(plan: Plan) -> dict[str, Any]:
    """Their config.json."""
    text, picture = sizes_of(plan, "text"), sizes_of(plan, "picture")
    heads = {head.name: head for head in plan.heads}
    if not isinstance(plan.stream("picture").embedding, Regions):
        raise UserError("this layout reads pictures as regions")
    regions = heads["masked_region"].outputs if "masked_region" in heads else 1601
    before: dict[str, list[int]] = {"text": [], "picture": []}
    done, co = {"text": 0, "picture": 0}, None
    for _, block, own, _ in numbered(plan):
        if own:
            done[block.stream] += 1
        else:
            before[block.stream].append(done[block.stream])
            co = block.attends[0]
    if co is None:
        raise UserError("this layout asks for layers in which the streams read each other")
    join = next((head.join for head in plan.heads if len(head.streams) == 2), "product")
    return {
        "model_type": "vilbert", **told(TEXT, text), **told(PICTURE, picture), **told(SHARED, picture),
        **told(REGIONS, {**picture, "regions": regions}), **told(CO, {"co_width": co.inner, "co_heads": co.heads}),
        **{key: before[stream] for stream, key in BEFORE.items()},
        "fusion_method": next(theirs for theirs, ours in FUSION.items() if ours == join),
        "task_specific_tokens": text["tasks"] > 0,
    }  # fmt: skip
