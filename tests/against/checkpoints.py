"""Models of `transformers` with random weights, written as their library writes them and read as ours reads them.

Sizes are small, odd, and no two that could be mixed up are equal. Nothing is downloaded.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest
import torch
from laws.closeness import assert_all_close, gradients
from torch import Tensor

from heedful.convert.importing import Checkpoint, opened
from heedful.convert.named import Named
from heedful.convert.weights import Weights
from heedful.model.embeddings import Input
from heedful.model.heads import LossSums
from heedful.model.layout import Layout
from heedful.model.model import Model

transformers = pytest.importorskip("transformers")
transformers.utils.logging.set_verbosity_error()
transformers.utils.logging.disable_progress_bar()

VOCAB, PAD, IGNORED = 61, 1, -100
LENGTHS, TARGET_LENGTHS = [9, 3, 6, 1], [4, 8, 1, 5]
LOUD = 100.0  # losses are multiplied by this before gradients are taken, so that these are not small beside 1
KERNELS = pytest.mark.parametrize("which", ["explicit", "fused"])

BERT: dict[str, Any] = {
    "vocab_size": VOCAB, "hidden_size": 24, "num_hidden_layers": 3, "num_attention_heads": 4, "intermediate_size": 20,
    "max_position_embeddings": 18, "pad_token_id": PAD,
}  # fmt: skip
DISTIL: dict[str, Any] = {
    "vocab_size": VOCAB, "dim": 24, "n_layers": 3, "n_heads": 4, "hidden_dim": 20, "max_position_embeddings": 18,
    "pad_token_id": PAD,
}  # fmt: skip
GPT2: dict[str, Any] = {
    "vocab_size": VOCAB, "n_embd": 24, "n_layer": 3, "n_head": 4, "n_inner": 20, "n_positions": 18, "bos_token_id": 0,
    "eos_token_id": 0,
}  # fmt: skip
MARIAN: dict[str, Any] = {
    "vocab_size": VOCAB, "d_model": 24, "encoder_layers": 2, "decoder_layers": 3, "encoder_attention_heads": 4,
    "decoder_attention_heads": 2, "encoder_ffn_dim": 20, "decoder_ffn_dim": 28, "max_position_embeddings": 18,
    "pad_token_id": PAD, "bos_token_id": 0, "eos_token_id": 2, "decoder_start_token_id": 0, "forced_eos_token_id": 2,
}  # fmt: skip
T5: dict[str, Any] = {
    "vocab_size": VOCAB, "d_model": 24, "d_kv": 6, "d_ff": 20, "num_layers": 2, "num_decoder_layers": 3, "num_heads": 5,
    "relative_attention_num_buckets": 8, "relative_attention_max_distance": 9, "decoder_start_token_id": 0,
    "pad_token_id": PAD, "eos_token_id": 2,
}  # fmt: skip
VIT: dict[str, Any] = {
    "hidden_size": 24, "num_hidden_layers": 3, "num_attention_heads": 4, "intermediate_size": 20, "image_size": 12,
    "patch_size": 4, "num_channels": 2,
}  # fmt: skip
CLIP: dict[str, Any] = {
    "text_config": {
        "vocab_size": VOCAB, "hidden_size": 24, "intermediate_size": 20, "num_hidden_layers": 2,
        "num_attention_heads": 4, "max_position_embeddings": 18, "bos_token_id": 0, "eos_token_id": VOCAB - 1,
    },
    "vision_config": {
        "hidden_size": 32, "intermediate_size": 28, "num_hidden_layers": 3, "num_attention_heads": 2, "image_size": 12,
        "patch_size": 4,
    },
    "projection_dim": 14,
}  # fmt: skip
LXMERT: dict[str, Any] = {
    "vocab_size": VOCAB, "hidden_size": 24, "num_attention_heads": 4, "intermediate_size": 20, "l_layers": 3,
    "x_layers": 2, "r_layers": 1, "visual_feat_dim": 11, "num_qa_labels": 7, "num_object_labels": 5,
    "num_attr_labels": 6, "max_position_embeddings": 18,
}  # fmt: skip


TAGS = {"id2label": {0: "O", 1: "B-x", 2: "I-x"}, "label2id": {"O": 0, "B-x": 1, "I-x": 2}}


class Case(NamedTuple):
    """A class of theirs, and the settings that differ from its defaults."""

    model: str
    config: str
    options: dict[str, Any]

    def made(self) -> Any:
        """One, always the same, with biases and norms that are not zeros and ones, to be evaluated."""
        torch.manual_seed(1)
        theirs = getattr(transformers, self.model)(getattr(transformers, self.config)(**self.options))
        with torch.no_grad():
            for parameter in theirs.parameters():
                if parameter.requires_grad:
                    parameter.add_(0.1 * torch.randn(parameter.shape))
            if hasattr(theirs, "final_logits_bias"):
                theirs.final_logits_bias.normal_()
        return theirs.eval()


def _heads(name: str, sizes: dict[str, Any], prefix: str, config: str) -> dict[str, Case]:
    """A relative of BERT under every head that it may have."""
    kinds: dict[str, tuple[str, dict[str, Any]]] = {
        "trunk": ("Model", {}), "masked": ("ForMaskedLM", {}),
        "label": ("ForSequenceClassification", {"num_labels": 3}),
        "several": ("ForSequenceClassification", {"num_labels": 3, "problem_type": "multi_label_classification"}),
        "number": ("ForSequenceClassification", {"num_labels": 1}),
        "tokens": ("ForTokenClassification", TAGS),
        "span": ("ForQuestionAnswering", {}),
    }  # fmt: skip
    return {
        f"{name}-{kind}": Case(f"{prefix}{ending}", config, {**sizes, **more}) for kind, (ending, more) in kinds.items()
    }


ENCODERS: dict[str, Case] = {
    **_heads("bert", BERT, "Bert", "BertConfig"),
    "bert-pretraining": Case("BertForPreTraining", "BertConfig", {**BERT, "hidden_act": "relu"}),
    **_heads("roberta", {**BERT, "type_vocab_size": 1, "hidden_act": "gelu_new"}, "Roberta", "RobertaConfig"),
    **_heads("pre-norm", {**BERT, "pad_token_id": 3}, "RobertaPreLayerNorm", "RobertaPreLayerNormConfig"),
    "xlm-r": Case("XLMRobertaForMaskedLM", "XLMRobertaConfig", {**BERT, "hidden_act": "silu"}),
    "camembert": Case("CamembertForTokenClassification", "CamembertConfig", {**BERT, "type_vocab_size": 1}),
    **_heads("distilbert", DISTIL, "DistilBert", "DistilBertConfig"),
    "distilbert-untied": Case("DistilBertForMaskedLM", "DistilBertConfig", {**DISTIL, "tie_word_embeddings": False}),
}
DECODERS: dict[str, Case] = {
    "gpt2": Case("GPT2LMHeadModel", "GPT2Config", GPT2),
    "gpt2-silu": Case("GPT2LMHeadModel", "GPT2Config", {**GPT2, "activation_function": "silu", "n_inner": None}),
    "gpt2-untied": Case("GPT2LMHeadModel", "GPT2Config", {**GPT2, "tie_word_embeddings": False}),
    "gpt2-trunk": Case("GPT2Model", "GPT2Config", {**GPT2, "activation_function": "gelu_fast"}),
}
OWN = {"share_encoder_decoder_embeddings": False, "decoder_vocab_size": 53}
GATED = {"feed_forward_proj": "gated-gelu", "tie_word_embeddings": False}
TRANSLATORS: dict[str, Case] = {
    "marian": Case("MarianMTModel", "MarianConfig", {**MARIAN, "scale_embedding": True, "activation_function": "silu"}),
    "marian-own": Case("MarianMTModel", "MarianConfig", {**MARIAN, **OWN, "activation_function": "relu"}),
    "pegasus": Case("PegasusForConditionalGeneration", "PegasusConfig", {**MARIAN, "activation_function": "relu"}),
    "bart": Case("BartForConditionalGeneration", "BartConfig", MARIAN),
    "mbart": Case("MBartForConditionalGeneration", "MBartConfig", {**MARIAN, "scale_embedding": True}),
    "m2m100": Case("M2M100ForConditionalGeneration", "M2M100Config", MARIAN),
    "t5": Case("T5ForConditionalGeneration", "T5Config", T5),
    "t5-1.1": Case("T5ForConditionalGeneration", "T5Config", {**T5, **GATED}),
    "mt5": Case("MT5ForConditionalGeneration", "MT5Config", {**T5, "feed_forward_proj": "gated-silu"}),
}
PICTURES: dict[str, Case] = {
    "vit": Case("ViTModel", "ViTConfig", {**VIT, "pooler_output_size": 13, "pooler_act": "relu"}),
    "vit-label": Case("ViTForImageClassification", "ViTConfig", {**VIT, "num_labels": 5, "hidden_act": "gelu_new"}),
    "clip": Case("CLIPModel", "CLIPConfig", CLIP),
    "lxmert": Case("LxmertForPreTraining", "LxmertConfig", LXMERT),
    "lxmert-answer": Case("LxmertForQuestionAnswering", "LxmertConfig", {**LXMERT, "hidden_act": "relu"}),
    "lxmert-objects": Case("LxmertForPreTraining", "LxmertConfig", {
        **LXMERT, "task_qa": False, "visual_attr_loss": False,
    }),
    "lxmert-trunk": Case("LxmertModel", "LxmertConfig", LXMERT),
}  # fmt: skip
CASES = {**ENCODERS, **DECODERS, **TRANSLATORS, **PICTURES}


def imported(theirs: Any, folder: Path) -> tuple[Model, Checkpoint]:
    """Ours with their weights, through the files that they write and every check that we make."""
    theirs.save_pretrained(folder)
    found = opened(folder)
    return loaded(found), found


def loaded(found: Checkpoint) -> Model:
    """The model of a checkpoint, to be evaluated."""
    model = Model(found.plan, seed=None).eval()
    model.load_tensors(tensors_of(found))
    return model


def tensors_of(found: Checkpoint) -> dict[str, Tensor]:
    """Our parameters out of a checkpoint."""
    shapes = found.plan.shapes()
    pairs = found.reading.rules.check(found.plan, found.weights, found.path).values()
    return {name: part for pair in pairs for name, part in pair.taken(found.weights[pair.theirs], shapes)}


def compare_gradients(
    law: str, model: Model, theirs: Any, found: Checkpoint, fixed: tuple[str, ...] = (), unlearned: tuple[str, ...] = ()
) -> None:
    """Theirs are written as if they were weights, and read by the same names. `fixed` are no parameters of theirs, and
    of `unlearned` the first row is none (`padding_idx`)."""
    with torch.no_grad():
        for parameter in theirs.parameters():
            if parameter.requires_grad:
                parameter.copy_(torch.zeros_like(parameter) if parameter.grad is None else parameter.grad)
    theirs.save_pretrained(found.path / "gradients")
    written = found._replace(weights=Named({"": Weights.open(found.path / "gradients")}))
    wanted = {name: gradient for name, gradient in tensors_of(written).items() if name not in fixed}
    got = {name: gradient for name, gradient in gradients(model).items() if name not in fixed}
    for name in unlearned:
        assert not wanted[name][0].any()
        got[name][0] = 0.0
    assert sum(float(gradient.abs().max()) > 0 for gradient in got.values()) > len(got) * 0.8
    assert_all_close(f"{law}: gradients", got, wanted)


def sentences(
    lengths: list[int], seed: int, side: str = "right", pad: int = PAD
) -> tuple[Tensor, Tensor, Tensor, Layout]:
    """Padded ids and mask [rows, longest] for them; ids [tokens] and a layout for us."""
    rng = np.random.default_rng(seed)
    mask = torch.tensor([[i < n for i in range(max(lengths))] for n in lengths])
    mask = mask if side == "right" else mask.flip(1)
    ids = torch.from_numpy(rng.integers(4, VOCAB - 8, mask.shape))
    ids[~mask] = pad
    return ids, mask, ids[mask], Layout.packed(np.array(lengths))


def positions_of(mask: Tensor) -> Tensor:
    """Counted from the first token of each row."""
    return (mask.long().cumsum(-1) - 1).clamp(min=0)


def mean(sums: LossSums) -> Tensor:
    return sums.loss / sums.count


def after_each_step(model: Model, inputs: dict[str, Input]) -> list[dict[str, Tensor]]:
    """States of all streams: embedded, and after each step."""
    layouts = {name: given.layout for name, given in inputs.items()}
    found = [{name: model.streams[name].embedding(given) for name, given in inputs.items()}]
    for step in range(len(model.plan.steps)):
        found.append(model.run(found[-1], layouts, first=step, last=step + 1))
    return found
