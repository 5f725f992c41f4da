"""The repetition penalty: what the prompt or an answer holds already is less likely to be said again."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from .options import Options


class Said:
    """Which tokens each hypothesis of a batch, or its prompt, holds: [rows x slots, vocab].

    The start token counts too where it is part of the prompt, as in Hugging Face's `generate`.
    """

    def __init__(self, options: Options, vocab: int, prompts: Sequence[Sequence[int]], device: torch.device) -> None:
        self.penalty, self.slots = options.repetition_penalty, options.slots
        self.held = torch.zeros(len(prompts), vocab, dtype=torch.bool, device=device)
        for row, prompt in enumerate(prompts):
            self.held[row, [*prompt, *([] if options.start is None else [options.start])]] = True

    def penalise(self, logits: Tensor) -> None:
        """Make what was said less likely, in place; `logits` [rows x slots, vocab], or of a first token [rows, vocab].

        Log-probabilities under a beam: they are never positive.
        """
        penalised = torch.where(logits < 0, logits * self.penalty, logits / self.penalty)
        torch.where(self.held, penalised, logits, out=logits)

    def follow(self, tokens: Tensor, parents: Tensor | None) -> None:
        """Take what was chosen: `tokens` [rows x slots], `parents` [rows, slots] as in `search.Choice`."""
        slots = self.slots
        if len(self.held) < len(tokens):  # after the first token
            self.held = self.held.repeat_interleave(slots, 0)
        elif parents is not None:
            rows = torch.arange(len(parents), device=tokens.device)[:, None] * slots
            self.held = self.held.index_select(0, (rows + parents).flatten())
        self.held[torch.arange(len(tokens), device=tokens.device), tokens] = True

    def keep(self, rows: Sequence[int]) -> None:
        """Only these rows go on."""
        self.held = self.held.view(-1, self.slots, self.held.shape[1])[list(rows)].flatten(0, 1)
