"""The automaton against looking for every sequence at every place."""

from __future__ import annotations

import random

from heedful.decode.automaton import Automaton


def test_it_finds_what_is_there() -> None:
    draw = random.Random(0)
    for _ in range(300):
        sequences = [[draw.randrange(3) for _ in range(draw.randint(1, 4))] for _ in range(draw.randint(1, 6))]
        automaton = Automaton(sequences, [1 << number for number in range(len(sequences))])
        text = [draw.randrange(4) for _ in range(30)]
        node = 0
        for length in range(1, len(text) + 1):
            told = {token for token in range(4) if automaton.found[automaton.step(node, token)]}
            assert told == set(automaton.completing(node))
            assert all(automaton.step(node, token) == 0 for token in set(range(4)) - automaton.tokens(node))
            node = automaton.step(node, text[length - 1])
            ends = [text[:length][-len(sequence) :] == sequence for sequence in sequences]
            assert automaton.found[node] == sum(1 << number for number, there in enumerate(ends) if there)
            begun = [text[length - size : length] for size in range(length + 1)]
            beginnings = [sequence[:size] for sequence in sequences for size in range(len(sequence) + 1)]
            assert automaton.depth[node] == max(len(some) for some in begun if some in beginnings)
        assert automaton.says(text) == any(
            text[at : at + len(sequence)] == sequence for sequence in sequences for at in range(len(text))
        )
