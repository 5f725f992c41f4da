"""Answer questions about a text in the text's own words (extractive question answering: Devlin et al. 2019, 4.2, 4.3).

Questions, contexts and answers are as in SQuAD (`data.questions`). A question and a window of its context are one row;
a head of two outputs says how likely each token is the answer's first and its last. No answer is the row's first token.
"""

from __future__ import annotations

from .answerer import Answer, Answerer, Candidate, load
from .closing import close, evaluate, farewell, write_report
from .task import build, complete, prepare

__all__ = [
    "Answer",
    "Answerer",
    "Candidate",
    "build",
    "close",
    "complete",
    "evaluate",
    "farewell",
    "load",
    "prepare",
    "write_report",
]
