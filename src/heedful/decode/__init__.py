"""From a model to answers: greedy and beam search, sampling, what answers must and must not hold, scores."""

from .engine import decode, decode_stream, watch
from .options import Hypothesis, Options, Stop
from .sampling import Sampling
from .scoring import Score, score
from .wanted import Wanted

__all__ = ["Hypothesis", "Options", "Sampling", "Score", "Stop", "Wanted", "decode", "decode_stream", "score", "watch"]
