"""Which of many token sequences an answer has said, read token by token (Aho and Corasick 1975)."""

from __future__ import annotations

from collections.abc import Iterator, Sequence


class Automaton:
    """A node stands for the longest ending of what was read with which some sequence begins; node 0 for none.

    `found[node]` are the bits of the sequences that have just been said; sequences may share one (alternatives).
    """

    def __init__(self, sequences: Sequence[Sequence[int]], bits: Sequence[int]) -> None:
        self.children: list[dict[int, int]] = [{}]
        self.found, self.depth = [0], [0]
        self.begun = [0]  # the bits of sequences that begin like this node and go on
        self.paths = [self._insert(sequence, own) for sequence, own in zip(sequences, bits, strict=True)]
        self.suffix = self._suffixes()
        self.alphabet = {token for children in self.children for token in children}
        self._completing: dict[int, tuple[int, ...]] = {}

    def _insert(self, sequence: Sequence[int], bits: int) -> list[int]:
        """The nodes from the root to the sequence's last."""
        path = [0]
        for token in sequence:
            node = path[-1]
            self.begun[node] |= bits
            if token not in self.children[node]:
                self.children[node][token] = len(self.children)
                self.children.append({})
                self.found.append(0)
                self.begun.append(0)
                self.depth.append(self.depth[node] + 1)
            path.append(self.children[node][token])
        self.found[path[-1]] |= bits
        return path

    def _suffixes(self) -> list[int]:
        """For each node, the one of its longest ending that is a node too."""
        suffix = [0] * len(self.children)
        self.suffix = suffix  # `step` reads it while it grows, always below the node at hand
        waiting = [0]
        for node in waiting:
            for token, child in self.children[node].items():
                suffix[child] = self.step(suffix[node], token) if node else 0
                self.found[child] |= self.found[suffix[child]]
                waiting.append(child)
        return suffix

    def step(self, node: int, token: int) -> int:
        """The node after one more token."""
        while node and token not in self.children[node]:
            node = self.suffix[node]
        return self.children[node].get(token, 0)

    def chain(self, node: int) -> Iterator[int]:
        """The node, and those of its endings, longest first; the root last."""
        while node:
            yield node
            node = self.suffix[node]
        yield 0

    def says(self, sequence: Sequence[int]) -> bool:
        """Whether one of the sequences stands in this one."""
        node = 0
        for token in sequence:
            node = self.step(node, token)
            if self.found[node]:
                return True
        return False

    def tokens(self, node: int) -> set[int]:
        """The tokens that do not lead back to the root."""
        return {token for at in self.chain(node) for token in self.children[at]}

    def completing(self, node: int) -> tuple[int, ...]:
        """The tokens with which some sequence would have been said."""
        if node not in self._completing:
            own = {token for at in self.chain(node) for token, child in self.children[at].items() if self.found[child]}
            self._completing[node] = tuple(sorted(own))
        return self._completing[node]
