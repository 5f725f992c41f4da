"""The metrics of sacreBLEU as numbers of each line that add up: the score of any set of lines is a formula of sums.

So breaking a score down by length and resampling it a thousand times need no second look at the text. Reported scores
go through sacreBLEU's own arithmetic; the formulas here, which take many sums at once, serve resampling and single
lines.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from importlib.metadata import version
from typing import Any

import numpy as np
from sacrebleu.metrics import BLEU, CHRF, TER

from ..errors import UserError

MOSES = "BLEU (Moses)"
LINES_AT_ONCE = 1000  # sacreBLEU keeps all n-grams of the references it is given: some 60 KB a line
# How --tokenize may split lines for BLEU, and what has to be installed for it. sacreBLEU's spm and flores would fetch a
# model from the network, so they are not here.
TOKENIZERS = {
    "13a": "",
    "intl": "",
    "zh": "",
    "char": "",
    "none": "",
    "ja-mecab": "sacrebleu[ja]",
    "ko-mecab": "sacrebleu[ko]",
}


@dataclass(frozen=True)
class Options:
    """How to score. `lowercase` folds case for BLEU, chrF, exact match and rare words (TER always does, as Tercom).

    `moses` is a language code, such as "de": BLEU of lower-cased text that Moses' rules split is given as well. That is
    what papers on Multi30k report; it is not comparable to sacreBLEU's own.
    """

    lowercase: bool = False
    tokenize: str = "13a"
    ter: bool = False
    moses: str = ""


class Metric:
    """One metric of sacreBLEU with the references. `prepare` is done to every line of both sides first."""

    def __init__(
        self,
        name: str,
        sacre: Any,
        formula: Callable[[np.ndarray], np.ndarray],
        references: Sequence[Sequence[str]],
        prepare: Callable[[str], str] = str,
    ) -> None:
        self.name = name
        self.formula = formula
        self.lower_is_better = name == "TER"
        self._sacre = sacre
        self._prepare = prepare
        self._references = [list(map(prepare, one)) for one in references]
        sacre._cache_references([one[:1] for one in references])  # the signature wants to know how many sets
        self.signature = str(sacre.get_signature())

    def statistics(self, hypotheses: Sequence[str]) -> np.ndarray:
        """[lines, numbers]: what sacreBLEU adds up over lines; what the columns mean is the formula's business."""
        rows: list[list[float]] = []
        for start in range(0, len(hypotheses), LINES_AT_ONCE):
            part = slice(start, start + LINES_AT_ONCE)
            lines = list(map(self._prepare, hypotheses[part]))
            rows += self._sacre._extract_corpus_statistics(lines, [one[part] for one in self._references])
        return np.array(rows)

    def score(self, statistics: np.ndarray) -> float:
        """The corpus score of at least one line's statistics, 0 to 100 (TER: 0 and up); sacreBLEU's to the last bit."""
        return float(self._sacre._aggregate_and_compute(statistics.tolist()).score)


def metrics(references: Sequence[Sequence[str]], options: Options) -> dict[str, Metric]:
    """The metrics for sets of references, equally long, by name: BLEU, chrF2, chrF2++, and what the options add.

    UserError for a tokenizer that does not exist or is not installed.
    """
    lower = options.lowercase
    found = [
        Metric("BLEU", _bleu(lower, options.tokenize), bleu, references),
        Metric("chrF2", CHRF(lowercase=lower), chrf, references),
        Metric("chrF2++", CHRF(word_order=2, lowercase=lower), chrf, references),
    ]
    if options.ter:
        found.append(Metric("TER", TER(), ter, references))
    if options.moses:
        found.append(_moses(references, options.moses))
    return {metric.name: metric for metric in found}


def bleu(sums: np.ndarray) -> np.ndarray:
    """BLEU [...] of sums [..., 10]: length, reference length, matches of 1 to 4 words, n-grams of 1 to 4 words.

    Papineni et al. 2002 with NIST's smoothing: the k-th order without a match counts as 1 / 2^k matches.
    """
    length, reference, matches, grams = sums[..., 0], sums[..., 1], sums[..., 2:6], sums[..., 6:10]
    with np.errstate(divide="ignore", invalid="ignore"):
        brevity = np.where(length < reference, np.exp(1 - reference / length), 1.0)
        halvings = np.cumsum(matches == 0, axis=-1)
        precisions = np.where(matches == 0, 0.5**halvings, matches) / grams
        value = 100 * brevity * np.exp(np.log(precisions).mean(-1))
    # Without any match, or without a single n-gram of four words, sacreBLEU says 0.
    return np.where((matches.sum(-1) > 0) & (grams > 0).all(-1), value, 0.0)


def chrf(sums: np.ndarray) -> np.ndarray:
    """chrF [...] of sums [..., 3 x orders]: n-grams of the hypothesis, of the reference, and matches, order by order.

    Popović 2015: precision and recall are means over the orders that both sides have, and recall counts twice.
    """
    hypothesis, reference, matches = (sums[..., start::3] for start in range(3))
    both = (hypothesis > 0) & (reference > 0)
    orders = np.maximum(both.sum(-1), 1)
    precision = np.divide(matches, hypothesis, out=np.zeros(both.shape), where=both).sum(-1) / orders
    recall = np.divide(matches, reference, out=np.zeros(both.shape), where=both).sum(-1) / orders
    below = 4 * precision + recall
    return 100 * np.divide(5 * precision * recall, below, out=np.zeros(below.shape), where=below > 0)


def ter(sums: np.ndarray) -> np.ndarray:
    """TER [...] of sums [..., 2]: edits and mean reference length (Snover et al. 2006). Edits of nothing are 100."""
    edits, length = sums[..., 0], sums[..., 1]
    return 100 * np.divide(edits, length, out=np.where(edits > 0, 1.0, 0.0), where=length > 0)


def _bleu(lowercase: bool, tokenize: str) -> BLEU:
    if tokenize not in TOKENIZERS:
        near = difflib.get_close_matches(tokenize, TOKENIZERS, 1)
        hint = f"did you mean {near[0]!r}?" if near else f"choose one of {', '.join(TOKENIZERS)}"
        raise UserError(f"no tokenizer {tokenize!r} for BLEU; {hint}")
    try:
        # force: sacreBLEU would print a warning about text that looks tokenised; evaluation.py puts it into the report.
        return BLEU(lowercase=lowercase, tokenize=tokenize, force=True)
    except (ImportError, RuntimeError):
        package = TOKENIZERS[tokenize]
        raise UserError(
            f"the tokenizer {tokenize!r} is not installed; it comes with: pip install '{package}'"
        ) from None


def _moses(references: Sequence[Sequence[str]], language: str) -> Metric:
    if not re.fullmatch(r"[a-z]{2,3}", language):
        raise UserError(f"{language!r} is not a language for Moses' rules; give a code such as 'en' or 'de'")
    try:
        from sacremoses import MosesTokenizer
    except ImportError:
        raise UserError(
            "BLEU of Moses-tokenised text needs sacremoses; it comes with: pip install 'heedful[evaluate]'"
        ) from None
    tokenizer = MosesTokenizer(lang=language)

    def split(line: str) -> str:
        text: str = tokenizer.tokenize(line, return_str=True, escape=False)
        return text

    metric = Metric(MOSES, BLEU(lowercase=True, tokenize="none", force=True), bleu, references, split)
    done = f"tok:sacremoses-{version('sacremoses')}[lang={language},escape=no,dashes=whole],then-lower-cased"
    metric.signature = metric.signature.replace("tok:none", done)
    return metric
