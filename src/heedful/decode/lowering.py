"""Whether and how a model's decoding step is lowered: which plans, and the weights at hand for every product."""

from __future__ import annotations

import threading
import weakref
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from ..model.block import Block
from ..model.embeddings import TokenEmbedding
from ..model.feedforward import ACTIVATIONS
from ..model.hardware import Choices
from ..model.model import Model
from ..model.plan import FinalNorm, Head, Step
from ..model.products import Linear

Linears = dict[int, Linear]
POSITIONS = ("none", "rotary", "alibi", "buckets")


@dataclass
class Lowered:
    """The weights of a model's decoding step, as they were when it was lowered."""

    blocks: list[tuple[str, Block]]
    final: nn.Module | None
    embedding: TokenEmbedding
    linears: Linears
    choices: Choices
    head: Linear
    scale: float


@dataclass
class Known:
    """A model that was lowered, or found unfit for it, in this state of its parameters."""

    state: object
    step: Lowered | None


_lowered: weakref.WeakKeyDictionary[Model, Known] = weakref.WeakKeyDictionary()
_lowering = threading.Lock()  # batches that are decoded side by side share one copy of the weights


def lowered(model: Model, head: Head, choices: Choices | None) -> Lowered | None:
    """The model's lowered step, made anew if a weight has changed; None for plans that take the general path."""
    with _lowering:
        known = _lowered.get(model)
        marks = [number for p in model.parameters() for number in (id(p), p.data_ptr(), _version(p))]
        state = (*marks, head.name, choices)
        if known is None or known.state != state:
            step = _lower(model, head, choices) if _supported(model, head) else None
            known = _lowered[model] = Known(state, step)
        return known.step


def _version(parameter: Tensor) -> int:
    """Counts the changes of a parameter; those made in inference mode are not counted by torch."""
    return -1 if parameter.is_inference() else parameter._version


def _supported(model: Model, head: Head) -> bool:
    """Whether every value of the plan's is one that `LoweredStepper` knows; what is not listed takes the other path."""
    if any(p.dtype != torch.float32 or p.device.type != "cpu" for p in model.parameters()):
        return False
    stream = head.streams[0]
    blocks = [block for _, _, block in model.plan.blocks() if block.stream == stream]
    attends = [attend for block in blocks for attend in block.attends]
    own = [attend for attend in attends if attend.stream == stream]
    others = [attend for attend in attends if attend.stream != stream]
    widths = {attend.head_width for attend in own}
    mine = [step for step in model.plan.steps if stream in _streams(step)]
    return (
        head.transform is None
        and len(widths) == 1
        and all(block.attends and block.norm.kind in ("layer", "rms") for block in blocks)
        and all(block.feedforward is None or block.feedforward.activation in ACTIVATIONS for block in blocks)
        and all(a.mask in ("open", "causal") and a.positions in POSITIONS for a in own)
        and all((a.mask, a.positions) == ("open", "none") for a in others)
        and not any(isinstance(step, FinalNorm) for step in mine[:-1])
    )


def _streams(step: Step | FinalNorm) -> set[str]:
    """Whose states a step changes."""
    return {step.stream} if isinstance(step, FinalNorm) else {block.stream for block in step.blocks}


def _lower(model: Model, head: Head, choices: Choices | None) -> Lowered:
    stream = head.streams[0]
    blocks = [(address, block) for step in model.steps for address, block in step if block.plan.stream == stream]
    final = any(isinstance(step, FinalNorm) and step.stream == stream for step in model.plan.steps)
    choices = choices or Choices()
    linears: Linears = {}
    for _, block in blocks:
        for name, module in block.named_modules():
            if isinstance(module, nn.Linear) and not name.endswith("key_value"):
                linears[id(module)] = Linear(module.weight, module.bias, choices)
    output = model.heads[head.name].output
    embedding = model.streams[stream].embedding
    assert isinstance(output, nn.Linear)
    assert isinstance(embedding, TokenEmbedding)
    last = Linear(output.weight, output.bias, choices)
    norm = model.streams[stream].norm if final else None
    return Lowered(blocks, norm, embedding, linears, choices, last, head.scale)
