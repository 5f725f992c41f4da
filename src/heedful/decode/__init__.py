"""From a model to answers: greedy and beam search, sampling."""

from .engine import decode, decode_stream
from .options import Hypothesis, Options
from .sampling import Sampling

__all__ = ["Hypothesis", "Options", "Sampling", "decode", "decode_stream"]
