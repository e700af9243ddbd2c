"""Semi-hard negatives: the responses most similar to the positive that are no near-copies of it."""

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Literal

import numpy as np
import numpy.typing as npt

from pneg.dialogue import Dialogue, normalised
from pneg.negatives.base import COPY, Refusals, choose
from pneg.negatives.embeddings import Embeddings, Vectors
from pneg.negatives.nearest import SLACK, Ranked, nearest
from pneg.negatives.texts import Texts

TOO_SIMILAR = "too similar"
BLOCK = 2048
"""Dialogues read at a time."""
DEPTH = 32
"""Responses ranked for a dialogue at first; more where all of these are refused."""


@dataclass(frozen=True, slots=True)
class _Query:
    """What is asked for a dialogue.

    Attributes:
        vectors: that others are compared with, shape (queries, dimensions).
        ceiling: the highest similarity to them that may be.
        positives: shape (positives, dimensions).
    """

    vectors: Vectors
    ceiling: float
    positives: Vectors


class SemiHard:
    """The responses of a corpus most similar to the positive p among those that are not too similar to it.

    By default a response r is refused where sim(r, p) > 1 - margin (Li et al. 2019; static, as in Gupta et
    al. 2021), and those nearest to p come first. With a `relative_margin` m it is the positive-aware filter of
    NV-Retriever (arXiv 2407.15831, TopK-PercPos, best at m = .05): the context is the query, the responses nearest to
    it come first, and r is refused where sim(context, r) > (1 - m) sim(context, p).

    Where a dialogue has several positives, p is the first of them. With `positive="all"` r's similarity is that to
    the nearest positive (with a relative margin: every positive must keep the margin), at as many times the cost. A
    near-copy of any positive is refused either way, unless the margin is relative. "too similar" counts all of the
    corpus above the ceiling, once for each positive that was asked for.

    Args:
        pool: the corpus to search: all its distinct positives.
        margin: alpha.
        relative_margin: m, in place of `margin`.
        positive: which of a dialogue's positives p stands for.
        embeddings: of texts, or the name of an encoder.

    Raises:
        ModelError: when the encoder cannot be found.
        MissingExtra: without `sentence-transformers`.
    """

    name = "semi-hard"

    def __init__(
        self,
        pool: Iterable[Dialogue],
        margin: float = 0.07,
        relative_margin: float | None = None,
        positive: Literal["first", "all"] = "first",
        embeddings: Embeddings | str = "minilm-l6",
    ) -> None:
        self.embeddings = Embeddings(embeddings) if isinstance(embeddings, str) else embeddings
        self.margin, self.relative_margin, self.positive = margin, relative_margin, positive
        distinct = dict.fromkeys(response for dialogue in pool for response in dialogue.positives)
        self.responses = Texts(distinct)
        self._hashes = np.sort(np.asarray(self.responses.hashes))
        self.vectors = self.embeddings.of(list(distinct))
        self.counts: Counter[str] = Counter()

    def propose(self, dialogues: Iterable[Dialogue], count: int) -> Iterator[tuple[str, ...]]:
        """Give the `count` most similar responses for each dialogue; fewer only where no others keep the margin."""
        remaining = iter(dialogues)
        while block := list(islice(remaining, BLOCK)):
            yield from self._of_block(block, count)

    def _of_block(self, block: Sequence[Dialogue], count: int) -> Iterator[tuple[str, ...]]:
        asked = list(self._queries(block))
        rows = [query.vectors for query in asked if len(query.vectors)]
        ceilings = np.repeat([query.ceiling for query in asked], [len(query.vectors) for query in asked])
        found: Iterator[Ranked] = iter(())
        if rows:
            found = self._nearest(np.concatenate(rows), ceilings.astype(np.float32), DEPTH)
        for dialogue, query in zip(block, asked, strict=True):
            ranked = list(islice(found, len(query.vectors)))
            self._count_above(dialogue, query, ranked)
            candidates = self._candidates(query, ranked)
            yield choose(candidates, count, Refusals.of(dialogue), self.counts)

    def _queries(self, block: Sequence[Dialogue]) -> Iterator[_Query]:
        positives = [text for dialogue in block for text in dialogue.positives]
        vectors = self.embeddings.of(positives)
        ends = np.cumsum([len(dialogue.positives) for dialogue in block])
        own = [vectors[end - len(dialogue.positives) : end] for dialogue, end in zip(block, ends, strict=True)]
        if self.relative_margin is None:
            for of in own:
                yield _Query(of if self.positive == "all" else of[:1], 1 - self.margin, of)
            return
        contexts = self.embeddings.of([" ".join(dialogue.context) for dialogue in block])
        for place, of in enumerate(own):
            context = contexts[place : place + 1]
            taken = of if self.positive == "all" else of[:1]
            if not len(taken):
                yield _Query(context[:0], 0.0, of)
                continue
            score = float((taken @ context[0]).min())
            # a share of the positive's score; where that is negative, as far below it
            yield _Query(context, score - abs(score) * self.relative_margin, of)

    def _nearest(self, queries: Vectors, ceilings: npt.NDArray[np.float32], depth: int) -> Iterator[Ranked]:
        return nearest(queries, self.vectors, ceilings, depth, self.embeddings.device)

    def _candidates(self, query: _Query, found: Sequence[Ranked]) -> Iterator[str]:
        ranked = _merged(found, DEPTH)
        yield from self._kept(query, ranked)
        if len(ranked) == DEPTH < len(self.responses):
            ceilings = np.full(len(query.vectors), query.ceiling, np.float32)
            every = _merged(list(self._nearest(query.vectors, ceilings, len(self.responses))), len(self.responses))
            yield from self._kept(query, every[DEPTH:])

    def _kept(self, query: _Query, numbers: npt.NDArray[np.int64]) -> Iterator[str]:
        """Those that keep the margin to every positive."""
        highest = 1 - self.margin + SLACK
        for number in numbers:
            if self.relative_margin is not None or (query.positives @ self.vectors[number]).max() <= highest:
                yield self.responses[number]
            elif self.positive == "first":  # else it was counted with what is above the ceiling of that positive
                self.counts[TOO_SIMILAR] += 1

    def _count_above(self, dialogue: Dialogue, query: _Query, found: Sequence[Ranked]) -> None:
        """Count what is above the ceilings; the positives themselves apart, where the corpus has them."""
        above = sum(ranked.above for ranked in found)
        texts = {normalised(text): place for place, text in enumerate(dialogue.positives)}
        hashes = np.fromiter(map(hash, texts), np.int64, len(texts))
        at = np.searchsorted(self._hashes, hashes)
        there = at < len(self._hashes)
        there[there] = self._hashes[at[there]] == hashes[there]
        own = query.positives[list(texts.values())][there] @ query.vectors.T if above else np.zeros(0)
        copies = min(above, int((own > query.ceiling).sum()))
        for reason, n in ((COPY, copies), (TOO_SIMILAR, above - copies)):
            if n:
                self.counts[reason] += n


def _merged(found: Sequence[Ranked], depth: int) -> npt.NDArray[np.int64]:
    """The best numbers of several rankings, each by its highest score."""
    if len(found) == 1:
        return found[0].numbers[:depth]
    if not found:
        return np.zeros(0, np.int64)
    numbers = np.concatenate([ranked.numbers for ranked in found])
    order = np.lexsort((numbers, -np.concatenate([ranked.scores for ranked in found])))
    _, first = np.unique(numbers[order], return_index=True)
    return numbers[order][np.sort(first)][:depth]
