"""Windows hold every token of a context, and point to the answer where all of it is."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest

from heedful.config import parse_recipe
from heedful.data.questions import Answer, Question
from heedful.data.windows import Reading, Window, contexts_of, most_context, tokens_of, wanted, windows_of
from heedful.errors import UserError
from heedful.text.tokenizer import train_tokenizer

WORDS = [f"w{number}" for number in range(60)]
TEXT = " ".join(WORDS)
TOKENIZER = train_tokenizer([TEXT] * 3, "bpe", size=500)


def test_windows_that_would_leave_tokens_out_are_refused() -> None:
    def reading(**data: int) -> Reading:
        return Reading.of(parse_recipe({"task": "answer", "data": data}).data)

    assert reading() == Reading(384, 128, 64, 30)
    assert reading(longest=100, longest_question=10, stride=86).stride == 86
    with pytest.raises(UserError, match=r"data\.stride = 87, but .* room for 87 of the context; windows must overlap"):
        reading(longest=100, longest_question=10, stride=87)
    with pytest.raises(UserError, match="room for -17"):
        reading(longest=50)


def test_rows_overlap_and_cover_the_context() -> None:
    context = contexts_of(TOKENIZER, [TEXT])[TEXT]
    question = TOKENIZER.encode("where is w7 and w8")
    windows = list(windows_of(TOKENIZER, question, context, Reading(30, 7, 3, 5)))
    assert windows[0].first == 0
    assert windows[-1].end == len(context.ids)
    assert {after.first - before.first for before, after in pairwise(windows)} == {7}
    for window in windows:
        assert len(window.ids) <= 30
        assert window.ids[0] == TOKENIZER.start
        assert list(window.ids[1:4]) == question[:3], "the question is cut"
        assert list(window.ids[[4, -1]]) == [TOKENIZER.end] * 2
        assert (window.ids[window.head : -1] == context.ids[window.first : window.end]).all()
    (whole,) = windows_of(TOKENIZER, question, context, Reading(400, 7, 3, 5))
    assert (whole.first, whole.end) == (0, len(context.ids))


def test_an_empty_context_has_no_window() -> None:
    assert list(windows_of(TOKENIZER, [5], contexts_of(TOKENIZER, [""])[""], Reading(30, 7, 3, 5))) == []


@pytest.mark.parametrize("word", ["w0", "w9", "w31", "w59", "w30 w31 w32"])
def test_the_answers_tokens_say_the_answer(word: str) -> None:
    context = contexts_of(TOKENIZER, [TEXT])[TEXT]
    answer = Answer(word, (TEXT + " ").index(word + " "))
    first, last = tokens_of(answer, context)
    assert TEXT[context.starts[first] : context.ends[last]].strip() == word
    question = Question("1", "?", TEXT, (answer,))
    windows = list(windows_of(TOKENIZER, [5], context, Reading(30, 7, 3, 5)))
    found = [(window, wanted(question, context, window)) for window in windows]
    assert any(place != (0, 0) for _, place in found)
    for window, (begin, end) in found:
        inside = window.first <= first and last < window.end
        assert (begin > 0) == inside
        if inside:
            assert (window.ids[begin : end + 1] == context.ids[first : last + 1]).all()
            assert begin >= window.head


def test_an_answer_inside_a_token_takes_the_token() -> None:
    text = "In the 1950s"
    context = contexts_of(train_tokenizer([text] * 9, "bpe", size=400), [text])[text]
    first, last = tokens_of(Answer("95", 8), context)
    assert text[context.starts[first] : context.ends[last]].strip() == "1950"


def test_each_token_is_judged_where_it_has_the_most_context() -> None:
    windows = [Window(np.zeros(0, np.int64), 0, first, min(first + 10, 24)) for first in (0, 6, 12, 18)]
    chosen = most_context(windows)
    counted = np.zeros(24, np.int64)
    for window, own in zip(windows, chosen, strict=True):
        counted[window.first : window.end] += own
    assert (counted == 1).all(), "each in exactly one window"
    assert chosen[0].tolist() == [True] * 8 + [False] * 2, "from 8 on the second window has more on the left"
    assert most_context([]) == []
