"""Going on with texts: equal to a plain loop without a cache, by chance but repeatable, and ended as asked."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from heedful.errors import UserError
from heedful.model.embeddings import TokenInput
from heedful.model.layout import Layout
from heedful.model.model import Model
from heedful.model.presets import plan
from heedful.tasks.write import Writer, evaluate
from heedful.tasks.write.scoring import foretell
from heedful.text.tokenizer import train_tokenizer

from .texts import verses

CONTEXT = 16
PROMPTS = ["", "Anna", "Carl sees Dóra, ", verses(3), "x <unk> </s> 日本"]


def writer(kind: str = "bpe", positions: str = "learned", context: int = CONTEXT) -> Writer:
    """A model that has learned nothing, but has strong opinions."""
    lines = verses(50).split("\n")
    tokenizer = train_tokenizer([line + "\n" for line in lines], kind, 300, prose=True)  # type: ignore[arg-type]
    options: dict[str, Any] = {"width": 24, "layers": 2, "heads": 2, "feedforward": 32, "capacity": CONTEXT}
    model = Model(plan("decoder", vocab=tokenizer.vocab_size, positions=positions, **options), 3).eval()
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if "norm" not in name and parameter.dim() > 1:
                parameter.mul_(6.0)
    return Writer(model, tokenizer, context)


def logprobs(model: Model, ids: list[int]) -> torch.Tensor:
    """Of what follows each id [n, vocab]."""
    given = TokenInput(torch.tensor(ids), Layout.packed(np.array([len(ids)]), torch.device("cpu")))
    with torch.no_grad():
        states, layouts = model.encode({"text": given})
        return model.logits("next_token", states, layouts).log_softmax(-1)


def plain(one: Writer, ids: list[int], length: int) -> list[int]:
    """Greedy, a whole pass for every token; a full window goes on from its second half."""
    said: list[int] = []
    own = one.tokenizer
    window = [own.start, *ids]
    if len(window) > one.context:
        window = ids[-one.context // 2 :]
    while len(said) < length:
        if len(window) > one.context:
            window = window[-one.context // 2 :]
        scores = logprobs(one.model, window)[-1]
        scores[[own.pad, own.start, own.unknown]] = -math.inf
        token = int(scores.argmax())
        if token == own.end:
            break
        said.append(token)
        window.append(token)
    return said


@pytest.mark.parametrize("positions", ["learned", "rotary"])
@pytest.mark.parametrize("kind", ["bpe", "characters"])
def test_greedy_is_a_plain_loop_far_beyond_the_window(kind: str, positions: str) -> None:
    one = writer(kind, positions)
    for prompt, (found,) in zip(PROMPTS, one.answer(PROMPTS, temperature=0, length=50), strict=True):
        spaced = kind == "bpe" and prompt.endswith(" ")
        assert found.ids == plain(one, one.tokenizer.encode(prompt[: len(prompt) - spaced]), 50)
        assert found.prompt == prompt
        assert len(found.ids) == 50 or found.finished


SETTINGS: list[dict[str, Any]] = [
    {}, {"temperature": 0}, {"top_k": 5}, {"top_p": 0.7}, {"min_p": 0.2, "temperature": 1.3},
    {"repetition_penalty": 1.5}, {"beam": 3}, {"stop": ["na", "\n"]}, {"seed": 9},
]  # fmt: skip


@pytest.mark.parametrize("given", SETTINGS, ids=str)
@pytest.mark.parametrize("kind", ["bpe", "characters", "bytes"])
def test_what_is_streamed_is_what_is_written(kind: str, given: dict[str, Any]) -> None:
    one = writer(kind)
    for prompt in PROMPTS:
        parts = list(one.stream(prompt, length=40, **given))
        assert "".join(parts) == one.write(prompt, length=40, **given)
        assert all(parts)


@pytest.mark.parametrize("given", [{"samples": 3}, {"samples": 2, "beam": 3}, {"seed": 4}, {"stop": "e"}], ids=str)
def test_batch_mates_change_nothing(given: dict[str, Any]) -> None:
    one = writer()
    together = one.answer(PROMPTS, length=40, **given)
    for prompt, found in zip(PROMPTS, together, strict=True):
        (alone,) = one.answer([prompt], length=40, **given)
        assert [s.ids for s in alone] == [s.ids for s in found]
        assert len(found) == given.get("samples", 1)


def test_the_seed_decides_and_samples_differ() -> None:
    one = writer()
    draw = lambda seed: [s.text for s in one.answer(["Anna"], samples=4, length=30, temperature=1.5, seed=seed)[0]]
    assert draw(1) == draw(1)
    assert len({*draw(1), *draw(2)}) == 8


def test_longer_is_the_same_text_and_more() -> None:
    one = writer()
    assert one.write("Anna", length=80).startswith(one.write("Anna", length=33))


def test_a_text_is_cut_before_its_first_stop_string() -> None:
    one = writer("characters")
    whole = one.write("A", length=60, temperature=1.0)
    for start in (0, 5, 20, 40):
        stop = whole[start : start + 3]
        (found,) = one.answer(["A"], length=60, temperature=1.0, stop=["never said", stop])[0]
        assert found.text == whole[: whole.index(stop)]
        assert found.stop == stop
        assert not found.finished
        assert len(found.ids) <= len(found.text) + len(stop) + CONTEXT  # over the border of a window it is seen late
    (found,) = one.answer(["A"], length=12, temperature=1.0, stop=whole[2:5])[0]
    assert len(found.ids) <= 2 + 3 + 4  # no further than the token that completes it


def test_a_stop_string_over_tokens_is_found_where_it_begins_within_one() -> None:
    one = writer("bpe")
    (found,) = one.answer(["Anna"], length=40)[0]
    pieces = [one.tokenizer.decode([token]) for token in found.ids]
    begins = [len("".join(pieces[:at])) for at in range(len(pieces))]
    stops = {at: pieces[at][-1] + pieces[at + 1][:1] for at in range(12) if len(pieces[at]) > 1}
    at, stop = next((at, stop) for at, stop in stops.items() if found.text.find(stop) == begins[at + 1] - 1)
    assert one.write("Anna", length=40, stop=stop) == found.text[: begins[at + 1] - 1]


def test_log_probabilities_are_the_models() -> None:
    one = writer()
    (found,) = one.answer(["Anna"], length=8, temperature=0.5, repetition_penalty=1.3)[0]
    read = [one.tokenizer.start, *one.tokenizer.encode("Anna"), *found.ids]
    scores = logprobs(one.model, read)[len(one.tokenizer.encode("Anna")) :]
    ends = [*found.ids, one.tokenizer.end][: len(found.logprobs)]
    assert found.logprobs == pytest.approx([float(scores[at, token]) for at, token in enumerate(ends)], abs=1e-4)


def test_a_penalty_ends_repetition() -> None:
    one = writer()
    said = [len(set(one.answer([""], temperature=0, length=60, repetition_penalty=p)[0][0].ids)) for p in (1.0, 5.0)]
    assert said[1] > said[0]


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"temprature": 1}, "temprature"), ({"length": 0}, "length"), ({"samples": 2, "temperature": 0}, "samples"),
        ({"samples": 3, "beam": 2}, "beam"), ({"top_p": 0.0}, "top_p"), ({"stop": ""}, "stop"), ({"seed": -1}, "seed"),
        ({"repetition_penalty": 0.0}, "repetition_penalty"), ({"temperature": math.nan}, "temperature"),
    ],
)  # fmt: skip
def test_what_cannot_be_asked_is_named(given: dict[str, Any], words: str) -> None:
    one = writer()
    with pytest.raises(UserError, match=words):
        one.write("Anna", **given)
    with pytest.raises(UserError, match=words):
        next(one.stream("Anna", **given))


def test_samples_are_not_streamed_and_a_text_is_no_list() -> None:
    one = writer()
    with pytest.raises(UserError, match="samples"):
        next(one.stream("Anna", samples=2))
    with pytest.raises(UserError, match="list"):
        one.answer("Anna")


# ---- scoring --------------------------------------------------------------------------------------------------------


def by_hand(one: Writer, text: str, stride: int) -> float:
    """Every token from its own pass over what the window holds before it."""
    ids = one.tokenizer.encode(text)
    read, said = [one.tokenizer.start, *ids], [*ids, one.tokenizer.end]
    total = 0.0
    for place, token in enumerate(said):
        window = 0 if place < one.context else (place - one.context) // stride + 1
        first = max(0, min(len(said), one.context + window * stride) - one.context)
        total -= float(logprobs(one.model, read[first : place + 1])[-1, token])
    return total


@pytest.mark.parametrize("positions", ["learned", "rotary"])
@pytest.mark.parametrize("stride", [1, 5, CONTEXT // 2, CONTEXT])
def test_the_window_slides_as_told(stride: int, positions: str) -> None:
    one = writer(positions=positions)
    for text in ("A", verses(2), "<unk> is text, \n and </s> too\n\n"):
        assert foretell(one, [text], stride).nll == pytest.approx(by_hand(one, text, stride), rel=1e-4)


def test_texts_are_scored_apart() -> None:
    one = writer()
    texts = [verses(2, seed) for seed in range(4)]
    whole, parts = foretell(one, texts), [foretell(one, [text]) for text in texts]
    assert whole.nll == pytest.approx(sum(part.nll for part in parts), rel=1e-5)
    assert whole.predictions == sum(len(one.tokenizer.encode(text)) + 1 for text in texts)
    assert (whole.texts, whole.stride) == (4, CONTEXT // 2)


def test_figures_of_a_file(tmp_path: Path) -> None:
    one = writer()
    (tmp_path / "t.txt").write_text("Béla sees <unk> .\n\nAnna\n", "utf-8")
    figures = evaluate(one, [tmp_path / "t.txt"]).figures
    assert (figures["words"], figures["lines"], figures["characters"], figures["bytes"]) == (5, 3, 24, 25)
    nll = figures["nll"]
    assert nll == pytest.approx(by_hand(one, "Béla sees <unk> .\n\nAnna\n", CONTEXT // 2), rel=1e-4)
    assert figures["word_perplexity"] == pytest.approx(math.exp(nll / 8))
    assert figures["bits_per_byte"] == pytest.approx(nll / 25 / math.log(2))
    assert figures["perplexity"] == pytest.approx(math.exp(nll / figures["predictions"]))
    told = evaluate(one, [tmp_path / "t.txt"], stride=1)
    assert "moved by 1: each token was foretold from at least 15" in told.text
    assert "perplexity, word" in told.page


def test_scoring_leaves_the_model_as_it_was_and_refuses_what_it_cannot(tmp_path: Path) -> None:
    one = writer()
    one.model.train()
    foretell(one, ["Anna\n"])
    assert one.model.training
    with pytest.raises(UserError, match="stride = 17"):
        foretell(one, ["Anna\n"], stride=17)
    (tmp_path / "e.txt").write_text("\n")
    with pytest.raises(UserError, match="no text"):
        evaluate(one, [tmp_path / "e.txt"])
