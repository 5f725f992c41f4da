"""What a search must find, against loops that know nothing of caches, slots or batches."""

from __future__ import annotations

import dataclasses
import itertools
import math

import pytest
import torch
from torch import Tensor

from heedful.decode import Hypothesis, Options, Sampling, Stop, decode, decode_stream
from heedful.decode.search import likeliest
from heedful.errors import UserError
from heedful.model.embeddings import TokenInput
from heedful.model.layout import Layout
from heedful.model.model import Model

from .peers import END, START, continuer, sources, translator

np = pytest.importorskip("numpy")


def full_logprobs(model: Model, source: list[int], target: list[int]) -> Tensor:
    """Log-probabilities [tokens, vocab] of the token after each of `target`: one forward pass, no cache."""
    row = lambda ids: TokenInput(torch.tensor(ids), Layout.packed(np.array([len(ids)], np.int64)))
    if "source" in model.streams:
        states, layouts = model.encode({"source": row(source), "target": row(target)})
        return model.logits("next_token", states, layouts).log_softmax(-1)
    states, layouts = model.encode({"text": row([*target, *source] if not source else target)})
    return model.logits("next_token", states, layouts).log_softmax(-1)


def total(model: Model, source: list[int], answer: Hypothesis) -> float:
    """Its log-probability, teacher-forced."""
    whole = [*answer.ids, END] if answer.finished else answer.ids
    logprobs = full_logprobs(model, source, [START, *whole[:-1]])
    return float(logprobs[range(len(whole)), whole].sum())


@torch.no_grad()
def test_greedy_is_an_argmax_loop() -> None:
    model = translator(seed=3)
    for source in sources(8, seed=1):
        target: list[int] = []
        longest = 2 * len(source) + 5
        while len(target) < longest and END not in target:
            target.append(int(full_logprobs(model, source, [START, *target])[-1].argmax()))
        ((answer,),) = decode(model, [source], Options(max_extra=5))
        assert answer.finished == (END in target)
        assert answer.ids == [token for token in target if token != END]


@torch.no_grad()
def test_greedy_continuation_is_an_argmax_loop() -> None:
    model = continuer(seed=3)
    for prompt in sources(6, seed=2):
        text = [START, *prompt]
        layout = lambda ids: TokenInput(torch.tensor(ids), Layout.packed(np.array([len(ids)], np.int64)))
        while len(text) < len(prompt) + 11 and END not in text[1:]:
            states, layouts = model.encode({"text": layout(text)})
            text.append(int(model.logits("next_token", states, layouts)[-1].argmax()))
        ((answer,),) = decode(model, [prompt], Options(max_ratio=0.0, max_extra=10))
        assert answer.ids == [token for token in text[len(prompt) + 1 :] if token != END]


@pytest.mark.parametrize(("penalty", "alpha"), [("average", 1.0), ("average", 0.0), ("gnmt", 0.6), ("gnmt", -0.5)])
@torch.no_grad()
def test_a_wide_beam_is_exhaustive(penalty: str, alpha: float) -> None:
    vocab, longest = 5, 4
    model = translator(seed=5, spread=3.0, vocab=vocab)
    source = [3, 4, 3]
    options = Options(
        beam=vocab**longest, best=6, length_penalty=penalty, alpha=alpha, patience=math.inf,  # type: ignore[arg-type]
        max_ratio=0.0, max_extra=longest, logprobs=True,
    )  # fmt: skip
    everything = []
    words = [token for token in range(vocab) if token != END]
    for length in range(longest):
        for ids in itertools.product(words, repeat=length):
            answer = Hypothesis(list(ids), 0.0)
            everything.append((options.normalized(total(model, source, answer), length + 1), list(ids)))
    everything.sort(key=lambda scored: -scored[0])
    ((*found,),) = decode(model, [source], options)
    assert [answer.ids for answer in found] == [ids for _, ids in everything[:6]]
    assert [answer.score for answer in found] == pytest.approx([score for score, _ in everything[:6]], abs=1e-4)


@pytest.mark.parametrize("penalty", ["average", "gnmt", "hf"])
@torch.no_grad()
def test_scores_are_teacher_forced_and_sorted(penalty: str) -> None:
    model = translator(seed=7)
    options = Options(beam=5, best=5, length_penalty=penalty, alpha=0.8, max_extra=4, logprobs=True)  # type: ignore[arg-type]
    given = sources(9, seed=3)
    for source, found in zip(given, decode(model, given, options), strict=True):
        assert [answer.score for answer in found] == sorted((answer.score for answer in found), reverse=True)
        assert len({tuple(answer.ids) for answer in found}) == len(found)
        for answer in found:
            assert answer.logprobs is not None
            length = len(answer.ids) + answer.finished
            assert len(answer.logprobs) == length <= options.longest(len(source))
            whole = total(model, source, answer)
            assert sum(answer.logprobs) == pytest.approx(whole, abs=1e-3)
            assert answer.score == pytest.approx(options.normalized(whole, length), abs=1e-3)


@pytest.mark.parametrize("options", [Options(), Options(beam=4, best=2), Options(beam=4, length_penalty="hf")])
def test_answers_do_not_depend_on_the_batch(options: Options) -> None:
    given = sources(20, seed=4, longest=8)
    for model in (translator(seed=2), continuer(seed=2)):
        alone = decode(model, given, _with(options, batch=1))
        together = decode(model, given, _with(options, batch=64))
        backwards = decode(model, given[::-1], _with(options, batch=7))[::-1]
        assert ids(alone) == ids(together) == ids(backwards)


def _with(options: Options, **changed: object) -> Options:
    from dataclasses import replace

    return replace(options, **changed)  # type: ignore[arg-type]


def ids(answers: list[list[Hypothesis]]) -> list[list[list[int]]]:
    return [[answer.ids for answer in found] for found in answers]


def test_stream_says_the_same() -> None:
    given = [*sources(9, seed=5), []]
    model = translator(seed=1)
    streamed = dict(decode_stream(model, given, Options(beam=2, batch=4)))
    assert [streamed[number] for number in range(10)] == decode(model, given, Options(beam=2, batch=4))


def test_a_model_in_training_decodes_without_dropout() -> None:
    model = translator(seed=1, dropout=0.5)
    expected = decode(model, sources(4), Options(beam=2))
    assert decode(model.train(), sources(4), Options(beam=2)) == expected
    assert model.training


def test_empty_and_no_inputs() -> None:
    model = translator()
    assert decode(model, []) == []
    answers = decode(model, [[], [5, 6], []], Options(beam=3))
    assert answers[0] == answers[2] == [Hypothesis([], 0.0)]
    assert decode(continuer(), [[]], Options(start=None)) == [[Hypothesis([], 0.0)]]
    assert decode(continuer(), [[]], Options(max_extra=3))[0][0].ids  # a start token alone goes on


@pytest.mark.parametrize("options", [Options(), Options(beam=3), Options(beam=3, length_penalty="hf")])
@pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf])
def test_bad_numbers_end_a_row(options: Options, bad: float) -> None:
    model = translator(seed=1)
    with torch.no_grad():
        model.target.embedding.tokens.weight[9] = bad  # type: ignore[union-attr, index]
    answers = decode(model, sources(5, vocab=9, seed=6), options)
    assert all(found and len(found[0].ids) <= 60 for found in answers)


def test_numbers_that_are_not_numbers_are_marked() -> None:
    model = translator(seed=1)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.fill_(math.nan)
    for options in (Options(), Options(beam=3)):
        assert decode(model, [[5, 6]], options) == [[Hypothesis([], -math.inf, finished=False)]]


def test_longest_answers() -> None:
    model = translator(seed=1)
    for options in (Options(end=None, max_extra=3), Options(beam=3, length_penalty="hf", end=None, max_extra=3)):
        assert [len(found[0].ids) for found in decode(model, [[5, 6, 7], [5]], options)] == [9, 5]
    assert len(decode(model, [[5, 6, 7]], Options(end=None, max_length=4))[0][0].ids) == 4
    learned = continuer(positions="learned", capacity=8)
    assert len(decode(learned, [[5, 6, 7]], Options(end=None))[0][0].ids) == 5  # start, 3 and 4 read, one more said


@pytest.mark.parametrize(
    ("inputs", "options", "message"),
    [
        ([[1, 99]], {}, "input 0 holds a token id"),
        ([[5] * 70], {}, "input 0 has 70 tokens"),
        ([[5]], {"start": 99}, "token id 99"),
        ([[5]], {"best": 2}, "best = 2"),
        ([[5]], {"beam": 0}, "beam = 0"),
    ],
)
def test_mistakes_are_named(inputs: list[list[int]], options: dict[str, int], message: str) -> None:
    with pytest.raises(UserError, match=message):
        decode(continuer(), inputs, Options(**options))  # type: ignore[arg-type]


@pytest.mark.parametrize("slots", [1, 3])
@pytest.mark.parametrize("vocab", [7, 64, 700, 1000, 20_003])
def test_the_likeliest_are_exact(vocab: int, slots: int) -> None:
    logprobs = torch.randn(6, slots, vocab)
    for totals in (None, torch.randn(6, slots)):
        sums, tokens, parents, own = likeliest(logprobs, totals, 8)
        every = (logprobs if totals is None else logprobs + totals[:, :, None]).flatten(1)
        values, places = every.sort(-1, descending=True)
        assert torch.equal(sums, values[:, :8])
        assert torch.equal(parents * vocab + tokens, places[:, :8])
        assert torch.equal(own, logprobs.flatten(1).gather(1, places[:, :8]))


def test_a_prompt_that_used_up_its_positions_holds_nobody_up() -> None:
    model = continuer(seed=3, capacity=24)
    prompts = [sources(1, seed=2, longest=30)[0][:4] * (1 if number else 5) for number in range(12)]
    options = Options(end=None, max_ratio=0.0, max_extra=18)
    together = decode(model, prompts, options)
    assert [len(found[0].ids) for found in together] == [min(18, 24 - len(prompt)) for prompt in prompts]
    assert [found[0].ids for found in together] == [decode(model, [prompt], options)[0][0].ids for prompt in prompts]


def test_fewer_positions_than_the_model_has() -> None:
    model = continuer(seed=3, positions="rotary")
    for prompt in sources(6, seed=5):
        (found,) = decode(model, [prompt], Options(end=None, max_extra=40, capacity=16))[0]
        (whole,) = decode(model, [prompt], Options(end=None, max_extra=40))[0]
        assert found.ids == whole.ids[: 16 - len(prompt)]
        assert not found.finished
    with pytest.raises(UserError, match="this model has 5 positions"):
        decode(model, [[4] * 6], Options(capacity=5))


@pytest.mark.parametrize("options", [Options(), Options(sampling=Sampling(seed=3), best=2)], ids=["greedy", "samples"])
def test_what_ends_an_answer_early(options: Options) -> None:
    model = continuer(seed=3)
    options = dataclasses.replace(options, end=None, max_ratio=0.0, max_extra=20)
    for prompt in sources(5, seed=7):
        for whole in decode(model, [prompt], options)[0]:
            pair = whole.ids[6:8]
            stop = Stop(2, lambda ids, pair=pair: list(ids) == pair)  # type: ignore[misc]
            cut = [one.ids for one in decode(model, [prompt], dataclasses.replace(options, stop=stop))[0]]
            at = next(place for place in range(2, 20) if whole.ids[place - 2 : place] == pair)
            assert whole.ids[:at] in cut
