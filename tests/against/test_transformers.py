"""BERT, GPT-2, Marian and BART of `transformers` with random weights: logits, losses and gradients are ours.

Rows are unequal: theirs are padded and masked, ours are packed. Sizes are small; nothing is downloaded.
"""

from __future__ import annotations

import numpy as np
import pytest
import torch
from laws.closeness import assert_all_close, assert_close, gradients
from torch import Tensor

from heedful.model.embeddings import TokenInput
from heedful.model.families import FAMILIES
from heedful.model.heads import Labels
from heedful.model.layout import Layout
from heedful.model.model import Model

from . import names

transformers = pytest.importorskip("transformers")

VOCAB, PAD, IGNORED = 61, 1, -100
KERNELS = pytest.mark.parametrize("which", ["explicit", "fused"])
LENGTHS, TARGET_LENGTHS = [9, 3, 6, 1], [4, 8, 1, 5]
LOUD = 100.0  # losses are multiplied by this before gradients are taken, so that these are not small beside 1


def shaken(module: torch.nn.Module) -> torch.nn.Module:
    """Evaluation mode, with biases and norms that are not zeros and ones."""
    with torch.no_grad():
        for parameter in module.parameters():
            if parameter.requires_grad:
                parameter.add_(0.1 * torch.randn(parameter.shape))
    return module.eval()


def sentences(lengths: list[int], seed: int) -> tuple[Tensor, Tensor, Tensor, Layout]:
    """Padded ids and mask [rows, longest] for them; ids [tokens] and a layout for us."""
    rng = np.random.default_rng(seed)
    mask = torch.tensor([[i < n for i in range(max(lengths))] for n in lengths])
    ids = torch.from_numpy(rng.integers(PAD + 1, VOCAB, mask.shape))
    ids[~mask] = PAD
    return ids, mask, ids[mask], Layout.packed(np.array(lengths))


def ours(made: object, rules: list[names.Rule], theirs: torch.nn.Module, unused: set[str]) -> Model:
    """Our model with their weights; every tensor of theirs is used except `unused`."""
    model = Model(made, seed=None).eval()  # type: ignore[arg-type]
    tensors = names.tensors_of(theirs)
    loaded, used = names.to_ours(made.shapes(), rules, tensors)  # type: ignore[attr-defined]
    used_storage = {tensors[name].data_ptr() for name in used}
    left = {name for name, tensor in tensors.items() if tensor.data_ptr() not in used_storage}
    assert left == unused, f"not read: {left - unused}; not there: {unused - left}"
    model.load_tensors(loaded)
    return model


def compare_gradients(law: str, model: Model, rules: list[names.Rule], theirs: torch.nn.Module) -> None:
    wanted, _ = names.to_ours(model.plan.shapes(), rules, names.gradients_of(theirs))
    # A bias of logits is a parameter with us and a constant in Marian and BART.
    fixed = {n for n, view in wanted.items() if n == "heads.next_token.output.bias"}
    found = {name: gradient for name, gradient in gradients(model).items() if name not in fixed}
    assert sum(float(gradient.abs().max()) > 0 for gradient in found.values()) > len(found) * 0.8
    assert_all_close(f"{law}: gradients", found, {n: g for n, g in wanted.items() if n not in fixed})


@KERNELS
@pytest.mark.parametrize("activation", ["gelu", "relu"])
def test_bert(activation: str, which: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """States, masked-token logits, next-sentence logits, both losses and all gradients of BertForPreTraining."""
    from transformers.models.bert import BertConfig, BertForPreTraining

    monkeypatch.setattr("heedful.model.kernels.choose", lambda *_: which)
    config = BertConfig(
        vocab_size=VOCAB, hidden_size=32, num_hidden_layers=3, num_attention_heads=4, intermediate_size=48,
        max_position_embeddings=20, hidden_act=activation, pad_token_id=PAD,
    )  # fmt: skip
    theirs = shaken(BertForPreTraining(config))
    made = FAMILIES["encoder"](
        vocab=VOCAB, width=32, layers=3, heads=4, feedforward=48, capacity=20, activation=activation
    )
    model = ours(made, names.BERT, theirs, {"bert.embeddings.position_ids"} & set(names.tensors_of(theirs)))

    ids, mask, flat, layout = sentences(LENGTHS, 0)
    segments = torch.randint(0, 2, ids.shape)
    masked = mask & (torch.rand(mask.shape) < 0.4)
    masked[0, 0] = True
    labels = torch.where(masked, torch.randint(0, VOCAB, ids.shape), IGNORED)
    pairs = torch.tensor([0, 1, 1, 0])
    result = theirs(
        ids, attention_mask=mask.long(), token_type_ids=segments, labels=labels, next_sentence_label=pairs,
        output_hidden_states=True,
    )  # fmt: skip
    (LOUD * result.loss).backward()

    given = {"text": TokenInput(flat, layout, segments[mask])}
    states, layouts = model.encode(given)
    assert_close("BERT: states", states["text"], result.hidden_states[-1][mask])
    assert_close("BERT: logits", model.logits("masked_token", states, layouts), result.prediction_logits[mask])
    assert_close("BERT: pairs", model.logits("next_sentence", states, layouts), result.seq_relationship_logits)
    scored = masked[mask].nonzero().view(-1)
    sums = model(given, {"masked_token": Labels(labels[masked], scored), "next_sentence": Labels(pairs)})
    loss = sum((part.loss / part.count for part in sums.values()), torch.zeros(()))
    assert_close("BERT: loss", loss, result.loss)
    (LOUD * loss).backward()
    compare_gradients("BERT", model, names.BERT, theirs)


@KERNELS
@pytest.mark.parametrize("activation", [("gelu_tanh", "gelu_new"), ("silu", "silu"), ("gelu_quick", "quick_gelu")])
def test_gpt2(activation: tuple[str, str], which: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """States, logits, the shifted loss and all gradients of GPT2LMHeadModel, whose matrices lie transposed."""
    from transformers.models.gpt2 import GPT2Config, GPT2LMHeadModel

    monkeypatch.setattr("heedful.model.kernels.choose", lambda *_: which)
    config = GPT2Config(
        vocab_size=VOCAB, n_embd=32, n_layer=3, n_head=4, n_inner=48, n_positions=20,
        activation_function=activation[1], bos_token_id=0, eos_token_id=0,
    )  # fmt: skip
    theirs = shaken(GPT2LMHeadModel(config))
    made = FAMILIES["decoder"](
        vocab=VOCAB, width=32, layers=3, heads=4, feedforward=48, capacity=20, activation=activation[0]
    )
    model = ours(made, names.GPT2, theirs, set())

    ids, mask, flat, layout = sentences(LENGTHS, 1)
    labels = torch.where(mask, ids, IGNORED)
    result = theirs(ids, attention_mask=mask.long(), labels=labels, output_hidden_states=True)
    (LOUD * result.loss).backward()

    given = {"text": TokenInput(flat, layout)}
    states, layouts = model.encode(given)
    assert_close("GPT-2: states", states["text"], result.hidden_states[-1][mask])
    assert_close("GPT-2: logits", model.logits("next_token", states, layouts), result.logits[mask])
    ends = layout.starts + layout.lengths - 1
    scored = torch.tensor([token for token in range(layout.tokens) if token not in set(ends.tolist())])
    sums = model(given, {"next_token": Labels(flat[scored + 1], scored)})["next_token"]
    assert_close("GPT-2: loss", sums.loss / sums.count, result.loss)
    (LOUD * sums.loss / sums.count).backward()
    compare_gradients("GPT-2", model, names.GPT2, theirs)


def marian(activation: str) -> tuple[torch.nn.Module, object, set[str]]:
    """Theirs, our plan, and what of theirs we have no parameter for."""
    from transformers.models.marian import MarianConfig, MarianMTModel

    theirs = MarianMTModel(MarianConfig(scale_embedding=True, **encoder_decoder_sizes(activation)))
    made = FAMILIES["encoder-decoder"](**our_sizes(activation), sinusoid="halves", scaled=True)
    return theirs, made, {"model.encoder.embed_positions.weight", "model.decoder.embed_positions.weight"}


def bart(activation: str) -> tuple[torch.nn.Module, object, set[str]]:
    """The same; BART's positions are learned and begin at 2, and its embeddings are normalised."""
    from transformers.models.bart import BartConfig, BartForConditionalGeneration

    theirs = BartForConditionalGeneration(BartConfig(scale_embedding=False, **encoder_decoder_sizes(activation)))
    made = FAMILIES["encoder-decoder"](
        **our_sizes(activation), positions="learned", offset=2, embedding_norm=True, scaled=False
    )
    return theirs, made, set()


def encoder_decoder_sizes(activation: str) -> dict[str, object]:
    return {
        "vocab_size": VOCAB, "d_model": 32, "encoder_layers": 3, "decoder_layers": 2, "encoder_attention_heads": 4,
        "decoder_attention_heads": 4, "encoder_ffn_dim": 48, "decoder_ffn_dim": 48, "activation_function": activation,
        "max_position_embeddings": 20, "pad_token_id": PAD, "bos_token_id": 0, "eos_token_id": 0,
        "decoder_start_token_id": 0, "forced_eos_token_id": 0,
    }  # fmt: skip


def our_sizes(activation: str) -> dict[str, object]:
    return {
        "vocab": VOCAB, "width": 32, "layers": 3, "decoder_layers": 2, "heads": 4, "feedforward": 48, "capacity": 20,
        "activation": activation, "output_bias": True,
    }  # fmt: skip


@KERNELS
@pytest.mark.parametrize(("build", "activation"), [(marian, "silu"), (marian, "relu"), (bart, "gelu")])
def test_encoder_decoders(build: object, activation: str, which: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Encoder states, logits, loss and all gradients of MarianMTModel and BartForConditionalGeneration."""
    monkeypatch.setattr("heedful.model.kernels.choose", lambda *_: which)
    theirs, made, unused = build(activation)  # type: ignore[operator]
    shaken(theirs)
    theirs.final_logits_bias.normal_()
    law = type(theirs).__name__
    model = ours(made, names.MARIAN, theirs, unused)

    source_ids, source_mask, source, source_layout = sentences(LENGTHS, 2)
    target_ids, target_mask, target, target_layout = sentences(TARGET_LENGTHS, 3)
    wanted = torch.randint(0, VOCAB, target_ids.shape)
    result = theirs(
        source_ids, attention_mask=source_mask.long(), decoder_input_ids=target_ids,
        decoder_attention_mask=target_mask.long(), labels=torch.where(target_mask, wanted, IGNORED),
    )  # fmt: skip
    (LOUD * result.loss).backward()

    given = {"source": TokenInput(source, source_layout), "target": TokenInput(target, target_layout)}
    states, layouts = model.encode(given)
    assert_close(f"{law}: encoder", states["source"], result.encoder_last_hidden_state[source_mask])
    assert_close(f"{law}: logits", model.logits("next_token", states, layouts), result.logits[target_mask])
    sums = model(given, {"next_token": Labels(wanted[target_mask])})["next_token"]
    assert_close(f"{law}: loss", sums.loss / sums.count, result.loss)
    (LOUD * sums.loss / sums.count).backward()
    compare_gradients(law, model, names.MARIAN, theirs)
