"""What must and must not be said: against exhaustive search, and over many random sets of constraints."""

from __future__ import annotations

import contextlib
import itertools
import math
import random
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch

from heedful.decode import Hypothesis, Options, Sampling, Wanted, decode, score
from heedful.decode.wanted import Rules
from heedful.errors import UserError
from heedful.model.embeddings import TokenInput
from heedful.model.layout import Layout
from heedful.model.model import Model

from .peers import END, START, continuer, sources, translator

Scored = list[tuple[float, list[int]]]


def says(ids: list[int], phrase: tuple[int, ...]) -> bool:
    return any(tuple(ids[at : at + len(phrase)]) == phrase for at in range(len(ids) - len(phrase) + 1))


def obeys(ids: list[int], options: Options, wanted: Wanted) -> bool:
    """Whether an answer holds what it must and nothing that it must not; without any automaton."""
    listed = [token for token in ids if token in options.restricted or token in wanted.once]
    return (
        tuple(ids[: len(wanted.prefix)]) == wanted.prefix
        and all(any(says(ids, tuple(phrase)) for phrase in phrases) for phrases in wanted.required)
        and not any(says(ids, tuple(phrase)) for phrase in options.banned_phrases)
        and sorted(listed) == sorted(set(wanted.once))
    )


@torch.no_grad()
def everything(model: Model, source: list[int], vocab: int, longest: int) -> Iterator[tuple[float, list[int]]]:
    """Every answer of at most `longest` tokens, the end included, with its log-probability: one forward pass."""
    words = [token for token in range(vocab) if token != END]
    rows = [[START, *ids] for ids in itertools.product(words, repeat=longest - 1)]
    given = lambda rows: TokenInput(
        torch.tensor([token for row in rows for token in row]), Layout.packed(np.array([len(row) for row in rows]))
    )
    states, layouts = model.encode({"source": given([source] * len(rows)), "target": given(rows)})
    logprobs = model.logits("next_token", states, layouts).log_softmax(-1).view(len(rows), longest, vocab)
    told = set()
    for row, numbers in zip(rows, logprobs.tolist(), strict=True):
        total = 0.0
        for length in range(longest):
            if (ids := tuple(row[1 : length + 1])) not in told:
                told.add(ids)
                yield total + numbers[length][END], list(ids)
            if length < longest - 1:
                total += numbers[length][row[length + 1]]


def drawn(random_: random.Random, vocab: int, most: int, phrases: int) -> tuple[dict[str, Any], Wanted]:
    """Random constraints: options, and what is wanted. They may contradict one another."""
    words = [token for token in range(vocab) if token != END]
    restricted = tuple(random_.sample(words, random_.randint(1, 2))) if random_.random() < 0.4 else ()
    once = tuple(token for token in restricted if random_.random() < 0.6)
    others = [token for token in words if token not in restricted]  # restricted ids are no part of phrases
    phrase = lambda longest: tuple(random_.choice(others) for _ in range(random_.randint(1, longest)))
    required = tuple(
        tuple(phrase(most) for _ in range(random_.randint(1, 2))) for _ in range(random_.randint(0, phrases))
    )
    banned = tuple(phrase(3) for _ in range(random_.randint(0, 2)))
    prefix = phrase(2) if random_.random() < 0.3 else ()
    return {"banned_phrases": banned, "restricted": restricted}, Wanted(prefix, required, once)


@pytest.mark.parametrize("seed", [*range(30), *(pytest.param(seed, marks=pytest.mark.slow) for seed in range(30, 600))])
def test_a_wide_beam_is_exhaustive(seed: int) -> None:
    """The best of all answers that hold what they must; and UserError where there is none."""
    random_ = random.Random(seed)
    vocab, longest = 5 + seed % 2, 5
    model = translator(seed=seed, spread=3.0, vocab=vocab)
    given, wanted = drawn(random_, vocab, 3 - seed % 2, 2)
    options = Options(beam=(vocab - 1) ** 4, best=6, patience=math.inf, max_ratio=0.0, max_extra=longest, **given)
    source = [3, 4, 3]
    expected = sorted(
        (
            (options.normalized(total, len(ids) + 1), ids)
            for total, ids in everything(model, source, vocab, longest)
            if obeys(ids, options, wanted)
        ),
        key=lambda scored: -scored[0],
    )[:6]
    if not expected:
        with pytest.raises(UserError, match="input 0"):
            decode(model, [source], options, wanted=[wanted])
        return
    ((*found,),) = decode(model, [source], options, wanted=[wanted])
    assert [answer.ids for answer in found] == [ids for _, ids in expected]
    assert [answer.score for answer in found] == pytest.approx([score for score, _ in expected], abs=1e-4)


def feasible(random_: random.Random, options: Options, wanted: list[Wanted], inputs: list[list[int]]) -> list[int]:
    """The inputs whose answers can hold what is wanted."""
    fit = []
    for number, (each, ids) in enumerate(zip(wanted, inputs, strict=True)):
        with contextlib.suppress(UserError):
            Rules(options, 23).requirement(number, each, options.longest(len(ids)))
            fit.append(number)
    return fit


SEARCHES: list[dict[str, Any]] = [
    {},
    {"beam": 2},
    {"beam": 5, "best": 3},
    {"beam": 3, "length_penalty": "hf"},
    {"sampling": Sampling(seed=3, temperature=1.5), "best": 2},
    {"beam": 4, "length_penalty": "gnmt", "alpha": 0.6, "no_repeat_ngram": 2},
    {"no_repeat_ngram": 1},
    {"end": None},
    {"beam": 3, "end": None},
    {"beam": 3, "min_length": 4},
]


@pytest.mark.parametrize("search", SEARCHES, ids=str)
def test_every_answer_holds_what_it_must(search: dict[str, Any]) -> None:
    """Random sets (500 for greedy search), many with hardly room: all answers obey, and none is longer than may be."""
    random_ = random.Random(str(search))
    count, most = 0, 100 if search else 500
    for seed in itertools.count():
        if count >= most:
            break
        model = (translator if seed % 2 else continuer)(seed=seed, spread=3.0)
        inputs = sources(50, seed=seed, longest=8)
        sets = [drawn(random_, 23, 4, 5) for _ in inputs]
        options = Options(
            max_ratio=random_.choice([0.0, 1.0]), max_extra=random_.randint(4, 14), batch=16, **sets[0][0], **search
        )
        wanted = [replace(each, once=tuple(set(each.once) & set(options.restricted))) for _, each in sets]
        fit = feasible(random_, options, wanted, inputs)
        inputs, wanted = [inputs[number] for number in fit], [wanted[number] for number in fit]
        count += len(fit)
        for ids, each, found in zip(inputs, wanted, decode(model, inputs, options, wanted=wanted), strict=True):
            assert found
            for answer in found:
                assert obeys(answer.ids, options, each), (answer, each)
                assert len(answer.ids) + answer.finished <= options.longest(len(ids))
                assert answer.score > -math.inf


def test_answers_do_not_depend_on_the_batch() -> None:
    """Rows with and without wishes side by side, leaving at different times."""
    random_ = random.Random(0)
    model = translator(seed=3, spread=3.0)
    inputs = sources(30, seed=4, longest=8)
    wanted = [drawn(random_, 23, 3, 2)[1] if number % 2 else None for number in range(30)]
    wanted = [each and replace(each, once=()) for each in wanted]
    for search in ({}, {"beam": 4}, {"beam": 4, "no_repeat_ngram": 2, "banned_phrases": ((5, 6), (7,))},
                   {"sampling": Sampling(seed=1), "best": 3}):  # fmt: skip
        options = Options(max_extra=8, **search)  # type: ignore[arg-type]
        fit = feasible(random_, options, [each or Wanted() for each in wanted], inputs)
        some = [inputs[number] for number in fit], [wanted[number] for number in fit]
        together = decode(model, some[0], options, wanted=some[1])
        alone = decode(model, some[0], replace(options, batch=1), wanted=some[1])
        assert [[a.ids for a in found] for found in together] == [[a.ids for a in found] for found in alone]
        if not options.constrained:
            free = decode(model, some[0], options)
            plain = [number for number, each in enumerate(some[1]) if each is None]
            assert [[a.ids for a in free[n]] for n in plain] == [[a.ids for a in together[n]] for n in plain]


@pytest.mark.parametrize("beam", [1, 4])
def test_a_prefix_is_going_on(beam: int) -> None:
    """With the beginning of an answer as prefix comes that answer; a prefix is what a longer prompt is."""
    model = translator(seed=6)
    given = sources(12, seed=1)
    answers = decode(model, given, Options(beam=beam, max_extra=4))
    for source, (answer,) in zip(given, answers, strict=True):
        for length in {1, len(answer.ids) // 2, len(answer.ids)} - {0}:
            wanted = Wanted(prefix=tuple(answer.ids[:length]))
            ((again,),) = decode(model, [source], Options(beam=beam, max_extra=4), wanted=[wanted])
            if beam == 1:
                assert again.ids == answer.ids
                assert again.score == pytest.approx(answer.score, abs=1e-5)
            assert again.ids[:length] == answer.ids[:length]
    writer = continuer(seed=6)
    options = lambda room: Options(beam=beam, alpha=0.0, max_ratio=0.0, max_extra=room)
    for prompt in sources(12, seed=2, longest=6):
        ((longer,),) = decode(writer, [[*prompt, 7, 8]], options(10))
        ((prefixed,),) = decode(writer, [prompt], options(12), wanted=[Wanted(prefix=(7, 8))])
        assert prefixed.ids == [7, 8, *longer.ids]


def test_scores_are_the_models_own() -> None:
    """What is required costs what the model says it costs, wherever it was put."""
    model, random_ = translator(seed=8, spread=3.0), random.Random(1)
    given = sources(20, seed=8)
    wanted = [replace(drawn(random_, 23, 3, 3)[1], once=()) for _ in given]
    for search in ({}, {"beam": 4, "best": 3}, {"sampling": Sampling(), "best": 2}):
        options = Options(max_extra=20, **search)  # type: ignore[arg-type]
        for ids, found in zip(given, decode(model, given, options, wanted=wanted), strict=True):
            finished = [answer for answer in found if answer.finished]
            told = score(model, [(ids, answer.ids) for answer in finished], options)
            assert [answer.score for answer in finished] == pytest.approx([each.score for each in told], abs=1e-4)


def test_where_the_model_would_end_the_phrase_begins() -> None:
    """Greedy search says what it says, and in the end's place what is missing."""
    model = translator(seed=2)
    for source in sources(20, seed=3):
        ((plain,),) = decode(model, [source], Options(max_extra=20))
        if plain.finished and not {20, 21, 22} & set(plain.ids):
            wanted = Wanted(required=(((20, 21, 20, 22),),))
            ((answer,),) = decode(model, [source], Options(max_extra=20), wanted=[wanted])
            assert answer.ids[: len(plain.ids) + 4] == [*plain.ids, 20, 21, 20, 22]


def test_a_beam_finds_a_better_place_than_the_end() -> None:
    """A wider beam's answers are likelier than greedy ones, which mostly say what is required at the end."""
    model = translator(seed=5, spread=3.0)
    given = sources(20, seed=5)
    wanted = [Wanted(required=(((9, 10),), ((11,),))) for _ in given]
    mean = lambda beam: np.mean([a[0].score for a in decode(model, given, Options(beam=beam), wanted=wanted)])
    assert mean(1) < mean(5) < mean(20)


def test_no_ngram_twice() -> None:
    for size, beam in itertools.product((1, 2, 3), (1, 4)):
        options = Options(beam=beam, best=beam, no_repeat_ngram=size, max_extra=10)
        for found in decode(translator(seed=1), sources(12, seed=2), options):
            for answer in found:
                grams = [tuple(answer.ids[at : at + size]) for at in range(len(answer.ids) - size + 1)]
                assert len(set(grams)) == len(grams)
    # It yields where nothing else may be said, and to what is required.
    ((answer,),) = decode(
        translator(vocab=5), [[3, 4]], Options(no_repeat_ngram=1, min_length=9, max_ratio=0.0, max_extra=12)
    )
    assert len(answer.ids) >= 8
    wanted = Wanted(prefix=(5, 5), required=(((6, 6, 6),),))
    ((answer,),) = decode(translator(), [[3, 4]], Options(no_repeat_ngram=1), wanted=[wanted])
    assert obeys(answer.ids, Options(), wanted)


def test_forced_tokens() -> None:
    """A first token that the model forces is the prefix; where the last one is forced, nothing else has room."""
    model = translator(seed=4)
    wanted = Wanted(required=(((9, 10, 11, 12),),))
    for search in ({}, {"beam": 3, "length_penalty": "hf"}):
        options = Options(forced_first=7, forced_last=8, max_ratio=0.0, max_extra=6, **search)  # type: ignore[arg-type]
        ((answer,),) = decode(model, [[5, 6]], options, wanted=[wanted])
        assert answer.ids in ([7, 9, 10, 11, 12], [7, 9, 10, 11, 12, 8])
        assert answer.finished == (len(answer.ids) == 5)
    with pytest.raises(UserError, match="begins with 8"):
        decode(model, [[5, 6]], options, wanted=[Wanted(prefix=(8,))])


def test_nothing_may_be_said() -> None:
    """Where options leave no token at all, a hypothesis is cut and marked, whatever the search."""
    model = translator(vocab=6)
    for search in ({}, {"beam": 3}, {"sampling": Sampling()}):
        options = Options(end=None, banned_phrases=tuple((3, t) for t in range(6)), max_extra=5, **search)  # type: ignore[arg-type]
        ((answer, *_),) = decode(model, [[4]], options, wanted=[Wanted(prefix=(3,))])
        assert answer == Hypothesis([3], -math.inf, False)


@pytest.mark.parametrize(
    ("options", "wanted", "message"),
    [
        ({}, Wanted(prefix=(99,)), "input 1: token id 99"),
        ({}, Wanted(required=(((5, -1),),)), "input 1: token id -1"),
        ({}, Wanted(prefix=(5, END)), "input 1: its prefix holds token id 2"),
        ({}, Wanted(required=((),)), "input 1: a phrase of no alternatives"),
        ({}, Wanted(required=(((5,),), ((),))), r"input 1: \[\] is required"),
        ({}, Wanted(required=(((5, END),),)), r"input 1: \[5, 2\] is required"),
        ({"banned": (5,)}, Wanted(required=(((4, 5),), ((6,),))), r"input 1: \[4, 5\] is required"),
        ({"banned": (5,)}, Wanted(prefix=(5,)), "input 1: its prefix holds token id 5"),
        ({"banned": (5,)}, Wanted(once=(5,)), "input 1: token id 5 is to be said once"),
        ({"logit_bias": {5: -math.inf}}, Wanted(required=(((5,),),)), r"input 1: \[5\] is required"),
        ({"banned_phrases": ((4, 5),)}, Wanted(required=(((3, 4, 5), (4, 5)),)), r"\[3, 4, 5\] or \[4, 5\] is"),
        ({"banned_phrases": ((4, 5),)}, Wanted(prefix=(4, 5)), "input 1: its prefix holds token id 5"),
        ({"restricted": (5,)}, Wanted(required=(((5,),),)), r"input 1: \[5\] is required"),
        ({"restricted": (5,)}, Wanted(prefix=(5,)), "input 1: its prefix holds token id 5"),
        ({"restricted": (5,)}, Wanted(prefix=(5, 5), once=(5,)), "input 1: its prefix holds token id 5"),
        ({"max_length": 4}, Wanted(required=(((5, 6, 7),), ((8, 9),))), "take 5 tokens, and its longest answer has 4"),
        ({"max_length": 4}, Wanted(prefix=(5, 6, 7, 8, 9)), "take 5 tokens, and its longest answer has 4"),
        ({"max_length": 4, "beam": 2}, Wanted(once=(5, 6, 7, 8)), "take 5 tokens, and its longest answer has 4"),
        ({"min_length": 20, "max_length": 10}, None, "min_length = 20 is above max_length = 10"),
        ({"banned_phrases": ((),)}, None, "banned phrase"),
        ({"banned_phrases": ((5, 99),)}, None, "token id 99"),
        ({"banned_phrases": ((5, END),)}, None, "banned phrase"),
        ({"restricted": (99,)}, None, "token id 99"),
        ({"restricted": (7,), "forced_first": 7}, None, "token id 7 is forced"),
        ({"no_repeat_ngram": -1}, None, "no_repeat_ngram = -1"),
    ],
)
def test_mistakes_name_the_input(options: dict[str, Any], wanted: Wanted | None, message: str) -> None:
    with pytest.raises(UserError, match=message):
        decode(translator(), [[5], [6, 7]], Options(**options), wanted=[None, wanted])


def test_other_mistakes() -> None:
    with pytest.raises(UserError, match="wanted has 1 entries for 2 inputs"):
        decode(translator(), [[5], [6]], wanted=[None])
    with pytest.raises(UserError, match="input 1 is empty"):
        decode(translator(), [[5], []], wanted=[None, Wanted(prefix=(5,))])
    options = Options(banned_phrases=tuple((first, then) for first in (3, 4) for then in (0, 1, 3, 4)))
    with pytest.raises(UserError, match="cannot be said without saying what is banned"):
        decode(translator(vocab=5), [[3]], options, wanted=[Wanted(required=(((3,),), ((4,),)))])
    assert decode(translator(), [[], [5]], wanted=[Wanted(), Wanted()])[0] == [Hypothesis([], 0.0)]


def test_many_phrases_do_not_take_long() -> None:
    """Fifteen phrases with alternatives, thirty single ids and hardly room: no order of them all is tried."""
    model, random_ = translator(seed=1, vocab=200), random.Random(0)
    phrase = lambda: tuple(random_.randrange(5, 100) for _ in range(3))
    wanted = Wanted(required=tuple((phrase(), phrase()) for _ in range(15)), once=tuple(range(100, 130)))
    options = Options(
        beam=4, max_ratio=0.0, max_extra=110, restricted=tuple(range(100, 150)), banned_phrases=((3, 4), (5, 6, 7))
    )
    ((answer,),) = decode(model, [[5, 6, 7]], options, wanted=[wanted])
    assert obeys(answer.ids, options, wanted)
