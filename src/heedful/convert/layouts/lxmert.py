"""LXMERT (Tan & Bansal 2019) as `transformers` keeps it: one cross-attention serves both directions."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from msgspec import structs

from ...errors import UserError
from ...model.families import masked_token, pooled_label
from ...model.plan import Attend, Block, FeedForward, Head, Norm, Plan, Pool, Regions, Step, Stream, Tie, Tokens
from ...text.tokenizer import Tokenizer
from ..agreement import nearest
from ..encoders import MASKED, has_masked
from ..layout import Reading, Writing
from ..rules import Rule, Rules, Tensors, layer, matrix, numbered
from ..settings import Settings
from ..sizes import Table, read, sizes_of, told
from ..tokenizers import read_one
from . import bert

KINDS = ("lxmert",)

NORM = Norm(eps=1e-12)
SIZES: Table = {option: key for option, key in bert.SIZES.items() if option not in ("layers", "eps")}
REGIONS: Table = {"features": ("visual_feat_dim", 2048), "box": ("visual_pos_dim", 4)}
LAYERS: Table = {"text": ("l_layers", 9), "picture": ("r_layers", 5), "both": ("x_layers", 5)}
# What of a region is said: theirs, ours, how it is scored, and the key that says how many there are.
SEEN = (
    ("obj", "region_object", "classes", "num_object_labels"),
    ("attr", "region_attribute", "classes", "num_attr_labels"),
    ("feat", "region_feature", "values", "visual_feat_dim"),
)
AFTER = {"output": "output.dense", "norm": "output.LayerNorm"}
ATTENTION = {"query": "self.query", "key": "self.key", "value": "self.value", **AFTER}
CROSS = {"query": "att.query", "key": "att.key", "value": "att.value", **AFTER}
FEATURES = {"features": "visn_fc", "norm": "visn_layer_norm", "box": "box_fc", "box_norm": "box_layer_norm"}


def reading(config: Settings, names: Tensors) -> Reading:
    """Of LxmertModel, LxmertForPreTraining and LxmertForQuestionAnswering."""
    config.must(tie_word_embeddings=True)
    trunk = "" if "embeddings.word_embeddings.weight" in names else "lxmert."
    sizes, regions = read(config, SIZES), read(config, REGIONS)
    plan = _headed(_trunk(sizes, regions, read(config, LAYERS)), tuple(_heads(sizes, names, config.where)))
    table = rules(plan, trunk)
    answers = next((head.outputs for head in plan.heads if head.name == "label"), 0)
    if not answers:
        return Reading(plan, table)
    pictures = {"encoder": "regions", "features": regions["features"], "classes": 0, "whole": False}
    extra = {"pictures": pictures, "longest": 20, "answers": [str(number) for number in range(answers)]}
    return Reading(plan, table, "ask", extra)


def _trunk(sizes: Mapping[str, Any], regions: Mapping[str, int], layers: Mapping[str, int]) -> Plan:
    """Text layers, picture layers, then layers of both: each attends to the other stream, to itself, feeds forward."""
    width, dropout = sizes["width"], sizes["dropout"]
    tokens = {option: sizes[option] for option in ("vocab", "capacity", "segments")}
    text = Tokens(**tokens, positions="learned", norm=NORM, dropout=dropout)
    picture = Regions(**regions, apart=True, norm=NORM, dropout=dropout)

    def block(stream: str, *attended: str) -> Block:
        shape = {"heads": sizes["heads"], "head_width": width // sizes["heads"], "dropout": sizes["attention_dropout"]}
        return Block(
            stream=stream, attends=tuple(Attend(stream=one, **shape) for one in attended), norm=NORM, dropout=dropout,
            feedforward=FeedForward(width=sizes["feedforward"], activation=sizes["activation"]),
        )  # fmt: skip

    both = (block("text", "picture", "text"), block("picture", "text", "picture"))
    return Plan(
        streams=(
            Stream(name="text", width=width, embedding=text, pool=Pool(width=width)),
            Stream(name="picture", width=width, embedding=picture),
        ),
        steps=(
            *(Step(blocks=(block("text", "text"),)) for _ in range(layers["text"])),
            *(Step(blocks=(block("picture", "picture"),)) for _ in range(layers["picture"])),
            *(Step(blocks=both) for _ in range(layers["both"])),
        ),
        ties=tuple(
            Tie(keep=f"text.{layers['text'] + number}.picture", share=f"picture.{layers['picture'] + number}.text")
            for number in range(layers["both"])
        ),
        initialization="bert",
    )


def _heads(sizes: Mapping[str, Any], names: Tensors, where: str) -> Iterator[Head]:
    """The heads that are there."""
    if (answers := "answer_head.logit_fc.3.weight") in names:
        outputs, hidden = matrix(names, answers, where)
        head = pooled_label("label", ("text",), outputs)
        yield structs.replace(head, transform="gelu", hidden=hidden, norm=NORM)
    if "cls.predictions.bias" in names:
        yield masked_token("text", sizes["vocab"], NORM, sizes["activation"])
    if "cls.seq_relationship.weight" in names:
        yield pooled_label("alignment", ("text",), 2)
    for theirs, ours, objective, _ in SEEN:
        if (output := f"obj_predict_head.decoder_dict.{theirs}.weight") in names:
            head = masked_token("picture", matrix(names, output, where)[0], NORM, sizes["activation"])
            yield structs.replace(head, name=ours, objective=objective)


def _headed(plan: Plan, heads: tuple[Head, ...]) -> Plan:
    """A trunk under heads; those of regions share all but their output."""
    first, *others = [head.name for head in heads if head.streams == ("picture",)] or [""]
    shared = [
        Tie(keep=f"heads.{first}.{part}", share=f"heads.{name}.{part}")
        for name in others
        for part in ("transform", "norm")
    ]
    masked = (MASKED,) if has_masked(heads) else ()
    return structs.replace(plan, heads=heads, ties=(*plan.ties, *masked, *shared))


def rules(plan: Plan, trunk: str = "lxmert.") -> Rules:
    """The table of a plan."""
    table = [
        *layer("text.embedding", f"{trunk}embeddings", bert.EMBEDDING),
        *layer("picture.embedding", f"{trunk}encoder.visn_fc", FEATURES),
        Rule("text.pool", f"{trunk}pooler.dense"),
        *layer("heads.masked_token", "cls.predictions", bert.MASKED_HEAD),
        Rule("heads.alignment.output", "cls.seq_relationship"),
        *layer("heads.label", "answer_head", {"transform": "logit_fc.0", "norm": "logit_fc.2", "output": "logit_fc.3"}),
    ]
    for theirs, ours, *_ in SEEN:
        table.append(Rule(f"heads.{ours}.output", f"obj_predict_head.decoder_dict.{theirs}"))
        table.append(Rule(f"heads.{ours}.transform", "obj_predict_head.transform.dense"))
        table.append(Rule(f"heads.{ours}.norm", "obj_predict_head.transform.LayerNorm"))
    for address, block, own, number in numbered(plan):
        stream = block.stream
        if own:
            here = f"{trunk}encoder.{'layer' if stream == 'text' else 'r_layers'}.{number}"
            table += layer(address, here, bert.layer_of(stream))
            continue
        here, short = f"{trunk}encoder.x_layers.{number}", "lang" if stream == "text" else "visn"
        if stream == "text":
            table += layer(f"{address}.picture", f"{here}.visual_attention", CROSS)
        table += layer(f"{address}.{stream}", f"{here}.{short}_self_att", ATTENTION)
        table += layer(f"{address}.feedforward", here, {
            "inner": f"{short}_inter.dense", "output": f"{short}_output.dense", "norm": f"{short}_output.LayerNorm"
        })  # fmt: skip
    copies = {"cls.predictions.decoder.weight": f"{trunk}embeddings.word_embeddings.weight"}
    left = (rf"{trunk}embeddings\.position_ids",)
    return Rules(tuple(table), copies if MASKED in plan.ties else {}, left=left)


def tokenizers(folder: Path, config: Settings) -> dict[str, Tokenizer]:
    """BERT's WordPiece."""
    return read_one(folder, config)


def writing(plan: Plan, extra: Mapping[str, Any]) -> Writing:
    """Two streams of one width that share their cross-attention."""
    text, picture = sizes_of(plan, "text"), sizes_of(plan, "picture")
    layers = {"text": text["layers"], "picture": picture["layers"]}
    layers["both"] = sum(block.stream == "text" and not own for _, block, own, _ in numbered(plan))
    outputs = {head.name: head.outputs for head in plan.heads}
    config = {
        "model_type": "lxmert", "architectures": [_class(outputs)], **told(SIZES, text), **told(REGIONS, picture),
        **told(LAYERS, layers),
    }  # fmt: skip
    if "label" in outputs:
        config["num_qa_labels"] = outputs["label"]
    if "masked_token" in outputs:
        config |= {"task_qa": "label" in outputs, "task_obj_predict": any(ours in outputs for _, ours, *_ in SEEN)}
        for theirs, ours, _, count in SEEN:
            config |= {f"visual_{theirs}_loss": ours in outputs} | ({count: outputs[ours]} if ours in outputs else {})
    return nearest(reading, rules(plan, "lxmert." if plan.heads else ""), plan, config)


def _class(outputs: Mapping[str, int]) -> str:
    """Their class with these heads."""
    if not outputs:
        return "LxmertModel"
    if "masked_token" in outputs and "alignment" in outputs:
        return "LxmertForPreTraining"
    if [*outputs] == ["label"]:
        return "LxmertForQuestionAnswering"
    raise UserError(f"the layout lxmert has no class with the heads {', '.join(outputs)}")
