"""The models of training.py, ours and the peers', each as a function from a batch to its loss and counted tokens."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch

from heedful.config import Training
from heedful.model.embeddings import TokenInput
from heedful.model.heads import Labels, LossSums
from heedful.model.layout import Layout
from heedful.model.model import Model
from heedful.model.presets import plan
from heedful.model.shapes import flops_per_token
from heedful.train.distributed import World
from heedful.train.optimizer import Optimizer

Pair = tuple[list[int], list[int]]
Step = Callable[[Any], tuple[float, int]]


def optimizer(model: torch.nn.Module) -> torch.optim.Optimizer:
    return torch.optim.AdamW(model.parameters(), lr=3e-4, betas=(0.9, 0.98), fused=True)


def finish(model: torch.nn.Module, adam: torch.optim.Optimizer, loss: torch.Tensor) -> None:
    loss.backward()
    torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
    adam.step()
    adam.zero_grad(set_to_none=True)


def our_finish(model: Model, precision: Literal["fp32", "bf16"]) -> Callable[[LossSums], None]:
    """Backward, clipping and AdamW as heedful's runs do them."""
    ours = Optimizer(model, Training(rate=3e-4, weight_decay=0.01), precision)
    world = World(0, 1, torch.device("cpu"))

    def finish(sums: LossSums) -> None:
        sums.loss.backward()
        ours.update(3e-4, sums.count, ours.total(world))

    return finish


# ---- translation ----------------------------------------------------------------------------------------------------

WIDTH, HEADS, FEED, LAYERS, VOCAB, TOKENS = 256, 4, 1024, 3, 8000, 1024
PAD, START, END = 0, 1, 2


def corpus(data: Path, limit: int = 12000) -> list[Pair]:
    """Multi30k de-en as ids of a unigram vocabulary of 8,000 pieces."""
    from heedful.text.tokenizer import train_tokenizer

    sides = [(data / f"multi30k/train.{code}").read_text(encoding="utf-8").split("\n")[:29000] for code in ("de", "en")]
    tokenizer = train_tokenizer(sides[0] + sides[1], "bpe", VOCAB)
    encoded = [tokenizer.encode_many(side[:limit]) for side in sides]
    return list(zip(*encoded, strict=True))


def random_batches(pairs: list[Pair], count: int) -> list[np.ndarray]:
    """Sentences in random order, as many as hold TOKENS target tokens on average (transformers' default sampler)."""
    mean = np.mean([len(target) + 1 for _, target in pairs])
    size = round(TOKENS / mean)
    order = np.random.default_rng(1).permutation(len(pairs))
    return [order[i * size : (i + 1) * size] for i in range(count)]


def bucketed(pairs: list[Pair], count: int) -> list[np.ndarray]:
    """Near lengths together inside a shuffled window, cut at TOKENS real target tokens."""
    random = np.random.default_rng(1)
    order = random.permutation(len(pairs))
    source, target = (np.array([len(pair[side]) for pair in pairs])[order] for side in (0, 1))
    order = order[np.lexsort((random.random(len(order)), source, target))]
    ends = np.cumsum([len(pairs[i][1]) + 1 for i in order])
    cuts = np.searchsorted(ends, np.arange(TOKENS, ends[-1], TOKENS))
    batches = [part for part in np.split(order, cuts) if len(part)][:-1]
    random.shuffle(batches)
    return batches[:count]


def packed_ids(rows: list[list[int]]) -> tuple[torch.Tensor, Layout]:
    ids = np.concatenate([np.asarray(row, np.int64) for row in rows])
    return torch.from_numpy(ids), Layout.packed(np.array([len(row) for row in rows]))


def padded_ids(rows: list[list[int]], filler: int) -> torch.Tensor:
    longest = max(map(len, rows))
    return torch.tensor([row + [filler] * (longest - len(row)) for row in rows])


def translation_batch(pairs: list[Pair], rows: np.ndarray) -> tuple[TokenInput, TokenInput, Labels]:
    source = TokenInput(*packed_ids([pairs[i][0] + [END] for i in rows]))
    target = TokenInput(*packed_ids([[START, *pairs[i][1]] for i in rows]))
    labels, _ = packed_ids([pairs[i][1] + [END] for i in rows])
    return source, target, Labels(labels)


def ours_translation(pairs: list[Pair], smoothing: float, drop: float, precision: Any = "fp32") -> tuple[Model, Step]:
    torch.manual_seed(0)
    sizes = {"width": WIDTH, "layers": LAYERS, "heads": HEADS, "feedforward": FEED, "vocab": VOCAB}
    model = Model(plan("encoder-decoder", **sizes, dropout=drop, sinusoid="halves")).train()
    finish = our_finish(model, precision)

    def step(rows: np.ndarray) -> tuple[float, int]:
        source, target, labels = translation_batch(pairs, rows)
        sums = model({"source": source, "target": target}, {"next_token": labels}, smoothing)["next_token"]
        finish(sums)
        return float(sums.nll) / sums.count, sums.count

    return model, step


def theirs_translation(pairs: list[Pair], drop: float) -> tuple[torch.nn.Module, Step]:
    from transformers import MarianConfig, MarianMTModel

    torch.manual_seed(0)
    config = MarianConfig(
        vocab_size=VOCAB, d_model=WIDTH, encoder_layers=LAYERS, decoder_layers=LAYERS, encoder_attention_heads=HEADS,
        decoder_attention_heads=HEADS, encoder_ffn_dim=FEED, decoder_ffn_dim=FEED, dropout=drop, attention_dropout=0.0,
        activation_dropout=0.0, activation_function="relu", scale_embedding=True, pad_token_id=PAD, eos_token_id=END,
        decoder_start_token_id=START, max_position_embeddings=512,
    )  # fmt: skip
    model = MarianMTModel(config).train()
    adam = optimizer(model)

    def step(rows: np.ndarray) -> tuple[float, int]:
        source = padded_ids([pairs[i][0] + [END] for i in rows], PAD)
        labels = padded_ids([pairs[i][1] + [END] for i in rows], -100)
        target = padded_ids([[START, *pairs[i][1]] for i in rows], PAD)
        result = model(input_ids=source, attention_mask=(source != PAD).long(), decoder_input_ids=target, labels=labels)
        finish(model, adam, result.loss)
        return result.loss.item(), int((labels != -100).sum())

    return model, step


def theirs_joey(pairs: list[Pair], smoothing: float, drop: float) -> tuple[torch.nn.Module, Step]:
    from types import SimpleNamespace

    from joeynmt.loss import XentLoss
    from joeynmt.model import build_model
    from joeynmt.vocabulary import Vocabulary

    torch.manual_seed(0)
    pad, start, end = 1, 2, 3  # JoeyNMT's vocabulary begins with unknown, padding, start, end
    special = SimpleNamespace(
        unk_token="<unk>", pad_token="<pad>", bos_token="<s>", eos_token="</s>", sep_token=None,
        unk_id=0, pad_id=pad, bos_id=start, eos_id=end, sep_id=None, lang_tags=[],
    )  # fmt: skip
    vocabulary = Vocabulary([f"t{i}" for i in range(VOCAB - 4)], special)
    half = {
        "type": "transformer", "num_layers": LAYERS, "num_heads": HEADS, "hidden_size": WIDTH, "ff_size": FEED,
        "dropout": drop, "embeddings": {"embedding_dim": WIDTH, "scale": True, "dropout": drop}, "layer_norm": "post",
    }  # fmt: skip
    config = {"encoder": half, "decoder": half, "tied_embeddings": True, "tied_softmax": True}
    model = build_model(config, src_vocab=vocabulary, trg_vocab=vocabulary)
    model.loss_function = ("crossentropy", smoothing)
    assert isinstance(model.loss_function, XentLoss)
    model.train()
    adam = optimizer(model)

    def step(rows: np.ndarray) -> tuple[float, int]:
        source = padded_ids([pairs[i][0] + [end] for i in rows], pad)
        target = padded_ids([[start, *pairs[i][1]] for i in rows], pad)
        labels = padded_ids([pairs[i][1] + [end] for i in rows], pad)
        count = int((labels != pad).sum())
        masks = {"src_mask": (source != pad).unsqueeze(1), "trg_mask": (target != pad).unsqueeze(1)}
        lengths = (source != pad).sum(1)
        loss, *_ = model(
            return_type="loss", src=source, trg_input=target, trg=labels, src_length=lengths, trg_length=None, **masks
        )
        finish(model, adam, loss / count)
        return loss.item() / count, count

    return model, step


def translation(arguments: argparse.Namespace) -> dict[str, tuple[Step, list[Any]]]:
    pairs = corpus(Path(arguments.data))
    count = arguments.steps + arguments.warm
    plain, near = random_batches(pairs, count), bucketed(pairs, count)
    makers: dict[str, Callable[[], tuple[Step, list[Any]]]] = {
        "transformers": lambda: (theirs_translation(pairs, 0.1)[1], plain),
        "transformers, length buckets": lambda: (theirs_translation(pairs, 0.1)[1], near),
        "transformers, buckets, oneDNN": lambda: (theirs_translation(pairs, 0.1)[1], near),
        "JoeyNMT": lambda: (theirs_joey(pairs, 0.1, 0.1)[1], plain),
        "heedful": lambda: (ours_translation(pairs, 0.0, 0.1)[1], near),
        "heedful, label smoothing": lambda: (ours_translation(pairs, 0.1, 0.1)[1], near),
        "heedful, random batches": lambda: (ours_translation(pairs, 0.0, 0.1)[1], plain),
        "heedful, bf16": lambda: (ours_translation(pairs, 0.0, 0.1, "bf16")[1], near),
    }
    return {name: make() for name, make in makers.items() if not arguments.only or name in arguments.only}


# ---- language models ------------------------------------------------------------------------------------------------

GPT = {"vocab": 8192, "width": 384, "layers": 6, "heads": 6, "feedforward": 1536, "capacity": 256}
BERT = {"vocab": 30522, "width": 384, "layers": 6, "heads": 6, "feedforward": 1536, "capacity": 128}
MASK = 4


def gpt(arguments: argparse.Namespace) -> dict[str, tuple[Step, list[Any]]]:
    """Next-token loss on 4 rows of 256 random tokens, dropout 0."""
    from transformers import GPT2Config, GPT2LMHeadModel

    random = torch.Generator().manual_seed(0)
    batches = [
        torch.randint(5, GPT["vocab"], (4, 257), generator=random) for _ in range(arguments.steps + arguments.warm)
    ]
    config = GPT2Config(
        vocab_size=GPT["vocab"], n_positions=256, n_embd=384, n_layer=6, n_head=6, resid_pdrop=0.0, embd_pdrop=0.0,
        attn_pdrop=0.0, bos_token_id=1, eos_token_id=2,
    )  # fmt: skip
    theirs = GPT2LMHeadModel(config).train()
    their_adam = optimizer(theirs)

    def our_step(precision: Any) -> Step:
        ours = Model(plan("decoder", **GPT, dropout=0.0, attention_dropout=0.0)).train()
        finish = our_finish(ours, precision)

        def step(rows: torch.Tensor) -> tuple[float, int]:
            given = {"text": TokenInput(rows[:, :-1].reshape(-1), Layout.even(4, 256))}
            sums = ours(given, {"next_token": Labels(rows[:, 1:].reshape(-1))})["next_token"]
            finish(sums)
            return float(sums.nll) / sums.count, sums.count

        return step

    def their_step(rows: torch.Tensor) -> tuple[float, int]:
        # The model shifts its labels itself: 256 tokens in, and the loss of all 256 next ones, as ours.
        logits = theirs(input_ids=rows[:, :-1]).logits
        loss = torch.nn.functional.cross_entropy(logits.flatten(0, 1), rows[:, 1:].reshape(-1))
        finish(theirs, their_adam, loss)
        return loss.item(), 1024

    return {
        "transformers": (their_step, batches),
        "heedful": (our_step("fp32"), batches),
        "heedful, bf16": (our_step("bf16"), batches),
    }


def bert(arguments: argparse.Namespace) -> dict[str, tuple[Step, list[Any]]]:
    """Masked-token loss on 8 rows of 128 random tokens, 15 % masked, dropout 0.1 (attention weights included)."""
    from transformers import BertConfig, BertForMaskedLM

    random = torch.Generator().manual_seed(0)
    batches = []
    for _ in range(arguments.steps + arguments.warm):
        rows = torch.randint(5, BERT["vocab"], (8, 128), generator=random)
        batches.append((rows, torch.rand(8, 128, generator=random) < 0.15))
    config = BertConfig(
        vocab_size=BERT["vocab"], hidden_size=384, num_hidden_layers=6, num_attention_heads=6, intermediate_size=1536,
        max_position_embeddings=128,
    )  # fmt: skip
    theirs = BertForMaskedLM(config).train()
    their_adam = optimizer(theirs)

    def our_step(precision: Any) -> Step:
        ours = Model(plan("encoder", **BERT, pool=False)).train()
        finish = our_finish(ours, precision)

        def step(batch: tuple[torch.Tensor, torch.Tensor]) -> tuple[float, int]:
            rows, masked = batch
            given = {"text": TokenInput(rows.masked_fill(masked, MASK).flatten(), Layout.even(8, 128))}
            chosen = masked.flatten().nonzero()[:, 0]
            sums = ours(given, {"masked_token": Labels(rows.flatten()[chosen], chosen)})["masked_token"]
            finish(sums)
            return float(sums.nll) / sums.count, rows.numel()

        return step

    def their_step(batch: tuple[torch.Tensor, torch.Tensor]) -> tuple[float, int]:
        rows, masked = batch
        labels = rows.masked_fill(~masked, -100)
        attention = torch.ones_like(rows)
        loss = theirs(input_ids=rows.masked_fill(masked, MASK), attention_mask=attention, labels=labels).loss
        finish(theirs, their_adam, loss)
        return loss.item(), rows.numel()

    return {
        "transformers": (their_step, batches),
        "heedful": (our_step("fp32"), batches),
        "heedful, bf16": (our_step("bf16"), batches),
    }


# ---- cost -----------------------------------------------------------------------------------------------------------


def translation_flops(arguments: argparse.Namespace) -> float:
    """Per target token, with the source tokens that come with it."""
    pairs = corpus(Path(arguments.data))
    cost = flops_per_token(plan("encoder-decoder", width=WIDTH, layers=LAYERS, feedforward=FEED, vocab=VOCAB))
    return cost["target"] + cost["source"] * sum(len(s) + 1 for s, _ in pairs) / sum(len(t) + 1 for _, t in pairs)


def gpt_flops(arguments: argparse.Namespace) -> float:
    return flops_per_token(plan("decoder", **GPT))["text"]


def bert_flops(arguments: argparse.Namespace) -> float:
    """The masked-token head only counts at the 15 % of the tokens that are masked."""
    whole, head = flops_per_token(plan("encoder", **BERT, pool=False))["text"], 2 * 384 * (BERT["vocab"] + 384)
    return whole - 0.85 * head
